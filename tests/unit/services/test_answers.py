"""Questions about paths that may never be answered: told after a bounded time, and the others go on."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from jailssh.core.errors import HostError
from jailssh.host.bounded import NoAnswerError
from jailssh.host.paths import Layout
from jailssh.integrity.kept import Kept
from jailssh.jail import writable
from jailssh.jail.writable import Directories, Writer
from jailssh.services.answers import PATIENCE, Answers


def question(path: str, what: str) -> bytes:
    if path.startswith("/hangs"):
        time.sleep(60)
    if path == "/ends":
        os._exit(1)
    return os.fsencode(f"{what} {path} {os.getpid()}")


def test_one_process_answers_many_questions() -> None:
    answers = Answers(question)
    first, second = answers.ask("/a\udcff", "x").split(), answers.ask("/b").split()
    assert (first[:2], second[0]) == ([b"x", b"/a\xff"], b"/b")
    assert first[2] == second[1] != str(os.getpid()).encode()


def test_one_that_hangs_or_ends_takes_no_other_down() -> None:
    answers = Answers(question, 0.5)
    with pytest.raises(NoAnswerError, match="no answer within"):
        answers.ask("/hangs")
    with pytest.raises(NoAnswerError, match="not looked at"):
        answers.ask("/hangs/below")
    with pytest.raises(HostError, match="ended"):
        answers.ask("/ends")
    assert answers.ask("/a").startswith(b" /a ")


def test_patience_has_an_end() -> None:
    answers = Answers(question, 0.01)
    for number in range(PATIENCE):
        with pytest.raises(NoAnswerError, match="no answer within"):
            answers.ask(f"/hangs{number}")
    with pytest.raises(NoAnswerError, match="not looked at"):
        answers.ask("/a")


def test_a_directory_that_does_not_answer_is_told_and_taken_to_be_writable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writable, "_owned", lambda path: time.sleep(60) if path == "/dead" else (5, 5, 0o755))
    host = Directories()
    host._answers = Answers(writable._looked_at, 0.5)
    writer = Writer("al", "al", 1000, frozenset({1000}))
    assert [host.can_write(writer, path) for path in ("/dead", "/else")] == [True, False]
    assert list(host.silent) == ["/dead"]


def test_nothing_is_kept_that_rests_on_a_directory_without_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = Kept(Layout(root=str(tmp_path)), full=True)
    assert facts.watched("a", "b", "", lambda: (1, ["/"])) == 1
    monkeypatch.setattr(facts, "_answers", Answers(question, 0.5))
    with pytest.raises(HostError, match="no answer"):
        facts.watched("a", "c", "", lambda: (1, ["/hangs"]))
    assert "c" not in facts._new["a"]
