"""Every refusal of the login program's source is met by a row of the tests' table, or said to be out of reach."""

from __future__ import annotations

from pathlib import Path

from tests.harness.refusals import all_places, places_in
from tests.root.refusal_rows import ROWS, UNREACHABLE

SAMPLE = """
noreturn void refuse(enum reason reason, const char *what, int error)
{
}

/* refuse(R_NO, "a comment", 0); */
static int
old(int x)
{
    if (x)
        refuse(R_SETUP, "one, (two)", errno); // refuse(R_NO, "nor this", 0);
    refuse(R_SETUP,
           "one, (two)", 0);
}

int second(void)
{
    if (f())
        refuse(R_PLAN, *why ? why : "still missing", 0);
    refuse(R_X, args[0], g(1, 2));
}
"""


def test_each_is_met() -> None:
    places = {place.name for place in all_places()}
    met = {row.place for row in ROWS}
    assert len(places) > 50
    assert sorted(places - met - set(UNREACHABLE)) == [], "refusals that no row of tests/root/refusal_rows.py meets"
    assert sorted(met - places) == [], "rows for refusals that the source does not have"


def test_what_is_out_of_reach() -> None:
    places = {place.name for place in all_places()}
    assert sorted(set(UNREACHABLE) - places) == []
    assert sorted(set(UNREACHABLE) & {row.place for row in ROWS}) == [], "it can be met"
    assert all(UNREACHABLE.values())


def test_rows_have_names_of_their_own() -> None:
    names = [row.name() for row in ROWS]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_the_reader_finds_them() -> None:
    found = [place.name for place in places_in(Path("x.c"), SAMPLE)]
    assert found == ["old: one, (two)", "old: one, (two) #2", "second: why", "second: still missing", "second: args[0]"]
