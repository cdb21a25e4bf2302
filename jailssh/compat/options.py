"""Options as Jailkit's tools take them, by getopt(3) with their own letters and long names."""

from __future__ import annotations

import getopt
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass

from jailssh.compat.call import Failed


@dataclass(frozen=True)
class Option:
    """An option of a tool: its letter, what becomes of it, its long names, and the name of its value, "" for none.

    ``note``: what is said whenever it is given, since something else is done than Jailkit did.
    """

    letter: str
    text: str
    _: KW_ONLY
    long: tuple[str, ...] = ()
    value: str = ""
    note: str = ""

    def line(self) -> str:
        """Return its line of a help text."""
        names = [f"-{self.letter}", *(f"--{name}" for name in self.long)]
        return f"  {', '.join(names)}{' ' + self.value if self.value else ''}: {self.text}"


@dataclass(frozen=True)
class Tool:
    """What a tool is for, the words behind its options, and the options; ``-h`` is one of every tool.

    ``anything``: no option is looked at.  ``anybody``: it need not be run as root.
    """

    title: str
    words: str
    options: tuple[Option, ...] = ()
    _: KW_ONLY
    anything: bool = False
    anybody: bool = False

    def usage(self, name: str) -> Iterator[str]:
        """Yield the lines of its help text."""
        yield f"Usage: {name} [OPTIONS] {self.words}".rstrip()
        yield f"Jailkit's name for: {self.title}"
        yield from (option.line() for option in self.options)


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


HELP = ("h", "?")


def read(tool: Tool, argv: list[str]) -> Given:
    """Return what the words say; :class:`Failed` for an option that the tool has not."""
    if tool.anything:
        return Given((), tuple(argv))
    letters = "".join(each.letter + (":" if each.value else "") for each in tool.options) + "".join(HELP)
    names = {name: each for each in tool.options for name in each.long}
    long = [*(f"{name}=" if each.value else name for name, each in names.items()), "help"]
    try:
        found, rest = getopt.getopt(argv, letters, long)
    except getopt.GetoptError as error:
        raise Failed(1, f"{error}; its options: -h") from error
    meant = {f"--{name}": each.letter for name, each in names.items()} | {"--help": "h", "-?": "h"}
    return Given(tuple((meant.get(name, name.lstrip("-")), value) for name, value in found), tuple(rest))
