"""Accounts of the real Jailkit: whom it refuses and with which exit code, brought in with the same logins, and back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from jailssh.scratch.host import Finished
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "rsync", "git", "journald", "login-program", "jailkit")

J = "/srv/jk1"
SHELLS = {"jk-lim": "/usr/sbin/jk_lsh", "jk-shl": "/bin/bash", "jk-mut": "/usr/sbin/jk_lsh"}
FILTER = "[DEFAULT]\npaths=/usr/bin\nexecutables=SFTP, /usr/bin/rsync, /usr/bin/scp, /usr/bin/id\numask=022\n"
LOGIN = "/usr/local/libexec/jailssh/jailssh-login"
FILES = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow")


@pytest.fixture(scope="module")
def old(world: World) -> Iterator[World]:
    """The host with a jail that Jailkit made, and accounts that Jailkit put into it."""
    world.host.run(["jk_init", "-j", J, "jk_lsh", "sftp", "scp", "rsync", "basicshell"], check=True)
    world.host.run(["jk_cp", "-j", J, "/usr/bin/id"], check=True)
    for name, shell in SHELLS.items():
        world.host.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True)
        world.host.run(["jk_jailuser", "-n", "-m", "-j", J, "-s", shell, name], check=True)
        world.host.run(["install", "-d", "-o", name, "-g", name, f"{J}/home/{name}/.ssh"], check=True)
        world.put(f"{J}/home/{name}/.ssh/authorized_keys", f"{world.client.public_key}\n", name)
    world.host.run(["useradd", "--home-dir", f"{J}/./home/ftp1", "--shell", "/bin/bash", "jk-ftp"], check=True)
    subsystem = sh(world, "sshd -T | sed -n 's/^subsystem sftp //p'").split()[0]
    world.host.write(f"{J}/etc/jailkit/jk_lsh.ini", FILTER.replace("SFTP", subsystem))
    yield world
    world.jailssh("migrate", "--undo", "--yes")


def sh(world: World, script: str) -> str:
    return world.host.run(["sh", "-c", script], check=True).stdout


def as_user(world: World, name: str, *argv: str) -> Finished:
    """Run a login shell as sshd does, without sshd."""
    ids = ["--reuid", name, "--regid", name, "--init-groups"]
    return world.host.run(["setpriv", *ids, "env", "-i", f"USER={name}", f"LOGNAME={name}", *argv])


def rows(world: World) -> dict[str, dict[str, Any]]:
    seen = json.loads(world.jailssh("migrate", "jailkit", "--json").stdout)
    return {row["account"]: row for row in seen["accounts"]}


def test_what_is_found(old: World) -> None:
    found = rows(old)
    lim, shl, ftp = (found[name] for name in ("jk-lim", "jk-shl", "jk-ftp"))
    assert (lim["fate"], lim["home"], lim["home_in_jail"]) == ("migrate", f"{J}/home/jk-lim", "/home/jk-lim")
    assert {"command", "sftp", "scp-old", "rsync"} <= set(lim["uses"])
    assert {"shell", "command", "rsync"} <= set(shl["uses"])
    assert ftp["fate"] == "leave"
    assert lim["where"].startswith("/etc/passwd:")


# How something is spoiled, and mended again; jk_chrootsh itself says the exit code.
SPOILED = {
    "home g+w": (f"chmod g+w {J}/home/jk-mut", f"chmod g-w {J}/home/jk-mut"),
    "home o+w": (f"chmod o+w {J}/home/jk-mut", f"chmod o-w {J}/home/jk-mut"),
    "owner": (f"chown root {J}/home/jk-mut", f"chown jk-mut {J}/home/jk-mut"),
    "group": (f"chgrp root {J}/home/jk-mut", f"chgrp jk-mut {J}/home/jk-mut"),
    "home gone": (f"mv {J}/home/jk-mut {J}/home/x", f"mv {J}/home/x {J}/home/jk-mut"),
    "home a file": (
        f"mv {J}/home/jk-mut {J}/home/x; touch {J}/home/jk-mut; chown jk-mut: {J}/home/jk-mut",
        f"rm {J}/home/jk-mut; mv {J}/home/x {J}/home/jk-mut",
    ),
    "jail g+w": (f"chmod g+w {J}", f"chmod g-w {J}"),
    "etc o+w": (f"chmod o+w {J}/etc", f"chmod o-w {J}/etc"),
    "folder": ("chmod o+w /etc/jailkit", "chmod o-w /etc/jailkit"),
    "no line": (f"sed -i /^jk-mut:/d {J}/etc/passwd", "restore"),
    "name": (f"sed -i s/^jk-mut:/other:/ {J}/etc/passwd", "restore"),
    "uid": (f"sed -i s/^jk-mut:x:[0-9]*/jk-mut:x:4242/ {J}/etc/passwd", "restore"),
    "home in passwd": (f"sed -i s,:/home/jk-mut:,:/home/x:, {J}/etc/passwd", "restore"),
    "no group": (f"sed -i /^jk-mut:/d {J}/etc/group", "restore"),
    "group name": (f"sed -i s/^jk-mut:/other:/ {J}/etc/group", "restore"),
    "shell gone": (f"sed -i '/^jk-mut/s,[^:]*$,/bin/none,' {J}/etc/passwd", "restore"),
    "no filter": (f"mv {J}/etc/jailkit/jk_lsh.ini {J}/x", f"mv {J}/x {J}/etc/jailkit/jk_lsh.ini"),
    "no section": (f"sed -i s/DEFAULT/default/ {J}/etc/jailkit/jk_lsh.ini", "restore"),
    "no executables": (f"sed -i /^executables/d {J}/etc/jailkit/jk_lsh.ini", "restore"),
    "blank": ("printf '[jk-mut]\\ninjail_shell = /bin/sh\\n' >>/etc/jailkit/jk_chrootsh.ini", "restore"),
    "two marks": ("usermod -d /srv/./jk1/./home/jk-mut jk-mut", f"usermod -d {J}/./home/jk-mut jk-mut"),
    "no mark": (f"usermod -d {J}/home/jk-mut jk-mut", f"usermod -d {J}/./home/jk-mut jk-mut"),
    "no jail": ("usermod -d /srv/none/./home/jk-mut jk-mut", f"usermod -d {J}/./home/jk-mut jk-mut"),
    "link": ("ln -s jk1 /srv/jk2; usermod -d /srv/jk2/./home/jk-mut jk-mut", f"usermod -d {J}/./home/jk-mut jk-mut"),
}
_KEPT = f"{J}/etc/passwd {J}/etc/group {J}/etc/jailkit/jk_lsh.ini /etc/jailkit/jk_chrootsh.ini"


@pytest.mark.parametrize("case", SPOILED)
def test_who_is_refused_with_the_exit_code_of_the_real_one(old: World, case: str) -> None:
    spoil, mend = SPOILED[case]
    sh(old, f"mkdir -p /srv/kept && cp --parents {_KEPT} /srv/kept")
    sh(old, spoil)
    try:
        real = as_user(old, "jk-mut", "/usr/sbin/jk_chrootsh", "-c", "id")
        row = rows(old)["jk-mut"]
    finally:
        sh(old, f"for f in {_KEPT}; do cat /srv/kept$f >$f; done" if mend == "restore" else mend)
    said = re.findall(r"exit code (\d+)", json.dumps(row["remarks"]))
    assert real.code != 0
    assert (row["fate"], said) == ("refused", [str(real.code)]), (real, row)


def test_the_plan_tells_what_becomes_of_a_line_of_passwd(old: World) -> None:
    row = rows(old)["jk-lim"]
    assert row["passwd"] == {
        "home": [f"{J}/./home/jk-lim", f"{J}/home/jk-lim"],
        "shell": ["/usr/sbin/jk_chrootsh", LOGIN],
    }
    text = old.jailssh("migrate", "jailkit", "--user", "jk-lim").stdout
    assert f"/etc/passwd: home {J}/./home/jk-lim -> {J}/home/jk-lim" in text
    assert f"/etc/passwd: shell /usr/sbin/jk_chrootsh -> {LOGIN}" in text


def test_a_login_is_in_the_home_as_jailkits_was(old: World) -> None:
    look = "pwd; echo $HOME $USER; ls -d /home/*; test -e /etc/shadow || echo none"
    said = ["/home/jk-shl", "/home/jk-shl jk-shl"]
    before = old.client.ssh("jk-shl", look).stdout.splitlines()
    old.jailssh("migrate", "jailkit", "--user", "jk-shl", "--apply", "--yes")
    try:
        after = old.client.ssh("jk-shl", look).stdout.splitlines()
        assert (before[:2], after[:2], before[-1], after[-1]) == (said, said, "none", "none")
        assert {"/home/jk-lim", "/home/jk-shl"} <= set(before), "Jailkit's accounts saw each other"
        assert after[2:-1] == ["/home/jk-shl"]
        assert old.host.run(["su", "-", "jk-shl", "-c", "pwd; ls -d /home/*"]).stdout.split() == ["/home/jk-shl"] * 2
    finally:
        old.jailssh("migrate", "--undo", "--yes")


def test_any_spelling_of_the_shell_is_no_finding(old: World) -> None:
    old.host.run(["usermod", "--shell", "/sbin/jk_chrootsh", "jk-lim"], check=True)
    try:
        found = old.jailssh("check", "--dir", J, "--json", check=False).stdout
        assert rows(old)["jk-lim"]["fate"] == "migrate"
        assert not [each for each in json.loads(found)["findings"] if each["id"] == "JSH-161" and "jk-lim" in str(each)]
    finally:
        old.host.run(["usermod", "--shell", "/usr/sbin/jk_chrootsh", "jk-lim"], check=True)


def test_what_worked_works_and_all_goes_back(old: World) -> None:
    # A jail's passwd whose last line has no end, in which Jailkit itself would write a line into another.
    sh(old, f"printf 'last:x:4242:4242::/:/bin/false' >>{J}/etc/passwd")
    jail = f"cd {J}; find . -path ./home -prune -o -type f -exec sha256sum {{}} + -printf '%p %m %U %G\\n' | sort"
    tree = sh(old, jail)
    before = [old.host.read(path) for path in FILES]
    names = [word for name in ("jk-lim", "jk-shl") for word in ("--user", name)]
    done = old.jailssh("migrate", "jailkit", *names, "--apply", "--yes", "--try-logins")
    told = done.stdout + done.stderr
    assert "2 of 2 accounts" in told, told
    ssh = old.client.ssh
    assert ssh("jk-lim", "id -u").code == 0
    assert ssh("jk-lim", "ls").code == 126
    assert ssh("jk-shl", "pwd; echo $HOME").stdout.split() == ["/home/jk-shl"] * 2
    assert old.client.sftp("jk-lim", "put /etc/hostname up\nls /home/jk-lim\n").code == 0
    assert old.host.run(["test", "-f", f"{J}/home/jk-lim/up"]).code == 0
    # Where Jailkit is gone its shell is a link to the login program, which goes by what it is and not by its name.
    link = "/usr/local/sbin/jk_chrootsh"
    sh(old, f"mkdir -p /usr/local/sbin && ln -s {LOGIN} {link}")
    try:
        assert as_user(old, "jk-lim", link, "-c", "id -u").code == 0
        assert as_user(old, "jk-lim", link, "-c", "ls").code == 126
        assert as_user(old, "jk-lim", link).code not in (0, 255)
        assert as_user(old, "jk-mut", link, "-c", "id -u").code not in (0, 255), "who has no jail gets nothing by it"
    finally:
        sh(old, f"rm {link}")
    old.jailssh("migrate", "--undo", "--yes")
    assert [old.host.read(path) for path in FILES] == before
    assert sh(old, jail) == tree, "nothing is written to Jailkit's jail"
