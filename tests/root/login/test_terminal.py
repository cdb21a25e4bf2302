"""Jails with a terminal of their own: the caller's terminal stays outside."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import termios
import time
from collections.abc import Iterator

import pytest

from jailssh.plan import ops
from tests.harness.probe import Facts
from tests.root import login_lab
from tests.root.login_lab import Lab, assert_ended, plan, record
from tests.root.relay_lab import FAST, Client, limited
from tests.root.terminal_lab import Terminal

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab


@pytest.fixture
def terminal(every_lab: Lab) -> Iterator[Terminal]:
    every_lab.publish(plan(pty=True, proc=True))
    made = Terminal(every_lab)
    yield made
    made.close()


def test_the_terminal_inside_is_another(terminal: Terminal) -> None:
    session = terminal.start("probe sleep 60")
    outer, first, command = session.pids(3)
    terminal.expect(b"pid=")
    ours = os.fstat(terminal.slave)

    def holds_it(pid: int) -> bool:
        held = [os.stat(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        return (ours.st_dev, ours.st_ino) in [(theirs.st_dev, theirs.st_ino) for theirs in held]

    assert not holds_it(command)
    session.lab.host.wait_until(lambda: not holds_it(first), "the first process lets go of the caller's terminal")
    assert all(os.stat(f"/proc/{command}/fd/{fd}").st_dev != ours.st_dev for fd in range(3))
    with open(f"/proc/{command}/stat") as stat, open(f"/proc/{outer}/stat") as other:
        assert stat.read().rsplit(")", 1)[1].split()[3] != other.read().rsplit(")", 1)[1].split()[3]  # their sessions
    session.signal(signal.SIGTERM)
    assert terminal.wait().code == 128 + signal.SIGTERM


@pytest.mark.parametrize("command", ["probe facts", None], ids=["command", "interactive"])
def test_it_works_as_one(terminal: Terminal, command: str | None) -> None:
    terminal.start(command)
    done = terminal.wait()
    assert_ended(done, 0)
    facts = Facts(done.out.decode().replace("\r\n", "\n"))
    assert (facts["isatty"], facts["tty.control"], facts["tty.foreground"]) == ("1,1,1", "ok", "1")
    assert (facts["tty.name"], facts["tty.size"]) == ("/dev/pts/0", "33x111")
    assert facts.environment()["TERM"] == "xterm"
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_nothing_can_be_typed_for_the_caller(terminal: Terminal) -> None:
    terminal.start("probe try tiocsti")
    done = terminal.wait()
    assert b"try.tiocsti=EPERM" in done.out
    with pytest.raises(BlockingIOError):
        os.set_blocking(terminal.slave, False)
        os.read(terminal.slave, 1)


def test_window_size_and_signals(terminal: Terminal) -> None:
    session = terminal.start("actor signals")
    terminal.expect(b"size=33x111")
    terminal.resize(50, 200)
    terminal.expect(b"size=50x200")
    os.write(terminal.master, b"\x03")
    terminal.expect(b"signal=INT")
    os.write(terminal.master, b"\x1c")
    terminal.expect(b"signal=QUIT")
    session.signal(signal.SIGTERM)
    assert_ended(terminal.wait(), 9)
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_ctrl_c_ends_a_command(terminal: Terminal) -> None:
    terminal.start("actor key")
    terminal.expect(b"waiting")
    os.write(terminal.master, b"\x03")
    assert_ended(terminal.wait(), 128 + signal.SIGINT)
    assert termios.tcgetattr(terminal.slave) == terminal.before


@pytest.mark.parametrize("pause", [0, 0.001])
def test_all_output_arrives(terminal: Terminal, pause: float) -> None:
    size = 1 << 20 if pause == 0 else 1 << 18
    session = terminal.start(f"actor flood {size}")
    got = 0
    while got < size + size // 64:  # each line's end grows by a carriage return
        ready = select.select([terminal.master], [], [], 5)[0]
        assert ready, (got, session.process.poll())
        got += len(os.read(terminal.master, 1024))
        time.sleep(pause)
    assert_ended(terminal.wait(), 0)


def test_the_last_words_to_a_slow_reader(terminal: Terminal) -> None:
    # More than the caller's terminal holds, less than all buffers together: the command ends before it is read.
    session = terminal.start("actor flood 8192")
    session.lab.host.wait_until(lambda: not session.lab.processes() or len(session._chain()) < 4, "the command ends")
    done = terminal.wait()
    assert_ended(done, 0)
    assert len(done.out) == 8192 + 8192 // 64


def test_the_terminal_hangs_up(terminal: Terminal) -> None:
    session = terminal.start("actor signals")
    terminal.expect(b"size=")
    terminal.close()
    done = session.wait()
    # It may be killed before the record of its start; the command is in a record all the same.
    assert done.events() in (["session-start", "session-end"], ["session-end"])
    assert done.records[0]["JAILSSH_COMMAND"] == "actor signals"
    terminal.lab.assert_nothing_left()


@pytest.mark.parametrize("more", [(), (record("bandwidth", 100),)], ids=["full", "slow"])
def test_it_hangs_up_while_nothing_is_read(set_uid_lab: Lab, more: tuple[ops.Record, ...]) -> None:
    # The command has taken nothing for so long that nothing is asked of the caller's terminal any more; and it is the
    # terminal alone that goes, as where a client closes one of its sessions.
    set_uid_lab.publish(limited(*more, pty=True))
    terminal = Terminal(set_uid_lab)
    session = terminal.start("actor deaf")
    terminal.expect(b"deaf")
    os.set_blocking(terminal.master, False)
    until = time.monotonic() + 1
    while time.monotonic() < until:
        readable, writable, _ = select.select([terminal.master], [terminal.master], [], 0.1)
        if readable:
            terminal.read()
        if writable:
            with contextlib.suppress(BlockingIOError):
                os.write(terminal.master, b"\n" * 100)
    assert session.process.poll() is None
    terminal.close()
    done = session.wait(timeout=30)
    assert (done.code, done.events()[-1]) == (128 + signal.SIGKILL, "session-end")
    set_uid_lab.assert_nothing_left()


@pytest.mark.parametrize("kind", ["socketpair", "pipes"])
def test_the_client_goes_after_the_end_of_output(set_uid_lab: Lab, kind: str) -> None:
    set_uid_lab.publish(limited(FAST))
    client = Client(set_uid_lab, "actor close-output", kind)
    held = os.dup(client.input)  # so that its input does not end
    assert os.read(client.output, 10) == b""
    os.close(client.errors)
    client.errors = -1
    assert client.session.wait(timeout=30).code == 128 + signal.SIGKILL
    os.close(held)
    client.close()


def test_a_paste_and_a_flood_do_not_wait_for_each_other(terminal: Terminal) -> None:
    lines, size = 2000, 100_000
    paste = b"".join(b"%049d\n" % number for number in range(lines)) + b"end\n"
    terminal.start(f"actor paste {size}")
    os.set_blocking(terminal.master, False)
    end = time.monotonic() + 20
    while not re.search(rb"lines=\d+", terminal.said):
        assert time.monotonic() < end, (len(paste), terminal.said[-200:])
        readable, writable, _ = select.select([terminal.master], [terminal.master] if paste else [], [], 1)
        if readable:
            terminal.read()
        if writable:
            with contextlib.suppress(BlockingIOError):
                paste = paste[os.write(terminal.master, paste[:512]) :]
    assert_ended(terminal.wait(), 0)
    assert b"lines=%d" % lines in terminal.said


def test_without_a_terminal_in_the_plan(every_lab: Lab) -> None:
    terminal = Terminal(every_lab)
    terminal.start("probe exit 0")
    done = terminal.wait()
    terminal.close()
    assert (done.code, done.events()) == (126, ["denied"])
    assert done.out == b"jailssh: terminal not allowed for this account; use 'ssh -T'\r\n"


def test_who_stops_the_terminal_holds_no_record_up(every_lab: Lab) -> None:
    master, slave = pty.openpty()
    termios.tcflow(slave, termios.TCOOFF)  # Ctrl-S
    done = every_lab.start("forbidden", stdin=slave, stdout=slave, stderr=slave).wait()
    assert (done.code, done.events()) == (126, ["denied"])
    os.close(master)
    os.close(slave)
