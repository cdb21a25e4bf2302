"""The files of a new tree are made by several processes: each once, whatever becomes of one of them."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from jailssh.closure.errors import ImageError, SourceChangedError
from jailssh.closure.manifest import Entry
from jailssh.core.errors import ConfigError, HostError, JailsshError
from jailssh.files import shares
from jailssh.files.editor import TreeEditor
from jailssh.files.shares import Another, Shares
from jailssh.tree import target
from tests.harness.interrupts import interrupted
from tests.root.build_site import Site, site, states

pytestmark = pytest.mark.needs("root")
__all__ = ["site"]
COUNT = 200


@pytest.fixture(autouse=True)
def _two_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "others", lambda: 2)


def write_down(share: Shares, place: Path) -> None:
    """Write down the numbers that are this process's, each with the process's id, once another one has begun too."""
    end = time.monotonic() + 30
    with open(place, "a", buffering=1) as stream:
        for number in share.numbers():
            stream.write(f"{number} {os.getpid()}\n")
            while len(makers(place)) < 2 and time.monotonic() < end:
                time.sleep(1e-3)


def makers(place: Path) -> set[str]:
    return {line.split()[-1] for line in place.read_text().splitlines()}


def test_each_file_is_made_once(tmp_path: Path) -> None:
    place = tmp_path / "made"
    shared = Shares(COUNT, lambda share: write_down(share, place))
    write_down(shared, place)
    shared.join()
    shared.close()
    made = [line.split() for line in place.read_text().splitlines()]
    assert sorted(int(number) for number, _ in made) == list(range(COUNT))
    assert len(makers(place)) > 1


def test_no_two_take_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel does not have reads of such a file wait for one another: here they meet always."""
    real = os.read

    def read(fd: int, count: int) -> bytes:
        if count != shares._NUMBER:
            return real(fd, count)
        at = os.lseek(fd, 0, os.SEEK_CUR)
        time.sleep(0.002)
        found = os.pread(fd, count, at)
        os.lseek(fd, at + len(found), os.SEEK_SET)
        return found

    monkeypatch.setattr(os, "read", read)
    place = tmp_path / "made"
    shared = Shares(COUNT, lambda share: write_down(share, place))
    write_down(shared, place)
    shared.join()
    shared.close()
    assert sorted(int(line.split()[0]) for line in place.read_text().splitlines()) == list(range(COUNT))


def test_a_process_that_does_not_hear_of_others_starts_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    assert shares.others() == 2
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert shares.others() == 0
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_without_more_processes_one_makes_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(11, os.strerror(11))

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "fork", fork)
    shared = Shares(COUNT, lambda _: None)
    assert list(shared.numbers()) == list(range(COUNT))
    shared.join()
    shared.close()
    assert len(os.listdir("/proc/self/fd")) == before


def _fails(error: BaseException) -> Callable[[Shares], None]:
    def work(_: Shares) -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("work", "raised", "text"),
    [
        (_fails(SourceChangedError("/f", "it changed")), SourceChangedError, "/f: it changed"),
        (_fails(ImageError("a:1: /f", "no space left", hint="less")), ImageError, "a:1: /f: no space left"),
        (_fails(ConfigError("x", "odd", hint="even")), ConfigError, "x: odd"),
        (_fails(ValueError("a mistake of ours")), HostError, "of it failed: ValueError: a mistake of ours"),
        (lambda _: os._exit(3), HostError, "a process that made files of it ended"),
        (lambda _: os.kill(os.getpid(), signal.SIGKILL), HostError, "was killed by signal 9"),
    ],
)
def test_what_goes_wrong_beside_is_raised_here(
    work: Callable[[Shares], None], raised: type[JailsshError], text: str
) -> None:
    shared = Shares(COUNT, work)
    try:
        with pytest.raises(raised, match=text) as found:
            shared.join()
        assert type(found.value) is raised
    finally:
        shared.close()


def test_nobody_goes_on_where_one_has_failed() -> None:
    shared = Shares(COUNT, _fails(HostError("f", "broken")))
    try:
        with pytest.raises(HostError, match="broken"):
            for _ in shared.numbers():
                time.sleep(0.001)
    finally:
        shared.close()


def test_who_gives_up_ends_the_others(tmp_path: Path) -> None:
    begun = time.monotonic()
    shared = Shares(COUNT, lambda _: time.sleep(60))
    children = [other._pid for other in shared._others]
    shared.close()
    assert time.monotonic() - begun < 30
    for child in children:
        with pytest.raises(ChildProcessError):
            os.waitpid(child, 0)


def test_whoever_works_for_a_process_that_is_killed_ends_and_holds_no_lock(tmp_path: Path) -> None:
    begun, lock = tmp_path / "begun", tmp_path / "lock"

    def work(_: Shares) -> None:
        begun.touch()
        time.sleep(120)

    middle = os.fork()
    if middle == 0:
        fcntl.flock(os.open(lock, os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
        Shares(COUNT, work)
        while not begun.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(middle, 0)
    assert begun.exists()
    end = time.monotonic() + 20
    with open(lock, "w") as file:
        while time.monotonic() < end:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(0.01)
    pytest.fail("the lock is still held")


def test_who_is_interrupted_while_waiting_ends_the_others() -> None:
    before = os.listdir("/proc/self/fd")
    shared = Shares(COUNT, lambda _: time.sleep(120))
    children = [other._pid for other in shared._others]
    with pytest.raises(KeyboardInterrupt), interrupted():
        shared.join()
    shared.close()
    for child in children:
        with pytest.raises(ChildProcessError):
            os.waitpid(child, 0)
    assert os.listdir("/proc/self/fd") == before


def test_a_signal_at_the_fork_does_not_have_the_copy_go_the_way_of_its_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, here, gone = os.fork, os.getpid(), tmp_path / "gone"
    pids: list[int] = []

    def fork() -> int:
        pid = real()
        pids.append(pid)
        signal.raise_signal(signal.SIGINT)  # to this thread, as where there is no other
        return pid

    monkeypatch.setattr(os, "fork", fork)
    before = _pipes()
    try:
        with pytest.raises(KeyboardInterrupt):
            Another(lambda: time.sleep(120), "slept")
    finally:
        if os.getpid() != here:
            gone.touch()
            os._exit(0)
    with pytest.raises(ChildProcessError):
        os.waitpid(pids[0], os.WNOHANG)
    assert not gone.exists()
    assert _pipes() <= before


def _pipes() -> set[str]:
    """Return the pipes that are open; what else is open another thread may close meanwhile."""
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{fd}"))
    return {each for each in found if each.startswith("pipe:")}


def _fill(site: Site) -> None:
    for number in range(300):
        folder = site.src / f"many/part-{number // 100}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"file-{number}").write_bytes(b"%d\n" % number * (number % 7 * 3000))
        os.chmod(folder / f"file-{number}", 0o600 if number % 5 else 0o755)
        if number % 50 == 0:
            os.link(folder / f"file-{number}", site.src / f"many/second-{number}")
            os.symlink(f"file-{number}", folder / f"link-{number}")


def test_the_tree_is_the_same_by_one_process_and_by_many(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(site)
    text = "tree SRC/many /many\n/dev/null c 1 3\ncontent /t 'text'\n"
    made: list[int] = []

    class Counted(Shares):
        def __init__(self, count: int, *how: Any) -> None:
            made.append(count)
            super().__init__(count, *how)

    monkeypatch.setattr(shares, "Shares", Counted)
    assert site.build(text) == 0
    assert made == []
    alone = states(site.tree)
    content = {path.relative_to(site.tree): path.read_bytes() for path in site.tree.rglob("file-*")}
    os.rename(site.tree, site.base / "before")
    monkeypatch.setattr(shares, "FEW", 10)
    assert site.build(text) == 0
    assert len(made) == 1
    assert len(content) == 300
    assert {path.relative_to(site.tree): path.read_bytes() for path in site.tree.rglob("file-*")} == content
    assert sorted(states(site.tree)) == sorted(alone)
    for path in site.tree.rglob("*"):
        now, before = os.lstat(path), os.lstat(site.base / "before" / path.relative_to(site.tree))
        same = ("st_mode", "st_uid", "st_gid", "st_nlink", "st_rdev", *(() if path.is_dir() else ("st_size",)))
        assert [getattr(now, name) for name in same] == [getattr(before, name) for name in same], path
        if path.is_file() and not path.is_symlink():
            assert now.st_mtime_ns == before.st_mtime_ns
    # Nothing is left to do, and what is done to a tree that is there is done by one.
    assert site.build(text) == 0
    assert site.changes() == 0


def test_a_tree_of_which_a_file_cannot_be_made_is_none(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(site)
    monkeypatch.setattr(shares, "FEW", 10)
    real = target._do

    def _do(editor: TreeEditor, entry: Entry) -> None:
        if entry.path.endswith("file-222"):
            raise OSError(28, os.strerror(28))
        real(editor, entry)

    monkeypatch.setattr(target, "_do", _do)
    assert site.build("tree SRC/many /many\n") == 1
    assert "/many/part-2/file-222: no space left on device" in site.err
    assert not site.tree.exists()
    assert not (site.base / ".root.jailssh/tree").exists()
