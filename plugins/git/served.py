"""Which repositories an account may read, write and create: by directories, or by a table of rights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jailssh.core.errors import ConfigError
from jailssh.plugin.api import Account, Grant, Value
from jailssh_plugins.rights import granted, has_references, on_references, shown
from jailssh_plugins.roots import Mounts, covered, mounts, paths


@dataclass(frozen=True)
class Served:
    """The repositories of a service: below ``roots``, and like one of the patterns if there are any."""

    roots: tuple[str, ...]
    base: str
    like: tuple[str, ...] = ()


_MOST_REFERENCES = 600_000
"""Bytes of the rights to references of one account or key, in all rules that have them: two for pushes, and those of
commands.  A plan has 1 MiB for everything."""


def has_table(settings: Mapping[str, Value]) -> bool:
    """True if rights say who may do what; an empty table is one too, and gives nobody any."""
    return bool(settings["rights"] or settings["roots"])


def allowed(account: Account, settings: Mapping[str, Value]) -> tuple[dict[Grant, Served], Mounts]:
    """Return what the account may do to which repositories, and the mounts for it."""
    return (_from_rights if has_table(settings) else _from_directories)(account, settings)


def _from_directories(account: Account, settings: Mapping[str, Value]) -> tuple[dict[Grant, Served], Mounts]:
    """Return what may be read and written by the settings of these names."""
    read, write = (paths(settings, name, account, "git") for name in ("read", "write"))
    if not read and not write:
        raise ConfigError("[git]", "no directory is set", hint="set read or write, as in: write = /srv/git")
    for path in read:
        if covered(path, write):
            raise ConfigError("[git] read", f"{path} is below a directory in write, so it cannot be read-only")
    place = mounts(read, write, account, "git")
    roots = tuple(dict.fromkeys((*read, *write)))
    may = {Grant.READ: Served(roots, roots[0])}
    if write:
        may[Grant.WRITE] = Served(write, roots[0])
    return may, place


def _from_rights(account: Account, settings: Mapping[str, Value]) -> tuple[dict[Grant, Served], Mounts]:
    """Return what the table of rights gives to the account's roles."""
    for name in ("read", "write"):
        if settings[name]:
            raise ConfigError(f"[git] {name}", f"{name!r} and 'rights' cannot be combined", hint="remove one of them")
    roots = paths(settings, "roots", account, "git")
    lines = settings["rights"]
    given = granted(lines if isinstance(lines, tuple) else (), roots, account, "[git]", refs=True)
    may = {right: Served(roots, roots[0], like) for right, like in given.items() if like}
    return may, shown(given, roots, account, "git")


def references(
    account: Account, settings: Mapping[str, Value], writes: tuple[str, ...], copies: int
) -> tuple[str, ...] | None:
    """Return the lines about references for the repositories that the account ``writes`` to, None for a table without.

    ``copies``: in so many rules beside those for pushes they will be.  See
    :func:`jailssh_plugins.rights.on_references`.
    """
    lines = settings["rights"]
    if not isinstance(lines, tuple) or not has_references(lines):
        return None
    found = on_references(lines, paths(settings, "roots", account, "git"), account, "[git]", writes)
    if sum(len(line.encode()) + 1 for line in found) > _MOST_REFERENCES // (2 + copies):
        why = f"{len(found)} lines about references for one account or key are too many"
        raise ConfigError("[git] rights", why, hint="use patterns: push team/* refs/heads/** @developers")
    return found
