"""A jail that outlives its logins, as people use it: background jobs, tmux, one /tmp; and how it all ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "journald", "login-program", "procps")

NAME = "lingering"
JAIL = "plugins = shell sftp\nroot = live\nlinger = yes\n"
QUIET = ">/dev/null 2>&1 </dev/null"


@pytest.fixture(scope="module")
def made(world: World) -> str:
    world.host.write(f"/etc/jailssh/jails/{NAME}.conf", JAIL)
    world.adduser(NAME, NAME)
    return NAME


@pytest.fixture
def account(world: World, made: str) -> Iterator[str]:
    """The account's name; nothing runs as it before and afterwards."""
    yield made
    world.jailssh("kick", made)
    assert world.processes_of(made) == []


def run(world: World, command: str) -> str:
    done = world.client.ssh(NAME, command)
    assert (done.code, done.stderr) == (0, ""), done
    return done.stdout.strip()


def sleeps(world: World) -> list[str]:
    return [line for line in world.processes_of(NAME) if line.startswith("sleep ")]


@pytest.mark.parametrize("how", ["sleep 601", "nohup sleep 601", "setsid sleep 601"])
def test_what_is_in_the_background_is_there_at_the_next_login(world: World, account: str, how: str) -> None:
    pid = run(world, f"{how} {QUIET} & echo $!")
    # setsid(1) may not have executed it yet.
    world.host.wait_until(lambda: sleeps(world) == ["sleep 601"], "the command in the background")
    assert "sleep 601" in run(world, "ps -eo args=")
    if not how.startswith("setsid"):
        run(world, f"kill {pid}")
        world.host.wait_until(lambda: not sleeps(world), "the end of it")


def test_one_tmp_for_all_logins(world: World, account: str) -> None:
    run(world, "echo text >/tmp/file; echo more >/dev/shm/file")
    assert run(world, "cat /tmp/file /dev/shm/file") == "more\nmore"  # both are one
    assert world.client.sftp(NAME, "get /tmp/file got").code == 0
    assert world.client.run(["cat", "got"]).stdout == "more\n"


@pytest.mark.needs("tmux")
def test_a_tmux_session_is_attached_to_again(world: World, account: str) -> None:
    environment = "TERM=xterm LC_ALL=C.UTF-8"
    with world.running(NAME, f"{environment} tmux -u new-session -s work 'echo begun; exec sleep 602'", tty=True):
        world.host.wait_until(lambda: sleeps(world) == ["sleep 602"], "the session", 30)
    assert run(world, "tmux list-sessions -F '#{session_name} #{session_attached}'").startswith("work ")
    with world.running(NAME, f"{environment} tmux -u attach -t work", tty=True):
        world.host.wait_until(lambda: run(world, "tmux list-clients -t work") != "", "a client", 30)
        assert "begun" in run(world, "tmux capture-pane -p -t work")
    world.host.wait_until(lambda: run(world, "tmux list-clients -t work") == "", "no client", 30)
    assert sleeps(world) == ["sleep 602"]
    run(world, "tmux kill-server")
    world.host.wait_until(lambda: not sleeps(world), "the end of it", 30)


def test_a_login_shell_leaves_its_jobs(world: World, account: str) -> None:
    done = world.client.ssh(NAME, None, tty=True, input=f"nohup sleep 603 {QUIET} &\nexit 3\n")
    assert done.code == 3
    assert sleeps(world) == ["sleep 603"]


def test_what_is_in_the_foreground_ends_when_the_client_goes(world: World, account: str) -> None:
    with world.running(NAME, "echo ready; sleep 604; true") as client:
        assert client.stdout
        assert client.stdout.readline() == b"ready\n"
    world.host.wait_until(lambda: not sleeps(world), "the end of it", 30)


def test_kick_ends_it(world: World, account: str) -> None:
    run(world, f"sleep 605 {QUIET} &")
    with world.running(NAME, "echo ready; sleep 606") as client:
        assert client.stdout
        assert client.stdout.readline() == b"ready\n"
        done = world.jailssh("kick", NAME)
        assert done.stdout == f"{NAME}: ended 1 session and what was in the background\n"
        assert world.processes_of(NAME) == []
    assert world.jailssh("kick", NAME).stdout == f"{NAME}: ended 0 sessions\n"
    run(world, f"sleep 607 {QUIET} &")
    assert world.jailssh("kick", NAME).stdout == f"{NAME}: ended 0 sessions and what was in the background\n"
    assert world.processes_of(NAME) == []


def test_a_key_that_is_removed_leaves_nothing(world: World, made: str) -> None:
    world.client.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "other"])
    world.jailssh("adduser", "several", "--jail", made)
    world.jailssh("keys", "add", "several", "alice", world.client.public_key_file)
    world.jailssh("keys", "add", "several", "bob", f"{world.client.home}/other.pub")
    assert world.client.ssh("several", f"sleep 608 {QUIET} &").code == 0
    told = world.jailssh("keys", "remove", "several", "alice", "--now")
    assert "several: ended what its logins had left in the background\n" in told.stdout
    assert world.processes_of("several") == []
    world.jailssh("deluser", "several", "--remove-home", "--yes")


def test_the_account_that_leaves_its_jail_leaves_nothing(world: World, account: str) -> None:
    run(world, f"sleep 609 {QUIET} &")
    world.jailssh("deluser", NAME, "--keep-account", "--yes")
    assert world.processes_of(NAME) == []
    world.adduser(NAME, NAME, "--yes")


def test_a_new_plan_is_a_new_jail(world: World, account: str) -> None:
    run(world, f"echo old >/tmp/file; sleep 610 {QUIET} &")
    world.host.write(f"/etc/jailssh/jails/{NAME}.conf", f"{JAIL}umask = 027\n")
    world.jailssh("apply")
    assert world.client.ssh(NAME, "cat /tmp/file").code == 1
    assert "sleep 610" not in run(world, "ps -eo args=")
    assert sleeps(world) == ["sleep 610"]  # it goes on in the old one
    world.host.write(f"/etc/jailssh/jails/{NAME}.conf", JAIL)
    world.jailssh("apply")
