"""Whose a process is, whatever ids it has at the moment."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time

import pytest

from jailssh.host.paths import Layout
from jailssh.services import processes

pytestmark = pytest.mark.needs("root")

_UID = 65533
_EXIT = {"x86_64": 60}.get(os.uname().machine, 93)
"""exit(2), which ends one thread."""


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ((0, _UID, 0), (0, 0)),  # root on behalf of the account: sshd, a file server
        ((0, _UID, _UID), (0, _UID)),
        ((_UID, 0, 0), (_UID, 0)),
        ((_UID, _UID, _UID), (_UID, _UID)),
    ],
)
def test_whose_a_process_is(ids: tuple[int, int, int], expected: tuple[int, int]) -> None:
    source, target = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setresuid(*ids)
        os.write(target, b"+")
        signal.pause()
    try:
        os.read(source, 1)
        (found,) = [each for each in processes.all_of_them() if each.pid == pid]
        assert (found.uid, found.euid) == expected
        assert bool(found.program) == any(expected)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(source)
        os.close(target)


def test_a_process_whose_first_thread_has_ended_is_one() -> None:
    """The kernel shows it as a zombie then, without a program, and its other threads run."""
    source, target = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setresuid(_UID, _UID, _UID)
        threading.Thread(target=time.sleep, args=(60,)).start()
        os.write(target, b"+")
        ctypes.CDLL(None).syscall(ctypes.c_long(_EXIT), 0)
    try:
        os.read(source, 1)
        time.sleep(0.5)
        seen = processes.look_at(pid)
        assert seen is not None
        assert b"State:\tZ" in seen.status
        (found,) = [each for each in processes.all_of_them() if each.pid == pid]
        assert (found.program, found.here) == (os.readlink("/proc/self/exe"), True)
        assert processes.sort([found], {_UID: "alice"}, Layout()) == ({"alice": (found,)}, {})
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(source)
        os.close(target)
