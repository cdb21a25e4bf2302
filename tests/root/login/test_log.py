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
from tests.root.terminal_lab import Terminal

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab

WAYS = [(), (FAST,), (record("idle", 60),)]


def rows_of(done: Done) -> list[dict[str, str]]:
    """Return the records of file operations, which stand between those of the start and the end."""
    assert [done.events()[0], done.events()[-1]] == ["session-start", "session-end"]
    between = done.records[1:-1]
    assert {row["JAILSSH_EVENT"] for row in between} <= {"file-operation"}
    assert all(row["MESSAGE"].startswith("u: ") for row in between)  # whose it is, for who reads messages alone
    return [{**row, "MESSAGE": row["MESSAGE"].removeprefix("u: ")} for row in between]


def lines(done: Done) -> list[str]:
    """Return all lines that were logged, in order."""
    found = []
    for row in rows_of(done):
        numbered = sorted((int(line.split(" ")[0]), line) for line in row.get("JAILSSH_FILE", "").split("\n") if line)
        assert [number for number, _ in numbered] == list(range(1, len(numbered) + 1))
        found += [line.split(" ", 1)[1] for _, line in numbered] or [row["MESSAGE"]]
    return found


@pytest.mark.parametrize("more", WAYS, ids=["direct", "bandwidth", "idle"])
def test_lines(every_lab: Lab, more: tuple[Record, ...]) -> None:
    every_lab.publish(limited(*more, log=True))
    done = every_lab.login("actor say 'mkdir name \"/h/d\" mode 0777^' 'two^' ^ 'a' 'b^' 'x@y' '^' 'last'")
    assert (done.code, done.out, done.err) == (0, b"said=8\n", b"")
    assert lines(done) == ['mkdir name "/h/d" mode 0777', "two", "ab", "x?y", "last"]
    (row,) = rows_of(done)
    start = done.records[0]
    for field in ("SESSION", "USER", "UID", "JAIL", "PLAN", "PEER", "RULE", "PLUGIN"):
        assert row[f"JAILSSH_{field}"] == start[f"JAILSSH_{field}"]
    assert (row["PRIORITY"], row["JAILSSH_RULE"], row["JAILSSH_PLUGIN"]) == ("6", "lab.actor", "lab")
    assert (row["JAILSSH_OPERATION"], row["JAILSSH_PATH"]) == ("mkdir", "/h/d")
    assert row["MESSAGE"] == "1 file operation, mkdir /h/d"


NAMED = ("JAILSSH_OPERATION", "JAILSSH_PATH", "JAILSSH_BYTES_READ", "JAILSSH_BYTES_WRITTEN", "JAILSSH_NEW_PATH")
CLOSED = 'close "/h/a" bytes read 1 written 2'
RENAMED = 'rename old "/h/a" new "/h/b"'


def test_all_fields(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited(log=True))
    (close,) = rows_of(set_uid_lab.login(f"actor say '{CLOSED}^'"))
    (rename,) = rows_of(set_uid_lab.login(f"actor say '{RENAMED}^'"))
    assert [close.get(name) for name in NAMED] == ["close", "/h/a", "1", "2", None]
    assert [rename.get(name) for name in NAMED] == ["rename", "/h/a", None, None, "/h/b"]
    assert [close["MESSAGE"], rename["MESSAGE"]] == [CLOSED, RENAMED]
    assert not {"JAILSSH_FILE", "JAILSSH_LOST"} & {*close, *rename}


def test_what_is_done_at_once_is_one_record(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited(log=True))
    done = set_uid_lab.login(f"actor say '{CLOSED}^' '{RENAMED}^' 'remove name \"/h/b\"^'")
    (row,) = rows_of(done)
    assert lines(done) == [CLOSED, RENAMED, 'remove name "/h/b"']
    values = [sorted(row.get(name, "").split("\n")) for name in NAMED]
    assert values == [["close", "remove", "rename"], ["/h/a", "/h/b"], ["1"], ["2"], ["/h/b"]]
    assert row["MESSAGE"] == "3 file operations, close /h/a ... remove /h/b"
    # Each value finds it.
    for match in ("PATH=/h/a", "PATH=/h/b", "OPERATION=rename", "NEW_PATH=/h/b"):
        found = set_uid_lab.host.run(
            ["journalctl", "-q", "-o", "cat", f"JAILSSH_{match}", f"JAILSSH_SESSION={row['JAILSSH_SESSION']}"]
        )
        assert found.stdout == f"u: {row['MESSAGE']}\n"


OPENED = 'open "/h/a" flags {} mode 0666'
SAID = {
    "read": ([OPENED.format("READ"), 'close "/h/a" bytes read 5 written 0'], slice(1, 2)),
    "written": ([OPENED.format("WRITE,CREATE,TRUNCATE"), CLOSED], slice(1, 2)),
    "emptied": ([OPENED.format("WRITE,CREATE,TRUNCATE"), 'close "/h/a" bytes read 0 written 0'], slice(0, 2)),
    "another": ([OPENED.format("READ"), 'close "/h/b" bytes read 5 written 0'], slice(0, 2)),
    "still open": ([CLOSED, OPENED.format("READ")], slice(0, 2)),
    "quotes": (['open "/h/a" flags READ mode 0666" flags READ mode 0666', CLOSED], slice(0, 2)),
    "removed": (['remove name "/h/a"', 'remove name "/h/a"'], slice(0, 2)),
}


@pytest.mark.parametrize(("said", "kept"), SAID.values(), ids=SAID)
def test_an_open_is_left_out_when_its_close_says_as_much(set_uid_lab: Lab, said: list[str], kept: slice) -> None:
    set_uid_lab.publish(limited(log=True))
    words = " ".join(f"'{line}^'" for line in said)
    assert lines(set_uid_lab.login(f"actor say {words}")) == said[kept]


def test_the_same_failure_is_counted(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited(log=True))
    said = f"'{OPENED.format('READ')}^' 'sent status No such file^' " * 30
    done = set_uid_lab.login(f"actor say {said} '{RENAMED}^' 'sent status No such file^'")
    failed = [f"{OPENED.format('READ')} (30 times)", "sent status No such file (31 times)"]
    assert lines(done) == [*failed, RENAMED]
    assert rows_of(done)[0]["MESSAGE"] == "31 file operations, open /h/a ... rename /h/a"
    (row,) = rows_of(set_uid_lab.login("actor say 'sent status Failure^' 'sent status Failure^'"))
    assert row["MESSAGE"] == "sent status Failure (2 times)"


def test_a_name_forges_no_record(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited(log=True))
    name = '/h/x" flags READ mode 0666^remove name "/h/precious"^MESSAGE=x^_UID=0^PRIORITY=0'
    (row,) = rows_of(set_uid_lab.login(f"actor say 'open \"{name}\" flags WRITE mode 0666^'"))
    assert (row["JAILSSH_OPERATION"], row["PRIORITY"]) == ("open", "6")
    assert row["JAILSSH_PATH"] == name.replace("^", "\\x0a")
    assert "\n" not in row["MESSAGE"]


def test_long_lines(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited(log=True))
    parts = " ".join(letter * 1000 for letter in "abcde")
    # The journal's records hold so much of a field.
    whole = parts.replace(" ", "")
    (row,) = rows_of(set_uid_lab.login(f"actor say {parts}^"))
    assert row["MESSAGE"] == whole[: 4096 - len("u: ")] + "..."
    said = lines(set_uid_lab.login(f"actor say {parts}^ {parts[:1000]}^ next^"))
    assert said == [whole[: 4096 - len("1 ")] + "...", "a" * 1000, "next"]


def test_one_write_is_one_record_however_long(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited(log=True))
    assert lines(set_uid_lab.login("actor long 9000")) == ["a" * (4096 - len("1 ")) + "...", "next"]


def test_without_the_word_log_nothing_is_kept(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited())
    done = set_uid_lab.login("actor say a^")
    assert (done.err, lines(done)) == (b"a\n", [])


def test_in_a_terminal(set_uid_lab: Lab) -> None:
    terminal = Terminal(set_uid_lab)
    set_uid_lab.publish(limited(log=True, pty=True))
    terminal.start("actor say a^")
    done = terminal.wait()
    assert (done.out, lines(done)) == (b"said=1\r\n", ["a"])
    terminal.close()


COUNT = 20_000


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
    # Stopped before the session starts: on a busy machine it could be over before it is stopped.
    with stopped_journald(set_uid_lab):
        session = set_uid_lab.start(f"actor count {COUNT}")
        session.pids(3)
        time.sleep(0.3)
        assert session.process.poll() is None
    done = session.wait()
    assert lines(done) == [f"line {number}" for number in range(COUNT)]


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
    said = lines(done)
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


@contextlib.contextmanager
def our_journal(lab: Lab) -> Iterator[socket.socket]:
    """Put a socket in the place of journald's, which takes what is read from it."""
    path, away = lab.path("/run/systemd/journal/socket"), lab.path("/run/systemd/journal/away")
    path.rename(away)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
            ours.bind(str(path))
            path.chmod(0o666)
            yield ours
    finally:
        path.unlink()
        away.rename(path)


def fill(ours: socket.socket) -> None:
    """Send it all that it takes: of a long queue, as systemd makes it, one sender alone cannot fill all."""
    sent = True
    while sent:
        sent = False
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, contextlib.suppress(BlockingIOError):
            other.setblocking(False)
            while True:
                other.sendto(b"JAILSSH_EVENT=none", ours.getsockname())
                sent = True


def fields_of(data: bytes) -> dict[str, str]:
    """Return the fields of a record as it was sent; of several values the last."""
    return dict(line.split("=", 1) for line in data.decode().splitlines())


@pytest.mark.parametrize("logging", ["allow", "require"])
def test_what_the_journal_did_not_take_is_told(set_uid_lab: Lab, logging: str) -> None:
    # A journal that takes nothing any more: the session ends all the same, and says how much is missing.
    set_uid_lab.publish(limited(log=True, logging=logging))
    with our_journal(set_uid_lab) as ours:
        session = set_uid_lab.start("actor count 99999999")
        command = session.pids(3)[2]
        assert fields_of(ours.recv(1 << 17))["JAILSSH_EVENT"] == "session-start"
        fill(ours)
        time.sleep(1)
        assert session.process.poll() is None  # it waits
        os.kill(command, signal.SIGKILL)
        time.sleep(11)
        ours.settimeout(5)
        rows: list[dict[str, str]] = [{"JAILSSH_EVENT": "none"}]
        while rows[-1]["JAILSSH_EVENT"] != "session-end":
            rows.append(fields_of(ours.recv(1 << 17)))
        assert session.process.wait(30) == 128 + signal.SIGKILL
    lost = rows[-1]["JAILSSH_LOST"]
    assert int(lost) > 100
    assert rows[-1]["MESSAGE"].endswith(f"; {lost} lines of its log are lost")
    assert rows[-1].get("JAILSSH_REASON") == ("journal" if logging == "require" else None)
    assert {row["JAILSSH_EVENT"] for row in rows[:-1]} <= {"none", "file-operation"}


@pytest.mark.parametrize("logging", ["allow", "require"])
def test_a_journal_that_takes_nothing_holds_no_login_up_for_long(set_uid_lab: Lab, logging: str) -> None:
    set_uid_lab.publish(limited(logging=logging))
    with our_journal(set_uid_lab) as ours:
        fill(ours)
        begin = time.monotonic()
        session = set_uid_lab.start("probe exit 3")
        session.process.communicate(timeout=30)
    assert session.process.returncode == (3 if logging == "allow" else 125)
    assert 9 < time.monotonic() - begin < 15  # five seconds for each of two records


def test_the_journal_goes_away(set_uid_lab: Lab) -> None:
    # Nobody reads from our socket any more after the first record.
    for logging, code in (("allow", 0), ("require", 137)):
        set_uid_lab.publish(limited(log=True, logging=logging))
        with our_journal(set_uid_lab) as ours:
            client = Client(set_uid_lab, "actor count 100000", "pipes")
            assert b"session-start" in ours.recv(65536)
            assert b"line 0" in ours.recv(65536)
            ours.close()
            read_all(client.output)
            said = read_all(client.errors)
            assert client.session.process.wait(20) == code
            assert said.startswith(b"jailssh: cannot continue this session; give your administrator reference ") == (
                logging == "require"
            )
            client.close()
