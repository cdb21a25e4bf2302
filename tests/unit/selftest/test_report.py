from __future__ import annotations

import pytest

from jailssh.selftest.report import Kind, Report, Row, Verdict, shown, worst

OK, WRONG, NOT = Verdict.OK, Verdict.WRONG, Verdict.NOT_TRIED


def report(*verdicts: Verdict) -> Report:
    rows = tuple(
        Row(f"x.{n}", "x", Kind.USE, "a use", "x", "exit 0", f"exit {n}", verdict) for n, verdict in enumerate(verdicts)
    )
    return Report("alice", "jail", "", "127.0.0.1 port 22", "now", rows, ("a note",))


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [((OK,), 0), ((OK, NOT), 2), ((NOT, WRONG, OK), 1), ((), 2)],
)
def test_the_exit_code_is_that_of_the_worst_row(verdicts: tuple[Verdict, ...], code: int) -> None:
    assert report(*verdicts).exit_code == code


def test_findings_come_before_what_could_not_be_tried() -> None:
    assert worst([report(NOT), report(WRONG), report(OK)]) == 1
    assert worst([report(OK), report(NOT)]) == 2
    assert worst([report(OK)]) == worst([]) == 0


def test_people_are_told_what_is_wrong_at_the_end_again() -> None:
    lines = list(report(OK, WRONG, NOT).lines())
    assert lines[0] == "selftest of alice, jail jail, by sshd at 127.0.0.1 port 22, now"
    assert lines[-3:] == [
        "wrong: x.1: a use: exit 1",
        "not-tried: x.2: a use: exit 2",
        "alice: 1 of 3 trials as expected, 1 wrong, 1 not tried",
    ]
    assert "  note: a note" in lines


def test_nothing_of_a_server_reaches_a_terminal_raw() -> None:
    assert shown(b"a\x1b[2J\n\n b\xff\x9b\n") == "a\\x1b[2J; b\\xff\\x9b"
    assert len(shown("x" * 100_000)) < 1000
