"""A booted tree of each release, with accounts in jails and without, made when its tests begin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.harness.fixtures import staged_prefix
from tests.system.booted import SUITES, BootedTree
from tests.system.people import prepare

__all__ = ["staged_prefix"]


@pytest.fixture(scope="session", params=SUITES)
def tree(request: pytest.FixtureRequest) -> Iterator[BootedTree]:
    """A tree with the accounts of :mod:`tests.system.people`."""
    with closing(BootedTree(request.param)) as tree:
        prepare(tree)
        yield tree
