"""git for many people: one account whose keys have names, accounts with Unix groups, rights by table, hooks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from jailssh.core import journal_fields as fields
from jailssh.scratch.host import Finished
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "git", "journald", "login-program")

USER, ROOT, TABLE = "hosted", "/srv/hosting", "/etc/jailssh/rights/hosting"
DENIED = re.compile(
    "^jailssh: (command not allowed.*; this account allows: git.*|repository not found or access denied"
    "|pushing is not allowed for this (key|account)|git archive --remote is not available here; .*)$",
    re.MULTILINE,
)
HOOK = """#!/bin/sh
echo "welcome, $JAILSSH_KEY"
test "$1" != refs/heads/frozen
"""
PERSONS = """
plugins = git
groups = makers lookers
supplementary_groups = makers
umask = 002
[git]
roots = /srv/persons
rights = "create ** @makers", "read ** @lookers"
"""
RIGHTS = "create team/** @developers\nread team/** bob\nread pub bob\nwrite pub.git alice   # with a comment\n"

Git = Callable[..., Finished]


@pytest.fixture(scope="module")
def git(world: World) -> Iterator[Git]:
    """A shared account with the keys of alice (a developer), bob and carol, and git as one of them."""
    host, client = world.host, world.client
    host.write("/etc/jailssh/jails/hosted.conf", f"extends = git-hosting\n[git]\nroots = {ROOT}\nrights = {TABLE}\n")
    host.run(["mkdir", "-p", "/etc/jailssh/rights", f"{ROOT}/team"], check=True)
    host.write(TABLE, RIGHTS)
    world.jailssh("adduser", USER, "--jail", "hosted")
    for name, groups in (("alice", ("--group", "developers")), ("bob", ()), ("carol", ())):
        client.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f".ssh/{name}"], check=True)
        world.jailssh("keys", "add", USER, name, f"{client.home}/.ssh/{name}.pub", *groups)
    host.run(["git", "clone", "-q", "--bare", "/tmp/seed", f"{ROOT}/pub.git"], check=True)
    host.run(["chown", "-R", f"{USER}:", ROOT], check=True)

    def run(name: str, *args: str, account: str = USER) -> Finished:
        words = [word.replace("HOST", f"{account}@host") for word in args]
        return client.git(words, env={"GIT_SSH_COMMAND": f"ssh -i {client.home}/.ssh/{name}"})

    yield run
    host.run(["rm", "-rf", ROOT])


@pytest.fixture(scope="module", autouse=True)
def work(world: World, git: Git) -> None:
    """A working tree with a commit."""
    world.client.git(["init", "-q", "-b", "main", "mine"], check=True)
    world.client.git(["-C", "mine", "commit", "-q", "--allow-empty", "-m", "first"], check=True)


def decisive(world: World, user: str = USER) -> tuple[str, ...]:
    """Return event, key, rule or reason of the newest login."""
    record = world.last_login(user)[0]
    names = (fields.EVENT, fields.KEY, fields.REASON if record[fields.EVENT] == "denied" else fields.RULE)
    return tuple(record.get(name, "") for name in names)


def test_the_first_push_creates_and_the_next_ones_push(world: World, git: Git) -> None:
    done = git("alice", "-C", "mine", "push", "HOST:team/new/tool", "HEAD:main")
    assert done.code == 0, done
    assert decisive(world) == ("session-start", "alice", "git.create")
    path = f"{ROOT}/team/new/tool.git"
    assert world.host.run(["stat", "-c", "%U %a", path]).stdout == f"{USER} 755\n"
    assert world.host.read(f"{path}/HEAD") == b"ref: refs/heads/main\n"
    assert not world.exists(f"{path}/hooks")
    assert git("alice", "-C", "mine", "push", "-q", "HOST:team/new/tool.git", "HEAD:next").code == 0
    assert decisive(world) == ("session-start", "alice", "git.receive-pack")
    assert git("bob", "clone", "-q", "HOST:team/new/tool", "tool").code == 0
    assert decisive(world) == ("session-start", "bob", "git.upload-pack")


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("bob", ("push", "HOST:team/other", "HEAD:main")),
        ("bob", ("push", "HOST:pub", "HEAD:x")),
        ("alice", ("push", "HOST:elsewhere", "HEAD:main")),
        ("alice", ("push", "HOST:team/../elsewhere", "HEAD:main")),
        ("alice", ("push", "HOST:team", "HEAD:main")),
        ("alice", ("ls-remote", "HOST:team/nothing")),
        ("bob", ("archive", "--remote=HOST:pub", "HEAD")),
    ],
)
def test_no_right_no_repository(world: World, git: Git, name: str, args: tuple[str, ...]) -> None:
    done = git(name, "-C", "mine", *args)
    assert done.code != 0 and DENIED.search(done.stderr), done
    assert decisive(world)[:2] == ("denied", name)
    assert not world.exists(f"{ROOT}/elsewhere.git")
    assert not world.exists(f"{ROOT}/team/other.git")


def test_who_has_no_right_at_all_is_told_so(world: World, git: Git) -> None:
    done = git("carol", "ls-remote", "HOST:pub")
    assert done.code != 0
    assert "jailssh: no repository access for this key\n" in done.stderr
    assert decisive(world) == ("denied", "carol", "not-served")


def test_large_files_are_not_here(world: World) -> None:
    options = ("-i", f"{world.client.home}/.ssh/bob")
    done = world.client.ssh(USER, "git-lfs-authenticate 'pub' download", options=options)
    assert (done.code, done.stdout) == (126, "")
    assert done.stderr.startswith("jailssh: Git LFS is not available here; store large files ")
    assert decisive(world) == ("denied", "bob", "not-served")


@pytest.mark.parametrize(("name", "pub"), [("alice", "rw"), ("bob", "ro")])
def test_the_jail_shows_what_may_be_read_and_lets_write_what_may_be_written(
    world: World, git: Git, name: str, pub: str
) -> None:
    options = ("-i", f"{world.client.home}/.ssh/{name}")
    world.host.wait_until(lambda: not _serving(world), "the end of sessions before")
    with world.running(USER, "git-upload-pack 'pub'", options=options):
        world.host.wait_until(lambda: bool(_serving(world)), "git waits for the client")
        (pid,) = _serving(world)
        mounts = [line.split() for line in world.host.read(f"/proc/{pid}/mountinfo").decode().splitlines()]
    shown = {words[4]: words[5].split(",")[0] for words in mounts if words[4].startswith("/srv/")}
    team = "rw" if name == "alice" else "ro"
    assert shown == {f"{ROOT}/team": team, f"{ROOT}/pub.git": pub}


def _serving(world: World) -> list[int]:
    return [pid for pid, line in world.host.pids().items() if line.startswith("git upload-pack")]


def test_objects_of_a_repository_that_may_not_be_read_stay_there(world: World, git: Git) -> None:
    secret, thief = f"{ROOT}/secret.git", f"{ROOT}/team/thief.git"
    for command in (["git", "clone", "-q", "--bare", "/tmp/seed", secret],
                    ["git", "clone", "-q", "--bare", "--shared", secret, thief],
                    ["chown", "-R", f"{USER}:", secret, thief]):  # fmt: skip
        world.host.run(command, check=True)
    assert world.host.read(f"{thief}/objects/info/alternates").decode() == f"{secret}/objects\n"
    for name in ("alice", "bob"):
        assert git(name, "clone", "-q", "HOST:team/thief", f"stolen-{name}").code != 0
        assert git(name, "ls-remote", "HOST:secret").code != 0


def test_a_changed_table_is_published_and_holds(world: World, git: Git) -> None:
    world.host.write(TABLE, RIGHTS + "read pub carol\n")
    world.jailssh("apply")
    assert git("carol", "ls-remote", "HOST:pub").code == 0
    world.host.write(TABLE, RIGHTS + "write pubx/../y carol\nread /etc/x carol\n")
    done = world.jailssh("config", "check", check=False)
    assert done.code == 1
    assert f"{TABLE}:5: 'pubx/../y' is not a pattern" in done.stdout + done.stderr
    world.host.write(TABLE, RIGHTS)
    world.jailssh("apply")
    assert git("carol", "ls-remote", "HOST:pub").code != 0


def test_hooks_of_the_administrator_and_no_others(world: World, git: Git) -> None:
    hook = "/etc/jailssh/hooks/update"
    world.host.run(["mkdir", "-p", "/etc/jailssh/hooks"], check=True)
    world.host.write(hook, HOOK, 0o755)
    world.host.run(["mkdir", "-p", f"{ROOT}/pub.git/hooks"], check=True)
    world.put(f"{ROOT}/pub.git/hooks/update", "#!/bin/sh\necho own\n", USER, 0o755)
    world.put(f"{ROOT}/pub.git/hooks/post-receive", "#!/bin/sh\necho own\n", USER, 0o755)
    text = world.host.read("/etc/jailssh/jails/hosted.conf").decode()
    world.host.write("/etc/jailssh/jails/hosted.conf", f"{text}hooks = {hook}\n")
    world.jailssh("apply")
    try:
        done = git("alice", "-C", "mine", "push", "HOST:pub", "HEAD:hooked")
        assert (done.code, "welcome, alice" in done.stderr, "own" in done.stderr) == (0, True, False), done
        done = git("alice", "-C", "mine", "push", "HOST:pub", "HEAD:frozen")
        assert (done.code, "hook declined" in done.stderr) == (1, True), done
        world.host.run(["chown", USER, hook], check=True)
        done = world.jailssh("apply", check=False)
        assert done.code == 1
        assert "root alone can write" in done.stdout + done.stderr
    finally:
        world.host.run(["chown", "root", hook], check=True)
        world.host.write("/etc/jailssh/jails/hosted.conf", text)
        world.jailssh("apply")
    done = git("alice", "-C", "mine", "push", "HOST:pub", "HEAD:unhooked")
    assert (done.code, "welcome" in done.stderr) == (0, False)


@pytest.fixture
def persons(world: World) -> Iterator[None]:
    """A jail for the members of two groups, which the other tests of the host do not know."""
    host = world.host
    host.write("/etc/jailssh/jails/persons.conf", PERSONS)
    for group in ("makers", "lookers"):
        host.run(["groupadd", group], check=True)
    host.run(["install", "-d", "-g", "makers", "-m", "2775", "/srv/persons"], check=True)
    world.jailssh("setup", "--yes")
    for name, group in (("maker1", "makers"), ("maker2", "makers"), ("looker", "lookers")):
        host.run(["useradd", "--create-home", "--groups", group, "--shell", "/bin/sh", name], check=True)
        world.jailssh("adduser", name, "--jail", "persons", "--key", f"{world.client.home}/.ssh/bob.pub", "--yes")
    yield
    for name in ("maker1", "maker2", "looker"):
        world.jailssh("deluser", name, "--yes")
    host.run(["rm", "/etc/jailssh/jails/persons.conf"], check=True)
    world.jailssh("setup", "--yes")


def test_an_account_for_each_person(world: World, git: Git, persons: None) -> None:
    assert git("bob", "-C", "mine", "push", "-q", "HOST:shared", "HEAD:one", account="maker1").code == 0
    assert git("bob", "-C", "mine", "push", "-q", "HOST:shared", "HEAD:two", account="maker2").code == 0
    listed = git("bob", "ls-remote", "HOST:shared", account="looker")
    assert (listed.code, listed.stdout.count("refs/heads/")) == (0, 2)
    done = git("bob", "-C", "mine", "push", "-q", "HOST:shared", "HEAD:three", account="looker")
    assert done.code != 0 and DENIED.search(done.stderr)
    assert decisive(world, "looker")[::2] == ("denied", "not-served")


SHOWN = """
plugins = git
umask = 027
[git]
roots = /srv/shown
rights = read ** @all, create public/* @all, create private/* @all
"""


@pytest.fixture
def shown(world: World) -> Iterator[None]:
    """Repositories of which the web server may read some."""
    host = world.host
    host.write("/etc/jailssh/jails/shown-git.conf", SHOWN)
    host.run(["install", "-d", "-m", "751", "/srv/shown"], check=True)
    world.jailssh("adduser", "shown", "--jail", "shown-git", "--key", f"{world.client.home}/.ssh/bob.pub", "--yes")
    for name, group in (("public", "www-data"), ("private", "shown")):
        host.run(["install", "-d", "-o", "shown", "-g", group, "-m", "2750", f"/srv/shown/{name}"], check=True)
    yield
    world.jailssh("deluser", "shown", "--yes")
    host.run(["rm", "-r", "/etc/jailssh/jails/shown-git.conf", "/srv/shown"], check=True)


def test_the_web_server_reads_what_it_is_to_show_and_no_more(world: World, git: Git, shown: None) -> None:
    """By what gitweb calls git with, and by what serves clones; with git's own trust in the owner, as the page says."""
    for name in ("public/x", "private/x"):
        assert git("bob", "-C", "mine", "push", "-q", f"HOST:{name}", "HEAD:main", account="shown").code == 0
    server = ["setpriv", "--reuid=www-data", "--regid=www-data", "--clear-groups", "env", "-i", "PATH=/usr/bin:/bin"]
    trust = ["GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"]
    for name, code in (("public", 0), ("private", 128)):
        path = f"/srv/shown/{name}/x.git"
        for words in (["git", f"--git-dir={path}", "log", "-1", "main"],
                      [*trust, "git", "upload-pack", "--http-backend-info-refs", path]):  # fmt: skip
            assert world.host.run([*server, *words]).code == code, (name, words)
    path = "/srv/shown/public/x.git"
    assert world.host.run([*server, "git", f"--git-dir={path}", "update-ref", "refs/heads/y", "main"]).code == 128


REFS = f"""create team/ruled  @developers bob
create  team/ruled  refs/heads/**     @developers bob
push    team/ruled  refs/heads/**     @developers
rewind  team/ruled  refs/heads/wip/*  @developers
delete  team/ruled  refs/heads/wip/*  @developers
{RIGHTS}"""
OWN = """cd {path}
git config core.hooksPath /nowhere
git config --add receive.procReceiveRefs '!:refs'
git config hook.proc-receive.enabled true
git config hook.own.command 'touch {path}/ran'
git config hook.own.event proc-receive
mkdir -p hooks
printf '#!/bin/sh\\ntouch {path}/ran\\n' >hooks/proc-receive
chmod +x hooks/proc-receive
"""


def test_rights_to_references(world: World, git: Git) -> None:
    world.host.write(TABLE, REFS)
    world.jailssh("apply")
    path, place = f"{ROOT}/team/ruled.git", "HOST:team/ruled"
    try:
        for _ in range(2):
            world.client.git(["-C", "mine", "commit", "-q", "--allow-empty", "-m", "next"], check=True)
        # The push that makes the repository is judged too.
        done = git(
            "alice", "-C", "mine", "push", place, "HEAD:refs/heads/main", "HEAD:refs/heads/wip/a", "HEAD:refs/tags/v1"
        )
        assert "[remote rejected] HEAD -> v1 (no right to create it)" in done.stderr, done
        world.host.run(["runuser", "-u", USER, "--", "sh", "-ec", OWN.format(path=path)], check=True)
        for name, spec, why in (
            ("alice", "+HEAD~1:refs/heads/main", "no right to rewind it"),
            ("alice", "+HEAD~1:refs/heads/wip/a", ""),
            ("alice", "HEAD:refs/heads/wip/a", ""),
            ("alice", ":refs/heads/main", "no right to delete it"),
            ("bob", ":refs/heads/wip/a", "no right to delete it"),
            ("alice", ":refs/heads/wip/a", ""),
            ("bob", "HEAD:refs/heads/bobs", ""),
            ("bob", "+HEAD~1:refs/heads/bobs", "no right to push to it"),
            ("bob", "HEAD:refs/heads/br\u00fccke", ""),
            ("alice", "HEAD:refs/replace/x", "no right to create it"),
        ):
            done = git(name, "-C", "mine", "push", place, spec)
            assert (done.code == 0, f"({why})" in done.stderr) == (not why, bool(why)), (name, spec, done)
        assert git("alice", "-C", "mine", "push", "--atomic", place, "HEAD:refs/heads/c", "HEAD:refs/tags/d").code != 0
        listed = git("bob", "ls-remote", place).stdout
        assert {line.split("\t")[1] for line in listed.splitlines()} == {
            "HEAD", "refs/heads/main", "refs/heads/bobs", "refs/heads/br\u00fccke",
        }  # fmt: skip
        assert not world.exists(f"{path}/ran")
        # Other repositories are as before.
        assert git("alice", "-C", "mine", "push", "-q", "HOST:team/other", "HEAD:main", "HEAD:refs/any/thing").code == 0
    finally:
        world.host.write(TABLE, RIGHTS)
        world.jailssh("apply")
    assert git("alice", "-C", "mine", "push", "-q", place, "HEAD:refs/tags/v1").code == 0
