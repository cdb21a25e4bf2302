"""Accounts whose login shell is scponly or scponlyc."""

from __future__ import annotations

import pytest

from jailssh.sources import scponly
from jailssh.sources.found import Effect, Fate
from tests.unit.sources.shells import one, texts

ROOTS = {"/srv/jail": (0o40755, 0, 0), "/home/kim": (0o40755, 0, 0), "/srv/loose": (0o40775, 0, 0),
         "/srv/hers": (0o40755, 1001, 1001)}  # fmt: skip


def test_scponly_is_sftp_and_scp() -> None:
    """What else it may have been built with is said to be lost."""
    found = one(scponly, "/usr/bin/scponly")
    assert found.fate is Fate.MIGRATE and found.settings == {"": {"plugins": "sftp scp"}}
    assert "chosen when it was built" in texts(found, Effect.NOTE)
    assert "rsync, unison" in texts(found, Effect.LOST) and "modes" in texts(found, Effect.CLOSED)


@pytest.mark.parametrize(
    ("home", "there"),
    [
        ("/srv/jail//home/kim", ("/srv/jail/home/kim", "/home/kim")),
        ("/srv/jail//home//kim/", ("/srv/jail/home/kim", "/home/kim")),
        ("/srv/jail//", ("/srv/jail", "")),
        ("/home/kim", ("", "")),
        ("/srv/jail/./", ("/srv/jail", "")),
    ],
)
def test_the_double_slash_marks_chroot_and_start(home: str, there: tuple[str, str]) -> None:
    """What stands before it is the chroot, what is behind it the home in there."""
    found = one(scponly, "/usr/sbin/scponlyc", home=home, dirs=ROOTS)
    assert found.fate is Fate.MIGRATE, texts(found)
    assert (found.home, found.inside) == there


@pytest.mark.parametrize(
    ("home", "why"),
    [
        ("//home/kim", "names no chroot"),
        ("/srv/missing//home", "not a directory"),
        ("/srv/loose//home/kim", "can be written to by others"),
        ("/srv/hers//home/kim", "not root's alone"),
    ],
)
def test_what_scponlyc_refuses(home: str, why: str) -> None:
    """It checks who owns its chroot."""
    found = one(scponly, "/usr/sbin/scponlyc", home=home, dirs=ROOTS)
    assert found.fate is Fate.REFUSED and why in texts(found)


@pytest.mark.parametrize(
    "home", ["/srv/jail//home/../../etc", "/srv/jail//etc/kim", "/srv/\udcff//x", "/srv/../jail//x"]
)
def test_homes_that_a_jail_cannot_show(home: str) -> None:
    """They are left."""
    assert one(scponly, "/usr/sbin/scponlyc", home=home, dirs=ROOTS).fate is Fate.LEAVE
