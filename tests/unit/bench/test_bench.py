"""The arithmetic and the table of the benchmark, on made-up numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench import page, policy
from tests.bench.__main__ import PARTS
from tests.bench.figures import Goal, Row, as_json, missed, ratio, table, timed_row, timed_rows

SPENT = {"plain": [1.0, 1.0, 9.0], "jailkit": [4.0, 3.0, 5.0], "bwrap": [8.0, 8.0], "jailssh": [2.0, 3.0, 1.0]}
LIMITS = {"jailssh": {"jailkit": 0.6, "bwrap": 0.2}}


def test_ratio_is_of_medians() -> None:
    assert ratio(SPENT["jailssh"], SPENT["jailkit"]) == 0.5
    assert ratio([1.0, 2.0], [3.0]) == 0.5


def test_rows() -> None:
    rows = {row.name: row for row in timed_rows("login", SPENT, LIMITS)}
    assert list(rows) == ["login: plain", "login: jailkit", "login: bwrap", "login: jailssh"]
    assert (rows["login: plain"].median, rows["login: plain"].least) == (1.0, 1.0)
    assert rows["login: jailkit"].ratios == {"plain": 4.0, "bwrap": 0.5}
    assert rows["login: jailssh"].ratios == {"plain": 2.0, "jailkit": 0.5, "bwrap": 0.25}
    assert not rows["login: plain"].goals


def test_goals() -> None:
    rows = timed_rows("login", SPENT, LIMITS)
    assert [(goal.text, goal.value, goal.limit) for goal in missed(rows)] == [("login: jailssh / bwrap", 0.25, 0.2)]
    assert Goal("as much as it may be", 5.0, 5.0).met


def test_a_row_of_its_own_has_its_median_as_goal() -> None:
    row = timed_row("update", [30.0, 10.0, 20.0], 19.0)
    assert (row.median, row.least, row.unit) == (20.0, 10.0, "ms")
    assert missed([row]) == [Goal("update (ms)", 20.0, 19.0)]


def test_a_program_without_peers_has_no_ratio() -> None:
    (row,) = timed_rows("ssh", {"jailssh": [2.0]})
    assert row.ratios == {}


@pytest.mark.parametrize("word", ["login: jailssh", "0.25 <= 0.2", "NOT MET", "0.50 <= 0.6"])
def test_table(word: str) -> None:
    assert word in table(timed_rows("login", SPENT, LIMITS))


def test_columns_of_the_table_are_aligned() -> None:
    lines = table([Row("a", 1.0, "ms", 0.5, {"plain": 2.0}), Row("longer", 100.0, "KiB")]).splitlines()
    assert len(lines) == 3
    assert [line.index(unit) for line, unit in zip(lines, ("unit", "ms", "KiB"), strict=True)] == [29, 29, 29]


def test_json() -> None:
    rows = json.loads(json.dumps(as_json(timed_rows("login", SPENT, LIMITS))))
    assert rows[3]["name"] == "login: jailssh"
    assert rows[3]["goals"][1] == {"what": "login: jailssh / bwrap", "value": 0.25, "limit": 0.2, "met": False}


def test_the_page_shows_the_last_figures() -> None:
    text = page.PAGE.read_text()
    assert page.replaced(text) == text, "run: python -m tests.bench --page, or give latest.json back"
    known = json.loads(page.LATEST.read_text())
    assert set(known) <= set(PARTS)
    assert all(f"| {row['name']} |" in text for part in known.values() for row in part["rows"])


@pytest.mark.needs("gcc")
def test_the_program_that_decides_has_all_of_the_matcher(tmp_path: Path) -> None:
    assert policy.decide(tmp_path).exists()
