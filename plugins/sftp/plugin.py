"""The sftp plugin: file transfer by the SFTP subsystem.

sshd hands the configured subsystem command to the login program, so ``internal-sftp`` and the path of any
distribution's sftp-server mean the same here; flags that come with it are dropped, since the client of ``ssh host
'/usr/lib/openssh/sftp-server -d /'`` can choose them.  sftp-server(8) describes the flags that are executed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from jailssh.core.errors import ConfigError
from jailssh.plugin.api import API_VERSION, Account, ImageNeeds, Jail, Listed, Option, PluginResult, Reach, Rule, Value
from jailssh.plugin.trials import Trial
from jailssh_plugins.roots import expand
from jailssh_plugins.sftp import trials

SERVER_PATHS = (
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/libexec/sftp-server",
    "/usr/lib/sftp-server",
    "/usr/lib/misc/sftp-server",
)
"""Where distributions keep sftp-server: Debian, Fedora, Arch and SUSE, BSD style, the old Debian link, Gentoo."""

_REQUESTS = (
    "open close read write lstat fstat setstat fsetstat opendir readdir remove mkdir rmdir realpath stat rename "
    "readlink symlink posix-rename statvfs fstatvfs hardlink fsync lsetstat limits expand-path copy-data "
    "home-directory users-groups-by-id"
)
"""What ``sftp-server -Q requests`` prints, OpenSSH 9.2; the server itself accepts a misspelt name in silence."""

_DROP = (
    "open close write lstat fstat stat realpath statvfs fstatvfs fsync limits expand-path home-directory "
    "users-groups-by-id"
)
"""What a drop box permits: making files and filling them.  A request that is not here is refused, also a new one."""

_APPEND = f"{_DROP} read opendir readdir readlink"
_KEEP = 0o222
"""Without a right to write, what was closed cannot be opened for writing again; a setstat that gave it is refused."""

_UMASK = re.compile(r"0?[0-7]{1,3}\Z")


def find_server(jail: Jail) -> str:
    """Return the path of this host's sftp-server; :class:`ConfigError` if there is none."""
    for name in ("sftp-server", *SERVER_PATHS):
        path = jail.find_program(name)
        if path:
            return path
    raise ConfigError("sftp-server", "not found on this host", hint="install openssh-sftp-server")


def server_rule(rule: str, plugin: str, server: str, flags: tuple[str, ...], *, log: bool, keep: bool = False) -> Rule:
    """Return the rule that runs ``server`` with ``flags`` however the client spells it.

    ``log``: what it does with files goes to the journal, by way of its standard error.  ``keep``: it adds files only.
    """
    return Rule(
        id=rule,
        plugin=plugin,
        program=server,
        command_names=tuple(dict.fromkeys(("internal-sftp", "sftp-server", server, *SERVER_PATHS))),
        argv_prefix=(*(("-e", "-l", "INFO") if log else ()), *flags),
        ignore_arguments=True,
        stderr_to_journal=log,
        create_only=keep,
    )


class Sftp:
    """See :class:`jailssh.plugin.Plugin`."""

    api_version = API_VERSION
    name = "sftp"
    summary = "file transfer with sftp clients"
    options = (
        Option("read_only", "bool", "no", "refuse all changes (sftp-server -R); the home is mounted read-only"),
        Option("write_only", "bool", "no", "drop box: new files only; no listing, reading, overwriting, removing"),
        Option("append_only", "bool", "no", "new files and reading only; no overwriting, moving, removing"),
        Option("umask", "word", "", "umask for new files, octal, as in 027; empty means the jail's umask"),
        Option(
            "start",
            "path",
            "",
            "start directory, in one that is shown, or /; empty means the home",
            listed=Listed.INSIDE,
        ),
        Option("allow_requests", "words", "", "only these requests are allowed, names as for deny_requests"),
        Option("deny_requests", "words", "", "requests to refuse, names as sftp-server -Q requests prints them"),
        Option("log", "bool", "yes", "record file operations in the journal, with the session"),
    )

    def image(self, jail: Jail, settings: Mapping[str, Value]) -> ImageNeeds:  # noqa: ARG002
        """The server alone."""
        return ImageNeeds(programs=(find_server(jail),))

    def account(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> PluginResult:
        """One rule; the flags come from the settings, never from the client."""
        read_only = bool(settings["read_only"])
        flags = self._flags(account, settings)
        kept = ("/",) if settings["write_only"] or settings["append_only"] else ()
        written = () if read_only else ("/",)
        log, keep = bool(settings["log"]), bool(kept)
        rule = server_rule("sftp.server", self.name, find_server(jail), flags, log=log, keep=keep)
        reach = Reach(writes=written, changes=() if kept else written, keeps=kept)
        return PluginResult((rule,), "sftp", home="ro" if read_only else "rw", reach=reach)

    def trials(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> tuple[Trial, ...]:  # noqa: ARG002
        """Each kind of request, as the settings allow it, and ways out of the home."""
        allowed = set(_requests(settings, "allow_requests"))
        if settings["write_only"] or settings["append_only"]:
            mode = set((_DROP if settings["write_only"] else _APPEND).split())
            allowed = mode & allowed if allowed else mode
        denies = (set(_REQUESTS.split()) - allowed if allowed else set()) | set(_requests(settings, "deny_requests"))
        keeps = bool(settings["write_only"] or settings["append_only"])
        return trials.trials(
            self.name, account, denies=frozenset(denies), keeps=keeps, read_only=bool(settings["read_only"])
        )

    def _flags(self, account: Account, settings: Mapping[str, Value]) -> tuple[str, ...]:
        modes = [name for name in ("read_only", "write_only", "append_only") if settings[name]]
        if len(modes) > 1:
            raise ConfigError(f"[sftp] {modes[0]} and {modes[1]}", "cannot be combined")
        flags = ["-R"] if modes == ["read_only"] else []
        keeps = modes in (["write_only"], ["append_only"])
        umask = _umask(str(settings["umask"]), keep=keeps)
        if umask:
            flags += ["-u", umask]
        allowed = _requests(settings, "allow_requests")
        if keeps:
            mode = (_DROP if modes == ["write_only"] else _APPEND).split()
            allowed = tuple(name for name in mode if name in allowed or not allowed)
        if allowed:
            flags += ["-p", ",".join(allowed)]
        denied = _requests(settings, "deny_requests")
        if denied:
            flags += ["-P", ",".join(denied)]
        start = str(settings["start"])
        if start:
            # sftp-server expands %d and %u in this path.
            flags += ["-d", expand(start, account, "[sftp] start").replace("%", "%%")]
        return tuple(flags)


def _umask(text: str, *, keep: bool) -> str:
    """Return the umask to set, or ``""``; ``keep`` takes the right to write from every new file."""
    if text and not _UMASK.match(text):
        raise ConfigError("[sftp] umask", f"{text!r} is not an octal number up to 777")
    return f"{int(text or '022', 8) | _KEEP:03o}" if keep else text


def _requests(settings: Mapping[str, Value], setting: str) -> tuple[str, ...]:
    names = settings[setting]
    return tuple(_request(name, setting) for name in names) if isinstance(names, tuple) else ()


def _request(name: str, setting: str) -> str:
    short = name.removesuffix("@openssh.com")
    known = _REQUESTS.split()
    if short not in known:
        near = difflib.get_close_matches(short, known, 1)
        hint = f"did you mean {near[0]!r}?" if near else "sftp-server -Q requests"
        raise ConfigError(f"[sftp] {setting}", f"{name!r} is not an sftp request", hint=hint)
    return short


plugin = Sftp()
