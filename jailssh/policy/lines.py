"""Command lines with typed arguments, as the plugin ``command`` takes them, from commands that were seen.  Pure.

What did not vary stays literal.  What did becomes the narrowest class that holds all that was seen: a range of
integers, directories, a list of words.  The caller asks the matcher whether a line really takes the commands, so
what is guessed here (does ``-n 5`` mean an option with a value?) comes in several variants, the narrowest first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

Words = tuple[str, ...]

_LITERAL = re.compile(r"[A-Za-z0-9_.,:+@%=/~-]+\Z")
_INT = re.compile(r"-?[0-9]{1,9}\Z")
_CHOICE = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*\Z")
_WORD = re.compile(r"[A-Za-z0-9_.,:+@%=][A-Za-z0-9_.,:+@%=-]{0,254}\Z")
_PATH = re.compile(r"(/|~/)[^,<>\[\]\"]*\Z")
_MOST_CHOICES = 16
_MOST_WRITTEN = 4
"""So many optional arguments are written out; more become ``…``."""


@dataclass(frozen=True)
class CommandLine:
    """A command line for the plugin ``command``, and the directories that its paths are below."""

    text: str
    directories: tuple[str, ...] = ()


@dataclass
class _Options:
    """What stands in front of the arguments: letters and names that are flags, and the values of the others."""

    flags: dict[str, None] = field(default_factory=dict)
    values: dict[str, list[str]] = field(default_factory=dict)


def is_path(word: str) -> bool:
    """True if a word names a path by itself, wherever the program works."""
    return bool(_PATH.match(word))


def alike(commands: Sequence[Words]) -> list[list[Words]]:
    """Group commands that are as long as each other and differ in one place only; the largest groups first."""
    rest = list(dict.fromkeys(commands))
    # Those that are left, by what they have but for one place.
    left: dict[object, dict[Words, None]] = {}
    for one in rest:
        for key in _but_one(one):
            left.setdefault(key, {})[one] = None
    groups: list[list[Words]] = []
    done: set[Words] = set()
    for one in rest:
        if one in done:
            continue
        group = max(([one], *(list(left[key]) for key in _but_one(one))), key=len)
        for each in group:
            for key in _but_one(each):
                del left[key][each]
        done.update(group)
        groups.append(group)
    return sorted(groups, key=len, reverse=True)


def _but_one(words: Words) -> list[tuple[Words, Words]]:
    return [(words[:place], words[place + 1 :]) for place in range(1, len(words))]


def lines_for(commands: Sequence[Words], directory: Callable[[str], str]) -> list[CommandLine]:
    """Return lines that may take all ``commands``, which begin with the same word; the narrowest first.

    ``directory`` returns the directory, as a jail file names it, that a path must be in.
    """
    found = list(dict.fromkeys(_variants(commands, directory)))
    # An argument that may be left out hints at a value that was taken for an argument.
    return sorted(found, key=lambda line: ("<text>" in line.text, "[<" in line.text))


def _variants(commands: Sequence[Words], directory: Callable[[str], str]) -> Iterator[CommandLine]:
    first = commands[0]
    common = next((n for n in range(len(first)) if any(one[: n + 1] != first[: n + 1] for one in commands)), len(first))
    for paths in (True, False):
        head = first[:common]
        if paths:
            head = head[: next((n for n, word in enumerate(head) if n and is_path(word)), len(head))]
        literal = next((n for n, word in enumerate(head) if not _LITERAL.match(word)), len(head))
        for count in range(min(len(head), literal), 0, -1):
            for valued in (False, True):
                line = _line(first[:count], [one[count:] for one in commands], valued, directory)
                if line is not None:
                    yield line
        if not any(is_path(word) for one in commands for word in one[1:]):
            return


def _line(head: Words, rests: Sequence[Words], valued: bool, directory: Callable[[str], str]) -> CommandLine | None:
    options = _Options()
    arguments: list[Words] = []
    with_value = _with_value(rests) if valued else set()
    for rest in rests:
        words = list(rest)
        while words and words[0].startswith("-"):
            if not _take_option(words, options, with_value):
                return None
        if any(word.startswith("-") for word in words):
            return None
        arguments.append(tuple(words))
    found: dict[str, None] = {}
    parts = [*head]
    for name in options.flags:
        if name in options.values:
            return None
        parts.append(f"[{name}]")
    for name, values in options.values.items():
        parts.append(f"[{name} <{_class(values, directory, found)}>]")
    parts += _arguments(arguments, directory, found)
    if any("<path:" in part for part in parts):
        # All paths of a line are below the same directories.
        same = f"<path:{','.join(found)}>"
        parts = [re.sub(r"<path:[^>]*>", lambda _: same, part) for part in parts]
    return CommandLine(" ".join(parts), tuple(found))


def _with_value(rests: Sequence[Words]) -> set[str]:
    """Return the options behind which, each time, a word stands that could be their value."""
    can: set[str] = set()
    cannot: set[str] = set()
    for rest in rests:
        for word, following in zip(rest, (*rest[1:], "-"), strict=False):
            if not word.startswith("-"):
                continue
            names = [word.partition("=")[0]] if word.startswith("--") else [f"-{letter}" for letter in word[1:]]
            cannot.update(names[:-1])
            (cannot if following.startswith("-") or "=" in word else can).update(names[-1:])
    return can - cannot


def _take_option(words: list[str], options: _Options, with_value: set[str]) -> bool:
    """Move an option, with its value, from ``words`` to ``options``; False if it can be none."""
    word = words.pop(0)
    name, equals, value = word.partition("=")
    if word.startswith("--"):
        if not re.match(r"--[A-Za-z0-9][A-Za-z0-9-]*\Z", name):
            return False
        if not equals and name in with_value:
            equals, value = "=", words.pop(0)
        if equals:
            options.values.setdefault(name, []).append(value)
        else:
            options.flags[name] = None
        return True
    if not re.match(r"-[A-Za-z0-9@]+\Z", word):
        return False
    letters = [f"-{letter}" for letter in word[1:]]
    if letters[-1] in with_value:
        options.values.setdefault(letters.pop(), []).append(words.pop(0))
    options.flags.update(dict.fromkeys(letters))
    return True


def _arguments(arguments: Sequence[Words], directory: Callable[[str], str], found: dict[str, None]) -> list[str]:
    most, least = max(map(len, arguments)), min(map(len, arguments))
    if not most:
        return []
    cls = _class([word for one in arguments for word in one], directory, found)
    if most - least > _MOST_WRITTEN or most > 2 * _MOST_WRITTEN:
        return [f"<{cls}>..."]
    return [f"<{cls}>"] * least + [f"[<{cls}>]"] * (most - least)


def _class(values: Sequence[str], directory: Callable[[str], str], found: dict[str, None]) -> str:
    """Return the narrowest value class that holds all ``values``; directories of paths are added to ``found``."""
    each = list(dict.fromkeys(values))
    if all(is_path(value) for value in each):
        directories = dict.fromkeys(directory(value) for value in each)
        found.update(directories)
        return f"path:{','.join(directories)}"
    if all(_INT.match(value) for value in each):
        numbers = [int(value) for value in each]
        return f"int:{min(numbers)}:{max(numbers)}"
    if len(each) <= _MOST_CHOICES and all(_CHOICE.match(value) for value in each):
        return f"enum:{','.join(sorted(each))}"
    return "word" if all(_WORD.match(value) for value in each) else "text"
