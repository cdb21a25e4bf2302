"""Questions in a process of their own: answered, not answered, ended, too long."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from jailssh.core.errors import HostError
from jailssh.files import fs
from jailssh.host import bounded


@pytest.mark.parametrize("answer", [b"", b"x", b"\n.", b"\0" * 300_000])
def test_an_answer_comes_whole(answer: bytes) -> None:
    assert bounded.ask("it", lambda: answer, 5, ended="ended") == answer


def test_none_in_time() -> None:
    began = time.monotonic()
    with pytest.raises(bounded.NoAnswerError, match=r"it: no answer within 0\.1 seconds"):
        bounded.ask("it", lambda: time.sleep(60) or b"", 0.1, ended="ended")  # type: ignore[func-returns-value]
    assert time.monotonic() - began < 5


def test_those_without_an_answer_do_not_add_up() -> None:
    """A service has so many tasks, and what has ended is one until somebody asks for it."""
    others = _children()
    for _ in range(4):
        with pytest.raises(bounded.NoAnswerError):
            bounded.ask("it", lambda: time.sleep(60) or b"", 0.1, ended="ended")  # type: ignore[func-returns-value]
    until = time.monotonic() + 5
    while _children() - others and time.monotonic() < until:
        assert bounded.ask("it", lambda: b"x", 5, ended="ended") == b"x"
    assert _children() <= others


def test_without_another_process_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that has all the tasks that it may have still has its descriptors when it has others again."""

    def fork() -> int:
        raise BlockingIOError(11, os.strerror(11))

    monkeypatch.setattr(os, "fork", fork)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(HostError, match="it: cannot start a process: resource temporarily unavailable"):
            bounded.ask("it", lambda: b"x", 5, ended="ended")
    assert len(os.listdir("/proc/self/fd")) == before


def _children() -> set[str]:
    """Return the processes of this one: other tests here have theirs."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.mark.parametrize("how", [lambda: os._exit(0), lambda: os.abort(), lambda: 1 // 0])
def test_a_process_that_ends_before(how: object, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HostError, match="it: ended early"):
        bounded.ask("it", how, 5, ended="ended early")  # type: ignore[arg-type]
    capfd.readouterr()


def test_too_much() -> None:
    with pytest.raises(HostError, match="too much data"):
        bounded.ask("it", lambda: b"x" * (bounded.MAX_ANSWER + 1), 5, ended="ended")


def test_a_process_that_hangs_keeps_no_lock(tmp_path: Path) -> None:
    """One that waits for a dead file server cannot be killed, and an inherited descriptor is the lock itself."""
    with fs.lock(str(tmp_path / "lock"), trusted_root=str(tmp_path)):
        listed = bounded.ask("it", lambda: "\n".join(_open_files()).encode(), 5, ended="ended").decode().split("\n")
    assert str(tmp_path / "lock") not in listed
    assert [path for path in listed if not path.startswith(("/dev/null", "pipe:", "/proc/"))] == []


def _open_files() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return found
