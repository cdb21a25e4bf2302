"""dpkg stops at an override for a group that is gone: such a group stays (dpkg-statoverride(1))."""

from __future__ import annotations

import pytest

from jailssh.scratch.host import ScratchHost
from tests.harness.fixtures import staged_prefix

__all__ = ["staged_prefix"]

pytestmark = pytest.mark.needs("root", "login-program", "useradd", "sshd", "dpkg")


@pytest.mark.parametrize("named", [False, True])
def test_a_group_that_dpkg_needs_outlives_the_set_up(staged_prefix: str, named: bool) -> None:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as host:
        host.run(["sh", "-c", "ssh-keygen -A >/dev/null"], check=True)
        host.run(["jailssh", "setup", "--yes"], check=True)
        if named:
            host.run(["dpkg-statoverride", "--add", "root", "jailssh", "4750", "/usr/libexec/of-a-package"], check=True)
        host.run(["jailssh", "setup", "--undo", "--yes"], check=True)
        assert (host.run(["getent", "group", "jailssh"]).code == 0) == named
        assert host.run(["dpkg-statoverride", "--list"]).code == 0
