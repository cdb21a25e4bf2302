"""The services of a scratch host: its own journald and its own sshd."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from jailssh.core.errors import HostError, JailsshError


class _Completed(Protocol):
    @property
    def code(self) -> int: ...
    @property
    def stdout(self) -> str: ...
    @property
    def stderr(self) -> str: ...


class ServiceHost(Protocol):
    """What a service needs of its scratch host; see :class:`jailssh.scratch.host.ScratchHost`."""

    def run(self, args: Sequence[str], *, check: bool = False) -> _Completed:
        """Run a program to its end."""

    def popen(self, args: Sequence[str], *, stdout: int, stderr: int) -> subprocess.Popen[bytes]:
        """Start a program."""

    def write(self, path: str, data: str | bytes) -> None:
        """Write a file."""

    def read(self, path: str) -> bytes:
        """Return a file's content."""

    def pids(self) -> dict[int, str]:
        """Return the processes."""

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Return when the condition holds; raise if that takes too long."""

    def wait_for(self, path: str, process: subprocess.Popen[bytes] | None = None) -> None:
        """Return when the file is there."""


_JOURNALD = ("/lib/systemd/systemd-journald", "/usr/lib/systemd/systemd-journald")
_JOURNALD_CONF = "/etc/systemd/journald.conf.d/scratch.conf"
_SFTP_SERVER = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/ssh/sftp-server")
_SSHD = ("/usr/sbin/sshd", "/usr/bin/sshd")
_SSHD_CONF = "/etc/ssh/sshd_config"
_SSHD_KEY = "/etc/ssh/scratch_host_ed25519_key"
_SSHD_PID = "/run/sshd.pid"
_SSHD_LOG = "/run/sshd.log"

# Many logins at once are a test, not an attack; the rest is Debian's sshd_config.  Nobody can record what goes over the
# loopback of this host to decrypt it some day, and a key exchange against that is most of what a login costs.
_SSHD_BASE = """\
Include /etc/ssh/sshd_config.d/*.conf
Port {port}
ListenAddress 127.0.0.1
HostKey {key}
PidFile {pid}
KexAlgorithms curve25519-sha256,ecdh-sha2-nistp256
LogLevel VERBOSE
UsePAM yes
KbdInteractiveAuthentication no
PrintMotd no
AcceptEnv LANG LC_*
MaxStartups 1000
Subsystem sftp {sftp}
{extra}
"""


def _first(paths: tuple[str, ...], what: str, package: str) -> str:
    """Return the first of ``paths`` that exists, else raise HostError naming the Debian package."""
    for path in paths:
        if os.path.exists(path):
            return path
    raise HostError("scratch host", f"{what} is not installed", hint=f"apt-get install {package}")


class Journald:
    """systemd-journald without systemd: it opens its sockets itself when none are handed to it."""

    def __init__(self, host: ServiceHost) -> None:
        self._host = host
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, storage: str) -> None:
        """Start it and return when it answers."""
        if self._process is not None:
            return
        program = _first(_JOURNALD, "systemd-journald", "systemd")
        settings = f"Storage={storage}\nRateLimitIntervalSec=0\nRateLimitBurst=0\nReadKMsg=no\nAudit=no\n"
        forwards = "".join(f"ForwardTo{target}=no\n" for target in ("Syslog", "KMsg", "Console", "Wall"))
        self._host.run(["mkdir", "-p", "/etc/systemd/journald.conf.d", "/var/log"], check=True)
        if storage == "persistent":
            self._host.run(["mkdir", "-p", "/var/log/journal"], check=True)
        self._host.write(_JOURNALD_CONF, f"[Journal]\n{settings}{forwards}")
        process = self._host.popen([program], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._host.wait_for("/run/systemd/journal/io.systemd.journal", process)
        self._process = process

    def close(self) -> None:
        """Let go of what connects us to it; the end of the host ends the process."""
        if self._process is not None and self._process.stderr is not None:
            self._process.stderr.close()
        self._process = None

    def records(self, fields: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the records that match; ``journalctl --sync`` returns when all that was sent before is written."""
        if self._process is None:
            raise JailsshError("journal", "journald of the scratch host is not running")
        self._host.run(["journalctl", "--sync"], check=True)
        matches = [f"{name}={value}" for name, value in fields.items()]
        # --all: without it a long field is shown as null.
        found = self._host.run(["journalctl", "--output=json", "--all", "--quiet", "--no-pager", *matches], check=True)
        rows = [json.loads(line) for line in found.stdout.split("\n") if line]
        return [{name: _text(value) for name, value in row.items()} for row in rows]


def _text(value: Any) -> Any:
    """Turn the list of byte values, which ``journalctl -o json`` uses for text with control characters, into text."""
    if isinstance(value, list) and value and all(isinstance(item, int) for item in value):
        return bytes(value).decode("utf-8", "surrogateescape")
    return value


class Sshd:
    """OpenSSH's server with its own host key and configuration, on the loopback interface of the scratch host."""

    def __init__(self, host: ServiceHost) -> None:
        self._host = host
        self._running = False

    def start(self, extra_config: str, port: int) -> None:
        """Write the configuration, test it, start sshd and return when it listens."""
        program = _first(_SSHD, "sshd", "openssh-server")
        sftp = _first(_SFTP_SERVER, "sftp-server", "openssh-sftp-server")
        if self._running:
            self.stop()
        if self._host.run(["test", "-e", _SSHD_KEY]).code != 0:
            self._host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", _SSHD_KEY], check=True)
        config = _SSHD_BASE.format(port=port, key=_SSHD_KEY, pid=_SSHD_PID, sftp=sftp, extra=extra_config)
        self._host.write(_SSHD_CONF, config)
        self._test(program)
        # With its log in a file sshd leaves nothing of ours open when it goes to the background.
        self._host.run([program, "-f", _SSHD_CONF, "-E", _SSHD_LOG], check=True)
        self._host.wait_for(_SSHD_PID)  # written after listen(2)
        self._running = True

    def _test(self, program: str) -> None:
        tested = self._host.run([program, "-t", "-f", _SSHD_CONF])
        if tested.code != 0:
            raise JailsshError("sshd -t", tested.stderr.strip())

    def reload(self) -> None:
        """Send SIGHUP and wait until sshd listens again."""
        pid = self._pid()
        self._test(_first(_SSHD, "sshd", "openssh-server"))
        before = self._listens()
        self._host.run(["kill", "-HUP", pid], check=True)
        self._host.wait_until(lambda: self._listens() > before, "sshd listens again after SIGHUP")

    def _listens(self) -> int:
        return self.log().count("Server listening on ")

    def _pid(self) -> str:
        if not self._running:
            raise JailsshError("sshd", "sshd of the scratch host is not running")
        return self._host.read(_SSHD_PID).decode().strip()

    def stop(self) -> None:
        """Stop the listener and wait until it is gone."""
        pid = self._pid()
        self._host.run(["kill", "-TERM", pid], check=True)
        self._host.wait_until(lambda: int(pid) not in self._host.pids(), "sshd ends after SIGTERM")
        self._host.run(["rm", "-f", _SSHD_PID], check=True)
        self._running = False

    def log(self) -> str:
        """Return the log so far."""
        return self._host.read(_SSHD_LOG).decode("utf-8", "replace")
