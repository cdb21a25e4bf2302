"""Names of a shared account whose keys a directory has: each person's, as SSSD tells them.

Nobody is enumerated: who is asked about is named, by account or by Unix group.  Where the directory does not answer for
somebody, what was fetched before stays; keys that somebody gave a name by hand are not touched.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from jailssh.change.transaction import Fault, no_fault
from jailssh.config.keys import Key, Keyring, check_group, check_name, lines_of, parse_keys
from jailssh.core.errors import HostError, JailsshError, UsageError
from jailssh.core.names import check_account_name
from jailssh.host import accounts
from jailssh.host.paths import Layout
from jailssh.services.sshd import KEY_PROGRAM, directory_keys
from jailssh.users import key_removal, keyring
from jailssh.users.adduser import Publishing

FETCHED = "directory:"
"""With this begins the comment of a key that was fetched."""
GROUP_MARK = "@"
_SECONDS = 20.0
_LONGEST = 1 << 16
"""Characters of one entry's keys: so much that all others' still fit into the plan beside them."""

Ask = Callable[[str], str]


@dataclass
class _People:
    """Who was asked about: their keys, the groups of ours that they are in, and those of whom nothing could be said."""

    keys: dict[str, tuple[Key, ...]] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    unsaid: set[str] = field(default_factory=set)
    unsaid_groups: set[str] = field(default_factory=set)
    errors: list[JailsshError] = field(default_factory=list)


def keys_of(name: str) -> str:
    """Return the lines that SSSD has for the account; :class:`HostError` where it does not say."""
    try:
        # Here it may be anywhere that programs are; sshd has one place for it.
        return directory_keys(name, _SECONDS, os.path.basename(KEY_PROGRAM))
    except HostError as error:
        raise HostError(f"keys of {name}", f"SSSD does not give them: {error}", hint=error.hint) from error


def fetch(
    layout: Layout, user: str, who: Sequence[str], publisher: Publishing, ask: Ask = keys_of, fault: Fault = no_fault
) -> key_removal.Removed:
    """Make the named keys of ``user`` those that the directory has of ``who``: accounts, and groups as in ``@devs``.

    Members of such a group are in the group of keys of that name.  Who is not among them any more and was fetched
    before goes first; then all that is new comes, in one change or not at all.  Returns what was done and what not.
    """
    check_account_name(user)
    people = _People()
    for word in who:
        _look_up(word, people)
    for name in sorted({*people.keys}):
        _ask(name, people, ask)
    ring = publisher.keyring(user)
    before = {name for name, keys in ring.keys.items() if all(key.comment.startswith(FETCHED) for key in keys)}
    if people.unsaid_groups:
        # Whose membership is not known: those who were fetched as members.
        people.unsaid |= {name for name in before if people.unsaid_groups.intersection(ring.groups[name])}
    _leave_alone(user, people, ring, before)
    lines = _take_away(layout, user, people, ring, before)
    ring = publisher.keyring(user)
    new = {name: keys for name, keys in people.keys.items() if keys and set(keys) != set(ring.keys.get(name, ()))}
    # No group, and so no right, for a name that somebody gave by hand: it may be another person's.
    groups = {group: names & {*(before & set(ring.keys)), *new} for group, names in people.groups.items()}
    try:
        lines += keyring.bring(layout, user, new, groups, before, publisher, fault)
    except JailsshError as error:
        if not lines:
            raise
        people.errors.append(error)  # who has gone stays so, and is told
    return key_removal.Removed(tuple(lines), tuple(people.errors))


def _look_up(word: str, people: _People) -> None:
    """Note whom ``word`` means."""
    if not word.startswith(GROUP_MARK):
        people.keys[check_name(check_account_name(word))] = ()
        return
    group = check_group(word.removeprefix(GROUP_MARK))
    try:
        if not accounts.group_exists(group):
            raise HostError(f"group {group}", "does not exist, or the directory is away", hint=f"getent group {group}")
        people.groups[group] = {name for name in accounts.members(group) if _is_person(name, people)}
        people.keys.update(dict.fromkeys(people.groups[group], ()))
    except JailsshError as error:
        people.unsaid_groups.add(group)
        people.errors.append(error)


def _is_person(name: str, people: _People) -> bool:
    try:
        check_name(check_account_name(name))
    except UsageError as error:
        people.errors.append(error)
        return False
    return True


def _ask(name: str, people: _People, ask: Ask) -> None:
    """Note the keys of one account; one that no name service knows has none."""
    try:
        if accounts.find(name) is None:
            return
        text = ask(name)
        if len(text) > _LONGEST:
            raise HostError(f"keys of {name}", f"are too many: {len(text)} characters, and {_LONGEST} at most are read")
    except JailsshError as error:
        people.unsaid.add(name)
        people.errors.append(error)
        return
    found: dict[str, Key] = {}
    for line in lines_of(text):
        try:
            for key in parse_keys(line.encode("utf-8", "surrogateescape"), f"key of {name} in the directory"):
                mine = Key(key.kind, key.blob, f"{FETCHED}{key.comment}")
                # What cannot be read again, such as a line that is too long now, would keep out all others' too.
                parse_keys(mine.text().encode(), f"key of {name} in the directory")
                found[key.blob] = mine
        except UsageError as error:
            if line.strip():
                people.errors.append(error)
    people.keys[name] = tuple(found.values())


def _leave_alone(user: str, people: _People, ring: Keyring, before: Collection[str]) -> None:
    """Take out of ``people`` what must not be changed, and say why."""
    for name in sorted(set(ring.keys).intersection(people.keys) - set(before)):
        why = f"has keys in account {user} that did not come from the directory"
        people.errors.append(UsageError(f"key {name}", why, hint=f"jailssh keys remove {user} {name}"))
        people.unsaid.add(name)
    for name in people.unsaid:
        people.keys.pop(name, None)
    # What the directory has taken from somebody is nobody's: a person with another name now has the same key.
    stay = [each for each in ring.keys.items() if each[0] not in before or each[0] in people.unsaid]
    holders: dict[str, set[str]] = {}
    for name, keys in (*stay, *people.keys.items()):
        for key in keys:
            holders.setdefault(key.blob, set()).add(name)
    for name, keys in people.keys.items():
        mine = {key.blob for key in ring.keys.get(name, ())}
        # Of two who say that a key is theirs, the one who has had it keeps it.
        twice = [key for key in keys if key.blob not in mine and len(holders[key.blob]) > 1]
        people.keys[name] = tuple(key for key in keys if key not in twice)
        for key in twice:
            others = ", ".join(sorted(holders[key.blob] - {name}))
            people.errors.append(UsageError(f"key {key.fingerprint()} of {name}", f"is also a key of {others}"))


def _take_away(layout: Layout, user: str, people: _People, ring: Keyring, before: Iterable[str]) -> list[str]:
    lines: list[str] = []
    for name in sorted(set(before) - people.unsaid):
        stay = {key.blob for key in people.keys.get(name, ())}
        gone = [key for key in ring.keys[name] if key.blob not in stay]
        whole = len(gone) == len(ring.keys[name]) and not stay
        for which in [name] if whole else [key.fingerprint() for key in gone]:
            done = key_removal.remove(layout, user, which)
            lines += done.lines
            people.errors += done.errors
    return lines
