"""A session's life: exit status, output, signals, vanishing parties, and that nothing of it survives."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import subprocess
import time
from dataclasses import replace

import pytest

from jailssh.plan import codec
from jailssh.policy import rules
from tests.root import login_lab
from tests.root.login_lab import OTHER_UID, UID, Done, Lab, assert_ended, assert_refused, plan, record
from tests.root.terminal_lab import wait_for

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab
MEGABYTES = 10 << 20


@pytest.mark.parametrize("status", [0, 1, 7, 125, 126, 127, 128, 255])
def test_the_commands_own_status(every_lab: Lab, status: int) -> None:
    done = every_lab.login(f"probe exit {status}")
    assert_ended(done, status)
    assert (done.out, done.err) == (b"", b"")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE, signal.SIGTERM])
def test_death_by_signal(every_lab: Lab, number: signal.Signals) -> None:
    assert_ended(every_lab.login(f"probe kill-self {number.value}"), 128 + number)


def test_a_program_that_is_not_there(every_lab: Lab) -> None:
    done = every_lab.login("missing")
    (found,) = done.records
    line = f"jailssh: cannot run this command; give your administrator reference {found['JAILSSH_SESSION'][:8]}\n"
    assert (done.code, done.out, done.err.decode()) == (127, b"", line)
    assert (found["JAILSSH_EVENT"], found["JAILSSH_REASON"], found["JAILSSH_EXIT"]) == ("refused", "not-found", "127")
    assert found["MESSAGE"] == "u: login refused (not-found): /bin/missing: No such file or directory"


def test_a_shell_that_is_not_there(every_lab: Lab) -> None:
    """Nobody asked for a command, so none is spoken of."""
    shell = rules.Rule("lab.login", "lab", "/bin/missing", (), interactive_login=True)
    parsed = codec.decode(plan())
    more = [record(*row) for row in rules.rule_records(shell)]
    every_lab.publish(codec.encode(replace(parsed, records=(*parsed.records, *more))))
    done = every_lab.login()
    reference = done.records[0]["JAILSSH_SESSION"][:8]
    line = f"jailssh: cannot start this session; give your administrator reference {reference}\n"
    assert (done.code, done.out, done.err.decode()) == (127, b"", line)


def test_the_records_of_a_session(every_lab: Lab) -> None:
    start, end = every_lab.login("probe exit 3").records
    assert (start["JAILSSH_COMMAND"], start["JAILSSH_RULE"], start["JAILSSH_PLUGIN"]) == (
        "probe exit 3",
        "lab.probe",
        "lab",
    )
    for row in (start, end):
        assert (row["JAILSSH_USER"], row["JAILSSH_UID"], row["JAILSSH_JAIL"]) == ("u", str(UID), "lab")
        assert (row["JAILSSH_PLAN"], row["JAILSSH_PEER"]) == (f"{UID:016x}", "192.0.2.1 4000 192.0.2.2 22")
    assert start["JAILSSH_SESSION"] == end["JAILSSH_SESSION"]
    assert 0 < int(end["JAILSSH_DURATION_USEC"]) < 60_000_000
    assert int(end["JAILSSH_CPU_USEC"]) >= 0
    assert int(end["JAILSSH_MAXRSS"]) > 0


def drain(fd: int, pause: float = 0) -> int:
    """Read to the end, slowly at first, and return how much came."""
    total = 0
    while block := os.read(fd, 65536):
        total += len(block)
        time.sleep(pause if total < 1 << 20 else 0)
    return total


@pytest.mark.parametrize("kind", ["pipe", "socketpair", "file"])
def test_all_output_arrives(every_lab: Lab, kind: str) -> None:
    if kind == "file":
        with open(every_lab.path("/srv/out"), "w+b") as file:
            assert_ended(every_lab.login(f"actor flood {MEGABYTES}", stdout=file), 0)
            assert file.tell() == MEGABYTES
        return
    if kind == "pipe":
        ours, theirs = os.pipe()
    else:
        ours, theirs = (end.detach() for end in socket.socketpair())
    session = every_lab.start(f"actor flood {MEGABYTES}", stdout=theirs)
    os.close(theirs)
    assert drain(ours, 0.001) == MEGABYTES
    os.close(ours)
    assert_ended(session.wait(), 0)


@pytest.mark.parametrize("kind", ["pipe", "socketpair"])
@pytest.mark.parametrize("command", ["probe sleep 60", "actor flood 99999999", "actor signals"])
def test_the_reader_vanishes(every_lab: Lab, kind: str, command: str) -> None:
    pair = os.pipe() if kind == "pipe" else tuple(end.detach() for end in socket.socketpair())
    session = every_lab.start(command, stdin=pair[1] if kind == "socketpair" else subprocess.DEVNULL, stdout=pair[1])
    os.close(pair[1])
    assert select.select([pair[0]], [], [], 10)[0]
    os.read(pair[0], 10)
    os.close(pair[0])
    done = session.wait()
    assert done.code in (128 + signal.SIGKILL, 128 + signal.SIGPIPE, 3)
    # It may be killed before the record of its start; the command is in a record all the same.
    assert done.events() in (["session-start", "session-end"], ["session-end"])
    assert done.records[0]["JAILSSH_COMMAND"] == command


def test_input_goes_through(every_lab: Lab) -> None:
    data = bytes(range(256)) * 8192
    done = every_lab.login("probe cat", input=data)
    assert_ended(done, 0)
    assert done.out == data


def test_what_the_command_leaves_is_killed(every_lab: Lab) -> None:
    done = every_lab.login("actor leave")
    assert_ended(done, 0)
    assert done.out == b"left\n"
    every_lab.assert_nothing_left()
    assert_ended(every_lab.login("probe daemonize 60"), 0)


PASSED_ON = [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH]


def test_signals_reach_the_command(every_lab: Lab) -> None:
    session = every_lab.start("actor signals")
    wait_for(session, b"size=")
    for number in PASSED_ON:
        session.signal(number)
        wait_for(session, f"signal={number.name[3:]}\n".encode())
    session.signal(signal.SIGTERM)
    assert_ended(session.wait(), 9)


def test_stop_and_continue(every_lab: Lab) -> None:
    session = every_lab.start("actor signals")
    wait_for(session, b"size=")
    outer = session.pids(1)[0]
    os.kill(outer, signal.SIGSTOP)
    os.kill(outer, signal.SIGUSR1)
    os.kill(outer, signal.SIGCONT)
    wait_for(session, b"signal=USR1\n")
    os.kill(outer, signal.SIGTERM)
    assert_ended(session.wait(), 9)


ENDING = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1]


@pytest.mark.parametrize("number", [*ENDING, signal.SIGWINCH, signal.SIGKILL])
def test_a_signal_at_every_step(every_lab: Lab, number: signal.Signals) -> None:
    chance = random.Random(number)
    codes = set()
    for _ in range(12):
        session = every_lab.start("probe sleep 0.02" if number == signal.SIGWINCH else "probe sleep 20")
        end = time.monotonic() + chance.uniform(0, 0.012)
        for login in session.pids(1):  # none where a busy machine has let it come to its end unseen
            while time.monotonic() < end:
                pass
            with contextlib.suppress(ProcessLookupError):
                os.kill(login, number)
        codes.add(session.wait().code)
    # Before its first instruction the program dies of the signal itself, later it says so by its status.
    allowed = {-number, 128 + number} if number in ENDING else {-number} if number == signal.SIGKILL else {0}
    assert codes <= allowed, codes
    every_lab.assert_nothing_left()


@pytest.mark.parametrize("whom", ["the outer half", "the first process", "the command", "sshd"])
def test_sigkill_in_mid_command(every_lab: Lab, whom: str) -> None:
    session = every_lab.start("actor signals")
    wait_for(session, b"size=")
    outer, first, command = session.pids(3)
    pid = {"the outer half": outer, "the first process": first, "the command": command}.get(whom, session.sshd())
    os.kill(pid, signal.SIGKILL)
    done = session.wait()
    every_lab.assert_nothing_left()
    if whom in ("the command", "the first process"):
        assert (done.code, done.events()[-1]) == (128 + signal.SIGKILL, "session-end")
        assert done.records[0]["JAILSSH_COMMAND"] == "actor signals"
    elif whom == "sshd":
        assert [row["JAILSSH_EXIT"] for row in every_lab.records() + done.records if "JAILSSH_EXIT" in row] == ["137"]


def test_sshd_dies_at_any_step(every_lab: Lab) -> None:
    chance = random.Random(1)
    for _ in range(20):
        session = every_lab.start("actor signals")
        process, sshd = session.process, session.sshd()
        time.sleep(chance.uniform(0, 0.01))
        os.kill(sshd, signal.SIGKILL)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # sshd held the other ends
        process.stderr.close()
        process.wait(20)
        every_lab.assert_nothing_left()


def test_200_logins_at_once(set_uid_lab: Lab) -> None:
    def state() -> str:
        look = "find /run/jailssh | sort; cut -d' ' -f5 /proc/self/mountinfo | sort; ls /tmp"
        return set_uid_lab.host.run(["sh", "-c", look], check=True).stdout

    set_uid_lab.login("probe exit 0")
    before = state()
    sessions = [
        set_uid_lab.start(f"probe exit {number % 100}", uid=UID if number % 2 else OTHER_UID, stdout=subprocess.DEVNULL)
        for number in range(200)
    ]
    ended = [session.process.communicate(timeout=60) for session in sessions]
    assert [err for _, err in ended if err] == []
    assert [session.process.returncode for session in sessions] == [number % 100 for number in range(200)]
    events = [row["JAILSSH_EVENT"] for row in set_uid_lab.records()]
    assert (events.count("session-start"), events.count("session-end"), len(events)) == (200, 200, 400)
    assert state() == before


def test_first_logins_at_once(every_lab: Lab) -> None:
    # All of them find that nothing is pinned yet.
    forget = "for at in $(cut -d' ' -f5 /proc/self/mountinfo | grep ^/run/jailssh | sort -r); do umount -l $at; done"
    every_lab.host.run(["sh", "-c", f"{forget}; rm -rf /run/jailssh"], check=True)
    sessions = [every_lab.start("probe exit 7") for _ in range(20)]
    assert [session.process.communicate(timeout=60) for session in sessions] == [(b"", b"")] * 20
    assert [session.process.returncode for session in sessions] == [7] * 20
    every_lab.records()


def has_dropped(pid: int) -> bool:
    with open(f"/proc/{pid}/status") as file:
        return "\nCapPrm:\t0000000000000000\n" in file.read()


def test_the_outer_half_has_no_power(every_lab: Lab) -> None:
    session = every_lab.start("probe sleep 60")
    wait_for(session, b"pid=")
    outer, first, command = session.pids(3)
    host_mounts = os.readlink(f"/proc/{every_lab.host.init_pid}/ns/mnt")
    # The jail does not wait for it.
    every_lab.host.wait_until(lambda: has_dropped(outer), "its drop")
    for pid in (outer, first):
        with open(f"/proc/{pid}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file)
        assert (status["Uid"], status["Gid"]) == ("\t".join([str(UID)] * 4),) * 2
        assert {status[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Amb", "Bnd")} == {"0" * 16}
        assert (status["NoNewPrivs"], status["Groups"].strip()) == ("1", "")
        assert os.stat(f"/proc/{pid}/environ").st_uid == 0  # not dumpable: root's, proc(5)
        assert os.readlink(f"/proc/{pid}/ns/mnt") != host_mounts
    assert os.stat(f"/proc/{command}/environ").st_uid == UID
    session.signal(signal.SIGTERM)
    assert session.wait().code == 128 + signal.SIGTERM


def test_a_home_that_vanishes_is_a_refusal_not_a_hang(every_lab: Lab) -> None:
    home = every_lab.path("/home/u")
    home.rename(home.with_name("aside"))
    try:
        done: Done = every_lab.login("probe exit 0")
    finally:
        home.with_name("aside").rename(home)
    assert_refused(done, "source")
