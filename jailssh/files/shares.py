"""The files of a new tree, made by as many processes as there are processors.

All go through the same list.  Neighbours in it are a block, and whoever has done its block takes the next one that
nobody has: the numbers of the blocks stand in a file without a name that all have open, so that each read(2) takes one.
Its offset is one for all, and a lock has one after the other move it: for such a file the kernel lets two reads at once
begin at the same place.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

from jailssh.core.errors import HostError, JailsshError
from jailssh.core.names import escape

FEW = 500
"""So many files are made before a second process would have begun."""
_BLOCK = 32
_MOST = 4
_NUMBER = 4  # bytes


class Shares:
    """Divides ``count`` files, each of which has a number, among this process and the ones that it starts.

    ``work`` is what another process does, with its own share of the same; what it raises is raised here, by
    :meth:`is_mine` or :meth:`join`, as the first of ``kinds`` that it is one of, else as :class:`HostError`.
    :meth:`close` ends the others, whatever they do.
    """

    def __init__(self, count: int, work: Callable[[Shares], None], kinds: Sequence[type[JailsshError]] = ()) -> None:
        self._kinds = (*kinds, HostError)
        self._block = -1
        self._children: dict[int, int] = {}
        self._parent = os.getpid()
        self._numbers = os.memfd_create("shares", os.MFD_CLOEXEC)
        try:
            with open(self._numbers, "wb", closefd=False) as stream:
                stream.writelines(n.to_bytes(_NUMBER, "big") for n in range((count + _BLOCK - 1) // _BLOCK))
            os.lseek(self._numbers, 0, os.SEEK_SET)
            for _ in range(others()):
                self._start(work)
        except BaseException:
            self.close()
            raise

    def _start(self, work: Callable[[Shares], None]) -> None:
        source, target = os.pipe2(os.O_CLOEXEC)
        try:
            child = os.fork()
        except OSError:  # There may be no more processes: fewer do the same.
            os.close(source)
            os.close(target)
            return
        if child == 0:
            self._serve(work, target)
        os.close(target)
        self._children[child] = source

    def _serve(self, work: Callable[[Shares], None], target: int) -> NoReturn:
        """Do a share of the work, say what went wrong, and end."""
        code = 1
        try:
            self._children = {}
            try:
                work(self)
                code = 0
            except JailsshError as error:
                kind = next((n for n, each in enumerate(self._kinds) if isinstance(error, each)), -1)
                os.write(target, json.dumps([kind, error.what, error.why, error.hint]).encode())
            except Exception as error:
                why = f"a process that made files of it failed: {type(error).__name__}: {escape(str(error), 500)}"
                os.write(target, json.dumps([-1, "tree", why, "repeat the command"]).encode())
        finally:
            os._exit(code)

    def is_mine(self, number: int) -> bool:
        """True if this process is to make the file with this number; the numbers asked about grow."""
        block = number // _BLOCK
        while self._block < block:
            self._look_around()
            # Whoever ends with the lock has it no more.
            fcntl.lockf(self._numbers, fcntl.LOCK_EX)
            taken = os.read(self._numbers, _NUMBER)
            fcntl.lockf(self._numbers, fcntl.LOCK_UN)
            self._block = int.from_bytes(taken, "big") if taken else 1 << 32
        return self._block == block

    def _look_around(self) -> None:
        """Go no further where another one has failed, or nobody waits for this one any more."""
        if os.getpid() != self._parent and os.getppid() != self._parent:
            os._exit(1)
        for child in list(self._children):
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                self._wait(child)

    def join(self) -> None:
        """Wait until the others have made theirs."""
        for child in list(self._children):
            self._wait(child)

    def _wait(self, child: int) -> None:
        with open(self._children.pop(child), "rb") as stream:
            said = stream.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if said:
            kind, what, why, hint = json.loads(said)
            raise self._kinds[kind](what, why, hint=hint)
        if code:
            how = f"was killed by signal {-code}" if code < 0 else "ended"
            raise HostError("tree", f"a process that made files of it {how}", hint="repeat the command")

    def close(self) -> None:
        """End the others and wait for them: nothing is written any more."""
        for child, source in self._children.items():
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(source)
        self._children = {}
        if self._numbers >= 0:
            os.close(self._numbers)
            self._numbers = -1


def others() -> int:
    """Return how many processes are worth starting beside this one.

    None of a process that has threads, or that would not learn how they end: whoever started it had SIGCHLD ignored.
    """
    alone = threading.active_count() > 1 or signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
    return 0 if alone else min(len(os.sched_getaffinity(0)), _MOST) - 1
