"""A scratch host with jailssh, an account ``jailed`` in a jail with a shell, and an account ``free`` without one."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jailssh.core.errors import JailsshError
from jailssh.scratch.host import ScratchHost
from tests.abilities import REPO
from tests.harness.client import SshClient

PREFIX = "/usr/local"
FREE, JAILED = "free", "jailed"
_JAIL = "plugins = shell sftp\nroot = live\n"
# For programs that run as the account itself, outside of its jail, and log in to it: tests of clients find one home
# below one path at both ends.
REMOTE = "remote"
REMOTE_SFTP = "remote-sftp"  # whatever options it gets: scp gives those of ssh
_MARGIN = 60.0  # seconds that a login may take beside the command's own time


@dataclass(frozen=True)
class Site:
    """The two accounts and the client that logs in to them."""

    host: ScratchHost
    client: SshClient

    def put(self, tree: Path, name: str) -> None:
        """Copy a directory of the machine into both homes."""
        for account in (FREE, JAILED):
            target = f"/home/{account}/{name}"
            self.host.run(["cp", "-a", str(tree), target], check=True, timeout=600)
            self.host.run(["chown", "-R", f"{account}:", target], check=True, timeout=600)

    def take(self, name: str) -> None:
        """Remove it from both homes."""
        for account in (FREE, JAILED):
            self.host.run(["rm", "-rf", f"/home/{account}/{name}"], check=True, timeout=600)

    def run(self, account: str, command: str, seconds: int, *, outside: bool = False) -> str:
        """Run a command line in the home of an account and return its output, that of errors apart.

        By ssh, so in its jail; with ``outside`` as a process of the host.  What is left after ``seconds`` is killed.
        """
        if outside:
            words = ["timeout", "-k", "5", str(seconds), "bash", "-c", command]
            home = f"/home/{account}"
            return self.host.run(words, user=account, cwd=home, timeout=seconds + _MARGIN).stdout
        script = f"{command}\n"
        words = ["nice", "-n", "15", *self.client.ssh_args(account, f"timeout -k 5 {seconds} bash -s")]
        return self.client.run(words, input=script, timeout=seconds + _MARGIN).stdout


@contextlib.contextmanager
def open_site(room: Path) -> Iterator[Site]:
    """Install, start the scratch host, make the accounts; nothing remains.  ``room`` is read below its own path."""
    stage = room / "stage"
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    install = ["make", "-s", "install", f"PREFIX={PREFIX}", f"DESTDIR={stage}"]
    done = subprocess.run(install, cwd=REPO, env=env, umask=0o022, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise JailsshError(" ".join(install), (done.stdout + done.stderr).strip()[-2000:])
    with ScratchHost(install={f"{stage}{PREFIX}": PREFIX}) as host:
        host.start_journald()
        host.start_sshd()
        client = SshClient(host)
        host.run(["mkdir", "-p", "/etc/jailssh/jails"], check=True)
        host.write("/etc/jailssh/jails/suites.conf", _JAIL)
        host.run([f"{PREFIX}/bin/jailssh", "setup", "--yes"], check=True, timeout=300)
        adduser = ["adduser", JAILED, "--jail", "suites", "--key", client.public_key_file]
        host.run([f"{PREFIX}/bin/jailssh", *adduser], check=True, timeout=300)
        host.run(["useradd", "--create-home", "--home-dir", f"/home/{FREE}", "--shell", "/bin/bash", FREE], check=True)
        client.authorize(FREE)
        for account in (FREE, JAILED):
            _let_it_log_in_to_itself(host, client, account)
        yield Site(host, client)


def _let_it_log_in_to_itself(host: ScratchHost, client: SshClient, account: str) -> None:
    """Write programs that log in to the account: one runs its operands as a command, one asks for sftp."""
    folder = f"/srv/{account}"
    host.run(["install", "-d", "-m", "700", "-o", account, folder], check=True)
    uid, gid = (int(host.run(["id", flag, account], check=True).stdout) for flag in ("-u", "-g"))
    config = host.read(f"{client.home}/.ssh/config").decode().replace(f"{client.home}/.ssh", folder)
    host.write(f"{folder}/id_ed25519", host.read(f"{client.home}/.ssh/id_ed25519"), 0o600, uid, gid)
    host.write(f"{folder}/config", config, 0o600, uid, gid)
    login = f"exec /usr/bin/ssh -T -F {folder}/config"
    for name, words in (
        (REMOTE, f'{login} {account}@scratch "$@"'),
        (REMOTE_SFTP, f"{login} -s {account}@scratch sftp"),
    ):
        host.write(f"{folder}/{name}", f"#!/bin/sh\n{words}\n", 0o755, uid, gid)
