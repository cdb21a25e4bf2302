"""The log of file operations: what a program says on its standard error is in the journal, and nowhere else."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.plan.ops import Record
from tests.root import login_lab
from tests.root.login_lab import Done, Lab, record
from tests.root.relay_lab import FAST, Client, limited, read_all
from tests.root.test_login_terminal import Terminal

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab

WAYS = [(), (FAST,), (record("idle", 60),)]


def lines(done: Done) -> list[dict[str, str]]:
    """Return the records of file operations, which stand between those of the start and the end."""
    assert [done.events()[0], done.events()[-1]] == ["session-start", "session-end"]
    between = done.records[1:-1]
    assert {row["JAILSSH_EVENT"] for row in between} <= {"file-operation"}
    assert all(row["MESSAGE"].startswith("u: ") for row in between)  # whose it is, for who reads messages alone
    return [{**row, "MESSAGE": row["MESSAGE"].removeprefix("u: ")} for row in between]


@pytest.mark.parametrize("more", WAYS, ids=["direct", "bandwidth", "idle"])
def test_lines(every_lab: Lab, more: tuple[Record, ...]) -> None:
    every_lab.publish(limited(*more, log=True))
    done = every_lab.login("actor say 'mkdir name \"/h/d\" mode 0777^' 'two^' ^ 'a' 'b^' 'x@y' '^' 'last'")
    assert (done.code, done.out, done.err) == (0, b"said=8\n", b"")
    rows = lines(done)
    assert [row["MESSAGE"] for row in rows] == ['mkdir name "/h/d" mode 0777', "two", "ab", "x?y", "last"]
    start = done.records[0]
    for row in rows:
        for field in ("SESSION", "USER", "UID", "JAIL", "PLAN", "PEER", "RULE", "PLUGIN"):
            assert row[f"JAILSSH_{field}"] == start[f"JAILSSH_{field}"]
        assert (row["PRIORITY"], row["JAILSSH_RULE"], row["JAILSSH_PLUGIN"]) == ("6", "lab.actor", "lab")
    assert (rows[0]["JAILSSH_OPERATION"], rows[0]["JAILSSH_PATH"]) == ("mkdir", "/h/d")
    assert "JAILSSH_OPERATION" not in rows[1]


def test_all_fields(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited(log=True))
    said = ['close "/h/a" bytes read 1 written 2^', 'rename old "/h/a" new "/h/b"^']
    close, rename = lines(set_uid_lab.login(f"actor say '{said[0]}' '{said[1]}'"))
    named = ("JAILSSH_OPERATION", "JAILSSH_PATH", "JAILSSH_BYTES_READ", "JAILSSH_BYTES_WRITTEN", "JAILSSH_NEW_PATH")
    assert [close.get(name) for name in named] == ["close", "/h/a", "1", "2", None]
    assert [rename.get(name) for name in named] == ["rename", "/h/a", None, None, "/h/b"]


def test_a_name_forges_no_record(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited(log=True))
    name = '/h/x" flags READ mode 0666^remove name "/h/precious"^MESSAGE=x^_UID=0^PRIORITY=0'
    (row,) = lines(set_uid_lab.login(f"actor say 'open \"{name}\" flags WRITE mode 0666^'"))
    assert (row["JAILSSH_OPERATION"], row["PRIORITY"]) == ("open", "6")
    assert row["JAILSSH_PATH"] == name.replace("^", "\\x0a")
    assert "\n" not in row["MESSAGE"]


def test_long_lines(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited(log=True))
    parts = " ".join(letter * 1000 for letter in "abcde")
    rows = lines(set_uid_lab.login(f"actor say {parts}^ {parts[:1000]}^ next^"))
    # The journal's records hold so much of a field.
    assert [row["MESSAGE"] for row in rows] == [parts.replace(" ", "")[: 4096 - len("u: ")] + "...", "a" * 1000, "next"]


def test_one_write_is_one_record_however_long(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited(log=True))
    rows = lines(set_uid_lab.login("actor long 9000"))
    assert [row["MESSAGE"] for row in rows] == ["a" * (4096 - len("u: ")) + "...", "next"]


def test_without_the_word_log_nothing_is_kept(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited())
    done = set_uid_lab.login("actor say a^")
    assert (done.err, lines(done)) == (b"a\n", [])


def test_in_a_terminal(set_uid_lab: Lab) -> None:
    terminal = Terminal(set_uid_lab)
    set_uid_lab.publish(limited(log=True, pty=True))
    terminal.start("actor say a^")
    done = terminal.wait()
    assert (done.out, [row["MESSAGE"] for row in lines(done)]) == (b"said=1\r\n", ["a"])
    terminal.close()


COUNT = 2000


@contextlib.contextmanager
def stopped_journald(lab: Lab) -> Iterator[None]:
    """Let journald take nothing for a while."""
    (pid,) = [int(entry.name) for entry in Path("/proc").iterdir() if is_journald(entry, lab)]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def is_journald(entry: Path, lab: Lab) -> bool:
    """Return whether a process of the machine is the journald of the lab's host."""
    with contextlib.suppress(OSError):
        here = os.readlink(f"/proc/{lab.host.init_pid}/ns/pid")
        return (entry / "comm").read_text() == "systemd-journal\n" and os.readlink(entry / "ns/pid") == here
    return False


@pytest.mark.parametrize("more", WAYS[:2], ids=["direct", "bandwidth"])
def test_a_slow_journal_makes_the_program_wait(set_uid_lab: Lab, more: tuple[Record, ...]) -> None:
    set_uid_lab.publish(limited(*more, log=True))
    session = set_uid_lab.start(f"actor count {COUNT}")
    with stopped_journald(set_uid_lab):
        time.sleep(0.3)
        assert session.process.poll() is None
    done = session.wait()
    assert [row["MESSAGE"] for row in lines(done)] == [f"line {number}" for number in range(COUNT)]


def test_a_stopped_journal_does_not_keep_a_jail_alive(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited(log=True))
    session = set_uid_lab.start("actor count 99999999", stdin=subprocess.PIPE)
    outer, first, _ = session.pids(3)
    with stopped_journald(set_uid_lab):
        time.sleep(0.3)
        os.kill(session.sshd(), signal.SIGKILL)
        set_uid_lab.host.wait_until(lambda: not Path(f"/proc/{first}").exists() or zombie(first), "the jail ends")
    set_uid_lab.host.wait_until(lambda: not Path(f"/proc/{outer}").exists(), "the outer half ends")
    session.wait()


def zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    return True


@pytest.mark.parametrize("more", WAYS[:2], ids=["direct", "bandwidth"])
def test_the_last_words_before_a_violent_end(set_uid_lab: Lab, more: tuple[Record, ...]) -> None:
    set_uid_lab.publish(limited(*more, log=True))
    session = set_uid_lab.start("actor count 99999999")
    command = session.pids(3)[2]
    time.sleep(0.05)
    os.kill(command, signal.SIGKILL)
    done = session.wait()
    said = [row["MESSAGE"] for row in lines(done)]
    assert said == [f"line {number}" for number in range(len(said))]
    assert done.code == 128 + signal.SIGKILL


def test_a_process_that_stays_holds_nothing_up(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited(log=True))
    done = set_uid_lab.login("actor leave")
    assert (done.code, lines(done)) == (0, [])


def test_without_journald(set_uid_lab: Lab) -> None:
    path, away = set_uid_lab.path("/run/systemd/journal/socket"), set_uid_lab.path("/run/systemd/journal/away")
    set_uid_lab.publish(limited(log=True))
    path.rename(away)
    try:
        session = set_uid_lab.start("actor count 3000")
        out, err = session.process.communicate(timeout=20)
    finally:
        away.rename(path)
    assert (session.process.returncode, out, err) == (0, b"", b"")


def test_the_journal_goes_away(set_uid_lab: Lab) -> None:
    # A socket of our own in its place, which nobody reads from any more after the first record.
    path, away = set_uid_lab.path("/run/systemd/journal/socket"), set_uid_lab.path("/run/systemd/journal/away")
    for logging, code in (("allow", 0), ("require", 137)):
        set_uid_lab.publish(limited(log=True, logging=logging))
        path.rename(away)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
                ours.bind(str(path))
                path.chmod(0o666)
                client = Client(set_uid_lab, "actor count 100000", "pipes")
                assert b"session-start" in ours.recv(65536)
                assert b"line 0" in ours.recv(65536)
            read_all(client.output)
            said = read_all(client.errors)
            assert client.session.process.wait(20) == code
            assert said.startswith(b"jailssh: this login cannot be served") == (logging == "require")
            client.close()
        finally:
            path.unlink()
            away.rename(path)
