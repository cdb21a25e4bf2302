"""Run a command in a session that runs, by the program that enters its namespaces (``login/join_main.c``).

The command gets no descriptor of ours: its terminal is one of the jail's own, and without one its streams are pipes
whose other ends stay here.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn

from jailssh.core import ending
from jailssh.core.errors import LOGIN_REFUSED, HostError

if TYPE_CHECKING:
    import subprocess  # slow to import, and not for who becomes another program
    from types import FrameType
    from typing import IO

_GROUPS = "/sys/fs/cgroup"
_LAST = 1.0
"""Seconds for what the command has written last, once it has ended."""
_PIECE = 1 << 16
REFUSED = LOGIN_REFUSED
"""The exit status of a command that could not be started."""
_PLAN = 3
"""The descriptor on which ``jailssh-run`` has its plan."""


def become(program: str, plan: bytes, *, sockets: int = 0) -> NoReturn:
    """Run ``program`` in the place of this process, with a plan, descriptors 0 to 2 and no variable.

    ``sockets``: so many from descriptor 3 on were passed to this process, and are passed on.
    """
    ending.end()  # nobody would wait for who looks names up, and its descriptor has the number of another then
    try:
        high = [fcntl.fcntl(_PLAN + i, fcntl.F_DUPFD_CLOEXEC, 2 * sockets + _PLAN + 1) for i in range(sockets)]
    except OSError as error:
        raise HostError("LISTEN_FDS", "names descriptors that are not open") from error
    plan_fd = fcntl.fcntl(_file_of(plan), fcntl.F_DUPFD_CLOEXEC, 2 * sockets + _PLAN + 1)
    for i, fd in enumerate(high):
        os.dup2(fd, _PLAN + 1 + i)
    os.dup2(plan_fd, _PLAN)
    try:
        os.execve(program, [program], {})  # noqa: S606 - that is meant
    except OSError as error:
        raise HostError(program, (error.strerror or str(error)).lower()) from error


def hold(program: str, plan: bytes, register: Callable[[int], object]) -> int:
    """Run ``program`` with a plan whose first process stays; return its exit status once that has built its tree.

    ``register`` is called with the number of that process, which ends unless it returns.
    """
    plan_fd = _file_of(plan)
    numbers, told = os.pipe()
    goes_on, go = os.pipe()
    try:
        actions = [(os.POSIX_SPAWN_DUP2, goes_on, 0), (os.POSIX_SPAWN_DUP2, told, 1),
                   (os.POSIX_SPAWN_DUP2, plan_fd, _PLAN)]  # fmt: skip
        try:
            pid = os.posix_spawn(program, [program], {}, file_actions=actions)
        except OSError as error:
            raise HostError(program, (error.strerror or str(error)).lower()) from error
        for fd in (told, goes_on):
            os.close(fd)
        told = goes_on = -1
        try:
            line = os.read(numbers, 32)
            if line.strip().isdigit():
                register(int(line))
                os.write(go, b"0")
        finally:
            os.close(go)
            go = -1
            _, status = os.waitpid(pid, 0)
        return _status(os.waitstatus_to_exitcode(status))
    finally:
        for fd in (plan_fd, numbers, told, goes_on, go):
            if fd >= 0:
                os.close(fd)


def _file_of(plan: bytes) -> int:
    """Return a descriptor, above those that a program has, of a file in memory."""
    fd = os.memfd_create("plan", 0)
    with open(fd, "wb", closefd=False) as stream:
        stream.write(plan)
    os.lseek(fd, 0, os.SEEK_SET)
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _PLAN + 1)
    os.close(fd)
    return high


def groups_of(pid: int) -> list[str]:
    """Return the directories of the control groups that a process is in, where we are in others (cgroups(7))."""
    found = []
    for line in sorted(_lines(pid) - _lines(os.getpid())):
        _, controllers, path = line.split(":", 2)
        folder = f"{_GROUPS}/{controllers.removeprefix('name=')}" if controllers else _GROUPS
        if not controllers and not os.path.exists(f"{folder}/cgroup.procs"):
            folder = f"{_GROUPS}/unified"  # beside the hierarchies of version 1
        if os.path.isdir(folder + path) and path != "/":
            found.append(folder + path)
    return found


def enter_groups(folders: Sequence[str]) -> None:
    """Bring this process into control groups; :class:`HostError` if one does not take it."""
    for folder in folders:
        with _opened(f"{folder}/cgroup.procs") as fd:
            try:
                os.write(fd, b"0")
            except OSError as error:
                raise HostError(folder, (error.strerror or str(error)).lower()) from error


def _lines(pid: int) -> set[str]:
    # Who has a group of their own names those in it, with a carriage return too.
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
        return set(stream.read().split("\n")) - {""}


def run(argv: Sequence[str], groups: Sequence[str], *, terminal: bool) -> int:
    """Run the program ``argv`` in control groups, and return the exit status that it passes on, 128+n for a signal.

    ``terminal``: it relays ours to one of the jail's.  :class:`HostError` if a group does not take it.
    """
    import subprocess

    with ExitStack() as stack:
        joined = [stack.enter_context(_opened(f"{group}/cgroup.procs")) for group in groups]

        def enter() -> None:
            for fd in joined:
                os.write(fd, b"0")

        streams = None if terminal else subprocess.PIPE
        try:
            process = subprocess.Popen(
                argv, stdin=streams, stdout=streams, stderr=streams, env={}, cwd="/", bufsize=0, preexec_fn=enter
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise HostError("exec", f"cannot run {argv[0]} in the control groups of the session") from error
        with _passing_on(process):
            return _relayed(process) if not terminal else _status(process.wait())


@contextmanager
def _opened(path: str) -> Iterator[int]:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(path, (error.strerror or str(error)).lower()) from error
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _passing_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave signals to the command: those of the terminal reach its relay anyway, the others are passed on."""

    import signal

    def pass_on(number: int, _frame: FrameType | None) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGHUP)}
    before |= {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _relayed(process: subprocess.Popen[bytes]) -> int:
    import threading

    assert process.stdin
    assert process.stdout
    assert process.stderr
    outputs = [
        threading.Thread(target=_pump, args=(source.fileno(), target), daemon=True)
        for source, target in ((process.stdout, 1), (process.stderr, 2))
    ]
    # Nobody waits for this one: it may read from a terminal for ever.
    threading.Thread(target=_pump, args=(0, process.stdin.fileno(), process.stdin), daemon=True).start()
    for each in outputs:
        each.start()
    code = process.wait()
    for each in outputs:
        each.join(_LAST)
    return _status(code)


def _pump(source: int, target: int, ends: IO[bytes] | None = None) -> None:
    with suppress(OSError):
        while data := os.read(source, _PIECE):
            view = memoryview(data)
            while view:
                view = view[os.write(target, view) :]
    if ends:
        # By the object that has the descriptor, which would close another one by its number otherwise.
        with suppress(OSError):
            ends.close()


def _status(code: int) -> int:
    return code if code >= 0 else 128 - code
