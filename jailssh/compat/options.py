"""Options as Jailkit's tools take them, by getopt(3) with their own letters and long names."""

from __future__ import annotations

import getopt
from collections.abc import Sequence
from dataclasses import dataclass

from jailssh.compat.call import Failed


@dataclass(frozen=True)
class Tool:
    """Letters as for getopt(3), and the long names with the letter of each; one that takes a value ends with ``=``."""

    letters: str
    long: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Given:
    """What a command line says: (letter, value) in its order, and the words behind the options."""

    options: tuple[tuple[str, str], ...]
    rest: tuple[str, ...]

    def has(self, letter: str) -> bool:
        """True if an option was given."""
        return any(name == letter for name, _ in self.options)

    def value(self, letter: str) -> str:
        """Return the last value of an option, "" without one."""
        return ([value for name, value in self.options if name == letter] or [""])[-1]

    def values(self, letter: str) -> list[str]:
        """Return all values of an option."""
        return [value for name, value in self.options if name == letter]

    def jail_and_rest(self) -> tuple[str, tuple[str, ...]]:
        """Return the jail, of ``-j`` or the first word, and the other words."""
        jail, rest = self.value("j"), self.rest
        if not jail and rest:
            jail, rest = rest[0], rest[1:]
        return jail.rstrip("/") or jail, rest


def read(tool: Tool, argv: Sequence[str]) -> Given:
    """Return what the words say; :class:`Failed` for an option that the tool has not."""
    try:
        found, rest = getopt.getopt(list(argv), tool.letters, [name for name, _ in tool.long])
    except getopt.GetoptError as error:
        raise Failed(1, str(error)) from error
    letters = {f"--{name.rstrip('=')}": letter for name, letter in tool.long}
    return Given(tuple((letters.get(name, name.lstrip("-")), value) for name, value in found), tuple(rest))
