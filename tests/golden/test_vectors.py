"""The golden vectors: generated again they are the same, and the Python reader takes and refuses what it must."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from jailssh.core.errors import JailsshError
from jailssh.plan import codec, ops

HERE = Path(__file__).resolve().parent
BAD: dict[str, dict[str, str]] = json.loads((HERE / "bad.json").read_text())
GOOD = sorted(path.stem for path in HERE.glob("*.plan") if path.name not in BAD)


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_generate", HERE / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generating_again_gives_the_same_bytes() -> None:
    wanted = generator().outputs()
    present = {path.name: path.read_bytes() for path in HERE.iterdir() if path.suffix in (".plan", ".txt", ".json")}
    assert sorted(present) == sorted(wanted)
    assert [name for name in wanted if wanted[name] != present[name]] == []


@pytest.mark.parametrize("name", GOOD)
def test_good_plans(name: str) -> None:
    data = (HERE / f"{name}.plan").read_bytes()
    plan = codec.decode(data)
    assert codec.encode(plan) == data
    assert codec.show(plan) == (HERE / f"{name}.txt").read_text().splitlines()


def test_the_good_plans_have_every_verb() -> None:
    plans = [codec.decode((HERE / f"{name}.plan").read_bytes()) for name in GOOD]
    every = {record.verb for plan in plans for record in plan.records}
    assert every == {verb.name for verb in ops.VERBS}


@pytest.mark.parametrize("name", sorted(BAD))
def test_bad_plans(name: str) -> None:
    with pytest.raises(JailsshError) as caught:
        codec.decode((HERE / name).read_bytes())
    assert BAD[name]["python"] in str(caught.value)


def test_the_reasons_in_c_are_those_of_the_reader() -> None:
    source = (HERE.parents[1] / "jailssh/login/plan.c").read_text()
    assert [row["c"] for row in BAD.values() if f'"{row["c"]}"' not in source] == []


def test_every_cut_and_every_flipped_byte_of_a_plan_is_refused_or_reads_as_something_else() -> None:
    data = (HERE / "full.plan").read_bytes()
    plan = codec.decode(data)
    for size in range(len(data)):
        with pytest.raises(JailsshError):
            codec.decode(data[:size])
    for index in range(0, len(data), 7):
        changed = data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]
        try:
            other = codec.decode(changed)
        except JailsshError:
            continue
        assert other != plan
        assert codec.encode(other) == changed
