"""What python -m tests.suites makes of results and reasons: nothing is passed over."""

from __future__ import annotations

import pytest

from tests.suites.reasons import REASONS
from tests.suites.results import Difference, Reason, compare, from_junit, from_lines, from_tap, judge
from tests.suites.suites import SUITES

_REASON = Reason("s", ("a*",), "fail", "no such thing in a jail")


def test_a_test_that_one_account_does_not_name_differs() -> None:
    assert compare("s", {"a": "ok", "b": "ok"}, {"b": "ok", "c": "fail"}) == [
        Difference("s", "a", "ok", "absent"),
        Difference("s", "c", "absent", "fail"),
    ]


def test_a_difference_with_its_reason_is_good() -> None:
    judged = judge("s", [Difference("s", "ab", "ok", "fail")], [_REASON])
    assert judged.good
    assert list(judged.explained) == [_REASON.why]


@pytest.mark.parametrize(
    "difference",
    [Difference("s", "b", "ok", "fail"), Difference("s", "ab", "ok", "skip"), Difference("s", "ab", "ok", "absent")],
)
def test_a_difference_without_a_reason_is_bad(difference: Difference) -> None:
    judged = judge("s", [Difference("s", "a", "ok", "fail"), difference], [_REASON])
    assert not judged.good
    assert judged.unexplained == [difference]


def test_a_reason_without_a_difference_is_bad() -> None:
    judged = judge("s", [], [_REASON, Reason("other", ("a",), "fail", "why")])
    assert not judged.good
    assert len(judged.unused) == 1


def test_results_are_read() -> None:
    assert from_lines("PASS a\nnoise\nFAIL b\nSKIP c (why not)\nXFAIL d\n") == {
        "a": "ok", "b": "fail", "c": "skip", "d": "fail",
    }  # fmt: skip
    tap = "ok 1 - one\nnot ok 2 - two\nok 3 # skip three (missing X)\nnot ok 4 - four # known breakage\n1..4\n"
    assert from_tap(tap) == {"1 one": "ok", "2 two": "fail", "3 three": "skip", "4 four": "skip"}
    junit = (
        "<s><testcase name='a'/><testcase name='b'><error/></testcase><testcase name='c'><skipped/></testcase>"
        "<testcase name='d'><failure/></testcase></s>"
    )
    assert from_junit(junit) == {"a": "ok", "b": "fail", "c": "skip", "d": "fail"}


def test_each_reason_is_of_a_suite() -> None:
    assert {reason.suite for reason in REASONS} <= {suite.name for suite in SUITES}
    assert all(reason.why and reason.tests for reason in REASONS)
