"""Other programs of the host: found in fixed directories, run without a shell, in an environment from nothing."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import NoReturn

from jailssh.core.errors import HostError
from jailssh.core.names import escape

_PIDFD_GETFD = 438
"""The same number on every architecture."""
SYSTEM_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


@dataclass(frozen=True)
class Completed:
    """How a program ended.  ``code`` is its exit status, or 128+n after signal n; undecodable bytes are surrogates."""

    stdout: str
    stderr: str
    code: int


def find_program(name: str) -> str | None:
    """Return the path of a program of this host: the bare ``name`` in the system directories, or an absolute path.

    None if there is no executable regular file.  PATH of the environment plays no part.
    """
    if name.startswith("/"):
        candidates: tuple[str, ...] = (name,)
    elif "/" in name or name in ("", ".", ".."):
        return None
    else:
        candidates = tuple(f"{directory}/{name}" for directory in SYSTEM_PATH)
    for candidate in candidates:
        with suppress(OSError, ValueError):
            info = os.stat(candidate)
            if stat.S_ISREG(info.st_mode) and info.st_mode & 0o111:
                return candidate
    return None


class Running:
    """A program that :func:`start` has started.  As a context: what still runs at the end is killed and waited for."""

    def __init__(self, program: str, process: subprocess.Popen[bytes]) -> None:
        self._program = program
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def runs(self) -> bool:
        """False once it has ended."""
        return self._process.poll() is None

    def __enter__(self) -> Running:
        """Return this."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """End it with its children, if it still runs."""
        if self._process.poll() is None:
            self._kill()
        with self._process:  # waits, and closes the pipes
            pass

    def finish(self, data: bytes | None = None, *, timeout: float) -> Completed:
        """Wait until it ends and return what it said; ``data``: its input.  Raises :class:`HostError` as :func:`run`.

        ``timeout``: seconds from now.
        """
        with self._process:
            try:
                out, err = self._process.communicate(data, timeout=timeout)
            except BaseException as error:
                self._kill()
                if isinstance(error, subprocess.TimeoutExpired):
                    why = f"timed out after {timeout:g} seconds"
                    raise HostError(f"program {escape(self._program)}", why) from error
                raise
        code = self._process.returncode if self._process.returncode >= 0 else 128 - self._process.returncode
        # Of one that serves a socket nothing is kept.
        said, errors = ((part or b"").decode("utf-8", "surrogateescape") for part in (out, err))
        return Completed(said, errors, code)

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def start(
    argv: Sequence[str],
    *,
    with_input: bool = False,
    env: Mapping[str, str] | None = None,
    account: tuple[int, int, Sequence[int]] | None = None,
    on: int | None = None,
) -> Running:
    """Start a program and do not wait for it, with what :func:`run` gives it; raises :class:`HostError`.

    ``with_input``: :meth:`Running.finish` gives it something to read.  ``on``: a socket that is its standard input and
    output; nothing else of what it says is kept.
    """
    program = find_program(argv[0])
    if program is None:
        raise HostError(f"program {escape(argv[0])}", "not found", hint="install the package that contains it")
    try:
        process = subprocess.Popen(
            [program, *argv[1:]],
            stdin=on if on is not None else subprocess.PIPE if with_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE if on is None else on,
            stderr=subprocess.PIPE if on is None else subprocess.DEVNULL,
            env={"PATH": ":".join(SYSTEM_PATH), "LC_ALL": "C.UTF-8", **(env or {})},
            cwd="/",
            start_new_session=True,
            user=account[0] if account else None,
            group=account[1] if account else None,
            extra_groups=account[2] if account else None,
        )
    except (OSError, ValueError) as error:
        why = (getattr(error, "strerror", None) or str(error)).lower()
        raise HostError(f"program {escape(program)}", why) from error
    return Running(program, process)


def run(
    argv: Sequence[str],
    *,
    timeout: float,
    input: bytes | str | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    account: tuple[int, int, Sequence[int]] | None = None,
) -> Completed:
    """Run a program to its end and return what it said.

    ``argv[0]`` is looked up by :func:`find_program`.  The environment is PATH, LC_ALL=C.UTF-8 and ``env``; standard
    input is ``input`` or /dev/null; ``account`` is the uid, the gid and the groups that it runs with.  After
    ``timeout`` seconds the program and its children are killed.  Raises :class:`HostError` when it is missing, takes
    too long, or (``check``) fails; the reason is its last line on stderr.
    """
    data = input.encode("utf-8", "surrogateescape") if isinstance(input, str) else input
    done = start(argv, with_input=data is not None, env=env, account=account).finish(data, timeout=timeout)
    if check and done.code != 0:
        program = find_program(argv[0]) or argv[0]
        raise HostError(f"program {escape(program)}", last_line(done.stderr) or f"exit status {done.code}")
    return done


def become(path: str, argv: Sequence[str]) -> NoReturn:
    """Be the program at ``path`` from here on, with the environment and descriptors that are.

    OSError where it cannot be executed, ValueError for words that no program can be given.
    """
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.execv(path, [*argv])  # noqa: S606 - no shell: the words are the caller's


def has_systemd() -> bool:
    """Return True where systemd is the first process of this host (sd_booted(3)): then its commands help."""
    return os.path.isdir("/run/systemd/system")


def boot_id() -> str:
    """Return what names this boot of the kernel (random(4): boot_id)."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return stream.read().strip()


def start_time(pid: int) -> int | None:
    """Return when the process started, in clock ticks since the boot (proc(5): stat, field 22); None without one."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stream:
            return int(stream.read().rpartition(b")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return None


def descriptor_of(pidfd: int, number: int) -> int:
    """Return a copy of a descriptor of another process (pidfd_getfd(2), Linux 5.6); raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    found = int(libc.syscall(ctypes.c_long(_PIDFD_GETFD), pidfd, number, 0))
    if found < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return found


def wait_ended(pidfds: Iterable[int], seconds: float) -> bool:
    """Wait until the processes of these descriptors (pidfd_open(2)) have ended, for so long at most; True if so."""
    poll = select.poll()
    left = set(pidfds)
    for fd in left:
        poll.register(fd, select.POLLIN)
    until = time.monotonic() + seconds
    while left and (rest := until - time.monotonic()) > 0:
        for fd, _ in poll.poll(rest * 1000):
            poll.unregister(fd)
            left.discard(fd)
    return not left


def is_zombie(status: bytes) -> bool:
    """True if a process has ended by its proc_pid_status(5), and nobody has waited for it: no signal takes it away.

    One that runs on without its first thread has that state too, and another thread.
    """
    return b"\nState:\tZ" in status and b"\nThreads:\t1\n" in status


def last_line(text: str) -> str:
    """Return the last line of ``text`` that is not blank, escaped and bounded, or ""."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return escape(lines[-1], 400) if lines else ""
