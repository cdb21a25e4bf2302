"""Reading a large JSON document piece by piece: whoever reads says what is a whole value and what is gone through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import IO, Any

_CHUNK = 1 << 18
_LONGEST = 64 << 20  # characters of one value that is read as a whole
_BLANK = " \t\r\n"


class JsonStream:
    """A document that is read from its beginning on; ValueError where it is not JSON, or not what was asked for."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._text = ""
        self._at = 0
        self._ended = False
        self._decode = json.JSONDecoder().raw_decode

    def value(self) -> Any:
        """Return the next value, whatever it holds."""
        self._peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except ValueError:
                if self._ended or len(self._text) - self._at > _LONGEST:
                    raise
            else:
                # A number may go on in what is not read yet.
                if end < len(self._text) or self._ended:
                    self._at = end
                    return value
            self._fill()

    def members(self) -> Iterator[str]:
        """Yield the names in an object; after each its value has to be read."""
        self._take("{")
        if self._peek() == "}":
            self._at += 1
            return
        while True:
            name = self.value()
            if not isinstance(name, str):
                raise ValueError("the name of a member is not text")
            self._take(":")
            yield name
            if self._take(",}") == "}":
                return

    def pairs(self) -> Iterator[tuple[str, Any]]:
        """Yield names and values of an object."""
        for name in self.members():
            yield name, self.value()

    def elements(self) -> Iterator[Any]:
        """Yield the values of an array."""
        self._take("[")
        if self._peek() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self._take(",]") == "]":
                return

    def is_array(self) -> bool:
        """True if the next value is an array."""
        return self._peek() == "["

    def pass_by(self, text: str) -> None:
        """Go on behind the next place of ``text``, whatever is before it."""
        while (found := self._text.find(text, self._at)) < 0:
            if self._ended:
                raise ValueError(f"{text!r} is missing")
            # It may have begun.
            self._at = max(self._at, len(self._text) - len(text))
            self._fill()
        self._at = found + len(text)

    def end(self) -> None:
        """Make sure that nothing is left."""
        if self._peek():
            raise ValueError("more than one document")

    def _peek(self) -> str:
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANK:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._fill()

    def _take(self, wanted: str) -> str:
        found = self._peek()
        if not found or found not in wanted:
            raise ValueError(f"{found!r} where one of {wanted!r} should be")
        self._at += 1
        return found

    def _fill(self) -> None:
        more = self._stream.read(_CHUNK)
        self._ended = not more
        self._text = self._text[self._at :] + more
        self._at = 0
