"""End what an account has open: its jails, and the connections of sshd that could open further ones."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

_SSHD = ("sshd", "sshd-session", "sshd-auth")
_ROUNDS = 20
_PATIENCE = 1.0


def end_sessions(uid: int, login_program: str) -> tuple[int, bool]:
    """Kill the login programs and sshd's processes of ``uid``; the kernel then ends every process of their jails.

    Returns how many jails there were, and whether nothing of them is left.  A process is killed by a descriptor of
    its own (pidfd_open(2)) after a second look, so never one that has got its number since.
    """
    jails: set[int] = set()
    for _ in range(_ROUNDS):  # what begins while others end
        found = list(_processes(uid, login_program))
        if not found:
            return len(jails), True
        jails.update(pid for pid, is_jail in found if is_jail)
        fds = []
        for pid, is_jail in found:
            with suppress(OSError):
                fd = os.pidfd_open(pid)
                fds.append(fd)
                if (pid, is_jail) in set(_look(pid, uid, login_program)):
                    signal.pidfd_send_signal(fd, signal.SIGKILL)
        _wait(fds)
    return len(jails), not list(_processes(uid, login_program))


def _processes(uid: int, login_program: str) -> Iterator[tuple[int, bool]]:
    for name in os.listdir("/proc"):
        if name.isdecimal():
            yield from _look(int(name), uid, login_program)


def _look(pid: int, uid: int, login_program: str) -> Iterator[tuple[int, bool]]:
    """Yield the process, and whether it is the outer half of a jail, if it is one of those to be ended."""
    with suppress(OSError):
        # The owner of the directory is root for a process that is not dumpable, so the ids are read (proc(5)).
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="surrogateescape") as stream:
            fields = dict(line.rstrip("\n").partition(":\t")[::2] for line in stream)
        if fields["Uid"].split() != [str(uid)] * 4:
            return
        program = os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")
        if program == login_program:
            # The jail's first process has a number in a second namespace; it ends with the outer half.
            yield pid, len(fields["NSpid"].split()) == len(_own_numbers())
        elif os.path.basename(program) in _SSHD:
            yield pid, False


def _own_numbers() -> list[str]:
    with open("/proc/self/status", encoding="utf-8", errors="surrogateescape") as stream:
        return next(line.split()[1:] for line in stream if line.startswith("NSpid:"))


def _wait(fds: list[int]) -> None:
    """Wait until the processes have ended, for a moment at most, and close their descriptors."""
    poll = select.poll()
    left = set(fds)
    for fd in fds:
        poll.register(fd, select.POLLIN)
    end = time.monotonic() + _PATIENCE
    while left and (rest := end - time.monotonic()) > 0:
        for fd, _ in poll.poll(rest * 1000):
            poll.unregister(fd)
            left.discard(fd)
    for fd in fds:
        os.close(fd)
