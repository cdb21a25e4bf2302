"""How the tests share a machine with several processors: ``pytest -n 2``, which is what ``make test`` runs.

A worker takes one group after the other, the longest first.  A group is a file, or the files that share something
which takes long to set up.  What looks at the whole machine, or measures time, is marked ``alone``: while such a test
runs, the other workers wait between two of theirs.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

# Files that are one group: a worker that takes one of them takes all.
TOGETHER = ("tests/system/test_*_booted.py", "tests/sshd/test_*.py")
# What takes longest, first; with a long one at the end the other workers would have nothing left to do.
LONGEST = (
    *TOGETHER, "tests/fuzz/test_fuzz.py", "tests/root/users/test_matrix.py", "tests/root/users/test_setup.py",
    "tests/root/users/test_adduser.py", "tests/root/console/test_outputs.py", "tests/root/login/test_log.py",
    "tests/root/login/test_shapes.py", "tests/root/login/test_attacks_commands.py", "tests/lint/test_c_analysis.py",
    "tests/lint/test_format.py", "tests/root/login/test_session.py",
)  # fmt: skip
# Many of whose tests are alone: the others wait less when there are few of them left.
LAST = ("tests/root/login/test_limits.py",)


def group_of(test: str) -> str:
    """Return the group of a test, which is named as pytest names it."""
    path = test.split("::")[0]
    return next((group for group in TOGETHER if fnmatch(path, group)), path)


def place_of(test: str) -> int:
    """Return where the group of a test stands among all, the smallest first."""
    group = group_of(test)
    if group in LONGEST:
        return LONGEST.index(group)
    return len(LONGEST) + (1 + LAST.index(group) if group in LAST else 0)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out groups, in the order of :func:`pytest_collection_modifyitems`."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):  # type: ignore[misc] # it comes without types
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the groups into their order, where there are workers to take them."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: place_of(item.nodeid))


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


class _Worker:
    """What a worker does around each test."""

    def __init__(self, folder: Path) -> None:
        self._turns = _Turns(folder)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, None]:
        with self._turns.taken(item.get_closest_marker("alone") is not None):
            yield


class _Controller:
    """What the process does that has workers: the place where they take turns, and nothing of it in the end."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="jailssh-turns-")

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["turns"] = self._folder

    def pytest_unconfigure(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def pytest_configure(config: pytest.Config) -> None:
    """Take part, as a worker or as the one that has workers."""
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(_Worker(Path(config.workerinput["turns"])))
    elif config.getoption("numprocesses", None):
        config.pluginmanager.register(_Controller())
