"""What is to be done before this process ends without ceremony, or becomes another program.

Who has started something registers how that ends; so who ends need not import it.
"""

from __future__ import annotations

from collections.abc import Callable

_calls: list[Callable[[], None]] = []


def register(call: Callable[[], None]) -> None:
    """Have ``call`` made by :func:`end`; it can be called more than once."""
    _calls.append(call)


def end() -> None:
    """Make all calls, the latest first."""
    for call in reversed(_calls):
        call()
