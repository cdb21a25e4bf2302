import errno
import fcntl
import os
import resource
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Never

import pytest

from jailssh.core.errors import HostError
from jailssh.files import fs, several
from jailssh.host import process
from tests.abilities import REPO

ME: dict[str, Any] = {"uid": os.geteuid(), "gid": os.getegid()}


@pytest.fixture
def tree(tmp_path: Path) -> Any:
    tmp_path.chmod(0o755)
    return tmp_path


def read(path: Any, tree: Path, limit: Any = 100) -> Any:
    return fs.read_trusted(str(path), limit, trusted_root=str(tree))


def test_read_trusted_returns_the_content(tree: Path) -> None:
    (tree / "f").write_bytes(b"hello")
    (tree / "f").chmod(0o644)
    assert read(tree / "f", tree) == b"hello"


def test_a_file_without_a_size_is_read_to_its_end_or_limit() -> None:
    assert len(fs.read_trusted("/proc/cpuinfo", 1 << 24)) > 100
    with pytest.raises(HostError, match="grew beyond 10 bytes"):
        fs.read_trusted("/proc/cpuinfo", 10)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 100_000])
def test_all_of_a_file_is_read_and_no_more_than_the_limit(tree: Path, size: int) -> None:
    (tree / "f").write_bytes(data := os.urandom(size))
    assert read(tree / "f", tree, size) == data
    if size:
        with pytest.raises(HostError, match=f"has {size} bytes"):
            read(tree / "f", tree, size - 1)


def test_among_several_files_a_directory_is_refused_by_name(tree: Path) -> None:
    (tree / "f").write_bytes(b"x")
    (tree / "sub").mkdir()
    before = os.listdir("/proc/self/fd")
    with pytest.raises(HostError, match="sub: is not a regular file"):
        several.read_all_trusted(str(tree), lambda _: True, 100, trusted_root=str(tree))
    assert dict(several.read_good(str(tree), ["f", "sub", "none"], 100, trusted_root=str(tree))) == {"f": b"x"}
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_writable_file_is_refused(tree: Path, mode: Any) -> None:
    (tree / "f").write_bytes(b"x")
    (tree / "f").chmod(mode)
    with pytest.raises(HostError, match="writable by"):
        read(tree / "f", tree)


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_a_writable_directory_on_the_way_is_refused(tree: Path, mode: Any) -> None:
    (tree / "d").mkdir()
    (tree / "d/f").write_bytes(b"x")
    (tree / "d").chmod(mode)
    with pytest.raises(HostError, match=r"directory .*/d: writable by"):
        read(tree / "d/f", tree)


def test_a_directory_above_the_trusted_root_is_checked_when_no_root_is_given(tree: Path) -> None:
    (tree / "f").write_bytes(b"x")
    (tree / "f").chmod(0o644)
    with pytest.raises(HostError, match="writable by"):
        fs.open_trusted("/tmp/whatever")


def test_links_and_fifos_and_directories_are_refused_at_once(tree: Path) -> None:
    (tree / "f").write_bytes(b"x")
    (tree / "f").chmod(0o644)
    (tree / "l").symlink_to("f")
    (tree / "sub").mkdir(mode=0o755)
    (tree / "dl").symlink_to("sub")
    (tree / "sub/f").write_bytes(b"x")
    os.mkfifo(tree / "p", 0o644)
    for name in ("l", "p", "sub", "dl/f", "absent"):
        with pytest.raises(HostError):
            read(tree / name, tree)


def test_second_hard_link_and_size_are_refused(tree: Path) -> None:
    (tree / "f").write_bytes(b"x" * 101)
    (tree / "f").chmod(0o644)
    with pytest.raises(HostError, match="101 bytes"):
        read(tree / "f", tree)
    os.link(tree / "f", tree / "g")
    with pytest.raises(HostError, match="2 hard links"):
        read(tree / "f", tree, limit=1000)


@pytest.mark.needs("root")
def test_a_file_or_directory_of_another_owner_is_refused(tree: Path) -> None:
    (tree / "d").mkdir(mode=0o755)
    (tree / "d/f").write_bytes(b"x")
    (tree / "d/f").chmod(0o644)
    os.chown(tree / "d/f", 1234, 0)
    with pytest.raises(HostError, match="owned by uid 1234"):
        read(tree / "d/f", tree)
    os.chown(tree / "d/f", 0, 0)
    os.chown(tree / "d", 1234, 0)
    with pytest.raises(HostError, match="owned by uid 1234"):
        read(tree / "d/f", tree)


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/a//b", "/a/", "/a\nb"])
def test_unclean_paths_are_refused(path: Any) -> None:
    with pytest.raises(Exception, match="not a plain absolute path"):
        fs.open_trusted(path)


def test_atomic_write_creates_and_replaces(tree: Path) -> None:
    path = str(tree / "f")
    fs.atomic_write(path, b"one", 0o600, **ME)
    before = os.stat(path).st_ino
    fs.atomic_write(path, b"two", 0o640, **ME)
    assert (tree / "f").read_bytes() == b"two"
    assert os.stat(path).st_mode & 0o7777 == 0o640
    assert os.stat(path).st_ino != before
    assert os.listdir(tree) == ["f"]


def test_atomic_write_replaces_a_link_and_leaves_its_target(tree: Path) -> None:
    (tree / "victim").write_bytes(b"mine")
    (tree / "f").symlink_to("victim")
    fs.atomic_write(str(tree / "f"), b"new", **ME)
    assert (tree / "victim").read_bytes() == b"mine"
    assert not (tree / "f").is_symlink()


def test_atomic_write_through_a_linked_directory_is_refused(tree: Path) -> None:
    (tree / "real").mkdir()
    (tree / "link").symlink_to("real")
    with pytest.raises(HostError, match=f"directory {tree}/link: is a symbolic link") as caught:
        fs.atomic_write(str(tree / "link/f"), b"x", **ME)
    assert f"mount {tree}/real there" in caught.value.hint
    assert os.listdir(tree / "real") == []


def test_a_file_that_is_too_large_leaves_the_old_one_and_nothing_else(tree: Path) -> None:
    path = str(tree / "f")
    fs.atomic_write(path, b"old", **ME)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, hard))
    try:
        with pytest.raises(HostError, match="file too large"):
            fs.atomic_write(path, b"new" * (1 << 15), **ME)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ((tree / "f").read_bytes(), os.listdir(tree)) == (b"old", ["f"])


@pytest.mark.parametrize("call", ["fsync", "rename", "fchown"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tree: Path, monkeypatch: pytest.MonkeyPatch, call: Any
) -> None:
    path = str(tree / "f")
    fs.atomic_write(path, b"old", **ME)

    def full(*args: Any, **kwargs: Any) -> Never:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(HostError, match="no space left on device"):
        fs.atomic_write(path, b"new", **ME)
    monkeypatch.undo()
    assert (tree / "f").read_bytes() == b"old"
    assert os.listdir(tree) == ["f"]


@pytest.mark.parametrize("ends", ["put", "left", "error"])
@pytest.mark.parametrize("named", [False, True])
def test_a_new_file_is_in_its_place_when_it_is_put_there(
    tree: Path, ends: str, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tree / "f")
    if named:
        monkeypatch.setattr(fs, "_OWN", "/nowhere")
    fs.atomic_write(path, b"old", **ME)
    with suppress(ChildProcessError), fs.new_file(path, (b"n", b"ew"), 0o640, **ME) as put:
        # Nothing that a killed process would leave, where the file system has files without names.
        assert (len(os.listdir(tree)), (tree / "f").read_bytes()) == (1 + named, b"old")
        if ends == "error":
            raise ChildProcessError  # an OSError, and no failure of this write
        if ends == "put":
            put()
    assert (os.listdir(tree), (tree / "f").read_bytes()) == (["f"], b"new" if ends == "put" else b"old")


def test_ensure_dir_makes_parents_and_mends_the_mode(tree: Path) -> None:
    path = str(tree / "a/b/c")
    fs.ensure_dir(path, 0o700, **ME)
    assert os.stat(path).st_mode & 0o7777 == 0o700
    assert os.stat(tree / "a").st_mode & 0o7777 == 0o755
    os.chmod(path, 0o777)
    fs.ensure_dir(path, 0o711, **ME)
    assert os.stat(path).st_mode & 0o7777 == 0o711


def test_ensure_dir_refuses_a_file_and_a_link(tree: Path) -> None:
    (tree / "file").write_bytes(b"")
    (tree / "link").symlink_to(tree)
    for name in ("file", "link", "file/below", "link/below"):
        with pytest.raises(HostError):
            fs.ensure_dir(str(tree / name), 0o755, **ME)


def test_remove_tree_follows_nothing(tree: Path) -> None:
    (tree / "keep").mkdir()
    (tree / "keep/file").write_bytes(b"x")
    (tree / "gone/sub/deep").mkdir(parents=True)
    (tree / "gone/sub/link").symlink_to(tree / "keep")
    (tree / "gone/file").symlink_to(tree / "keep/file")
    fd = os.open(tree, os.O_RDONLY)
    fs.remove_tree(fd, "gone")
    fs.remove_tree(fd, "gone")
    os.close(fd)
    assert os.listdir(tree) == ["keep"]
    assert (tree / "keep/file").read_bytes() == b"x"


REMOVER = """
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
from jailssh.files import fs, several
subprocess.run(["mount", "--bind", "keep", sys.argv[2]], check=True)
try:
    fs.remove_tree(os.open(".", os.O_RDONLY), "gone")
except OSError as error:
    print(error.errno)
"""


@pytest.mark.needs("root", "namespaces")
@pytest.mark.parametrize("place", ["gone", "gone/sub", "gone/sub/deep"])
def test_remove_tree_ends_at_a_mount_of_the_same_file_system(tree: Path, place: str) -> None:
    (tree / "keep/folder").mkdir(parents=True)
    (tree / "keep/file").write_bytes(b"x")
    (tree / "gone/sub/deep").mkdir(parents=True)
    remover = ["unshare", "--mount", sys.executable, "-c", REMOVER, str(REPO), place]
    done = subprocess.run(remover, cwd=tree, capture_output=True, text=True)
    # The kernel itself moves no mount point.
    assert (done.stdout, done.stderr) == (f"{errno.EBUSY if place.endswith('deep') else errno.EXDEV}\n", "")
    assert sorted(os.listdir(tree / "keep")) == ["file", "folder"]


def test_remove_tree_of_any_depth(tree: Path) -> None:
    top = fd = os.open(tree, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        if fd != top:
            os.close(fd)
        fd = below
    os.close(fd)
    fs.remove_tree(top, "d")
    os.close(top)
    assert os.listdir(tree) == []


def test_remove_file(tree: Path) -> None:
    (tree / "f").symlink_to("nowhere")
    assert fs.remove_file(str(tree / "f"))
    assert not fs.remove_file(str(tree / "f"))


def test_lock_tells_whom_it_waits_for(tree: Path) -> None:
    path = str(tree / "lock")
    code = "import sys\nfrom jailssh.files.fs import lock\n"
    code += "with lock(sys.argv[1]):\n  print(1, flush=True)\n  sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": os.getcwd()},
    )
    assert holder.stdout
    assert holder.stdout.readline() == b"1\n"
    seen = []

    def waiting(pid: Any) -> None:
        assert holder.stdin
        seen.append(pid)
        holder.stdin.close()

    with fs.lock(path, waiting):
        assert seen == [holder.pid]
    holder.wait(30)
    assert os.stat(path).st_mode & 0o777 == 0o600
    with fs.lock(path, seen.append):
        assert len(seen) == 1


def test_lock_refuses_a_link(tree: Path) -> None:
    (tree / "victim").write_bytes(b"text")
    (tree / "lock").symlink_to("victim")
    with pytest.raises(HostError), fs.lock(str(tree / "lock")):
        pass
    assert (tree / "victim").read_bytes() == b"text"


def test_lock_needs_no_room(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with fs.lock(str(tree / "lock")), open(tree / "lock", "rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("what", ["fifo", "file of a group", "file of everyone"])
def test_lock_refuses_what_others_may_hold(tree: Path, what: Any) -> None:
    path = tree / "lock"
    os.mkfifo(path, 0o600) if what == "fifo" else path.touch()
    path.chmod({"fifo": 0o600, "file of a group": 0o660, "file of everyone": 0o606}[what])
    with pytest.raises(HostError, match="belongs to root alone"), fs.lock(str(path)):
        pass


def test_copy_data_copies_all(tree: Path) -> None:
    data = os.urandom(3 << 20)
    (tree / "a").write_bytes(data)
    with open(tree / "a", "rb") as source, open(tree / "b", "wb") as target:
        assert fs.copy_data(source.fileno(), target.fileno()) == len(data)
    assert (tree / "b").read_bytes() == data


def test_copy_data_without_copy_file_range(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*args: Any) -> Never:
        raise OSError(errno.ENOSYS, "absent")

    monkeypatch.setattr(os, "copy_file_range", absent)
    test_copy_data_copies_all(tree)


def test_run_gives_output_and_a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_PRELOAD_TEST", "1")
    done = process.run(["env"], timeout=10, env={"EXTRA": "x"})
    assert sorted(done.stdout.splitlines()) == ["EXTRA=x", "LC_ALL=C.UTF-8", "PATH=" + ":".join(process.SYSTEM_PATH)]
    assert process.run(["cat"], timeout=10, input="text").stdout == "text"
    assert process.run(["cat"], timeout=10).stdout == ""


def test_run_uses_no_shell() -> None:
    assert process.run(["printf", "%s", "$(id);`id`"], timeout=10).stdout == "$(id);`id`"


def test_run_reports_the_last_line_of_stderr() -> None:
    with pytest.raises(HostError, match="the reason"):
        process.run(["sh", "-c", "echo first >&2; echo the reason >&2; echo; exit 3"], timeout=10)
    assert process.run(["sh", "-c", "exit 3"], timeout=10, check=False).code == 3
    assert process.run(["sh", "-c", "kill -9 $$"], timeout=10, check=False).code == 137


def test_run_kills_the_group_after_the_timeout(tree: Path) -> None:
    started = time.monotonic()
    with pytest.raises(HostError, match="timed out"):
        process.run(["sh", "-c", "sleep 1000 & sleep 1000"], timeout=0.2)
    assert time.monotonic() - started < 5


def test_run_of_a_missing_program() -> None:
    with pytest.raises(HostError, match="not found"):
        process.run(["no-such-program"], timeout=1)
    assert process.find_program("../bin/sh") is None
    assert process.find_program("a\0b") is None


@pytest.mark.parametrize("act", ["open", "link", "symlink", "rename"])
def test_a_signal_at_any_call_of_a_write_leaves_nothing(tree: Path, monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    (tree / "f").write_bytes(b"old")
    real = getattr(os, act)

    def then_a_signal(*args: Any, **named: Any) -> Never:
        real(*args, **named)
        monkeypatch.undo()
        raise KeyboardInterrupt

    place = os.open(tree, os.O_RDONLY)
    try:
        monkeypatch.setattr(os, act, then_a_signal)
        with pytest.raises(KeyboardInterrupt):
            if act == "symlink":
                fs.atomic_symlink_at(place, "f", "new")
            fs.atomic_write_at(place, "f", b"new", **ME)
    finally:
        os.close(place)
    assert [each.name for each in tree.iterdir()] == ["f"]
    assert (tree / "f").read_bytes() == (b"new" if act == "rename" else b"old")
