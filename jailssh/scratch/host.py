"""A scratch host: this machine once more, for real accounts and logins of which nothing remains.

It has its own mount, pid, net, ipc and uts namespaces, overlays with a tmpfs on the directories that change, a fresh
``/run /tmp /dev``, and everything else of the machine read-only.  When the owner leaves the ``with`` block, is
interrupted or killed, every process and mount of the scratch host is gone.

It keeps accidents away from the machine, not attackers: root inside is root.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any

from jailssh.core.errors import HostError, JailsshError
from jailssh.scratch.services import Journald, Sshd

# Profiles of PAM are part of /usr, where pam-auth-update(8) makes the files of /etc/pam.d from them.
_PROFILES = "/usr/share/pam-configs"
OVERLAYS = ("/etc", "/home", "/root", "/srv", "/var", *([_PROFILES] if os.path.isdir(_PROFILES) else []))
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_INIT = pathlib.Path(__file__).with_name("init.py")
_HINTS = {
    errno.EPERM: "run as root; in a container, use a privileged one",
    errno.ENODEV: "the kernel has no overlayfs: modprobe overlay",
    errno.ENOSYS: "Linux 5.12 or newer is required",
}
_STREAM = IO[bytes] | int | None


@dataclass(frozen=True)
class Finished:
    """How a command ended: its exit code (``-N`` when signal N killed it) and what it wrote."""

    code: int
    stdout: str
    stderr: str


class ScratchHost:
    """A scratch host, alive inside ``with ScratchHost() as host:``.

    ``install`` maps directories of the machine to the directory in which the scratch host shows them *instead* of what
    is there, for example a staged prefix to ``/usr/local``; changes to them go nowhere.  ``overlays`` are the
    directories of the machine that can be changed inside.  The thread that enters the block must live as long as
    the host (PR_SET_PDEATHSIG is sent when the *thread* that started a process ends, prctl(2)).

    Raises :class:`HostError` when the machine lacks something.
    """

    def __init__(self, *, install: Mapping[str, str] | None = None, overlays: Sequence[str] = OVERLAYS) -> None:
        self._spec = {
            "overlays": list(overlays),
            "installs": {os.path.abspath(source): target for source, target in (install or {}).items()},
        }
        self._outer: subprocess.Popen[bytes] | None = None
        self._children: list[subprocess.Popen[bytes]] = []
        self._init = 0
        self._journald = Journald(self)
        self._sshd = Sshd(self)

    def __enter__(self) -> ScratchHost:
        if os.geteuid() != 0:
            raise HostError("scratch host", "must be run as root", hint=_HINTS[errno.EPERM])
        for program, package in (("nsenter", "util-linux"), ("setpriv", "util-linux"), ("useradd", "passwd")):
            if shutil.which(program, path=PATH) is None:
                raise HostError("scratch host", f"{program} is not installed", hint=f"apt-get install {package}")
        self._outer = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_INIT), json.dumps({"owner": os.getpid(), **self._spec})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            start_new_session=True,  # Ctrl-C is for the owner, who then ends us in order
        )
        try:
            self._read_start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_start(self) -> None:
        """Read what the first process says until it is ready."""
        assert self._outer is not None
        assert self._outer.stdout is not None
        ready = False
        for line in self._outer.stdout:
            message = json.loads(line)
            if "error" in message:
                what, why, code = message["error"]
                raise HostError(f"scratch host: cannot {what}", why, hint=_HINTS.get(code, ""))
            self._init = message.get("pid", self._init)
            ready = ready or "ready" in message
            if ready and self._init:  # two processes write, so either may come first
                return
        raise HostError("scratch host", "first process ended during its setup")

    def close(self) -> None:
        """End every process of the host and wait until the last one is gone; may be called again."""
        outer, self._outer = self._outer, None
        if outer is None:
            return
        assert outer.stdin is not None
        assert outer.stdout is not None
        outer.stdin.close()  # pid 1 ends at end of file, and the kernel ends the others before it is reaped
        for child in self._children:  # nsenter(1) stops when its command does, and must reap it
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGCONT)
        try:
            outer.wait(timeout=10)
        except subprocess.TimeoutExpired:
            outer.kill()
            outer.wait()
        outer.stdout.close()
        for child in self._children:
            _end(child)
        self._children.clear()
        self._journald.close()

    @property
    def init_pid(self) -> int:
        """The pid of the host's first process, as the machine counts."""
        return self._init

    def _command(self, args: Sequence[str], user: str | None, cwd: str | None) -> list[str]:
        if self._outer is None or self._outer.poll() is not None:
            raise JailsshError("scratch host", "is not running")
        command = ["nsenter", f"--target={self._init}", "--mount", "--pid", "--net", "--ipc", "--uts", "--"]
        if user is not None:
            command += ["setpriv", f"--reuid={user}", f"--regid={self._account(user)[1]}", "--init-groups", "--"]
        if cwd is not None:
            command += ["env", f"--chdir={cwd}", "--"]
        return [*command, *args]

    def _account(self, user: str) -> tuple[int, int, str]:
        """Return uid, gid and home of ``user`` from the host's own /etc/passwd."""
        for line in self._inside("/etc/passwd").read_text("utf-8", "surrogateescape").splitlines():
            fields = line.split(":")
            if len(fields) == 7 and fields[0] == user:
                return int(fields[2]), int(fields[3]), fields[5]
        raise JailsshError(f"account {user}", "does not exist on the scratch host")

    def _environment(self, user: str | None, env: Mapping[str, str] | None) -> dict[str, str]:
        name = user or "root"
        base = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": self._account(name)[2], "USER": name, "LOGNAME": name}
        return {**base, "SHELL": "/bin/sh", **(env or {})}

    def _inside(self, path: str) -> pathlib.Path:
        """Return the path by which the machine sees ``path``, which must have no symbolic link in it."""
        return pathlib.Path(f"/proc/{self._init}/root{path}")

    def popen(
        self,
        args: Sequence[str],
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: _STREAM = subprocess.DEVNULL,
        stdout: _STREAM = subprocess.PIPE,
        stderr: _STREAM = subprocess.PIPE,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a command inside, by default as root in ``/``, with a clean environment to which ``env`` is added.

        What comes back is nsenter(1), in a process group of its own together with the command: send signals with
        ``os.killpg(process.pid, …)``.  Its exit status is the command's.
        """
        child = subprocess.Popen(
            self._command(args, user, cwd),
            env=self._environment(user, env),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
        )
        self._children = [other for other in self._children if other.poll() is None]
        self._children.append(child)
        return child

    def run(
        self,
        args: Sequence[str],
        *,
        check: bool = False,
        user: str | None = None,
        input: str | bytes | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        timeout: float = 60.0,
    ) -> Finished:
        """Run a command inside to its end; see :meth:`popen`.

        Raises :class:`JailsshError` when it takes longer than ``timeout`` seconds, and with ``check`` when it fails.
        """
        data = input.encode("utf-8", "surrogateescape") if isinstance(input, str) else input
        stdin = subprocess.DEVNULL if data is None else subprocess.PIPE
        with self.popen(args, user=user, env=env, cwd=cwd, stdin=stdin) as child:
            try:
                out, err = child.communicate(data, timeout)
            except subprocess.TimeoutExpired as error:
                raise JailsshError(" ".join(args), f"still running after {timeout:g} s") from error
            finally:
                _end(child)
        stderr = err.decode("utf-8", "surrogateescape")
        if check and child.returncode != 0:
            raise JailsshError(" ".join(args), f"exit status {child.returncode}: {stderr.strip()[-2000:]}")
        return Finished(child.returncode, out.decode("utf-8", "surrogateescape"), stderr)

    def write(self, path: str, data: str | bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        """Write a whole file inside, replacing an old one by rename."""
        script = 'umask 077 && cat >"$1.new" && chown "$2" "$1.new" && chmod "$3" "$1.new" && mv -fT "$1.new" "$1"'
        self.run(["sh", "-c", script, "sh", path, f"{uid}:{gid}", f"{mode:o}"], input=data, check=True)

    def read(self, path: str) -> bytes:
        """Return the content of a file inside; raises :class:`JailsshError` when it cannot be read."""
        with self.popen(["cat", "--", path]) as child:
            out, err = child.communicate()
        if child.returncode != 0:
            raise JailsshError(path, err.decode("utf-8", "replace").strip())
        return out

    def pids(self) -> dict[int, str]:
        """Return every process inside, also those of its jails: pid (as the host counts) to command line."""
        found = {}
        for entry in self._inside("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):  # it ended meanwhile
                    found[int(entry.name)] = _command_line(entry)
        return found

    def wait_until(self, condition: Callable[[], bool], what: str, timeout: float = 30.0) -> None:
        """Poll ``condition`` until it is true; raise :class:`JailsshError` about ``what`` after ``timeout`` seconds."""
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise JailsshError(what, f"timed out after {timeout:g} s")
            time.sleep(0.005)

    def wait_for(self, path: str, process: subprocess.Popen[bytes] | None = None) -> None:
        """Wait until ``path`` (no symbolic link in it) exists inside; fail at once when ``process`` ends before."""

        def there() -> bool:
            if process is not None and process.poll() is not None:
                said = process.communicate()[1] or b""
                raise JailsshError(
                    path, f"is not created, its process ended: {said.decode('utf-8', 'replace').strip()}"
                )
            return os.path.lexists(self._inside(path))

        self.wait_until(there, path)

    def start_journald(self, storage: str = "volatile") -> None:
        """Start the host's own journald, with ``Storage=`` as in journald.conf(5)."""
        self._journald.start(storage)

    def journal(self, **fields: str) -> list[dict[str, Any]]:
        """Return the journal records written so far whose fields are equal to ``fields``, oldest first."""
        return self._journald.records(fields)

    def start_sshd(self, extra_config: str = "", port: int = 22) -> None:
        """Start the host's own sshd on 127.0.0.1, in place of a running one.

        ``/etc/ssh/sshd_config.d/*.conf`` (empty at first) is read before the base settings and wins;
        ``extra_config`` comes last and may have Match blocks.  Raises :class:`HostError` without OpenSSH's server and
        :class:`JailsshError` with the words of ``sshd -t`` when the configuration is wrong.
        """
        self._sshd.start(extra_config, port)

    def reload_sshd(self) -> None:
        """Test the configuration, have sshd read it again, return when the new one is in use."""
        self._sshd.reload()

    def stop_sshd(self) -> None:
        """Stop listening; sessions that are open go on."""
        self._sshd.stop()

    def sshd_log(self) -> str:
        """Return what sshd has logged since it was started."""
        return self._sshd.log()


def _command_line(entry: pathlib.Path) -> str:
    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return words or f"[{(entry / 'comm').read_text().strip()}]"


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill a command with its process group if it still runs, and reap it."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
