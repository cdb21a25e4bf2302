"""The keys by which an account has logged in so far, taken into root's own file when sshd stops reading the others.

sshd says itself which files it reads for the account; they are read with the account's own rights, as sshd does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jailssh.change import undo
from jailssh.change.change import Change
from jailssh.config import home_keys
from jailssh.config.home_keys import HomeKey, HomeKeys
from jailssh.config.keys import Key, lines_of, words_of
from jailssh.core.errors import JailsshError, UsageError, raise_all
from jailssh.core.names import escape, pluralize
from jailssh.host import accounts, as_user
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.jail import authorized_keys
from jailssh.services import sshd

LIMIT = 1 << 20
DROP, LEAVE_OUT = "drop", "leave-out"


@dataclass(frozen=True)
class Choice:
    """What the administrator said: ``commands`` is "drop" or "leave-out" for keys with a command of their own, ""
    when nothing was said; ``leave``: no key of a home is taken."""

    commands: str = ""
    leave: bool = False


@dataclass(frozen=True)
class Taken:
    """What root's file shall hold, and lines that say what became of each key."""

    text: str
    lines: tuple[str, ...]


def paths_of(values: Mapping[str, list[str]], entry: AccountEntry, layout: Layout) -> list[str]:
    """Return the files that sshd reads keys of the account from, besides root's own one of ours."""
    found = []
    for word in words_of(" ".join(values.get("authorizedkeysfile", []))):
        if word in ("none", f"{layout.keys}/%u"):
            continue
        path = word.replace("%h", entry.home).replace("%u", entry.name).replace("%U", str(entry.uid))
        path = path.replace("%%", "%")
        found.append(path if path.startswith("/") else f"{entry.home.rstrip('/')}/{path}")
    return found


def look(entry: AccountEntry, paths: Sequence[str]) -> HomeKeys:
    """Return the keys in these files."""
    if not paths:
        return HomeKeys()
    keys: list[HomeKey] = []
    unread: list[str] = []
    for path, data in zip(paths, as_user.read_files(entry, paths, LIMIT), strict=True):
        read = home_keys.read(data or b"", path)
        keys += read.keys
        unread += read.unread
    return HomeKeys(tuple(keys), tuple(unread))


def check(found: HomeKeys, entry: AccountEntry, choice: Choice) -> None:
    """Raise :class:`UsageError` for keys that were limited to something, unless it was said what becomes of them."""
    limited = found.limited()
    if choice.leave or choice.commands or not limited:
        return
    shown = "; ".join(f"{key.origin}: {', '.join(key.commands)}" for key in limited[:5])
    more = f"; and {len(limited) - 5} more" if len(limited) > 5 else ""
    raise UsageError(
        f"account {entry.name}",
        f"{pluralize(len(limited), 'key')} limited to one command can use all that the jail allows: {shown}{more}",
        hint="use --key-commands leave-out to skip these keys, or drop to accept them without their limit; for keys "
        f"with names and rights of their own: jailssh keys add {entry.name} NAME FILE",
    )


def take(found: HomeKeys, present: str, layout: Layout, choice: Choice) -> Taken:
    """Return root's file with the keys in it, after :func:`check`."""
    if choice.leave:
        left = pluralize(len(found.keys), "key")
        note = f"note: {left} in its home not taken over; sshd no longer reads its keys there"
        return Taken(present, (note,) if found.keys else ())
    wanted = [key for key in found.keys if not key.commands or choice.commands == DROP]
    text = home_keys.merged(present, wanted, layout.login_program)
    lines = [_said(key) for key in wanted if key.key.blob not in present]
    for key in found.keys:
        if key.commands and choice.commands != DROP:
            lines.append(f"note: {key.origin} left out: {', '.join(key.commands)}")
    lines += [f"note: left out: {escape(why, 300)}" for why in found.unread]
    return Taken(text, tuple(lines))


def _said(key: HomeKey) -> str:
    limit = f", without its limit {', '.join(key.commands)}" if key.commands else ""
    return f"  key from {key.origin}: {key.key.kind} {key.key.fingerprint()} {key.key.comment}".rstrip() + limit


def host_changes(layout: Layout, people: Sequence[str], choice: Choice) -> list[Change]:
    """Return what to take for accounts that are in a jail, and whose own files sshd reads until now."""
    config = sshd.main_config(layout)
    changes: list[Change] = []
    errors: list[JailsshError] = []
    for name in people:
        entry = accounts.find(name)
        if entry is None or entry.uid == 0:
            continue
        try:
            if change := _one(layout, entry, choice, sshd.effective(name, config)):
                changes.append(change)
        except JailsshError as error:
            errors.append(error)
    raise_all(errors)
    return changes


def _one(layout: Layout, entry: AccountEntry, choice: Choice, values: Mapping[str, list[str]]) -> Change | None:
    found = look(entry, paths_of(values, entry, layout))
    check(found, entry, choice)
    present = authorized_keys.present(layout, entry.name)
    taken = take(found, present, layout, choice)
    if taken.text == present:
        return None
    inverse = undo.put_keys_back(layout, entry.name, taken.text)
    count = pluralize(len(lines_of(taken.text)) - len(lines_of(present)), "key")
    head = f"~ {entry.name}: {count} of its home copied to {authorized_keys.keys_file(layout, entry.name)}"

    def act() -> None:
        authorized_keys.write(layout, entry.name, taken.text)

    return Change(f"keys of {entry.name}", (head, *taken.lines), inverse, act, confines=False)


def keys_of(layout: Layout, name: str) -> list[Key]:
    """Return the keys that sshd takes for the account ``name``: root's file, and those in its home where it reads them.

    The home is read with the account's own rights.  A key that is limited to something is an error, since the limit
    would be lost, and so is an account without keys.
    """
    entry = accounts.get(name)
    paths = paths_of(sshd.effective(name, sshd.main_config(layout)), entry, layout)
    found = list(look(entry, paths).keys)
    path = authorized_keys.keys_file(layout, name)
    found += home_keys.read(authorized_keys.encoded(authorized_keys.present(layout, name)), path).keys
    own = f"command={layout.login_program}"
    for key in found:
        if limits := [*key.options, *(each for each in key.commands if each.replace('"', "") != own)]:
            why = f"is limited ({', '.join(limits)}); the copy loses the limit"
            raise UsageError(key.origin, why, hint="give the keys in a file: --key FILE")
    if not found:
        raise UsageError(f"account {name}", "has no keys to copy")
    return _distinct(found)


def _distinct(found: list[HomeKey]) -> list[Key]:
    return list({key.key.blob: key.key for key in found}.values())
