"""What panels and published scripts do with Jailkit's names, one command after the other, and the logins after it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sshd.world import LOGIN, World

pytestmark = pytest.mark.needs("root", "sshd", "journald", "login-program")

NAMES = "/usr/local/libexec/jailssh/compat"
# Sections of the file that Jailkit ships, as far as they matter here.
INI = (
    "[uidbasics]\npaths = /etc/nsswitch.conf\n[basicshell]\npaths = sh, bash, ls, cat, id\nincludesections=uidbasics\n"
)
SITE = "/var/www/clients/client1/web1"
# ISPConfig: the directory of a site becomes the jail, its account's home is made later, then usermod.
ISPCONFIG = f"""
mkdir -p {SITE}/web {SITE}/private && chown jp-site: {SITE}/web {SITE}/private
jk_init -k -c /etc/jailkit/jk_init.ini -j {SITE} basicshell
jk_cp -k -j {SITE} /usr/bin/env
jk_jailuser -n -s /bin/bash -j {SITE} jp-site
jk_update --jail={SITE} -k --skip=/web --skip=/private
jk_init -k -f -c /etc/jailkit/jk_init.ini -j {SITE} basicshell
jk_cp -k -f -j {SITE} /usr/bin/env
jk_jailuser -n -s /bin/bash -j {SITE} jp-site
"""
# HestiaCP, before it had bubblewrap: a directory for each account, whose home stays where it is.
HESTIA = """
install -d -m 755 /srv/jail/jp-hestia
jk_init -f -j /srv/jail/jp-hestia basicshell
jk_cp -f -j /srv/jail/jp-hestia /bin/id
jk_jailuser -n -s /bin/bash -j /srv/jail/jp-hestia jp-hestia
"""
# A script as they are published: the directory is the first word.
SCRIPT = """
jk_init -v -f /srv/jp-first basicshell
jk_cp -v -f /srv/jp-first/ /etc/hostname
jk_jailuser -n -s /bin/sh -j /srv/jp-first/ jp-first
jk_check /srv/jp-first || test $? = 1
jk_list -w
"""
SEQUENCES = {"jp-site": (ISPCONFIG, f"{SITE}/home/jp-site"), "jp-hestia": (HESTIA, "/home/jp-hestia"),
             "jp-first": (SCRIPT, "/home/jp-first")}  # fmt: skip


@pytest.fixture(scope="module")
def panel(world: World) -> Iterator[World]:
    """The host with a jk_init.ini of Jailkit's, and without Jailkit."""
    world.host.run(["mkdir", "-p", "/etc/jailkit"], check=True)
    world.host.write("/etc/jailkit/jk_init.ini", INI)
    yield world
    for name in SEQUENCES:
        world.jailssh("deluser", name, "--yes", check=False)
    world.host.run(["rm", "-rf", "/etc/jailkit", "/var/www/clients"])


def run(panel: World, script: str, *, check: bool = True) -> str:
    """Run a script with Jailkit's names in its path; return what it said."""
    done = panel.host.run(["sh", "-c", f"set -e; umask 022; PATH={NAMES}:$PATH; {script}"], timeout=180)
    assert not check or done.code == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", SEQUENCES)
def test_the_account_is_in_a_jail_at_the_end(panel: World, name: str) -> None:
    script, home = SEQUENCES[name]
    panel.host.run(["useradd", "--no-create-home", "--home-dir", home, "--shell", "/bin/bash", name], check=True)
    if name != "jp-site":
        panel.host.run(["install", "-d", "-m", "700", "-o", name, "-g", name, home], check=True)
    said = run(panel, script)
    assert f"jk_jailuser: runs: jailssh adduser {name} --jail shell --yes" in said
    assert panel.host.run(["getent", "passwd", name]).stdout.split(":")[5:] == [home, f"{LOGIN}\n"]
    panel.jailssh("adduser", name, "--jail", "shell", "--yes", "--key", panel.client.public_key_file)
    assert panel.client.ssh(name, "pwd; test -e /etc/shadow || id -un").stdout.split() == [home, name]


def test_what_usermod_does_afterwards_lets_nobody_out(panel: World) -> None:
    """Panels set Jailkit's shell and home, or a shell of the host, once more."""
    name, home = "jp-after", "/home/jp-after"
    panel.host.run(["useradd", "--create-home", "--home-dir", home, "--shell", "/bin/bash", name], check=True)
    panel.adduser(name, "shell", "--yes")
    for shell in ("/usr/sbin/jk_chrootsh", "/bin/bash"):
        run(panel, f"usermod -d /srv/jp/./{home} -s {shell} {name}")
        assert panel.client.ssh(name, "cat /etc/shadow; id -un").stdout != f"{name}\n"
        said = run(panel, f"mkdir -p /srv/jp; jk_jailuser -n -s /bin/bash -j /srv/jp {name}", check=False)
        assert f"hint: usermod --home /srv/jp{home} {name}" in said, said
    run(panel, f"usermod -d {home} {name}")
    panel.jailssh("apply")
    assert panel.client.ssh(name, "id -un").stdout == f"{name}\n"
    panel.jailssh("deluser", name, "--yes")


def test_a_home_moves_into_the_jail_and_back(panel: World) -> None:
    """As i-MSCP and many scripts ask for it; without a place to go to nothing changes."""
    panel.host.run(["useradd", "--create-home", "--shell", "/bin/bash", "jp-move"], check=True)
    before = panel.host.read("/etc/passwd")
    said = run(panel, "mkdir -p /srv/jp-move; jk_jailuser -n -v -m -s /bin/bash -j /srv/jp-move jp-move", check=False)
    assert "/srv/jp-move/home: no such file or directory" in said
    assert panel.host.read("/etc/passwd") == before
    assert panel.exists("/home/jp-move")
    run(panel, "mkdir /srv/jp-move/home; jk_jailuser -n -v -m -s /bin/bash -j /srv/jp-move jp-move")
    assert panel.exists("/srv/jp-move/home/jp-move") and not panel.exists("/home/jp-move")
    panel.jailssh("deluser", "jp-move", "--yes")
    assert panel.exists("/home/jp-move") and not panel.exists("/srv/jp-move/home/jp-move")
    assert panel.host.read("/etc/passwd") == before
