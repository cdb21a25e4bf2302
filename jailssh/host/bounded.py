"""Questions that may never be answered: asked in a process of their own, for a bounded time.

A file server that is away and a PAM module that hangs stop the process that asks, not us.  The answer is bytes, bounded
in size.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from jailssh.core.errors import HostError

MAX_ANSWER = 4 << 20
_HEAD = 8
_left: set[int] = set()
"""Processes that were ended and not yet seen to be gone: each counts among the tasks of a service."""


class NoAnswerError(HostError):
    """There was no answer in time."""


def ask(what: str, question: Callable[[], bytes], seconds: float, *, ended: str) -> bytes:
    """Return what ``question`` returns in a process of its own, which may change itself as it likes.

    Raises :class:`NoAnswerError` about ``what`` for none in time, and :class:`HostError` where the process ends
    before (``ended`` says why it may have).
    """
    _left.difference_update([pid for pid in list(_left) if _is_gone(pid)])
    source, target = os.pipe2(os.O_CLOEXEC)
    try:
        child = os.fork()
    except OSError as error:  # as where a service has all the tasks that it may have: it goes on
        os.close(source)
        os.close(target)
        raise HostError(what, f"cannot start a process: {os.strerror(error.errno or errno.EAGAIN).lower()}") from error
    if child == 0:
        _answer(question, target)
    os.close(target)
    data, whole = b"", False
    try:
        end = time.monotonic() + seconds
        while not whole:
            ready, _, _ = select.select([source], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise NoAnswerError(what, f"no answer within {seconds:g} seconds")
            part = os.read(source, 1 << 16)
            data += part
            if len(data) > MAX_ANSWER:
                raise HostError(what, "too much data to read")
            whole = len(data) >= _HEAD and len(data) == _HEAD + int.from_bytes(data[:_HEAD], "big")
            if not part and not whole:
                raise HostError(what, ended)
    finally:
        os.close(source)
        for pid in [child] if whole else [*_descendants(child), child]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # What hangs in a dead file server ends when that answers; nobody waits for it.
        if not _is_gone(child, 0 if whole else os.WNOHANG):
            _left.add(child)
    return data[_HEAD:]


def _is_gone(pid: int, how: int = os.WNOHANG) -> bool:
    try:
        return os.waitpid(pid, how)[0] == pid
    except ChildProcessError:
        return True


def _descendants(pid: int) -> list[int]:
    """Return what the process has started and what that has, as far as it is not ours already (proc(5): children)."""
    found = []
    with suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        for word in file.read().split():
            found += [*_descendants(int(word)), int(word)]
    return found


def _answer(question: Callable[[], bytes], target: int) -> NoReturn:
    """Write the answer with its length before it, and end."""
    code = 1
    try:
        os.setsid()
        os.chdir("/")
        let_go(target)
        data = question()
        data = len(data).to_bytes(_HEAD, "big") + data
        while data:
            data = data[os.write(target, data) :]
        code = 0
    finally:
        os._exit(code)


def let_go(target: int) -> None:
    """Close everything but ``target``: a process that hangs must keep no lock, nor the output of the command open."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.closerange(3, target)
    os.closerange(target + 1, 1 << 20)
