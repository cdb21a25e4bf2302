"""Steps that are each tried, whatever became of those before."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from jailssh.core.errors import JailsshError, ManyErrors, distinct, raise_all

_Answer = TypeVar("_Answer")


class Tries:
    """What came of the steps so far: ``errors``, and ``notes``, the texts that steps returned."""

    def __init__(self) -> None:
        self.errors: list[JailsshError] = []
        self.notes: list[str] = []

    def __call__(self, what: str, act: Callable[[], _Answer]) -> _Answer | None:
        """Run ``act``; an error is kept, with ``what`` naming a system call's, and None comes back."""
        try:
            answer = act()
        except ManyErrors as several:
            self.errors += several.errors
            return None
        except JailsshError as error:
            self.errors.append(error)
            return None
        except OSError as error:
            why = os.strerror(error.errno).lower() if error.errno else str(error)
            self.errors.append(JailsshError(what, why))
            return None
        if isinstance(answer, str) and answer:
            self.notes.append(answer)
        return answer

    def end(self) -> None:
        """Raise what failed, each thing once."""
        raise_all(distinct(self.errors))
