"""Files that the administrator names on the command line; they need not belong to root, so they are only read."""

from __future__ import annotations

from jailssh.core.errors import HostError, UsageError


def read_named(path: str, what: str, most: int, kind: str) -> bytes:
    """Return the content of a file, "-" for standard input.

    Raises, naming ``what``, if it cannot be read or has more than ``most`` bytes.

    ``kind``: what the file should be, for people.
    """
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as stream:
            data = stream.read(most + 1)
    except OSError as error:
        raise HostError(what, (error.strerror or str(error)).lower()) from error
    if len(data) > most:
        raise UsageError(what, f"is larger than {most} bytes, the limit for {kind}")
    return data
