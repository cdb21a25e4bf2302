"""The sshd tests share one scratch host with jailssh installed and set up, and an account in each shipped jail."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from jailssh.scratch.host import ScratchHost
from tests.harness.client import SshClient
from tests.harness.fixtures import client, installed_host, probe, staged_prefix
from tests.sshd.world import World

__all__ = ["client", "installed_host", "probe", "staged_prefix", "world"]


@pytest.fixture(scope="session")
def world(installed_host: ScratchHost, client: SshClient) -> Iterator[World]:
    """The accounts, ready to log in to."""
    with closing(World(installed_host, client)) as world:
        yield world
