"""Accounts whose login shell is lshell, read as it reads lshell.conf.

The file has the form of configparser, and its values are Python literals, which are read as such and never run.  The
sections ``default``, ``grp:NAME`` and NAME are merged in this order, ``+[…]`` and ``-[…]`` change lists.
"""

from __future__ import annotations

import ast
import configparser
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from jailssh.core.names import escape, is_below
from jailssh.sources import by_shell
from jailssh.sources.by_shell import Case, Rows
from jailssh.sources.forced import Left, Refuses, home_of
from jailssh.sources.found import Effect, Found, Host

NAME = "lshell"
TITLE = "lshell"
PATHS = ("/etc/lshell.conf", "/usr/local/etc/lshell.conf")
_LISTS = frozenset({"path", "overssh", "allowed", "allowed_shell_escape", "allowed_file_extensions", "forbidden"})
_NEEDED = ("allowed", "forbidden", "warning_counter")
_TOKEN = re.compile(r"((?:\+|-)\s*\[[^\]]+\])")
_ALL = re.compile(r"""\s*(?:'all'|"all")\s*\Z""")
_PROGRAM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*\Z")
_WORDS = (
    "alias bg break case cd clear continue echo eval exec exit export false fg help history if jobs kill login logout "
    "lpath lsudo printf pwd read set shift source stop suspend test times true type umask unalias unset wait while"
)
_BUILTINS = frozenset(_WORDS.split())
"""Words that the shell itself knows."""
_DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_POWER = frozenset({"sudo", "su", "doas", "pkexec"})
_LOST: Mapping[str, str] = {
    "aliases": "aliases",
    "env_vars": "variables that it sets",
    "env_vars_files": "variables of files",
    "env_path": "an addition to PATH",
    "login_script": "a script at each login",
    "sudo_commands": "commands as root",
    "intro": "a text at each login",
    "prompt": "a prompt",
    "history_file": "a file of its own for the history",
    "messages": "lines of its own for what is denied",
    "max_background_jobs": "a number of jobs in the background",
    "command_timeout": "a time for each command",
    "max_processes": "a number of processes for each command",
}
_CHANGED: Mapping[str, str] = {
    "allowed_file_extensions": "files with other endings can be named in commands",
    "path_noexec": "a program can start another one of the jail",
    "scpforce": "files that are sent go where the client says, in the home, and not to one directory",
}
_IGNORED = frozenset({
    "logpath", "loglevel", "logfilename", "syslogname", "include_dir", "forbidden", "allowed", "warning_counter",
    "timer", "path", "home_path", "allowed_cmd_path", "scp", "scp_upload", "scp_download", "sftp", "overssh", "strict",
    "umask", "history_size", "quiet", "disable_exit", "allowed_shell_escape", "winscp", "prompt_short", "lps1",
    "security_audit_json", "policy_commands", "max_sessions_per_user",
})  # fmt: skip


@dataclass
class _Conf:
    """The files, what [global] of the first has, and where each option of each section stands."""

    parser: configparser.ConfigParser
    everywhere: list[tuple[str, str]] = field(default_factory=list)
    places: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass
class _Raw:
    """What holds for an account: texts by option, and lists that were merged; ``everything``: all programs."""

    texts: dict[str, tuple[str, str]] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict, compare=False)
    denied: list[str] = field(default_factory=list)
    everything: bool = False
    without: list[str] = field(default_factory=list)

    def value(self, name: str, default: object = None) -> object:
        """Return an option's value."""
        if name in self.lists:
            return self.lists[name]
        text, where = self.texts.get(name, ("", ""))
        return _literal(text, where) if text else default

    def listed(self, name: str) -> list[str]:
        """Return an option that is a list of texts."""
        return _texts(self.value(name, []), self.places.get(name, ""))

    def on(self, name: str) -> bool:
        """True for 1, and for nothing else, as lshell compares it."""
        value = self.value(name, 0)
        return type(value) is int and value == 1


def find(host: Host) -> list[Found]:
    """Return the accounts whose login shell is lshell."""
    every = list(by_shell.cases(host, NAME, (NAME,), ""))
    if not every:
        return []
    path = next((path for path in PATHS if host.kind(path)), PATHS[0])
    texts = {path: host.read(path)}
    found = []
    for case in every:
        case.where = path
        found.append(by_shell.judged(case) or by_shell.settled(case, lambda each: _account(each, path, texts[path])))
    return found


def _account(case: Case, path: str, text: str | None) -> Found:
    if text is None:
        raise Refuses("there is no lshell.conf")
    conf = _conf(path, text, case.host)
    name = case.person.name
    sections = [section for section, _ in sorted(_groups(case).items(), key=lambda row: -row[1])]
    here = [section for section in sections if conf.parser.has_section(section)]
    raw = _merged(conf, ["default", *here, name], case)
    if len(here) > 1 and _merged(conf, ["default", *reversed(here), name], case) != raw:
        raise Left(f"the sections {', '.join(here)} say different things, and their order is that of the kernel's list")
    case.where = next((conf.places[key] for key in ((name, "allowed"), *((each, "allowed") for each in reversed(here)),
                                                    ("default", "allowed")) if key in conf.places), path)  # fmt: skip
    for option in _NEEDED:
        if option not in raw.texts and option not in raw.lists and not (option == "allowed" and raw.everything):
            raise Refuses(f"{option} is missing, which lshell needs")
    if "passwd" in raw.texts:
        raise Left("lshell asks it for a password of its own, which no jail does")
    return _jail(case, raw)


def _conf(path: str, text: str, host: Host) -> _Conf:
    conf = _Conf(configparser.ConfigParser(interpolation=None))
    _add(conf, path, text)
    if not conf.parser.has_section("global"):
        raise Refuses("lshell.conf has no section [global]")
    conf.everywhere = conf.parser.items("global")
    include = conf.parser.get("global", "include_dir", fallback="")
    if include and not include.startswith("/"):
        raise Left(f"include_dir = {escape(include, 80)} is below whatever directory a login begins in")
    for each in host.glob(f"{include}*") if include else ():
        more = host.read(each) if host.kind(each) in ("file", "link") else None
        if more is not None:
            _add(conf, each, more)
    return conf


def _add(conf: _Conf, path: str, text: str) -> None:
    try:
        conf.parser.read_string(text, path)
    except configparser.Error as error:
        raise Refuses(f"lshell stops at {path}: {escape(str(error).splitlines()[0], 200)}") from error
    section = ""
    for number, line in enumerate(text.split("\n"), 1):
        if found := re.match(r"\[(.+)\]", line):
            section = found[1]
        elif found := re.match(r"([^\s#;:=][^:=]{0,80}?)\s*[:=]", line):
            conf.places[section, found[1].lower()] = f"{path}:{number}"


def _groups(case: Case) -> dict[str, int]:
    """Return the sections of the account's groups with their gids; lshell takes the highest first, the primary last."""
    gids = {}
    for line in (case.host.read("/etc/group") or "").split("\n"):
        fields = line.split(":")
        if len(fields) > 2 and fields[2].isascii() and fields[2].isdigit():
            gids[fields[0]] = int(fields[2])
    return {f"grp:{name}": -1 if name == case.person.group else gids.get(name, 0)
            for name in {case.person.group, *case.person.groups}}  # fmt: skip


def _merged(conf: _Conf, sections: Sequence[str], case: Case) -> _Raw:
    raw = _Raw()
    for section in sections:
        if not conf.parser.has_section(section):
            continue
        # What [global] has is merged behind each section, so it wins.
        for origin, items in ((section, conf.parser.items(section)), ("global", conf.everywhere)):
            for key, value in items:
                _merge(raw, key, value, conf.places.get((origin, key), case.where), case)
    return raw


def _merge(raw: _Raw, key: str, value: str, where: str, case: Case) -> None:
    raw.places[key] = where
    if key not in _LISTS:
        raw.texts[key] = (value, where)
        return
    for token in _TOKEN.split(value):
        text = token.strip()
        if not text:
            continue
        if text[0] in "+-" and text[1:].lstrip().startswith("["):
            change = _texts(_literal(text[1:].strip(), where), where)
            _change(raw, key, change, more=text[0] == "+")
        elif _ALL.match(text):
            if key != "allowed":
                raise Refuses(f"{where} has {key} = 'all', which lshell does not take")
            raw.everything, raw.without, raw.lists[key] = True, [], []
        else:
            _set(raw, key, _texts(_literal(text, where), where), case)


def _set(raw: _Raw, key: str, given: list[str], case: Case) -> None:
    if key == "path":
        raw.denied = []
        given = [path for pattern in given for path in _glob(pattern, case)]
    if key == "allowed":
        raw.everything, raw.without = False, []
    raw.lists[key] = given


def _change(raw: _Raw, key: str, change: list[str], *, more: bool) -> None:
    present = raw.lists.setdefault(key, [])
    if more:
        present += change
    elif key == "path":
        raw.denied += change
    else:
        for item in change:
            if item in present:
                present.remove(item)
            elif key == "allowed" and raw.everything:
                raw.without.append(item)


def _glob(pattern: str, case: Case) -> Sequence[str]:
    return case.host.glob(pattern) if set(pattern) & set("*?[") else [pattern] if case.host.kind(pattern) else []


def _literal(text: str, where: str) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise Refuses(f"{where} has {escape(text, 60)!r}, which is no literal of Python") from error


def _texts(value: object, where: str) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise Refuses(f"{where} is not a list of texts")
    return list(value)


def _jail(case: Case, raw: _Raw) -> Found:
    rows: Rows = {"": {"plugins": "shell"}}
    plugins, uses = ["shell"], ["shell"]
    winscp = raw.on("winscp")
    shell = _programs(case, raw)
    over = raw.listed("overssh")
    if over or winscp:
        uses.append("command")
        text = "every program of the jail can be a command over ssh, not only those of overssh"
        case.say(Effect.CHANGED, text, raw.places.get("overssh", ""))
    else:
        shell["commands"] = "no"
    rows["shell"] = shell
    if raw.on("sftp"):
        plugins.append("sftp")
        uses += ["sftp", "scp"]
    elif case.host.sshd(case.person.name).get("subsystem", "").endswith("internal-sftp"):
        case.say(Effect.CLOSED, "sftp, which lshell forbids and sshd's internal-sftp serves without asking it")
    if raw.on("scp") or "scp" in over or winscp:
        plugins.append("scp")
        uses.append("scp-old")
        _scp(case, raw, rows, winscp=winscp)
        if "sftp" not in plugins:
            case.say(Effect.CHANGED, by_shell.SCP_ONLY)
    rows[""]["plugins"] = " ".join(plugins)
    _limits(case, raw, rows)
    _paths(case, raw)
    for row in _remarks(raw):
        case.say(*row)
    return case.migrates(rows, uses, f"lshell-{'-'.join(plugins)}", _home(case, raw))


def _scp(case: Case, raw: _Raw, rows: Rows, *, winscp: bool) -> None:
    own: dict[str, str | tuple[str, ...]] = {}
    for way in ("upload", "download"):
        if not winscp and not raw.value(f"scp_{way}", 1):
            own[way] = "no"
    if len(own) == 2:
        raise Left("scp is on, and both of its directions are off")
    if own:
        rows["scp"] = own
        if raw.on("sftp"):
            case.say(
                Effect.NOTE, "the directions of scp hold for its old protocol; the new one is sftp, which has both"
            )
    if winscp:
        case.say(Effect.LOST, "WinSCP's SCP mode may want other programs than the jail has: choose SFTP",
                 raw.places["winscp"])  # fmt: skip


def _programs(case: Case, raw: _Raw) -> dict[str, str | tuple[str, ...]]:
    own: dict[str, str | tuple[str, ...]] = {"tools": "yes" if raw.everything else "no"}
    where = raw.places.get("allowed", "")
    if raw.everything:
        case.say(Effect.LOST, "programs of this host other than the usual tools: name in [shell] programs what is "
                 "needed", where)  # fmt: skip
        if raw.without:
            text = f"{escape(', '.join(raw.without), 200)}: the jail has them where they are among the usual tools"
            case.say(Effect.CHANGED, text, where)
    names: dict[str, None] = {}
    winscp = ("env", "groups") if raw.on("winscp") else ()
    wanted = [(name, "allowed") for name in (*raw.listed("allowed"), *winscp)] + [
        (name, "overssh") for name in raw.listed("overssh")
    ]
    for name, option in wanted:
        place = raw.places.get(option, "")
        if name in _POWER:
            case.say(Effect.LOST, f"{name}: nobody becomes another account in a jail", place)
        elif name in _BUILTINS:
            continue
        elif not _PROGRAM.match(name):
            case.say(Effect.LOST, f"{escape(name, 80)!r}: it is not the name of a program", place)
        elif not any(case.host.kind(f"{directory}/{name}") for directory in _DIRECTORIES):
            case.say(Effect.NOTE, f"{name}: this host does not have it", place)
        else:
            names[name] = None
            if option == "overssh" and name not in raw.listed("allowed") and not raw.everything:
                case.say(Effect.CHANGED, f"{name}: can also be called at the prompt", place)
    names |= dict.fromkeys(_of_directories(case, raw))
    if names:
        own["programs"] = tuple(names)
    return own


def _of_directories(case: Case, raw: _Raw) -> Iterator[str]:
    where = raw.places.get("allowed_cmd_path", "")
    for directory in raw.listed("allowed_cmd_path"):
        status = case.host.status(directory.rstrip("/") or "/")
        if status is None or status[1] != 0 or status[0] & 0o022:
            case.say(Effect.LOST, f"programs of {escape(directory, 80)}, which is not root's alone", where)
            continue
        for path in case.host.glob(f"{directory.rstrip('/')}/*"):
            row = case.host.status(path)
            roots = row is not None and row[1] == 0 and row[0] & 0o111 and not row[0] & 0o022
            if roots and case.host.kind(path) == "file" and re.match(r"[A-Za-z0-9_./+-]+\Z", path):
                yield path


def _limits(case: Case, raw: _Raw, rows: Rows) -> None:
    timer = raw.value("timer", 0)
    limits: dict[str, str | tuple[str, ...]] = {}
    if type(timer) is int and timer > 0:
        limits["idle_timeout"] = str(min(timer, 366 * 86400))
    most = raw.value("max_sessions_per_user", 0)
    if type(most) is int and most > 0:
        limits["max_sessions"] = str(most)
    if limits:
        rows["limits"] = limits
    text, where = raw.texts.get("umask", ("", ""))
    if text:
        found = re.match(r"""["']?(?:0o)?0*([0-7]{1,3})["']?\Z""", text.strip())
        if not found:
            raise Refuses(f"{where} has {escape(text, 60)!r}, which is no umask")
        if int(found[1], 8) != 0o22:
            rows[""]["umask"] = f"{int(found[1], 8):03o}"
    if raw.on("strict") or raw.value("warning_counter", -1) != -1:
        case.say(Effect.NOTE, "nobody is thrown out after a number of warnings: what is not in the jail does not run")


def _home(case: Case, raw: _Raw) -> tuple[str, str]:
    text, where = raw.texts.get("home_path", ("", ""))
    if not text:
        return "", ""
    value = _literal(text.replace("%u", case.person.name), where)
    if not isinstance(value, str):
        raise Refuses(f"{where} is not a text")
    place = by_shell.root_of(value)
    case.path(place)
    return ("" if place == home_of(case.person) else place), ""


def _paths(case: Case, raw: _Raw) -> None:
    home = _home(case, raw)[0] or home_of(case.person)
    where = raw.places.get("path", "")
    for path in raw.denied:
        if is_below("/" + path.strip("/"), home):
            raise Left(f"{escape(path, 80)} in the home is forbidden to it, and a jail shows the whole home")
    for path in raw.lists.get("path", ()):
        if not is_below("/" + path.strip("/"), home):
            case.say(Effect.LOST, f"{escape(path, 80)}: a jail shows the home alone", where)
    case.say(Effect.CLOSED, "paths that programs open without naming them in the command, and sftp's")


def _remarks(raw: _Raw) -> Iterator[tuple[Effect, str, str]]:
    if characters := raw.listed("forbidden"):
        text = f"{escape(' '.join(characters), 80)}: the jail's shell takes them, and runs what the jail has"
        yield Effect.CHANGED, text, raw.places["forbidden"]
    for name, (text, where) in raw.texts.items():
        if name in _LOST and text.strip() not in ("", "0", "[]", "{}", "''", '""'):
            yield Effect.LOST, f"{name}: {_LOST[name]}", where
        elif name in _CHANGED:
            yield Effect.CHANGED, f"{name}: {_CHANGED[name]}", where
        elif name not in _IGNORED and name not in _LOST:
            yield Effect.NOTE, f"{escape(name, 60)}: nothing is made of it", where
    if "allowed_file_extensions" in raw.lists:
        name = "allowed_file_extensions"
        yield Effect.CHANGED, f"{name}: {_CHANGED[name]}", raw.places[name]
