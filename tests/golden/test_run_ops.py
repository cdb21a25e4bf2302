"""plan/run_ops.py and login/run_ops.h hold the same verbs, and none of them is a login's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jailssh.core.errors import ConfigError
from jailssh.plan import ops, run_ops
from jailssh.plan.codec import decode
from tests.harness.verbs import LETTERS, ROW

LOGIN = Path(__file__).resolve().parents[2] / "jailssh/login"
SOURCE = (LOGIN / "run_ops.h").read_text()
MINIMAL = Path(__file__).with_name("minimal.plan").read_bytes()


def test_same_verbs_kinds_phases_and_order() -> None:
    in_c = [(verb, kinds, int(phase), once == "1") for _, verb, kinds, phase, once in ROW.findall(SOURCE)]
    in_python = [
        (verb.name, "".join(LETTERS[kind] for kind in verb.fields), verb.phase, verb.once) for verb in run_ops.VERBS
    ]
    assert in_c == in_python
    assert all(name == verb.upper().replace("-", "_") for name, verb, *_ in ROW.findall(SOURCE))
    assert f'#define RUN_MAGIC "{run_ops.MAGIC}"' in SOURCE


def test_same_verbs_are_shared_with_logins() -> None:
    found = re.search(r"plan_parse_run\(char.*?shared\[\] = \{(.*?)\}", (LOGIN / "plan.c").read_text(), re.DOTALL)
    assert found
    in_c = [word.removeprefix("OP_").lower() for word in re.findall(r"OP_[A-Z_]+", found[1])]
    assert in_c == [*run_ops.SHARED, "count"]


def test_none_is_a_logins() -> None:
    assert {verb.name for verb in run_ops.VERBS}.isdisjoint(ops.BY_NAME)
    assert run_ops.MAGIC != ops.MAGIC


@pytest.mark.parametrize("verb", run_ops.VERBS, ids=lambda verb: verb.name)
def test_a_login_does_not_read_it(verb: ops.Verb) -> None:
    values = {"path": "/x", "uint": "1", "text": "x", "name": "x", "int:1:9223372036854775807": "1"}
    args = [values.get(kind, kind.removeprefix("enum:").split(",")[0]) for kind in verb.fields]
    tokens = MINIMAL.split(b"\0")
    count = tokens.index(b"rule")
    tokens[count:count] = [word.encode() for word in (verb.name, *args)]
    tokens[6] = str(int(tokens[6]) + 1).encode()
    with pytest.raises(ConfigError, match="unknown verb"):
        decode(b"\0".join(tokens))
