"""How the tests share a machine with several processors: ``pytest -n 2``, which is what ``make test`` runs.

A worker takes one group after the other, the longest first.  A group is a file, or the files that share something
which takes long to set up.  What looks at the whole machine, or measures time, is marked ``alone``: while such a test
runs, the other workers wait between two of theirs.  Before it runs, all wait for the longest of what is under way, so
these tests are one group, the last; none of them is in a group that shares what takes long to set up.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import IO, Any

import pytest

# Tests that are one group, by file and a part of the name: a worker that takes one of them takes all.  Each group of
# booted trees makes a tree of its own, the other ones a host with jailssh set up and accounts in it.
TOGETHER = {
    "bookworm": ("tests/system/test_*_booted.py", "bookworm"),
    "trixie": ("tests/system/test_*_booted.py", ""),
    "package bookworm": ("tests/system/test_package.py", "bookworm"),
    "package trixie": ("tests/system/test_package.py", "trixie"),
    "sshd m-z": ("tests/sshd/test_[m-z]*.py", ""),
    "sshd a-l": ("tests/sshd/test_[a-l]*.py", ""),
}
# What takes longest, first; with a long one at the end the other workers would have nothing left to do.
LONGEST = (
    *TOGETHER, "tests/root/users/test_matrix.py", "tests/root/users/test_setup.py", "tests/fuzz/test_fuzz.py",
    "tests/root/login/test_linger_hostile.py", "tests/root/console/test_outputs.py", "tests/root/users/test_adduser.py",
    "tests/root/tree/test_languages.py", "tests/root/checks/test_check.py", "tests/root/publish/test_keys.py",
    "tests/root/doctor/test_doctor.py", "tests/root/login/test_log.py", "tests/system/test_install.py",
    "tests/system/test_package_built.py",
    "tests/lint/test_c_analysis.py", "tests/login/test_relay.py", "tests/lint/test_format.py",
    "tests/root/login/test_shapes.py", "tests/root/login/test_attacks_commands.py", "tests/root/login/test_linger.py",
    "tests/system/test_install_offline.py", "tests/lint/test_must_run.py", "tests/root/login/test_session.py",
    "tests/root/login/test_limits.py",
)  # fmt: skip
ALONE = "alone"
_FOLDER = pytest.StashKey[Path]()


def group_of(test: str, alone: bool = False) -> str:
    """Return the group of a test, which is named as pytest names it and may be ``alone``."""
    path, _, name = test.partition("::")
    found = next((group for group, (files, part) in TOGETHER.items() if fnmatch(path, files) and part in name), "")
    # All would wait until the longest test of the others has ended, in the midst of the run.
    assert not (found and alone), f"{test}: is one of {found}, so it cannot be alone"
    return found or (ALONE if alone else path)


def place_of(test: str, alone: bool = False) -> int:
    """Return where the group of a test stands among all."""
    group = group_of(test, alone)
    return LONGEST.index(group) if group in LONGEST else len(LONGEST) + (group == ALONE)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out groups, in the order of :func:`pytest_collection_modifyitems`."""
    from xdist.scheduler import LoadScopeScheduling

    folder = config.stash[_FOLDER]

    class Groups(LoadScopeScheduling):  # type: ignore[misc] # it comes without types
        @functools.cached_property
        def _alone(self) -> frozenset[str]:
            return frozenset((folder / ALONE).read_text().splitlines())

        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid, nodeid in self._alone)

    config.option.loadscopereorder = False
    return Groups(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the groups into their order, where there are workers to take them, who know the tests' marks."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: place_of(item.nodeid, _is_alone(item)))
        folder, own = Path(config.workerinput["turns"]), config.workerinput["workerid"]
        # Each of them finds the same.
        (folder / f"{ALONE}-{own}").write_text("".join(f"{item.nodeid}\n" for item in items if _is_alone(item)))
        (folder / f"{ALONE}-{own}").rename(folder / ALONE)


def _is_alone(item: pytest.Item) -> bool:
    return item.get_closest_marker(ALONE) is not None


class _Turns:
    """Either any number of ordinary tests run, or one that is alone."""

    def __init__(self, folder: Path) -> None:
        # Who waits to be alone stands in the gate, so that nobody who comes later gets in before.
        self._gate, self._room = ((folder / name).open("a") for name in ("gate", "room"))

    @contextmanager
    def taken(self, alone: bool) -> Iterator[None]:
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._room, fcntl.LOCK_UN)


@contextmanager
def _slot(folder: Path) -> Iterator[None]:
    """Be one of as many as there are processors."""
    files = [(folder / f"slot-{number}").open("a") for number in range(os.cpu_count() or 1)]
    while not any(_locked(file) for file in files):
        time.sleep(0.05)
    try:
        yield
    finally:
        for file in files:
            file.close()


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _Worker:
    """What a worker does around each test, and before them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turns = _Turns(folder)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_collection(self) -> Generator[None, Any, None]:
        # The first ones compile the test files, which takes twice as long as collecting; those that waited read that.
        with _slot(self._folder):
            yield

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, None]:
        with self._turns.taken(_is_alone(item)):
            yield


class _Controller:
    """What the process does that has workers: the place where they take turns, and nothing of it in the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["turns"] = str(self._folder)

    def pytest_unconfigure(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def pytest_configure(config: pytest.Config) -> None:
    """Take part, as a worker or as the one that has workers."""
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(_Worker(Path(config.workerinput["turns"])))
    elif config.getoption("numprocesses", None):
        config.stash[_FOLDER] = Path(tempfile.mkdtemp(prefix="jailssh-turns-"))
        config.pluginmanager.register(_Controller(config.stash[_FOLDER]))
