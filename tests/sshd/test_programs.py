"""Real clients of the plugins that serve one program, through sshd into the jail: what they do works, nothing else."""

from __future__ import annotations

import pytest

from jailssh.core import journal_fields as fields
from tests.harness.said import denial_of
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "borg", "svn", "hg", "cvs", "journald", "login-program")

JAILS = {
    "borg-backup": "",
    "svn": "",
    "hg": "",
    "sftp-dropbox": "",
    "cvs-old": "plugins = cvs\n[cvs]\nrepositories = /srv/cvs\n",
    "own-lines": 'plugins = command\n[command]\ncommands = "true", "head -n <int:1:9>", "wc [-c] <path:~>"\nread = ~\n',
}
_REPOSITORIES = """
set -e
mkdir -p /srv/cvs/m
svnadmin create /srv/svn/r
cvs -d /srv/cvs init
hg init /home/hg/hg
chown -R svn: /srv/svn
chown -R cvs-old: /srv/cvs
chown -R hg: /home/hg/hg
"""


@pytest.fixture(scope="module", autouse=True)
def accounts(world: World) -> None:
    world.host.run(["mkdir", "-p", "/srv/svn", "/srv/cvs"], check=True)
    for name, text in JAILS.items():
        if text:
            world.host.write(f"/etc/jailssh/jails/{name}.conf", text)
        world.adduser(name, name)
    world.host.run(["sh", "-c", _REPOSITORIES], check=True)


def rule(world: World, user: str) -> str:
    """Return the rule that let the account's newest session in, or why it was denied."""
    record = next(record for record in world.last_login(user) if fields.RULE in record or fields.REASON in record)
    return str(record.get(fields.REASON) or record[fields.RULE])


def test_borg(world: World) -> None:
    env = {"BORG_RSH": "ssh", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
    url = "ssh://borg-backup@host/home/borg-backup"
    world.host.run(["sh", "-c", "mkdir ~borg-backup/borg && chown borg-backup: ~borg-backup/borg"], check=True)
    for words in (["init", "-e", "none", f"{url}/borg/r"], ["create", f"{url}/borg/r::one", "up.txt"]):
        done = world.client.run(["borg", *words], env=env)
        assert done.code == 0, done.stderr
    assert rule(world, "borg-backup") == "borg.serve"
    assert world.client.run(["borg", "list", "--short", f"{url}/borg/r"], env=env).stdout == "one\n"
    assert world.client.run(["borg", "init", "-e", "none", f"{url}/elsewhere"], env=env).code != 0
    assert not world.exists("/home/borg-backup/elsewhere")
    denied = world.client.ssh("borg-backup", "borg serve --restrict-to-path /")
    assert denied.code == 126
    assert denial_of(denied.stderr, "this account allows: borg") == "option --restrict-to-path"


def test_svn(world: World) -> None:
    done = world.client.run(["svn", "mkdir", "-m", "x", "svn+ssh://svn@host/r/d"])
    assert done.code == 0, done.stderr
    assert "| svn |" in world.client.run(["svn", "log", "svn+ssh://svn@host/r"]).stdout
    assert rule(world, "svn") == "svn.serve"
    assert world.client.ssh("svn", "svnserve -t -r /").code == 126


def test_svn_whatever_the_locale_of_the_client_is(world: World) -> None:
    """svnserve would warn of one that the image has not, and in none finds no name that is not ASCII."""
    world.host.run(["env", "LC_ALL=C.UTF-8", "svnadmin", "create", "/srv/svn/\u00fc"], check=True)
    world.host.run(["chown", "-R", "svn:", "/srv/svn"], check=True)
    for locale in ("xx_XX.UTF-8", "C"):
        env = {"LC_ALL": "C.UTF-8", "SVN_SSH": f"ssh -q -o SetEnv=LANG={locale}"}
        for name in ("r", "%C3%BC"):
            done = world.client.run(["svn", "ls", f"svn+ssh://svn@host/{name}"], env=env)
            assert (done.code, done.stderr) == (0, ""), (locale, name)


def test_hg(world: World) -> None:
    done = world.client.run(["hg", "clone", "ssh://hg@host/hg", "clone-hg"])
    assert done.code == 0, done.stderr
    assert rule(world, "hg").startswith("hg.serve.")
    assert world.client.ssh("hg", "hg -R --debugger serve --stdio").code == 126


def test_cvs(world: World) -> None:
    done = world.client.run(["cvs", "-d", ":ext:cvs-old@host:/srv/cvs", "checkout", "m"], env={"CVS_RSH": "ssh"})
    assert done.code == 0, done.stderr
    assert rule(world, "cvs-old") == "cvs.server"
    assert world.client.ssh("cvs-old", "cvs pserver").code == 126


def test_drop_box(world: World) -> None:
    assert world.client.sftp("sftp-dropbox", "put up.txt box.txt\n").code == 0
    for batch in ("put up.txt box.txt\n", "get box.txt back.txt\n", "rm box.txt\n", "chmod 644 box.txt\n"):
        assert world.client.sftp("sftp-dropbox", batch).code != 0
    assert world.client.scp(["up.txt", "sftp-dropbox@host:scp.txt"]).code != 0  # it opens as if the file were there
    assert world.host.read("/home/sftp-dropbox/box.txt") == b"from the client\n"


def test_the_administrator_s_own_lines(world: World) -> None:
    world.put("/home/own-lines/data", "three\nlines\nhere\n", "own-lines")
    assert world.client.ssh("own-lines", "true").code == 0
    assert world.client.ssh("own-lines", "wc -c data").stdout == "17 data\n"
    assert world.client.ssh("own-lines", "head -n 2", input="a\nb\nc\n").stdout == "a\nb\n"
    assert world.client.ssh("own-lines", "head -n 2 data").code == 126
    assert world.client.ssh("own-lines", "wc --files0-from=/etc/passwd data").code == 126
    assert rule(world, "own-lines") == "option-not-allowed"
