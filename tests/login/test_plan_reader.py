"""The plan reader in C: the golden vectors, and the same answers as the reader in Python on damaged plans."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from jailssh.core.errors import JailsshError
from jailssh.plan import codec, ops
from tests.abilities import REPO
from tests.login.driver import Driver, joined
from tests.login.jails import JAILS, plan_of

pytestmark = pytest.mark.needs("gcc", "sanitizers")

GOLDEN = REPO / "tests/golden"
BAD: dict[str, dict[str, str]] = json.loads((GOLDEN / "bad.json").read_text())
GOOD = sorted(path for path in GOLDEN.glob("*.plan") if path.name not in BAD)
MUTATIONS = 4000
ACCEPTED = [""]


def dump(plan: codec.Plan) -> bytes:
    """Return what the driver says about a plan that it accepts."""
    records = [part for record in plan.records for part in (record.verb, *record.args)]
    texts = ["", str(plan.uid), str(plan.gid), plan.name, plan.serial, *records]
    return joined(text.encode("utf-8", "surrogateescape") for text in texts)


def by_python(data: bytes) -> bytes | None:
    try:
        return dump(codec.decode(data))
    except JailsshError:
        return None


def agree(driver: Driver, cases: list[bytes]) -> list[bytes]:
    """Compare both readers on each case and return those that both accept."""
    accepted = []
    for case, answer in zip(cases, driver.raw("plan", cases), strict=True):
        in_c = answer if answer.startswith(b"\0") else None
        in_python = by_python(case)
        assert (in_c is None) == (in_python is None), f"{answer!r} in C, Python: {in_python!r}, of {shortened(case)!r}"
        assert in_c == in_python
        if in_c is not None:
            accepted.append(case)
    return accepted


def shortened(data: bytes) -> bytes:
    return data if len(data) < 9000 else data[:500] + b"..." + data[-200:]


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_good_vectors(driver: Driver, path: Path) -> None:
    data = path.read_bytes()
    assert agree(driver, [data]) == [data]


def test_bad_vectors(driver: Driver) -> None:
    names = sorted(BAD)
    answers = driver.parts("plan", [(GOLDEN / name).read_bytes() for name in names])
    assert dict(zip(names, answers, strict=True)) == {name: [BAD[name]["c"]] for name in names}


@pytest.mark.parametrize("jail", JAILS)
def test_plans_of_the_shipped_plugins(driver: Driver, jail: str) -> None:
    data = codec.encode(plan_of(jail))
    assert agree(driver, [data]) == [data]


def test_every_cut(driver: Driver) -> None:
    data = (GOLDEN / "full.plan").read_bytes()
    assert agree(driver, [data[:size] for size in range(len(data))]) == []


def test_every_byte_changed(driver: Driver) -> None:
    data = (GOLDEN / "full.plan").read_bytes()
    cases = [
        data[:index] + bytes([byte]) + data[index + 1 :]
        for index in range(len(data))
        for byte in {0, data[index] ^ 1, data[index] ^ 0x80, ord("/")} - {data[index]}
    ]
    agree(driver, cases)


TOKENS = [
    b"", b"0", b"00", b"01", b"1", b"-1", b"+1", b" 1", b"1 ", b"0x1", b"2147483647", b"2147483648", b"4294967297",
    b"99999999999999999999", b"/", b"//", b"/a/", b"/a//b", b"/a/../b", b"/a/./b", b"/..", b"/a\nb", b"/a\x7f",
    "/ä".encode(), b"/\xff", b"\xff\xfe", b"\xc3", b"\xed\xa0\x80", "name\u00a0".encode(), "ä".encode(), "²".encode(),
    b"a b", b"end", b"jailssh-plan", b".", b"..", b"-", b"--", b"@", b"A" * 200, b"A" * 201, b"/" + b"a" * 4094,
    b"/" + b"a" * 4095, b"/" + "ä".encode() * 2047, b"/" + "ä".encode() * 2048, b"x" * 65536, b"x" * 65537, b"f" * 16,
    b"F" * 16, b"f" * 15, b"f" * 65536, b"f" * 65552, b"flag", b"flag ",
    b"int:0:1", b"int:-1:-1", b"int::", b"int:1", b"int:1:2:3",
    b"int:1234567890:1", b"int:-123456789:-1234567890", b"int:-:1", b"int:+1:2", b"size:", b"size:1", b"size:-1",
    b"size:" + b"9" * 18, b"size:" + b"9" * 19, b"enum:", b"enum:a", b"enum:a,,b", b"enum:a b",
    b"enum:" + b"a" * 1024, b"enum:" + b"a" * 1025, b"word", b"text", b"path", b"capabilities", b"alice$", b"$", b"a$b",
    b"123", b"a" * 255, b"a" * 256, b"a" * 255 + b"$", b"a" * 256 + b"$", b"0" * 16, b"none host",
    b"no", b"yes", b"777", b"7777", b"77777", b"8", b"0777",
]  # fmt: skip


def mutated(tokens: list[bytes], choice: random.Random) -> bytes:
    """Return the plan of ``tokens`` with one to three changes by token or by byte."""
    tokens = list(tokens)
    verbs = [verb.name.encode() for verb in ops.VERBS]
    for _ in range(choice.choice((1, 1, 1, 2, 3))):
        index = choice.randrange(len(tokens))
        match choice.randrange(8):
            case 0:
                tokens[index] = choice.choice(TOKENS)
            case 1:
                tokens[index] = choice.choice(verbs)
            case 2:
                del tokens[index : index + choice.choice((1, 2, 3))]
            case 3:
                tokens[index:index] = tokens[index : index + choice.choice((1, 2, 3))]
            case 4:
                other = choice.randrange(len(tokens))
                tokens[index], tokens[other] = tokens[other], tokens[index]
            case 5:
                verb = choice.choice(ops.VERBS)
                arguments = [choice.choice((*TOKENS, *tokens)) for _ in verb.fields]
                tokens[index:index] = [verb.name.encode(), *arguments]
            case 6:
                tokens[6:7] = [str(int(tokens[6]) + choice.choice((-2, -1, 1, 2))).encode()] if tokens[6:7] else []
            case _:
                at = choice.randrange(len(tokens[index]) + 1)
                inserted = bytes([choice.randrange(256)]) * choice.randrange(2)
                tokens[index] = tokens[index][:at] + inserted + tokens[index][at + choice.randrange(2) :]
        if not tokens or not all(token.isdigit() for token in tokens[6:7]):
            break
    return joined(tokens) + choice.choice((b"", b"", b"", b"", b"\0", b"x"))


def recounted(tokens: list[bytes]) -> bytes:
    """Return the plan with a number of records that fits, as far as its verbs are known."""
    arity = {verb.name.encode(): len(verb.fields) for verb in ops.VERBS}
    at, records = 7, 0
    while at < len(tokens) and tokens[at] in arity:
        at += 1 + arity[tokens[at]]
        records += 1
    return joined([*tokens[:6], str(records).encode(), *tokens[7:]])


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_mutations(driver: Driver, path: Path) -> None:
    choice = random.Random(path.name)
    tokens = path.read_bytes()[:-1].split(b"\0")
    cases = [mutated(tokens, choice) for _ in range(MUTATIONS)]
    cases += [recounted(case[:-1].split(b"\0")) for case in cases[: MUTATIONS // 2]]
    accepted = agree(driver, cases)
    # A mutation that nothing survives would only test the first check of the reader.
    assert len(accepted) > MUTATIONS // 50


def test_each_kind_of_argument(driver: Driver) -> None:
    """Each argument of each verb with each token of the list above."""
    every = [record for path in GOOD for record in codec.decode(path.read_bytes()).records]
    head = (GOLDEN / "full.plan").read_bytes()[:-1].split(b"\0")[:7]
    cases = [joined([*head[:index], token, *head[index + 1 :]]) for index in range(7) for token in TOKENS]
    example = {record.verb: [arg.encode() for arg in record.args] for record in every}
    plan = plan_of("shell").records
    for verb in ops.VERBS:
        for field in range(len(verb.fields)):
            for token in TOKENS:
                arguments = [*example[verb.name][:field], token, *example[verb.name][field + 1 :]]
                cases.append(placed(plan, verb, arguments))
    accepted = agree(driver, cases)
    assert len(accepted) > len(ops.VERBS)


def placed(plan: tuple[ops.Record, ...], verb: ops.Verb, arguments: list[bytes]) -> bytes:
    """Return a plan with this record, at its place, instead of those with the same verb."""
    records: list[tuple[int, list[bytes]]] = []
    first_rule = next(index for index, record in enumerate(plan) if record.verb == "rule")
    last_rule = next((i for i in range(first_rule + 1, len(plan)) if plan[i].verb == "rule"), len(plan))
    for record in plan[:last_rule]:
        if record.verb != verb.name:
            records.append((ops.BY_NAME[record.verb].phase, [part.encode() for part in (record.verb, *record.args)]))
    records.append((verb.phase, [verb.name.encode(), *arguments]))
    records.sort(key=lambda record: record[0])
    head = [ops.MAGIC, ops.VERSION, "1000", "1000", "alice", "0" * 16, str(len(records))]
    return joined([*head, *(part for _, parts in records for part in parts), ops.END])


def of_size(records: int, size: int = 0) -> bytes:
    """Return a plan with so many records, the last of them long enough for ``size`` bytes."""
    plan = [record for record in plan_of("shell").records if ops.BY_NAME[record.verb].phase < ops.RULE_PHASE]
    plan.append(ops.Record("rule", ("r", "p", "/bin/r")))
    text = "w" if not size else "w" * 60000
    plan += [ops.Record("word", (text,))] * (records - len(plan) - 1)
    body = [part for record in plan for part in (record.verb, *record.args)]
    head = [ops.MAGIC, ops.VERSION, "1000", "1000", "alice", "0" * 16, str(records)]
    left = size - len(joined([*head, *body, "word", "", ops.END]))
    return joined([*head, *body, "word", "w" * left, ops.END])


def test_limits(driver: Driver) -> None:
    records = [of_size(ops.MAX_RECORDS), of_size(ops.MAX_RECORDS + 1)]
    assert agree(driver, records) == records[:1]
    sizes = [of_size(26, ops.MAX_SIZE), of_size(26, ops.MAX_SIZE + 1)]
    assert [len(data) for data in sizes] == [ops.MAX_SIZE, ops.MAX_SIZE + 1]
    assert agree(driver, sizes) == sizes[:1]
