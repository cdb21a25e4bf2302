"""The scratch host of ``jailssh demo``: jailssh set up in it, an account in each shipped jail, a client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import jailssh
from jailssh.core import journal_fields as fields
from jailssh.core.errors import HostError
from jailssh.core.names import escape
from jailssh.host import process
from jailssh.host.paths import INSTALL, Layout
from jailssh.scratch.demo_rows import Row
from jailssh.scratch.host import ScratchHost

JAILS = ("sftp-only", "sftp-ro", "scp-sftp", "git-only", "rsync-backup", "rsync-pull", "shell", "git-two")
LIMITED = ("expired", "elsewhere")
SHARED = "git-team"
GROUP_JAIL = "by-group"
CLIENT = "client"

_PROGRAMS = {
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sftp": "openssh-client",
    "scp": "openssh-client",
    "sshd": "openssh-server",
    "rsync": "rsync",
    "git": "git",
    "useradd": "passwd",
}
_JAIL_FILES = {
    "git-two": 'summary = "push below /srv/git, fetch below /srv/pub"\nplugins = git\n'
    "[git]\nread = /srv/pub\nwrite = /srv/git\n",
    SHARED: "extends = git-hosting\n[git]\nroots = /srv/team\nrights = create * @developers, read * ci\n",
    "expired": "extends = sftp-only\n[limits]\nexpires = 2020-12-31\n",
    "elsewhere": "extends = sftp-only\n[limits]\naddresses = 192.0.2.0/24\n",
    GROUP_JAIL: f'summary = "sftp for a group"\nplugins = sftp\ngroups = {GROUP_JAIL}\nhome_keys = yes\n',
}
_SSH_CONFIG = f"""\
Host *
    HostName 127.0.0.1
    IdentityFile /home/{CLIENT}/key
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    BatchMode yes
    LogLevel ERROR
    ConnectTimeout 20
"""
# What the attacks would run, and what must still be there afterwards.
_PLANT = """
set -e
umask 022
for home in scp-sftp rsync-pull; do
    printf '#!/bin/sh\\ntouch /tmp/evil-ran\\n' >/home/$home/evil
    chmod 755 /home/$home/evil
done
cd /home/sftp-only
mkdir -p -m 700 .ssh
for file in .ssh/rc .bashrc .profile; do
    echo 'touch /home/sftp-only/start-file-ran /tmp/start-file-ran' >$file
done
echo '# own' >.ssh/authorized_keys
chown -R sftp-only: .
for home in sftp-ro rsync-pull; do
    echo 'a report' >/home/$home/report.txt
done
cp /home/client/key.pub /home/shell/key.pub
"""
_REPOSITORIES = """
set -e
umask 022
for path in git/x pub/y secret/z; do
    folder=/srv/${path%/*} name=${path#*/}
    mkdir -p $folder
    git init -q -b main /tmp/$name
    echo hello >/tmp/$name/README
    git -C /tmp/$name add README
    git -C /tmp/$name commit -q -m one
    git clone -q --bare /tmp/$name $folder/$name.git
done
printf '#!/bin/sh\\ntouch /srv/git/hook-ran\\n' >/srv/git/x.git/hooks/post-receive
chmod 755 /srv/git/x.git/hooks/post-receive
chown -R git-only: /srv/git
chown -R git-two: /srv/pub
"""
_GIT_NAMES = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Demo"), ("EMAIL", "demo@localhost"))
}


@dataclass(frozen=True)
class Result:
    """What came of a row."""

    row: Row
    code: int
    output: str
    proved: bool

    @property
    def ok(self) -> bool:
        """True if it is as expected."""
        ended = self.code != 0 if self.row.code is None else self.code == self.row.code
        return ended and self.row.says in self.output and self.proved

    @property
    def got(self) -> str:
        """Return what happened, in words; the line that the client saw, and whether the proof holds."""
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        telling = [line for line in lines if self.row.says in line] if self.row.says else []
        line = (telling or lines or [""])[-1]
        shown = line if self.row.says or not self.ok else ""
        proof = self.row.shows if self.proved else f"NOT {self.row.shows}"
        return "; ".join(filter(None, (f"exit {self.code}", escape(shown, 120), proof)))


def installed_prefix(layout: Layout) -> str:
    """Return the directory whose installation this command belongs to; a staged one is not at its PREFIX."""
    package = os.path.dirname(os.path.abspath(jailssh.__file__))
    own = package.removesuffix("/lib/jailssh/python/jailssh")
    for prefix in (own, layout.prefix):
        if os.path.exists(f"{prefix}{layout.login_program.removeprefix(layout.prefix)}"):
            return prefix
    raise HostError("demo", "jailssh is not installed", hint=f"{INSTALL}, or make demo in the source tree")


def require_programs() -> None:
    """Raise :class:`HostError` naming the packages that have the programs the demo logs in with."""
    missing = sorted({package for name, package in _PROGRAMS.items() if process.find_program(name) is None})
    if missing:
        raise HostError(
            "demo", f"required packages are missing: {', '.join(missing)}", hint=f"apt-get install {' '.join(missing)}"
        )


@contextmanager
def demo_host(layout: Layout) -> Iterator[ScratchHost]:
    """Give a scratch host in which everything is ready for the rows."""
    require_programs()
    with ScratchHost(install={installed_prefix(layout): layout.prefix}) as host:
        host.start_journald()
        _make_client(host)
        _set_up(host, layout)
        host.run(["sh", "-c", _PLANT], check=True)
        host.run(["sh", "-c", _REPOSITORIES], env=_GIT_NAMES, check=True)
        # sshd's own sftp server as well, as many hosts have it: it must never be what a jailed account gets.
        host.start_sshd("Subsystem builtin internal-sftp")
        # It keeps the host's first terminal, so that a jail that shows its login a first terminal shows its own.
        host.popen(["sh", "-c", "sleep 600 | ssh -tt shell@host"], user=CLIENT, cwd=f"/home/{CLIENT}")
        host.wait_until(lambda: " on pts/0 for shell " in host.sshd_log(), "a first login")
        yield host


def _make_client(host: ScratchHost) -> None:
    home = f"/home/{CLIENT}"
    host.run(["useradd", "--create-home", "--home-dir", home, "--shell", "/bin/sh", CLIENT], check=True)
    keys = "for key in key ci; do ssh-keygen -qt ed25519 -N '' -f $key; done"
    script = f"umask 077 && mkdir .ssh && cat >.ssh/config && echo hello >up.txt && {keys}"
    host.run(["sh", "-c", script], user=CLIENT, cwd=home, input=_SSH_CONFIG, check=True)


def _set_up(host: ScratchHost, layout: Layout) -> None:
    """Do what an administrator does: jail files, set-up, accounts, daemon."""
    command = f"{layout.prefix}/bin/jailssh"
    host.run(["mkdir", "-p", layout.jails], check=True)
    for name, text in _JAIL_FILES.items():
        host.write(f"{layout.jails}/{name}.conf", text)
    host.run(["groupadd", GROUP_JAIL], check=True)
    host.run([command, "setup", "--yes"], check=True)
    key = f"/home/{CLIENT}/key.pub"
    # The machine's own /srv may hold repositories of these names.
    host.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/srv"], check=True)
    host.run(["mkdir", "/srv/git", "/srv/pub", "/srv/team"], check=True)
    for jail in (*JAILS, *LIMITED):
        host.run([command, "adduser", jail, "--jail", jail, "--key", key], check=True)
    host.run([command, "adduser", SHARED, "--jail", SHARED], check=True)
    host.run(["chown", f"{SHARED}:", "/srv/team"], check=True)
    host.run([command, "keys", "add", SHARED, "alice", key, "--group", "developers"], check=True)
    host.run([command, "keys", "add", SHARED, "ci", f"/home/{CLIENT}/ci.pub"], check=True)
    # An account of a directory service looks like this: a group of its own, its key in its home, no file of ours.
    shell = ["--create-home", "--shell", layout.login_program, "--no-user-group", "--gid", GROUP_JAIL]
    host.run(["useradd", *shell, GROUP_JAIL], check=True)
    script = f"umask 077 && mkdir ~{GROUP_JAIL}/.ssh && cat {key} >~{GROUP_JAIL}/.ssh/authorized_keys"
    host.run(["sh", "-c", f"{script} && chown -R {GROUP_JAIL}: ~{GROUP_JAIL}/.ssh"], check=True)
    daemon = host.popen([f"{os.path.dirname(layout.login_program)}/jailsshd"])
    host.wait_for(layout.socket, daemon)


def try_row(host: ScratchHost, row: Row) -> Result:
    """Run one row."""
    done = host.run(["sh", "-c", row.command], user=CLIENT, cwd=f"/home/{CLIENT}", env=_GIT_NAMES)
    proof = host.run(["sh", "-c", row.proof])
    return Result(row, done.code, done.stdout + done.stderr, proof.code == 0)


def records_of(host: ScratchHost, user: str, command: str) -> list[dict[str, Any]]:
    """Return the journal records of the last login of ``user`` that asked for ``command``, oldest first."""
    asked = host.journal(**{fields.USER: user, fields.COMMAND: command})
    if not asked:
        return []
    return host.journal(**{fields.SESSION: str(asked[-1][fields.SESSION])})
