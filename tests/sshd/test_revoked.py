"""What is taken away lets nobody in, whatever else is broken: keys, accounts and jails, with real logins."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator

import pytest

from jailssh.scratch.host import Finished
from tests.sshd.people import People
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "git", "journald", "login-program")

FORGE = "anvil"
LOCK = "/var/lib/jailssh/undo/.lock"
PLANS_LOCK = "/var/lib/jailssh/plan.v1/.lock"
HOLD = "import fcntl,sys,time; f=open(sys.argv[1],'a'); fcntl.flock(f,2); print('held',flush=True); time.sleep(300)"


@pytest.fixture(scope="module")
def people(world: World) -> People:
    people = People(world)
    world.host.write("/etc/jailssh/jails/anvil.conf", "plugins = git\n[git]\nread = /srv/pub\n")
    world.jailssh("adduser", FORGE, "--jail", "anvil")
    for name in ("keeper", "leaver", "parter"):
        people.make(name)
    world.jailssh("keys", "add", FORGE, "keeper", f"{world.client.home}/.ssh/of-keeper.pub")
    return people


def sh(world: World, script: str) -> str:
    return world.host.run(["sh", "-c", script], check=True).stdout


def login(people: People, who: str, user: str = FORGE) -> Finished:
    options = ["-F", f".ssh/of-{who}.config"]
    return people.world.client.ssh(user, "git-upload-pack '/srv/pub/y.git'", options=options, input="0000")


@contextlib.contextmanager
def put_instead(world: World, path: str, text: str) -> Iterator[None]:
    sh(world, f"test ! -e {path} || cp -a {path} /root/kept")
    world.host.write(path, text)
    try:
        yield
    finally:
        sh(world, f"rm -f {path}; test ! -e /root/kept || mv /root/kept {path}")


@contextlib.contextmanager
def full(world: World, *folders: str) -> Iterator[None]:
    """Have nothing new fit into these directories: each is a small tmpfs of its own, filled to the last inode."""
    for folder in folders:
        sh(world, f"cp -a {folder} /dev/shm/copy && mount -t tmpfs -o size=2m,mode=755 none {folder} && "
                  f"cp -a /dev/shm/copy/. {folder}/ && rm -r /dev/shm/copy && "
                  f"{{ cat /dev/zero >{folder}/.fill 2>/dev/null || true; }} && "
                  f"! sh -c 'echo more than that >{folder}/.more' 2>/dev/null && rm -f {folder}/.more")  # fmt: skip
    try:
        yield
    finally:
        for folder in folders:
            sh(world, f"rm -f {folder}/.fill; cp -a {folder} /dev/shm/copy; umount {folder}")
            sh(world, f"find {folder} -mindepth 1 -delete; cp -a /dev/shm/copy/. {folder}/; rm -r /dev/shm/copy")


@contextlib.contextmanager
def held(world: World, path: str) -> Iterator[None]:
    """Have another process hold a lock and never give it back."""
    with world.host.popen(["python3", "-c", HOLD, path]) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            sh(world, f"fuser -k -KILL {path} >/dev/null 2>&1 || true")
            holder.kill()


@contextlib.contextmanager
def broken(world: World, how: str) -> Iterator[None]:
    """Break something of the host that a revocation must not need."""
    undo = "/var/lib/jailssh/undo"
    manager: contextlib.AbstractContextManager[None]
    if how == "main file":
        manager = put_instead(world, "/etc/jailssh/jailssh.conf", "nosuch = 1\n[\n")
    elif how == "jail file":
        manager = put_instead(world, "/etc/jailssh/jails/anvil.conf", "plugins = nosuch\n[[")
    elif how == "another's users file":
        manager = put_instead(world, "/etc/jailssh/users/sftp-only.conf", "uid = many\n")
    elif how == "its users file":
        uid = world.uid(FORGE)
        manager = put_instead(world, f"/etc/jailssh/users/{FORGE}.conf", f"uid = {uid}\njial =\n[groups]\nx = leaver\n")
    elif how == "its other key":
        manager = put_instead(world, f"/etc/jailssh/keys.d/{FORGE}/odd.pub", "nothing\n")
    elif how == "another's journal":
        manager = put_instead(world, f"{undo}/account-sftp-only.json", "{")
    elif how == "its journal":
        manager = put_instead(world, f"{undo}/keys-{FORGE}.json", "{")
    elif how == "its account's journal":
        manager = put_instead(world, f"{undo}/account-{FORGE}.json", "{")
    elif how == "full":
        manager = full(world, "/etc/jailssh", "/var/lib/jailssh/plan.v1", undo)
    elif how == "locked":
        manager = held(world, LOCK)
    elif how == "plans locked":
        manager = held(world, PLANS_LOCK)
    else:
        assert how == "directory"
        # The line of the account is gone, as that of a directory's account is while the directory is away.
        manager = put_instead(world, "/etc/nsswitch.conf", "passwd: nosuch\ngroup: nosuch\nshadow: nosuch\n")
    with manager:
        yield


STATES = ("main file", "jail file", "another's users file", "its users file", "its other key", "another's journal",
          "its journal", "its account's journal", "full", "locked", "plans locked", "directory")  # fmt: skip


@pytest.mark.parametrize("how", STATES)
def test_a_key_that_is_removed_lets_nobody_in(people: People, how: str) -> None:
    world = people.world
    world.jailssh("keys", "add", FORGE, "leaver", f"{world.client.home}/.ssh/of-leaver.pub")
    assert login(people, "leaver").code == 0
    with broken(world, how):
        done = world.jailssh("keys", "remove", FORGE, "leaver", check=False)
        assert f"{FORGE}: key leaver removed" in done.stdout, done
        assert (done.code != 0) is (how in ("locked", "plans locked")), done
        assert ("changed in place" in done.stdout) is (how == "full"), done
        if how in ("locked", "plans locked"):
            assert "holds" in done.stderr
        assert world.host.run(["grep", "-q", "leaver", f"/etc/jailssh/keys/{FORGE}"]).code == 1
        if how != "directory":
            assert login(people, "leaver").code == 255
        if how in ("another's users file", "another's journal", "locked", "its journal"):
            assert login(people, "keeper").code == 0
    # Nothing brings it back: no later recovery, no apply.
    world.jailssh("recover", "--yes", check=False)
    world.host.run(["sh", "-c", "rm -f /var/lib/jailssh/undo/*damaged*"])
    world.jailssh("apply")
    assert login(people, "leaver").code == 255
    assert login(people, "keeper").code == 0
    assert world.jailssh("keys", "remove", FORGE, "leaver", check=False).code == 2


@pytest.mark.parametrize("how", STATES)
def test_an_account_that_is_taken_out_lets_nobody_in(people: People, how: str) -> None:
    world = people.world
    name = "parting"
    world.jailssh("adduser", name, "--jail", "anvil", "--key", f"{world.client.home}/.ssh/of-parter.pub")
    uid = world.uid(name)
    assert login(people, "parter", name).code == 0
    mine = {"its users file": f"/etc/jailssh/users/{name}.conf",
            "its account's journal": f"/var/lib/jailssh/undo/account-{name}.json",
            "its journal": f"/var/lib/jailssh/undo/keys-{name}.json"}  # fmt: skip
    state = put_instead(world, mine[how], f"uid = {uid}\njial") if how in mine else broken(world, how)
    with state:
        done = world.jailssh("deluser", name, "--yes", "--now", check=False)
        assert name in done.stdout, done
        gone = how != "plans locked"
        for path in (f"/etc/jailssh/keys/{name}", f"/etc/jailssh/users/{name}.conf", f"/var/lib/jailssh/plan.v1/{uid}"):
            assert not world.exists(path), (path, done)
        if how != "directory":
            assert login(people, "parter", name).code == 255
        if how in ("its journal", "its account's journal", "locked", "plans locked", "directory"):
            assert done.code != 0, done
            assert not gone or "can no longer log in" in done.stdout, done
    sh(world, f"rm -f /etc/jailssh/users/{name}.conf")  # put back by the test, not by the product
    world.jailssh("recover", "--yes", check=False)
    again = world.jailssh("deluser", name, "--yes", check=False)
    assert again.code == (0 if done.code else 2), (done, again)
    assert login(people, "parter", name).code == 255
    # Without its journal nobody knows that adduser made it: it stays, and lets nobody in.
    left = world.host.run(["getent", "passwd", name]).stdout
    assert left == "" or left.endswith(":/usr/sbin/nologin\n")
    sh(world, f"userdel -r {name} 2>/dev/null || rm -rf /home/{name}; rm -f /var/lib/jailssh/undo/*damaged*")


def test_a_key_without_a_name_goes_by_its_fingerprint_or_its_comment(people: People) -> None:
    world = people.world
    home = world.client.home
    for who in ("by-print", "by-word", "stayer"):
        people.make(who)
    sh(world, f"cat {home}/.ssh/of-by-print.pub {home}/.ssh/of-by-word.pub {home}/.ssh/of-stayer.pub >/root/three.pub")
    world.jailssh("adduser", "lone", "--jail", "anvil", "--key", "/root/three.pub")
    printed = world.client.run(["ssh-keygen", "-l", "-f", ".ssh/of-by-print.pub"], check=True).stdout.split()[1]
    listed = world.jailssh("keys", "list", "lone").stdout
    assert f"{printed}  by-print@desk\n" in listed
    for who, given in (("by-print", printed), ("by-word", "by-word@desk")):
        assert login(people, who, "lone").code == 0
        assert f"lone: key {given} removed" in world.jailssh("keys", "remove", "lone", given).stdout
        assert login(people, who, "lone").code == 255
        assert world.jailssh("keys", "remove", "lone", given, check=False).code == 2
        assert login(people, "stayer", "lone").code == 0
    world.jailssh("apply")
    assert login(people, "by-print", "lone").code == 255
    world.jailssh("deluser", "lone", "--remove-home", "--yes", "--now")


def test_now_ends_the_sessions_of_the_key_and_no_other(people: People) -> None:
    world = people.world
    world.jailssh("adduser", "crowd", "--jail", "shell")
    for who in ("going", "going-idle", "staying"):
        world.jailssh("keys", "add", "crowd", who, people.make(who))
    command = "echo ready; sleep 600"

    def session(who: str) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        return world.running("crowd", command, options=["-F", f".ssh/of-{who}.config"])

    with (
        session("going") as first,
        session("going") as second,
        session("going-idle") as third,
        session("staying") as other,
    ):
        for client in (first, second, third, other):
            assert client.stdout is not None
            assert client.stdout.readline() == b"ready\n"
        assert "its open sessions continue" in world.jailssh("keys", "remove", "crowd", "going").stdout
        assert (first.poll(), second.poll()) == (None, None)
        done = world.jailssh("keys", "remove", "crowd", "going", "--now")
        assert "ended 2 sessions" in done.stdout
        assert first.wait(30) != 0
        assert second.wait(30) != 0
        assert (third.poll(), other.poll()) == (None, None)
        # What the account itself has written over is no proof of another key.
        told = {key_in(world, path): path for path in sh(world, "ls /tmp/sshauth.*").split()}
        own, others = (key_in(world, f"{world.client.home}/.ssh/of-{who}.pub") for who in ("going-idle", "staying"))
        sh(world, f"sleep 0.2; cat {told[others]} >{told[own]}")
        assert "ended 1 session" in world.jailssh("keys", "remove", "crowd", "going-idle", "--now").stdout
        assert third.wait(30) != 0
        assert other.poll() is None
        assert "ended 1 session" in world.jailssh("deluser", "crowd", "--remove-home", "--yes", "--now").stdout
        assert other.wait(30) != 0
    assert world.host.run(["getent", "passwd", "crowd"]).code != 0


def key_in(world: World, path: str) -> str:
    """Return the key in a file of a public key, or of what sshd tells of a login."""
    return next(word for word in world.host.read(path).decode().split() if word.startswith("AAAA"))


def test_a_jail_whose_file_is_gone_lets_nobody_in_while_others_are_broken(people: People) -> None:
    world = people.world
    world.host.write("/etc/jailssh/jails/brief.conf", "plugins = git\n[git]\nread = /srv/pub\n")
    world.jailssh("adduser", "leaf", "--jail", "brief", "--key", f"{world.client.home}/.ssh/of-keeper.pub")
    assert login(people, "keeper", "leaf").code == 0
    world.host.write("/etc/jailssh/jails/wrong.conf", "plugins = nosuch\n")
    try:
        # An option less, beside a broken jail: it holds after apply.
        world.host.write("/etc/jailssh/jails/brief.conf", "plugins = git\n[git]\nread = /srv/git\n")
        assert world.jailssh("apply", check=False).code == 1
        assert login(people, "keeper", "leaf").code == 126
        # A mistake in it: what was published stays.
        world.host.write("/etc/jailssh/jails/brief.conf", "plugins = git\n[git]\nraed = /srv/git\n")
        assert world.jailssh("apply", check=False).code == 1
        assert login(people, "keeper", "leaf").code == 126
        sh(world, "rm /etc/jailssh/jails/brief.conf")
        said = world.jailssh("apply", check=False)
        assert (said.code, "- the plan" in said.stdout) == (1, True), said
        assert login(people, "keeper", "leaf").code == 125
    finally:
        sh(world, "rm -f /etc/jailssh/jails/wrong.conf")
        world.jailssh("deluser", "leaf", "--remove-home", "--yes", "--now")
