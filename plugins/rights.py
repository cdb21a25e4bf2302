"""Rights by repository: from the lines of a table to patterns for the matcher and to mounts.  Pure."""

from __future__ import annotations

import os
from bisect import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from jailssh.core.errors import ConfigError
from jailssh.plugin.api import REFS, Account, Grant, RefRight, Right
from jailssh_plugins.roots import Mounts, covered, mounts

_RIGHTS = tuple(Grant)
_MOST = 24
"""So many roots at most; so many directories are mounted apart for reading and for writing, for more what is above."""


def granted(
    lines: tuple[str, ...], roots: tuple[str, ...], account: Account, what: str, *, refs: bool = False
) -> dict[Grant, tuple[str, ...]]:
    """Return what the table ``lines`` gives to ``account`` by any of its roles: absolute patterns, sorted, by right.

    A relative pattern begins at the first of ``roots``.  ``what`` names the section of the settings ``roots`` and
    ``rights`` in the :class:`ConfigError` for what cannot work.  ``refs``: the plugin knows rights to references, for
    which there is :func:`on_references`.
    """
    if not 0 < len(roots) <= _MOST or "*" in "".join(roots):
        why = f"rights need 1 to {_MOST} directories of repositories, without wildcards"
        raise ConfigError(f"{what} roots", why, hint="as in: roots = /srv/git")
    table = _by_role(lines, roots, what)
    if table.ruled and not refs:
        raise ConfigError(f"{what} rights", f"rights to {REFS} are for git alone", hint="remove these lines")
    best: dict[str, int] = {}
    for role in account.roles:
        for rank, pattern in table.rows.get(role, ()):
            best[pattern] = max(rank, best.get(pattern, 0))
    patterns = sorted(best)
    return {right: tuple(p for p in patterns if best[p] >= least) for least, right in enumerate(_RIGHTS)}


# Asked for each of a shared account's people, of one table of thousands of lines.
@lru_cache(maxsize=1 << 4)
def has_references(lines: tuple[str, ...]) -> bool:
    """True if a line of the table is a right to references."""
    return any(line.split(" ", 3)[2].startswith(REFS) for line in lines)


def on_references(
    lines: tuple[str, ...], roots: tuple[str, ...], account: Account, what: str, writes: Iterable[str]
) -> tuple[str, ...]:
    """Return the table's lines ``RIGHT REPOSITORY REF`` for ``account``, in its order, then lines ``ruled REPOSITORY``.

    These are for repositories, among those that it ``writes`` to, for which there are rights to references for anybody.
    The patterns of repositories are absolute.  Arguments and errors as with :func:`granted`.
    """
    table = _by_role(lines, roots, what)
    own = dict.fromkeys(row for _, row in sorted({row for role in account.roles for row in table.refs.get(role, ())}))
    mine = {row.split(" ")[1] for row in own}
    heads = _shortest(head for pattern in writes for head in _heads(pattern))
    ruled = [p for p in table.ruled if p not in mine and any(_meet(head, heads) for head in _heads(p))]
    return (*own, *(f"ruled {pattern}" for pattern in ruled))


def _heads(pattern: str) -> tuple[str, ...]:
    """Return what paths that fit a pattern begin with; one without wildcards has a zero behind the whole path."""
    if "*" in pattern:
        return (pattern.partition("*")[0],)
    return (f"{pattern}\0",) if pattern.endswith(".git") else (f"{pattern}\0", f"{pattern}.git\0")


def _shortest(heads: Iterable[str]) -> list[str]:
    """Return, sorted, those that begin with no other."""
    out: list[str] = []
    for head in sorted(heads):
        if not out or not head.startswith(out[-1]):
            out.append(head)
    return out


def _meet(head: str, heads: list[str]) -> bool:
    """True if something can begin with ``head`` and with one of ``heads``, which are as :func:`_shortest` has them."""
    at = bisect(heads, head)
    return (at > 0 and head.startswith(heads[at - 1])) or (at < len(heads) and heads[at].startswith(head))


@dataclass(frozen=True)
class _Table:
    """Of each line the rank of the right and the absolute pattern by role; of those for references where each stands
    and what it says by role; and the patterns of the repositories that these are for."""

    rows: Mapping[str, tuple[tuple[int, str], ...]]
    refs: Mapping[str, tuple[tuple[int, str], ...]]
    ruled: tuple[str, ...]


@lru_cache(maxsize=8)
def _by_role(lines: tuple[str, ...], roots: tuple[str, ...], what: str) -> _Table:
    """Return the table.  Kept, since the plans of all keys of an account are made from the same one."""
    found: dict[str, list[tuple[int, str]]] = {}
    refs: dict[str, list[tuple[int, str]]] = {}
    ruled: dict[str, None] = {}
    ranks = {right: rank for rank, right in enumerate(_RIGHTS)}
    for number, line in enumerate(lines):
        right = Right.of(line)
        pattern = _absolute(right, roots, f"{what} rights: {line}")
        row, of_ref = (ranks[right.right], pattern), (number, f"{right.on_ref} {pattern} {right.ref}")
        for role in right.who:
            if right.on_ref is not RefRight.DENY:
                found.setdefault(role, []).append(row)
            if right.on_ref:
                refs.setdefault(role, []).append(of_ref)
        if right.on_ref:
            ruled[pattern] = None
    by_role, of_refs = ({role: tuple(rows) for role, rows in each.items()} for each in (found, refs))
    return _Table(by_role, of_refs, tuple(ruled))


def _absolute(right: Right, roots: tuple[str, ...], what: str) -> str:
    text = right.pattern
    pattern = text if text.startswith("/") else f"{roots[0]}/{text}"
    if not covered(pattern, roots):
        hint = "correct the pattern, or add a directory above it to roots"
        raise ConfigError(what, f"{text} is not below roots: {', '.join(roots)}", hint=hint)
    if ".git" in pattern.split("/"):
        raise ConfigError(what, "'.git' cannot be part of a repository's name", hint="remove /.git")
    if right.right == Grant.CREATE and pattern in roots:
        raise ConfigError(what, "is a directory of roots, so it exists already", hint=f"as in: create {text}/*")
    return pattern


def shown(given: Mapping[Grant, Iterable[str]], roots: tuple[str, ...], account: Account, plugin: str) -> Mounts:
    """Return the mounts for what is granted: of each root as little as the patterns allow, and writable only there.

    What is below a root may be missing, since repositories come and go.
    """
    read, write = (
        {path for each in given[right] for path in _places(each, roots)} for right in (Grant.READ, Grant.WRITE)
    )
    write.update(_literal(os.path.dirname(pattern)) for pattern in given[Grant.CREATE])
    writable = _few(write, roots)
    seen = tuple(f"{path}/" for path in writable)
    place = mounts(_few([p for p in read if not f"{p}/".startswith(seen)], roots), writable, account, plugin)
    binds = tuple(replace(bind, optional=bind.path not in roots) for bind in place.binds)
    return Mounts(place.home, binds)


def _places(pattern: str, roots: Iterable[str]) -> tuple[str, ...]:
    """Return the directories that hold all repositories like ``pattern``; ``x`` means ``x`` and ``x.git``."""
    one = "*" not in pattern and not pattern.endswith(".git") and pattern not in roots
    return (pattern, f"{pattern}.git") if one else (_literal(pattern),)


def _literal(pattern: str) -> str:
    """Return the components of ``pattern`` before the first with a wildcard."""
    wild = pattern.find("*")
    return pattern if wild < 0 else pattern[: pattern.rindex("/", 0, wild)]


def _few(places: Iterable[str], roots: tuple[str, ...]) -> set[str]:
    """Return at most :data:`_MOST` directories that hold all of ``places``: the deepest give way to what is above."""
    few = _outermost(places)
    while len(few) > _MOST and (inner := few.difference(roots)):
        deepest = max(path.count("/") for path in inner)
        few = _outermost({p[: p.rindex("/")] if p in inner and p.count("/") == deepest else p for p in few})
    return few


def _outermost(places: Iterable[str]) -> set[str]:
    """Return those of ``places`` that are below no other."""
    out: list[str] = []
    # With a slash behind each, what is below a directory follows it.
    for path in sorted(f"{path}/" for path in places):
        if not out or not path.startswith(out[-1]):
            out.append(path)
    return {path[:-1] for path in out}
