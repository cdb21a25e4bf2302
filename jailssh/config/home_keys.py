"""The keys in somebody's own authorized_keys file, for root's: what each line means to sshd, and what of it stays.

sshd(8), AUTHORIZED_KEYS FILE FORMAT.  A line is split as sshd does it: blanks count only outside of double quotes, a
backslash before a quote is the only escape, names of options have no case.  Options that limit a key are kept; those
that would give it something are not, since the jail decides.  An option that says what a key may *do* has no meaning
in a jail: the key would get all that the account can do, so somebody has to say what becomes of it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from jailssh.config.keys import MAX_LINE, TYPES, Key, check_principal, lines_of, parse_keys, words_of
from jailssh.core.errors import JailsshError, UsageError
from jailssh.core.names import escape

_OPTION = re.compile(r'([A-Za-z0-9-]+)(?:="((?:\\"|[^"])*)")?(,|\Z)')
_FROM = re.compile(r"[A-Za-z0-9.:/*?!,_%-]{1,1024}\Z")
_EXPIRY = re.compile(r"[0-9]{8}(?:[0-9]{4}(?:[0-9]{2})?)?Z?\Z")
_COMMANDS = frozenset({"command", "environment", "permitopen", "permitlisten", "tunnel"})
"""Options that say what a key may do, each with a value."""
_KEPT = frozenset({"cert-authority", "no-touch-required", "verify-required"})
_SWITCHES = frozenset(
    {"restrict", "cert-authority", "touch-required", "no-touch-required", "verify-required", "no-verify-required"}
) | {
    f"{no}{name}" for no in ("", "no-") for name in ("agent-forwarding", "port-forwarding", "pty", "user-rc")
} | {"x11-forwarding", "no-x11-forwarding"}  # fmt: skip
_ONCE = frozenset({"command", "from", "principals"})


@dataclass(frozen=True)
class HomeKey:
    """A key of a home: where it stands, the options that stay, if it may have a terminal, what it was limited to.

    ``said``: every option of the line in its order, names in lower case, values as sshd takes them.
    """

    origin: str
    key: Key
    options: tuple[str, ...]
    terminal: bool
    commands: tuple[str, ...]
    said: tuple[tuple[str, str | None], ...] = ()

    def authorized(self, login_program: str) -> str:
        """Return the line of root's file for this key, without a newline."""
        words = ["restrict", *(["pty"] if self.terminal else []), *self.options, f'command="{login_program}"']
        return f"{','.join(words)} {self.key.kind} {self.key.blob} {self.key.comment}".rstrip()


@dataclass(frozen=True)
class HomeKeys:
    """What a home's files say: the keys, and lines that stay out, each with the reason."""

    keys: tuple[HomeKey, ...] = ()
    unread: tuple[str, ...] = ()

    def limited(self) -> tuple[HomeKey, ...]:
        """Return the keys that were limited to a command or the like."""
        return tuple(key for key in self.keys if key.commands)


def read(text: bytes, path: str) -> HomeKeys:
    """Return what the file at ``path`` says; a line that sshd would not take either is among those that stay out."""
    keys: list[HomeKey] = []
    unread: list[str] = []
    for number, raw in enumerate(text.split(b"\n"), 1):
        line = raw.decode("utf-8", "surrogateescape").strip(" \t\r\0")
        if not line or line.startswith("#"):
            continue
        origin = f"{path}:{number}"
        try:
            keys.append(_read_line(line, origin))
        except JailsshError as error:
            unread.append(f"{origin}: {error.why}")
    return HomeKeys(tuple(keys), tuple(unread))


def _read_line(line: str, origin: str) -> HomeKey:
    if len(line) > MAX_LINE:
        raise UsageError(origin, "the line is too long")
    try:
        (key,) = parse_keys(line.encode("utf-8", "surrogateescape"), origin)
        return HomeKey(origin, key, (), True, ())
    except JailsshError:
        if words_of(line)[0] in TYPES:
            raise
        head, rest = _split(line, origin)
    (key,) = parse_keys(rest.encode("utf-8", "surrogateescape"), origin)
    return _judged(head, key, origin)


def _split(line: str, origin: str) -> tuple[str, str]:
    """Return the options and what follows them, as sshkey_advance_past_options() of sshd does."""
    quoted = False
    at = 0
    while at < len(line) and (quoted or line[at] not in " \t"):
        if line[at] == "\\" and line[at + 1 : at + 2] == '"':
            at += 1
        elif line[at] == '"':
            quoted = not quoted
        at += 1
    if quoted:
        raise UsageError(origin, "a quote is not closed")
    return line[:at], line[at:].lstrip(" \t")


def _judged(head: str, key: Key, origin: str) -> HomeKey:
    terminal = True
    kept: list[str] = []
    commands: list[str] = []
    seen: set[str] = set()
    for name, value in _options(head, origin):
        if name in seen & _ONCE:
            raise UsageError(origin, f"option {name!r} is given twice, so sshd ignores the line")
        seen.add(name)
        if name in ("restrict", "no-pty", "pty"):
            terminal = name == "pty"
        elif name in _COMMANDS:
            commands.append(f'{name}="{escape(value or "", 200)}"')
        elif name in _KEPT:
            kept.append(name)
        elif value is not None:
            kept.append(f'{name}="{value}"')
    said = tuple((name, value and value.replace('\\"', '"')) for name, value in _options(head, origin))
    return HomeKey(origin, key, tuple(kept), terminal, tuple(commands), said)


def _options(head: str, origin: str) -> Sequence[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []
    at = 0
    while at < len(head):
        match = _OPTION.match(head, at)
        if not match or (match[3] == "," and match.end() == len(head)):
            raise UsageError(origin, f"{escape(head[at:], 40)!r} is not an sshd option")
        name, value = match[1].lower(), match[2]
        _check(name, value, origin)
        found.append((name, value))
        at = match.end()
    return found


def _check(name: str, value: str | None, origin: str) -> None:
    """Raise for an option that sshd does not know, and for a value that root's file shall not hold."""
    good = (
        (name in _SWITCHES and value is None)
        or (name in _COMMANDS and value is not None)
        or (name == "from" and value is not None and _FROM.match(value) is not None)
        or (name == "expiry-time" and value is not None and _EXPIRY.match(value) is not None)
    )
    if name == "principals" and value is not None:
        for each in value.split(","):
            check_principal(each)
        good = True
    if not good:
        raise UsageError(origin, f"{escape(name, 40)}{'=' if value is not None else ''}: not a valid sshd option")


def merged(existing: str, new: Collection[HomeKey], login_program: str) -> str:
    """Return the text of root's file: the lines of ``existing``, and those keys that none of its lines has."""
    lines = lines_of(existing)
    present = {word for line in lines for word in words_of(line)}
    for each in new:
        if each.key.blob not in present:
            lines.append(each.authorized(login_program))
            present.add(each.key.blob)
    return "".join(f"{line}\n" for line in lines)
