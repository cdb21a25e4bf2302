"""Plugins that meet: what a repository orders runs nothing, whatever programs others brought; what is kept is kept."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import paramiko
import pytest

from tests.sshd.world import World

pytestmark = pytest.mark.needs(
    "root", "sshd", "sftp", "scp", "borg", "svn", "hg", "cvs", "git", "rsync", "journald", "login-program", "acl"
)

ALL = "meets"
HOME = f"/home/{ALL}"
# Each plugin that fits beside cvs, all in one home and one image: what any pair could run is there.
TOGETHER = """plugins = cvs svn hg borg git rsync sftp scp
shared_directories = yes
[cvs]
repositories = ~/cvs
[svn]
root = ~/svn
[hg]
write = ~/hg
[borg]
paths = ~/borg
[git]
write = ~/git
[rsync]
write = ~
"""
KEEPING = {mode: f"plugins = sftp\numask = 000\n[sftp]\n{mode} = yes\n" for mode in ("append_only", "write_only")}
PYTHON = "/usr/bin/python3"
RAN = f"{HOME}/ran"
_REPOSITORIES = f"""
set -e
cd {HOME}
cvs -d {HOME}/cvs init
mkdir cvs/m
svnadmin create svn
hg init hg
mkdir -p git borg svn-main
"""


def run_as(world: World, *command: str) -> None:
    """Run a command on the host as the account, outside of the jail."""
    world.host.run(["setpriv", "--reuid", ALL, "--regid", ALL, "--clear-groups", "env", f"HOME={HOME}", *command])


@pytest.fixture(scope="module", autouse=True)
def accounts(world: World) -> Iterator[None]:
    world.host.write(f"/etc/jailssh/jails/{ALL}.conf", TOGETHER)
    world.adduser(ALL, ALL)
    world.host.run(["sh", "-c", _REPOSITORIES + f"chown -R {ALL}: {HOME}/[a-z]*"], check=True)
    for mode, text in KEEPING.items():
        name = mode.replace("_", "-")
        world.host.write(f"/etc/jailssh/jails/{name}.conf", text)
        world.adduser(name, name)
        world.host.run(["setfacl", "-d", "-m", "u::rwx,g::rwx", f"/home/{name}"], check=True)
    yield
    for mode in KEEPING:
        world.host.run(["setfacl", "-k", f"/home/{mode.replace('_', '-')}"], check=True)


def sprung(world: World) -> bool:
    """True if what a repository ordered has run since the last look."""
    found = world.exists(RAN)
    world.host.run(["rm", "-f", RAN], check=True)
    return found


def marker() -> str:
    """Return Python's words for leaving a mark, without a blank or a quote."""
    words = f"open({RAN!r}, 'w')".encode()
    return f"exec(bytes([{','.join(map(str, words))}]))"


@pytest.mark.parametrize("order", [f"{PYTHON} -c {marker()}", "/usr/bin/cvs", "/usr/bin/git version"])
def test_cvs_runs_nothing_that_its_administrative_files_name(world: World, order: str) -> None:
    world.put(f"{HOME}/cvs/CVSROOT/commitinfo", f"ALL {order}\n", ALL)
    world.put(f"{HOME}/cvs/CVSROOT/verifymsg", f"ALL {order}\n", ALL)
    env = {"CVS_RSH": "ssh"}
    world.client.run(["rm", "-rf", "m"])
    done = world.client.run(["cvs", "-d", f":ext:{ALL}@host:{HOME}/cvs", "checkout", "m"], env=env)
    assert done.code == 0, done.stderr
    name = f"new{abs(hash(order))}"
    script = f"cd m && echo x >{name} && cvs add {name} && cvs commit -m x {name}"
    done = world.client.run(["sh", "-c", script], env=env)
    # cvs takes a program that cannot be run for one that says no.
    assert not sprung(world), done.stderr
    assert done.code != 0
    world.host.run(["sh", "-c", f"echo >{HOME}/cvs/CVSROOT/commitinfo; echo >{HOME}/cvs/CVSROOT/verifymsg"], check=True)
    done = world.client.run(["sh", "-c", "cd m && cvs commit -m x"], env=env)
    assert done.code == 0, done.stderr


def test_what_cvs_was_told_would_run_elsewhere(world: World) -> None:
    world.put(f"{HOME}/cvs/CVSROOT/commitinfo", f"ALL {PYTHON} -c {marker()}\n", ALL)
    work = f"cd {HOME} && cvs -d {HOME}/cvs co m && cd m && echo >here && cvs add here && cvs commit -m x here"
    run_as(world, "sh", "-c", work)
    assert sprung(world)


@pytest.mark.parametrize("program", [PYTHON, "/usr/lib/openssh/sftp-server", "/usr/bin/cvs", "/usr/bin/svnserve"])
def test_svn_runs_no_hook_and_does_not_hang(world: World, program: str) -> None:
    world.put(f"{HOME}/svn/__main__.py", f"open({RAN!r}, 'w')\n", ALL)
    with world.connect(ALL) as transport:
        sftp = paramiko.SFTPClient.from_transport(transport)
        assert sftp
        for hook in ("start-commit", "pre-commit", "post-commit"):
            with contextlib.suppress(OSError):
                sftp.remove(f"{HOME}/svn/hooks/{hook}")
            sftp.symlink(program, f"{HOME}/svn/hooks/{hook}")
        done = world.client.run(["timeout", "20", "svn", "mkdir", "-m", "x", f"svn+ssh://{ALL}@host/d"])
        assert done.code == 1, done.stderr  # of svn, not of timeout
        assert not sprung(world)
        if program == PYTHON:
            run_as(world, "svn", "mkdir", "-m", "x", f"file://{HOME}/svn/e")
            assert sprung(world)
        for hook in ("start-commit", "pre-commit", "post-commit"):
            sftp.remove(f"{HOME}/svn/hooks/{hook}")


def test_hg_runs_no_hook_and_loads_no_extension(world: World) -> None:
    world.put(f"{HOME}/evil.py", f"open({RAN!r}, 'w')\ndef run(**how): open({RAN!r}, 'w')\n", ALL)
    hooks = f"[hooks]\nincoming.x = {PYTHON} -c {marker()}\npretxnchangegroup.y = python:{HOME}/evil.py:run\n"
    for text in (hooks, f"[extensions]\nevil = {HOME}/evil.py\n", f"%include {HOME}/hooks\n"):
        world.put(f"{HOME}/hooks", hooks, ALL)
        world.put(f"{HOME}/hg/.hg/hgrc", text, ALL)
        world.put(f"{HOME}/hg/.hg/hgrc-not-shared", text, ALL)
        world.client.run(["rm", "-rf", "clone"])
        script = (
            f"hg clone ssh://{ALL}@host/hg clone && cd clone && echo $$ >>a && hg add a; "
            f"hg commit -u x -m x && hg push ssh://{ALL}@host/hg"
        )
        done = world.client.run(["sh", "-c", script])
        assert done.code == 0, done.stderr
        assert not sprung(world)
    run_as(world, "hg", "-R", f"{HOME}/hg", "--config", f"extensions.evil={HOME}/evil.py", "log")
    assert sprung(world)


def test_git_finds_no_order_in_what_others_write(world: World) -> None:
    world.host.run(["git", "init", "-q", "--bare", f"{HOME}/git/r.git"], check=True)
    config = f"[core]\nbare = true\nfsmonitor = {PYTHON}\nalternateRefsCommand = {PYTHON} {HOME}/evil.py\n"
    config += f"hooksPath = {HOME}/git/r.git/hooks\n[receive]\nprocReceiveRefs = refs\n"
    world.put(f"{HOME}/git/r.git/config", config, ALL)
    world.host.run(["ln", "-s", PYTHON, f"{HOME}/git/r.git/hooks/pre-receive"], check=True)
    world.host.run(["chown", "-R", f"{ALL}:", f"{HOME}/git"], check=True)
    done = world.client.run(["git", "ls-remote", f"ssh://{ALL}@host{HOME}/git/r.git"])
    assert done.code == 0, done.stderr
    assert not sprung(world)


@pytest.mark.parametrize("mode", KEEPING)
def test_what_was_sent_is_kept_where_the_umask_does_not_hold(world: World, mode: str) -> None:
    user = mode.replace("_", "-")
    path = f"/home/{user}/file"
    for name, text in (("one", "first\n"), ("two", "second, longer\n"), ("three", "third, the longest of all\n")):
        world.client.write(name, text)
    assert world.client.sftp(user, "put one file\n").code == 0
    world.host.run(["chmod", "666", path], check=True)  # as the default ACL has it
    batches = (
        "put two file\n", "reput three file\n", "put -f two file\n", "rename file else\n", "rm file\n",
        "put two new\nrename new file\n", "symlink file soft\n", "ln file hard\n", "chmod 600 file\n",
    )  # fmt: skip
    for batch in batches:
        world.client.sftp(user, batch)
        assert world.host.read(path) == b"first\n", batch
    assert world.client.sftp(user, "put two another\n").code == 0
    assert world.host.read(f"/home/{user}/another") == b"second, longer\n"
    for how in ("r+", "a", "w", "a+", "w+", "wx"):
        with world.connect(user) as transport, contextlib.suppress(OSError, paramiko.SSHException, EOFError):
            sftp = paramiko.SFTPClient.from_transport(transport)
            assert sftp
            sftp.get_channel().settimeout(10)
            with sftp.open(path, how) as file:
                file.write("x" * 100)
        assert world.host.read(path) == b"first\n", how


@pytest.mark.parametrize("place", ["", "/in"])
def test_a_default_acl_is_told_before_anything_is_sent(world: World, place: str) -> None:
    user = f"acl{place.strip('/')}"
    home = f"/home/{user}{place}"
    world.host.run(["useradd", "-m", user], check=True)
    world.host.run(["install", "-d", home], check=True)
    world.host.run(["setfacl", "-d", "-m", "u::rwx", home], check=True)
    done = world.jailssh("adduser", user, "--jail", "append-only", "--yes", check=False)
    assert done.code != 0
    assert f"{home} has a default ACL" in done.stderr
    assert f"setfacl -k {home}" in done.stderr
    assert not world.exists(f"/etc/jailssh/users/{user}.conf")
    world.host.run(["setfacl", "-k", home], check=True)
    world.jailssh("adduser", user, "--jail", "append-only", "--yes")
    world.host.run(["setfacl", "-d", "-m", "u::rwx", home], check=True)
    for verb in (("apply", "--dry-run"), ("config", "check")):
        done = world.jailssh(*verb, check=False)
        assert done.code != 0
        assert f"setfacl -k {home}" in done.stdout + done.stderr
    world.host.run(["setfacl", "-k", home], check=True)


def test_a_pair_that_cannot_be_is_refused_before_an_account_is_made(world: World) -> None:
    path = "/etc/jailssh/jails/clash.conf"
    text = "plugins = svn sftp\n[svn]\nroot = ~/svn\n"
    world.host.write(path, text)
    for verb in (("adduser", "clashing", "--jail", "clash"), ("config", "check"), ("apply", "--dry-run")):
        done = world.jailssh(*verb, check=False)
        assert done.code != 0
        said = done.stdout + done.stderr
        assert f"{path}:3 [svn] root: svn reads hooks and settings" in said, said
        assert "sftp can write to /home/" in said
    assert not world.exists("/home/clashing")
    world.host.write(path, f"shared_directories = yes\n{text}")
    world.jailssh("adduser", "clashing", "--jail", "clash")
    world.host.run(["rm", path], check=True)
    world.jailssh("deluser", "clashing", "--yes")
