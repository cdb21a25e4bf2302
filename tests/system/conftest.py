"""A booted tree of each release, with accounts in jails and without, made when its tests begin."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.harness.fixtures import staged_prefix
from tests.harness.shared import once
from tests.system import packaged
from tests.system.booted import SUITES, BootedTree
from tests.system.people import prepare

__all__ = ["staged_prefix"]

_made: list[BootedTree] = []


@pytest.fixture(scope="session", params=SUITES)
def tree(request: pytest.FixtureRequest) -> Iterator[BootedTree]:
    """A tree with the accounts of :mod:`tests.system.people`."""
    with closing(BootedTree(request.param)) as tree:
        _made.append(tree)
        prepare(tree)
        yield tree


@pytest.fixture(scope="session")
def deb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory in which the Debian package was built, once a run."""
    return once(tmp_path_factory, "deb", lambda folder: packaged.build(folder, 0o077, TZ="Asia/Tokyo", LC_ALL="C"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Generator[None, Any, None]:
    """Remove the trees behind their last test, while others run: pytest itself would at the end of the whole run."""
    yield
    if nextitem is not None and not nextitem.path.stem.endswith("_booted"):
        while _made:
            _made.pop().close()
