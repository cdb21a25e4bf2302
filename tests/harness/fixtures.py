"""The fixtures; a conftest.py that wants one imports it by name."""

from __future__ import annotations

import os
import pathlib
import subprocess
from collections.abc import Iterator

import pytest

from jailssh.scratch.host import ScratchHost
from tests.harness.client import SshClient
from tests.harness.probe import build_probe, put_probe
from tests.harness.shared import building, once

_ROOT = pathlib.Path(__file__).parents[2]
PREFIX = "/usr/local"
PROBE_PATH = "/srv/probe"


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The compiled probe, as a path of the machine; put_probe() brings it into a scratch host."""
    return once(tmp_path_factory, "probe", build_probe) / "probe"


@pytest.fixture
def scratch_host() -> Iterator[ScratchHost]:
    """A scratch host for one test, without jailssh."""
    with ScratchHost() as host:
        yield host


@pytest.fixture(scope="session")
def staged_prefix(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The directory that ``make install`` filled, once per session."""
    return f"{once(tmp_path_factory, 'stage', _install)}{PREFIX}"


def _install(stage: pathlib.Path) -> None:
    # Flags of an outer make would reach this one, and a umask of 077 would make an installation that nobody can run.
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    command = ["make", "-s", "install", f"PREFIX={PREFIX}", f"DESTDIR={stage}"]
    with building():
        done = subprocess.run(command, cwd=_ROOT, env=env, umask=0o022, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command)}: {done.stdout}{done.stderr}", pytrace=False)


@pytest.fixture(scope="session")
def installed_host(staged_prefix: str, probe: pathlib.Path) -> Iterator[ScratchHost]:
    """A scratch host with jailssh installed, journald and sshd running, and the probe at PROBE_PATH."""
    with ScratchHost(install={staged_prefix: PREFIX}) as host:
        host.start_journald()
        host.start_sshd()
        put_probe(host, probe, PROBE_PATH)
        yield host


@pytest.fixture(scope="session")
def client(installed_host: ScratchHost) -> SshClient:
    """A client on the installed host."""
    return SshClient(installed_host)
