"""Who may be in a jail on this host, by name.  What a directory service knows is never asked for as a whole.

A group of a directory may have thousands of members, each of whom costs a question over the network, and one by
primary group is not even listed.  Nobody needs them all: what confines them is set by group, and a plan is made at
the first login.  So an account of a directory is known here from its first login on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from jailssh.host import accounts
from jailssh.jail.configuration import Configuration, names_in
from jailssh.setup import jailed

SAMPLE = 16
"""How many of those that a directory lists in a group are looked at before their first login: what is wrong with the
login shell of one is wrong with that of all."""


def names(configuration: Configuration) -> set[str]:
    """Return the names under which somebody may be in a jail.

    Those with a file of ours, the local members of the groups, those for whom a plan was made once, and a sample of
    the others.  Raises where the name service does not say who is in a group.
    """
    found = {*configuration.user_names(), *accounts.members(jailed.GROUP), *known(configuration)}
    local = accounts.local_uids()
    for group in configuration.groups():
        found |= some(accounts.members(group), {*found, *local})
    return found


def known(configuration: Configuration) -> set[str]:
    """Return the names of those for whom a plan was made once, and who are in a jail by group."""
    return set(names_in(configuration.layout, configuration.layout.owners, ""))


def some(members: Iterable[str], among: Collection[str]) -> set[str]:
    """Return those of ``members`` that are in ``among``, and the first few of the others."""
    others = sorted(set(members) - set(among))
    return set(members) & set(among) | set(others[:SAMPLE])
