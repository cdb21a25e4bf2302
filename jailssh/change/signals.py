"""Signals wait for the end of a step, so that a change is never left in the middle of one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from jailssh.core.errors import JailsshError
from jailssh.core.signals import handled

_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class SignalledError(JailsshError):
    """A signal came in the middle of a change; it has been taken back."""

    def __init__(self, number: int) -> None:
        super().__init__("interrupted", f"{signal.Signals(number).name} received: changes rolled back")
        self.exit_code = 128 + number


@contextmanager
def held_signals() -> Iterator[Callable[[], None]]:
    """Hold back the signals that end a program, until the block ends; yields what raises for one that has come.

    One that the caller ignores stays ignored.  Once the block is over without an error its work is done, and said.
    """
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    def look() -> None:
        if came:
            raise SignalledError(came[0])

    with handled(_SIGNALS, note):
        yield look
