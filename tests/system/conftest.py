"""A booted tree of each release, made while the first one's tests run, with accounts in jails and without."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.harness.fixtures import staged_prefix
from tests.system.booted import SUITES, BootedTree, own_suite
from tests.system.people import prepare

__all__ = ["staged_prefix"]


@pytest.fixture(scope="session")
def making() -> Iterator[dict[str, Future[BootedTree]]]:
    """The trees, or what went wrong with one."""
    with ThreadPoolExecutor() as pool:
        trees = {suite: pool.submit(BootedTree, suite) for suite in SUITES}
        yield trees
        for each in trees.values():
            if each.exception() is None:
                each.result().close()


@pytest.fixture(scope="session", params=SUITES)
def tree(request: pytest.FixtureRequest, making: dict[str, Future[BootedTree]]) -> Iterator[BootedTree]:
    """A tree with the accounts of :mod:`tests.system.people`."""
    tree = making[request.param].result()
    prepare(tree)
    yield tree
    tree.close()


@pytest.fixture(scope="session")
def own_tree(making: dict[str, Future[BootedTree]]) -> BootedTree:
    """The tree of this machine's release, in which what was built here runs."""
    return making[own_suite()].result()
