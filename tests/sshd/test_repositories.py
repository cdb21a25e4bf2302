"""git over SSH: what people do with it works, and nothing that a repository or a home says is run."""

from __future__ import annotations

from collections.abc import Iterator

import paramiko
import pytest

from jailssh.core import journal_fields as fields
from tests.harness.said import denial_of
from tests.sshd.world import World, ending

pytestmark = pytest.mark.needs("root", "sshd", "git", "journald", "login-program")

DENIED = "jailssh: command not allowed; this account allows: git\n"
NO_REPOSITORY = "jailssh: repository not found or access denied\n"
BARE = "/srv/git/x.git"
EVIL = "#!/bin/sh\ntouch /tmp/it-ran /srv/git/it-ran\n"


@pytest.fixture(scope="module", autouse=True)
def clone(world: World) -> None:
    done = world.client.git(["clone", "-q", "git-only@host:x.git", "work"])
    assert (done.code, done.stderr) == (0, "")


@pytest.fixture(scope="module")
def git_only(world: World) -> Iterator[paramiko.Transport]:
    with world.connect("git-only") as transport:
        yield transport


def commit(world: World, text: str, folder: str = "work") -> None:
    world.client.write(f"{folder}/file", text)
    world.client.git(["-C", folder, "add", "file"], check=True)
    world.client.git(["-C", folder, "commit", "-q", "-m", text], check=True)


def newest(world: World, path: str = BARE) -> str:
    return world.host.run(["git", f"--git-dir={path}", "-c", "safe.directory=*", "log", "-1", "--format=%s"]).stdout


def test_clone_push_fetch_and_branches(world: World) -> None:
    commit(world, "first push")
    assert world.client.git(["-C", "work", "push", "-q"]).code == 0
    assert newest(world) == "first push\n"
    assert world.client.git(["-C", "work", "push", "-q", "origin", "HEAD:topic"]).code == 0
    assert world.client.git(["-C", "work", "push", "-q", "origin", ":topic"]).code == 0
    assert world.client.git(["-C", "work", "fetch", "-q"]).code == 0
    assert world.client.git(["clone", "-q", "--depth=1", "git-only@host:/srv/git/x", "shallow"]).code == 0
    assert world.host.run(["stat", "-c", "%U", f"{BARE}/refs/heads/main"]).stdout == "git-only\n"


@pytest.mark.parametrize(("version", "shown"), [("2", True), ("0", False)])
def test_the_protocol_version_is_the_clients_wish(world: World, version: str, shown: bool) -> None:
    trace = {"GIT_TRACE_PACKET": "1"}
    done = world.client.git(["-c", f"protocol.version={version}", "ls-remote", "git-only@host:x.git"], env=trace)
    assert done.code == 0
    assert ("< version 2" in done.stderr) is shown


@pytest.mark.parametrize(
    "command",
    [
        "git-upload-pack 'x.git'",
        "git upload-pack 'x.git'",
        "/usr/bin/git-upload-pack x.git",
        "git-upload-pack '/srv/git/x.git'",
    ],
)
def test_spellings_that_are_the_same(world: World, command: str) -> None:
    done = world.client.ssh("git-only", command, input="0000")
    assert done.code == 0
    assert "refs/heads/main" in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "git-upload-pack '--help'",
        "git upload-pack '--exec=sh' x.git",
        "git-receive-pack '-x'",
        "git-upload-pack '../secret/z.git'",
        "git-upload-pack '/srv/git/../secret/z.git'",
        "git-upload-pack '/srv/secret/z.git'",
        "git-upload-pack 'x.git' 'x.git'",
        "git-upload-pack",
        "git --exec-path=/srv/git upload-pack x.git",
        "git -c core.sshCommand=id upload-pack x.git",
        "git shell",
        "git-shell -c id",
        "git clone x.git y.git",
        "git-upload-pack 'x.git'; id",
        "git-upload-pack $(id)",
    ],
)
def test_commands_that_are_denied(world: World, git_only: paramiko.Transport, command: str) -> None:
    channel = git_only.open_session()
    channel.exec_command(command)
    code, out, err = ending(channel)
    assert (code, out) == (126, b"")
    if err.decode() != NO_REPOSITORY:
        denial_of(err.decode("ascii"), "this account allows: git")
    (record,) = world.last_login("git-only")
    assert (record[fields.EVENT], record[fields.COMMAND]) == ("denied", command)


@pytest.mark.parametrize("options", [[], ["--exec=git-upload-archive --output=/srv/git/it-ran"]])
def test_an_archive_is_denied_with_the_way_to_have_one(world: World, options: list[str]) -> None:
    done = world.client.git(["archive", "--remote=git-only@host:x.git", *options, "main"])
    assert (done.code != 0, done.stdout) == (True, "")
    assert "jailssh: git archive --remote is not available here; make the archive from a clone" in done.stderr
    (record,) = world.last_login("git-only")
    assert (record[fields.EVENT], record[fields.EXIT]) == ("denied", "126")


def test_a_link_in_the_repositories_leads_nowhere(world: World) -> None:
    world.host.run(["ln", "-sfn", "/srv/secret/z.git", "/srv/git/link.git"], check=True)
    done = world.client.git(["ls-remote", "git-only@host:link.git"])
    assert done.code == 128
    assert "refs/heads" not in done.stdout


def test_directories_to_read_and_to_write(world: World) -> None:
    assert world.client.git(["clone", "-q", "git-team@host:/srv/pub/y.git", "team"]).code == 0
    commit(world, "not for us", "team")
    done = world.client.git(["-C", "team", "push", "-q"])
    assert (done.code, NO_REPOSITORY in done.stderr) == (128, True)
    assert newest(world, "/srv/pub/y.git") == "one\n"
    world.host.run(["chmod", "-R", "a+rwX", BARE], check=True)
    assert world.client.git(["-C", "team", "push", "-q", "git-team@host:/srv/git/x.git", "HEAD:team"]).code == 0


def test_hooks_and_configuration_of_a_repository_are_not_run(world: World) -> None:
    world.host.run(["rm", "-f", "/tmp/it-ran", "/srv/git/it-ran"])
    for hook in ("pre-receive", "update", "post-receive", "post-update", "reference-transaction", "proc-receive",
                 "push-to-checkout", "pre-auto-gc", "fsmonitor-watchman"):  # fmt: skip
        world.put(f"{BARE}/hooks/{hook}", EVIL, "git-only", 0o755)
    world.put("/srv/git/evil", EVIL, "git-only", 0o755)
    for key, value in (
        ("core.hooksPath", f"{BARE}/hooks"),
        ("core.fsmonitor", "/srv/git/evil"),
        ("core.alternateRefsCommand", "/srv/git/evil"),
        ("uploadpack.packObjectsHook", "/srv/git/evil"),
        ("receive.procReceiveRefs", "refs/"),
        ("core.gitProxy", "/srv/git/evil"),
        ("gc.auto", "1"),
    ):
        world.host.run(["git", "config", "--file", f"{BARE}/config", key, value], check=True)
    try:
        commit(world, "with hooks")
        pushed = world.client.git(["-C", "work", "push", "-q"])
        fetched = world.client.git(["clone", "-q", "git-only@host:x.git", "again"])
    finally:
        for key in ("core.hooksPath", "core.alternateRefsCommand", "receive.procReceiveRefs", "core.fsmonitor"):
            world.host.run(["git", "config", "--file", f"{BARE}/config", "--unset-all", key])
    assert not world.exists("/tmp/it-ran")
    assert not world.exists("/srv/git/it-ran")
    assert fetched.code == 0
    # refs/ to proc-receive, which does not run: the push may fail, it must not run anything.
    assert pushed.code in (0, 1)


def test_configuration_in_the_home_is_not_read(world: World) -> None:
    world.put("/home/git-only/evil", EVIL, "git-only", 0o755)
    text = "[uploadpack]\n packObjectsHook = /home/git-only/evil\n[core]\n hooksPath = /home/git-only\n"
    text += "[include]\n path = /home/git-only/more\n[alias]\n upload-pack = !/home/git-only/evil\n"
    world.put("/home/git-only/.gitconfig", text, "git-only")
    world.host.run(["install", "-d", "-o", "git-only", "/home/git-only/git-shell-commands"], check=True)
    world.put("/home/git-only/git-shell-commands/evil", EVIL, "git-only", 0o755)
    world.host.run(["rm", "-rf", "/tmp/it-ran", "/srv/git/it-ran", "/home/client/third"])
    assert world.client.git(["clone", "-q", "git-only@host:x.git", "third"]).code == 0
    assert world.client.ssh("git-only", "evil").code == 126
    assert not world.exists("/tmp/it-ran")
    assert not world.exists("/srv/git/it-ran")


def test_variables_for_git_do_not_pass(world: World) -> None:
    sent = "GIT_TRACE=/srv/git/traced GIT_CONFIG_COUNT=1 GIT_PROTOCOL=version=2"
    done = world.client.ssh("git-only", "git-upload-pack x.git", options=("-o", f"SetEnv={sent}"), input="0000")
    assert done.code == 0
    assert "version 2" in done.stdout
    assert not world.exists("/srv/git/traced")


def test_a_repository_that_a_group_shares(world: World) -> None:
    """No set-id mode is given in a jail: what is made below a directory with the bit has it from there."""
    path, jail = "/srv/git/shared.git", "/etc/jailssh/jails/sharing.conf"
    world.host.write(jail, "plugins = git\numask = 002\n[git]\nwrite = /srv/git\n")
    world.adduser("sharing", "sharing")
    world.host.run(["git", "init", "-q", "--bare", "--shared=group", "-b", "main", path], check=True)
    world.host.run(["chown", "-R", "sharing:", path], check=True)
    world.host.run(["find", path, "-type", "d", "-exec", "chmod", "g+s", "{}", "+"], check=True)
    commit(world, "for the group")
    done = world.client.git(["-C", "work", "push", "-q", "sharing@host:shared.git", "main", "main:a/b/c"])
    assert (done.code, done.stderr) == (0, "")
    assert newest(world, path) == "for the group\n"
    folders = [f"{path}/objects", f"{path}/refs"]
    done = world.host.run(["find", *folders, "-type", "d", "!", "-perm", "-2070", "!", "-path", "*/pack"], check=True)
    assert done.stdout == ""
