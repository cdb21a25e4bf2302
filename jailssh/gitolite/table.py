"""gitolite's decisions as a table of rights, and what of them it does not say."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from jailssh.config.keys import ALL
from jailssh.core.names import escape
from jailssh.gitolite.access import CHECK, Access, Push, Repository, may_create, ref_of
from jailssh.gitolite.conf import REPO, Rule
from jailssh.gitolite.references import Carried, Step, Why, carried
from jailssh.plugin.api import RefRight
from jailssh.sources.found import Effect, Remark

ADMIN = "gitolite-admin"
_BELOW = re.compile(r"((?:[-0-9a-zA-Z_@+]+/)+)\.[.]?[*+]\Z")
"""A pattern for all that is below a directory."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}\Z")
_SHOWN = 5
_MOST = 250_000
"""Bytes of lines about references for one key, of which the git plugin takes some more."""
_WHY = {
    Why.CHECK: "looks at what is pushed, which no right does: {users} can read {repos} and not push",
    Why.PATTERN: "no pattern of jailssh fits the same references: {users} do not get this in {repos}",
    Why.DENIES: "no pattern of jailssh fits the same references: {users} do not get what the rules below it give in "
    "{repos}",
    Why.MERGES: "jailssh does not tell merges from other commits: {users} move no reference of {repos} by this rule",
    Why.DOTS: "each dot is now a dot, and not any character: for {users} in {repos}",
    Why.WIDER: "each dot is now any text, so this takes more away: from {users} in {repos}",
}


def is_name(word: str) -> bool:
    """True if ``word`` can be the name of a key, or of a group of keys without its ``@``."""
    return _NAME.match(word) is not None


@dataclass
class _Row:
    """A step for all that it is for, at its place among the rules."""

    step: Step
    number: int
    users: set[str] = field(default_factory=set)


class Table:
    """The table for ``repositories``; ``users``: what the key of each user with one is called."""

    def __init__(
        self, access: Access, repositories: Collection[Repository], users: Mapping[str, str], base: str
    ) -> None:
        self.remarks: list[Remark] = []
        self._access = access
        self._repositories = repositories
        self._users = users
        self._base = base
        self._used: dict[str, tuple[str, ...]] = {}
        self._parts: dict[tuple[str, str, Why], tuple[Rule, set[str], set[str]]] = {}
        self._carried: dict[tuple[str, ...], Carried] = {}
        self._bytes = dict.fromkeys(users, 0)
        groups = access.conf.groups
        self._members = {group: frozenset(user for user in users if user in groups[group]) for group in sorted(groups)}

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return the groups that the table names, after :meth:`text`."""
        return dict(sorted(self._used.items()))

    def text(self, origin: str, *, creates: bool) -> str:
        """Return the table of what stands in the file ``origin``; ``creates``: a push can make a repository."""
        lines = [line for each in self._repositories for line in self._rows(each, refs=True)]
        if max(self._bytes.values(), default=0) > _MOST:
            self._parts.clear()
            self._used.clear()
            lines = [line for each in self._repositories for line in self._rows(each, refs=False)]
            text = "one key would have more lines about references than jailssh takes, so who may not push everything"
            self._say(Effect.LOST, origin, f"{text} can read alone")
        elif any(self._bytes.values()):
            text = "names of references can have characters that gitolite refuses, such as # and %"
            self._say(Effect.CHANGED, origin, text)
        for (_, ref, why), (rule, repos, users) in self._parts.items():
            text = _WHY[why].format(users=_some(users), repos=_some(repos))
            effect = Effect.CHANGED if why in (Why.DOTS, Why.WIDER) else Effect.LOST
            self._say(effect, rule.where, f"{rule.perm} {escape(ref, 60)}: {text}")
        if creates:
            lines += self._creating()
        return "".join(f"{line}\n" for line in (f"# From {origin}, by jailssh migrate.", *lines))

    def _say(self, effect: Effect, where: str, text: str) -> None:
        self.remarks.append(Remark(effect, where, text))

    def _rows(self, repository: Repository, *, refs: bool) -> list[str]:
        """Return the lines for a repository; without ``refs`` none are about references."""
        name = repository.name
        readers, writers, some = set(), set(), set()
        for user in self._users:
            what = self._access.decide(repository, user)
            push = what.push if name != ADMIN else Push.NONE
            if push is Push.FULL:
                writers.add(user)
            elif push is Push.PART and refs:
                some.add(user)
            elif what.read:
                readers.add(user)
        conf = self._access.conf.rules
        everybody = any(f"@{ALL}" in conf.get(each, ()) for each in self._access.repos(repository))
        lines: list[str] = []
        if some:
            found = {user: self._carry(repository, user) for user in (*sorted(some), *sorted(writers))}
            if any(found[user].gives for user in some):
                lines = self._ruled(repository, found)
                writers = set()
            readers |= {user for user in some if not found[user].gives}
        rows = (("read", readers), ("write", writers))
        return [*(f"{right} {name} {self._who(whose, everybody)}" for right, whose in rows if whose), *lines]

    def _carry(self, repository: Repository, user: str) -> Carried:
        rules, options = self._access.rules(repository, user), self._access.options(repository)
        own = user if any("/USER/" in rule.ref for rule in rules) else ""
        case = own, *sorted(f"{key}={value}" for key, value in options.items()), *(str(rule.number) for rule in rules)
        if case not in self._carried:
            self._carried[case] = carried(rules, user, options)
        for rule, why in self._carried[case].lost:
            row = self._parts.setdefault((rule.where, rule.ref, why), (rule, set(), set()))
            row[1].add(repository.name)
            row[2].add(user)
        return self._carried[case]

    def _ruled(self, repository: Repository, found: Mapping[str, Carried]) -> list[str]:
        """Return the lines about references: each rule once, for all that get it."""
        rows: dict[tuple[str, str, str], _Row] = {}
        for user, steps in ((user, each.steps) for user, each in found.items() if each.gives):
            for step in steps:
                key = step.rule.where, step.rule.perm, step.ref
                row = rows.setdefault(key, _Row(step, step.rule.number))
                row.number = min(row.number, step.rule.number)
                row.users.add(user)
        denies = any(RefRight.DENY in row.step.rights for row in rows.values())
        for user in self._users if denies else ():
            # Who comes into a group later is denied what the group is, whoever else gets more by another rule.
            for rule in self._access.rules(repository, user):
                if rule.perm == "-" and (denied := rows.get((rule.where, rule.perm, ref_of(rule, user)))):
                    denied.users.add(user)
        by_name = (self._access.conf.rules.get(name, {}) for name in self._access.repos(repository))
        for_all = {rule.where for by in by_name for rule in by.get(f"@{ALL}", ())}
        # Who comes later gets what is for everybody only where all of it could be said.
        whole = not any(each.lost for each in found.values())
        lines = []
        for row in sorted(rows.values(), key=lambda row: row.number):
            denies = RefRight.DENY in row.step.rights
            everybody = row.step.rule.where in for_all and (denies or whole)
            who = self._who(row.users, everybody, least=1 if denies else 2)
            said = [
                f"{right} {repository.name} {pattern}" for right in row.step.rights for pattern in row.step.patterns
            ]
            size = sum(len(f"{self._base}/{line}\n".encode()) for line in said)
            for user in row.users:
                self._bytes[user] += size
            lines += [f"{line} {who}" for line in said]
        # One that is there twice adds nothing the second time.
        return list(dict.fromkeys(lines))

    def _who(self, users: Collection[str], everybody: bool, least: int = 2) -> str:
        """Return users as a line of a table has them: by groups of at least so many where these hold no others.

        ``everybody``: the rules are for whoever there is, so who comes later is meant too.
        """
        left, words = set(users), []
        if everybody and left == set(self._users):
            return f"@{ALL}"
        for group, members in sorted(self._members.items(), key=lambda item: -len(item[1])):
            name = group.removeprefix("@").replace("@", "+").replace("/", "+")
            if len(members & left) >= least and members <= set(users) and is_name(name) and name != ALL:
                names = tuple(sorted(self._users[user] for user in members))
                if self._used.setdefault(name, names) == names:
                    words.append(f"@{name}")
                    left -= members
        return " ".join([*words, *sorted(self._users[user] for user in left)])

    def _creating(self) -> list[str]:
        """Return the lines by which a push makes a repository, and say where none can."""
        found: dict[str, set[str]] = {}
        for key, by in sorted(self._access.conf.rules.items()):
            rules = [rule for each in by.values() for rule in each if rule.perm == "C"]
            if not rules or (REPO.match(key) and not key.startswith("@")):
                continue
            rows = self._below(key)
            if rows is None:
                text = f"a push makes no new repository that fits {escape(key, 60)}: write lines with create for that"
                self._say(Effect.LOST, rules[0].where, text)
                continue
            for pattern, user in rows:
                found.setdefault(pattern, set()).add(user)
        return [f"create {pattern} {self._who(users, everybody=False)}" for pattern, users in sorted(found.items())]

    def _below(self, key: str) -> list[tuple[str, str]] | None:
        """Return (pattern, user) for those who may make whatever is below a directory; None where it is not that."""
        match = _BELOW.match(key)
        if not match or self._denying():
            return None
        rows = []
        for user in self._users:
            parts = [user if part == "CREATOR" else part for part in match[1].rstrip("/").split("/")]
            if any("CREATOR" in part for part in parts) or ("CREATOR" in match[1] and not _NAME.match(user)):
                return None
            folder = "/".join(parts)
            new = Repository(f"{folder}/x", creator=user)
            rules, options = self._access.rules(new, user), self._access.options(new)
            if not may_create(rules, options):
                continue
            there = [each for each in self._repositories if each.name.startswith(f"{folder}/")]
            if any(self._access.decide(each, user).push is not Push.FULL for each in (new, *there)):
                return None
            rows.append((f"{folder}/**", user))
        return rows

    def _denying(self) -> bool:
        """True if a rule for more than one repository takes something away."""
        known = {each.name for each in self._repositories}
        return any(
            rule.perm == "-" or rule.ref.startswith(CHECK)
            for key, by in self._access.conf.rules.items()
            if key not in known
            for rules in by.values()
            for rule in rules
        )


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - _SHOWN} more" if len(listed) > _SHOWN else ""
    return ", ".join(escape(name, 60) for name in listed[:_SHOWN]) + more
