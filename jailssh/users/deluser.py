"""Take an account out of its jail: back to exactly what it was before ``adduser``.

What is undone stands in the account's undo journal, which goes last: interrupted at any point, the same command
again finishes the work.
"""

from __future__ import annotations

from collections.abc import Callable

from jailssh.core.errors import JailsshError, UsageError
from jailssh.core.identity import is_same
from jailssh.core.names import check_account_name, counted
from jailssh.host import accounts, fs, install, removal
from jailssh.host.accounts import Entry
from jailssh.host.paths import Layout
from jailssh.image import owners
from jailssh.image.keys_file import keys_file
from jailssh.users import setup, transaction, undo
from jailssh.users.adduser import Confirm, subject, users_file
from jailssh.users.covers import take_away
from jailssh.users.keyring import key_files, key_folder
from jailssh.users.setup import GROUP
from jailssh.users.transaction import Journal
from jailssh.users.undo import Inverse


def deluser(
    layout: Layout,
    name: str,
    withdraw: Callable[[int], object],
    confirm: Confirm,
    *,
    keep_account: bool,
    remove_home: bool,
) -> list[str]:
    """Take ``name`` out of its jail; return lines saying what was done.  ``withdraw`` removes the plan of a uid.

    An account that ``adduser`` created is deleted, its home only with ``remove_home``; with ``keep_account`` it stays
    with a login shell that lets nobody in.
    """
    check_account_name(name)
    if not accounts.group_exists(GROUP):
        raise UsageError(f"account {name}", "is not in a jail: this host is not set up for jails")
    with fs.lock(setup.lock_path(layout)):
        lines = transaction.recover(layout, subject(name))
        journal = Journal(layout, subject(name))
        recorded = install.read_optional(users_file(layout, name))
        entry = accounts.find(name)
        if recorded is None and not journal.original:
            raise UsageError(f"account {name}", "is not in a jail by name", hint="jailssh list shows who is")
        kept_for = owners.owner(layout, name)
        uid = None if kept_for is None else kept_for.uid
        same = entry is not None and (kept_for is None or is_same(kept_for, entry))
        created = any(step.op == "account" for step in journal.original)
        # Which account it was that we made must be known: one of the same name may be somebody else's by now.
        delete = created and same and not keep_account and kept_for is not None
        if delete:
            assert entry is not None
            _check_deletable(entry, confirm, remove_home=remove_home)
        elif remove_home:
            raise UsageError("--remove-home", "only the home of an account that adduser created is removed")
        if entry is not None and same and not remove_home:
            take_away(entry)  # before what was set aside under the same names comes back
        undo.take_back(_inverses(layout, name, journal, entry if same else None))
        # Before the account goes: a plan that stayed would be found by the next account with this uid.
        for number in {uid, entry.uid if entry and same else None}:
            if number is not None:
                withdraw(number)
        if delete:
            accounts.delete_account(name, remove_home=remove_home)
        owners.forget(layout, name)
        journal.forget()
    return [*lines, _report(name, entry, same, created, delete, remove_home)]


def _check_deletable(entry: Entry, confirm: Confirm, *, remove_home: bool) -> None:
    running = len(accounts.processes_of(entry.uid))
    if running:
        hint = "end its sessions first, or keep the account with --keep-account"
        raise JailsshError(
            f"account {entry.name}", f"{counted(running, 'process', 'es')} of it still running", hint=hint
        )
    if remove_home:
        removal.check_home(entry.home)
    with_home = f" and its home {entry.home}" if remove_home else ""
    if not confirm(f"Delete the account {entry.name}{with_home}? jailssh adduser created it."):
        raise JailsshError(f"account {entry.name}", "nothing was changed")


def _inverses(layout: Layout, name: str, journal: Journal, entry: Entry | None) -> list[Inverse]:
    """Return what to run: the journal's inverses, made to fit, and what holds where the journal has been lost."""
    known = {(step.op, step.key) for step in journal.original}
    paths = [users_file(layout, name), keys_file(layout, name), *key_files(layout, name)]
    files = [Inverse("dir", key_folder(layout, name), (None,)), *(Inverse("file", path, (None, 0)) for path in paths)]
    # A plan is not put back: it may be old, and withdrawing it is always right.
    kept = [step for step in journal.original if step.op != "account" and not step.key.startswith(layout.plans + "/")]
    out = [step for step in files if (step.op, step.key) not in known] + kept
    if entry is not None and (("account", name) in known or not journal.original):
        # What it was before is not known or was nothing: nobody gets in until the administrator says how.
        out.append(Inverse("member", name, (GROUP,)))
        out.append(Inverse("shell", name, (entry.uid, accounts.NOLOGIN, layout.login_program)))
    return out


def _report(name: str, entry: Entry | None, same: bool, created: bool, delete: bool, remove_home: bool) -> str:
    if delete:
        assert entry is not None
        home = "removed" if remove_home else "left in place"
        return f"{name}: deleted; its home {entry.home} was {home}"
    if entry is None:
        return f"{name}: the account is gone already; what jailssh kept about it was removed"
    if not same:
        return f"{name}: the account has another uid than the one in the jail; only jailssh's own files were removed"
    now = accounts.get(name)
    if created:
        return f"{name}: out of its jail, kept with login shell {now.shell}; give it another with: usermod --shell"
    return f"{name}: out of its jail, as it was before, with login shell {now.shell}"
