"""An unprivileged account of the scratch host that logs in elsewhere with the programs that people use."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from jailssh.scratch.host import Finished, ScratchHost

_CONFIG = """\
Host *
    HostName 127.0.0.1
    Port {port}
    IdentityFile {home}/.ssh/id_ed25519
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    BatchMode yes
    LogLevel ERROR
    ConnectTimeout 20
"""
_GIT = {
    "GIT_AUTHOR_NAME": "Client",
    "GIT_AUTHOR_EMAIL": "client@scratch",
    "GIT_COMMITTER_NAME": "Client",
    "GIT_COMMITTER_EMAIL": "client@scratch",
    "GIT_TERMINAL_PROMPT": "0",
}


class SshClient:
    """The client: every host name is the sshd of the scratch host, so ``scp x alice@any:`` works as it stands.

    Each call returns code, stdout and stderr; it runs in the account's home.
    """

    def __init__(self, host: ScratchHost, account: str = "client", port: int = 22) -> None:
        self.host = host
        self.account = account
        self.home = f"/home/{account}"
        host.run(["useradd", "--create-home", "--home-dir", self.home, "--shell", "/bin/sh", account], check=True)
        self.run(["mkdir", "-m", "700", ".ssh"], check=True)
        self.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ".ssh/id_ed25519"], check=True)
        self.write(".ssh/config", _CONFIG.format(port=port, home=self.home), 0o600)

    @property
    def public_key_file(self) -> str:
        """The path of the public key in the scratch host."""
        return f"{self.home}/.ssh/id_ed25519.pub"

    @property
    def public_key(self) -> str:
        """The public key as a line of authorized_keys."""
        return self.host.read(self.public_key_file).decode()

    def authorize(self, user: str) -> None:
        """Let the client's key into a plain account, by the account's own authorized_keys."""
        script = "umask 077 && mkdir -p ~/.ssh && cat >>~/.ssh/authorized_keys"
        self.host.run(["sh", "-c", script], user=user, input=self.public_key, check=True)

    def run(self, args: Sequence[str], **options: Any) -> Finished:
        """Run any program as the client; options as for ScratchHost.run."""
        return self.host.run(args, user=self.account, **{"cwd": self.home, **options})

    def write(self, path: str, data: str | bytes, mode: int = 0o644) -> None:
        """Write a file, relative to the client's home."""
        self.run(["sh", "-c", 'cat >"$1" && chmod "$2" "$1"', "sh", path, f"{mode:o}"], input=data, check=True)

    def ssh_args(
        self, user: str, command: str | None = None, *, tty: bool = False, options: Sequence[str] = ()
    ) -> list[str]:
        """Return the ssh command line; ``command`` None asks for a login shell."""
        return ["ssh", "-tt" if tty else "-T", *options, f"{user}@scratch", *([] if command is None else [command])]

    def ssh(
        self, user: str, command: str | None = None, *, tty: bool = False, options: Sequence[str] = (), **how: Any
    ) -> Finished:
        """Run a command of a remote account, or its login shell with ``input=`` as what is typed."""
        return self.run(self.ssh_args(user, command, tty=tty, options=options), **how)

    def start_ssh(
        self, user: str, command: str | None = None, *, tty: bool = False, options: Sequence[str] = (), **how: Any
    ) -> subprocess.Popen[bytes]:
        """Start ssh and leave it running, with a pipe to its stdin; options as for ScratchHost.popen."""
        args = self.ssh_args(user, command, tty=tty, options=options)
        return self.host.popen(args, user=self.account, **{"cwd": self.home, "stdin": subprocess.PIPE, **how})

    def sftp(self, user: str, batch: str, *, options: Sequence[str] = (), **how: Any) -> Finished:
        """Run the lines of ``batch`` as sftp commands; the first that fails ends it, unless it begins with ``-``."""
        return self.run(["sftp", *options, "-b", "-", f"{user}@scratch"], input=batch, **how)

    def scp(self, args: Sequence[str], **how: Any) -> Finished:
        """Run scp; ``-O`` in ``args`` is the old protocol."""
        return self.run(["scp", "-B", *args], **how)

    def rsync(self, args: Sequence[str], **how: Any) -> Finished:
        """Run rsync over ssh."""
        return self.run(["rsync", "-e", "ssh", *args], **how)

    def git(self, args: Sequence[str], *, env: Mapping[str, str] | None = None, **how: Any) -> Finished:
        """Run git with a name to commit under."""
        return self.run(["git", *args], env={**_GIT, **(env or {})}, **how)
