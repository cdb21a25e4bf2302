"""Another kernel for one login: what it answers instead of doing what a call asks for (seccomp_unotify(2)).

The login program runs under a filter that asks us about some calls, and a thread of ours answers: with an error, with a
success of which nothing is done, or that the kernel shall go on.  Only calls of the login program itself are meant, not
those of what it executes.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyseccomp

from tests.root.login_lab import Lab

NOTHING_DONE = 0
OUTER, INNER, COMMAND = "outer", "inner", "command"
# The place of the path among the arguments.
_PATH = {"open": 0, "openat": 1, "openat2": 1, "stat": 0, "newfstatat": 1, "chdir": 0, "mkdirat": 1, "mkdir": 0}
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _NOTIFY = 0x7FFF0000, 0x7FC00000
_SET_FILTER, _NEW_LISTENER = 1, 8
_RECEIVE, _SEND, _GO_ON = 0xC0502100, 0xC0182101, 1
_NUMBERS = 16  # the place of the arguments in struct seccomp_data
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Answer:
    """What is answered to a call.

    ``call``: its name, or several of which an architecture or a C library uses one; ``error``: an errno,
    ``NOTHING_DONE``, or ``None``: the kernel goes on; ``args``: the values of the first arguments, 32 bits of each,
    ``None`` for any; ``who``: in which process, ``None`` for any; ``path``: the path that is meant; ``nth``: only that
    one of the calls, from 1.
    """

    call: str | tuple[str, ...]
    error: int | None
    args: tuple[int | None, ...] = ()
    who: str | None = None
    path: str | None = None
    nth: int | None = None

    def __str__(self) -> str:
        name = self.call if isinstance(self.call, str) else self.call[0]
        args = ",".join("" if arg is None else str(arg) for arg in self.args)
        where = "".join(f" {word}" for word in (self.who, self.path, self.nth and f"#{self.nth}") if word)
        error = "as ever" if self.error is None else errno.errorcode.get(self.error, "nothing done")
        return f"{name}({args}){where} = {error}"

    def numbers(self) -> list[int]:
        """Return the numbers of the calls that this machine has."""
        names = (self.call,) if isinstance(self.call, str) else self.call
        found = [pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) for name in names]
        return [number for number in found if number >= 0]


Watch = Callable[[int, str, Answer], object]


def _row(code: int, then: int, otherwise: int, value: int) -> bytes:
    return struct.pack("HBBI", code, then, otherwise, value)


def _program(answers: Sequence[Answer]) -> bytes:
    """Return the filter that asks about the calls that ``answers`` may mean."""
    low = 0 if struct.pack("=H", 1) == b"\1\0" else 4
    program = b""
    for answer in answers:
        wanted = [(place, value) for place, value in enumerate(answer.args) if value is not None]
        for number in answer.numbers():
            steps = [_row(_LOAD, 0, 0, 0), _row(_EQUAL, 0, 2 * len(wanted) + 1, number)]
            for left, (place, value) in zip(range(len(wanted), 0, -1), wanted, strict=True):
                steps.append(_row(_LOAD, 0, 0, _NUMBERS + 8 * place + low))
                steps.append(_row(_EQUAL, 0, 2 * left - 1, value & 0xFFFFFFFF))
            program += b"".join(steps) + _row(_RETURN, 0, 0, _NOTIFY)
    return program + _row(_RETURN, 0, 0, _ALLOW)


def _pids(pid: int) -> list[str]:
    """Return the numbers of a process, in each pid namespace from ours down to its own."""
    status = Path(f"/proc/{pid}/status").read_text()
    return status.split("\nNSpid:", 1)[1].splitlines()[0].split()


@dataclass
class _Call:
    pid: int
    number: int
    args: tuple[int, ...]

    def low(self, place: int) -> int:
        return self.args[place] & 0xFFFFFFFF

    def runs(self, program: str) -> bool:
        return os.readlink(f"/proc/{self.pid}/exe").endswith(program)

    def who(self, depth: int) -> str:
        numbers = _pids(self.pid)
        if len(numbers) <= depth:
            return OUTER
        return INNER if numbers[-1] == "1" else COMMAND

    def path(self) -> str:
        name = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, self.number).decode()
        with open(f"/proc/{self.pid}/mem", "rb", buffering=0) as memory:
            memory.seek(self.args[_PATH[name]])
            return memory.read(200).split(b"\0", 1)[0].decode("utf-8", "replace")


class Kernel:
    """Answers the calls of one login.

    ``given``: how often each answer was; ``watch`` is called with the pid, the process and the answer of each call that
    is meant, which waits meanwhile.
    """

    def __init__(self, lab: Lab, answers: Sequence[Answer], watch: Watch | None = None) -> None:
        self._answers, self._watch = answers, watch
        self._login = lab.program
        self._depth = len(
            Path(f"/proc/{lab.host.init_pid}/status").read_text().split("\nNSpid:")[1].split("\n")[0].split()
        )
        self._met = [0] * len(answers)
        self.given = [0] * len(answers)
        self.failure: BaseException | None = None
        self.program = _program(answers)
        self._ours, self.socket = socket.socketpair()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def install(self) -> None:
        """In the process that becomes the login program, as root: take the filter, and hand the listener over."""
        code = ctypes.create_string_buffer(self.program, len(self.program))
        head = struct.pack("HxxxxxxQ", len(self.program) // 8, ctypes.addressof(code))
        number = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, "seccomp")
        listener = _libc.syscall(number, _SET_FILTER, _NEW_LISTENER, head)
        if listener < 0:
            raise OSError(ctypes.get_errno(), "seccomp")
        socket.send_fds(self.socket, [b"x"], [listener])
        os.close(listener)

    def close(self) -> None:
        """End the thread: what the login still asks for is answered with ENOSYS, by the kernel."""
        self.socket.close()
        self._thread.join()
        self._ours.close()
        if self.failure:
            raise self.failure

    def _serve(self) -> None:
        _, listeners, _, _ = socket.recv_fds(self._ours, 1, 1)
        for listener in listeners:
            try:
                while self._next(listener):
                    pass
            except BaseException as failure:  # the login must not wait for us for ever
                self.failure = failure
            finally:
                os.close(listener)

    def _next(self, listener: int) -> bool:
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(self._ours, select.POLLIN)
        ready = dict(poll.poll())
        if self._ours.fileno() in ready or not ready[listener] & select.POLLIN:
            return False  # we are done, or nobody is left
        notice = bytearray(80)
        try:
            fcntl.ioctl(listener, _RECEIVE, notice)
            ident, pid, _, number, _, _, *args = struct.unpack("=QIIiIQ6Q", notice)
            error = self._decide(_Call(pid, number, tuple(args)))
            flags = _GO_ON if error is None else 0
            fcntl.ioctl(listener, _SEND, struct.pack("=QqiI", ident, 0, -(error or 0), flags))
        except OSError as problem:
            if problem.errno not in (errno.ENOENT, errno.ESRCH):  # it was killed meanwhile
                raise
        return True

    def _decide(self, call: _Call) -> int | None:
        if not call.runs(self._login):
            return None
        for place, answer in enumerate(self._answers):
            if not self._is_meant(answer, call):
                continue
            self._met[place] += 1
            if answer.nth in (None, self._met[place]):
                self.given[place] += 1
                if self._watch:
                    self._watch(call.pid, call.who(self._depth), answer)
                return answer.error
        return None

    def _is_meant(self, answer: Answer, call: _Call) -> bool:
        return (
            call.number in answer.numbers()
            and all(
                wanted is None or wanted & 0xFFFFFFFF == call.low(place) for place, wanted in enumerate(answer.args)
            )
            and answer.who in (None, call.who(self._depth))
            and answer.path in (None, answer.path and call.path())
        )


@contextlib.contextmanager
def other_kernel(lab: Lab, answers: Sequence[Answer], watch: Watch | None = None) -> Iterator[Kernel]:
    """Let the next login of ``lab`` run on such a kernel."""
    kernel = Kernel(lab, answers, watch)
    lab.kernel = kernel
    try:
        yield kernel
    finally:
        lab.kernel = None
        kernel.close()
