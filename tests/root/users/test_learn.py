"""The time in which an account is learned: a file of root's alone, whole at every moment, trusted only as such."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from jailssh.core.errors import HostError
from jailssh.host import process
from jailssh.host.paths import Layout
from jailssh.users import learning
from jailssh.users.learning import Learning
from tests.abilities import REPO

pytestmark = pytest.mark.needs("root")

FIRST, SECOND = Learning(61001, "alice", 1000.5, 4600.5), Learning(61001, "alice", 1000.5, 9000)
# Writes the second in place of the first and is killed at the system call whose number is given.
KILLED = """
import os, signal, sys
from jailssh.host.paths import Layout
from jailssh.users import learning
calls = 0
def counted(name):
    real = getattr(os, name)
    def call(*args, **how):
        global calls
        calls += 1
        if calls == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **how)
    setattr(os, name, call)
for name in ("open", "write", "fchown", "fchmod", "fsync", "rename", "close"):
    counted(name)
learning.write(Layout(root=sys.argv[1]), learning.Learning(61001, "alice", 1000.5, 9000))
print(calls)
"""


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(root=str(tmp_path))
    os.makedirs(layout.state)
    return layout


def state(layout: Layout) -> Path:
    return Path(layout.state, "learn", "61001")


def test_only_root_can_read_and_write_it(layout: Layout) -> None:
    before = os.umask(0)
    try:
        learning.write(layout, FIRST)
    finally:
        os.umask(before)
    info, folder = state(layout).stat(), state(layout).parent.stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (0, 0, 0o600)
    assert (folder.st_uid, stat.S_IMODE(folder.st_mode)) == (0, 0o700)
    assert json.loads(state(layout).read_bytes())["until"] == 4600.5
    assert learning.read(layout, 61001, "alice") == FIRST


def test_it_is_over_by_itself() -> None:
    assert [FIRST.running(now) for now in (1000.5, 4600.4, 4600.5, 1e12)] == [True, True, False, False]


def test_killed_at_any_point_the_old_or_the_new_one_is_there(layout: Layout) -> None:
    learning.write(layout, FIRST)

    def killed_at(number: int) -> process.Completed:
        argv = [sys.executable, "-B", "-c", KILLED, layout.root, str(number)]
        return process.run(argv, timeout=60, env={"PYTHONPATH": str(REPO)}, check=False)

    points = int(killed_at(0).stdout)
    assert points > 10
    learning.write(layout, FIRST)
    seen = set()
    for number in range(1, points + 1):
        assert killed_at(number).code == 128 + signal.SIGKILL
        found = learning.read(layout, 61001, "alice")
        assert found in (FIRST, SECOND)
        seen.add(found)
        assert [one.name for one in learning.every(layout)] == ["alice"]
        learning.write(layout, FIRST)
    assert seen == {FIRST, SECOND}


@pytest.mark.parametrize("spoil", ["owner", "mode", "link", "hard-link", "folder"])
def test_what_another_could_have_written_is_refused(layout: Layout, tmp_path: Path, spoil: str) -> None:
    learning.write(layout, FIRST)
    path = state(layout)
    if spoil == "owner":
        os.chown(path, 61001, 61001)
    elif spoil == "mode":
        path.chmod(0o620)
    elif spoil == "link":
        path.rename(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    elif spoil == "hard-link":
        os.link(path, tmp_path / "second")
    else:
        real = path.parent.rename(tmp_path / "real")
        path.parent.symlink_to(real)
    with pytest.raises(HostError):
        learning.read(layout, 61001, "alice")
    if spoil != "folder":
        learning.write(layout, SECOND)
        assert learning.read(layout, 61001, "alice") == SECOND


def test_forgetting(layout: Layout) -> None:
    assert learning.every(layout) == []
    assert learning.forget(layout, 61001) is False
    learning.write(layout, FIRST)
    assert learning.forget(layout, 61001) is True
    assert learning.read(layout, 61001, "alice") is None
