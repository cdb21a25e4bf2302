"""What gitolite 3 decides for a user and a repository: Load.pm (``access``), Update.pm, gitolite-shell.

What of a push depends on the ref, or on what is done to it, cannot be said by a right to a repository: a push is all or
nothing there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from jailssh.core.closed import Word
from jailssh.gitolite.conf import REPO, USER, Conf, Rule, fits

ALL = "@all"
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
    """``read`` and ``push`` of a user for a repository; ``why``: the rules by which a push is not full."""

    read: bool = False
    push: Push = Push.NONE
    why: tuple[Rule, ...] = ()


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
    denying = options.get("deny-rules", "") not in ("", "0")
    read = _first(rules, "R", denying=denying)
    if down or not _first(rules, "W", denying=denying):
        return Decision(read)
    why = _partial(rules, user, options)
    return Decision(read, Push.PART if why else Push.FULL, why)


def may_create(rules: list[Rule], options: Mapping[str, str]) -> bool:
    """True if these rules let a user make the repository."""
    return _first(rules, "^C", denying=options.get("deny-rules", "") not in ("", "0"))


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


def _partial(rules: list[Rule], user: str, options: Mapping[str, str]) -> tuple[Rule, ...]:
    """Return the rules by which something of a push is refused, none where a user may send everything."""
    before: list[Rule] = []
    checks = [rule for rule in rules if rule.ref.startswith("VREF/")]
    for rule in rules:
        if rule.ref.startswith("VREF/"):
            continue
        if rule.perm == "-":
            before.append(rule)
        elif _is_whole(rule.ref, user) and _does_all(rule.perm, options):
            return (*before, *checks)
    return (*before, *checks, *(rule for rule in rules if "W" in rule.perm and rule not in checks))


def _is_whole(ref: str, user: str) -> bool:
    return ref.replace("/USER/", f"/{user}/", 1) in _WHOLE


def _does_all(perm: str, options: Mapping[str, str]) -> bool:
    needed = ["W", "+"]
    for letter, option in (("C", "CREATE_IS_C"), ("D", "DELETE_IS_D"), ("M", "MERGE_CHECK")):
        if options.get(option, "") not in ("", "0"):
            needed.append(letter)
    return all(letter in perm for letter in needed)
