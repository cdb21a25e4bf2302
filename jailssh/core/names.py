"""Names and their character sets: jails, accounts, paths.

Names never reach a path or an argument vector without passing one of these.  Accounts are identified by uid in
every path (``plan.v1/<uid>``), the name is for people.
"""

from __future__ import annotations

import posixpath
import re
from typing import NewType, TypeVar, cast

from jailssh.core.errors import UsageError

# A path on the host and a path inside a jail look the same; mixing them up is the classic bug of this field.
HostPath = NewType("HostPath", str)
JailPath = NewType("JailPath", str)
P = TypeVar("P", HostPath, JailPath)

# Compiled as they are used: a command needs few of them.
_JAIL_NAME = r"[a-z0-9][a-z0-9_.-]{0,63}"
_COMBINED = r"[a-z0-9][a-z0-9_.+-]{0,199}"
# useradd(8) of shadow with names as directories hand them out: letters, digits, '_.-', realms by '@', a trailing '$'.
_MOST_DIGITS = 20
"""Of what fits into 64 bits."""
_ACCOUNT_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,254}\$?"
_CLEAN = re.compile(r"(/(?!\.{1,2}(/|\Z))[^/\x00-\x1f\x7f]+)+\Z")

MAX_UID = 2**31 - 1
_SIZES = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""The days of the week in jail files and plans, where Monday is the first."""


def check_jail_name(name: str, *, combined: bool = False) -> str:
    """Return ``name`` if it can name a jail (``combined``: also ``a+b``), else raise :class:`UsageError`."""
    if not re.fullmatch(_COMBINED if combined else _JAIL_NAME, name) or ".." in name:
        raise UsageError(
            f"jail name {name!r}",
            "is not valid",
            hint="use at most 64 lower-case letters, digits, '_', '.', '-', beginning with a letter or digit",
        )
    return name


def check_account_name(name: str) -> str:
    """Return ``name`` if it can name an account, else raise :class:`UsageError`."""
    if not re.fullmatch(_ACCOUNT_NAME, name) or name.isdigit():
        raise UsageError(
            f"account name {name!r}",
            "is not valid",
            hint="use letters, digits and '_.@-', not beginning with '-' or '.', not only digits",
        )
    return name


def below(root: HostPath, path: JailPath) -> HostPath:
    """Return where on the host ``path`` is of the jail or tree at ``root``, both clean; it is not followed."""
    return HostPath(path if root == "/" else root if path == "/" else root + path)


def same_place(path: HostPath) -> JailPath:
    """Return where in a jail stands what keeps the place that it has on the host."""
    return JailPath(path)


def same_source(path: JailPath) -> HostPath:
    """Return where on the host is looked for what a jail has at ``path``: the same place."""
    return HostPath(path)


def joined(path: P, name: str) -> P:
    """Return ``name`` (or several components) in the directory ``path``."""
    return cast("P", f"{path.rstrip('/')}/{name}")


def directory_of(path: P) -> P:
    """Return the directory that holds ``path``; ``/`` holds itself."""
    return cast("P", posixpath.dirname(path))


def is_clean_absolute(path: str) -> bool:
    """True if ``path`` is absolute, canonical in text (no ``//``, ``.``, ``..``, trailing ``/``) and printable."""
    return path == "/" or _CLEAN.match(path) is not None


def check_absolute(path: str, what: str) -> str:
    """Return ``path`` if :func:`is_clean_absolute` holds, else raise :class:`UsageError` about ``what``."""
    if not is_clean_absolute(path):
        raise UsageError(what, f"{path!r} is not a plain absolute path", hint="use no '..', '//', '.' or control bytes")
    return path


def is_below(path: str, root: str) -> bool:
    """True if ``path`` is ``root`` or below it, compared by whole components (both clean absolute)."""
    return root == "/" or path == root or path.startswith(root + "/")


def is_number(text: str) -> bool:
    """True if ``text`` is a decimal number as files and the kernel write it; int() takes it, whatever its length.

    ``str.isdigit`` takes more: digits of other scripts, and signs such as ² that int() refuses.
    """
    return text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS


def pluralize(number: int, what: str, ending: str = "s") -> str:
    """Return ``number`` with its noun, as in ``1 plan`` and ``2 plans``; ``ending`` makes the plural."""
    return f"{number} {what}{'' if number == 1 else ending}"


def binary_size(number: int) -> str:
    """Return a number of bytes in the largest unit that leaves no rest: ``512 KiB``, ``1000 bytes``."""
    for unit, length in _SIZES:
        if number and number % length == 0:
            return f"{number // length} {unit}"
    return pluralize(number, "byte")


TURNING = frozenset("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""What is not seen and acts on the text around it: it turns the direction of writing (UAX #9), or ends a line."""


def escape(text: str | bytes, limit: int = 4096) -> str:
    r"""Return ``text`` with control characters and undecodable bytes as ``\xNN``, bounded to ``limit`` characters.

    What acts on the text around it without being seen stands as ``\uNNNN``.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    if text.isascii() and text.isprintable() and len(text) <= limit:
        return text
    out = []
    for char in text[:limit]:
        code = ord(char)
        if 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")
        elif code < 0x20 or 0x7F <= code <= 0x9F:
            out.append(f"\\x{code:02x}")
        elif char in TURNING:
            out.append(f"\\u{code:04x}")
        else:
            out.append(char)
    return "".join(out) + ("…" if len(text) > limit else "")


def pasted(path: str, limit: int = 200) -> str:
    """Return a path that others have chosen as one word of a command that somebody is told to type."""
    import shlex  # slow to import, and for a hint alone

    return shlex.quote(escape(path, limit))
