"""How many sessions an account and a key may have at a time, and that a place ends with its session."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pty
import signal
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness.certificates import Certificate, key_line
from tests.root import key_lab, login_lab
from tests.root.key_lab import ALICE, assert_named, login, own_plan, put, put_all, start, tell
from tests.root.login_lab import OTHER_UID, UID, Done, Lab, Session, assert_refused, descriptors, record
from tests.root.other_kernel import INNER, Answer, other_kernel

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab
every_shared, shared = key_lab.every_shared, key_lab.shared

PLACES_DIR = "/run/jailssh/sessions"


def assert_too_many(done: Done, reason: str, line: str, name: str = "alice") -> None:
    assert (done.code, done.out, done.err.decode()) == (126, b"", f"jailssh: {line}\n"), done
    (row,) = [row for row in done.records if not row["JAILSSH_EVENT"].startswith("session-")]  # of other sessions
    assert (row["JAILSSH_EVENT"], row["JAILSSH_REASON"]) == ("denied", reason), row
    assert (row["JAILSSH_EXIT"], row["PRIORITY"]) == ("126", "5")
    whose = f"u ({row['JAILSSH_KEY']})" if "JAILSSH_KEY" in row else "u"
    assert row["MESSAGE"] == f"{whose}: login denied ({reason}): {line}"
    assert (row["JAILSSH_USER"], row.get("JAILSSH_KEY", name)) == ("u", name)


def bounded(lab: Lab, sessions: int, per_key: int = 0) -> None:
    bounds = [record(verb, most) for verb, most in (("sessions", sessions), ("key-sessions", per_key)) if most]
    put_all(lab, *bounds)


def end(session: Session, number: int = signal.SIGTERM) -> None:
    session.signal(number)
    session.wait()


def test_as_many_sessions_as_allowed(every_shared: Lab) -> None:
    bounded(every_shared, 2)
    tell(every_shared, key_line(1))
    first, second = start(every_shared), start(every_shared)
    for session in (first, second):
        session.pids(3)
    line = "session limit reached (2 for this account)"
    tell(every_shared, key_line(3))  # whoever it is
    assert_too_many(login(every_shared), "sessions", line, "bob")
    end(first)
    assert login(every_shared).code == 7
    third = start(every_shared)
    third.pids(3)
    assert_too_many(login(every_shared), "sessions", line, "bob")
    end(third, signal.SIGKILL)
    assert login(every_shared).code == 7
    assert login(every_shared, "no such command").code == 126
    assert login(every_shared, "missing").code == 127
    assert login(every_shared).code == 7
    os.kill(second.pids(3)[1], signal.SIGKILL)
    second.wait()
    every_shared.records()
    assert login(every_shared).code == 7


def test_keys_are_counted_apart(every_shared: Lab) -> None:
    bounded(every_shared, 3, 1)
    line = "session limit reached (1 for this key)"
    sessions = []
    for number, name in ((1, "alice"), (3, "bob")):
        tell(every_shared, key_line(number))
        sessions.append(start(every_shared))
        sessions[-1].pids(3)
        assert_too_many(login(every_shared), "sessions-of-key", line, name)
    tell(every_shared, key_line(2))
    assert_too_many(login(every_shared), "sessions-of-key", line)
    tell(every_shared, Certificate().line())
    assert_too_many(login(every_shared), "sessions-of-key", line)
    end(sessions[0])
    assert_named(login(every_shared), "alice", ALICE)
    end(sessions[1])


def stopped_terminal() -> tuple[int, int]:
    """Return both ends of a terminal that takes nothing: its user has typed Ctrl-S."""
    master, slave = pty.openpty()
    termios.tcflow(slave, termios.TCOOFF)
    return master, slave


def test_denied_logins_take_no_place_from_others(every_shared: Lab) -> None:
    bounded(every_shared, 2, 1)
    tell(every_shared, key_line(1))
    session = start(every_shared)
    session.pids(3)
    master, slave = stopped_terminal()
    env = [f"SSH_USER_AUTH={key_lab.AUTH}".encode()]
    ends: dict[str, Any] = {"stdin": slave, "stdout": slave, "stderr": slave}
    denied = [every_shared.start("probe exit 7", env=env, **ends) for _ in range(3)]
    assert [each.wait().code for each in denied] == [126] * 3  # though nobody could be told
    os.close(master)
    os.close(slave)
    tell(every_shared, key_line(3))
    assert login(every_shared).code == 7
    end(session)


def test_the_bound_of_the_key_comes_first(shared: Lab) -> None:
    bounded(shared, 1, 1)
    tell(shared, key_line(1))
    session = start(shared)
    session.pids(3)
    assert_too_many(login(shared), "sessions-of-key", "session limit reached (1 for this key)")
    end(session)


def test_keys_without_a_name_count_as_one(set_uid_lab: Lab) -> None:
    put(set_uid_lab, str(UID), own_plan(ALICE, record("key-sessions", 1)))
    session = set_uid_lab.start("probe sleep 60")
    session.pids(3)
    assert_too_many(set_uid_lab.login("probe exit 7"), "sessions-of-key", "session limit reached (1 for this key)")
    assert set_uid_lab.login("probe exit 7", uid=OTHER_UID).code == 7
    end(session)


def held(pid: int) -> list[str]:
    return sorted(link for link in descriptors(pid) if PLACES_DIR in link)


def test_who_holds_the_place(every_shared: Lab) -> None:
    bounded(every_shared, 5, 5)
    tell(every_shared, key_line(1))
    session = start(every_shared)
    outer, first, command = session.pids(3)
    assert held(outer) == [f"{PLACES_DIR}/{UID}", f"{PLACES_DIR}/{UID}.alice"]
    assert held(first) == held(command) == []
    end(session)


def test_a_jail_that_is_built_holds_no_place(shared: Lab) -> None:
    bounded(shared, 5, 5)
    tell(shared, key_line(1))
    places: list[list[str]] = []
    with other_kernel(shared, [Answer("move_mount", None, who=INNER, nth=1)], lambda pid, *_: places.append(held(pid))):
        assert login(shared).code == 7
    assert places == [[]]


def test_many_at_once(every_shared: Lab) -> None:
    bounded(every_shared, 3)
    tell(every_shared, key_line(1))
    sessions = [start(every_shared) for _ in range(50)]
    deadline = time.monotonic() + 60
    while sum(session.process.poll() is not None for session in sessions) < 47 and time.monotonic() < deadline:
        time.sleep(0.01)
    alive = [session for session in sessions if session.process.poll() is None]
    assert len(alive) == 3
    for session in alive:
        session.pids(3)
        session.signal(signal.SIGTERM)
    ends = [session.wait().code for session in sessions]
    assert sorted(ends) == [126] * 47 + [128 + signal.SIGTERM] * 3


@contextlib.contextmanager
def instead(lab: Lab, make: Callable[[pathlib.Path], object]) -> Iterator[None]:
    """Have something else for the sessions' directory."""
    lab.make_dir(PLACES_DIR, 0o700)
    path = lab.path(PLACES_DIR)
    aside = path.with_name("aside")
    path.rename(aside)
    make(path)
    try:
        yield
    finally:
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        aside.rename(path)


def writable(path: pathlib.Path) -> None:
    path.mkdir()
    path.chmod(0o777)


PLACES: dict[str, Callable[[pathlib.Path], object]] = {
    "a file": lambda path: path.write_text(""),
    "a symbolic link": lambda path: path.symlink_to("aside"),
    "writable by others": writable,
}


@pytest.mark.parametrize("what", PLACES)
def test_places_that_cannot_be_counted(every_shared: Lab, what: str) -> None:
    tell(every_shared, key_line(1))
    with instead(every_shared, PLACES[what]):
        assert login(every_shared).code == 7
        bounded(every_shared, 5)
        row = assert_refused(login(every_shared), "setup")
        assert "cannot count the sessions" in row["MESSAGE"]
    assert login(every_shared).code == 7
