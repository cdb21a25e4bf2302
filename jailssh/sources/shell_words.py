"""A forced command as the account's shell would read it: ``command=`` and ``ForceCommand`` are handed to ``sh -c``.

Only what has one meaning is read: words, quotes, ``$HOME`` and the client's own command; a list of ``cd``, ``umask``,
``export`` and, at its end, one program.  All else (pipes, substitutions, patterns) is not guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

ORIGINAL = "\0original"
"""Stands for the client's own command as one word (``"$SSH_ORIGINAL_COMMAND"``)."""
SHELLS = frozenset({"ash", "bash", "dash", "ksh", "ksh93", "mksh", "rbash", "sh", "zsh"})
"""Shells that read a command in this way."""
NO_SHELLS = frozenset({"false", "nologin", "true"})
"""Login shells that run nothing."""

_NAME = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_SET = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)\Z", re.DOTALL)
_SPECIAL = "|&<>()`\n*?[]{}!"
_IDLE = re.compile(r"-?[cnptu]?[0-9]+\Z|-t\Z|-[cn]\Z")


class Unclear(Exception):
    """A command that only a shell can read; its text says what of it."""


@dataclass
class Line:
    """What is left of a command: the program and its arguments, and what was set before it.

    ``directory``: of the last ``cd``, "" for the home; ``umask`` as written, "" for none; ``nice`` 0 to 19.
    """

    words: list[str] = field(default_factory=list)
    directory: str = ""
    umask: str = ""
    nice: int = 0
    variables: dict[str, str] = field(default_factory=dict)


def read(text: str, variables: Mapping[str, str]) -> Line:
    """Return what ``text`` runs; ``variables`` are those whose values are known.  Raises :class:`Unclear`."""
    line = Line()
    parts = list(_commands(text, variables))
    for number, words in enumerate(parts):
        last = number == len(parts) - 1
        assigned: dict[str, str] = {}
        while words and (found := _SET.match(words[0])):
            assigned[found[1]] = found[2]
            words = words[1:]
        exported = {word.partition("=")[0] for word in words[1:]} if words[:1] == ["export"] else set()
        if steering := sorted((assigned.keys() | exported) & {*variables, "PATH", "SSH_ORIGINAL_COMMAND"}):
            raise Unclear(f"sets {steering[0]}")
        if not words:
            continue  # a variable of the shell's, which no program sees
        if assigned and not last:
            raise Unclear(f"sets {next(iter(assigned))} for {words[0]!r} alone")
        line.variables.update(assigned)
        if words[0] == "cd" and not last and len(words) == 2:
            line.directory = words[1] if words[1].startswith("/") else f"{line.directory or '~'}/{words[1]}"
        elif words[0] == "umask" and not last and len(words) == 2 and re.match(r"[0-7]{1,4}\Z", words[1]):
            line.umask = words[1]
        elif words[0] == "export" and not last and all(_SET.match(word) for word in words[1:]):
            line.variables.update((found[1], found[2]) for word in words[1:] if (found := _SET.match(word)))
        elif not last:
            raise Unclear(f"runs several commands, of which {words[0]!r} is one")
        else:
            line.words = _launched(words, line)
    if not line.words:
        raise Unclear("runs no program")
    return line


def _launched(words: list[str], line: Line) -> list[str]:
    """Return the words behind programs that only start another one."""
    if words[0] in ("exec", "command"):
        words = words[1:]
        if words and words[0].startswith("-"):
            raise Unclear(f"gives the shell's exec or command the option {words[0]!r}")
    while words:
        name = words[0].rsplit("/", 1)[-1]
        if name == "env":
            words = words[1:]
            while words and (found := _SET.match(words[0])):
                line.variables[found[1]] = found[2]
                words = words[1:]
        elif name == "nice":
            number, words = _nice(words[1:])
            line.nice = max(0, min(19, line.nice + number))
        elif name == "ionice":
            words = words[1:]
            while words and _IDLE.match(words[0]):
                words = words[1:]
        else:
            return words
        if words and words[0].startswith("-"):
            raise Unclear(f"gives {name} the option {words[0]!r}")
    return words


def _nice(words: list[str]) -> tuple[int, list[str]]:
    if words and (found := re.match(r"(?:-n|--adjustment=|-)(-?[0-9]{1,3})\Z", words[0])):
        return int(found[1]), words[1:]
    if len(words) > 1 and words[0] in ("-n", "--adjustment") and re.match(r"-?[0-9]{1,3}\Z", words[1]):
        return int(words[1]), words[2:]
    return 10, words


def _commands(text: str, variables: Mapping[str, str]) -> Iterator[list[str]]:
    """Yield the words of each command of a list."""
    words: list[str] = []
    word: list[str] | None = None
    at, waits = 0, False
    while at < len(text):
        char = text[at]
        if char in " \t;" or text.startswith("&&", at):
            if word is not None:
                words.append("".join(word))
                word = None
            if char in ";&":
                if not words or text.startswith(";;", at):
                    raise Unclear(f"is not a list of commands at {text[at : at + 10]!r}")
                yield words
                words = []
            at += 2 if char == "&" else 1
            waits = char == "&" or (waits and char != ";")
            continue
        if char == "#" and word is None:
            break
        if char == "~" and word is None:
            if text[at + 1 : at + 2] not in ("", "/", " ", ";"):
                raise Unclear("names the home of another account")
            word, at = [variables["HOME"]], at + 1
            continue
        if char in "=~" and not any(word or ()):
            raise Unclear(f"has a word that begins with {char!r}, which shells read in different ways")
        word = word if word is not None else []
        at = _piece(text, at, word, variables)
    if word is not None:
        words.append("".join(word))
    if words:
        yield words
    elif waits:
        raise Unclear("ends with &&")


def _piece(text: str, at: int, word: list[str], variables: Mapping[str, str]) -> int:
    """Add the next piece of a word; return where the following one begins."""
    char = text[at]
    if char == "'":
        end = text.find("'", at + 1)
        if end < 0:
            raise Unclear("has a quote that is not closed")
        word.append(text[at + 1 : end])
        return end + 1
    if char == '"':
        return _quoted(text, at + 1, word, variables)
    if char == "\\":
        if at + 1 == len(text) or text[at + 1] == "\n":
            raise Unclear("ends a line with a backslash")
        word.append(text[at + 1])
        return at + 2
    if char == "$":
        value, end = _variable(text, at, variables)
        if value == ORIGINAL or set(value) & set(" \t\n*?["):
            raise Unclear(f"has {text[at:end]} outside of quotes, which a shell splits into words")
        word.append(value)
        return end
    if char in _SPECIAL or not char.isprintable():
        raise Unclear(f"has {char!r}, which only a shell can run")
    word.append(char)
    return at + 1


def _quoted(text: str, at: int, word: list[str], variables: Mapping[str, str]) -> int:
    while at < len(text):
        char = text[at]
        if char == '"':
            return at + 1
        if char == "\\" and text[at + 1 : at + 2] in ("$", "`", '"', "\\"):
            word.append(text[at + 1])
            at += 2
        elif char == "`":
            raise Unclear("runs a command within another one")
        elif char == "$" and _NAME.match(text, at):
            value, at = _variable(text, at, variables)
            word.append(value)
        elif char == "$":
            raise Unclear("has a '$' that only a shell can read")
        else:
            word.append(char)
            at += 1
    raise Unclear("has a quote that is not closed")


def _variable(text: str, at: int, variables: Mapping[str, str]) -> tuple[str, int]:
    found = _NAME.match(text, at)
    if not found:
        raise Unclear("has a '$' that only a shell can read")
    name = found[1] or found[2]
    if found[1] and not text[found.end() : found.end() + 1].isascii():
        raise Unclear("has a variable whose name ends where shells do not agree")
    if name == "SSH_ORIGINAL_COMMAND":
        return ORIGINAL, found.end()
    if name not in variables:
        raise Unclear(f"uses the variable {name}")
    return variables[name], found.end()
