"""Take an account out of its jail: back to exactly what it was before ``adduser``.

Its access goes first, whatever else is broken: keys, users file, plans.  Only when all of that is gone, what confines
it is taken back.  What is undone stands in the account's undo journal, which goes last: interrupted at any point, the
same command again finishes the work.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from jailssh.change import transaction, undo
from jailssh.change.transaction import Journal
from jailssh.change.undo import Operation, UndoAction
from jailssh.core.errors import HostError, JailsshError, ManyErrors, UsageError
from jailssh.core.identity import Identity, is_same
from jailssh.core.names import check_account_name, pluralize
from jailssh.core.tries import Tries
from jailssh.files import homes, narrow
from jailssh.host import accounts, install
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.jail import owners
from jailssh.jail.authorized_keys import keys_file
from jailssh.publish import plan_files
from jailssh.services.sessions import end_processes, end_sessions
from jailssh.setup import forwarding, jumping, outbound
from jailssh.setup.setup import GROUP
from jailssh.users import key_removal, locking, settling
from jailssh.users.adduser import Confirm, forget_canary, subject, users_file
from jailssh.users.covers import take_away
from jailssh.users.keyring import key_files, key_folder
from jailssh.users.keyring import subject as keys_subject


class NotFinishedError(ManyErrors):
    """Something could not be done; ``done`` are lines that say what was."""

    def __init__(self, done: Iterable[str], errors: list[JailsshError]) -> None:
        super().__init__(errors)
        self.exit_code = errors[0].exit_code
        self.done = list(done)


@dataclass(frozen=True)
class DelUserOptions:
    """What the administrator asked for; ``now``: sessions and all processes of the account end."""

    name: str
    keep_account: bool = False
    remove_home: bool = False
    now: bool = False


@dataclass(frozen=True)
class DelUserFacts:
    """What is known before the first change; ``journal`` is None for one that cannot be read.

    ``uid`` is the recorded one; ``uids`` are all that its plans may have.
    ``same``: the account that is there now is the one that was put into the jail.
    """

    entry: AccountEntry | None
    uid: int | None
    uids: tuple[int, ...]
    journal: Journal | None
    same: bool
    created: bool

    def deletes(self, wish: DelUserOptions) -> bool:
        """True if the account itself goes."""
        return self.created and self.same and not wish.keep_account


def deluser(layout: Layout, wish: DelUserOptions, withdraw: Callable[[int], object], confirm: Confirm) -> list[str]:
    """Take the account out of its jail; return lines saying what was done.  ``withdraw`` removes the plan of a uid.

    An account that ``adduser`` created is deleted, its home only with ``remove_home``; with ``keep_account`` it stays
    with a login shell that lets nobody in.  :class:`NotFinishedError` where something could not be done: the access is
    gone as far as that was possible, and a second run goes on.
    """
    name = check_account_name(wish.name)
    tries = Tries()
    settling.try_renames(layout, (name,))
    facts = look(layout, name, tries)
    if facts.deletes(wish):
        assert facts.entry is not None
        ask(facts.entry, confirm, remove_home=wish.remove_home)
    elif wish.remove_home and not tries.errors:
        raise UsageError("--remove-home", "applies only to accounts that adduser created")
    shut = Tries()
    why = key_removal.under_lock(layout, partial(shut_out, layout, name, facts, withdraw, shut))
    tries.errors += shut.errors
    done = [f"{name}: {'can no longer log in' if not shut.errors else 'access is not fully removed'}"]
    done += lock_open(layout, name, facts, tries) if shut.errors and " holds " not in why else []
    if wish.now:
        done += end_all(layout, name, facts, tries)
    if " holds " in why:
        tries.errors.append(key_removal.late(f"account {name}", why))
    if not tries.errors:
        with narrow.lock(layout.lock, key_removal.AGAIN) as why:
            if why:
                tries.errors.append(JailsshError(f"account {name}", f"not finished: {why}", hint="repeat the command"))
            elif lines := tries(name, partial(_finish, layout, wish, facts)):
                return [*(done[1:] if wish.now else ()), *lines]
    raise NotFinishedError(done, tries.errors)


def look(layout: Layout, name: str, tries: Tries) -> DelUserFacts:
    """Return the facts; raises :class:`UsageError` for an account that is in no jail by name."""
    entry = tries(f"account {name}", partial(accounts.find, name))
    if entry is None and not tries.errors and accounts.local_uid(name) is not None:
        tries.errors.append(HostError(f"account {name}", "is in /etc/passwd, but NSS does not return it"))
    journal = tries("undo journal", partial(Journal, layout, subject(name)))
    uid = _recorded_uid(layout, name, journal)
    uids = {uid} if uid is not None else set(key_removal.recorded_uids(layout, name))
    traces = (users_file(layout, name), keys_file(layout, name), key_folder(layout, name))
    known = journal is None or bool(journal.original or journal.steps)
    by_name = bool(tries.errors) or any(map(os.path.lexists, traces)) or known
    # Left by a run whose journal was lost: it is confined, and nothing else is known of it.
    if not by_name and not (
        entry is not None and entry.shell == layout.login_program and accounts.is_listed_member(name, GROUP)
    ):
        no_setup = not accounts.group_exists(GROUP)
        why = "this host is not set up for jails" if no_setup else "no jail is assigned to this account directly"
        if entry is None and not no_setup:
            why = "does not exist on this host"
        raise UsageError(f"account {name}", why, hint="" if no_setup else "jailssh list")
    same = entry is not None and (uid is None or is_same(Identity(name, uid), entry))
    steps = [*journal.original, *journal.steps] if journal else []
    created = any(step.op == Operation.ACCOUNT for step in steps)
    return DelUserFacts(entry, uid, tuple(sorted(uids)), journal, same, created)


def _recorded_uid(layout: Layout, name: str, journal: Journal | None) -> int | None:
    with suppress(JailsshError):
        if (uid := key_removal.uid_in(install.read_optional(users_file(layout, name)) or b"")) is not None:
            return uid
    with suppress(JailsshError):
        if (kept_for := owners.noted(layout, name)) is not None:
            return kept_for.uid
    return None if journal is None else _created_uid(journal) or journal.uid


def _created_uid(journal: Journal) -> int | None:
    """Return the uid of the account that ``adduser`` created, None where it is not known or it did not."""
    return next((step.args[0] for step in journal.original if step.op == Operation.ACCOUNT and step.args), None)


def shut_out(layout: Layout, name: str, facts: DelUserFacts, withdraw: Callable[[int], object], tries: Tries) -> None:
    """Take away what lets it in, then what a plan would be made from, then the plans."""
    tries.errors.clear()  # of an earlier try
    with suppress(JailsshError, OSError):
        _begin(layout, name)
    for path in (keys_file(layout, name), users_file(layout, name), *key_files(layout, name)):
        if os.path.lexists(path):
            tries(path, partial(_gone, path))
    tries(key_folder(layout, name), partial(install.remove_empty_dir, key_folder(layout, name)))
    for uid in facts.uids:
        plan = plan_files.readable_plan(layout, uid)
        if plan is None or plan.name == name:  # a recorded number may be somebody else's by now
            tries(plan_files.plan_file(layout, uid), partial(withdraw, uid))


def lock_open(layout: Layout, name: str, facts: DelUserFacts, tries: Tries) -> list[str]:
    """Lock the account whose access could not be removed; return what was done.

    What a plan is made from is still there, so the next ``apply``, or a login by jailsshd, would make it again.
    """
    if not facts.same or not os.path.lexists(users_file(layout, name)):
        return []
    done = tries(f"account {name}", partial(locking.lock, layout, name))
    return list(done.lines) if done else []


def _begin(layout: Layout, name: str) -> None:
    """Leave a note that this is under way; it must not matter where that cannot be."""
    journal = Journal(layout, subject(name))
    if journal.original and not (journal.owner and journal.owner.is_alive()):
        journal.begin(f"deluser {name}", f"jailssh deluser {name}")


def _gone(path: str) -> None:
    narrow.remove(path, "")


def end_all(layout: Layout, name: str, facts: DelUserFacts, tries: Tries) -> list[str]:
    """End sessions and processes of the account; what does not end is an error of ``tries``."""
    count = 0
    for uid in facts.uids:
        if facts.entry is not None and facts.entry.uid != uid:
            continue  # somebody else's by now
        ended = end_sessions(uid, layout.login_program)
        count += ended.sessions
        if not (ended.all and end_processes(uid)):
            why = "some processes do not end, or new ones start"
            tries.errors.append(JailsshError(f"account {name}", why, hint=f"ps -u {uid}"))
    return [f"{name}: ended {pluralize(count, 'session')} and all processes of the account"]


@dataclass(frozen=True)
class Ending:
    """What :func:`prepare` found: the account that is there now, whether it is the jailed one, whether it goes."""

    wish: DelUserOptions
    facts: DelUserFacts
    entry: AccountEntry | None
    journal: Journal
    delete: bool


def _finish(layout: Layout, wish: DelUserOptions, facts: DelUserFacts) -> list[str]:
    """Take back what confines the account; call under the lock."""
    ending = prepare(layout, wish, facts)
    if ending.delete:
        accounts.delete_account(wish.name, remove_home=wish.remove_home)
    return end(layout, ending)


def prepare(
    layout: Layout, wish: DelUserOptions, facts: DelUserFacts, *, covered: bool = True, unchanged: bool = False
) -> Ending:
    """Take back what confines the account, all but the account itself; call under the lock.

    ``covered``: what sessions cover in its home may be there still.  ``unchanged``: its line of /etc/passwd is the one
    of ``facts``.
    """
    name = wish.name
    if os.path.lexists(keys_file(layout, name)) or os.path.lexists(users_file(layout, name)):
        raise JailsshError(f"account {name}", "was put into a jail again by another command", hint="repeat the command")
    for each in (subject(name), keys_subject(name), locking.subject(name), forwarding.subject(name),
                 jumping.subject(name)):  # fmt: skip
        transaction.recover(layout, each)
    if facts.same:
        locking.lift(layout, name)
    # Group and day of expiry go by the name, whatever uid that has by now.
    forwarding.lift(layout, name)
    jumping.lift(layout, name)
    outbound.close(layout, name, facts.uids)
    forwarding.forget_networks(layout, name, {*facts.uids, *([facts.entry.uid] if facts.entry else [])})
    journal = Journal(layout, subject(name))
    entry, same = facts.entry if unchanged else accounts.find(name), facts.same
    # A journal of old does not say which account it was; the users file did.
    number = _created_uid(journal) or facts.uid
    delete = facts.deletes(wish) and entry is not None and entry.uid == number
    if entry is not None and delete:
        _check_deletable(entry, remove_home=wish.remove_home)
    if entry is not None and same and covered and not wish.remove_home:
        take_away(entry)  # before what was set aside under the same names comes back
    inverses = _inverses(layout, name, journal, entry if same else None)
    # Of an account that goes these go with it.
    undo.take_back(step for step in inverses if not (delete and step.op in _OF_LINES))
    if entry is None and facts.created:
        undo.sweep(name, GROUP)  # An earlier run was killed between two files.
    return Ending(wish, facts, entry, journal, delete)


_OF_LINES = (Operation.SHELL, Operation.MEMBER, Operation.HASH, Operation.HOME_MOVE)


def end(layout: Layout, ending: Ending) -> list[str]:
    """Forget the account, which is gone now if it was to go; return what was done."""
    name, facts = ending.wish.name, ending.facts
    owners.forget(layout, name)
    forget_canary(layout, name)
    ending.journal.forget()
    return [_report(name, ending.entry, facts.same, facts.created, ending.delete, ending.wish.remove_home)]


def ask(entry: AccountEntry, confirm: Confirm, *, remove_home: bool) -> None:
    """Ask whether the account may go."""
    with_home = f" and its home {entry.home}" if remove_home else ""
    if not confirm(f"Delete the account {entry.name}{with_home}? jailssh adduser created it."):
        raise JailsshError(f"account {entry.name}", "aborted; nothing changed")


def _check_deletable(entry: AccountEntry, *, remove_home: bool) -> None:
    running = len(accounts.processes_of(entry.uid))
    if running:
        why = f"account has {pluralize(running, 'running process', 'es')}"
        raise JailsshError(f"account {entry.name}", why, hint="use --now to end them, or --keep-account")
    if remove_home:
        homes.check_home(entry.home)


def _inverses(layout: Layout, name: str, journal: Journal, entry: AccountEntry | None) -> list[UndoAction]:
    """Return what to run: the journal's inverses, made to fit, and what holds where the journal has been lost."""
    known = {(step.op, step.key) for step in journal.original}
    # What let it in is gone and does not come back, a file of before ``adduser`` neither.
    gone = (users_file(layout, name), keys_file(layout, name), f"{key_folder(layout, name)}/", f"{layout.plans}/")
    kept = [step for step in journal.original if step.op != Operation.ACCOUNT and not step.key.startswith(gone)]
    if entry is not None and (("account", name) in known or not journal.original):
        # What it was before is not known or was nothing: nobody gets in until the administrator says how.
        kept.append(UndoAction(Operation.MEMBER, name, (GROUP,)))
        kept.append(UndoAction(Operation.SHELL, name, (entry.uid, accounts.NOLOGIN, layout.login_program)))
    return kept


def _report(name: str, entry: AccountEntry | None, same: bool, created: bool, delete: bool, remove_home: bool) -> str:
    if delete:
        assert entry is not None
        home = "removed" if remove_home else "kept"
        return f"{name}: deleted; home {entry.home} {home}"
    if entry is None:
        return f"{name}: account does not exist; its jailssh files are removed"
    if not same:
        return f"{name}: account has another uid than the one in the jail; only its jailssh files are removed"
    now = accounts.get(name)
    if created:
        change = f"usermod --shell SHELL {name}"
        return f"{name}: removed from its jail, kept with login shell {now.shell}; to change it: {change}"
    return f"{name}: removed from its jail, restored, with login shell {now.shell}"
