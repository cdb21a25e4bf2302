"""What an account may use in all its sessions together, on a booted Debian whose systemd has control groups."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.system.booted import BootedTree
from tests.system.people import OPEN, SSH

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")

NAME = "greedy"
MEMORY, TASKS, QUOTA = 96 << 20, 60, 50
JAIL = f"plugins = shell\n[limits]\nmemory = {MEMORY}\ntasks = {TASKS}\ncpu_quota = {QUOTA}%\n"
# Its processes come to no end, and its shell goes on when no further one can be made.
BOMB = "trap '' HUP TERM; while :; do (trap '' HUP TERM; while :; do sleep 600; done) & sleep 0.01; done"
HOG = "echo ready; read x; head -c {size} /dev/zero | tail -c {size} | tail -c 1 | wc -c"


@pytest.fixture(scope="module")
def slice_(tree: BootedTree) -> Iterator[str]:
    """An account with limits; gives its slice's name."""
    tree.run(f"cat >/etc/jailssh/jails/{NAME}.conf", input=JAIL, check=True)
    tree.sh(f"jailssh adduser {NAME} --jail {NAME} --key /root/key.pub --yes")
    yield f"user-{tree.sh(f'id -u {NAME}').strip()}.slice"
    tree.sh(f"jailssh kick {NAME}; jailssh deluser {NAME} --yes; rm -rf /etc/jailssh/jails/{NAME}.conf /home/{NAME}")


@contextmanager
def session(tree: BootedTree, command: str) -> Iterator[subprocess.Popen[str]]:
    """Start a session of the account that runs ``command``, and be sure of its end."""
    client = tree.popen(f"exec ssh {SSH} {NAME}@localhost {shlex.quote(command)}")
    with client:
        try:
            yield client
        finally:
            client.kill()


def tasks(tree: BootedTree, slice_: str) -> int:
    shown = tree.sh(f"systemctl show --value -p TasksCurrent {slice_}").strip()
    return int(shown) if shown.isdecimal() else 0


def answers(tree: BootedTree) -> bool:
    """True if another account works as before, and the administrator too."""
    return tree.sh(f"ssh -n {SSH} {OPEN}@localhost 'echo $(id -un)'") == f"{OPEN}\n"


@contextmanager
def kernel_log() -> Iterator[int]:
    """Open what the kernel says from now on; on a machine it stands in the journal (journalctl -k)."""
    log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    os.lseek(log, 0, os.SEEK_END)
    try:
        yield log
    finally:
        os.close(log)


def said(log: int) -> list[str]:
    lines = []
    while True:
        try:
            lines.append(os.read(log, 8192).decode(errors="replace"))
        except BlockingIOError:
            return lines
        except BrokenPipeError:
            continue  # other lines came faster than these are read


def test_the_slice_has_what_the_jail_says(tree: BootedTree, slice_: str) -> None:
    shown = tree.sh(f"systemctl show -p MemoryMax,TasksMax,CPUQuotaPerSecUSec {slice_}").split()
    assert sorted(shown) == [f"CPUQuotaPerSecUSec={QUOTA * 10}ms", f"MemoryMax={MEMORY}", f"TasksMax={TASKS}"]
    # Its status is that of mail as well, which another test may have left with another server.
    assert "limit nothing on this host" not in tree.run("jailssh config check 2>&1").stdout


def test_processes_of_all_sessions_are_bounded_and_kick_ends_them(tree: BootedTree, slice_: str) -> None:
    with kernel_log() as log, session(tree, BOMB) as first, session(tree, BOMB) as second:
        tree.wait(lambda: tasks(tree, slice_) == TASKS, "the last process that it may have")
        lines: list[str] = []

        def speaks() -> bool:
            lines.extend(said(log))
            return bool(lines)

        tree.wait(speaks, "the kernel's word")
        assert any("fork rejected by pids controller" in line and slice_ in line for line in lines)
        assert answers(tree)
        assert tasks(tree, slice_) <= TASKS
        assert first.poll() is None
        assert second.poll() is None
        assert tree.sh(f"jailssh kick {NAME}") == f"{NAME}: ended 2 sessions\n"
        assert first.wait(30) != 0
        assert second.wait(30) != 0
        assert "Resource temporarily unavailable" in first.communicate()[1] + second.communicate()[1]
    tree.wait(lambda: tasks(tree, slice_) == 0, "the end of all its processes")
    assert tree.sh(f"ssh -n {SSH} {NAME}@localhost echo again") == "again\n"


def test_memory_of_all_sessions_is_bounded(tree: BootedTree, slice_: str) -> None:
    # One of them alone has room; two have not.
    part = HOG.format(size=MEMORY * 6 // 10)
    with session(tree, part) as alone:
        assert alone.stdin
        out, errors = alone.communicate("go\n", timeout=60)
        assert out.split() == ["ready", "1"], errors
    holding = f"head -c {MEMORY * 6 // 10} /dev/zero >/tmp/held; echo held; sleep 600"
    with kernel_log() as log, session(tree, holding) as first:
        assert first.stdout
        assert first.stdout.readline() == "held\n"
        with session(tree, part) as second:
            out, errors = second.communicate("go\n", timeout=60)
            assert out.split() != ["ready", "1"]
        lines = said(log)
        assert any("oom-kill" in line and slice_ in line for line in lines), lines
        assert answers(tree)
        assert tree.sh(f"jailssh kick {NAME}").startswith(f"{NAME}: ended ")
    tree.wait(lambda: tasks(tree, slice_) == 0, "the end of all its processes")
    assert tree.sh(f"ssh -n {SSH} {NAME}@localhost echo again") == "again\n"


def test_time_of_all_processors_is_bounded(tree: BootedTree, slice_: str) -> None:
    # What else runs on this machine must leave it more than its limit, or there is nothing to see.
    with tree.preferred():
        assert any(spins(tree, slice_) for _ in range(5)), "it was never held back"


def spins(tree: BootedTree, slice_: str) -> bool:
    """Use all processors for four seconds, see that there was no more to have; return whether it was held back."""
    group = f"{{,/cpu}}/user.slice/{slice_}"
    spin = "(while test $SECONDS -lt 4; do :; done) &"
    start = time.monotonic()
    with session(tree, f"SECONDS=0; {spin} {spin} {spin} wait; times; sleep 600") as client:
        assert client.stdout
        _, children = client.stdout.readline(), client.stdout.readline()
        took = time.monotonic() - start
        # While it is there: systemd takes the slice away some time after the last session.
        throttled = tree.sh(f"bash -c 'cat /sys/fs/cgroup{group}/cpu.stat 2>/dev/null' | grep nr_throttled")
    used = sum(int(minutes) * 60 + float(seconds) for minutes, seconds in re.findall(r"(\d+)m([\d.]+)s", children))
    assert 0 < used < QUOTA / 100 * took + 0.3
    return int(throttled.split()[1]) > 0


def test_a_disk_that_is_filled_is_the_account_s_own(tree: BootedTree, slice_: str) -> None:
    """What it can fill is its own /tmp, in its own memory: it gets an error, and others have room."""
    fill = "i=0; while head -c 4M /dev/zero >/tmp/$i; do i=$((i+1)); done; echo full; : >/tmp/one-more; sleep 600"
    with kernel_log() as log, session(tree, fill) as client:
        assert client.stdout
        told = client.stdout.readline()  # "full", or nothing where the limit of memory has ended the session
        assert told == "full\n" or any("oom-kill" in line and slice_ in line for line in said(log))
        assert answers(tree)
        assert (
            tree.sh("dd if=/dev/zero of=/tmp/room bs=1M count=8 status=none && rm /tmp/room && echo fits") == "fits\n"
        )
        tree.sh(f"jailssh kick {NAME}")
        if told:
            assert "No space left on device" in client.communicate()[1]
    tree.wait(lambda: tasks(tree, slice_) == 0, "the end of all its processes")


def test_sessions_are_seen_and_joined_in_their_slice(tree: BootedTree, slice_: str) -> None:
    with session(tree, "echo ready; sleep 600") as client:
        assert client.stdout
        assert client.stdout.readline() == "ready\n"
        [seen] = json.loads(tree.sh(f"jailssh sessions {NAME} --json"))["sessions"]
        assert (seen["user"], seen["jail"], seen["command"]) == (NAME, NAME, "echo ready; sleep 600")
        assert seen["peer"]
        assert seen["sent"] > 0
        # A command of root's counts for the account, and shows where it is by the control group of the session.
        joined = tree.sh(f"jailssh exec {NAME} -- sh -c 'id -u; cat /proc/self/cgroup'").splitlines()
        assert joined[0] == slice_.removeprefix("user-").removesuffix(".slice")
        with tree.popen(f"exec jailssh exec {NAME} -- sh -c 'echo in; exec sleep 70'") as other:
            assert other.stdout
            assert other.stdout.readline() == "in\n"
            tree.wait(lambda: tree.run("pgrep -f '^sleep 70'").returncode == 0, "the command")
            pid = tree.sh("pgrep -f '^sleep 70'").split()[0]
            assert slice_ in tree.sh(f"cat /proc/{pid}/cgroup")
            assert tree.sh(f"jailssh kick {seen['session']}") == f"session {seen['session']} of {NAME}: ended\n"
            assert other.wait(30) == 137
        assert client.wait(30) != 0
        assert tree.sh("jailssh sessions") == "no session in a jail\n"
