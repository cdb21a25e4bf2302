"""Errors and the exit codes of the ``jailssh`` command.

Every error that an administrator can meet is a :class:`JailsshError`: what failed, why, and where there is one a
hint saying what to do.  The class decides the exit code, so a script can tell "denied" from "this host lacks
something" without reading text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_DENIED = 3
EXIT_HOST = 4

# Exit codes of the login program; login/fail.h holds the same numbers and a test compares them.
LOGIN_REFUSED = 125
LOGIN_DENIED = 126
LOGIN_NOT_FOUND = 127


class JailsshError(Exception):
    """Something failed in a way that the administrator can understand and mend.

    ``what`` names the action or the object, ``why`` the cause, ``hint`` the cure (may be empty).
    """

    exit_code = EXIT_FAILED

    def __init__(self, what: str, why: str, *, hint: str = "") -> None:
        super().__init__(f"{what}: {why}")
        self.what = what
        self.why = why
        self.hint = hint

    def lines(self) -> list[str]:
        """Return the lines for stderr: ``jailssh: what: why`` and, where there is one, ``hint: …``."""
        out = [f"jailssh: {self.what}: {self.why}"]
        if self.hint:
            out.append(f"hint: {self.hint}")
        return out


class UsageError(JailsshError):
    """The command line or a value on it is wrong."""

    exit_code = EXIT_USAGE


class ConfigError(JailsshError):
    """The configuration says something impossible; ``what`` is ``file:line`` or ``file [section] key``."""


class DeniedError(JailsshError):
    """Policy says no."""

    exit_code = EXIT_DENIED


class HostError(JailsshError):
    """This host lacks something that is needed (a program, a kernel feature, a privilege)."""

    exit_code = EXIT_HOST


class ManyErrors(JailsshError):
    """Several independent errors found in one pass, reported together."""

    def __init__(self, errors: list[JailsshError]) -> None:
        super().__init__("several errors", f"{len(errors)} found")
        self.errors = list(errors)

    def lines(self) -> list[str]:
        """Return the lines of each error in turn."""
        return [line for error in self.errors for line in error.lines()]


def raise_all(errors: Sequence[JailsshError]) -> None:
    """Raise nothing, the one error, or :class:`ManyErrors`."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ManyErrors(list(errors))


def as_plain(error: JailsshError) -> list[object]:
    """Return what :func:`from_plain` makes the same error of, as another process can tell it (JSON)."""
    kinds = [_name_of(kind) for kind in type(error).__mro__ if issubclass(kind, JailsshError)]
    return [kinds, error.what, error.why, error.hint]


def _name_of(kind: type[JailsshError]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


@cache
def _kind_of(names: tuple[str, ...]) -> type[JailsshError]:
    """Return the first of these classes that is loaded; thousands of errors are of a few."""
    known: dict[str, type[JailsshError]] = {}
    classes = [JailsshError]
    while classes:
        known.update({_name_of(each): each for each in classes})
        classes = [below for each in classes for below in each.__subclasses__()]
    return next(known[name] for name in names if name in known)


def from_plain(plain: Sequence[Any]) -> JailsshError:
    """Return the error; of a class that is not loaded here as the one that it derives from."""
    names, what, why, hint = plain
    kind = _kind_of(tuple(names))
    error = kind.__new__(kind)
    # Some classes say more of themselves when they are made; who tells them apart asks for the class alone.
    JailsshError.__init__(error, what, why, hint=hint)
    return error


def parts(error: JailsshError) -> list[JailsshError]:
    """Return the errors that one stands for, which is itself unless it is :class:`ManyErrors`."""
    return error.errors if isinstance(error, ManyErrors) else [error]


def distinct(errors: Iterable[JailsshError]) -> list[JailsshError]:
    """Return the errors in their order, those that say the same only once."""
    return list({str(error): error for error in errors}.values())
