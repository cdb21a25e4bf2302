"""Logins by every protocol into a booted Debian, and the way back: deluser, setup --undo, make uninstall."""

from __future__ import annotations

import json

import pytest

from tests.system.booted import BootedTree
from tests.system.logins import LOGINS, Login, try_login
from tests.system.people import JAILS, OPEN, SSH, prepare

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")


@pytest.mark.parametrize("login", LOGINS, ids=lambda login: str(login.name))
def test_login(tree: BootedTree, login: Login) -> None:
    try_login(tree, login)


def facts(tree: BootedTree) -> str:
    """Return what jailssh may have changed of the host: who logs in how, PAM, sshd, units."""
    return tree.sh(
        "getent passwd | sort; getent shadow | cut -d: -f1,8 | sort;"
        "getent group | sed 's/:[0-9]*:/::/' | sort; cat /etc/pam.d/common-*;"
        "ls /usr/share/pam-configs /etc/ssh/*.d; sshd -T; systemctl cat user@.service 2>/dev/null | grep -v '^#';"
        "find /etc/systemd/system /usr/local ! -type d | sort"
    )


def test_everything_goes_and_comes_again(tree: BootedTree) -> None:
    with_it = facts(tree)
    assert tree.run(f"ssh -n {SSH} shut@localhost id -un").returncode == 126
    assert tree.run("jailssh setup --undo --yes").returncode != 0, "accounts are in jails"
    # These are from before, so they stay; the work in their homes does in any case.
    tree.sh("install -o shut -m 600 /dev/null /home/shut/work")
    for name in JAILS:
        tree.sh(f"jailssh deluser {name} --yes")
    assert json.loads(tree.sh("jailssh list --json"))["accounts"] == []
    assert tree.run("ls /run/jailssh/net | grep -x '[0-9]*'").stdout == ""
    tree.sh("jailssh setup --undo --yes")
    try:
        tree.make("uninstall")
        without = facts(tree)
        assert "jailssh" not in without
        for name in (OPEN, *JAILS):
            assert tree.sh(f"ssh -n {SSH} {name}@localhost id -un") == f"{name}\n"
        assert tree.run("test -e /home/shut/work").returncode == 0
    finally:
        tree.make("install")
        prepare(tree)
    assert facts(tree) == with_it
    assert tree.run(f"ssh -n {SSH} shut@localhost id -un").returncode == 126
