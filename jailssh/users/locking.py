"""Refuse the logins of an account that stays in its jail, and allow them again.

The day of shadow(5) from which on an account has expired holds for keys and passwords, for sshd and all that asks PAM.
"""

from __future__ import annotations

import os

from jailssh.change import transaction, undo
from jailssh.change.transaction import Fault, Journal, no_fault
from jailssh.core.errors import DeniedError, HostError, UsageError
from jailssh.core.names import check_account_name
from jailssh.files import fs
from jailssh.host import accounts
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.publish import plan_files
from jailssh.services import shadow
from jailssh.setup import gate
from jailssh.users import checks, settling
from jailssh.users.adduser import Outcome, users_file


def subject(name: str) -> str:
    """Return the name of the journal that says what :func:`unlock` takes back."""
    return f"lock-{name}"


def lock(layout: Layout, name: str, fault: Fault = no_fault) -> Outcome:
    """Refuse new logins of the jailed account ``name``; sessions go on."""
    with fs.lock(layout.lock):
        lines = [*settling.renames(layout, (name,)), *transaction.recover(layout, subject(check_account_name(name)))]
        entry = accounts.get(name)
        if not os.path.lexists(users_file(layout, name)):
            why = "no jail is assigned to this account directly"
            raise UsageError(f"account {name}", why, hint="jailssh list")
        ages = accounts.password_ages(name)
        if not accounts.is_local(name) or ages is None:
            why = "comes from a directory service, which alone can lock it"
            raise HostError(f"account {name}", why, hint=f"its sessions: jailssh kick {name}")
        _check(entry)
        journal = Journal(layout, subject(name), fault)
        if journal.original and journal.uid == entry.uid and ages.expires == accounts.LOCKED:
            return Outcome((*lines, f"{name}: already locked, nothing changed"), changed=False)
        journal.original, journal.uid = [], entry.uid
        inverse = undo.put_expiry_back(name, entry.uid, ages.expires, accounts.LOCKED)
        with journal.changing(f"lock {name}", f"jailssh lock {name}"):
            journal.step("expiry", inverse, lambda: shadow.set_expiry(name, accounts.LOCKED), confines=True)
            journal.commit()
    said = f"{name}: locked; new logins are refused, sessions go on; to end them: jailssh kick {name}"
    closed = plan_files.withdraw_entries(layout, entry.uid)
    more = [f"{name}: may not enter {', '.join(closed)} either, until: jailssh unlock {name} && jailssh apply"]
    return Outcome((*lines, said, *(more if closed else ())), changed=True)


def _check(entry: AccountEntry) -> None:
    """Raise where nobody could unlock it any more."""
    what = f"account {entry.name}"
    if entry.uid in accounts.invoking_uids():
        raise DeniedError(what, "you are logged in with this account", hint="lock it from another account")
    if group := checks.last_of(entry):
        why = f"is the last member of group {group!r}: nobody else could become root"
        raise DeniedError(what, why, hint=f"add another one first: gpasswd --add NAME {group}")


def unlock(layout: Layout, name: str) -> Outcome:
    """Allow logins of ``name`` again: it expires when it did before :func:`lock`; a day that was set since stays."""
    with fs.lock(layout.lock):
        lines = [*settling.renames(layout, (name,)), *transaction.recover(layout, subject(check_account_name(name)))]
        if not lift(layout, name):
            raise UsageError(f"account {name}", "is not locked by jailssh", hint=f"jailssh doctor {name}")
        expired = accounts.is_expired(name)
    note = f"; its expiry is in the past, so logins are still refused: chage --list {name}" if expired else ""
    return Outcome((*lines, f"{name}: unlocked{note}"), changed=True)


def lift(layout: Layout, name: str) -> bool:
    """Take the lock of ``name`` back, if there is one; call under the lock of the set-up."""
    journal = Journal(layout, subject(name))
    if not journal.original and not journal.steps:
        return False
    undo.take_back([*journal.original, *journal.steps])
    gate.clear_day(name)  # sshd may forward for it no more since it was locked
    journal.steps = []
    journal.forget()
    return True
