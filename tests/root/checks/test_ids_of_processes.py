"""Whose a process is, whatever ids it has at the moment."""

from __future__ import annotations

import os
import signal

import pytest

from jailssh.services import processes

pytestmark = pytest.mark.needs("root")

_UID = 65533


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
