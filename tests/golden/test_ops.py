"""The two halves of the plan's contract: plan/ops.py and login/plan_ops.h hold the same verbs."""

from __future__ import annotations

import re
from pathlib import Path

from jailssh.plan import ops

SOURCE = (Path(__file__).resolve().parents[2] / "jailssh/login/plan_ops.h").read_text()
ROW = re.compile(r'OP\(([A-Z0-9_]+), "([a-z0-9-]+)", "([A-Za-z]*)", (\d+), ([01])\)')
LETTERS = {
    "name": "n", "path": "p", "uint": "u", "octal": "o", "env": "e", "text": "t", "hex": "h", "letter": "l",
    "letters": "L", "class": "c", "base64": "b", "address": "a", "accepted": "E", "int:1:2147483647": "g",
    "int:0:19": "k", "int:1:999999": "s", "int:1:31622400": "d", "int:1:9223372036854775807": "z", "int:1:127": "D",
    "int:0:1440": "M", "int:-86400:86400": "S", "int:0:1024": "O", "enum:0,126": "A", "enum:allow,require": "j",
    "enum:no,yes": "y", "enum:none,host,loopback,account": "N",
    "enum:ro,rw": "w", "enum:exec,noexec": "x", "enum:user,root": "U", "enum:must,optional,make": "m",
    "enum:as,core,cpu,data,fsize,memlock,nofile,nproc,stack": "r",
}  # fmt: skip


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
