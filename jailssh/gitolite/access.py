"""What gitolite 3 decides for a user and a repository: Load.pm (``access``), Update.pm, gitolite-shell.

A push that depends on the ref, or on what is done to it, cannot be said by a right to a repository; the rules are then
carried over one by one (:mod:`jailssh.gitolite.references`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from jailssh.core.closed import Word
from jailssh.gitolite.conf import REPO, USER, Conf, Rule, fits

ALL = "@all"
CHECK = "VREF/"
"""What the pattern of a rule begins with that has a program look at what is pushed."""
_PLAIN = re.compile(r"[-0-9a-zA-Z_@/]*\Z")
_WHOLE = frozenset({"refs/.*", "refs/", "refs/.", "refs", "refs/.+", "refs/..*", ".*", ""})
"""What fits every ref, since patterns are held to the beginning alone."""


class Push(Word):
    """What somebody may send."""

    NONE = "none"
    PART = "part"  # it depends on the ref, or on what is done to it
    FULL = "full"


@dataclass(frozen=True)
class Repository:
    """A repository that exists: its name, and what gitolite's own files in it say."""

    name: str
    creator: str = ""
    perms: str = ""
    groups: tuple[str, ...] = ()
    down: bool = False


@dataclass(frozen=True)
class Decision:
    """``read`` and ``push`` of a user for a repository."""

    read: bool = False
    push: Push = Push.NONE


class Access:
    """Decides by a configuration; ``roles`` are the names that gl-perms may use, ``existing`` the repositories."""

    def __init__(self, conf: Conf, roles: Collection[str], existing: Collection[str]) -> None:
        self.conf = conf
        self._roles = roles
        keys = {*conf.rules, *conf.config}
        # What is said of a repository that exists is kept in it, so its name is no pattern for others.
        self._keys = keys - set(existing)
        self._patterns = sorted(key for key in self._keys if not key.startswith("@") and not _PLAIN.match(key))
        self._groups: dict[str, list[str]] = {}
        self._group_patterns: list[tuple[str, str]] = []
        for group, members in conf.groups.items():
            for member in members:
                self._groups.setdefault(member, []).append(group)
                if not REPO.match(member):
                    self._group_patterns.append((member, group))
        self._repos: dict[Repository, tuple[str, ...]] = {}
        self._decided: dict[tuple[Repository, frozenset[str]], Decision] = {}

    def decide(self, repository: Repository, user: str) -> Decision:
        """Return what a user may do with a repository.  Raises :class:`TooHard`."""
        named = {who for name in self.repos(repository) for who in self.conf.rules.get(name, ())}
        case = repository, frozenset(self.users(repository, user) & named)
        if case not in self._decided:
            rules = self.rules(repository, user)
            found = judged(rules, user, self.options(repository), down=repository.down)
            if any("/USER/" in rule.ref for rule in rules):
                return found
            self._decided[case] = found
        return self._decided[case]

    def rules(self, repository: Repository, user: str) -> list[Rule]:
        """Return the rules that count, in the order of the file."""
        users = self.users(repository, user)
        found = [rule for name in self.repos(repository) for who, rules in self.conf.rules.get(name, {}).items()
                 if who in users for rule in rules]  # fmt: skip
        return sorted(found, key=lambda rule: rule.number)

    def repos(self, repository: Repository) -> tuple[str, ...]:
        """Return the names by which rules speak of a repository: its own, patterns, groups."""
        if repository not in self._repos:
            names = [repository.name, *_generic(repository)]
            found = {repository.name, ALL, *repository.groups, *(set(names) & self._keys)}
            found |= {key for key in self._patterns if any(fits(key, name, whole=True) for name in names)}
            found |= {group for name in names for group in self._groups.get(name, ())}
            for member, group in self._group_patterns:
                if group not in found and any(fits(member, name, whole=True) for name in names):
                    found.add(group)
            self._repos[repository] = tuple(sorted(found))
        return self._repos[repository]

    def users(self, repository: Repository, user: str) -> set[str]:
        """Return the names by which rules speak of a user: its own, groups, roles in the repository."""
        found = {user, ALL, *self._groups.get(user, ())}
        return found | {f"@{role}" for role, members in self._perms(repository) if found & set(members)}

    def _perms(self, repository: Repository) -> Iterator[tuple[str, list[str]]]:
        for line in [*repository.perms.split("\n"), f"CREATOR = {repository.creator}"]:
            text = re.sub(r"\s+", " ", line.strip().replace("=", " ", 1)).removeprefix("@")
            role, *members = text.split() or [""]
            if role == "CREATOR" or role in self._roles:
                yield role, [member for member in members if USER.match(member)]

    def options(self, repository: Repository) -> dict[str, str]:
        """Return gitolite's options for a repository by name; the last line that says one decides."""
        rows = sorted(row for name in self.repos(repository) for row in self.conf.config.get(name, ()))
        prefix = "gitolite-options."
        return {key.removeprefix(prefix): value for _, key, value in rows if key.startswith(prefix)}


def judged(rules: list[Rule], user: str, options: Mapping[str, str], *, down: bool = False) -> Decision:
    """Return what these rules come to."""
    denying = is_on(options, "deny-rules")
    read = _first(rules, "R", denying=denying)
    if down or not _first(rules, "W", denying=denying):
        return Decision(read)
    return Decision(read, Push.PART if _is_partial(rules, user, options) else Push.FULL)


def may_create(rules: list[Rule], options: Mapping[str, str]) -> bool:
    """True if these rules let a user make the repository."""
    return _first(rules, "^C", denying=is_on(options, "deny-rules"))


def is_on(options: Mapping[str, str], name: str) -> bool:
    """True if an option of this name is set, as Perl takes it."""
    return options.get(name, "") not in ("", "0")


def gives_all(rule: Rule, user: str, options: Mapping[str, str]) -> bool:
    """True if everything may be done to every ref by this rule, if none before it denies."""
    letters = ["W", "+"]
    for letter, option in (("C", "CREATE_IS_C"), ("D", "DELETE_IS_D"), ("M", "MERGE_CHECK")):
        if is_on(options, option):
            letters.append(letter)
    return ref_of(rule, user) in _WHOLE and all(letter in rule.perm for letter in letters)


def ref_of(rule: Rule, user: str) -> str:
    """Return the pattern of a rule as it is for this user."""
    return rule.ref.replace("/USER/", f"/{user}/", 1)


def _generic(repository: Repository) -> list[str]:
    creator = repository.creator
    if not creator:
        return []
    name = re.sub(rf"\b{re.escape(creator)}\b", "CREATOR", repository.name, count=1, flags=re.ASCII)
    return [name] if name != repository.name else []


def _first(rules: list[Rule], letter: str, *, denying: bool) -> bool:
    """Return the decision while the ref is not known, which skips what denies."""
    for rule in rules:
        if rule.perm == "-":
            if denying:
                return False
        elif rule.perm == "C" if letter == "^C" else letter in rule.perm:
            return True
    return False


def _is_partial(rules: list[Rule], user: str, options: Mapping[str, str]) -> bool:
    """True if something of a push is refused."""
    if any(rule.ref.startswith(CHECK) for rule in rules):
        return True
    for rule in rules:
        if rule.perm == "-" or gives_all(rule, user, options):
            return rule.perm == "-"
    return True
