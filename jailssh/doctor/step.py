"""A look: a collector, which gets facts within a bounded time, and a judgement over them, which is pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from jailssh.core.closed import Word
from jailssh.core.errors import JailsshError
from jailssh.core.names import escape
from jailssh.doctor.case import Case


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: the object, why it is wrong, and the command that mends it.

    ``wrong``: False for what an administrator should know and what keeps nobody out.  ``step``: which look found it.
    """

    what: str
    why: str
    cure: str = ""
    wrong: bool = True
    step: str = ""

    @classmethod
    def of(cls, error: JailsshError) -> Fault:
        """Return an error as a fault."""
        return cls(error.what, error.why, error.hint)

    def told(self, step: str) -> Fault:
        """Return it with the name of its step, and with nothing in it that a terminal would act on."""
        return replace(self, what=escape(self.what), why=escape(self.why), cure=escape(self.cure), step=step)

    def lines(self) -> list[str]:
        """Return it for people."""
        head = "wrong" if self.wrong else "note"
        return [f"{head}: {self.what}: {self.why}", *([f"  hint: {self.cure}"] if self.cure else [])]


class Result(Word):
    """How a look ended: ``unknown``: it could not be made; ``skipped``: it makes no sense after another's result."""

    RIGHT = "right"
    WRONG = "wrong"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Step:
    """One look.  ``needs``: the steps before it without which it makes no sense, by name.

    ``collect`` raises :class:`JailsshError` where it could not look; what is wrong is for ``judge`` to say.
    """

    name: str
    collect: Callable[[Case], Any]
    judge: Callable[[Any], list[Fault]]
    needs: tuple[str, ...] = ()
