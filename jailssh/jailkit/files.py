"""What the files of Jailkit's other programs say of an account or its jail, and what becomes of that."""

from __future__ import annotations

import configparser
import math
from collections.abc import Iterator
from functools import cached_property

from jailssh.core.errors import JailsshError
from jailssh.core.names import escape, pluralize
from jailssh.jailkit import jk_check
from jailssh.jailkit.ini import CIni, Section
from jailssh.jailkit.jail import Jail
from jailssh.jailspec.errors import Note, SpecError
from jailssh.jailspec.jkinit import parse_ini
from jailssh.jailspec.sections import SHIPPED
from jailssh.sources.found import Effect, Host, Person, Remark

SOCKETD = "/etc/jailkit/jk_socketd.ini"
CHECK = "/etc/jailkit/jk_check.ini"
UPDATE = "/etc/jailkit/jk_update.ini"
INIT = "/etc/jailkit/jk_init.ini"
UCHROOT = "/etc/jailkit/jk_uchroot.ini"
_UCHROOT_KEYS = ("allowed_jails", "skip_injail_passwd_check")
_SOCKETD_KEYS = ("base", "peak", "interval")
_MAIL = ("/etc/postfix/main.cf", "/etc/mail/sendmail.mc", "/etc/exim4/exim4.conf.localmacros")
_WRAPPER = "jk_procmailwrapper"
_MOST = 10


class Files:
    """The files of a host, each read once."""

    def __init__(self, host: Host, *, readable: bool = True) -> None:
        """``readable``: False where Jailkit's directory is not root's alone, so that nothing of it counts."""
        self._host = host
        self._readable = readable
        self._wrong: dict[str, Remark] = {}

    def _read(self, path: str) -> str | None:
        """Return a file; one that cannot be read confines nobody, so it is only told."""
        try:
            return self._host.read(path) if self._readable else None
        except JailsshError as error:
            self._wrong[path] = Remark(Effect.NOTE, path, str(error))
            return None

    def about(self, person: Person, jail: Jail) -> Iterator[Remark]:
        """Yield what they say of an account in this jail."""
        yield from self._sockets(jail)
        yield from self._checks(jail)
        yield from self._updates(jail)
        yield from self._sections
        yield from self._mail
        yield from self.uchroot(person)
        yield from self._wrong.values()

    def uchroot(self, person: Person) -> Iterator[Remark]:
        """Yield into which jails jk_uchroot lets somebody."""
        text = self._read(UCHROOT)
        if text is None:
            return
        file = CIni(text)
        section = file.choose(_UCHROOT_KEYS, person.name, person.group)
        allowed = [path.rstrip("/") or "/" for path in section.words("allowed_jails")] if section else []
        if section and allowed:
            where = f"{UCHROOT}:{file.line(section.at('allowed_jails'))}"
            text = f"jk_uchroot lets it into {', '.join(allowed)}; from a jail it cannot be called"
            yield Remark(Effect.LOST, where, text)

    @cached_property
    def _socket_file(self) -> tuple[CIni, list[Section]]:
        file = CIni(self._read(SOCKETD) or "")
        return file, file.every(_SOCKETD_KEYS)

    def _sockets(self, jail: Jail) -> Iterator[Remark]:
        file, sections = self._socket_file
        for section in sections:
            if section.name.startswith(f"{jail.path}/"):
                base, peak, interval = rates(section)
                text = (
                    f"{section.name}: jk_socketd passes {base} bytes in {interval:g} s, {peak} at a peak, of all "
                    "accounts together; the relay passes as much of each, and drops what is beyond"
                )
                yield Remark(Effect.CHANGED, f"{SOCKETD}:{file.line(section.begin)}", text)

    def log_of(self, jail: Jail) -> dict[str, dict[str, str | tuple[str, ...]]]:
        """Return the settings by which the accounts of this jail log as much as jk_socketd lets them."""
        found = [section for section in self._socket_file[1] if section.name == f"{jail.path}/dev/log"]
        if not found:
            return {}
        base, peak, interval = rates(found[0])
        seconds = max(1, math.ceil(interval))
        base = round(base * seconds / interval)
        limits = {"log_base": base, "log_peak": max(base, peak), "log_interval": seconds}
        return {"": {"log": "yes"}, "limits": {name: str(value) for name, value in limits.items()}}

    @cached_property
    def _checks_file(self) -> tuple[jk_check.ImportedChecks | None, str]:
        text = self._read(CHECK)
        if text is None:
            return None, ""
        try:
            return jk_check.read(text, CHECK, lambda path: self._host.kind(path.rstrip("/")) == "dir"), ""
        except JailsshError as error:
            return None, str(error)

    def _checks(self, jail: Jail) -> Iterator[Remark]:
        found, wrong = self._checks_file
        if wrong:
            yield Remark(Effect.NOTE, CHECK, f"jk_check cannot read it: {wrong}")
        if found is None:
            return
        yield from (Remark(Effect.NOTE, CHECK, warning) for warning in found.warnings)
        paths = {path for _, path, section in found.rows if section.rstrip("/") == jail.path}
        if paths:
            text = f"jk_check leaves out {pluralize(len(paths), 'path')} of {jail.path}"
            yield Remark(Effect.NOTE, CHECK, f"{text}; to keep that: jailssh config import {CHECK}")

    @cached_property
    def _updates_file(self) -> tuple[configparser.ConfigParser, str]:
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(self._read(UPDATE) or "", UPDATE)
        except configparser.Error as error:
            return configparser.ConfigParser(), escape(str(error).splitlines()[0], 300)
        return parser, ""

    def _updates(self, jail: Jail) -> Iterator[Remark]:
        parser, wrong = self._updates_file
        if wrong:
            yield Remark(Effect.NOTE, UPDATE, f"jk_update cannot read it: {wrong}")
        for section in (name for name in parser.sections() if name.rstrip("/") == jail.path):
            skips = [each.strip() for each in parser.get(section, "skips", fallback="").split(",") if each.strip()]
            if skips:
                shown = ", ".join(skips[:_MOST])
                text = f"[{section}] skips {shown}: an image follows the packages of the host as a whole"
                yield Remark(Effect.CHANGED, UPDATE, text)
            if any(parser.has_option(section, key) for key in ("hardlinks", "hardlink")):
                text = f"[{section}] hardlinks: Jailkit never heeded it; images of jailssh share what is equal"
                yield Remark(Effect.NOTE, UPDATE, text)

    @cached_property
    def _sections(self) -> list[Remark]:
        text = self._read(INIT)
        if text is None:
            return []
        errors: list[SpecError] = []
        notes: list[Note] = []
        found = parse_ini(text.encode("utf-8", "surrogateescape"), INIT, errors, notes)
        remarks = [Remark(Effect.NOTE, error.origin.place, error.why) for error in errors[:_MOST]]
        own = [name for name, _ in found.names() if name not in SHIPPED]
        if own:
            shown = ", ".join(own[:_MOST]) + (f" and {len(own) - _MOST} more" if len(own) > _MOST else "")
            text = f"sections of its own: {shown}; to build trees with them: jailssh build --jk-init {INIT}"
            remarks.append(Remark(Effect.NOTE, INIT, escape(text, 600)))
        return remarks

    @cached_property
    def _mail(self) -> list[Remark]:
        remarks = []
        for path in _MAIL:
            for number, line in enumerate((self._read(path) or "").splitlines(), 1):
                if _WRAPPER in line and not line.lstrip().startswith(("#", "dnl")):
                    text = f"mail of these accounts goes to procmail in Jailkit's jail by {_WRAPPER}, and fails then"
                    text += "; for a jail of ours: jailssh-deliver(8)"
                    remarks.append(Remark(Effect.LOST, f"{path}:{number}", text))
        return remarks


def rates(section: Section) -> tuple[int, int, float]:
    """Return (bytes in an interval, bytes at a peak, seconds of an interval) as jk_socketd takes them."""
    base = section.number("base", 511)
    base = base if 10 <= base <= 1_000_000 else 511
    peak = section.number("peak", 2048)
    peak = peak if 100 <= peak <= 10_000_000 and peak >= base else 2048
    interval = section.real("interval", 0.0)
    return base, peak, interval if 0.01 <= interval <= 60 else 5.0
