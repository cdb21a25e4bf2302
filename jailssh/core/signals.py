"""What a signal that ends a program does while something is under way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType

from jailssh.core.errors import HostError

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_HELD = (*_SIGNALS, signal.SIGINT)


@contextmanager
def handled(numbers: Collection[signal.Signals], handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Have ``handler`` called for these signals in the block; in the main thread alone, as Python has it.

    One that the caller ignores stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number, old in before.items():
            if old not in (signal.SIG_IGN, None):
                signal.signal(number, handler)
        yield
    finally:
        for number, old in before.items():
            if old is not None:
                signal.signal(number, old)


@contextmanager
def signals_raise() -> Iterator[None]:
    """Have the first of SIGTERM and SIGHUP raise :class:`HostError` in the block, which takes back what it has begun.

    Ctrl-C does so anyway.
    """

    def end(number: int, _frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        error = HostError("interrupted", f"{signal.Signals(number).name} received: nothing unfinished is left")
        error.exit_code = 128 + number
        raise error

    with handled(_SIGNALS, end):
        yield


@contextmanager
def signals_wait() -> Iterator[None]:
    """Have them wait until the block is over, in which what was begun is removed."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
