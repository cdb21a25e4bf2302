"""``enter`` and ``run`` on a booted Debian: by an account, a member of a group, and whoever has an account."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.booted import BootedTree
from tests.system.people import OPEN, OTHER, SHUT

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")

JAIL = f"plugins = shell\nenter = {OPEN}, @staffs\n"
LOOK = "id -un; ls -d /etc/jailssh 2>&1; pwd"


@pytest.fixture(scope="module", autouse=True)
def workshop(tree: BootedTree) -> Iterator[None]:
    """A jail that an account and a group may enter; the group has a member."""
    tree.sh(f"groupadd staffs; useradd -m -s /bin/bash member; usermod -aG staffs member; id {OTHER}")
    tree.run("cat >/etc/jailssh/jails/workshop.conf", input=JAIL, check=True)
    tree.sh("jailssh setup --yes; jailssh apply")
    yield
    tree.sh("rm /etc/jailssh/jails/workshop.conf; jailssh apply; jailssh setup --yes")
    tree.userdel("member")
    tree.sh("groupdel staffs")


@pytest.mark.parametrize("who", [OPEN, "member"])
def test_who_may_enter_is_in_the_jail_with_the_own_home(tree: BootedTree, who: str) -> None:
    said = tree.sh(f"runuser -l {who} -c \"jailssh enter workshop -- sh -c '{LOOK}; echo kept >work; exit 0'\"")
    assert said == f"{who}\nls: cannot access '/etc/jailssh': No such file or directory\n/home/{who}\n"
    assert tree.sh(f"cat /home/{who}/work; rm /home/{who}/work") == "kept\n"
    assert tree.run(f"runuser -u {who} -- jailssh enter workshop -- exit 7").returncode == 7
    entered = f"journalctl --sync; journalctl -o cat JAILSSH_ENTERED=workshop JAILSSH_USER={who} _UID=$(id -u {who})"
    assert "session ended with status 7" in tree.sh(entered)


def test_who_may_not_is_not_told_whether_there_is_such_a_jail(tree: BootedTree) -> None:
    for jail in ("workshop", "no-such-jail"):
        done = tree.run(f"runuser -u {OTHER} -- jailssh enter {jail} -- id")
        assert (done.returncode, done.stdout) == (126, "")
        assert done.stderr == "jailssh: this account is not allowed to enter this jail\n"
    # Whoever is in a jail by its login does not come by another way into another one.
    assert tree.run(f"runuser -u {SHUT} -- jailssh enter workshop -- id").returncode == 126


def test_run_by_the_name_of_a_jail_as_root_and_as_an_ordinary_user(tree: BootedTree) -> None:
    look = "sh -c 'id -u; ls -d /etc/jailssh; cat /proc/self/uid_map; grep CapEff /proc/self/status'"
    said = tree.run(f"jailssh run workshop {look}").stdout.split()
    assert (said[0], said[-1]) == ("0", "0" * 16)
    said = tree.run(f"cd /; runuser -u {OTHER} -- jailssh run -U workshop {look}").stdout.split()
    assert said[:4] == ["0", "0", tree.sh(f"id -u {OTHER}").strip(), "1"]
    assert said[-1] == "0" * 16
    done = tree.run(f"cd /; runuser -u {OTHER} -- jailssh run workshop {look}")
    assert (done.returncode, done.stdout) == (125, "")
    assert "needs root, or a user namespace" in done.stderr
