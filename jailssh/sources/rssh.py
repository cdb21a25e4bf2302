"""Accounts whose login shell is rssh, read as rssh reads rssh.conf(5).

The two digits of ``user`` lines are those of rssh 2.1 (sftp, scp), five those of 2.2 and later (rsync, rdist, cvs,
sftp, scp), six those of packages with svnserve.  From 2.3.3 on, any error in the file locks everybody out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from jailssh.core.names import escape
from jailssh.sources import by_shell
from jailssh.sources.by_shell import Case
from jailssh.sources.forced import Left, Refuses
from jailssh.sources.found import Effect, Found, Host

NAME = "rssh"
TITLE = "rssh"
_DIGITS: Mapping[int, tuple[str, ...]] = {
    2: ("sftp", "scp"),
    5: ("rsync", "rdist", "cvs", "sftp", "scp"),
    6: ("rsync", "rdist", "cvs", "sftp", "scp", "svnserve"),
}
_ALLOW = {f"allow{kind}": kind for kind in _DIGITS[6]}
_BLANKS = " \t\n\v\f\r"
_LONGEST = 1023
"""Bytes of a line that rssh reads, its newline included."""
_MOST = 5
"""Errors of a file that are told for each account."""


class _Broken(Exception):
    """A line that rssh does not take."""


@dataclass
class _Conf:
    """What holds for an account; ``line`` is 0 where no ``user`` line is its own.  ``errors``: line and text."""

    allowed: set[str] = field(default_factory=set)
    umask: int = 0o22
    chroot: str = ""
    line: int = 0
    digits: int = 0
    errors: list[tuple[int, str]] = field(default_factory=list)
    others: set[int] = field(default_factory=set)


def find(host: Host) -> list[Found]:
    """Return the accounts whose login shell is rssh."""
    texts: dict[str, str | None] = {}
    found = []
    for case in by_shell.cases(host, NAME, (NAME,), ""):
        case.where = _path(case, texts)
        found.append(by_shell.judged(case) or by_shell.settled(case, lambda each: _account(each, texts[each.where])))
    return found


def _path(case: Case, texts: dict[str, str | None]) -> str:
    """Return the file that this rssh reads, with its text in ``texts``."""
    paths = ["/etc/rssh.conf"]
    if case.person.shell.startswith("/usr/local/"):
        paths.insert(0, "/usr/local/etc/rssh.conf")
    for path in paths:
        if path not in texts:
            texts[path] = case.host.read(path)
        if texts[path] is not None:
            return path
    return paths[-1]


def _account(case: Case, text: str | None) -> Found:
    path = case.where
    if text is None:
        raise Refuses("there is no rssh.conf: rssh 2.3.3 and later refuse every login, 2.1 let scp through")
    conf = _read(text, case.person.name)
    case.where = f"{path}:{conf.line}" if conf.line else path
    for line, error in conf.errors[:_MOST]:
        case.say(Effect.NOTE, error, f"{path}:{line}")
    if conf.errors:
        raise Refuses("there are errors in rssh.conf: rssh 2.3.3 and later refuse every login, older ones skip them")
    if not conf.line:
        case.say(Effect.NOTE, "no user line is for this account, so what the file has for all holds")
    elif len(conf.others | {conf.digits}) > 1:
        raise Refuses("user lines have different numbers of digits, and no rssh takes more than one of these")
    else:
        case.say(Effect.NOTE, f"{conf.digits} digits: {', '.join(_DIGITS[conf.digits])}; another rssh refuses the line")
    if not conf.allowed:
        raise Refuses("nothing is allowed to it")
    return _jail(case, conf)


def _jail(case: Case, conf: _Conf) -> Found:
    if "cvs" in conf.allowed:
        case.say(Effect.LOST, "cvs: rssh does not say which repositories; name them in [cvs] repositories")
    if "svnserve" in conf.allowed:
        case.say(Effect.LOST, "svnserve: rssh does not say which repositories; name their directory in [svn] root")
    if "rdist" in conf.allowed:
        case.say(Effect.LOST, "rdist: there is no plugin for it")
    kinds = conf.allowed & {"sftp", "scp", "rsync"}
    if not kinds:
        raise Left(f"{', '.join(sorted(conf.allowed))} alone is allowed, which no jail has without a directory")
    home = ("", "")
    if conf.chroot:
        home = by_shell.in_chroot(case, by_shell.root_of(conf.chroot))
    else:
        case.say(Effect.CLOSED, by_shell.OUTSIDE)
    if kinds & {"sftp", "scp"} == {"scp"}:
        case.say(Effect.CHANGED, by_shell.SCP_ONLY)
    if "rsync" in kinds:
        case.say(Effect.CHANGED, "rsync takes the options that the rsync plugin knows, -L, -k and -s not among them")
    rows, uses, called = by_shell.transfers(kinds, NAME)
    if conf.umask != 0o22:
        rows[""]["umask"] = f"{conf.umask:03o}"
    return case.migrates(rows, uses, called, home)


def _read(text: str, name: str) -> _Conf:
    conf = _Conf()
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        last = number == len(lines)
        if last and not line:
            break
        try:
            if last or "\0" in line or len(line.encode("utf-8", "surrogateescape")) >= _LONGEST:
                raise _Broken("the line is too long, has a NUL byte, or no newline ends it")
            _line(line, number, name, conf)
        except _Broken as error:
            if not conf.line:
                conf.errors.append((number, str(error)))
    return conf


def _line(line: str, number: int, name: str, conf: _Conf) -> None:
    keyword, at = _token(line, 0)
    if keyword in ("", "#"):
        return
    word = keyword.lower()
    if conf.line:
        # rssh reads no further; what other lines look like still tells which rssh the file was written for.
        if word == "user":
            with suppress(_Broken):
                _note(_value(line, at), conf)
        return
    if word in _ALLOW:
        _end(line, at)
        conf.allowed.add(_ALLOW[word])
    elif word == "chrootpath":
        conf.chroot = _value(line, at)
    elif word == "umask":
        conf.umask = _umask(_value(line, at))
    elif word == "user":
        _user(_value(line, at), number, name, conf)
    elif word == "logfacility":
        _value(line, at)
    else:
        raise _Broken(f"rssh does not know the keyword {escape(keyword, 60)!r}")


def _token(text: str, at: int, *, colon: bool = False, spaces: bool = False) -> tuple[str, int]:
    """Return the next token and where it ends; "" where there is none.  Quotes are taken off, wherever they stand."""
    while at < len(text) and text[at] in _BLANKS:
        at += 1
    start = at
    out: list[str] = []
    while at < len(text):
        char = text[at]
        if char in _BLANKS and not spaces:
            break
        if char in "=#" or (colon and char == ":"):
            return ("".join(out), at) if at > start else (char, at + 1)
        if char in "\"'":
            end = text.find(char, at + 1)
            if end < 0:
                raise _Broken("a quote is not closed")
            out.append(text[at + 1 : end])
            at = end + 1
        else:
            out.append(char)
            at += 1
    return "".join(out), at


def _end(line: str, at: int) -> None:
    after, _ = _token(line, at)
    if after not in ("", "#"):
        raise _Broken(f"{escape(after, 60)!r} stands where the line should end")


def _value(line: str, at: int) -> str:
    equal, at = _token(line, at)
    if equal != "=":
        raise _Broken("'=' is missing")
    value, at = _token(line, at)
    if not value or value in "=#":
        raise _Broken("the value is missing")
    _end(line, at)
    return value


def _umask(text: str) -> int:
    if not re.match(r"0*[0-7]{1,3}\Z", text):
        raise _Broken(f"{escape(text, 60)!r} is no umask")
    return int(text, 8)


def _fields(value: str) -> list[str]:
    """Return what stands between the colons: name, umask, digits and, where there is one, a path."""
    fields, at = [], 0
    for spaces in (True, False, False, True):
        field_, at = _token(value, at, colon=True, spaces=spaces)
        if field_ == ":":
            # Nothing stood there; a path may be missing.
            field_, at = "", at - 1
        fields.append(field_)
        after, next_ = _token(value, at, colon=True)
        if after == ":" and len(fields) < 4:
            at = next_
        elif not after:
            break
        else:
            raise _Broken(f"{escape(after, 60)!r} is not expected in a user line")
    return fields


def _note(value: str, conf: _Conf) -> None:
    """Note how many digits another user line has."""
    fields = _fields(value)
    if len(fields) > 2 and re.match(r"[01]+\Z", fields[2]):
        conf.others.add(len(fields[2]))


def _user(value: str, number: int, name: str, conf: _Conf) -> None:
    first, _ = _token(value, 0, colon=True, spaces=True)
    if first != name:
        # rssh does not look at the rest of another one's line, so nothing there is an error.
        with suppress(_Broken):
            _note(value, conf)
        return
    fields = _fields(value)
    if len(fields) < 3:
        raise _Broken("a user line is name:umask:digits:path")
    digits = fields[2]
    if not re.match(r"[01]+\Z", digits) or len(digits) not in _DIGITS:
        raise _Broken(f"{escape(digits, 60)!r} is not a row of two, five or six digits 0 and 1")
    umask = _umask(fields[1])
    conf.allowed = {kind for kind, digit in zip(_DIGITS[len(digits)], digits, strict=True) if digit == "1"}
    conf.umask, conf.line, conf.digits = umask, number, len(digits)
    conf.chroot = fields[3] if len(fields) > 3 else ""
