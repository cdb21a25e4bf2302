"""Limits of a login: when, where from, how fast, how long, how nice; and relayed streams, which are as direct ones."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import termios
import time
from functools import partial

import pytest

from tests.root import login_lab
from tests.root.login_lab import Lab, assert_ended, record
from tests.root.relay_lab import FAST, Client, asleep, cpu_ticks, limited, read_all
from tests.root.terminal_lab import Terminal, wait_for

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab

FROM, TIME = "login not allowed from this address", "login not allowed at this time"
GONE = "account expired; last valid day: 2001-09-09"
DENIED = [
    ((record("address", "198.51.100.0/24"), record("address", "192.0.2.2")), "address", FROM),
    ((record("hours", 127, 0, 0),), "hours", TIME),
    ((record("expires", 1_000_000_000),), "expired", GONE),
]
KINDS = ["socketpair", "pipes"]


@pytest.mark.parametrize(("records", "reason", "sentence"), DENIED, ids=[row[1] for row in DENIED])
@pytest.mark.parametrize("command", ["probe exit 0", "nothing like a rule;", None])
def test_denied(set_uid_lab: Lab, records: tuple[object, ...], reason: str, sentence: str, command: str | None) -> None:
    set_uid_lab.publish(limited(*records))  # type: ignore[arg-type]
    done = set_uid_lab.login(command)
    assert (done.code, done.out, done.err) == (126, b"", f"jailssh: {sentence}\n".encode())
    assert done.events() == ["denied"]
    row = done.records[0]
    assert (row["JAILSSH_REASON"], row["JAILSSH_EXIT"], row["PRIORITY"]) == (reason, "126", "5")
    assert row.get("JAILSSH_COMMAND") == command


def test_allowed(every_lab: Lab) -> None:
    records = [record("address", "192.0.2.0/24"), record("hours", 127, 0, 1440), record("expires", 10**17)]
    every_lab.publish(limited(*records))
    assert_ended(every_lab.login("probe exit 7"), 7)


def test_nice(every_lab: Lab) -> None:
    every_lab.publish(limited(record("nice", 7)))
    for own in (0, 3, 10):
        nicer = max(7, min(os.nice(0) + own, 19))  # nice(2): the kernel goes no further
        assert every_lab.login("actor nice", prepare=partial(os.nice, own)).out == f"nice={nicer}\n".encode()


@pytest.mark.parametrize("kind", KINDS)
def test_both_directions_at_once(set_uid_lab: Lab, kind: str) -> None:
    set_uid_lab.publish(limited(FAST))
    client = Client(set_uid_lab, "probe cat", kind)
    assert client.exchange(64 << 20)[0] == 64 << 20
    assert_ended(client.session.wait(), 0)
    client.close()


@pytest.mark.parametrize("status", [0, 1, 126, 255])
def test_status_and_nothing_else(every_lab: Lab, status: int) -> None:
    every_lab.publish(limited(FAST, record("idle", 60)))
    done = every_lab.login(f"probe exit {status}")
    assert_ended(done, status)
    assert (done.out, done.err) == (b"", b"")


def test_every_byte_arrives(every_lab: Lab) -> None:
    every_lab.publish(limited(FAST))
    data = bytes(range(256)) * 8192
    done = every_lab.login("probe cat", input=data)
    assert (done.out == data, done.err) == (True, b"")
    assert_ended(done, 0)
    done = every_lab.login("actor say a^b^ c^")
    assert (done.out, done.err) == (b"said=2\n", b"a\nb\nc\n")


@pytest.mark.parametrize("rate", [50_000, 200_000])
@pytest.mark.parametrize("kind", KINDS)
def test_output_and_errors_share_a_limit(set_uid_lab: Lab, kind: str, rate: int) -> None:
    # What the one has used up of it is not the end of the other.
    set_uid_lab.publish(limited(record("bandwidth", rate)))
    lines = rate // 128
    client = Client(set_uid_lab, f"actor both {lines}", kind)
    client.end_input()
    got = {client.output: 0, client.errors: 0}
    reading = list(got)
    while reading:
        ready = select.select(reading, [], [], 10)[0]
        assert ready, got
        for fd in ready:
            size = len(os.read(fd, 1 << 16))
            got[fd] += size
            if size == 0:
                reading.remove(fd)
    assert list(got.values()) == [64 * lines, 64 * lines]
    assert_ended(client.session.wait(), 0)
    client.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_client_gets_all_of_it(set_uid_lab: Lab, kind: str) -> None:
    set_uid_lab.publish(limited(FAST))
    client = Client(set_uid_lab, "actor flood 3000000", kind)
    outer, _, command = client.session.pids(3)
    set_uid_lab.host.wait_until(lambda: asleep(outer) and asleep(command), "both wait for the client")
    before = cpu_ticks([outer])
    time.sleep(0.3)
    assert cpu_ticks([outer]) - before <= 1  # it waits without turning round
    total = 0
    while block := os.read(client.output, 5000):
        total += len(block)
    assert total == 3_000_000
    assert_ended(client.session.wait(), 0)
    client.close()


@pytest.mark.parametrize("kind", KINDS)
def test_the_ends_of_streams(set_uid_lab: Lab, kind: str) -> None:
    set_uid_lab.publish(limited(FAST))
    client = Client(set_uid_lab, "actor close-output", kind)
    assert select.select([client.output], [], [], 10)[0]
    assert os.read(client.output, 10) == b""  # while the command goes on
    assert client.session.process.poll() is None
    os.write(client.input, bytes(1000))
    client.end_input()
    assert read_all(client.errors) == b"stdin=1000\n"
    assert_ended(client.session.wait(), 5)
    client.close()


def test_a_command_that_does_not_read(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited(FAST))
    with open("/dev/zero", "rb") as zero:
        for command in ("actor close-input 1000000", "actor flood 1000000"):
            done = set_uid_lab.login(command, stdin=zero)
            assert len(done.out) == 1_000_000
            assert_ended(done, 0)
        assert_ended(set_uid_lab.login("probe sleep 0.2", stdin=zero), 0)


def test_what_is_left_behind_holds_nothing_up(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited(FAST))
    for command in ("actor leave", "actor leave-writer"):
        done = set_uid_lab.login(command)
        assert_ended(done, 0)
        assert done.out.startswith((b"left\n", b"first\n", b"more\n"))
    set_uid_lab.assert_nothing_left()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", ["probe sleep 60", "actor flood 99999999", "actor signals", "probe cat"])
def test_the_client_vanishes(set_uid_lab: Lab, kind: str, command: str) -> None:
    set_uid_lab.publish(limited(FAST))
    client = Client(set_uid_lab, command, kind)
    client.session.pids(3)
    client.close()
    done = client.session.wait()
    allowed = (128 + signal.SIGKILL, 128 + signal.SIGPIPE, 3, 0 if command == "probe cat" else 3)
    assert done.code in allowed
    assert done.events()[-1] == "session-end"


@pytest.mark.parametrize("kind", KINDS)
def test_sshd_is_killed(set_uid_lab: Lab, kind: str) -> None:
    set_uid_lab.publish(limited(FAST))
    client = Client(set_uid_lab, "actor flood 99999999", kind)
    os.read(client.output, 1)
    os.kill(client.session.sshd(), signal.SIGKILL)
    set_uid_lab.assert_nothing_left()
    client.close()


def test_signals_go_through(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited(FAST))
    session = set_uid_lab.start("actor signals")
    wait_for(session, b"size=")
    session.signal(signal.SIGUSR1)
    wait_for(session, b"signal=USR1\n")
    session.signal(signal.SIGTERM)
    assert_ended(session.wait(), 9)


RATE = 400_000


@pytest.mark.parametrize("command", ["probe cat", "actor flood 800000"])
def test_bandwidth(set_uid_lab: Lab, command: str) -> None:
    set_uid_lab.publish(limited(record("bandwidth", RATE)))
    client = Client(set_uid_lab, command, "socketpair")
    got, seconds = client.exchange(2 * RATE if command == "probe cat" else 0)
    assert got == 2 * RATE
    assert 1.8 <= seconds <= 8, seconds  # 2.0 where nothing else runs
    assert_ended(client.session.wait(), 0)
    client.close()


@pytest.fixture
def terminal(set_uid_lab: Lab) -> Terminal:
    return Terminal(set_uid_lab)


def test_bandwidth_of_a_terminal(terminal: Terminal) -> None:
    terminal.lab.publish(limited(record("bandwidth", RATE), pty=True))
    size = RATE * 2 // 65 * 64  # a carriage return comes to each line of 64
    begin = time.monotonic()
    terminal.start(f"actor flood {size}")
    done = terminal.wait()
    assert 1.8 <= time.monotonic() - begin <= 8
    assert len(done.out) == size + size // 64
    assert_ended(done, 0)
    terminal.close()


@pytest.mark.parametrize(("verb", "line"), [("idle", "idle for 1s"), ("duration", "time limit reached (1s)")])
@pytest.mark.parametrize(("command", "code", "grace"), [("probe sleep 60", 129, 0), ("actor signals", 137, 2)])
def test_a_session_must_end(set_uid_lab: Lab, verb: str, line: str, command: str, code: int, grace: int) -> None:
    set_uid_lab.publish(limited(record(verb, 1)))
    begin = time.monotonic()
    done = set_uid_lab.login(command, stdin=subprocess.PIPE)
    assert 1 + grace <= time.monotonic() - begin < 8 + grace
    end = assert_ended(done, code)
    assert end["JAILSSH_REASON"] == verb
    assert done.err == f"jailssh: session closed: {line}\n".encode()
    assert (b"signal=HUP\n" in done.out) == (grace > 0)
    set_uid_lab.assert_nothing_left()


@pytest.mark.parametrize(("verb", "line"), [("idle", b"idle for 1s"), ("duration", b"time limit reached (1s)")])
def test_a_terminal_must_end(terminal: Terminal, verb: str, line: bytes) -> None:
    terminal.lab.publish(limited(record(verb, 1), pty=True))
    terminal.start("probe sleep 60")
    done = terminal.wait()
    assert b"\r\njailssh: session closed: " + line + b"\r\n" in done.out
    assert assert_ended(done, 129)["JAILSSH_REASON"] == verb
    terminal.close()


@pytest.mark.alone
def test_traffic_is_not_idleness(set_uid_lab: Lab) -> None:
    set_uid_lab.publish(limited(record("idle", 1)))
    client = Client(set_uid_lab, "probe cat", "socketpair")
    for _ in range(6):
        os.write(client.input, b"x")
        time.sleep(0.3)
    assert client.session.process.poll() is None
    begin = time.monotonic()
    assert (read_all(client.output), client.session.wait().code) == (b"xxxxxx", 129)
    assert 0.4 < time.monotonic() - begin < 4
    client.close()


@pytest.mark.parametrize("verb", ["idle", "duration"])
def test_a_client_that_takes_nothing_holds_nothing_up(set_uid_lab: Lab, verb: str) -> None:
    set_uid_lab.publish(limited(record(verb, 1), FAST))
    client = Client(set_uid_lab, "actor flood 99999999", "pipes")
    done = client.session.wait(timeout=30)  # one second, two for the command, two for the client
    assert done.code in (129, 137)
    assert done.records[-1]["JAILSSH_REASON"] == verb
    set_uid_lab.assert_nothing_left()
    client.close()


@pytest.mark.parametrize("verb", ["idle", "duration"])
def test_a_terminal_that_takes_nothing_holds_nothing_up(terminal: Terminal, verb: str) -> None:
    terminal.lab.publish(limited(record(verb, 1), pty=True))
    flags = fcntl.fcntl(terminal.slave, fcntl.F_GETFL)
    done = terminal.start("actor flood 99999999").wait(timeout=10)
    assert done.records[-1]["JAILSSH_REASON"] == verb
    assert (fcntl.fcntl(terminal.slave, fcntl.F_GETFL), termios.tcgetattr(terminal.slave)) == (flags, terminal.before)
    terminal.lab.assert_nothing_left()
    terminal.close()
