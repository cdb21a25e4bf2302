"""What a terminal was told, made harmless for another terminal, or plain text.  Pure.

A recording holds whatever a jailed program has written.  A terminal does more with such bytes than show them: some make
it answer as if somebody had typed (device reports, ENQ, titles that are read back), write to the clipboard, print, or
change keys.  So what is played back is only what moves the cursor, colours and erases (ECMA-48, and xterm's own
"ctlseqs"); all else is left out, known or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

RESET = "\x1b[0m\x1b[r\x1b(B\x1b[?1049l\x1b[?7h\x1b[?25h\x1b[?1l"
"""What puts a terminal right after anything that :class:`Harmless` lets through."""

_SHOWN_CONTROLS = "\b\t\n\v\f\r\x0e\x0f"
_CURSOR_AND_COLOUR = "@ABCDEFGHJKLMPSTXZ`abdefmrsu"
_MODES = frozenset(("4", "?1", "?5", "?6", "?7", "?12", "?25", "?47", "?1047", "?1048", "?1049"))
_SINGLE = "78DEHM"
_CHARACTER_SETS = "()*+"
_STRINGS = "P]X^_"
"""What begins a string for the terminal itself: DCS, OSC, SOS, PM, APC."""
_PARAMETERS = re.compile(r"[0-9;:]{0,64}\Z")
_CSI, _ESC = r"\[[0-?]{0,60}[ -/]{0,3}", r"[ -/]{0,3}"
_SEQUENCE = re.compile(rf"\x1b(?:{_CSI}[@-~]|{_ESC}[0-Z\\-~])")
_BEGUN = re.compile(rf"\x1b(?:{_CSI}|{_ESC})\Z")
_BROKEN = re.compile(rf"\x1b(?:{_CSI}|{_ESC})")


@dataclass(frozen=True)
class Token:
    """Text, a control character, or a sequence: ``intro`` is "" for text, "C0", "ESC" or "CSI"; ``final`` its last."""

    intro: str
    body: str
    final: str = ""


class _Reader:
    """Splits what comes in parts, each as much as there is, into tokens; strings for the terminal are swallowed."""

    def __init__(self) -> None:
        self._held = ""
        self._in_string = False

    def feed(self, text: str) -> Iterator[Token]:
        """Yield the tokens that are whole."""
        text, self._held = self._held + text, ""
        at = 0
        while at < len(text):
            if self._in_string:
                at = self._skip_string(text, at)
                continue
            char = text[at]
            if char == "\x1b":
                if _BEGUN.match(text, at):
                    self._held = text[at:]
                    return
                whole = _SEQUENCE.match(text, at)
                if whole:
                    yield from self._sequence(whole[0][1:])
                # What breaks off says nothing, and what breaks it off is read on its own.
                at = whole.end() if whole else _BROKEN.match(text, at).end()  # type: ignore[union-attr]
            elif char < " " or "\x7f" <= char <= "\x9f":
                yield Token("C0", char)
                at += 1
            else:
                end = at
                while end < len(text) and text[end] >= " " and not "\x7f" <= text[end] <= "\x9f":
                    end += 1
                yield Token("", text[at:end])
                at = end

    def _skip_string(self, text: str, at: int) -> int:
        """Return where the string ends: behind BEL, ST, CAN or SUB; an ESC at the end is looked at again."""
        while at < len(text):
            if text[at] in "\x07\x18\x1a\x9c":
                self._in_string = False
                return at + 1
            if text[at] == "\x1b":
                if at + 1 == len(text):
                    self._held = "\x1b"
                    return len(text)
                self._in_string = False
                return at + 2 if text[at + 1] == "\\" else at
            at += 1
        return at

    def _sequence(self, body: str) -> Iterator[Token]:
        if body[0] == "[":
            yield Token("CSI", body[1:-1], body[-1])
        elif body in _STRINGS:
            self._in_string = True
        else:
            yield Token("ESC", body[:-1], body[-1])


class Harmless:
    """Lets through what only shows something; fed in parts, as a terminal is."""

    def __init__(self) -> None:
        self._reader = _Reader()

    def feed(self, text: str) -> str:
        """Return what of ``text``, and of what was held back before, may be written to a terminal."""
        return "".join(map(_passed, self._reader.feed(text)))


def _passed(token: Token) -> str:
    if token.intro == "":
        return token.body
    if token.intro == "C0":
        return token.body if token.body in _SHOWN_CONTROLS else ""
    if token.intro == "ESC":
        is_set = len(token.body) == 1 and token.body in _CHARACTER_SETS and token.final in "0AB"
        return f"\x1b{token.body}{token.final}" if is_set or (not token.body and token.final in _SINGLE) else ""
    if token.final in "hl":
        modes = token.body.removeprefix("?").split(";")
        mark = "?" if token.body.startswith("?") else ""
        kept = [mode for mode in modes if f"{mark}{mode}" in _MODES]
        return f"\x1b[{mark}{';'.join(kept)}{token.final}" if kept else ""
    if token.final in _CURSOR_AND_COLOUR and _PARAMETERS.match(token.body):
        return f"\x1b[{token.body}{token.final}"
    return ""


class Lines:
    """The text of lines: what was overwritten on a line is gone, colours are left out.

    Programs that draw a whole screen move the cursor between lines; what they draw comes out in the order of drawing.
    """

    MOST = 4096
    """Columns of a line; what is written beyond is left out."""

    def __init__(self) -> None:
        self._reader = _Reader()
        self._line: list[str] = []
        self._column = 0

    def feed(self, text: str) -> list[str]:
        """Return the lines that have ended."""
        done = []
        for token in self._reader.feed(text):
            if token.intro == "":
                self._write(token.body)
            elif token.body in ("\n", "\v", "\f") and token.intro == "C0":
                done.append(self.rest())
            elif token.intro == "C0":
                self._control(token.body)
            elif token.intro == "CSI" and _PARAMETERS.match(token.body):
                self._move(token.final, int(token.body[:6]) if token.body[:6].isdecimal() else 0)
        return done

    def rest(self) -> str:
        """Return the line at hand and begin a new one."""
        line = "".join(self._line).rstrip()
        self._line, self._column = [], 0
        return line

    def _write(self, text: str) -> None:
        text = text[: max(0, self.MOST - self._column)]
        if self._column > len(self._line):
            self._line += " " * (self._column - len(self._line))
        self._line[self._column : self._column + len(text)] = text
        self._column += len(text)

    def _control(self, char: str) -> None:
        if char == "\r":
            self._column = 0
        elif char == "\b":
            self._column = max(0, self._column - 1)
        elif char == "\t":
            self._column = min(self.MOST, (self._column // 8 + 1) * 8)

    def _move(self, final: str, number: int) -> None:
        steps = max(1, number)
        if final == "C":
            self._column = min(self.MOST, self._column + steps)
        elif final == "D":
            self._column = max(0, self._column - steps)
        elif final == "G":
            self._column = min(self.MOST, steps - 1)
        elif final == "P":
            del self._line[self._column : self._column + steps]
        elif final == "K" and number == 0:
            del self._line[self._column :]
        elif final == "K":
            self._line[: self._column if number == 1 else None] = [] if number == 2 else " " * self._column
        elif final == "@":
            self._line[self._column : self._column] = " " * min(steps, self.MOST - len(self._line))
