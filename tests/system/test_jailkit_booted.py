"""From Jailkit and back in a booted Debian: real accounts of the real Jailkit, the same logins before and after.

What else of the host names their homes and their shell is told; the accounts that stay with Jailkit go on as they were.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.system.booted import BootedTree
from tests.system.people import SSH

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")

J = "/srv/jk"
_FILTER, _SHELL = "/usr/sbin/jk_lsh", "/bin/bash"
SHELLS = {"jklim": _FILTER, "jkshl": _SHELL, "jkgit": _FILTER, "jkold": _FILTER}
MOVED = ("jklim", "jkshl", "jkgit")
"""Who is brought in; jkold stays with Jailkit."""
_LSH = """[DEFAULT]
paths = /usr/bin
executables = SFTP, /usr/bin/rsync, /usr/bin/scp, /usr/bin/id
umask = 022
[jkgit]
paths = /usr/bin
executables = /usr/bin/git-upload-pack
allow_word_expansion = 1
umask = 022
"""
_MAKE = f"""
set -e
dpkg -i /root/jailkit_*.deb >/dev/null
jk_init -j {J} jk_lsh sftp scp rsync basicshell >/dev/null
jk_cp -j {J} /usr/bin/id /usr/bin/git /usr/bin/git-upload-pack >/dev/null
cp /usr/sbin/jk_chrootsh /root/kept
echo /usr/sbin/jk_chrootsh >>/etc/shells
"""
# usermod(8) changes nobody as whom something runs, of which jk_jailuser says nothing.
_ACCOUNT = f"""
set -e
useradd -m -s /bin/sh NAME
jk_jailuser -n -m -j {J} -s SHELL NAME >/dev/null
getent passwd NAME | grep -q :/usr/sbin/jk_chrootsh
install -d -o NAME -g NAME -m 700 {J}/home/NAME/.ssh
install -o NAME -g NAME -m 600 /root/key.pub {J}/home/NAME/.ssh/authorized_keys
"""
_REPOSITORY = f"""
set -e
rm -rf /root/jkseed
git init -q -b main /root/jkseed
git -C /root/jkseed -c user.name=x -c user.email=x commit -q --allow-empty -m one
git clone -q --bare /root/jkseed {J}/home/jkgit/x.git
chown -R jkgit: {J}/home/jkgit/x.git
"""
# What is done as AS; it is served if it ends with 0.
USES = {
    "command": f"ssh -n {SSH} AS@localhost id -un",
    "other command": f"ssh -n {SSH} AS@localhost ls /",
    "shell": f"echo 'test $HOME = /home/AS && test -O .' | ssh {SSH} AS@localhost",
    "sftp": f"echo 'put /root/up /home/AS/sent' | sftp -q -b - {SSH} AS@localhost && test -s {J}/home/AS/sent",
    "scp": f"scp -q {SSH} /root/up AS@localhost:/home/AS/copied && test -s {J}/home/AS/copied",
    "scp -O": f"scp -q -O {SSH} AS@localhost:/home/AS/copied /root/down",
    "rsync": f"rsync -e 'ssh {SSH}' /root/up AS@localhost:/home/AS/synced && test -s {J}/home/AS/synced",
    "git": f"rm -rf /root/jkclone; GIT_SSH_COMMAND='ssh {SSH}' git clone -q AS@localhost:/home/AS/x.git /root/jkclone",
    "git push": f"GIT_SSH_COMMAND='ssh {SSH}' git -C /root/jkseed push -q AS@localhost:/home/AS/x.git main:other",
}
TRIED = {
    "jklim": ("command", "other command", "sftp", "scp", "scp -O", "rsync", "git"),
    "jkshl": ("command", "other command", "shell", "sftp", "scp", "scp -O", "rsync"),
    "jkgit": ("command", "git", "git push"),
    "jkold": ("command", "other command"),
}
# Where else of the host homes and the shell are named, as their programs have it.
ELSEWHERE = {
    ("cron", "/etc/cron.d/jk-panel"): "SHELL='/usr/sbin/jk_chrootsh'\n*/5 * * * * jklim id -un\n",
    ("cron", "/etc/cron.daily/jk-tar"): f"#!/bin/sh\ntar -cf /var/backups/jklim.tar {J}/home/jklim\n",
    ("systemd", "/etc/systemd/system/jk-app.service"): (
        f"[Service]\nUser=jkshl\nWorkingDirectory={J}/home/jkshl/app\nExecStart=/bin/true\n"
    ),
    ("FTP", "/etc/vsftpd.conf"): f"listen=YES\nlocal_root={J}/./home/jklim\n",
    ("web", "/etc/nginx/sites-enabled/jk"): f"server {{\n  root {J}/home/jkshl/www;\n}}\n",
    ("mail", "/etc/dovecot/users"): f"jklim:{{plain}}x:1:1::{J}/home/jklim::\n",
    ("quotas", "/etc/projects"): f"10:{J}/home/jklim\n",
    ("backup", "/etc/rsnapshot.conf"): f"backup\t{J}/home/jkshl/\tlocalhost/\n",
}
_ACCOUNT_FILES = "/etc/passwd /etc/group /etc/shadow /etc/gshadow /etc/shells /etc/cron.d/jk-panel"


@pytest.fixture(scope="module")
def old(tree: BootedTree) -> Iterator[BootedTree]:
    """The tree with Jailkit, a jail that it made, accounts that it put there, and what else names their homes."""
    tree.sh(f"echo sent >/root/up; git config --global safe.directory '*'; {_MAKE}")
    try:
        for name, shell in SHELLS.items():
            tree.sh(_ACCOUNT.replace("NAME", name).replace("SHELL", shell))
        subsystem = tree.sh("sshd -T | sed -n 's/^subsystem sftp //p'").split()[0]
        write(tree, f"{J}/etc/jailkit/jk_lsh.ini", _LSH.replace("SFTP", subsystem))
        tree.sh(_REPOSITORY)
        for (_, path), text in ELSEWHERE.items():
            write(tree, path, text)
        yield tree
    finally:
        tree.run("jailssh migrate --undo --yes; cp -p /root/kept /usr/sbin/jk_chrootsh; dpkg --purge jailkit")
        tree.userdel(*SHELLS)
        tree.run(f"rm -rf {J}; sed -i /jk_chrootsh/d /etc/shells")
        tree.run(f"rm -f {' '.join(path for _, path in ELSEWHERE)}")


def write(tree: BootedTree, path: str, text: str) -> None:
    """Write a file of root's; directories that are missing are made."""
    done = tree.run(f"mkdir -p $(dirname {path}) && cat >{path} && chmod 644 {path}", input=text)
    assert done.returncode == 0, done.stderr


def matrix(tree: BootedTree) -> dict[str, list[str]]:
    """Return what each account is served, by real logins; nobody is logged in any more then."""
    found = {
        name: [use for use in uses if tree.run(USES[use].replace("AS", name)).returncode == 0]
        for name, uses in TRIED.items()
    }
    tree.sh(f"for u in {' '.join(SHELLS)}; do systemctl stop user@$(id -u $u).service; done")
    tree.run(f"pkill -KILL -u {','.join(SHELLS)}")
    tree.wait(lambda: tree.run(f"pgrep -u {','.join(SHELLS)}").returncode == 1, "the end of their processes")
    return found


def inventory(tree: BootedTree) -> dict[str, Any]:
    """Return what migrate has found."""
    found: dict[str, Any] = json.loads(tree.sh("jailssh migrate jailkit --json"))
    return found


def test_the_report_names_what_else_refers_to_them(old: BootedTree) -> None:
    found = inventory(old)
    told = {(row["service"], row["where"].rpartition(":")[0], row["account"]) for row in found["elsewhere"]}
    for (service, path), text in ELSEWHERE.items():
        account = re.search("jk(lim|shl)", text)
        assert account and (service, path, account[0]) in told, (path, told)
    fates = {row["account"]: row["fate"] for row in found["accounts"]}
    assert fates == dict.fromkeys(SHELLS, "migrate")


def test_the_whole_way_and_back(old: BootedTree) -> None:
    files = partial(old.sh, f"cat {_ACCOUNT_FILES}")
    before, accounts = matrix(old), files()
    assert before["jklim"] == ["command", "sftp", "scp", "scp -O", "rsync"]
    assert before["jkgit"] == ["git"]
    assert before["jkshl"] == list(TRIED["jkshl"])
    assert before["jkold"] == ["command"]

    users = " ".join(f"--user {name}" for name in MOVED)
    old.sh(f"jailssh migrate jailkit {users} --plan")
    assert files() == accounts, "a plan changes nothing"
    done = old.run(f"jailssh migrate jailkit {users} --apply --yes --try-logins --json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row["account"]: row["done"] for row in json.loads(done.stdout)["accounts"]} == dict.fromkeys(MOVED, True)

    after = matrix(old)
    assert after == before
    assert "command runs by rule" in old.sh("journalctl -o cat JAILSSH_USER=jklim JAILSSH_EVENT=session-start")
    for name in MOVED:
        assert old.sh(f"getent passwd {name}").split(":")[5:] == [f"{J}/home/{name}", f"{login(old)}\n"]
    # Who stays goes on by the real jk_chrootsh, which sshd and the list of shells still have.
    assert old.run("cmp /root/kept /usr/sbin/jk_chrootsh && grep -qx /usr/sbin/jk_chrootsh /etc/shells").returncode == 0
    assert old.sh("getent passwd jkold").endswith(":/usr/sbin/jk_chrootsh\n")
    # A job of cron's goes through the shell of its file, as cron starts it: in the jail.
    shell = old.sh("sed -n s/^SHELL=//p /etc/cron.d/jk-panel").strip().strip("'")
    assert shell == login(old)
    job = "setpriv --reuid jklim --regid jklim --init-groups env -i LOGNAME=jklim HOME=/ " + shell
    assert old.sh(f"{job} -c 'id -un'") == "jklim\n"
    assert old.run(f"{job} -c 'ls /'").returncode == 126

    again = old.sh(f"jailssh migrate jailkit {users} --apply --yes 2>&1")
    assert "nothing to bring in" in again, again

    old.sh("jailssh migrate --undo --yes")
    assert files() == accounts
    assert matrix(old) == before
    left = json.loads(old.sh("jailssh list --json"))
    assert not {row["name"] for row in left["accounts"]} & set(SHELLS)


def test_accounts_whose_shell_has_vanished_are_served(old: BootedTree) -> None:
    """Jailkit's package is gone: its shell becomes a link to the login program, which lets in who has a jail."""
    old.sh("jailssh migrate jailkit --user jklim --apply --yes && rm /usr/sbin/jk_chrootsh")
    assert old.run(USES["command"].replace("AS", "jklim")).returncode == 0
    done = old.run("jailssh migrate jailkit --user jkold --apply --yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert old.sh("readlink /usr/sbin/jk_chrootsh").strip() == login(old)
    assert old.run(USES["command"].replace("AS", "jkold")).returncode == 0
    assert old.run(USES["command"].replace("AS", "jkshl")).returncode != 0, "it has no jail"
    old.sh("jailssh migrate --undo --yes && test ! -L /usr/sbin/jk_chrootsh && cp -p /root/kept /usr/sbin/jk_chrootsh")


def login(tree: BootedTree) -> str:
    """Return the path of the login program."""
    return tree.sh("ls /usr/local/libexec/jailssh/jailssh-login").strip()
