"""Accounts whose login shell is MySecureShell, read as it reads sftp_config.

Of the tags that are open, the innermost alone decides whether lines are active; a tag without an argument opens
nothing, though its end closes what is open.  Names have capitals, the last value of a name holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from jailssh.core.names import escape
from jailssh.sources import by_shell
from jailssh.sources.by_shell import Case, Rows
from jailssh.sources.forced import Left, Refuses, home_of
from jailssh.sources.found import Effect, Found, Host, Person
from jailssh.sources.shell_words import NO_SHELLS

NAME = "mysecureshell"
TITLE = "MySecureShell"
PATHS = ("/etc/ssh/sftp_config", "/etc/sftp_config")
_SHELLS = ("mysecureshell", "MySecureShell")
_DEEPEST = 10
_LOADS = 200
"""Files that are read for one account: those that include one another could go on."""
_PIECE = 1023
"""Bytes of a line; the rest of a longer one is the next line."""
_DENIES: Mapping[str, tuple[str, ...]] = {
    "DisableRemoveDir": ("rmdir",),
    "DisableRemoveFile": ("remove",),
    "DisableReadDir": ("opendir", "readdir"),
    "DisableReadFile": ("read", "copy-data"),
    "DisableWriteFile": ("write", "copy-data"),
    "DisableSetAttribute": ("setstat", "fsetstat", "lsetstat"),
    "DisableMakeDir": ("mkdir",),
    "DisableRename": ("rename", "posix-rename"),
    "DisableSymLink": ("symlink", "hardlink"),
    "DisableStatsFs": ("statvfs", "fstatvfs"),
}
_CHANGES = frozenset({"DisableRemoveDir", "DisableRemoveFile", "DisableWriteFile", "DisableSetAttribute",
                      "DisableMakeDir", "DisableRename", "DisableSymLink"})  # fmt: skip
"""Together they forbid every change."""
_LOST: Mapping[str, str] = {
    "GlobalDownload": "a bandwidth for all accounts together",
    "GlobalUpload": "a bandwidth for all accounts together",
    "LimitConnection": "a number of connections for all accounts together",
    "LimitConnectionByIP": "a number of connections for an address",
    "MaxOpenFilesForUser": "a number of open files",
    "MaxReadFilesForUser": "a number of open files",
    "MaxWriteFilesForUser": "a number of open files",
    "MinimumRights": "rights that every file gets",
    "Charset": "names in another character set",
    "IsAdmin": "the account administers MySecureShell",
    "IsSimpleAdmin": "the account administers MySecureShell",
    "ForceUser": "files are shown as another account's",
    "ForceGroup": "files are shown as another group's",
    "CreateHome": "a home that is missing is made at the login",
    "CallbackUpload": "a command after each upload",
    "CallbackDownload": "a command after each download",
    "DirFakeMode": "directories are shown with other rights",
}
_SHOWS: Mapping[str, str] = {
    "IgnoreHidden": "files whose name begins with a dot do not exist for it today; in a jail they do",
    "HideNoAccess": "files that it cannot read are not listed today; in a jail they are",
    "DirFakeUser": "the owner of files is hidden today; in a jail it is shown",
    "DirFakeGroup": "the group of files is hidden today; in a jail it is shown",
}
_OTHERS = frozenset({
    "Download", "Upload", "StayAtHome", "VirtualChroot", "LimitConnectionByUser", "Home", "Shell", "ResolveIP",
    "IdleTimeOut", "ByPassGlobalDownload", "ByPassGlobalUpload", "ShowLinksAsLinks", "SftpProtocol", "LogFile",
    "LogSyslog", "ConnectionMaxLife", "DisableAccount", "DisableOverwrite", "CanChangeRights", "CanChangeTime",
    "ExpireDate", "DefaultRights", "MaximumRights", "ForceRights", "ApplyFileSpec", "CanRemoveDir", "CanRemoveFile",
    "GMTTime", "HideFiles", "PathAllowFilter", "PathDenyFilter",
})  # fmt: skip
_KNOWN = _OTHERS | {*_DENIES, *_LOST, *_SHOWS}
_WORD = re.compile(r"""(?:\\.|"[^"]*(?:"|\Z)|'[^']*(?:'|\Z)|[^ \t])+""", re.DOTALL)
_COMMENT = re.compile(r"""\A((?:\\.|"[^"]*(?:"|\Z)|'[^']*(?:'|\Z)|[^#\\"'])*)""", re.DOTALL)
_PIECES = re.compile(r"""\\(.?)|"([^"]*)(?:"|\Z)|'([^']*)(?:'|\Z)""", re.DOTALL)
_VARIABLE = re.compile(r"\$\{?([A-Za-z0-9_]*)\}?")
_CONDITIONAL = ("iprange", "virtualhost")


class _Ends(Exception):
    """MySecureShell ends with an error in its configuration."""


@dataclass
class _Conf:
    """Values by name, each with its place; ``hold``: blocks for some addresses count."""

    person: Person
    host: Host
    hold: bool
    values: dict[str, tuple[tuple[str, ...], str]] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)
    tags: list[tuple[str, str]] = field(default_factory=list)
    blocks: list[str] = field(default_factory=list)
    loads: int = 0

    def on(self, name: str) -> bool:
        """Return a value that is yes or no."""
        words, _ = self.values.get(name, ((), ""))
        return words[:1] == ("1",) or (bool(words) and words[0].lower() == "true")

    def number(self, name: str, read: Callable[[tuple[str, ...]], int]) -> int:
        """Return a value that is a number, 0 where it is not there."""
        words, _ = self.values.get(name, ((), ""))
        return read(words)


def find(host: Host) -> list[Found]:
    """Return the accounts whose login shell is MySecureShell."""
    every = by_shell.cases(host, NAME, _SHELLS, PATHS[0])
    return [by_shell.judged(case) or by_shell.settled(case, _account) for case in every]


def _account(case: Case) -> Found:
    conf, other = (_load(case, hold=hold) for hold in (False, True))
    for where, text in conf.notes:
        case.say(Effect.NOTE, text, where)
    if {name: words for name, (words, _) in conf.values.items()} != {n: w for n, (w, _) in other.values.items()}:
        for where in other.blocks:
            case.say(Effect.NOTE, "holds for some addresses or hosts only, and a jail for all", where)
        raise Left("what it may depends on the address")
    case.where = next((w for name in ("Home", "StayAtHome", "VirtualChroot") for w in _places(conf, name)), case.where)
    if conf.on("DisableAccount"):
        raise Refuses("DisableAccount is true")
    if "ApplyFileSpec" in conf.values:
        raise Left("ApplyFileSpec allows and denies names of files, which no jail does")
    return _jail(case, conf)


def _places(conf: _Conf, name: str) -> Iterator[str]:
    if name in conf.values:
        yield conf.values[name][1]


def _load(case: Case, *, hold: bool) -> _Conf:
    conf = _Conf(case.person, case.host, hold)
    try:
        if not any(_file(path, conf, _DEEPEST) for path in PATHS):
            raise Refuses("there is no configuration file")
    except _Ends as error:
        raise Refuses(f"MySecureShell stops at an error: {error}") from error
    return conf


def _file(path: str, conf: _Conf, left: int) -> bool:
    """Read a file; False where there is none, or too many are open."""
    conf.loads += 1
    if conf.loads > _LOADS:
        raise Left(f"{path} is included more than {_LOADS} times")
    text = conf.host.read(path) if left else None
    if text is None:
        return False
    active, opened = True, 0
    for number, line in _lines(text):
        where = f"{path}:{number}"
        if line.startswith("<"):
            if not line.endswith(">"):
                raise _Ends(f"{where} has no '>' at its end")
            opened += _tag(line, where, conf)
            if opened < 0:
                raise _Ends(f"{where} closes a tag too many")
            active = _active(conf)
        elif active and not (conf.tags and conf.tags[-1][0] == "filespec"):
            words = _words(line)
            if words:
                _value(words, where, conf, left)
    if opened:
        raise _Ends(f"{path} leaves {opened} tags open")
    return True


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers, without comments and blanks around; those that are empty are left out."""
    for number, whole in enumerate(by_shell.lines_of(text), 1):
        data = whole.encode("utf-8", "surrogateescape") + b"\n"
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE].split(b"\0")[0].decode("utf-8", "surrogateescape")
            kept = _COMMENT.match(piece)
            line = (kept[1] if kept else "").lstrip(" \t")
            # Blanks are all that C takes for smaller than a space, control characters too.
            while line and line[-1] <= " ":
                line = line[:-1]
            if line:
                yield number, line


def _words(line: str) -> list[str]:
    words = (_PIECES.sub(lambda found: "".join(part or "" for part in found.groups()), word)
             for word in _WORD.findall(line))  # fmt: skip
    return [word for word in words if word not in ("", "=")]


def _tag(line: str, where: str, conf: _Conf) -> int:
    text = line[1:-1].lstrip(" \t")
    if text.startswith("/"):
        if conf.tags:
            conf.tags.pop()
        return -1
    word, blank, argument = text.rstrip().partition(" ")
    if not blank:
        word, blank, argument = text.rstrip().partition("\t")
    argument = argument.lstrip(" \t")
    if argument:
        tag = word.rstrip().lower()
        conf.tags.append((tag, argument))
        if tag in _CONDITIONAL:
            conf.blocks.append(where)
    return 1


def _active(conf: _Conf) -> bool:
    if not conf.tags:
        return True
    tag, argument = conf.tags[-1]
    if tag == "user":
        return argument in ("*", conf.person.name)
    if tag == "group":
        return argument in ("*", conf.person.group, *conf.person.groups)
    # Any other name of a tag is taken for <Default>.
    return conf.hold if tag in _CONDITIONAL else True


def _value(words: list[str], where: str, conf: _Conf, left: int) -> None:
    name, rest = words[0], tuple(words[1:])
    if name in _KNOWN and (rest or name == "ExpireDate"):
        conf.values[name] = (rest, where)
    elif name == "Include" and rest:
        if not rest[0].startswith("/"):
            raise Left(f"{where} includes {escape(rest[0], 80)!r}, a file below whatever directory a login begins in")
        if not _file(rest[0], conf, left - 1):
            conf.notes.append((where, f"includes {escape(rest[0], 80)}, which is not there or is too deep"))
    else:
        conf.notes.append((where, f"MySecureShell does not know {escape(name, 60)!r}, or it has no value"))


def _jail(case: Case, conf: _Conf) -> Found:
    rows: Rows = {"": {"plugins": "sftp"}}
    uses, called = ["sftp", "scp"], "mysecureshell"
    shell = conf.values.get("Shell", (("",), ""))[0][0]
    if shell and shell.rsplit("/", 1)[-1] not in (*NO_SHELLS, *_SHELLS):
        rows[""]["plugins"] = "sftp shell"
        rows["shell"] = {"shell": case.path(shell)}
        uses, called = ["shell", "command", *uses], "mysecureshell-shell"
        case.say(Effect.CLOSED, f"{shell} as a shell, which nothing confines today", conf.values["Shell"][1])
    own = _requests(case, conf)
    if umask := _umask(case, conf):
        own["umask"] = umask
    if own:
        rows["sftp"] = own
    if limits := _limits(case, conf):
        rows["limits"] = limits
    for name, text in (*_LOST.items(), *_SHOWS.items()):
        words, where = conf.values.get(name, ((), ""))
        if words and words[0].lower() not in ("0", "false", "*"):
            effect = Effect.CHANGED if name in _SHOWS else Effect.LOST
            case.say(effect, text if name in _SHOWS else f"{name}: {text}", where)
    home = _home(case, conf)
    if "shell" in rows and set(own) - {"umask"}:
        raise Left("rights for sftp and a shell, which can do everything: decide for one of them")
    return case.migrates(rows, uses, called, home, _expires(conf))


def _home(case: Case, conf: _Conf) -> tuple[str, str]:
    home, place = home_of(case.person), ""
    if "Home" in conf.values:
        words, where = conf.values["Home"]
        known = {"USER": case.person.name, "LOGNAME": case.person.name, "HOME": home, "SHELL": case.person.shell}

        def value(found: re.Match[str]) -> str:
            if found[1] not in known:
                raise Left(f"{where} has the variable {found[0]!r} in a path")
            return known[found[1]]

        place = by_shell.root_of(_VARIABLE.sub(value, words[0]))
        case.path(place)
    there = place or home
    if conf.on("VirtualChroot"):
        case.say(Effect.CHANGED, f"paths begin at the home: what was /x is {there}/x")
    elif not conf.on("StayAtHome"):
        case.say(Effect.CLOSED, by_shell.OUTSIDE)
    return ("" if place == home else place), ""


def _requests(case: Case, conf: _Conf) -> dict[str, str | tuple[str, ...]]:
    """Return the settings of the sftp plugin for what is disabled."""
    disabled = {name for name in _DENIES if conf.on(name)}
    for name in ("CanChangeRights", "CanChangeTime"):
        if name in conf.values and not conf.on(name):
            case.say(
                Effect.LOST, f"{name} = false: times and rights are changed by the same requests, both are refused"
            )
            disabled.add("DisableSetAttribute")
    own: dict[str, str | tuple[str, ...]] = {}
    if disabled >= _CHANGES:
        own["read_only"] = "yes"
        disabled -= _CHANGES
    elif conf.on("DisableOverwrite") and "DisableWriteFile" not in disabled:
        own["append_only"] = "yes"
        text = "DisableOverwrite: nothing is moved or removed either, no directory made, no mode or time changed"
        case.say(Effect.LOST, text, conf.values["DisableOverwrite"][1])
        disabled -= _CHANGES
    elif "DisableWriteFile" in disabled:
        case.say(Effect.NOTE, "a file can still be made, without anything in it", conf.values["DisableWriteFile"][1])
    if denied := tuple(dict.fromkeys(request for name in sorted(disabled) for request in _DENIES[name])):
        own["deny_requests"] = denied
    return own


def _mode(words: tuple[str, ...]) -> int:
    """Return what a pair of modes lets through, for a file or a directory."""
    if not words or any(not re.match(r"[0-7]{1,5}\Z", word) for word in words[:2]):
        raise Left(f"{' '.join(words)!r} are no rights")
    return int(words[0], 8) | (int(words[1], 8) if len(words) > 1 else 0)


def _umask(case: Case, conf: _Conf) -> str:
    mask, said = 0, False
    for name in ("DefaultRights", "MaximumRights", "ForceRights"):
        if name in conf.values:
            words, where = conf.values[name]
            mask, said = mask | (0o777 & ~_mode(words)), True
            case.say(Effect.CHANGED, f"{name} becomes a umask, which takes rights from files and gives none", where)
    return f"{mask:03o}" if said else ""


def _time(words: tuple[str, ...]) -> int:
    number = 0
    for char in "".join(words):
        if char.isascii() and char.isdigit():
            number = number * 10 + int(char)
        elif char in "dDhHmM":
            number *= {"d": 24 * 3600, "h": 3600, "m": 60}[char.lower()]
    return number


def _speed(words: tuple[str, ...]) -> int:
    found = re.match(r"[^0-9]*([0-9]*)(?:\.([0-9]*))?[^kKmM]*([kKmM]?)", "".join(words))
    if not found:
        return 0
    unit = {"": 1, "k": 1 << 10, "m": 1 << 20}[found[3].lower()]
    part = found[2] or ""
    whole = int(found[1] or "0") * unit
    return whole if unit == 1 else whole + int(part or "0") * (unit // 10 ** len(part))


def _count(words: tuple[str, ...]) -> int:
    found = re.match(r"\s*\+?([0-9]{1,9})", words[0]) if words else None
    return int(found[1]) if found else 0


def _limits(case: Case, conf: _Conf) -> dict[str, str | tuple[str, ...]]:
    limits: dict[str, str | tuple[str, ...]] = {}
    longest = 366 * 86400
    for name, key in (("IdleTimeOut", "idle_timeout"), ("ConnectionMaxLife", "max_duration")):
        if seconds := conf.number(name, _time):
            limits[key] = str(min(seconds, longest))
    if count := conf.number("LimitConnectionByUser", _count):
        limits["max_sessions"] = str(count)
    speeds = {name: conf.number(name, _speed) for name in ("Download", "Upload")}
    if any(speeds.values()):
        limits["bandwidth"] = str(min(speed for speed in speeds.values() if speed))
        if speeds["Download"] != speeds["Upload"]:
            case.say(Effect.CHANGED, "Download and Upload become one bandwidth, the smaller, each way")
    return limits


def _expires(conf: _Conf) -> dict[str, str]:
    words, where = conf.values.get("ExpireDate", ((), ""))
    if not words:
        return {}
    found = re.match(r"(20[0-4][0-9]-(?:0[1-9]|1[0-2])-[0-3][0-9])(?: ([0-2][0-9]:[0-5][0-9]))(?::[0-9]{2})?\Z",
                     " ".join(words))  # fmt: skip
    if not found:
        # What strptime cannot read is not looked at, so today the account does not expire.
        raise Left(f"{where} has a date that MySecureShell does not read, so the account never expires")
    return {"expires": f"{found[1]} {found[2]}"}
