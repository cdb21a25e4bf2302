"""Who is waited for dies at the very moment when nobody watches over it yet: nothing of the session goes on."""

from __future__ import annotations

import os
import pathlib
import signal
import time

import pytest

from tests.root import login_lab
from tests.root.login_lab import Lab
from tests.root.other_kernel import INNER, OUTER, Answer, other_kernel

pytestmark = login_lab.NEEDS
set_uid_lab = login_lab.set_uid_lab


def status_of(pid: int) -> dict[str, str]:
    rows = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, value in (row.split(":", 1) for row in rows)}


def end(pid: int) -> None:
    """Kill a process and wait until its children have another parent."""
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            if status_of(pid)["State"].startswith("Z"):
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.001)
    raise TimeoutError(f"process {pid} does not end")


# PR_SET_PDEATHSIG of the jail's first process, whose parent is the outer half, and of that, whose parent is sshd.
@pytest.mark.parametrize("tie", [Answer("prctl", None, (1, 9), INNER), Answer("prctl", None, (1, 1), OUTER)], ids=str)
def test_the_parent_dies_before_it_is_watched(set_uid_lab: Lab, tie: Answer) -> None:
    gone: list[int] = []

    def kill_parent(pid: int, _who: str, _answer: Answer) -> None:
        gone.append(int(status_of(pid)["PPid"]))
        end(gone[0])

    with other_kernel(set_uid_lab, [tie], kill_parent):
        session = set_uid_lab.start("probe sleep 20")
        set_uid_lab.host.wait_until(lambda: bool(gone), "the moment")
        set_uid_lab.assert_nothing_left()
        assert session.wait().code == -signal.SIGKILL
