"""Give an account in a jail another name: everything that knows it by name follows, or nothing does.

The uid stays, so sessions go on, and files belong to whom they did.  The files of local accounts come first: from then
on the old name lets nobody in, and the new one does only when its keys and its plan are there, which come last.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from jailssh.change import transaction, undo
from jailssh.change.transaction import Fault, Journal, no_fault
from jailssh.change.undo import Operation, UndoAction
from jailssh.core.errors import DeniedError, HostError, JailsshError, UsageError, raise_all
from jailssh.core.names import check_account_name, pluralize
from jailssh.files import fs, homes, moving
from jailssh.host import accounts, install
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.jail import authorized_keys
from jailssh.services import shadow, spools, sshd
from jailssh.setup import forwarding, jumping, looks
from jailssh.users import checks, gone, keyring, learning, locking, settling
from jailssh.users.adduser import Outcome, Publishing, canary_subject, require_setup, users_file
from jailssh.users.adduser import subject as account_subject


@dataclass(frozen=True)
class RenameOptions:
    """What the administrator asked for; ``now``: also while the account has processes."""

    old: str
    new: str
    now: bool = False


def rename_account(layout: Layout, wish: RenameOptions, publisher: Publishing, fault: Fault = no_fault) -> Outcome:
    """Give the account ``wish.old``, which is in a jail by name, the name ``wish.new``."""
    old, new = check_account_name(wish.old), check_account_name(wish.new)
    require_setup(layout, publisher.groups)
    with fs.lock(layout.lock):
        lines = settling.renames(layout, (old, new))
        for each in _subjects(old):
            lines += transaction.recover(layout, each)
        entry = accounts.get(old)
        _check(layout, entry, wish)
        # What somebody else of this name had does not come to this account.
        lines += gone.set_aside_other(layout, new, None)
        taken = [path for path in _moves(layout, old, new).values() if os.path.lexists(path)]
        raise_all([HostError(path, "exists already", hint="inspect it, and move it away") for path in taken])
        journal = Journal(layout, settling.rename_subject(old), fault)
        journal.uid = entry.uid
        with journal.changing(f"rename {old} {new}", f"jailssh rename {old} {new}"):
            moved = _Rename(layout, entry, new, publisher, journal).run()
            journal.finish()
        publisher.tidy(entry.uid)
    said = f"{new} (uid {entry.uid}): was {old}; home {entry.home} stays; to go back: jailssh rename {new} {old}"
    return Outcome((*lines, said, *_notes(layout, old, new, moved, publisher)), changed=True)


def _subjects(name: str) -> tuple[str, ...]:
    of = (account_subject, keyring.subject, locking.subject, canary_subject, forwarding.subject, jumping.subject)
    return tuple(subject(name) for subject in of)


def _check(layout: Layout, entry: AccountEntry, wish: RenameOptions) -> None:
    """Raise every reason not to rename the account."""
    what, new = f"account {entry.name}", wish.new
    if not os.path.lexists(users_file(layout, entry.name)):
        hint = f"jailssh list; for an account outside of jails: usermod --login {new} {entry.name}"
        raise UsageError(what, "no jail is assigned to this account directly", hint=hint)
    if not accounts.is_local(entry.name):
        raise HostError(what, "comes from a directory service, which alone can rename it")
    errors: list[JailsshError] = []
    if len(new) > checks.MAX_NEW_NAME:
        errors.append(UsageError(f"account name {new!r}", f"has {len(new)} characters (limit {checks.MAX_NEW_NAME})"))
    if accounts.find(new) is not None:
        errors.append(UsageError(f"account {new}", "exists already"))
    elif accounts.group_exists(new):
        errors.append(UsageError(f"account {new}", "a group with this name already exists"))
    elif place := shadow.AccountFiles(shadow.FOLDER).trace_of(new):
        errors.append(HostError(f"account {new}", f"{place} has this name already", hint="inspect that line"))
    processes = len(accounts.processes_of(entry.uid))
    if processes and not wish.now:
        why = f"account is logged in ({pluralize(processes, 'process', 'es')})"
        hint = f"jailssh kick {entry.name}, or use --now (sessions keep the old name until they end)"
        errors.append(DeniedError(what, why, hint=hint))
    raise_all(errors)


def _moves(layout: Layout, old: str, new: str) -> dict[str, str]:
    """Return the paths that have the account's name, each with what it is then; those with keys last."""
    spool = [path for folder in spools.CRONTABS for path in (f"{folder}/{old}", spools.aside(f"{folder}/{old}"))]
    plain = [*spool, f"{spools.LINGER}/{old}", f"{homes.MAIL}/{old}"]
    # /var/spool/cron may be the parent of another directory of that name.
    found = {path: path.removesuffix(old) + new for path in plain if os.path.isfile(path)}
    journals = zip(_subjects(old), _subjects(new), strict=True)
    found |= {f"{layout.undo}/{was}.json": f"{layout.undo}/{now}.json" for was, now in journals}
    ours = (layout.owners, layout.key_rings, layout.keys)
    found[users_file(layout, old)] = users_file(layout, new)
    return found | {f"{folder}/{old}": f"{folder}/{new}" for folder in ours}


class _Rename:
    def __init__(self, layout: Layout, entry: AccountEntry, new: str, publisher: Publishing, journal: Journal) -> None:
        self._layout, self._entry, self._new = layout, entry, new
        self._publisher, self._journal = publisher, journal
        self._moves = _moves(layout, entry.name, new)

    def run(self) -> list[str]:
        """Make all changes; return where the spools are now that were moved."""
        layout, old, new, uid = self._layout, self._entry.name, self._new, self._entry.uid
        gid = self._entry.gid if self._entry.group == old else None
        learned = learning.renamed(layout, uid, old, new)
        inverse = UndoAction(Operation.NAME, old, (uid, gid, new))
        self._journal.step("name", inverse, lambda: shadow.give_name(old, new, uid, gid))
        entry = accounts.get(new)
        if entry.uid != uid:
            raise JailsshError(f"account {new}", f"has uid {entry.uid}, expected {uid}")
        sshd.check_forced(sshd.effective(new, sshd.main_config(layout)), layout, new)
        moved = [path for path in self._moves if os.path.lexists(path)]
        for path in moved:
            self._move(path)
        self._rewrite(learned)
        self._publish(entry)
        return [self._moves[path] for path in moved if not path.startswith((layout.etc, layout.state))]

    def _move(self, path: str) -> None:
        name = os.path.basename(self._moves[path])
        inverse = UndoAction(Operation.MOVED, path, (name,))
        self._journal.step(f"move {path}", inverse, lambda: moving.rename_beside(path, name))

    def _rewrite(self, learned: tuple[str, bytes] | None) -> None:
        """Change the content of what has the name in it."""
        old, new = self._entry.name, self._new
        for each in _subjects(new):
            content = transaction.rewritten(self._layout, each, lambda step: undo.renamed(step, old, new, self._moves))
            if content is not None:
                path = f"{self._layout.undo}/{each}.json"
                self._write(path, content, install.access_of(path)[0])
        if learned is not None:
            self._write(*learned, 0o600)

    def _write(self, path: str, content: bytes, mode: int) -> None:
        if install.read_optional(path, undo.LIMIT) != content:
            inverse = undo.put_file_back(path, content)
            self._journal.step(f"write {path}", inverse, lambda: fs.atomic_write(path, content, mode))

    def _publish(self, entry: AccountEntry) -> None:
        layout = self._layout
        note, plan = f"{layout.owners}/{entry.name}", f"{layout.plans}/{entry.uid}"
        if os.path.lexists(plan):
            # With a plan comes a note of whose it is.
            self._journal.step("owner", undo.put_file_back(note), moving.nothing)
            self._journal.step("plan", undo.put_plan_back(plan), lambda: self._publisher.publish(entry))
        if self._publisher.keyring(entry.name).keys:
            # The lines say where each key comes from.
            text = authorized_keys.encoded(self._publisher.keys_text(entry))
            self._write(authorized_keys.keys_file(layout, entry.name), text, 0o644)


def _notes(layout: Layout, old: str, new: str, moved: Iterable[str], publisher: Publishing) -> list[str]:
    """Return what is told of what has followed, and of what still has the old name."""
    notes = [f"note: {path} is what had the old name there" for path in moved]
    if old.lower() in looks.sudo_words(spools.sudoers().values()):
        notes.append(f"note: sudo's files name {old}, and not {new}: visudo")
    values = sshd.effective(new, sshd.main_config(layout))
    entry = accounts.get(new)
    if why := sshd.kept_out(values, new, [name for name, _ in entry.groups]):
        notes.append(f"note: sshd refuses {new}: {why}")
    hint = f"write {new}, then: jailssh apply"
    return [*notes, *(f"note: {place} names {old}: {hint}" for place in publisher.places(entry, old))]
