"""Files of the kernel's in which users have names: a newline alone ends a line, also where a name has what looks so."""

from __future__ import annotations

import builtins
import ctypes
import io
import os
import signal
from typing import Any

import pytest

from jailssh.entering.kept import Kept, Kind
from jailssh.files import control_groups, mounts
from jailssh.services import joining
from jailssh.systems import running

_SET_NAME = 15  # PR_SET_NAME of prctl(2)


def say(monkeypatch: pytest.MonkeyPatch, module: Any, files: dict[str, bytes]) -> None:
    """Have ``module`` read these in the place of the kernel's."""

    def opened(path: str, **how: Any) -> Any:
        return io.TextIOWrapper(io.BytesIO(files[path]), **how) if path in files else builtins.open(path, **how)

    monkeypatch.setattr(module, "open", opened, raising=False)


def test_a_mount_in_a_directory_of_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = (b"21 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
            b"99 21 0:44 / /home/m/a\r7\\040b rw,nosuid,nodev shared:9 - fuse.x x rw,user_id=1001\n"
            b"22 21 0:5 / /proc rw - proc proc rw\n")  # fmt: skip
    say(monkeypatch, mounts, {"/proc/self/mountinfo": rows})
    assert [each.point for each in mounts.mounts_of()] == ["/", "/home/m/a\r7 b", "/proc"]


def test_a_control_group_of_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    # The second is there; who is in it by its name alone is not.
    theirs = b"0::/jailssh-systems/web/a\r0::/system.slice\n"
    say(monkeypatch, joining, {"/proc/77/cgroup": theirs})
    monkeypatch.setattr(os.path, "isdir", lambda path: path.endswith("/system.slice") and "\r" not in path)
    assert joining.groups_of(77) == []
    say(monkeypatch, control_groups, {"/proc/self/cgroup": theirs})
    assert control_groups.own() == {"": "/jailssh-systems/web/a\r0::/system.slice"}


def test_the_name_of_an_init_is_no_number_of_its_parent() -> None:
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).prctl(_SET_NAME, b"a\rPPid: 1", 0, 0, 0)
        os.write(told, b"x")
        signal.pause()
    try:
        os.read(ready, 1)
        now = Kept(name="web", id=1, kind=Kind.SYSTEM, pid=child, start=1, boot="", inode=1, since=0)
        assert running.watcher_of(now) == os.getpid()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(told)
