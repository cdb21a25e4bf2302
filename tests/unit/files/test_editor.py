"""Changing a tree by descriptor: with openat2(2) and with the single steps that older kernels need."""

import errno
import os
import stat
from pathlib import Path
from typing import Any, Never

import pytest

from jailssh.files import beneath, fs
from jailssh.files.editor import NEW, TreeEditor


@pytest.fixture(params=["openat2", "single steps"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "single steps":

        def absent(root: Any, path: Any) -> Never:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

        monkeypatch.setattr(beneath, "_openat2", absent)
    return request.param


@pytest.fixture
def tree(tmp_path: Path, way: Any) -> Any:
    (tmp_path / "tree").mkdir()
    fd = os.open(tmp_path / "tree", os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture
def editor(tree: int) -> Any:
    editor = TreeEditor(tree, owned=False)
    yield editor
    editor.close()


def test_directories_are_reached_without_following(tree: int, tmp_path: Path) -> None:
    (tmp_path / "tree/a/b").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "tree/link").symlink_to(tmp_path / "outside")
    (tmp_path / "tree/a/up").symlink_to("..")
    (tmp_path / "tree/file").write_text("")
    os.close(beneath.open_beneath(tree, "/a/b"))
    os.close(beneath.open_beneath(tree, ""))
    for path in ("/link", "/link/x", "/a/up", "/a/up/a", "/file", "/file/x"):
        with pytest.raises(NotADirectoryError):
            beneath.open_beneath(tree, path)
    with pytest.raises(FileNotFoundError):
        beneath.open_beneath(tree, "/nothing")


def test_a_mount_is_a_border(way: Any) -> None:
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(OSError, match="device") as caught:
            beneath.open_beneath(root, "/proc")
        assert caught.value.errno == errno.EXDEV
    finally:
        os.close(root)


def test_no_change_goes_through_a_link(editor: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "tree/d").symlink_to(outside)
    source = os.open(__file__, os.O_RDONLY)
    try:
        for change in (
            lambda: editor.text("/d/x", b"", 0o600, 0, 0),
            lambda: editor.file("/d/x", source, os.fstat(source), 0o600, 0, 0, 0),
            lambda: editor.link("/d/x", "y"),
            lambda: editor.node("/d/x", stat.S_IFIFO, 0, 0, 0o600, 0, 0),
            lambda: editor.directory("/d/x", 0o700, 0, 0),
            lambda: editor.hard("/d/x", "/d/y"),
            lambda: editor.open_file("/d/x"),
        ):
            with pytest.raises(NotADirectoryError):
                change()
    finally:
        os.close(source)
    assert editor.look("/d/x") is None
    assert editor.names("/d") == []
    assert not editor.remove("/d/x")
    assert list(outside.iterdir()) == []


def test_a_directory_takes_the_place_of_a_link_and_only_of_that(editor: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "tree/d").symlink_to(outside)
    editor.directory("/d", 0o750, 0, 0)
    editor.text("/d/x", b"text", 0o640, 0, 0)
    assert stat.S_IMODE((tmp_path / "tree/d").lstat().st_mode) == 0o750
    assert (tmp_path / "tree/d/x").read_text() == "text"
    assert list(outside.iterdir()) == []


def test_a_full_directory_is_never_replaced(editor: Any, tmp_path: Path) -> None:
    (tmp_path / "tree/d").mkdir()
    (tmp_path / "tree/d/mine").write_text("precious")
    with pytest.raises(OSError, match="not empty"):
        editor.link("/d", "x")
    assert not editor.remove("/d")
    assert [path.name for path in (tmp_path / "tree").iterdir()] == ["d"]
    assert (tmp_path / "tree/d/mine").read_text() == "precious"


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_an_error_while_copying_leaves_the_old_file(
    editor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: Any
) -> None:
    def broken(source: Any, target: Any, size: Any) -> Never:
        os.write(target, b"half")
        raise OSError(code, os.strerror(code))

    (tmp_path / "tree/f").write_text("old")
    monkeypatch.setattr(fs, "copy_data", broken)
    source = os.open(__file__, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match=os.strerror(code)):
            editor.file("/f", source, os.fstat(source), 0o600, 0, 0, 0)
    finally:
        os.close(source)
    assert (tmp_path / "tree/f").read_text() == "old"
    assert os.listdir(tmp_path / "tree") == ["f"]


def test_sweep_removes_only_what_was_left_unfinished(editor: Any, tmp_path: Path) -> None:
    (tmp_path / "tree" / f"{NEW}0123").write_text("half")
    (tmp_path / "tree/.jailssh").write_text("mine")
    editor.sweep("")
    assert os.listdir(tmp_path / "tree") == [".jailssh"]


def test_holes_stay_holes_and_data_stays(editor: Any, tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.seek(5 << 20)
        file.write(b"middle")
        file.truncate(20 << 20)
    source = os.open(tmp_path / "sparse", os.O_RDONLY)
    try:
        editor.file("/f", source, os.fstat(source), 0o600, 0, 0, 10**18)
    finally:
        os.close(source)
    copy = tmp_path / "tree/f"
    assert copy.read_bytes() == (tmp_path / "sparse").read_bytes()
    assert copy.stat().st_blocks * 512 < 1 << 20
    assert copy.stat().st_mtime_ns == 10**18


def test_second_names(editor: Any, tmp_path: Path) -> None:
    editor.text("/a", b"x", 0o600, 0, 0)
    editor.hard("/b", "/a")
    editor.hard("/b", "/a")
    assert (tmp_path / "tree/a").stat().st_nlink == 2
    assert sorted(os.listdir(tmp_path / "tree")) == ["a", "b"]
    (tmp_path / "tree/l").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="not a regular file"):
        editor.hard("/c", "/l")
