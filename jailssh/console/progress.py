"""How far a long verb is, on a terminal and nowhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_WIDTH = 30
_PAUSE = 0.1


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that is told how much is done, of how much; the bar is gone when the block ends."""
    if not sys.stderr.isatty():
        yield _nothing
        return
    last = 0.0

    def show(done: int, of: int) -> None:
        nonlocal last
        now = time.monotonic()
        if of and (now - last >= _PAUSE or done == of):
            last = now
            full = _WIDTH * done // of
            print(f"\r{what} [{'#' * full}{'.' * (_WIDTH - full)}] {done}/{of}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if last:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _nothing(_done: int, _of: int) -> None:
    pass
