"""Accounts whose login shell is GNU Rush: its fixed commands become command lines, sftp and svnserve their plugins.

A rule with a pattern lets through commands that no list can name, so it is lost, and said.  Every command that is
taken over has gone through all rules in their order.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from jailssh.core.names import escape
from jailssh.sources import by_shell, forced, rush_rc
from jailssh.sources.by_shell import Case, Rows
from jailssh.sources.forced import Left, Refuses, home_of
from jailssh.sources.found import Effect, Fate, Found, Host, Person
from jailssh.sources.rush_rc import Denied, Node, Op, Piece, Rule, Run, Unclear

NAME = "rush"
TITLE = "GNU Rush"
_SERVERS = ("/usr/lib/openssh/sftp-server", "/usr/libexec/openssh/sftp-server", "/usr/lib/sftp-server")
_DIRECTORIES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_SVN = "svnserve -t"
_LIMITS = {"a": ("as", "K"), "c": ("core", "K"), "f": ("fsize", "K"), "n": ("nofile", ""), "u": ("nproc", ""),
           "l": ("max_sessions", "")}  # fmt: skip
_MOST = 64
"""Commands that one regular expression may stand for."""
_LONGEST = 200
"""Characters of a regular expression that may stand for words."""
_TRANSFERS = ("sftp-server", "scp", "rsync", "cvs", "svnserve", "git-upload-pack", "git-receive-pack",
              "git-upload-archive", "git")  # fmt: skip
"""Programs with plugins of their own, which are not command lines."""


def find(host: Host) -> list[Found]:
    """Return the accounts whose login shell is GNU Rush."""
    texts: dict[str, str | None] = {}
    found = []
    for case in by_shell.cases(host, NAME, (NAME,), ""):
        local = case.person.shell.startswith("/usr/local/") and host.kind("/usr/local/etc/rush.rc")
        case.where = path = "/usr/local/etc/rush.rc" if local else "/etc/rush.rc"
        if path not in texts:
            texts[path] = host.read(path)
        found.append(by_shell.judged(case) or by_shell.settled(case, lambda each: _account(each, texts[each.where])))
    return found


def _account(case: Case, text: str | None) -> Found:
    if text is None:
        raise Refuses("there is no rush.rc")
    path = case.where
    try:
        rules = rush_rc.read(text)
    except Unclear as error:
        raise Left(f"{path}:{error}") from error
    runs: dict[str, Run] = {}
    for command, line in _candidates(case, rules):
        try:
            runs[command] = rush_rc.decide(rules, case.person, command)
        except Denied:
            continue
        except Unclear as error:
            case.say(Effect.LOST, f"{escape(command, 80)!r}: {error}", f"{path}:{line}")
    for rule in rules:
        _rest(case, rule, f"{path}:{rule.line}")
    return _jail(case, path, runs)


def _candidates(case: Case, rules: Sequence[Rule]) -> list[tuple[str, int]]:
    subsystem = case.host.sshd(case.person.name).get("subsystem", "").partition("sftp ")[2].strip()
    if forced.is_internal(subsystem):
        case.say(Effect.CLOSED, "sftp by sshd's internal-sftp, which no rule of rush is asked about")
    server = subsystem if subsystem.startswith("/") else _SERVERS[0]
    every = [(server, 0), (_SVN, 0)]
    return every + [(command, rule.line) for rule in rules for command in fixed(rule)[0]]


def _rest(case: Case, rule: Rule, where: str) -> None:
    """Say what of a rule is not taken over."""
    if rule.has("exit", "fall-through", "fallthrough") or _others(rule, case.person):
        return
    if rule.interactive:
        case.say(Effect.LOST, f"rule {escape(rule.tag, 60)}: a login without a command, if it may have one", where)
    elif not fixed(rule)[1]:
        text = "a pattern, whose commands no list can name" if rule.matches else "every command that comes to it"
        case.say(Effect.LOST, f"rule {escape(rule.tag, 60)}: {text}, beyond what this jail has", where)


def _jail(case: Case, path: str, runs: dict[str, Run]) -> Found:
    rows: Rows = {"": {"plugins": ""}}
    plugins: list[str] = []
    uses: list[str] = []
    used: list[Run] = []
    lines: list[str] = []
    home = ("", "")
    for command, run in runs.items():
        where = f"{path}:{run.line}"
        name = run.words[0].rsplit("/", 1)[-1]
        try:
            if name == "sftp-server":
                home = _sftp(case, run, rows)
                plugins.append("sftp")
                uses += ["sftp", "scp"]
            elif name == "svnserve" and command == _SVN and not run.chroot:
                _svn(case, run, rows)
                plugins.append("svn")
                uses.append("svn")
            else:
                lines.append(_line(case, command, run, where))
            used.append(run)
        except (Left, Refuses) as error:
            case.say(Effect.LOST, f"{escape(command, 80)!r}: {error}", where)
    if lines:
        plugins.append("command")
        uses.append("command")
        rows["command"] = {"commands": tuple(dict.fromkeys(lines))}
        text = "directories that commands read or write have to be named in [command] read and write"
        case.say(Effect.CHANGED, text)
    plugins = list(dict.fromkeys(plugins))
    if not plugins:
        raise (Left if any(each.effect is Effect.LOST for each in case.remarks) else Refuses)(
            "no rule lets it do what a jail has")  # fmt: skip
    if home[0] and plugins != ["sftp"]:
        raise Left("sftp runs in a chroot and other commands do not; a jail has one home")
    rows[""]["plugins"] = " ".join(plugins)
    _common(case, used, rows)
    case.where = f"{path}:{used[0].line}"
    return case.migrates(rows, tuple(dict.fromkeys(uses)), f"rush-{'-'.join(plugins)}", home)


def _sftp(case: Case, run: Run, rows: Rows) -> tuple[str, str]:
    what = forced.judge(" ".join(run.words), by_shell.with_sh(case.person), case.host)
    if what.fate is not Fate.MIGRATE:
        raise Left(what.why)
    if own := what.settings.get("sftp"):
        rows["sftp"] = dict(own)
    root = by_shell.root_of(run.chroot) if run.chroot else "/"
    home = by_shell.in_chroot(case, root)
    if root == "/":
        case.say(Effect.CLOSED, by_shell.OUTSIDE)
        directory = by_shell.root_of(run.directory) if run.directory else ""
        if directory and directory != home_of(case.person):
            start = case.path(directory)
            if start.startswith("~/"):
                rows.setdefault("sftp", {})["start"] = start
            else:
                case.say(Effect.CHANGED, f"a session begins in the home, not in {directory}")
    return home


def _svn(case: Case, run: Run, rows: Rows) -> None:
    what = forced.judge(" ".join(run.words), by_shell.with_sh(case.person), case.host)
    if what.fate is not Fate.MIGRATE:
        raise Left(what.why)
    for effect, text in what.notes:
        case.say(effect, text)
    rows["svn"] = dict(what.settings["svn"])


def _line(case: Case, command: str, run: Run, where: str) -> str:
    """Return the command line that lets a client send this; raises :class:`Left` where no line runs what rush does."""
    sent, name = command.split(" "), run.words[0].rsplit("/", 1)[-1]
    if run.chroot:
        raise Left(f"it runs in the chroot {run.chroot}, which has what its maker put there")
    if name in _TRANSFERS:
        raise Left(f"{name} has a plugin of its own, which has to know its directories")
    if name in forced.INTERPRETERS:
        raise Left(f"{name} is a shell or an interpreter")
    if run.words[1:] != sent[1:] or name != sent[0].rsplit("/", 1)[-1]:
        raise Left(f"rush runs {escape(' '.join(run.words), 80)!r} instead")
    places = [run.words[0]] if run.words[0].startswith("/") else [f"{each}/{name}" for each in _DIRECTORIES]
    there = next((place for place in places if case.host.kind(place)), "")
    if not there:
        raise Left(f"this host does not have {run.words[0]}")
    if "/" in sent[0]:
        if sent[0] != run.words[0]:
            raise Left(f"rush runs {run.words[0]} instead")
    elif there.rsplit("/", 1)[0] not in _DIRECTORIES:
        raise Left(f"{there} is not where programs are looked for; let clients send its path")
    if run.directory and by_shell.root_of(run.directory) != home_of(case.person):
        case.say(Effect.CHANGED, f"{escape(command, 80)!r} begins in the home, not in {run.directory}", where)
    return command


def _common(case: Case, used: Sequence[Run], rows: Rows) -> None:
    """Set what holds for a whole jail, as narrow as the narrowest of the commands."""
    masks = {int(run.umask or "022", 8) for run in used}
    if masks != {0o22}:
        mask = 0
        for each in masks:
            mask |= each
        rows[""]["umask"] = f"{mask & 0o777:03o}"
    limits: dict[str, int] = {}
    for letter, number in (row for run in used for row in re.findall(r"([A-Za-z])\s*(-?[0-9]+)", run.limits)):
        key = letter.lower()
        if key == "t":
            limits["cpu"] = min(limits.get("cpu", 1 << 62), int(number) * 60)
        elif key == "p":
            limits["nice"] = max(limits.get("nice", 0), min(19, int(number)))
        elif key in _LIMITS:
            limits[_LIMITS[key][0]] = min(limits.get(_LIMITS[key][0], 1 << 62), int(number))
        else:
            case.say(Effect.LOST, f"the limit {letter}{number}")
    units = dict(_LIMITS.values())
    if limits:
        rows["limits"] = {name: f"{number}{units.get(name, '')}" for name, number in sorted(limits.items())}
    if any(masks != {int(run.umask or "022", 8)} or run.limits != used[0].limits for run in used):
        case.say(Effect.CHANGED, "umask and limits of the rules become those of the jail, the narrowest of each")
    if any("setenv" in run.idle for run in used):
        case.say(Effect.LOST, "variables that rules set")


def fixed(rule: Rule) -> tuple[list[str], bool]:
    """Return the commands that a rule names in full, by ``==`` or an anchored regular expression without repeats.

    And whether these are all that the rule matches.
    """
    found: list[str] = []
    branches = _branches(rule.matches)
    whole = len(branches) < _MOST
    for branch in branches:
        places: dict[str, list[str]] = {}
        for node in branch:
            if node.left.kind is Piece.VAR and node.kind in (Op.EQUAL, Op.FITS, Op.IN):
                places.setdefault(node.left.text.strip("${}"), _texts(node))
        commands = places.get("command", [])
        count = places.get("#", [])
        if not commands and len(count) == 1 and count[0] in ("1", "2", "3", "4"):
            words = [places.get(str(at), []) for at in range(int(count[0]))]
            commands = [" ".join(each) for each in itertools.islice(itertools.product(*words), _MOST)]
        whole = whole and 0 < len(commands) < _MOST
        found += commands
    return list(dict.fromkeys(found)), whole


def _others(rule: Rule, person: Person) -> bool:
    """True if a rule is for other accounts alone."""
    return all(any(_not_hers(node, person) for node in branch) for branch in _branches(rule.matches))


def _not_hers(node: Node, person: Person) -> bool:
    if node.kind is not Op.GROUP and node.left.text.strip("${}") not in ("user", "uid", "gid", "home"):
        return False
    try:
        return not rush_rc.holds(node, person)
    except (Unclear, Denied):
        return False


def _texts(node: Node) -> list[str]:
    if node.kind is not Op.FITS:
        return [token.text for token in node.right]
    text = node.right[0].text[:_LONGEST]
    return _words(text[1:-1]) if text[:1] == "^" and text[-1:] == "$" and text[-2:-1] != "\\" else []


def _branches(matches: Sequence[Node]) -> list[list[Node]]:
    """Return the ways in which the matches can hold, each as comparisons that must all hold."""
    found: list[list[Node]] = [[]]
    for node in matches:
        parts = _parts(node)
        found = [one + more for one, more in itertools.islice(itertools.product(found, parts), _MOST)]
    return found


def _parts(node: Node) -> list[list[Node]]:
    if node.kind is Op.AND:
        return _branches(node.parts)
    if node.kind in (Op.OR, Op.MIXED):
        return [branch for part in node.parts for branch in _parts(part)]
    return [[]] if node.kind is Op.NOT else [[node]]


def _words(text: str) -> list[str]:
    """Return the words of a regular expression of letters, ``(a|b)`` and ``?``; none where there are others."""
    try:
        words, at = _alternatives(text, 0)
    except Unclear:
        return []
    return words if at == len(text) else []


def _alternatives(text: str, at: int) -> tuple[list[str], int]:
    every: list[str] = []
    while True:
        words, at = _sequence(text, at)
        every += words
        if at >= len(text) or text[at] == ")":
            return every[: _MOST + 1], at
        at += 1


def _sequence(text: str, at: int) -> tuple[list[str], int]:
    words = [""]
    while at < len(text) and text[at] not in "|)":
        char = text[at]
        if char == "(":
            piece, at = _alternatives(text, at + 1)
            if text[at : at + 1] != ")":
                raise Unclear("a group is not closed")
        elif char == "\\" and text[at + 1 : at + 2] and not text[at + 1].isalnum():
            piece, at = [text[at + 1]], at + 1
        elif char in ".[]{}*+?^$\\":
            raise Unclear("a regular expression stands for more than words")
        else:
            piece = [char]
        at += 1
        if text[at : at + 1] == "?":
            piece, at = [*piece, ""], at + 1
        words = [word + more for word in words for more in piece]
        if len(words) > _MOST:
            raise Unclear("a regular expression stands for too many words")
    return words, at
