"""Logins by every protocol into a booted Debian, and the way back: deluser, setup --undo, make uninstall."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from tests.system.booted import BootedTree
from tests.system.people import JAILS, OPEN, SHUT, SSH, prepare

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")

_GIT = f"GIT_SSH_COMMAND='ssh {SSH}' git"
_DENIED = "jailssh: command not allowed; this account allows: "


@dataclass(frozen=True)
class Login:
    """What a client does as AS, and what of it must be seen: its output if it is served, else the refusal."""

    name: str
    account: str
    script: str
    served: bool
    shows: str


LOGINS = (
    Login("command", "runs", f"ssh -n {SSH} AS@localhost id -un", True, "runs"),
    Login("command denied", SHUT, f"ssh -n {SSH} AS@localhost id -un", False, _DENIED),
    Login("shell", "runs", f"echo 'echo $HOME; exit 3' | ssh {SSH} AS@localhost; test $? = 3", True, "/home/runs"),
    Login("shell denied", SHUT, f"ssh {SSH} AS@localhost </dev/null", False, "this account allows: sftp"),
    Login("sftp", SHUT, f"echo put /root/up sent | sftp -q -b - {SSH} AS@localhost", True, "sftp> put"),
    Login("sftp denied", "code", f"echo pwd | sftp -q -b - {SSH} AS@localhost", False, "onnection closed"),
    Login("scp", "copies", f"scp -q {SSH} /root/up AS@localhost:sent && cat ~AS/sent", True, "from the client"),
    Login("scp -O", "copies", f"scp -q -O {SSH} AS@localhost:sent /root/down && cat /root/down", True,
          "from the client"),
    Login("scp denied", "code", f"scp -q -O {SSH} /root/up AS@localhost:sent", False, _DENIED),
    Login("rsync", "backs", f"rsync -e 'ssh {SSH}' /root/up AS@localhost:backup/ && cat ~AS/backup/up", True,
          "from the client"),
    Login("rsync denied", SHUT, f"rsync -e 'ssh {SSH}' /root/up AS@localhost:sent", False, _DENIED),
    Login("git", "code", f"{_GIT} clone -q AS@localhost:/srv/git/x.git /root/x && {_GIT} -C /root/x push -q origin "
          "main:other && git -C /root/x ls-remote AT | cut -f 2", True, "refs/heads/other"),
    Login("git denied", SHUT, f"{_GIT} clone -q AS@localhost:/srv/git/x.git /root/x", False, _DENIED),
)  # fmt: skip


@pytest.mark.parametrize("login", LOGINS, ids=lambda login: str(login.name))
def test_login(tree: BootedTree, login: Login) -> None:
    tree.sh("echo from the client >/root/up; rm -rf /root/x; git config --global safe.directory '*'")
    script = login.script.replace("AT", "/srv/git/x.git").replace("AS", login.account)
    done = tree.run(script)
    said = done.stdout + done.stderr
    assert (done.returncode == 0) == login.served, said
    assert login.shows in said


def facts(tree: BootedTree) -> str:
    """Return what jailssh may have changed of the host: who logs in how, PAM, sshd, units."""
    return tree.sh(
        "getent passwd | sort; getent group | sed 's/:[0-9]*:/::/' | sort; cat /etc/pam.d/common-*;"
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
