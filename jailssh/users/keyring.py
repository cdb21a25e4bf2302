"""Give a key of a shared account a name.

A name is added in this order: its file, its groups, the plans, and last the line that authorizes it; all or nothing.
Its removal: :mod:`jailssh.users.key_removal`.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from jailssh.change import transaction, undo
from jailssh.change.transaction import Fault, Journal, no_fault
from jailssh.change.undo import Operation, UndoAction
from jailssh.config import authorized
from jailssh.config.files import edited, read_user, with_groups
from jailssh.config.key_sections import of_key
from jailssh.config.keys import SUFFIX, Key, check_group, check_name, read_keyring
from jailssh.core.errors import UsageError
from jailssh.core.names import check_account_name, pluralize
from jailssh.files import fs
from jailssh.host import accounts, install
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.jail import authorized_keys
from jailssh.publish import plan_files
from jailssh.services import sshd
from jailssh.setup.setup import GROUP
from jailssh.users.adduser import Publishing, require_setup, users_file


@dataclass(frozen=True)
class Addition:
    """What the administrator asked for: the account, the key's name, the keys that it stands for, its groups.

    ``sections``: of the account's file, with their brackets, and the settings that they get.
    """

    user: str
    name: str
    keys: tuple[Key, ...]
    groups: tuple[str, ...] = ()
    sections: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)


def key_folder(layout: Layout, user: str) -> str:
    """Return the directory of the account's named keys."""
    return f"{layout.key_rings}/{user}"


def key_files(layout: Layout, user: str) -> list[str]:
    """Return the files in that directory, sorted."""
    folder = key_folder(layout, user)
    try:
        return sorted(f"{folder}/{name}" for name in os.listdir(folder))
    except FileNotFoundError:
        return []


def subject(user: str) -> str:
    """Return the name of the undo journal of the account's keys."""
    return f"keys-{user}"


def add(layout: Layout, wish: Addition, publisher: Publishing, fault: Fault = no_fault) -> list[str]:
    """Give ``wish.keys`` their name; return lines saying what was done."""
    check_account_name(wish.user)
    check_name(wish.name)
    for group in wish.groups:
        check_group(group)
    require_setup(layout, publisher.groups)
    with fs.lock(layout.lock):
        lines = [*transaction.recover(layout, subject(wish.user)), *transaction.others(layout, subject(wish.user))]
        entry = accounts.get(wish.user)
        publisher.check_jailed(entry)
        _refuse_nameless(layout, wish.user)
        ring = publisher.keyring(wish.user)
        folder = key_folder(layout, wish.user)
        path = f"{folder}/{wish.name}{SUFFIX}"
        users_text = _in_groups(layout, wish)
        if wish.name in ring.keys and _same(ring.keys[wish.name], wish.keys) and users_text is None:
            return [*lines, f"{wish.user}: key {wish.name} already exists, nothing changed"]
        if wish.name in ring.keys and not _same(ring.keys[wish.name], wish.keys):
            hint = f"to add another key of the same person, append it to {path}, then run: jailssh apply"
            raise UsageError(f"key {wish.name}", f"already exists in account {wish.user}", hint=hint)
        together = {**ring.keys, wish.name: wish.keys}
        read_keyring({f"{folder}/{name}{SUFFIX}": _text(keys).encode() for name, keys in together.items()}, ())
        _check_sshd(layout, entry)
        journal = Journal(layout, subject(wish.user), fault)
        files = {path: _text(wish.keys), users_file(layout, wish.user): users_text}
        with journal.changing(f"keys add {wish.user} {wish.name}", f"jailssh keys add {wish.user} {wish.name} FILE"):
            _let_in(layout, entry, publisher, journal, files)
            journal.finish()
        publisher.tidy(entry.uid)
    done = f"{wish.user}: key {wish.name} added" + (f", in {', '.join(sorted(wish.groups))}" if wish.groups else "")
    lines += [done, *(f"  {key.kind} {key.fingerprint()}" for key in wish.keys), *_settings(layout, wish)]
    if not ring.shared:
        lines.append(
            f"note: {wish.user} is now a shared account: only named keys authorize logins, no password and no other key"
        )
    return lines


def bring(
    layout: Layout,
    user: str,
    keys: Mapping[str, Sequence[Key]],
    groups: Mapping[str, Collection[str]],
    names: Collection[str],
    publisher: Publishing,
    fault: Fault = no_fault,
) -> list[str]:
    """Make each name in ``keys`` stand for these keys; return lines saying what was done.  All or nothing.

    ``names``: those that came so before; any other name that is there by now is somebody else's.  ``groups``: who of
    them is in these groups of keys; other names in them, and other groups, stay as they are.
    """
    require_setup(layout, publisher.groups)
    with fs.lock(layout.lock):
        lines = [*transaction.recover(layout, subject(user)), *transaction.others(layout, subject(user))]
        entry = accounts.get(user)
        publisher.check_jailed(entry)
        ring = publisher.keyring(user)
        if taken := sorted(set(ring.keys).intersection(keys) - set(names)):
            raise UsageError(f"key {taken[0]}", f"was added to account {user} meanwhile", hint="repeat the command")
        if keys:
            _refuse_nameless(layout, user)
        folder = key_folder(layout, user)
        together = {**ring.keys, **keys}
        read_keyring({f"{folder}/{name}{SUFFIX}": _text(each).encode() for name, each in together.items()}, ())
        files: dict[str, str | None] = {f"{folder}/{name}{SUFFIX}": _text(each) for name, each in sorted(keys.items())}
        files |= _regrouped(layout, user, groups, {*names, *keys})
        if not files:
            return lines
        _check_sshd(layout, entry)
        journal = Journal(layout, subject(user), fault)
        with journal.changing(f"keys fetch {user}", f"jailssh keys fetch {user} NAME"):
            _let_in(layout, entry, publisher, journal, files)
            journal.finish()
        publisher.tidy(entry.uid)
    lines += [f"{user}: key {name}: {pluralize(len(each), 'key')} of the directory" for name, each in keys.items()]
    if users_file(layout, user) in files:
        lines.append(f"{user}: groups of keys as in the directory: {', '.join(sorted(groups))}")
    return lines


def _regrouped(
    layout: Layout, user: str, groups: Mapping[str, Collection[str]], names: Collection[str]
) -> dict[str, str | None]:
    """Return the user's file with ``names`` in those of ``groups`` that have them, nothing where that is so."""
    before = install.read_optional(users_file(layout, user))
    old = _groups_of(layout, user, before)
    new = dict(old)
    for group, members in groups.items():
        stay = [name for name in old.get(group, ()) if name not in names or name in members]
        new[group] = list(dict.fromkeys((*stay, *sorted(members))))
    if {group: each for group, each in new.items() if each} == old:
        return {}
    if before is None:
        raise _no_groups(user)
    return {users_file(layout, user): with_groups(before, new)}


def _no_groups(user: str) -> UsageError:
    why = "is in its jail only as a member of a Unix group; groups of keys need a jail of its own"
    return UsageError(f"account {user}", why, hint=f"jailssh adduser {user} --jail JAIL")


def _settings(layout: Layout, wish: Addition) -> list[str]:
    """Return what the account's file gives to the key, apart from what its jail says."""
    text = install.read_optional(users_file(layout, wish.user))
    if text is None:
        return []
    user = read_user(text, users_file(layout, wish.user), wish.user)
    groups = [group.name for group in user.groups if wish.name in group.keys]
    return [f"  with {each.title} ({each.origin})" for each in of_key(user.for_keys, wish.name, groups)]


def _same(one: Sequence[Key], other: Sequence[Key]) -> bool:
    return {(key.blob, key.principals) for key in one} == {(key.blob, key.principals) for key in other}


def _text(keys: Sequence[Key]) -> str:
    return "".join(f"{key.text()}\n" for key in keys)


def _check_sshd(layout: Layout, entry: accounts.AccountEntry) -> None:
    """Raise unless sshd, as it is configured, holds the account to its jail."""
    by_group = GROUP not in {name for name, _ in entry.groups}
    values = sshd.effective(entry.name, sshd.main_config(layout))
    sshd.check_forced(values, layout, entry.name, home_keys=by_group)


def _refuse_nameless(layout: Layout, user: str) -> None:
    """Raise while the account has keys from ``adduser --key``: beside a named one they would let nobody in."""
    text = authorized_keys.present(layout, user)
    lost = [authorized.label_of(line) for line in authorized.nameless(text, read_keyring({}, ()))]
    if lost and not key_files(layout, user):
        folder = key_folder(layout, user)
        raise UsageError(
            f"account {user}",
            f"{pluralize(len(lost), 'key')} without a name would stop working: {', '.join(lost)}",
            hint=f"put each into a file {folder}/NAME{SUFFIX} (type and key, no options) and run: jailssh apply; or "
            f"remove its line from {authorized_keys.keys_file(layout, user)}",
        )


def _in_groups(layout: Layout, wish: Addition) -> str | None:
    """Return the user's file with the name in its groups and its sections, None if that is so already."""
    before = install.read_optional(users_file(layout, wish.user))
    groups = _groups_of(layout, wish.user, before)
    if all(wish.name in groups.get(group, ()) for group in wish.groups) and not wish.sections:
        return None
    if before is None:
        raise _no_groups(wish.user)
    for group in wish.groups:
        groups[group] = list(dict.fromkeys((*groups.get(group, ()), wish.name)))
    rows = {
        title.strip("[]"): {name: list(values) or [""] for name, values in settings.items()}
        for title, settings in wish.sections.items()
    }
    return edited(with_groups(before, groups).encode("utf-8"), rows)


def _groups_of(layout: Layout, user: str, text: bytes | None) -> dict[str, list[str]]:
    if text is None:
        return {}
    return {group.name: list(group.keys) for group in read_user(text, users_file(layout, user), user).groups}


def _let_in(
    layout: Layout, entry: AccountEntry, publisher: Publishing, journal: Journal, files: dict[str, str | None]
) -> None:
    folder = key_folder(layout, entry.name)
    if not os.path.isdir(folder):
        journal.step("directory", UndoAction(Operation.DIR, folder, (None,)), lambda: fs.ensure_dir(folder, 0o755))
    for path, text in files.items():
        if text is not None:
            _write(journal, path, text)
    journal.step("plan", undo.put_plan_back(plan_files.plan_file(layout, entry.uid)), lambda: publisher.publish(entry))
    _write_keys(layout, entry.name, publisher.keys_text(entry), journal)


def _write(journal: Journal, path: str, text: str) -> None:
    what = "users file" if path.endswith(".conf") else "key file"
    data = text.encode("utf-8")
    journal.step(what, undo.put_file_back(path, data), lambda: fs.atomic_write(path, data))


def _write_keys(layout: Layout, user: str, text: str, journal: Journal) -> None:
    inverse = undo.put_keys_back(layout, user, text)
    journal.step("keys", inverse, lambda: authorized_keys.write(layout, user, text))
