"""Processes that have ended, and those that only look so."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jailssh.host import accounts
from jailssh.services import processes, sessions

FIRST_THREAD_ENDS = """
import ctypes, platform, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
ctypes.CDLL(None).syscall(60 if platform.machine() == "x86_64" else 93, 0)
"""


@contextmanager
def started(script: str, is_as_wanted: Callable[[int], bool]) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", script]) as child:
        try:
            until = time.monotonic() + 10
            while not is_as_wanted(child.pid) and time.monotonic() < until:
                time.sleep(0.01)
            yield child.pid
        finally:
            child.kill()


def state(pid: int) -> bytes:
    return processes.stat_of(pid)[0]


def test_one_that_has_ended_is_no_process_any_more() -> None:
    uid = os.getuid()
    with started("pass", lambda pid: state(pid) == b"Z") as pid:
        assert state(pid) == b"Z"
        assert pid not in accounts.processes_of(uid)
        assert pid in accounts.processes_of(uid, zombies=True)
        assert pid not in processes.look_at_all()
        assert sessions._if_of(uid, pid) == set()


def test_one_whose_first_thread_has_ended_is_one_still() -> None:
    uid = os.getuid()
    with started(FIRST_THREAD_ENDS, lambda pid: state(pid) == b"Z") as pid:
        assert state(pid) == b"Z"
        assert pid in accounts.processes_of(uid)
        assert pid in processes.look_at_all()
        assert sessions._if_of(uid, pid) != set()
