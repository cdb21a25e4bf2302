"""Requests, read strictly: what is doubtful is none.  See :mod:`jailssh.core.asking` for the form."""

from __future__ import annotations

from dataclasses import dataclass, field

from jailssh.core.asking import ARGUMENTS, END, MOST, VERSION, Wish


class BadRequestError(ValueError):
    """What came is no request; the text says why, for the account."""


@dataclass(frozen=True)
class Request:
    """A wish and its arguments as they came; those of a password are secret, and not shown."""

    wish: Wish
    arguments: tuple[bytes, ...] = field(repr=False)

    def text(self, place: int) -> str:
        """Return an argument as text; raises :class:`BadRequestError` for what is no printable UTF-8."""
        try:
            text = self.arguments[place].decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadRequestError("this is not UTF-8") from error
        if text and not text.isprintable():
            raise BadRequestError("this contains a control character")
        return text


def parse(data: bytes) -> Request:
    """Return the request in ``data``, which holds all that came."""
    if len(data) > MOST:
        raise BadRequestError("this is too long")
    fields = data.split(b"\0")
    if len(fields) < 3 or fields[-1] or fields[-2] != END.encode():
        raise BadRequestError("the request is cut off")
    version, wish, *arguments = fields[:-2]
    if version != VERSION.encode():
        raise BadRequestError("the program in the jail is of another version; log in again")
    known = {each.encode(): each for each in Wish}
    if wish not in known or len(arguments) != ARGUMENTS[known[wish]]:
        raise BadRequestError("this is not a request")
    return Request(known[wish], tuple(arguments))
