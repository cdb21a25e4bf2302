"""A kernel or a container that answers some calls with ENOSYS or EPERM: the login is served, and as safely."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from tests.root import login_lab
from tests.root.login_lab import Lab, filter_of, plan

pytestmark = login_lab.NEEDS
set_uid_lab = login_lab.set_uid_lab

CALLS = ("keyctl", "clone3", "openat2", "mount_setattr", "close_range", "landlock_444")


@pytest.fixture
def lab(set_uid_lab: Lab) -> Iterator[Lab]:
    # What earlier tests have pinned was made without the filter.
    set_uid_lab.host.run(["sh", "-c", "umount -l /run/jailssh/ns; true"])
    yield set_uid_lab
    set_uid_lab.filter = b""
    set_uid_lab.host.run(["sh", "-c", "umount -l /run/jailssh/ns; true"])


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS])
@pytest.mark.parametrize("calls", [(call,) for call in CALLS] + [CALLS], ids="+".join)
def test_a_login_is_served(lab: Lab, calls: tuple[str, ...], error: int) -> None:
    lab.filter = filter_of(calls, error)
    lab.publish(plan(proc=True))
    for _ in range(2):  # the one that pins, and one that starts from the pin
        facts = lab.login("probe facts power mounts").facts
        assert facts["no_new_privs"] == "1"
        where = {mount.path: mount.flags for mount in facts.mounts()}
        assert "ro" in where["/"]
        assert {"nosuid", "nodev", "noexec"} <= where["/home/u"]
        assert all("nosuid" in flags and not flags & {"shared", "slave"} for flags in where.values())
