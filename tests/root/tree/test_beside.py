"""A large tree is read from both ends, and compared by two processes: it is as if one had done it."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import threading
import time
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from jailssh.closure import ahead, sources
from jailssh.closure.ahead import Ahead
from jailssh.closure.elf_cache import ElfCache
from jailssh.console.main import INTERRUPTED_STATUS
from jailssh.core.errors import HostError
from jailssh.core.names import HostPath
from jailssh.files import beneath, shares
from jailssh.files.shares import Another
from jailssh.tree import remembered
from tests.harness.interrupts import interrupted
from tests.root.build_site import Site, site, states

pytestmark = pytest.mark.needs("root")
__all__ = ["site"]
COUNT = 900


@pytest.fixture(autouse=True)
def _one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "others", lambda: 1)
    monkeypatch.setattr(remembered, "_MANY", 10)


def fill(top: Path) -> list[Path]:
    """Make directories in directories with files beside them; return the files."""
    made = []
    for number in range(COUNT):
        folder = top / f"{number % 7}" / f"deep-{number % 3}" / f"{number // 300}" if number % 5 else top / "flat"
        folder.mkdir(parents=True, exist_ok=True)
        made.append(folder / f"file-{number}")
        made[-1].write_bytes(b"%d\n" % number * (number % 50))
    return made


def read_in_order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list to which each file is added that this process reads for its digest."""
    read: list[str] = []
    real, here = sources._read, os.getpid()

    def noted(path: HostPath, stamp: sources.Stamp) -> tuple[str, bool]:
        if os.getpid() == here:
            read.append(path)
        return real(path, stamp)

    monkeypatch.setattr(sources, "_read", noted)
    return read


def test_the_other_order_is_that_of_the_walk_from_its_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    top = site.src / "many"
    fill(top)
    read = read_in_order(monkeypatch)
    monkeypatch.setattr(shares, "others", lambda: 0)
    assert site.build("tree SRC/many /many exclude=file-7* exclude=3/deep-1\n") == 0

    def left_out(name: str, rest: str) -> bool:
        return name.startswith("file-7") or rest == "3/deep-1"

    found = [path for path, _ in ahead._from_the_end(HostPath(str(top)), left_out)]
    assert len(found) > COUNT / 2
    assert found == [path for path in reversed(read) if path.startswith(f"{top}/")]


def test_the_tree_is_the_same_and_half_of_it_is_read_elsewhere(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fill(site.src / "many")
    read = read_in_order(monkeypatch)
    with monkeypatch.context() as alone:
        alone.setattr(shares, "others", lambda: 0)
        assert site.build("tree SRC/many /many\n") == 0
    assert len(read) == COUNT
    before = states(site.tree)
    for name in ("root", ".root.jailssh"):
        os.rename(site.base / name, site.base / f"before-{name}")
    (site.base / "state/var/lib/jailssh/facts.json").unlink()
    read.clear()
    # The walk waits for the other one, which else may not have begun by then.
    monkeypatch.setattr(Ahead, "_take", _patient(Ahead._take))
    assert site.build("tree SRC/many /many\n") == 0
    assert len(read) < COUNT
    kept = {path.relative_to(site.tree): row[:-1] for path, row in states(site.tree).items()}
    assert kept.keys() == {path.relative_to(site.tree) for path in before}
    for path in made:
        place = path.relative_to(site.src)
        assert (site.tree / place).read_bytes() == path.read_bytes()


def _patient(real: Callable[[Ahead], bool]) -> Callable[[Ahead], bool]:
    def take(self: Ahead) -> bool:
        assert self._other is not None
        os.waitid(os.P_PID, self._other._pid, os.WEXITED | os.WNOWAIT)
        return real(self)

    return take


@pytest.mark.parametrize("how", ["is killed", "says a part", "says nothing"])
def test_whatever_becomes_of_the_other_one_the_walk_goes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    made = fill(site.src / "many")

    def work(_: Ahead, target: int) -> None:
        if how == "says a part":
            os.write(target, b"x" * (ahead._RECORD.size + 5))
        if how != "says nothing":
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(Ahead, "_work", work)
    assert site.build("tree SRC/many /many\n") == 0
    assert (site.tree / made[-1].relative_to(site.src)).read_bytes() == made[-1].read_bytes()


def test_a_file_that_changes_between_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("one")
    facts = ElfCache()
    found = sources.Sources(insecure=True, facts=facts).find(HostPath(str(file)))
    assert found is not None
    facts.put_digest(sources.stamp_of(found.info), "0" * 64, other=True)
    file.write_text("two, longer")
    changed = sources.Sources(insecure=True, facts=facts)
    again = changed.find(HostPath(str(file)))
    assert again is not None
    assert changed.digest(again) != "0" * 64


@pytest.mark.parametrize("where", ["the tree", "the host", "nowhere"])
def test_what_has_changed_is_seen_whoever_looks(site: Site, where: str) -> None:
    fill(site.src / "many")
    text = "tree SRC/many /many\n"
    assert site.build(text) == 0
    assert site.build(text) == 0
    assert site.changes() == 0
    if where == "the tree":
        (site.tree / "many/flat/file-5").write_text("other")
    if where == "the host":
        (site.src / "many/flat/file-5").write_text("other")
    assert site.build(text) == 0
    assert site.changes() == (where != "nowhere")


def test_who_looks_at_the_tree_may_fail(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(site.src / "many")
    text = "tree SRC/many /many\n"
    assert site.build(text) == 0
    before = states(site.tree)

    class Failing(Another):
        def __init__(self, *_: object) -> None:
            super().__init__(lambda: os._exit(1), "did nothing")

    monkeypatch.setattr(shares, "Another", Failing)
    # Then it is compared as if nothing were remembered, and what is to be remembered is not.
    assert site.build(text) == 4
    assert "a process that did nothing ended" in site.err
    monkeypatch.undo()
    assert site.build(text) == 0
    assert (site.changes(), states(site.tree)) == (0, before)


def test_who_is_interrupted_while_the_other_looks_does_not_go_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(site.src / "many")
    text = "tree SRC/many /many\n"
    assert site.build(text) == 0
    state = (site.base / ".root.jailssh/state.json").read_bytes()
    real, here = remembered.look, os.getpid()

    def look(path: HostPath) -> remembered.Seen | None:
        if os.getpid() != here:
            time.sleep(60)
        return real(path)

    wait = Another.join

    def join(self: Another) -> object:
        with interrupted():
            return wait(self)

    monkeypatch.setattr(remembered, "look", look)
    monkeypatch.setattr(Another, "join", join)
    assert site.build(text) == INTERRUPTED_STATUS
    assert (site.base / ".root.jailssh/state.json").read_bytes() == state
    # The same where what is to be remembered is looked at.
    (site.src / "many/flat/more").touch()
    assert site.build(text) == INTERRUPTED_STATUS
    monkeypatch.undo()
    assert site.build(text) == 0
    assert site.changes() == 0


def told_by(top: Path) -> dict[sources.Stamp, str]:
    """Return all that another process tells of the files below ``top``."""
    told: dict[sources.Stamp, str] = {}

    def digest(path: HostPath, info: os.stat_result) -> tuple[sources.Stamp, str, bool]:
        stamp = sources.stamp_of(info)
        return (stamp, *sources._read(path, stamp))

    with closing(
        Ahead(HostPath(str(top)), lambda *_: False, digest, lambda *row: told.update({row[0]: row[1]}))
    ) as one:
        for _ in range(ahead.FEW):
            one.looked()
        if one._other:
            os.waitid(os.P_PID, one._other._pid, os.WEXITED | os.WNOWAIT)
            one._take()
    return told


def digests(files: list[Path]) -> dict[sources.Stamp, str]:
    """Return the same as this process finds it."""
    return {sources.stamp_of(path.lstat()): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_write_that_ends_early_shifts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it does of a process that was stopped and goes on."""
    made = fill(tmp_path)
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:1001]))
    assert told_by(tmp_path) == digests(made)


def test_a_time_that_64_bits_do_not_hold_is_that_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fill(tmp_path)
    far = (1 << 63) + 5
    os.utime(made[7], ns=(0, far))
    if made[7].stat().st_mtime_ns != far:
        pytest.skip("this file system does not keep such times")
    assert told_by(tmp_path) == digests(made[:7] + made[8:])


def test_without_more_descriptors_one_reads_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pipe2(_: int) -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "pipe2", pipe2)
    before = os.listdir("/proc/self/fd")
    assert told_by(tmp_path) == {}
    assert os.listdir("/proc/self/fd") == before


def test_of_a_directory_with_many_files_little_is_kept(tmp_path: Path) -> None:
    count = 5_000
    for number in range(count):
        (tmp_path / f"{number:05}").touch()
    tracemalloc.start()
    try:
        next(ahead._from_the_end(HostPath(str(tmp_path)), lambda *_: False))
        assert tracemalloc.get_traced_memory()[1] < 200 * count
    finally:
        tracemalloc.stop()


def test_without_more_threads_the_tree_is_written_to_disk_all_the_same(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(_: object) -> None:
        raise RuntimeError("can't start new thread")

    synced: list[int] = []
    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(beneath, "sync_file_system", synced.append)
    assert site.build("SRC/data.txt\n") == 0, site.err
    assert len(synced) == 1


def test_what_another_one_returns_and_raises() -> None:
    assert Another(lambda: {"a": [1, None]}, "counted").join() == {"a": [1, None]}
    failed = Another(lambda: {1, 2}, "counted")
    with pytest.raises(HostError, match="a process that counted failed: TypeError"):
        failed.join()
