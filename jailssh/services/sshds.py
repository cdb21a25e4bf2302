"""Every sshd of this host: those that run, and those that a unit starts, with the configuration that each one reads.

The drop-in holds for an sshd that reads ``/etc/ssh/sshd_config``.  One with another file (``-f``), or with options on
its command line, which win over any file, may hand a jailed account to its own shell.
"""

from __future__ import annotations

import glob
import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from jailssh.core.errors import ConfigError, JailsshError
from jailssh.core.names import escape
from jailssh.host import accounts
from jailssh.host.paths import Layout
from jailssh.services import sshd

_UNITS = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
          "/lib/systemd/system")  # fmt: skip
_DAEMON = "sshd"
_MOST = 50
_DECIDE = ("forcecommand", "disableforwarding", "permituserrc", "chrootdirectory", "permittunnel", "exposeauthinfo",
           "ignorerhosts", "authorizedkeysfile", "authorizedkeyscommand", "permituserenvironment")  # fmt: skip
_WITH_VALUE = "CEbcfghkopuA"
"""Options of sshd(8) with a value."""


@dataclass(frozen=True)
class SshdServer:
    """One way in which an sshd is run: where that was seen, and the options that decide what it reads."""

    where: str
    config: str
    options: tuple[str, ...] = ()

    @property
    def is_usual(self) -> bool:
        """True for the one that the drop-in is made for."""
        return not self.options and self.config in ("", "/etc/ssh/sshd_config")


def others() -> list[SshdServer]:
    """Return the servers that run, or that units start, in another way than usual; each way once."""
    found: dict[tuple[str, tuple[str, ...]], SshdServer] = {}
    for server in [*_running(), *_of_units()]:
        if not server.is_usual:
            found.setdefault((server.config, server.options), server)
    return list(found.values())


def unjailed(layout: Layout, users: Sequence[str]) -> list[ConfigError]:
    """Return what is wrong with other servers for any of ``users``, who are in a jail: one error for each server.

    Each is compared with the usual one, which the set-up has judged.
    """
    errors = []
    servers = others() if users else []
    right = {user: sshd.effective(user, sshd.main_config(layout)) for user in users[:_MOST]} if servers else {}
    for server in servers:
        what = f"another sshd, {server.where}"
        hint = f"add to its configuration: Include {layout.sshd_drop_in} (before any Match), or: DenyGroups jailssh"
        try:
            why = next((why for user, values in right.items() if (why := _differs(server, user, values))), "")
        except JailsshError as error:
            why = f"cannot evaluate its configuration: {error.why}"
        if why:
            errors.append(ConfigError(what, why, hint=hint))
    return errors


def _differs(server: SshdServer, user: str, right: Mapping[str, list[str]]) -> str:
    values = _effective(server, user)
    if sshd.kept_out(values, user, _groups(user)):
        return ""
    for keyword in _DECIDE:
        was, now = " ".join(right.get(keyword, ["none"])), " ".join(values.get(keyword, ["none"]))
        if was.lower() != now.lower():
            return f"{keyword} is {escape(now, 100)!r} for jailed account {user}, expected {escape(was, 100)!r}"
    return ""


def _effective(server: SshdServer, user: str) -> dict[str, list[str]]:
    options = [word for option in server.options for word in ("-o", option)]
    return sshd.effective(user, server.config or "/etc/ssh/sshd_config", options)


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
