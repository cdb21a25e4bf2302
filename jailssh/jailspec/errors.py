"""Errors and notes about specs: all of one reading are gathered, sorted and told together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jailssh.core.errors import ConfigError, ManyErrors
from jailssh.core.names import escape
from jailssh.jailspec.statements import Origin


class SpecError(ConfigError):
    """A spec says something impossible, at ``origin``."""

    def __init__(self, origin: Origin, why: str, *, hint: str = "") -> None:
        super().__init__(origin.place, why, hint=hint)
        self.origin = origin

    def lines(self) -> list[str]:
        """Return the lines for stderr: place and cause, the statement, what included it, the hint."""
        first, *hint = super().lines()
        statement = [f"  statement: {escape(self.origin.text, 200)}"] if self.origin.text else []
        return [first, *statement, *(f"  included from {place}" for place in reversed(self.origin.chain)), *hint]


@dataclass(frozen=True)
class Note:
    """Something that an administrator may want to know.  ``verbose``: only when asked for every detail."""

    origin: Origin
    text: str
    verbose: bool = False

    def __str__(self) -> str:
        return f"{self.origin.place}: {self.text}"


def _order(error: SpecError) -> tuple[str, int, int, str]:
    return (error.origin.file, error.origin.line, error.origin.column, error.why)


def raise_all(errors: Sequence[SpecError]) -> None:
    """Raise the errors sorted by place, each once: nothing for none, one as it is, else :class:`ManyErrors`."""
    unique = {(*_order(error), error.origin.chain): error for error in errors}
    found = sorted(unique.values(), key=_order)
    if len(found) > 1:
        raise ManyErrors([*found])
    if found:
        raise found[0]
