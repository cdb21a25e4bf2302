"""gitolite.conf of gitolite 3, read as gitolite's own compiler does: Conf.pm, Explode.pm, Sugar.pm, Store.pm.

A line that does not parse is ignored there with a warning, and here with a note; what ends the compiler is an error,
and then the rules of before are in force, which nobody can read off the file.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from jailssh.core.errors import ConfigError
from jailssh.core.names import escape

MASTER = "master"
_RULE = re.compile(r"(-|C|R|RW\+?(?:C?D?|D?C?)M?) (.* )?= (.+)\Z", re.DOTALL | re.ASCII)
_GROUP = re.compile(r"(@\S+) = (.*)\Z", re.DOTALL | re.ASCII)
_INCLUDE = re.compile(r"(include|subconf) (?:(\S+) )?(\S.+)\Z", re.DOTALL | re.ASCII)
_REPO = re.compile(r"@?[0-9a-zA-Z][-0-9a-zA-Z._@/+]*\Z")
_PATTERN = re.compile(r"@?[\[0-9a-zA-Z][-0-9a-zA-Z._@/+\\^$|()\[\]*?{},]*\Z")
_USER = re.compile(r"@?[0-9a-zA-Z][-0-9a-zA-Z._@+]*\Z")
_COMMENT = re.compile(r'((?:".*?"|[^#"])*)#.*\Z', re.DOTALL)
_UNSAFE = re.compile(r"[`~#$&()|;<>]")
_MOST_LINES, _LONGEST, _MOST_QUOTES = 200_000, 1 << 16, 12
REPO, USER = _REPO, _USER


@dataclass(frozen=True)
class Rule:
    """One rule: its place among all, the permission, what of a ref it fits, and where it stands."""

    number: int
    perm: str
    ref: str
    where: str


@dataclass
class Conf:
    """What a configuration says.

    ``rules`` by repository (a name, a pattern, a @group) and user or @group; ``config`` by repository; ``groups`` by
    name with ``@``: members, each with the part of the configuration that put it there.
    """

    rules: dict[str, dict[str, list[Rule]]] = field(default_factory=dict)
    config: dict[str, list[tuple[int, str, str]]] = field(default_factory=dict)
    groups: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Source:
    """The files: ``read`` gives one by its name below ``folder``, ``names`` are all that end in .conf.

    ``roles``, ``hostname``, ``config`` (patterns of what ``config`` may set) and ``continued`` (a backslash continues a
    line) are said in the rc file.
    """

    folder: str
    read: Callable[[str], str | None]
    names: Collection[str]
    roles: Collection[str] = ("READERS", "WRITERS")
    hostname: str = ""
    config: Sequence[str] = ()
    continued: bool = False


def parse(source: Source) -> Conf:
    """Return what the configuration says; :class:`ConfigError` with the line where gitolite would not take it."""
    return _Parser(source).parsed()


Line = tuple[str, str]
"""Where it stands, and its text."""


class _Parser:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._conf = Conf()
        self._seen = {"gitolite.conf"}
        self._prefixed: dict[tuple[str, str], str] = {}
        self._number = 0
        self._repos: list[str] = []
        self._subconf = MASTER
        self._count = 0

    def parsed(self) -> Conf:
        text = self._source.read("gitolite.conf")
        if text is None:
            raise ConfigError(f"{self._source.folder}/gitolite.conf", "does not exist, or is no file")
        lines = list(self._exploded("gitolite.conf", text, MASTER))
        if self._source.continued:
            lines = list(_continued(lines))
        once: set[str] = set()
        for where, line in _without_blocks(lines):
            if line.startswith("repo "):
                once = set()
            self._take(where, line, once)
        return self._conf

    def _exploded(self, name: str, text: str, subconf: str) -> Iterator[Line]:
        for number, raw in enumerate(text.split("\n"), 1):
            where = f"{self._source.folder}/{name}:{number}"
            self._count += 1
            if len(raw) > _LONGEST or self._count > _MOST_LINES:
                raise ConfigError(where, "the line, or the configuration, is too long")
            try:
                line = _cleaned(raw)
            except ConfigError as error:
                raise ConfigError(where, error.why) from error
            if not line:
                continue
            if self._source.hostname:
                line = re.sub(r"%HOSTNAME\b", self._source.hostname, line)
            if subconf != MASTER:
                line = self._prefix(line, subconf)
            if found := _INCLUDE.match(line):
                yield from self._included(found, where, subconf)
            else:
                yield where, line

    def _included(self, found: re.Match[str], where: str, subconf: str) -> Iterator[Line]:
        verb, name, pattern = found.groups()
        if verb == "subconf" and subconf != MASTER:
            raise ConfigError(where, f"subconf {subconf!r} cannot have a subconf")
        quoted = re.match(r"\"(.+)\"\Z|'(.+)'\Z", pattern)
        if not quoted:
            raise ConfigError(where, "include and subconf take a file name in quotes")
        for file in self._files(quoted[1] or quoted[2], where):
            basename = file.rsplit("/", 1)[-1].removesuffix(".conf")
            if file in self._seen:
                self._conf.notes.append((where, f"{file} was included already"))
                continue
            self._seen.add(file)
            text = self._source.read(file)
            if text is None:
                raise ConfigError(where, f"{self._source.folder}/{file} cannot be read")
            if verb == "include":
                yield from self._exploded(file, text, subconf)
                continue
            inner = name or basename
            yield where, f"subconf {inner}"
            yield from self._exploded(file, text, inner)
            yield where, f"subconf {subconf}"

    def _files(self, text: str, where: str) -> list[str]:
        found: list[str] = []
        for pattern in _words(text):
            if pattern.startswith(("/", "~")) or ".." in pattern.split("/") or set(pattern) & set("{}\\"):
                raise ConfigError(where, f"{escape(pattern, 80)!r} is not a file of {self._source.folder}")
            fitting = sorted(name for name in self._source.names if _fits(pattern, name))
            if not fitting:
                if not set(pattern) & set("*?["):
                    self._conf.notes.append((where, f"included file {escape(pattern, 80)!r} does not exist"))
                elif not pattern.endswith(".conf"):
                    # Whatever else it finds would end the compiler.
                    raise ConfigError(where, f"{escape(pattern, 80)!r} may name files that do not end in .conf")
            found += fitting
        return found

    def _prefix(self, line: str, subconf: str) -> str:
        left = re.match(r"@(\S+) = ", line)
        line = re.sub(
            r"(^| )(@\S+)(?= |$)", lambda found: found[1] + self._prefixed.get((subconf, found[2]), found[2]), line
        )
        if left:
            new = f"@{subconf}.{left[1]}"
            line = re.sub(r"^@\S+ = ", lambda _: f"{new} = ", line)
            self._prefixed[subconf, f"@{left[1]}"] = new
        return line

    def _take(self, where: str, line: str, once: set[str]) -> None:
        if found := _RULE.match(line):
            self._rule(where, line, found)
            for letter, option, fits in (
                ("D", "DELETE_IS_D", "D" in found[1]),
                ("C", "CREATE_IS_C", re.search("RW.*C", found[1])),
                ("M", "MERGE_CHECK", "M" in found[1]),
            ):
                if fits and letter not in once:
                    once.add(letter)
                    self._option(f"gitolite-options.{option}", "1")
        elif found := _GROUP.match(line):
            self._group(where, found[1], _words(found[2]))
        elif line.startswith("repo "):
            self._repolist(where, _words(line[5:]))
        elif found := re.match(r"option (\S+) = (\S.*)\Z", line, re.ASCII):
            self._option(f"gitolite-options.{found[1]}", _value(where, found[2]))
        elif found := re.match(r"config (.+) = ?(.*)\Z", line):
            self._config(where, found[1], found[2])
        elif found := re.match(r"subconf (\S+)\Z", line):
            if not re.match(r"[-\w.]+\Z", found[1], re.ASCII):
                raise ConfigError(where, f"{escape(found[1], 60)!r} is not the name of a subconf")
            self._subconf = found[1]
        elif found := re.match(r"(desc|owner|category) = (\S.*)\Z", line, re.ASCII):
            self._config(where, f"gitweb.{'description' if found[1] == 'desc' else found[1]}", found[2])
        else:
            self._conf.notes.append((where, f"gitolite ignores this line: {escape(line, 60)}"))

    def _config(self, where: str, key: str, value: str) -> None:
        allowed = (*self._source.config, r"gitolite-options\..*")
        if not any(fits(pattern, key, whole=True, case=False) for pattern in allowed):
            raise ConfigError(where, f"{escape(key, 60)} is not among GIT_CONFIG_KEYS of the rc file")
        self._option(key, _value(where, value))

    def _option(self, key: str, value: str) -> None:
        self._number += 1
        for repo in self._repos:
            self._conf.config.setdefault(repo, []).append((self._number, key, value))

    def _group(self, where: str, name: str, members: Sequence[str]) -> None:
        if not _REPO.match(name):
            raise ConfigError(where, f"{escape(name, 60)!r} is not a group")
        for member in members:
            if not _PATTERN.match(member):
                raise ConfigError(where, f"{escape(member, 60)!r} is not a name")
        group = self._conf.groups.setdefault(name, {})
        for member in self._expanded(where, members):
            group.setdefault(member, self._subconf)

    def _expanded(self, where: str, names: Iterable[str]) -> list[str]:
        found: list[str] = []
        for name in names:
            if not name.startswith("@") or name == "@all":
                found.append(name)
            elif not self._conf.groups.get(name):
                # An empty hash is true in Perl, and an undefined group is none.
                if name not in self._conf.groups:
                    raise ConfigError(where, f"group {name} is not defined above")
            else:
                found += sorted(self._conf.groups[name])
        return found

    def _repolist(self, where: str, names: list[str]) -> None:
        self._repos = []
        rest = list(names)
        while rest:
            name = rest.pop(0)
            if self._foreign(name):
                if name in self._conf.groups:
                    rest = [*self._conf.groups[name], *rest]
                else:
                    self._conf.notes.append(
                        (where, f"subconf {self._subconf} cannot give rights to {escape(name, 60)}")
                    )
                continue
            name = name.removesuffix(".git")
            if not _PATTERN.match(name):
                raise ConfigError(where, f"{escape(name, 60)!r} is not a repository")
            self._repos.append(name)

    def _foreign(self, name: str) -> bool:
        """True if a subconf has no say about a repository."""
        if self._subconf in (MASTER, name) or f"@{self._subconf}" == name:
            return False
        own = self._conf.groups.get(f"@{self._subconf}", {})
        return not any(origin == MASTER and fits(each, name, whole=True) for each, origin in own.items())

    def _rule(self, where: str, line: str, found: re.Match[str]) -> None:
        perm, text, users = found[1], found[2] or "", _words(found[3])
        if re.match(r"(-|R\S+) \S.* = \S.*", line):
            text = re.sub(r"(^| )NAME/", r"\1VREF/NAME/", text)
        users = [f"@{user}" if user == "CREATOR" or user in self._source.roles else user for user in users]
        refs = self._expanded(where, _words(text)) or ["refs/.*"]
        refs = [ref if re.match("(refs|VREF)/", ref) else f"refs/heads/{ref}" for ref in refs]
        for word, what, shape in (
            *((ref, "ref", _PATTERN) for ref in refs),
            *((user, "user", _USER) for user in users),
        ):
            if not shape.match(word):
                raise ConfigError(where, f"{escape(word, 60)!r} is not a {what}")
        for ref in refs:
            for user in users:
                self._number += 1
                for repo in self._repos:
                    rule = Rule(self._number, perm, ref, where)
                    self._conf.rules.setdefault(repo, {}).setdefault(user, []).append(rule)


def _cleaned(raw: str) -> str:
    line = raw
    if "#" in raw:
        # A quote that is not closed has Perl try every way to read the others.
        if raw.count('"') > _MOST_QUOTES:
            raise ConfigError(escape(raw, 40), f"has more than {_MOST_QUOTES} quotes and a comment")
        line = _COMMENT.sub(r"\1", raw)
    line = line.replace("=", " = ", 1)
    line = re.sub(r"[ \t\n\r\f\v]+", " ", line)
    return line.removeprefix(" ").removesuffix(" ")


def _words(text: str) -> list[str]:
    """Return the words of a line after :func:`_cleaned`; other blanks than these are none to gitolite."""
    return [word for word in text.split(" ") if word]


def _value(where: str, text: str) -> str:
    found = re.match(r"""['"](.*)["']\Z""", text)
    value = found[1] if found else text
    if _UNSAFE.search(value):
        raise ConfigError(where, f"{escape(value, 60)!r} has a character that gitolite does not take")
    return value


def _continued(lines: Iterable[Line]) -> Iterator[Line]:
    kept, began = "", ""
    for where, line in lines:
        began = began or where
        if line.endswith("\\"):
            kept += line[:-1]
            continue
        yield began, _cleaned(kept + line)
        kept, began = "", ""


def _without_blocks(lines: Iterable[Line]) -> Iterator[Line]:
    """Yield the lines outside of blocks that gitolite skips."""
    inside = False
    for where, line in lines:
        inside = inside or re.match(r"= *begin (testconf|template-data)\Z", line) is not None
        if not inside:
            yield where, line
        inside = inside and not re.match(r"= *end\Z", line)


def _fits(pattern: str, name: str) -> bool:
    """True if a name fits a shell pattern, component by component, dots at the beginning written out."""
    parts, names = pattern.split("/"), name.split("/")
    return len(parts) == len(names) and all(
        fnmatch.fnmatchcase(each, part) and (not each.startswith(".") or part.startswith("."))
        for part, each in zip(parts, names, strict=True)
    )


class TooHard(Exception):
    """A regular expression that is not tried, or that is none; its text says which."""


_NESTED = re.compile(r"\([^()]*[*+{][^()]*\)[*+{]")


def fits(pattern: str, text: str, *, whole: bool, case: bool = True) -> bool:
    """Return whether ``text`` matches ``^pattern``, and ``$`` behind it with ``whole``, as Perl reads it."""
    if case and re.match(r"[-0-9a-zA-Z_@/]*\Z", pattern):
        return text == pattern if whole else text.startswith(pattern)
    if (
        len(pattern) > 500
        or _NESTED.search(pattern)
        or re.search(r"\\[^-0-9_.@/+\\^$|()\[\]*?{},dwsDWSbB]|\(\?", pattern)
    ):
        raise TooHard(f"the pattern {escape(pattern, 80)!r} is not one that can be judged here")
    try:
        return re.search(f"^{pattern}$" if whole else f"^{pattern}", text, re.ASCII | (0 if case else re.I)) is not None
    except re.error as error:
        raise TooHard(f"the pattern {escape(pattern, 80)!r} is not valid: {error}") from error
