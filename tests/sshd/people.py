"""The people of a shared account, each with a key; and accounts that no file of ours names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from jailssh.scratch.host import Finished
from tests.sshd.world import DAEMON, GROUP, LOGIN, SOCKET, World

USER = "forge"


@dataclass(frozen=True)
class People:
    """The people, each with a key file and a client configuration that offers that key alone."""

    world: World
    user: str = USER

    def make(self, name: str, kind: str = "ed25519") -> str:
        """Make a key of this type; return the path of its public half."""
        client = self.world.client
        client.run(
            ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", f"{name}@desk", "-f", f".ssh/of-{name}"], check=True
        )
        config = self.world.host.read(f"{client.home}/.ssh/config").decode()
        client.write(f".ssh/of-{name}.config", config.replace("/.ssh/id_ed25519", f"/.ssh/of-{name}"), 0o600)
        return f"{client.home}/.ssh/of-{name}.pub"

    def ssh(self, name: str, command: str | None, *options: str, **how: Any) -> Finished:
        """Log in as this person."""
        return self.world.client.ssh(self.user, command, options=["-F", f".ssh/of-{name}.config", *options], **how)

    def reads(self, name: str, repository: str, *options: str) -> Finished:
        """Ask what a clone asks."""
        return self.ssh(name, f"git-upload-pack '{repository}'", *options, input="0000")

    def git(self, name: str, *args: str) -> Finished:
        """Run git as this person."""
        return self.world.client.git(
            args, env={"GIT_SSH_COMMAND": f"ssh -F {self.world.client.home}/.ssh/of-{name}.config"}
        )

    def last(self) -> list[dict[str, Any]]:
        """Return the records of the newest login."""
        return self.world.last_login(self.user)


@contextmanager
def sshd_with(world: World, text: str) -> Iterator[None]:
    """sshd runs with these lines in front of all others."""
    world.host.stop_sshd()
    path = "/etc/ssh/sshd_config.d/10-test.conf"
    world.host.write(path, text)
    try:
        world.host.start_sshd()
        yield
    finally:
        world.host.stop_sshd()
        world.host.run(["rm", path], check=True)
        world.host.start_sshd()


@contextmanager
def daemon(world: World) -> Iterator[None]:
    """jailsshd runs in the block."""
    world.host.run(["rm", "-f", SOCKET])
    with world.host.popen([DAEMON]) as process:
        try:
            world.host.wait_for(SOCKET, process)
            yield
        finally:
            world.host.run(["pkill", "-TERM", "-f", f"{DAEMON}$"])


def plan_of(world: World, user: str) -> str:
    return f"/var/lib/jailssh/plan.v1/{world.uid(user)}"


def lists_home(world: World, user: str) -> Finished:
    return world.client.sftp(user, "ls -1 /home\n")


def by_group(world: World, name: str) -> None:
    """Make an account as a directory service gives it: no file of ours names it."""
    options = ["--create-home", "--no-user-group", "--gid", GROUP, "--shell", LOGIN]
    world.host.run(["useradd", *options, name], check=True)
    world.client.authorize(name)
