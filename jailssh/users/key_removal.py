"""Remove a key from every place that has it: first the lines that authorize it, then the files they are made from.

A broken configuration, an unfinished change, a directory service that does not answer, a full disk or a lock that is
never released do not stop it.  Every place is tried; failures are reported at the end, and a second run completes it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from jailssh.config import authorized
from jailssh.config.files import KeyTaker, read_user, with_groups
from jailssh.config.key_sections import KeySection
from jailssh.config.keys import SUFFIX, check_name, fingerprint
from jailssh.core.errors import HostError, JailsshError, UsageError
from jailssh.core.names import check_account_name, escape, pluralize
from jailssh.core.tries import Tries
from jailssh.files import fs, narrow
from jailssh.host import accounts, install
from jailssh.host.paths import Layout
from jailssh.jail import authorized_keys, owners
from jailssh.publish import plan_files, revocation
from jailssh.services.sessions import end_sessions

Fault = Callable[[str], None]
"""Called with the name of each point between two steps; see :data:`jailssh.change.transaction.Fault`."""
PATIENCE = 1.0
"""How long the lock is waited for before a key goes without it."""
AGAIN = 20.0
"""How long it is waited for afterwards, to do it once more with nobody else at work."""
_LIMIT = 1 << 18
_UID = re.compile(rb"^[ \t]*uid[ \t]*=[ \t]*\"?([1-9][0-9]{0,9})\b", re.MULTILINE)


def no_fault(point: str) -> None:
    """Pass through every fault point."""


@dataclass(frozen=True)
class Removed:
    """What came of it: lines that say what was done, errors that say what was not."""

    lines: tuple[str, ...]
    errors: tuple[JailsshError, ...] = ()


def uid_in(data: bytes) -> int | None:
    """Return the uid that a user's file says, damaged or not."""
    match = _UID.search(data)
    return int(match[1]) if match else None


def recorded_uids(layout: Layout, name: str) -> tuple[int, ...]:
    """Return the uids that the account's file, damaged or not, /etc/passwd and else its plan or NSS give the name."""
    found: set[int] = set()
    tries = Tries()

    def of_file() -> None:
        uid = uid_in(install.read_optional(f"{layout.users}/{name}.conf") or b"")
        found.update([uid] if uid else [])

    tries("users file", of_file)
    local = tries("/etc/passwd", lambda: accounts.local_uid(name))
    found.update([local] if local else [])
    noted = tries("owners", lambda: owners.noted(layout, name))
    found.update([noted.uid] if noted else [])
    if not found:
        found.update(tries("plans", lambda: plan_files.uids_of(layout, name)) or ())
    if not found and (entry := tries("NSS", lambda: accounts.find(name))):
        found.add(entry.uid)
    return tuple(sorted(found))


def under_lock(layout: Layout, act: Callable[[], None]) -> str:
    """Run ``act``, with the lock of the set-up where it can be had soon; else without, and again with it.

    Returns why the lock was not to be had in the end, "" if it was.
    """
    with narrow.lock(layout.lock, PATIENCE) as why:
        act()
    if why and " holds " in why:
        with narrow.lock(layout.lock, AGAIN) as why:
            act()
    return why


class _Removal:
    """One key of one account, by its name, its fingerprint or, where keys have no names, its comment."""

    def __init__(self, layout: Layout, user: str, which: str, fault: Fault) -> None:
        self.layout, self.user, self.which, self.fault = layout, user, which, fault
        self.folder = f"{layout.key_rings}/{user}"
        self.users = f"{layout.users}/{user}.conf"
        self.uids: tuple[int, ...] = ()
        self.groups: set[str] = set()
        self.found = False
        self.was_last = False
        self.tries = Tries()
        try:
            self.path = f"{self.folder}/{check_name(which)}{SUFFIX}"
        except UsageError:
            self.path = ""

    def run(self) -> None:
        """Take it away everywhere; may be run again."""
        self.tries = tries = Tries()
        self.uids = recorded_uids(self.layout, self.user)
        # What lets it in now.
        tries(authorized_keys.keys_file(self.layout, self.user), self._out_of_keys_file)
        self.fault("keys: done")
        # What it would come back from.
        tries(self.folder, self._out_of_ring)
        self.fault("key file: done")
        for uid in self.uids:
            tries(plan_files.plan_file(self.layout, uid), partial(self._out_of_plan, uid))
        self.fault("plan: done")
        tries(self.users, self._out_of_groups)
        self.fault("users file: done")

    def settings(self) -> list[KeySection]:
        """Return the sections of the account's file that are for this name alone; they give nobody anything now."""
        with suppress(JailsshError):
            if (text := install.read_optional(self.users)) is not None:
                return [each for each in read_user(text, self.users, self.user).for_keys if each.who == self.which]
        return []

    def _is_meant(self, label: str, blob: str) -> bool:
        if not blob or self.which not in (label, fingerprint(blob)):
            return False
        self.found = True
        return True

    def _out_of_keys_file(self) -> str:
        path = authorized_keys.keys_file(self.layout, self.user)
        try:
            text = authorized_keys.present(self.layout, self.user)
        except HostError as error:
            self.found = True
            return narrow.remove(path, f"{error.why}; for a shared account, jailssh apply creates it again")
        generated = authorized.is_generated(text)
        lines = [line for line in text.split("\n") if authorized.blob_of(line)]

        def judge(line: str) -> str | None:
            label = authorized.label_of if generated else authorized.comment_of
            blob = authorized.blob_of(line)
            return None if blob and self._is_meant(label(line), blob) else line

        goes = [line for line in lines if judge(line) is None]
        if not goes:
            return ""
        self.was_last = len(goes) == len(lines)
        return authorized_keys.without(self.layout, self.user, judge)

    def _out_of_ring(self) -> None:
        if self.path and os.path.lexists(self.path):
            self.found = True
            narrow.remove(self.path, "")
        elif self.which.startswith("SHA256:"):
            for name in os.listdir(self.folder) if os.path.isdir(self.folder) else ():
                self._out_of_ring_file(f"{self.folder}/{name}")
        install.remove_empty_dir(self.folder)

    def _out_of_ring_file(self, path: str) -> None:
        def judge(row: bytes) -> bytes | None:
            line = row.decode("utf-8", "surrogateescape")
            return None if self._is_meant("", authorized.blob_of(line)) else row

        data = fs.read_trusted(path, _LIMIT)
        if not any(judge(row) is None for row in data.split(b"\n")):
            return
        narrow.lines(path, judge, _LIMIT)
        if not any(
            authorized.blob_of(row.decode("utf-8", "replace")) for row in fs.read_trusted(path, _LIMIT).split(b"\n")
        ):
            fs.remove_file(path)

    def _out_of_plan(self, uid: int) -> str:
        plan = plan_files.readable_plan(self.layout, uid)
        if plan is None or plan.name != self.user:
            return ""
        entries = plan_files.entries_of(plan)
        gone = {entry for entry in entries if self._is_meant(entry[0], entry[1])}
        if not gone:
            return ""
        self.was_last = self.was_last or gone == entries
        return " ".join(revocation.shut_out(self.layout, self.user, uid, gone))

    def _out_of_groups(self) -> str:
        before = install.read_optional(self.users)
        if not self.path or before is None or self.which.encode() not in before:
            return ""
        taker = KeyTaker(self.which)
        after = b"\n".join(row for row in map(taker, before.split(b"\n")) if row is not None)
        with suppress(JailsshError):  # a mistake in the file is no reason to leave the name there
            read = {group.name: list(group.keys) for group in read_user(before, self.users, self.user).groups}
            taker.groups = {group for group, names in read.items() if self.which in names}
            left = {group: [key for key in names if key != self.which] for group, names in read.items()}
            after = with_groups(before, left).encode("utf-8") if taker.groups else before
        if not taker.groups:
            return ""
        self.groups |= taker.groups
        try:
            fs.atomic_write(self.users, after)
            return ""
        except HostError:
            return narrow.lines(self.users, KeyTaker(self.which), _LIMIT)


def remove(layout: Layout, user: str, which: str, fault: Fault = no_fault, *, now: bool = False) -> Removed:
    """Take the key ``which`` from the account; :class:`UsageError` where it has none.

    ``now``: end the sessions whose key lets nobody in any more.  Nothing of it is taken back: every step is sound by
    itself, and where it was interrupted it is run again.
    """
    check_account_name(user)
    shown = escape(which, 200)
    removal = _Removal(layout, user, which, fault)
    why = under_lock(layout, removal.run)
    errors = list(removal.tries.errors)
    found = removal.found or bool(removal.groups)
    lines = []
    if found:
        out_of = f", also from {', '.join(sorted(removal.groups))}" if removal.groups else ""
        goes_on = "" if now else "; its open sessions continue"
        lines.append(f"{user}: key {shown} removed{out_of}{goes_on}")
    elif not errors and not now:
        raise UsageError(f"key {shown}", f"does not exist in account {user}", hint=f"jailssh keys list {user}")
    else:
        lines.append(f"{user}: key {shown} not found")
    lines += [f"note: {note}" for note in removal.tries.notes]
    lines += [
        f"note: {each.origin}: section {each.title} stays, for a key of that name that is added again"
        for each in removal.settings()
    ]
    if removal.was_last:
        lines.append(f"note: this was the last key; nobody can log in as {user} until another key has a name")
    if now:
        lines += _end(layout, user, removal.uids, errors)
    if " holds " in why:
        errors.append(late(f"key {shown}", why))
    return Removed(tuple(lines), tuple(errors))


def remove_within(layout: Layout, user: str, which: str) -> list[JailsshError]:
    """Take the key ``which`` from the account for who holds the lock of the set-up; return what could not be done."""
    removal = _Removal(layout, user, which, no_fault)
    removal.run()
    return removal.tries.errors


def late(what: str, why: str) -> JailsshError:
    """Return the error for what was done without the lock."""
    return JailsshError(
        what,
        f"removed without the lock, so a running change may restore it: {why}",
        hint="repeat the command when that process has ended",
    )


def _end(layout: Layout, user: str, uids: Sequence[int], errors: list[JailsshError]) -> list[str]:
    try:
        text = authorized_keys.present(layout, user)
    except HostError:
        text = ""
    count = kept = 0
    # A recorded number may be somebody else's by now, which matters where /etc/passwd knows better.
    local = accounts.local_uid(user)
    for uid in (local,) if local else uids:
        ended = end_sessions(uid, layout.login_program, partial(authorized.lets_in, text))
        count += ended.sessions
        kept += ended.kept
        if not ended.all:
            errors.append(JailsshError(f"account {user}", "some sessions do not end", hint=f"jailssh kick {uid}"))
    lines = [f"{user}: ended {pluralize(count, 'session')} of keys that do not authorize logins"]
    return [*lines, *([f"{user}: ended what its logins had left in the background"] if kept else [])]
