"""The two halves of the plan's contract: plan/ops.py and login/plan_ops.h hold the same verbs."""

from __future__ import annotations

import re
from pathlib import Path

from jailssh.plan import ops
from tests.harness.verbs import LETTERS, ROW

SOURCE = (Path(__file__).resolve().parents[2] / "jailssh/login/plan_ops.h").read_text()


def test_same_verbs_kinds_phases_and_order() -> None:
    in_c = [(verb, kinds, int(phase), once == "1") for _, verb, kinds, phase, once in ROW.findall(SOURCE)]
    in_python = [
        (verb.name, "".join(LETTERS[kind] for kind in verb.fields), verb.phase, verb.once) for verb in ops.VERBS
    ]
    assert in_c == in_python


def test_identifiers_are_the_verbs_names() -> None:
    assert all(name == verb.upper().replace("-", "_") for name, verb, *_ in ROW.findall(SOURCE))


def test_same_bounds() -> None:
    defines = dict(re.findall(r"#define (PLAN_[A-Z_]+) (.+)", SOURCE))
    assert defines["PLAN_MAGIC"] == f'"{ops.MAGIC}"'
    assert defines["PLAN_VERSION"] == f'"{ops.VERSION}"'
    assert defines["PLAN_MAX_SIZE"] == f"(1u << {ops.MAX_SIZE.bit_length() - 1})"
    assert ops.MAX_SIZE.bit_count() == 1
    assert int(defines["PLAN_MAX_RECORDS"].rstrip("u")) == ops.MAX_RECORDS
    assert int(defines["PLAN_MAX_TOKEN"].rstrip("u")) == ops.MAX_TOKEN
    assert int(defines["PLAN_MAX_GROUPS"].rstrip("u")) == ops.MAX_GROUPS
    assert int(defines["PLAN_RULE_PHASE"]) == ops.RULE_PHASE
