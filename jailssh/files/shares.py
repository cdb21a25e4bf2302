"""Work that is divided among as many processes as there are processors.

:class:`Another` is one more process.  It is a copy of this one: it holds the same locks and has the same descriptors,
until it ends or is ended, at the latest with this one.

:func:`divide` does the same for each of many things, a part of them in each process.

:class:`Shares` has the files of a new tree made.  Neighbours are a block, and whoever has done its block takes the next
one that nobody has: the numbers of the blocks stand in a file without a name that all have open, so that each read(2)
takes one.  Its offset is one for all, and a lock has one after the other move it: for such a file the kernel lets two
reads at once begin at the same place.  A block is large, since two processes that make files in one directory wait for
each other.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import pairwise
from typing import Any, NoReturn, TypeVar

from jailssh.core.errors import HostError, JailsshError, as_plain, from_plain
from jailssh.core.names import escape
from jailssh.files import fs

FEW = 500
"""So many files are made before a second process would have begun."""
MANY = 200
"""Of so many accounts a second process is worth its while."""
_NUMBER = 4  # bytes
_PART = 1 << 20  # bytes
_MOST = 4
_PATIENCE, _LOOK = 5.0, 0.005  # seconds
_SET_PDEATHSIG = 1
T = TypeVar("T")
Row = list[Any]


def others() -> int:
    """Return how many processes are worth starting beside this one.

    None of a process that has threads, or that would not learn how they end: whoever started it had SIGCHLD ignored.
    """
    alone = threading.active_count() > 1 or signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN
    return 0 if alone else min(len(os.sched_getaffinity(0)), _MOST) - 1


class Another:
    """Does ``work`` in a process of its own; OSError where there can be none.

    What ``work`` returns is plain data (JSON).  What it raises is raised by :meth:`join`, as :class:`HostError` where
    it is no error of ours.  ``what`` says in messages what it was to do, ``of`` with what.
    """

    def __init__(self, work: Callable[[], object], what: str, of: str = "tree") -> None:
        self._what, self._of = what, of
        self._pid = 0
        self._source, target = os.pipe2(os.O_CLOEXEC)
        # No signal may raise in the copy, where its caller would clean up, nor here before the id is known.
        held = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            try:
                parent = os.getpid()
                self._pid = os.fork()
                if self._pid == 0:
                    self._serve(work, target, parent, held)
            finally:
                os.close(target)
                signal.pthread_sigmask(signal.SIG_SETMASK, held)
        except BaseException:
            self.close()
            raise

    def _serve(
        self, work: Callable[[], object], target: int, parent: int, held: Collection[int | signal.Signals]
    ) -> NoReturn:
        """Do the work, say what came of it, and end."""
        code = 1
        try:
            _end_with(parent)
            gc.freeze()  # What it looks at and leaves in its place needs no memory of this process's own.
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            try:
                said, end = json.dumps([work()]), 0
            except JailsshError as error:
                said, end = json.dumps(as_plain(error)), 1
            except Exception as error:
                why = f"failed: {type(error).__name__}: {escape(str(error), 500)}"
                said, end = json.dumps(as_plain(self._failed(why))), 1
            fs.write_all(target, said.encode())
            code = end
        finally:
            os._exit(code)

    def has_ended(self) -> bool:
        """True if :meth:`join` would not wait."""
        return self._pid > 0 and os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def join(self) -> Any:
        """Wait for its end; return what the work returned."""
        # What raises while this waits leaves all to close().
        with open(self._source, "rb", closefd=False) as stream:
            said = stream.read()
        os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        code = os.waitstatus_to_exitcode(self._forget())
        if code == 0:
            return json.loads(said)[0]
        if code == 1 and said:
            raise from_plain(json.loads(said))
        raise self._failed(f"was killed by signal {-code}" if code < 0 else "ended")

    def _failed(self, how: str) -> HostError:
        return HostError(self._of, f"a process that {self._what} {how}", hint="repeat the command")

    def _forget(self) -> int:
        """Return the status with which it ended; there is nothing left of it then."""
        pid, source = self._pid, self._source
        self._pid, self._source = 0, -1
        if source >= 0:
            os.close(source)
        return os.waitpid(pid, 0)[1] if pid else 0

    def close(self, patience: float = 0.0) -> None:
        """End it, if it has not been waited for, and wait; for so many seconds it may leave things in order."""
        if self._pid and patience:
            os.kill(self._pid, signal.SIGINT)
            end = time.monotonic() + patience
            while not self.has_ended() and time.monotonic() < end:
                time.sleep(_LOOK)
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
        self._forget()


def _end_with(parent: int) -> None:
    """Have this process end with its parent: until then nobody else gets the locks that both hold."""
    import ctypes  # for a process of its own alone

    ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


@contextmanager
def parts_beside(make: Callable[[], Iterator[bytes]]) -> Iterator[Callable[[], Iterator[bytes]]]:
    """Have parts of a file made by another process while the block runs; what is given yields them."""
    room = os.memfd_create("parts", os.MFD_CLOEXEC)

    def work() -> None:
        for part in make():
            fs.write_all(room, part)

    def parts() -> Iterator[bytes]:
        beside.join()
        os.lseek(room, 0, os.SEEK_SET)
        while part := os.read(room, _PART):
            yield part

    try:
        try:
            beside = Another(work, "looked at files of it")
        except OSError:  # There may be no more processes.
            yield make
            return
        try:
            yield parts
        finally:
            beside.close()
    finally:
        os.close(room)


def divide(
    items: Sequence[T], work: Callable[[Sequence[T]], Iterator[Row]], take: Callable[[Row], None], what: str
) -> None:
    """Call ``take`` with what ``work`` yields for all of ``items``, in their order; each process does a part of them.

    What is yielded is plain data (JSON, no tuples).  What ``work`` raises is raised, and the others are interrupted
    then as by Ctrl-C; what they have told until then is taken.  ``what`` says in messages what they were to do.
    """
    # A few are done before another process would have begun.
    count = others() + 1 if len(items) >= MANY else 1
    cuts = [len(items) * number // count for number in range(count + 1)]
    own, *rest = [items[start:end] for start, end in pairwise(cuts)]
    beside: list[_Told] = []
    try:
        for part in rest:
            beside.append(_Told(partial(work, part), what))
        for row in work(own):
            take(row)
        for each in beside:
            each.join()
    finally:
        for each in beside:
            each.close(take)


class _Told:
    """Another process, and the rows that it has yielded so far, one in a line of a file without a name."""

    def __init__(self, work: Callable[[], Iterator[Row]], what: str) -> None:
        self._work = work
        self._room = os.memfd_create("told", os.MFD_CLOEXEC)
        self._another: Another | None = None
        try:
            self._another = Another(self._tell, what, "accounts")
        except OSError:  # There may be no more processes: this one does it.
            pass
        except BaseException:
            os.close(self._room)
            raise

    def _tell(self) -> None:
        for row in self._work():
            fs.write_all(self._room, json.dumps(row).encode() + b"\n")

    def join(self) -> None:
        """Wait until all is told."""
        if self._another is None:
            self._tell()
        else:
            self._another.join()

    def close(self, take: Callable[[Row], None]) -> None:
        """End the process, if it has not ended; take what it has told."""
        try:
            if self._another is not None:
                self._another.close(_PATIENCE)
            os.lseek(self._room, 0, os.SEEK_SET)
            with open(self._room, "rb", closefd=False) as stream:
                for line in stream:
                    if line.endswith(b"\n"):
                        take(json.loads(line))
        finally:
            os.close(self._room)


class Shares:
    """Divides ``count`` blocks of files among this process and the ones that it starts.

    ``work`` is what another process does, with its own share of the same; what it raises is raised here, by
    :meth:`numbers` or :meth:`join`, as by :meth:`Another.join`.  :meth:`close` ends the others,
    whatever they do.
    """

    def __init__(self, count: int, work: Callable[[Shares], None]) -> None:
        self._others: list[Another] = []
        self._parent = os.getpid()
        self._numbers = os.memfd_create("shares", os.MFD_CLOEXEC)
        try:
            with open(self._numbers, "wb", closefd=False) as stream:
                stream.writelines(n.to_bytes(_NUMBER, "big") for n in range(count))
            os.lseek(self._numbers, 0, os.SEEK_SET)
            for _ in range(others()):
                with suppress(OSError):  # There may be no more processes: fewer do the same.
                    self._others.append(Another(lambda: work(self), "made files of it"))
        except BaseException:
            self.close()
            raise

    def numbers(self) -> Iterator[int]:
        """Yield the numbers of the blocks that this process is to make, which grow."""
        while True:
            self._look_around()
            # Whoever ends with the lock has it no more.
            fcntl.lockf(self._numbers, fcntl.LOCK_EX)
            taken = os.read(self._numbers, _NUMBER)
            fcntl.lockf(self._numbers, fcntl.LOCK_UN)
            if not taken:
                return
            yield int.from_bytes(taken, "big")

    def _look_around(self) -> None:
        """Go no further where another one has failed."""
        if os.getpid() != self._parent:
            return
        for other in [each for each in self._others if each.has_ended()]:
            other.join()
            self._others.remove(other)

    def join(self) -> None:
        """Wait until the others have made theirs."""
        while self._others:
            self._others[0].join()
            del self._others[0]

    def close(self) -> None:
        """End the others and wait for them: nothing is written any more."""
        while self._others:
            self._others.pop().close()
        if self._numbers >= 0:
            os.close(self._numbers)
            self._numbers = -1
