"""Every sshd of this host: those that run, and those that a unit starts, with the configuration that each one reads.

The drop-in holds for an sshd that reads ``/etc/ssh/sshd_config``.  One with another file (``-f``), or with options on
its command line, which win over any file, may hand a jailed account to its own shell.
"""

from __future__ import annotations

import glob
import os
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from jailssh.core.errors import ConfigError, JailsshError
from jailssh.core.names import escape
from jailssh.host import accounts
from jailssh.host.paths import Layout
from jailssh.services import sshd, sshd_connections, sshd_matches

_UNITS = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
          "/lib/systemd/system")  # fmt: skip
_DAEMON = "sshd"
_USUAL = "/etc/ssh/sshd_config"
_MOST = 2000
"""So often another server is asked what holds."""
_DECIDE = ("forcecommand", "disableforwarding", "permituserrc", "chrootdirectory", "permittunnel", "exposeauthinfo",
           "ignorerhosts", "authorizedkeysfile", "authorizedkeyscommand", "permituserenvironment")  # fmt: skip
_WITH_VALUE = "CEbcfghkopuA"
"""Options of sshd(8) with a value."""


_Right = Callable[[str, str], Mapping[str, list[str]]]


@dataclass(frozen=True)
class SshdServer:
    """One way in which an sshd is run: where that was seen, and the options that decide what it reads."""

    where: str
    config: str
    options: tuple[str, ...] = ()

    @property
    def is_usual(self) -> bool:
        """True for the one that the drop-in is made for."""
        return not self.options and self.config in ("", _USUAL)


def others() -> list[SshdServer]:
    """Return the servers that run, or that units start, in another way than usual; each way once."""
    found: dict[tuple[str, tuple[str, ...]], SshdServer] = {}
    for server in [*_running(), *_of_units()]:
        if not server.is_usual:
            found.setdefault((server.config, server.options), server)
    return list(found.values())


def unjailed(
    layout: Layout, users: Sequence[str], groups_of: Callable[[str], Collection[str]] | None = None
) -> list[ConfigError]:
    """Return what is wrong with other servers for any of ``users``, who are in a jail: one error for each server.

    Each is compared with the usual one, which the set-up has judged, once for each case that the Match lines of either
    can tell apart, and from each connection.  ``groups_of``: names the groups of an account; NSS does by default.
    """
    servers = others() if users else []
    if not servers:
        return []
    errors = []
    groups = {user: frozenset((groups_of or _groups)(user)) for user in users}
    right = cache(lambda user, place: sshd.effective(user, sshd.main_config(layout), connection=place))
    for server in servers:
        what = f"another sshd, {server.where}"
        hint = f"add to its configuration: Include {layout.sshd_drop_in} (before any Match), or: DenyGroups jailssh"
        try:
            found = _compared(layout, server, groups, right)
        except JailsshError as error:
            found = f"cannot evaluate its configuration: {error.why}"
        if found:
            errors.append(ConfigError(what, found, hint=hint))
    return errors


def _compared(layout: Layout, server: SshdServer, groups: Mapping[str, Collection[str]], right: _Right) -> str:
    """Return why the server does not hold some account as the usual one does, "" if it holds all."""
    lines = [*sshd_matches.lines(layout), *sshd_matches.lines_of(server.config or _USUAL, layout)]
    cases: dict[tuple[object, ...], list[str]] = {}
    for user, its in groups.items():
        cases.setdefault(sshd_matches.case_of(user, its, lines), []).append(user)
    asked = 0
    for place in sshd_connections.connections(lines):
        for alike in cases.values():
            if asked == _MOST:
                return f"not compared for all: its Match lines tell more than {_MOST} cases apart"
            asked += 1
            values = _effective(server, alike[0], place)
            # Who is let in at all goes by other lists than the Match lines.
            let_in = next((user for user in alike if not sshd.kept_out(values, user, groups[user])), None)
            if let_in is not None and (other := _differs(values, right(alike[0], place))):
                keyword, now, was = other
                where = "" if place == sshd_connections.DEFAULT else f" for a login from {place}"
                return f"{keyword} is {now!r} for jailed account {let_in}{where}, expected {was!r}"
    return "; ".join(sshd_connections.unasked(lines))


def _differs(values: Mapping[str, list[str]], right: Mapping[str, list[str]]) -> tuple[str, str, str] | None:
    """Return the first keyword that decides and is another one, how it is, and how it should be."""
    for keyword in _DECIDE:
        was, now = " ".join(right.get(keyword, ["none"])), " ".join(values.get(keyword, ["none"]))
        if was.lower() != now.lower():
            return keyword, escape(now, 100), escape(was, 100)
    return None


def _effective(server: SshdServer, user: str, place: str) -> dict[str, list[str]]:
    options = [word for option in server.options for word in ("-o", option)]
    return sshd.effective(user, server.config or _USUAL, options, place)


def _groups(user: str) -> set[str]:
    entry = accounts.find(user)
    return {name for name, _ in entry.groups} if entry else set()


def _running() -> list[SshdServer]:
    """Return the servers that listen."""
    found = []
    for path in glob.glob("/proc/[0-9]*"):
        with suppress(OSError):
            if (server := listening(int(os.path.basename(path)))) is not None:
                found.append(server)
    return found


def _is_daemon(program: str) -> bool:
    return os.path.basename(program).startswith(_DAEMON)


def listening(pid: int) -> SshdServer | None:
    """Return how process ``pid`` was started if it is a server of root's that is no session's, None if it is none."""
    try:
        # One of another account's serves that account alone; and root must not read the file that it names.
        if os.stat(f"/proc/{pid}/task").st_uid or not _is_daemon(os.readlink(f"/proc/{pid}/exe")):
            return None
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            raw = stream.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    words = [word.decode("utf-8", "surrogateescape") for word in raw.split(b"\0")]
    # A listener and a session write a title over it: "sshd: /usr/sbin/sshd -D -f FILE [listener] 0 of 10-100".
    if words[0].startswith(f"{_DAEMON}: "):
        title = " ".join(words)
        if "[listener]" not in title:
            return None
        words = title.removeprefix(f"{_DAEMON}: ").split(" [listener]")[0].split()
    return _server(words, f"process {pid}")


def _of_units() -> list[SshdServer]:
    """Return the servers that unit files start, in the first of the directories that has the unit."""
    found, seen = [], set()
    for folder in _UNITS:
        for path in sorted(glob.glob(f"{folder}/*.service") + glob.glob(f"{folder}/*.service.d/*.conf")):
            name = path.removeprefix(folder)
            if name in seen:
                continue
            seen.add(name)
            with suppress(OSError), open(path, encoding="utf-8", errors="surrogateescape") as stream:
                for line in stream.read().replace("\\\n", " ").splitlines():
                    key, _, value = line.partition("=")
                    if key.strip() != "ExecStart" or _DAEMON not in value:
                        continue
                    with suppress(ValueError):
                        words = [word for word in shlex.split(value.strip().lstrip("@-:+!")) if "$" not in word]
                        if (server := _server(words, f"unit {os.path.basename(path)}")) is not None:
                            found.append(server)
    return found


def _server(words: list[str], where: str) -> SshdServer | None:
    """Return what a command line says, None if it is not that of a server."""
    if not words or os.path.basename(words[0]) != _DAEMON:
        return None
    config, options, rest = "", [], list(words[1:])
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            continue
        for place, letter in enumerate(word[1:], 1):
            if letter in "tTGV":
                return None  # It tests, and serves nobody.
            if letter not in _WITH_VALUE:
                continue
            value = word[place + 1 :] or (rest.pop(0) if rest else "")
            if letter == "f":
                config = value
            elif letter == "o":
                options.append(value)
            break
    named = f"{where}: {escape(' '.join(words), 200)}"
    return SshdServer(named, config, tuple(options))
