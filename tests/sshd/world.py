"""The accounts that the sshd tests log in to, and how their logins are read back from the journal."""

from __future__ import annotations

import ctypes
import io
import os
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import paramiko

from jailssh.core import journal_fields as fields
from jailssh.host.paths import Layout
from jailssh.scratch.host import Finished, ScratchHost
from tests.harness.client import SshClient
from tests.harness.resident import Resident, command

LOGIN = "/usr/local/libexec/jailssh/jailssh-login"
DAEMON = "/usr/local/libexec/jailssh/jailsshd"
SOCKET = "/run/jailssh/jailsshd.sock"
PROFILES = ("sftp-only", "sftp-ro", "scp-sftp", "git-only", "rsync-backup", "rsync-pull", "shell")
GROUP = "contractors"
# A profile's account has its name; these jails are the administrator's own.
JAILS = {
    "git-team": "plugins = git\n[git]\nread = /srv/pub\nwrite = /srv/git\n",
    "probing": "plugins = shell sftp\n",
    "by-group": f"plugins = sftp\ngroups = {GROUP}\nhome_keys = yes\n",
}
# The verbs that most tests call; another one is imported when it runs.
_OFTEN = ("setup", "adduser", "deluser", "keys", "apply", "config", "plan", "explain", "learn")
_CLONE_NEWNET = 0x40000000
_REPOSITORIES = """
set -e
umask 022
git init -q -b main /tmp/seed
cd /tmp/seed
echo hello >README
git add README
git commit -q -m one
for path in /srv/git/x /srv/pub/y /srv/secret/z; do
    mkdir -p ${path%/*}
    git clone -q --bare /tmp/seed $path.git
done
chown -R git-only: /srv/git
chown -R git-team: /srv/pub
"""
_NAMES = {
    f"GIT_{role}_{what}": "someone" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}  # for git commit


class World:
    """A host with an account per profile, and a client whose key they all take."""

    def __init__(self, host: ScratchHost, client: SshClient) -> None:
        self.host = host
        self.client = client
        self._command = Resident(host, *command(*_OFTEN), "/usr/local/lib/jailssh/python")
        host.run(["mkdir", "-p", "/etc/jailssh/jails"], check=True)
        for name, text in JAILS.items():
            host.write(f"/etc/jailssh/jails/{name}.conf", text)
        host.run(["groupadd", GROUP], check=True)
        host.stop_sshd()  # so that set-up's own reload cannot race with the first login
        self.jailssh("setup", "--yes")
        # The machine's own /srv may hold repositories of these names.
        self.host.run(["rm", "-rf", "/srv/git", "/srv/pub", "/srv/secret"], check=True)
        self.host.run(["mkdir", "/srv/git", "/srv/pub"], check=True)
        for name in (*PROFILES, "git-team", "probing"):
            self.adduser(name, name)
        host.run(["sh", "-c", _REPOSITORIES], env=_NAMES, check=True)
        host.start_sshd()
        client.write("up.txt", "from the client\n")

    def jailssh(self, *args: str, check: bool = True) -> Finished:
        """Run the administrator's command."""
        return self._command.run(*args, check=check)

    def close(self) -> None:
        """End what runs the command."""
        self._command.close()

    def userdel(self, name: str) -> None:
        """Delete the account as somebody does who knows nothing of jails.

        userdel(8) refuses it (8) while a process of it is left, as sshd's for a login that has just ended, and tells
        of a mailbox that is not there by its status.
        """
        self.host.wait_until(lambda: self.host.run(["userdel", "--remove", name]).code != 8, f"{name} to run nothing")
        assert self.host.run(["id", name]).code != 0

    def adduser(self, name: str, jails: str, *options: str) -> Finished:
        """Put an account into a jail, with the client's key."""
        return self.jailssh("adduser", name, "--jail", jails, "--key", self.client.public_key_file, *options)

    def uid(self, name: str) -> int:
        """Return the account's uid."""
        return int(self.host.run(["id", "-u", name], check=True).stdout)

    def put(self, path: str, data: str | bytes, owner: str, mode: int = 0o644) -> None:
        """Write a file that belongs to an account."""
        self.host.write(path, data, mode, self.uid(owner), self.uid(owner))

    def own_keys(self, owner: str, data: bytes) -> None:
        """Write an account's own authorized_keys file, in its home."""
        self.host.run(["install", "-d", "-m", "700", "-o", owner, f"/home/{owner}/.ssh"], check=True)
        self.put(f"/home/{owner}/.ssh/authorized_keys", data, owner, 0o600)

    def exists(self, path: str) -> bool:
        """True if there is something at ``path`` of the host."""
        return self.host.run(["test", "-e", path]).code == 0

    def records(self, user: str) -> list[dict[str, Any]]:
        """Return every record of the account's logins so far."""
        return [record for record in self.host.journal(**{fields.USER: user}) if fields.SESSION in record]

    def last_login(self, user: str) -> list[dict[str, Any]]:
        """Return the records of the account's newest login."""
        found = self.records(user)
        return [record for record in found if record[fields.SESSION] == found[-1][fields.SESSION]]

    def processes_of(self, user: str) -> list[str]:
        """Return the command lines of everything that runs as the account."""
        done = self.host.run(["ps", "-o", "args=", "-u", str(self.uid(user))])
        return done.stdout.splitlines()

    @contextmanager
    def vanishing(self, client: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
        """Kill a client in the end, with every process of its account: it says no word to the server."""
        with client:
            try:
                yield client
            finally:
                # Not by the process group alone: sftp and rsync give ssh one of its own.
                self.host.run(["pkill", "-KILL", "-u", self.client.account])
                client.kill()

    def running(self, user: str, command: str | None, **how: Any) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Give a client that runs ``command`` and vanishes in the end."""
        return self.vanishing(self.client.start_ssh(user, command, **how))

    @contextmanager
    def held_lock(self) -> Iterator[subprocess.Popen[bytes]]:
        """Have a process of the host hold the lock of the set-up until it gets a line."""
        pipe, holding = subprocess.PIPE, ["flock", Layout().lock, "sh", "-c", "echo held; read line"]
        with self.host.popen(holding, stdin=pipe, stdout=pipe) as holder:
            assert holder.stdout and holder.stdout.readline() == b"held\n"
            yield holder

    def connect(self, user: str) -> paramiko.Transport:
        """Return an authenticated connection of a client that is not OpenSSH's."""
        text = self.host.read(f"{self.client.home}/.ssh/id_ed25519").decode()
        transport = paramiko.Transport(socket_inside(self.host))
        transport.start_client(timeout=20)
        transport.auth_publickey(user, paramiko.Ed25519Key.from_private_key(io.StringIO(text)))
        return transport


def socket_inside(host: ScratchHost) -> socket.socket:
    """Connect to the scratch host's sshd: a socket stays in the network namespace of the thread that made it."""
    made: list[socket.socket] = []

    def connect() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        namespace = os.open(f"/proc/{host.init_pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        if libc.setns(namespace, _CLONE_NEWNET) == 0:
            made.append(socket.create_connection(("127.0.0.1", 22), timeout=20))
        os.close(namespace)

    thread = threading.Thread(target=connect)
    thread.start()
    thread.join()
    return made[0]


def pick(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the named fields of a record without their prefix, in lower case."""
    return {name.removeprefix("JAILSSH_").lower(): record.get(name) for name in names}


def ending(channel: paramiko.Channel) -> tuple[int, bytes, bytes]:
    """Read a channel to its end; return exit status, output and error output."""
    out, err = io.BytesIO(), io.BytesIO()
    with channel:
        for buffer, receive in ((out, channel.recv), (err, channel.recv_stderr)):
            while chunk := receive(65536):
                buffer.write(chunk)
        return channel.recv_exit_status(), out.getvalue(), err.getvalue()
