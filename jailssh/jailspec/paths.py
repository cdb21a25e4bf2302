"""Paths, modes, patterns and brace groups of a spec."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from jailssh.core.names import HostPath, JailPath, escape, is_clean_absolute
from jailssh.jailspec.errors import SpecError
from jailssh.jailspec.lexer import BLANKS, Word
from jailssh.jailspec.statements import Origin

# PATH_MAX with its NUL and NAME_MAX, in bytes (limits.h).
_MAX_PATH = 4095
_MAX_NAME = 255
_MAX_EXPANDED = 4096
_MAX_GROUPS = 32


def clean_path(text: str, origin: Origin, what: str) -> str:
    """Return ``text`` without ``//``, ``.`` and a final ``/``; :class:`SpecError` if it is no usable path."""
    if not text.startswith("/"):
        raise SpecError(origin, f"{what} {escape(text, 80)!r} is not absolute", hint="write it from /")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise SpecError(origin, f"{what} {escape(text, 80)!r} has '..'", hint="write the path that is meant")
    path = "/" + "/".join(parts)
    if not is_clean_absolute(path):
        raise SpecError(origin, f"{what} {escape(text, 80)!r} has control characters")
    if len(_bytes(path)) > _MAX_PATH or any(len(_bytes(part)) > _MAX_NAME for part in parts):
        limits = f"{_MAX_PATH} bytes, {_MAX_NAME} in one name"
        raise SpecError(origin, f"{what} is longer than a path may be", hint=f"the kernel takes {limits}")
    return path


def jail_path(text: str, origin: Origin, what: str = "target") -> JailPath:
    """Return a path in the jail; see :func:`clean_path`."""
    return JailPath(clean_path(text, origin, what))


def host_path(text: str, origin: Origin, what: str = "source") -> HostPath:
    """Return a path on the host; see :func:`clean_path`."""
    return HostPath(clean_path(text, origin, what))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def parse_mode(text: str, origin: Origin, what: str) -> int:
    """Return an octal mode; :class:`SpecError` about ``what`` mode if it is none."""
    if re.fullmatch(r"0*[0-7]{1,4}", text):
        return int(text, 8)
    raise SpecError(origin, f"invalid {what} mode: {escape(text, 40)}", hint="octal digits, at most 7777")


def joined(words: list[Word]) -> str:
    """Return the words with the blanks that stood between them."""
    return words[0].text + "".join(word.blank + word.text for word in words[1:])


def join_words(words: list[Word]) -> Word:
    """Return the words as one, blanks between them included."""
    text, active = words[0].text, words[0].active
    for word in words[1:]:
        text += word.blank + word.text
        active += "x" * len(word.blank) + word.active
    return Word(text, active, words[0].column, words[0].blank)


def is_pattern(text: str, active: str) -> bool:
    """True if an unquoted ``*``, ``?`` or ``[…]`` is in the text."""
    masked = "".join(char if mark == "x" else "x" for char, mark in zip(text, active, strict=False))
    start = masked.find("[")
    return "*" in masked or "?" in masked or (start >= 0 and "]" in masked[start + 2 :])


def pattern(text: str, active: str) -> str:
    """Return the text as a pattern of fnmatch(3), quoted characters standing for themselves."""
    pairs = zip(text, active, strict=False)
    return "".join(f"[{char}]" if char in "*?[" and mark != "x" else char for char, mark in pairs)


def expand_braces(word: Word, origin: Origin, *, lone: bool) -> list[tuple[str, str]]:
    """Return text and activity of each combination of the word's brace groups.

    ``lone``: a group of one member is that member, as jailtime has it for directories; otherwise it stays as it is.
    """
    _check_balance(word, origin)
    found = _bounded(_expand(word.text, word.active, lone))
    if len(found) > _MAX_EXPANDED:
        raise SpecError(origin.at(word.column), f"the braces stand for more than {_MAX_EXPANDED} paths")
    return found


def _bounded(pairs: Iterator[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the pairs, or one more than there may be."""
    return list(islice(pairs, _MAX_EXPANDED + 1))


def _check_balance(word: Word, origin: Origin) -> None:
    opened: list[int] = []
    groups = 0
    for at, char in enumerate(word.text):
        if word.active[at] != "x":
            continue
        if char == "{":
            opened.append(at)
        elif char == "}" and not opened:
            opened.append(at)
            break
        elif char == "}":
            opened.pop()
        groups += char == "{"
        if groups > _MAX_GROUPS:
            raise SpecError(origin.at(word.column + at), f"more than {_MAX_GROUPS} brace groups in one word")
    if opened:
        hint = r"write \{ or \} for a brace that is part of a name"
        raise SpecError(origin.at(word.column + opened[-1]), "unbalanced brace", hint=hint)


def _expand(text: str, active: str, lone: bool) -> Iterator[tuple[str, str]]:
    """Expand the first group, then what follows for each member; the braces balance."""
    for start, char in enumerate(text):
        if char != "{" or active[start] != "x":
            continue
        end, members = _group(text, active, start)
        if len(members) > 1 or (lone and end > start + 1):
            break
    else:
        yield text, active
        return
    tails = _bounded(_expand(text[end + 1 :], active[end + 1 :], lone))
    for first, last in members:
        first, last = _trimmed(text, first, last)
        for middle in _bounded(_expand(text[first:last], active[first:last], lone)):
            for tail in tails:
                yield text[:start] + middle[0] + tail[0], active[:start] + middle[1] + tail[1]


def _group(text: str, active: str, start: int) -> tuple[int, list[tuple[int, int]]]:
    """Return where the group that opens at ``start`` ends, and the spans of its members."""
    depth, at, begin = 0, start, start + 1
    members: list[tuple[int, int]] = []
    while True:
        char = text[at] if active[at] == "x" else ""
        depth += (char == "{") - (char == "}")
        if not depth or (char == "," and depth == 1):
            members.append((begin, at))
            begin = at + 1
        if not depth:
            return at, members
        at += 1


def _trimmed(text: str, first: int, last: int) -> tuple[int, int]:
    while first < last and text[first] in BLANKS:
        first += 1
    while first < last and text[last - 1] in BLANKS:
        last -= 1
    return first, last
