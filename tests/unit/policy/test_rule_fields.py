"""The table of a rule's fields, against the rule itself and what is made from it."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from typing import Any

import pytest

from jailssh.plan import ops
from jailssh.policy.rule_fields import RULE_FIELDS, RuleField
from jailssh.policy.rules import Rule, rule_records

BARE = Rule("a.one", "a", "/usr/bin/prog", ())
# A value of each type that a field has, and the records of it, without their verb.
VALUES: dict[str, tuple[Any, list[tuple[str, ...]]]] = {
    "bool": (True, [()]),
    "str": ("/x", [("/x",)]),
    "tuple[str, ...]": (("x", "y"), [("x",), ("y",)]),
    "tuple[str, str] | None": (("e", "text"), [("e", "text")]),
    "tuple[tuple[str, str], ...]": ((("x", "text"), ("y", "flag")), [("x", "text"), ("y", "flag")]),
    "tuple[tuple[str, bool], ...]": ((("/x", True), ("/y", False)), [("/x", "rw"), ("/y", "ro")]),
    "tuple[int, int, str]": ((0, 2, "text"), [("0", "2", "text")]),
    "tuple[int, str] | None": ((0, ""), [("0", "")]),
}
OF_ONE = [row for row in RULE_FIELDS if len(row.fields) == 1]


def test_each_field_of_a_rule_has_one_row_in_the_order_of_the_plan() -> None:
    of_rows = [name for row in RULE_FIELDS for name in row.fields]
    assert sorted(of_rows) == sorted(field.name for field in fields(Rule))
    optional = [field.name for field in fields(Rule) if field.default is not MISSING]
    assert [name for name in of_rows if name in optional] == optional
    assert [row.phase for row in RULE_FIELDS] == list(range(ops.RULE_PHASE, ops.RULE_PHASE + len(RULE_FIELDS)))
    assert len({row.verb for row in RULE_FIELDS}) == len(RULE_FIELDS)


@pytest.mark.parametrize("row", OF_ONE, ids=lambda row: row.verb)
def test_what_a_field_holds_stands_in_the_plan(row: RuleField) -> None:
    (name,) = row.fields
    value, expected = VALUES[{field.name: str(field.type) for field in fields(Rule)}[name]]
    empty = list(rule_records(replace(BARE, **{name: BARE.__dict__[name]})))
    found = list(rule_records(replace(BARE, **{name: value})))
    assert [record[1:] for record in found if record[0] == row.verb] == expected
    assert [record for record in found if record[0] != row.verb] == [each for each in empty if each[0] != row.verb]
    assert row.once == (len(expected) == 1)
    assert all(len(arguments) == len(row.kinds) for arguments in expected)


def test_only_three_records_are_there_for_a_bare_rule() -> None:
    assert list(rule_records(BARE)) == [
        ("rule", "a.one", "a", "/usr/bin/prog"),
        ("argv0", "prog"),
        ("operands", "0", "0", "text"),
    ]


def test_the_verbs_of_the_plan_are_those_of_the_table() -> None:
    verbs = [verb for verb in ops.VERBS if verb.phase >= ops.RULE_PHASE]
    assert [(verb.name, verb.fields, verb.once) for verb in verbs] == [
        (row.verb, row.kinds, row.once) for row in RULE_FIELDS
    ]
