"""Builds the fuzz targets, their seeds and their words; ``python -m tests.fuzz.targets`` writes the corpus anew.

The corpus of a target is a small folder of inputs, named by their hash.  ``--minimise SECONDS`` also fuzzes that long
and keeps the inputs that reach something new.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from jailssh.plan import codec, ops
from tests.abilities import REPO
from tests.fuzz import tree
from tests.harness.certificates import ENDING, PARTS, Certificate
from tests.login import commands, rsync_commands
from tests.login.driver import LOGIN, PURE, compile_c
from tests.login.jails import JAILS, plan_of

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
GOLDEN = REPO / "tests/golden"
# How long an input may be: enough for every check but those of the largest sizes, which tests/login has.
TARGETS = {"plan": 4096, "request": 2048, "match": 1024, "both": 4096, "key": 1024, "table": 1024, "record": 2048,
           "refs": 2048}  # fmt: skip
# What a target tests beside the parts that the matcher has too.
PAM = REPO / "pam"
RELAY = REPO / "jailssh/relay"
BESIDE = {
    "key": [LOGIN / "key.c"],
    "table": [PAM / "table.c"],
    "record": [RELAY / f"{name}.c" for name in ("record", "native", "line", "out")],
}
# Fields of the journal that are not for a jail to write.
MEANT = (b"_UID", b"JAILSSH_USER", b"JAILSSH_EVENT", b"SYSLOG_PID", b"OBJECT_PID", b"COREDUMP_UNIT", b"JOURNAL_NAME",
         b"MESSAGE_ID", b"UNIT", b"USER_UNIT", b"INVOCATION_ID", b"LEADER", b"SESSION_ID")  # fmt: skip
SANITIZE = "-fsanitize=address,undefined"
NOTED = [f"-D{name}=noted_{name}" for name in ("malloc", "strdup", "strndup", "free", "pattern_find")]


def build(folder: Path, *flags: str, targets: Iterable[str] = TARGETS) -> dict[str, Path]:
    """Compile targets into ``folder`` and return the programs by name."""
    (folder / "plans.h").write_text(_header(tree.make(folder / "tree")))
    repository = f'-DREPOSITORY="{_repository(folder / "repository")}"'
    objects = []
    for source in PURE:
        out = folder / f"{source.stem}.o"
        compile_c("clang", out, [source], "-c", *_noted(source), SANITIZE, "-fsanitize=fuzzer-no-link", *flags)
        objects.append(out)
    return {
        target: compile_c(
            "clang", folder / target,
            [*(HERE / f"{name}.c" for name in (f"fuzz_{target}", "judge", "again", "noted")), *BESIDE.get(target, []),
             *objects],
            f"-I{folder}", f"-I{PAM}", f"-I{RELAY}", repository, SANITIZE, "-fsanitize=fuzzer", *flags,
        )
        for target in targets
    }  # fmt: skip


def _repository(folder: Path) -> Path:
    """Make what jailssh-refs looks for in a repository, with references that stand for others."""
    links = {"alias": "refs/heads/main", "away": "refs/x/y", "loop": "refs/heads/loop", "odd": "refs/../x"}
    (folder / "refs/heads").mkdir(parents=True)
    (folder / "HEAD").touch()
    (folder / "refs/heads/main").write_text("1" * 40 + "\n")
    for name, target in links.items():
        (folder / "refs/heads" / name).write_text(f"ref: {target}\n")
    return folder


def _noted(source: Path) -> list[str]:
    """Return what puts our own functions in the place of others, but not of those that ``source`` itself has."""
    return [flag for flag in NOTED if not flag.startswith(f"-D{source.stem}_")]


def _header(of_tree: codec.Plan) -> str:
    plans = [codec.encode(plan_of(name)) for name in JAILS] + [
        (GOLDEN / name).read_bytes() for name in ("full.plan", "key.plan")
    ]
    plans.append(codec.encode(of_tree))
    lines = ["static const struct {", "    const unsigned char *data;", "    size_t size;", "} plan_bytes[] = {"]
    for plan in plans:
        text = ",".join(map(str, plan))
        lines.append(f"    {{ (const unsigned char[]){{ {text} }}, {len(plan)} }},")
    return "\n".join([*lines, "};", ""])


def dictionary() -> str:
    """Return the words of plans and commands in libFuzzer's form."""
    words = {verb.name for verb in ops.VERBS} | {"rsync --server --sender ", "scp -t ", "git-upload-pack ", "~/", "../"}
    words |= {"jailssh-pam 1\n", "min-uid 1\n", "group jailssh\n", "through ", "inside ", "end\n"}
    words |= {"publickey ", ENDING, "certificate!", "alice", "\0\0\0\5alice", "\0\0\0\0", "QUFBQUFBQUFBQUFB", *PARTS}
    words |= {
        "MESSAGE",
        "PRIORITY=",
        "SYSLOG_FACILITY=",
        "SYSLOG_IDENTIFIER=",
        *(f"{name.decode()}=" for name in MEANT),
    }
    words |= {f"{word} /r/x refs/" for word in ("push", "rewind", "create", "delete", "deny", "ruled")}
    words |= {
        "refs/heads/",
        "refs/tags/",
        "/**",
        "version=1\0",
        "0000",
        "003c",
        "atomic",
        "0" * 40 + " ",
        "1" * 40 + " ",
    }
    words |= {"<13>", "Nov 28 21:00:00 ", "sshd[1]: ", "\3\0\0\0\0\0\0\0abc\n"}
    for name in JAILS:
        words.update(argument for record in plan_of(name).records for argument in record.args if len(argument) < 24)
    escaped = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in sorted(words) if word)
    return "".join(f'"{text}"\n' for text in escaped)


def rows() -> Iterator[tuple[str, str]]:
    """Yield (jail, command) of every row of the command tables."""
    for table in (commands.SFTP_ROWS, commands.SCP_ROWS, commands.OTHER_ROWS, rsync_commands.RSYNC_ROWS):
        yield from ((jail, command) for jail, command, _ in table)
    yield from (("backup", f"rsync --server {options} . backup/x") for options in rsync_commands.PUSHED)
    yield from (("pull", f"rsync --server --sender {options} . /srv/data/x") for options in rsync_commands.PULLED)


def seeds() -> dict[str, set[bytes]]:
    """Return the inputs to begin with, by target."""
    plans = {path.name: path.read_bytes() for path in GOLDEN.glob("*.plan")}
    bad = json.loads((GOLDEN / "bad.json").read_text())
    good = [data for name, data in plans.items() if name not in bad]
    small = {name: codec.encode(plan_of(name)) for name in JAILS}
    index = {name: bytes([number]) for number, name in enumerate(JAILS)}
    key, inside = bytes([len(JAILS) + 1]), bytes([len(JAILS) + 2 | 0x80])
    pairs = [(jail, command.encode()) for jail, command in rows() if len(command) < TARGETS["match"]]
    return {
        "plan": {data for data in plans.values() if len(data) <= TARGETS["plan"]},
        "request": {command for _, command in pairs} | {b"\xffx " + b" x" * 20, b"\xff" + b"x" * 1100},
        "match": {index[jail] + command for jail, command in pairs}
        | {index["shell"], index["git"], inside}
        | {inside + command.encode() for command in tree.COMMANDS}
        | {
            key + command
            for command in (b"git-receive-pack 'a'", b"git-receive-pack b/c.git", b"git-lfs-authenticate x")
        },
        "key": _logins(),
        "table": _tables(),
        "record": _messages(),
        "refs": _pushes(),
        "both": {small[jail] + command for jail, command in pairs if len(small[jail]) < 2500}
        | {data + b"copy -aB 3 --size=1 . x" for data in good}
        | set(good),
    }


def _tables() -> set[bytes]:
    """Return tables of the PAM module, and some that it does not take."""
    rows = b"min-uid 1000\ngroup jailssh\ngroup stu\nthrough xdm\ninside cron\n"
    good = b"jailssh-pam 1\n" + rows + b"end\n"
    bad = [good[:-1], good[:-4], good + b"x", good.replace(b"1000", b"x"), good.replace(b"stu", b"s u"), rows]
    return {good, good.replace(b" 1\n", b" 2\n"), good.replace(b"group", b"gruop"), *bad}


def _messages() -> set[bytes]:
    """Return what fuzz_record.c takes: a byte that chooses, and what a program in a jail logs."""

    def long(name: bytes, value: bytes) -> bytes:
        return name + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"

    text = "a\n\x1b[2J\x85 grün €😀 ".encode() + b"\0\xff\xed\xa0\x80"
    lines = [
        b"<13>Nov 28 21:00:00 cron[12]: a job\n",
        b"<8>/x\ty: z",
        b"<999>x: y",
        b"plain",
        b"",
        text,
        b"<14>" + text,
    ]
    fields = [b"MESSAGE=a\nPRIORITY=0\nSYSLOG_FACILITY=10\n", b"SYSLOG_IDENTIFIER=sshd[1]: x\n", long(b"MESSAGE", text)]
    fields += [name + b"=root\n" for name in MEANT] + [long(b"GOOD", text), long(b"_UID", b"0"), b"lower=x\n"]
    entries = [
        b"".join(fields),
        b"\n\n".join(fields),
        *fields,
        b"A=\n" * 64,
        b"A=\n" * 65,
        b"A=\n\n" * 256,
        b"A=\n\n" * 257,
    ]
    bad = [
        b"MESSAGE\n",
        long(b"MESSAGE", b"abc")[:-1],
        b"A=1\nB",
        b"MESSAGE=" + "€".encode() * 80,
        "<13>x: ü".encode() * 30,
    ]
    whole = {bytes([number % 2]) + message for number, message in enumerate([*lines, *entries, *bad])}
    return whole | {b"\2" + lines[0], b"\4" + entries[1], b"\6" + entries[1]}  # one of the records finds no room


def _pushes() -> set[bytes]:
    """Return what fuzz_refs.c takes: a byte that chooses the repository, the plan's lines, and what git sends."""

    def pkt(text: str) -> bytes:
        return b"%04x%s" % (len(text) + 4, text.encode())

    none, old, new, other = ("0" * 40, "1" * 40, "1" + "2" * 39, "3" * 40)
    names = ["refs/x", "refs/tags/v1", "refs/tags/w", *(f"refs/heads/{name}" for name in (
        "main", "alias", "away", "loop", "odd", "wip/a", ".a", "a.lock", "a b", "n" * 300,
    ))]  # fmt: skip
    moves = [f"{a} {b}" for a, b in ((none, new), (old, none), (old, new), (old, other))]
    lines = [f"{right} /{repo} refs/{ref}" for right, repo, ref in (
        ("push", "r/x", "heads/**"), ("rewind", "r/*", "heads/w*/*"), ("create", "**", "**"),
        ("delete", "r/x.git", "*/*a*"), ("deny", "r/*", "tags/v*"), ("create", "dev/null", "**"),
        ("create", "r/team/y", "tags/v*"), ("push", "r/x", "tags/w"),
    )]  # fmt: skip
    head, flush = pkt("version=1\0 push-options atomic\n"), b"0000"
    heads = [head, head.replace(b" atomic", b" atomis"), head.replace(b"=1", b"=2")]
    wires = [head + flush + pkt(f"{move} {name}") + flush for move in moves for name in names]
    wires += [each + flush + b"".join(pkt(f"{moves[0]} {name}\n") for name in names[:7]) + flush for each in heads]
    wires += [
        wires[0][:-4],
        wires[0] + wires[0],
        head + flush + 2 * pkt(f"{moves[0]} {names[0]}") + flush,
        b"000",
        b"fff0",
    ]
    plans = [
        "\n".join(lines),
        *lines,
        "ruled /r/x",
        "ruled /s",
        "",
        "allow /r/x refs/x",
        "push /r/x",
        "push",
        "create /*** refs/x",
    ]
    both = "\n".join(lines[:3]) + "\0" + "\n".join(lines[3:])
    found = {bytes([0]) + plan.encode() + b"\0\0" + wires[0] for plan in plans}
    found |= {bytes([number]) + both.encode() + b"\0" + wires[0] for number in range(6)}
    return found | {bytes([0]) + both.encode() + b"\0" + each for each in wires} | {b"", b"\0"}


def _logins() -> set[bytes]:
    """Return what fuzz_key.c takes: a byte and a certificate, or a byte and what sshd tells."""
    authority, key = b"certificate!", "publickey ssh-ed25519 QUFBQUFBQUFBQUFB\n"
    found = [
        bytes([number]) + Certificate(principals, authority, kind).blob()
        for number, kind in enumerate(PARTS)
        for principals in ([b"alice"], [b"x", b"bob", b"alice"], [])
    ]
    lines = [key, key * 2, key + key.replace("FB", "FC"), "password\n" + key, Certificate(authority=authority).line()]
    return {*found, *(bytes([len(PARTS)]) + line.encode() for line in lines)}


def run(program: Path, corpus: Path, seconds: int, *options: str) -> subprocess.CompletedProcess[bytes]:
    """Fuzz one target; findings are written beside ``corpus``."""
    target = program.name
    words = program.with_suffix(".dict")
    words.write_text(dictionary())
    command = [
        program, corpus, f"-max_total_time={seconds}", f"-max_len={TARGETS[target]}", "-timeout=10", f"-dict={words}",
        "-rss_limit_mb=1024", "-print_final_stats=1", f"-artifact_prefix={corpus.parent}/{target}-", *options,
    ]  # fmt: skip
    return subprocess.run(list(map(str, command)), capture_output=True, timeout=seconds + 120)


def _write(folder: Path, inputs: Iterable[bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for data in inputs:
        (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def _minimised(program: Path, folder: Path, inputs: set[bytes], seconds: int) -> list[bytes]:
    """Return a small set of inputs that reaches what ``inputs`` and ``seconds`` of fuzzing from them reach."""
    grown, small = folder / f"{program.name}-grown", folder / f"{program.name}-small"
    _write(grown, inputs)
    if seconds:
        done = run(program, grown, seconds, "-reduce_inputs=1")
        assert done.returncode == 0, done.stderr.decode(errors="replace")
    small.mkdir()
    command: list[str | Path] = [program, "-set_cover_merge=1", f"-max_len={TARGETS[program.name]}", small, grown]
    subprocess.run(command, check=True, capture_output=True)
    return [path.read_bytes() for path in small.iterdir()]


def main() -> None:
    """Write the corpus."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minimise", type=int, metavar="SECONDS", default=0)
    parser.add_argument("targets", nargs="*", metavar="TARGET", default=list(TARGETS), help="only these")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        programs = build(Path(name))
        for target, inputs in ((target, found) for target, found in seeds().items() if target in given.targets):
            old = {path.read_bytes() for path in (CORPUS / target).glob("*")}
            kept = _minimised(programs[target], Path(name), inputs | old, given.minimise)
            shutil.rmtree(CORPUS / target, ignore_errors=True)
            _write(CORPUS / target, kept)
            print(f"{target}: {len(kept)} inputs, {sum(map(len, kept))} bytes")


if __name__ == "__main__":
    main()
