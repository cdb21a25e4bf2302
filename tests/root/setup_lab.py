"""A scratch host on which nothing is set up, the administrator's command in it, and a prefix without plugins."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

from jailssh.scratch.host import Finished, ScratchHost
from tests.harness.shared import REPO, once
from tests.harness.source import put_source

LOGIN = "/usr/local/libexec/jailssh/jailssh-login"
DROP_IN = "/etc/ssh/sshd_config.d/20-jailssh.conf"
SOURCE = {"PYTHONPATH": "/usr/local/source"}
FROM_SOURCE = ("/usr/bin/python3", "-B", "-m", "jailssh")


class Administered:
    """A scratch host in which an administrator works; ``command`` is jailssh, which is started in ``env``."""

    def __init__(
        self,
        scratch: ScratchHost,
        command: Sequence[str] = ("/usr/local/bin/jailssh",),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.scratch = scratch
        self._command, self._env = command, env
        self.sh("ssh-keygen -A >/dev/null; test -f /etc/ssh/sshd_config")

    @classmethod
    @contextmanager
    def made(cls, prefix: str) -> Iterator[Self]:
        """Have such a host with jailssh from ``prefix``, a journal, a key in /root/k, and no jail yet."""
        with ScratchHost(install={prefix: "/usr/local"}) as scratch:
            scratch.start_journald()
            host = cls(scratch)
            host.sh("ssh-keygen -q -t ed25519 -N '' -f /root/k; mkdir -p /etc/jailssh/jails")
            yield host

    def sh(self, command: str) -> str:
        """Run a script of the shell that must succeed; return what it printed."""
        return self.scratch.run(["sh", "-c", command], check=True).stdout

    def jailssh(self, *args: str) -> Finished:
        """Run the command."""
        return self.scratch.run([*self._command, *args], env=self._env)

    def ok(self, *args: str) -> str:
        """Run the command, which must succeed; return what it printed."""
        done = self.jailssh(*args)
        assert done.code == 0, done.stderr
        return done.stdout

    @contextmanager
    def changed(self, do: str, undo: str) -> Iterator[None]:
        """Have the host as the script ``do`` makes it, and as before when that is over."""
        self.sh(do)
        try:
            yield
        finally:
            self.sh(undo)

    def config_of(self, user: str) -> str:
        """Return the settings that sshd has for a user."""
        return self.sh(f"/usr/sbin/sshd -T -C user={user},host=h,addr=127.0.0.1")


def bare_prefix(factory: pytest.TempPathFactory, name: str, login: bytes) -> Path:
    """Return a prefix with ``login`` as its login program, for FROM_SOURCE in SOURCE; made once under this name."""

    def fill(folder: Path) -> None:
        folder.chmod(0o755)
        program = folder / LOGIN.removeprefix("/usr/local/")
        program.parent.mkdir(parents=True)
        program.write_bytes(login)
        program.chmod(0o755)
        share = folder / "share" / "jailssh"
        share.mkdir(parents=True)
        shutil.copy(REPO / "sshd_config.d" / "20-jailssh.conf.in", share)
        shutil.copy(REPO / "packaging" / "pam" / "pam-profile.in", share)
        put_source(folder / "source")

    return once(factory, name, fill)
