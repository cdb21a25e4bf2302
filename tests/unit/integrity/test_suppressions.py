"""Suppressions: what they cover, until when, and every way in which the file can be wrong."""

from __future__ import annotations

import datetime

import pytest

from jailssh.core.errors import JailsshError
from jailssh.integrity import suppressions
from jailssh.integrity.finding import Finding, Kind, Severity

KIND = Kind("JSH-105", Severity.HIGH, "title", "Why.", "cure")
TODAY = datetime.date(2026, 11, 28)
RIGHT = 'reason = "ours"\nuntil = 2027-01-31\n'


def read(text: str) -> tuple[list[suppressions.Suppression], list[JailsshError]]:
    errors: list[JailsshError] = []
    try:
        return suppressions.read(text.encode(), "f", errors), errors
    except JailsshError as error:
        return [], [error]


def covers(section: str, finding: Finding, until: str = "2027-01-31") -> bool:
    found, errors = read(f"[{section}]\nreason = r\nuntil = {until}\n")
    assert not errors
    return bool(suppressions.apply(found, [finding], TODAY).suppressed)


@pytest.mark.parametrize(
    ("section", "path", "expected"),
    [
        ("JSH-105", "/srv/j1/g", True),
        ("JSH-105 account alice", "/srv/j1/g", True),
        ("JSH-105 account bob", "/srv/j1/g", False),
        ("JSH-105 /srv/j1/g", "/srv/j1/g", True),
        ("JSH-105 /srv/j1/g", "/srv/j1/g/deeper", True),
        ("JSH-105 /srv/j1/g", "/srv/j1/gw", False),  # a path ends at a component
        ("JSH-105 /", "/srv", True),
        ("JSH-104 /srv/j1/g", "/srv/j1/g", False),
    ],
)
def test_what_is_covered(section: str, path: str, expected: bool) -> None:
    assert covers(section, Finding(KIND, "account alice", "w", path=path)) is expected


@pytest.mark.parametrize(("until", "expected"), [("2026-11-27", False), ("2026-11-28", True), ("2030-01-01", False)])
def test_it_ends(until: str, expected: bool) -> None:
    assert covers("JSH-105", Finding(KIND, "account alice", "w"), until) is expected


def test_what_has_ended_and_what_is_not_needed_is_told() -> None:
    found, _ = read(f"[JSH-105 x]\n{RIGHT}[JSH-106]\nreason = r\nuntil = 2020-01-01\n")
    result = suppressions.apply(found, [], TODAY)
    assert [each.place for each in result.unused] == ["x"]
    assert [each.id for each in result.past] == ["JSH-106"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("until = 2027-01-31\n", "stands outside of a section"),
        (f"[JSH]\n{RIGHT}", "is not the id of a finding"),
        (f"[/etc]\n{RIGHT}", "is not the id of a finding"),
        ("[JSH-105]\nuntil = 2027-01-31\n", "reason is missing"),
        ("[JSH-105]\nreason = \nuntil = 2027-01-31\n", "reason is missing"),
        ("[JSH-105]\nreason = r\n", "until is missing"),
        ("[JSH-105]\nreason = r\nuntil = soon\n", "is not a day"),
        ("[JSH-105]\nreason = r\nuntil = 2027-02-30\n", "is not a day"),
        (f"[JSH-105]\n{RIGHT}more = 1\n", "unknown setting"),
        (f"[JSH-105 /etc/../x]\n{RIGHT}", "without '..'"),
        (f"[JSH-105 /etc/]\n{RIGHT}", "without '..'"),
        (f"[JSH-105]\n{RIGHT}[JSH-105]\n{RIGHT}", "duplicate"),
        ("[JSH-105\n", "neither a setting nor a section"),
        ("\x00", "is not a configuration file"),
    ],
)
def test_every_mistake_is_told_and_hides_nothing(text: str, why: str) -> None:
    found, errors = read(text)
    assert found == []
    assert any(why in line for error in errors for line in error.lines())


def test_the_right_ones_hold_beside_a_wrong_one() -> None:
    found, errors = read(f"[JSH-1]\n{RIGHT}[JSH-105]\n{RIGHT}")
    assert [each.id for each in found] == ["JSH-105"]
    assert len(errors) == 1
