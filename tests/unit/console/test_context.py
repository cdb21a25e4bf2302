"""Questions: nobody who can be asked is no consent, whatever the verb."""

from __future__ import annotations

import os
import pty
import sys

import pytest

from jailssh.console.context import Context
from jailssh.core.errors import UsageError
from jailssh.host.paths import Layout

QUESTION = "alice has a crontab\nPut the existing account alice into a jail?"


def test_without_a_terminal_a_question_is_shown_and_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with open(os.devnull) as nothing, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", nothing)
        with pytest.raises(UsageError) as refused:
            Context(Layout(), verb="adduser").confirm(QUESTION)
    assert capsys.readouterr().err == f"{QUESTION}\n"
    assert refused.value.lines() == [
        "jailssh: adduser: no terminal for the question; nothing changed",
        "hint: repeat the command with --yes",
    ]


def test_yes_is_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert Context(Layout(), yes=True).confirm(QUESTION)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("said", "answer"), [("y\n", True), ("YES\n", True), ("\n", False), ("no\n", False)])
def test_on_a_terminal_the_answer_counts(said: str, answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, said.encode())
    with open(theirs) as stdin, open(os.dup(theirs), "w") as stderr:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stderr", stderr)
        assert Context(Layout()).confirm(QUESTION) is answer
        monkeypatch.undo()
    os.close(ours)
