"""The closed room with its furniture: what programs of the tree get, and what works of ours beside them can do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jailssh.core.errors import HostError
from jailssh.core.names import HostPath
from jailssh.host import sandbox
from jailssh.image.build import write_tree
from jailssh.image.resolve import resolve
from jailssh.plugin.api import ImageNeeds

pytestmark = pytest.mark.needs("root")

SECONDS = 20


@pytest.fixture
def tree() -> Iterator[Path]:
    """A tree with a shell and little else."""
    path = Path(tempfile.mkdtemp(dir="/srv", prefix="jailssh-test-"))
    path.chmod(0o755)
    fd = os.open(path, os.O_RDONLY)
    needs = ImageNeeds(programs=("sh", "cat", "ls", "sleep"), dirs=("/srv/shown",))
    write_tree(fd, HostPath(str(path)), resolve([("test", needs)]), None)
    os.close(fd)
    (path / "tmp").rmdir()
    yield path
    shutil.rmtree(path)


def inside(tree: Path, work: Any) -> Any:
    fd = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return sandbox.inside(HostPath(str(tree)), fd, work)
    finally:
        os.close(fd)


def sh(room: sandbox.Room, script: str, **more: Any) -> list[Any]:
    ended = room.run(["/bin/sh", "-c", script], SECONDS, both=True, **more)
    return [ended.code, ended.said]


def test_furniture_is_the_room_s_own(tree: Path) -> None:
    def work(room: sandbox.Room) -> list[Any]:
        room.furnish()
        room.put("given", b"text\n")
        room.show("/srv/shown", {"a": b"shown\n", "b/c": b"below\n"})
        first = sh(room, "cat /tmp/given /srv/shown/a /srv/shown/b/c; echo mine >/tmp/own; cat /tmp/own; ls /dev/shm")
        refused = sh(
            room, "for each in /etc/new /srv/shown/a /new /tmp/given; do (echo x >$each) && exit 9; done; exit 0"
        )
        room.clean()
        return [first, refused[0], sh(room, "ls /tmp")]

    before = sorted(path.name for path in tree.iterdir())
    first, refused, after = inside(tree, work)
    assert first == [0, "text\nshown\nbelow\nmine\n"]
    assert refused == 0
    assert after == [0, ""]
    assert sorted(path.name for path in tree.iterdir()) == before
    assert not list((tree / "srv/shown").iterdir())


def test_a_link_in_the_place_of_tmp_is_not_followed(tree: Path) -> None:
    (tree / "tmp").symlink_to("/srv")
    with pytest.raises(HostError, match=r"sandbox: not a directory \(/tmp\)"):
        inside(tree, lambda room: room.furnish())


def test_work_beside_has_no_rights_and_sees_devices_alone(tree: Path) -> None:
    source, target = os.pipe()

    def beside() -> None:
        facts: dict[str, Any] = {"ids": [*os.getresuid(), *os.getresgid(), *os.getgroups()]}
        facts["sees"] = sorted(os.listdir("/"))
        tried: dict[str, Callable[[], None]] = {"root": lambda: os.setuid(0), "write": lambda: os.mkdir("/new")}
        for name, act in tried.items():
            try:
                act()
                facts[name] = "done"
            except OSError as error:
                facts[name] = type(error).__name__
        os.write(target, json.dumps(facts).encode())

    inside(tree, lambda room: [room.furnish(), sh(room, "sleep 1", beside=beside)])
    os.close(target)
    facts = json.loads(os.read(source, 4096))
    os.close(source)
    assert facts["ids"] == [65533] * 6
    assert {"null", "zero"} <= set(facts["sees"])
    assert not {"etc", "usr", "bin"} & set(facts["sees"])
    assert (facts["root"], facts["write"]) == ("PermissionError", "PermissionError")


def test_nothing_of_the_work_is_left_when_the_program_has_ended(tree: Path) -> None:
    source, target = os.pipe()

    code, _ = inside(tree, lambda room: sh(room, "exit 3", beside=signal.pause))
    os.close(target)
    # It had the other end, too: the end of the pipe is seen when all who had it have ended.
    assert os.read(source, 1) == b""
    os.close(source)
    assert code == 3
