"""Other programs of the host: found in fixed directories, run without a shell, in an environment from nothing."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from jailssh.core.errors import HostError
from jailssh.core.names import escape

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
    program = find_program(argv[0])
    if program is None:
        raise HostError(f"program {escape(argv[0])}", "not found", hint="install the package that contains it")
    data = input.encode("utf-8", "surrogateescape") if isinstance(input, str) else input
    try:
        process = subprocess.Popen(
            [program, *argv[1:]],
            stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": ":".join(SYSTEM_PATH), "LC_ALL": "C.UTF-8", **(env or {})},
            cwd="/",
            start_new_session=True,
            user=account[0] if account else None,
            group=account[1] if account else None,
            extra_groups=account[2] if account else None,
        )
    except (OSError, ValueError) as error:
        raise HostError(f"program {escape(program)}", str(error)) from error
    with process:
        try:
            out, err = process.communicate(data, timeout=timeout)
        except BaseException as error:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise HostError(f"program {escape(program)}", f"timed out after {timeout:g} seconds") from error
            raise
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    done = Completed(out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "surrogateescape"), code)
    if check and code != 0:
        raise HostError(f"program {escape(program)}", last_line(done.stderr) or f"exit status {code}")
    return done


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


def last_line(text: str) -> str:
    """Return the last line of ``text`` that is not blank, escaped and bounded, or ""."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return escape(lines[-1], 400) if lines else ""
