"""mdoc(7) from plain text: what is special to roff is escaped, and lists are made from rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from command_line import Argument, Command

_ASCII = {"…": "...", "→": "->", "“": '"', "”": '"'}
# Names of programs keep their letters.
_NAMES = frozenset(("git", "jailssh", "jailtime", "rsync", "scp", "sftp", "umask"))
# Characters that end or open a macro argument where they stand alone: mdoc(7), "Delimiters".
_DELIMITERS = frozenset("()[]|.,:;?!")


def plain(text: str) -> str:
    """Return ``text`` as one line of running text."""
    for sign, letters in _ASCII.items():
        text = text.replace(sign, letters)
    text = re.sub(r"\s+", " ", text).strip().replace("\\", r"\e")
    return rf"\&{text}" if text.startswith((".", "'")) else text


def word(text: str) -> str:
    """Return ``text`` as one argument of a macro; a two-letter word could else be taken for a macro itself."""
    text = plain(text).replace('"', r"\(dq")
    if text in _DELIMITERS or re.fullmatch("[A-Z%][a-z0-9]", text):
        text = rf"\&{text}"
    return f'"{text}"' if " " in text or not text else text


def flags(argument: Argument) -> str:
    """Return the macros of an option with its value, or of an operand."""
    value = f" Ar {word(argument.metavar)}" if argument.metavar else ""
    if not argument.flags:
        return value.strip()
    return " , ".join(f"Fl {word(flag[1:])}{value}" for flag in argument.flags)


def _once(argument: Argument) -> str:
    """Return the same with the first flag alone, for the synopsis."""
    if not argument.flags:
        more = " ..." if argument.nargs in ("*", "+") and "…" not in argument.metavar else ""
        return flags(argument) + more
    value = f" Ar {word(argument.metavar)}" if argument.metavar else ""
    return f"Fl {word(argument.flags[0][1:])}{value}"


def synopsis(command: Command, skipped: Sequence[str] = ()) -> Iterator[str]:
    """Yield the lines that show how ``command`` is called, without the options whose first flag is ``skipped``."""
    yield f".Nm jailssh {' '.join(command.words)}"
    done: set[int] = set()
    for argument in command.arguments:
        if argument.flags and argument.flags[0] in skipped:
            continue
        if argument.group is not None:
            if argument.group not in done:
                done.add(argument.group)
                members = [_once(each) for each in command.arguments if each.group == argument.group]
                yield f".Oo {' | '.join(members)} Oc"
            continue
        optional = not argument.required if argument.flags else argument.nargs in ("*", "?")
        text = _once(argument)
        yield f".Op {text}" if optional else f".{text}"
        if argument.repeated and argument.required:
            yield ".Op ..."


def definitions(rows: Iterable[tuple[str, Sequence[str]]]) -> Iterator[str]:
    """Yield a list of terms, each a line of macros, with their lines of text."""
    listed = list(rows)
    if not listed:
        return
    yield ".Bl -tag -width Ds"
    for term, lines in listed:
        yield f".It {term}"
        yield from lines
    yield ".El"


def sentence(text: str) -> str:
    """Return ``text`` as a sentence: a great letter in front where a word is there, and a full stop."""
    text = text.strip()
    first = re.match(r"[a-z]+(?=[ ,:])", text)
    if first and first[0] not in _NAMES:
        text = text[0].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."


def running(text: str) -> Iterator[str]:
    """Yield ``text`` as sentences, each on a line of its own as roff wants it."""
    yield from (plain(each) for each in re.split(r"(?<=[.?!]) +(?=[A-Z])", sentence(text)))


def arguments(command: Command, skipped: Sequence[str] = ()) -> Iterator[str]:
    """Yield the list of what ``command`` takes, operands first."""
    wanted = [*command.operands(), *(each for each in command.options() if each.flags[0] not in skipped)]
    yield from definitions((flags(each), [*_said(each)]) for each in wanted)


def _said(argument: Argument) -> Iterator[str]:
    if not argument.help:
        raise ValueError(f"{argument.flags or argument.metavar}: the parser has no help for it")
    yield from running(argument.help)
    if argument.repeated and "repeated" not in argument.help:
        yield "May be repeated."


def examples(lines: Iterable[str]) -> Iterator[str]:
    """Yield command lines to be shown as they are."""
    yield ".Bd -literal -offset indent"
    for line in lines:
        text = line.replace("\\", r"\e")
        yield rf"\&{text}" if text.startswith((".", "'")) else text
    yield ".Ed"
