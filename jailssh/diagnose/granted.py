"""Rights to repositories beside what this host has: patterns that fit nothing, directories that keep people out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jailssh.config.files import UserConfig
from jailssh.config.jails import JailConfig
from jailssh.config.reader import Item, did_you_mean
from jailssh.config.rights import RightsLine, covers
from jailssh.core.errors import ConfigError
from jailssh.jail.holders import Holder
from jailssh.jail.writable import Directories, Writer, chown_hint, mkdir_hint
from jailssh.plugin.api import Account, Grant, RefRight, Right

_REPOSITORY = ("HEAD", ".git")
"""What is in the directory of a repository, without and with a working tree."""


@dataclass(frozen=True)
class User:
    """An account in a jail, who uses it, and the names by which rights reach it."""

    account: Account
    holders: tuple[Holder, ...]
    names: frozenset[str]
    shared: bool
    config: UserConfig | None
    writer: Writer


@dataclass(frozen=True)
class Claim:
    """A right at one root: its absolute ``pattern``, the accounts that it reaches, and all that may be created there.

    ``creates``: the patterns of all lines of the table for ``create``, absolute, with the names they are for, by
    :func:`_place`.
    """

    line: RightsLine
    right: Right
    root: str
    pattern: str
    writers: tuple[Writer, ...]
    creates: Mapping[str, Sequence[tuple[str, frozenset[str]]]]

    @property
    def place(self) -> str:
        """The directory in which repositories like this are made."""
        return _place(self.pattern)

    def comes(self) -> bool:
        """True if all repositories like this may come to be by rights of the same table."""
        return any(self._ways())

    def has_way(self) -> bool:
        """True if another line lets the same people create this, with the directory that it is in."""
        who = set(self.right.who)
        return any(("@all" in names or who <= names) and _place(way) != self.place for way, names in self._ways())

    def _ways(self) -> Iterator[tuple[str, frozenset[str]]]:
        """Yield the patterns by which all that fits this one may be created, with the names they are for."""
        patterns = {self.pattern, self.pattern.removesuffix(".git")}
        above = self.pattern
        while above := os.path.dirname(above).rstrip("/"):
            for way, names in self.creates.get(above, ()):
                if any(covers(way, pattern) for pattern in patterns):
                    yield way, names


def claims_of(config: JailConfig, table: Item, users: Sequence[User]) -> Iterator[Claim]:
    """Yield the rights of a table, at each of the directories at which relative patterns begin for those they reach."""
    named = {item.setting.name: item for item in config.items if item.setting.section == table.setting.section}
    value = named["roots"].value if "roots" in named else ()
    first = next(iter(value), "") if isinstance(value, tuple) else ""
    every = [(line, Right.of(line.text)) for line in table.lines if first]
    rights = [(line, right) for line, right in every if right.on_ref is not RefRight.DENY]
    if not first.startswith("~"):
        roots = {first: list(users)}
    else:
        roots = {}
        for user in users:
            roots.setdefault(user.account.home + first[1:], []).append(user)
    for root, inside in roots.items():
        creates: dict[str, list[tuple[str, frozenset[str]]]] = {}
        for right in (right for _, right in rights if right.right == Grant.CREATE):
            way = _from(root, right.pattern)
            creates.setdefault(_place(way), []).append((way, frozenset(right.who)))
        for line, right in rights:
            reached = [user for user in inside if "@all" in right.who or not user.names.isdisjoint(right.who)]
            writers = tuple(user.writer for user in reached)
            yield Claim(line, right, root, _from(root, right.pattern), writers, creates)


def _from(root: str, pattern: str) -> str:
    return pattern if pattern.startswith("/") else f"{root}/{pattern}"


def _fixed(pattern: str) -> str:
    """Return the components of ``pattern`` before the first with a wildcard."""
    return pattern[: pattern.rindex("/", 0, pattern.index("*"))] if "*" in pattern else pattern


def _place(pattern: str) -> str:
    """Return the directory in which repositories like ``pattern`` are made, without what may be any directory."""
    return _fixed(os.path.dirname(pattern))


def about_pattern(claim: Claim, host: Directories) -> list[ConfigError]:
    """Return what is to be said of a pattern that names nothing on this host."""
    pattern, written = claim.pattern, claim.right.pattern
    if _matches(pattern, host) or claim.comes():
        return []
    if "*" in pattern:
        why, fixed = f"{written} does not match a repository yet", _fixed(pattern)
        hint = f"check the spelling, or create one: git init --bare {fixed}/NAME.git"
        if host.is_absent(fixed):
            near = did_you_mean(os.path.basename(fixed), host.names(os.path.dirname(fixed)))
            why += f": {fixed} is not a directory"
            hint = near if near.startswith("did") else "check the spelling"
    elif os.path.isdir(pattern):
        why = f"{pattern} is not a git repository"
        hint = f"for repositories in it, write {written}/* or {written}/**"
    else:
        why = f"repository {pattern} does not exist"
        hint = did_you_mean(os.path.basename(pattern), host.names(os.path.dirname(pattern)))
        hint = (
            hint
            if hint.startswith("did")
            else f"create it, owned by the account that writes: git init --bare {pattern}"
        )
    return [ConfigError(claim.line.origin, why, hint=hint)]


def about_place(claim: Claim, host: Directories) -> list[ConfigError]:
    """Return what is to be said of a directory in which people may create, that is not there or keeps them out."""
    place = claim.place
    if claim.right.right != Grant.CREATE or (place == claim.root and host.is_absent(place)):
        return []
    if not host.is_absent(place):
        kept_out = [writer for writer in claim.writers if not host.can_write(writer, place)]
        if not kept_out:
            return []
        why = f"account {kept_out[0].name} cannot write to {place}, so nothing can be created in it"
        return [ConfigError(claim.line.origin, why, hint=chown_hint(place, kept_out))]
    if claim.has_way():
        return []
    cure = mkdir_hint(place, claim.writers) if claim.writers else f"mkdir -p {place}"
    why = f"{place!r} is not a directory, so nothing can be created in it"
    return [ConfigError(claim.line.origin, why, hint=f"create it: {cure}")]


def about_modes(claim: Claim, host: Directories) -> list[ConfigError]:
    """Return what is to be said of repositories whose modes keep people out; the first account stands for all."""
    repositories = [path for path in _matches(claim.pattern, host) if _is_repository(path)] if claim.writers else []
    for writer in claim.writers:
        if kept_from := [path for path in repositories if not host.can_push_to(writer, path)]:
            more = f", nor to {len(kept_from) - 1} more" if kept_from[1:] else ""
            why = f"account {writer.name} cannot write to the repository {kept_from[0]}{more}"
            return [ConfigError(claim.line.origin, why, hint=chown_hint(kept_from[0], [writer], "-R"))]
    return []


def _is_repository(path: str) -> bool:
    return any(os.path.lexists(f"{path}/{name}") for name in _REPOSITORY)


def _matches(pattern: str, host: Directories) -> list[str]:
    """Return the repository ``pattern``, ``.git`` added or not; or with wildcards, the directories that it fits.

    Of a ``**`` the first component behind it counts.
    """
    if "*" not in pattern:
        return [path for path in (pattern, f"{pattern}.git") if _is_repository(path)]
    fixed = _fixed(pattern)
    places = [fixed]
    for part in pattern[len(fixed) + 1 :].split("/"):
        shape = re.compile(".*".join(map(re.escape, part.replace("**", "*").split("*"))) + r"\Z", re.DOTALL)
        hidden = part.startswith(".")
        places = [
            f"{place}/{name}"
            for place in places
            for name in host.names(place)
            if (shape.match(name) or shape.match(name.removesuffix(".git"))) and (hidden or not name.startswith("."))
        ]
    return places
