"""Ways to directories that a run walks once: what is given again is what was trusted, or it is walked to anew."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.core.errors import HostError
from jailssh.files import fs, walked


@pytest.fixture
def top(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "top" / "a" / "b"
    place.mkdir(mode=0o755, parents=True)
    (place / "file").write_text("one")
    with walked.once(str(tmp_path / "top")):
        yield tmp_path / "top"


def read(top: Path) -> str:
    return fs.read_trusted(str(top / "a/b/file"), 100, trusted_root=str(top.parent)).decode()


def opened(path: Path, top: Path) -> tuple[int, int]:
    fd = fs.open_dir(str(path), trusted_root=str(top.parent))
    info = os.fstat(fd)
    os.close(fd)
    return info.st_dev, info.st_ino


def test_the_way_is_walked_once(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    real = fs._check_component

    def check(fd: int, path: str, trusted_root: str | None, strict: bool) -> None:
        checked.append(path)
        real(fd, path, trusted_root, strict)

    monkeypatch.setattr(fs, "_check_component", check)
    assert [read(top) for _ in range(3)] == ["one"] * 3
    assert checked.count(str(top / "a/b")) == 1
    # Where other things are asked of the way it is another one, and beside the named directories none is kept.
    fs.open_dir(str(top / "a/b"), trusted_root=str(top.parent), strict=False)
    assert checked.count(str(top / "a/b")) == 2
    beside = top.parent / "top2"
    beside.mkdir()
    opened(beside, top), opened(beside, top)
    assert checked.count(str(beside)) == 2


def test_another_directory_at_the_path_is_the_one_that_is_opened(top: Path) -> None:
    assert read(top) == "one"
    (top / "a/b").rename(top / "a/old")
    (top / "a/b").mkdir(mode=0o755)
    (top / "a/b/file").write_text("two")
    assert read(top) == "two"
    # Also where it is one above.
    (top / "a").rename(top / "old")
    with pytest.raises(HostError, match="no such file"):
        read(top)
    (top / "a/b").mkdir(mode=0o755, parents=True)
    (top / "a/b/file").write_text("three")
    assert read(top) == "three"


def test_what_is_no_longer_trusted_is_refused(top: Path) -> None:
    assert read(top) == "one"
    (top / "a/b").chmod(0o777)
    with pytest.raises(HostError, match="writable by its group"):
        read(top)
    (top / "a/b").chmod(0o755)
    assert read(top) == "one"


def test_a_link_at_the_path_is_refused(top: Path) -> None:
    assert read(top) == "one"
    (top / "a/b").rename(top / "a/old")
    (top / "a/b").symlink_to("c")
    (top / "a/c").mkdir(mode=0o755)
    (top / "a/c/file").write_text("two")
    with pytest.raises(HostError, match="is a symbolic link"):
        read(top)


def test_listing_one_leaves_the_others_alone(top: Path) -> None:
    for number in range(5):
        (top / f"a/b/{number}").touch()
    opened(top / "a/b", top)
    first, second = (fs.open_dir(str(top / "a/b"), trusted_root=str(top.parent)) for _ in range(2))
    try:
        with os.scandir(first) as one:
            next(one)
            assert len(os.listdir(second)) == 6
            assert len([*one]) == 5
    finally:
        os.close(first)
        os.close(second)


def test_a_copy_of_the_process_walks_by_itself(top: Path) -> None:
    opened(top / "a/b", top)
    ways = walked._ways
    assert ways is not None and (str(top / "a/b"), str(top.parent), True) in ways._kept
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            # Whoever lets go of all descriptors has others by their numbers.
            os.closerange(3, 1 << 10)
            for _ in range(64):
                os.open(str(top), os.O_RDONLY)
            code = 0 if opened(top / "a/b", top) == (os.stat(top / "a/b").st_dev, os.stat(top / "a/b").st_ino) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_nothing_is_held_afterwards_nor_too_much_meanwhile(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    for number in range(50):
        (tmp_path / str(number)).mkdir(mode=0o755)
    with pytest.raises(KeyError), walked.once(str(tmp_path)):
        for number in range(50):
            opened(tmp_path / str(number), tmp_path)
        assert len(os.listdir("/proc/self/fd")) - len(before) == walked._MOST
        raise KeyError
    assert os.listdir("/proc/self/fd") == before
