"""Results of a suite as name to word, and what differs between two accounts, each with its reason."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

OK, FAIL, SKIP, ABSENT = "ok", "fail", "skip", "absent"
Results = Mapping[str, str]

_TAP = re.compile(r"(not )?ok (\d+)(?: - )?(.*?)(?: ?# (\w+)\b ?(.*?)(?: \(missing .*)?)?")
_LINE = re.compile(r"(PASS|XFAIL|FAIL|SKIP) +([\w.-]+)(?: \(.*)?")
_WORDS = {"PASS": OK, "FAIL": FAIL, "XFAIL": FAIL, "SKIP": SKIP}


@dataclass(frozen=True)
class Difference:
    """A test that ends in another way in the jail."""

    suite: str
    test: str
    free: str
    jailed: str

    def __str__(self) -> str:
        return f"{self.test}: {self.free}, in the jail {self.jailed}"


@dataclass(frozen=True)
class Reason:
    """Why tests of a suite end in another way in the jail: ``tests`` are patterns of names, as for a shell."""

    suite: str
    tests: tuple[str, ...]
    jailed: str
    why: str

    def explains(self, difference: Difference, pattern: str) -> bool:
        """True if the difference is one of ``pattern``, which is one of ours."""
        fits = self.suite == difference.suite and self.jailed == difference.jailed
        return fits and fnmatchcase(difference.test, pattern)


@dataclass(frozen=True)
class Judged:
    """Differences by reason, those that have none, and the patterns of the table that nothing needs."""

    explained: Mapping[str, Sequence[Difference]]
    unexplained: Sequence[Difference]
    unused: Sequence[str]

    @property
    def good(self) -> bool:
        """True if table and results are the same."""
        return not self.unexplained and not self.unused


def compare(suite: str, free: Results, jailed: Results) -> list[Difference]:
    """Return what differs; a test that one of both does not name is "absent" there."""
    rows = [Difference(suite, name, free.get(name, ABSENT), jailed.get(name, ABSENT)) for name in {**free, **jailed}]
    return [row for row in rows if row.free != row.jailed]


def judge(suite: str, differences: Sequence[Difference], reasons: Sequence[Reason]) -> Judged:
    """Hold the differences of a suite against its rows of the table."""
    explained: dict[str, list[Difference]] = {}
    left = list(differences)
    unused = []
    for reason in (each for each in reasons if each.suite == suite):
        for pattern in reason.tests:
            found = [each for each in left if reason.explains(each, pattern)]
            explained.setdefault(reason.why, []).extend(found)
            left = [each for each in left if each not in found]
            if not found:
                unused.append(f"{pattern}: {reason.jailed} in the jail: {reason.why}")
    return Judged(explained, left, unused)


def from_junit(text: str) -> dict[str, str]:
    """Read the XML that CPython's own runner writes."""
    found = {}
    for case in ElementTree.fromstring(text).iter("testcase"):  # it is our own account's
        kinds = {child.tag for child in case}
        word = FAIL if kinds & {"failure", "error"} else SKIP if "skipped" in kinds else OK
        found[case.get("name", "")] = word
    return found


def from_tap(text: str) -> dict[str, str]:
    """Read "ok 1 - what", "not ok 2 - what" and "ok 3 # skip why"; what is marked in another way counts as skipped."""
    found = {}
    for row in filter(None, map(_TAP.fullmatch, text.splitlines())):
        word = SKIP if row[4] else FAIL if row[1] else OK
        found[f"{row[2]} {row[3] or row[5]}"] = word
    return found


def from_lines(text: str) -> dict[str, str]:
    """Read "PASS name", "FAIL name" and "SKIP name"."""
    rows = filter(None, map(_LINE.fullmatch, text.splitlines()))
    return {row[2]: _WORDS[row[1]] for row in rows}
