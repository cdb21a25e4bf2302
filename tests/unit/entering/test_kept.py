"""Records of trees that are kept: what they lead to, and what they do not."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from jailssh.core.errors import HostError
from jailssh.entering import kept
from jailssh.entering.kept import Kept, Kind
from jailssh.host import process


def ours() -> Kept:
    fd = os.pidfd_open(os.getpid())
    inode = os.fstat(fd).st_ino
    os.close(fd)
    return Kept(name="own", id=1, kind=Kind.SYSTEM, pid=os.getpid(), start=process.start_time(os.getpid()) or 0,
                boot=process.boot_id(), inode=inode, since=1)  # fmt: skip


def test_a_namespace_is_of_the_process_that_was_registered() -> None:
    with kept.space(ours(), "uts") as path:
        assert os.stat(path).st_ino == os.stat("/proc/self/ns/uts").st_ino
    assert not os.path.exists(path)
    # Another one that has its number later.
    with pytest.raises(HostError, match="system own: has ended"), kept.space(replace(ours(), start=1), "uts"):
        pass


def test_names_that_a_file_system_brings_are_none() -> None:
    assert [name for name in ("a.b", "lost+found", "..", ".lock", "-x", "A_1-b", "x" * 64) if kept.is_name(name)] == [
        "a.b", "A_1-b",
    ]  # fmt: skip
