"""What a selftest that was killed has left behind: the changes it made are in its undo journal, and are taken back."""

from __future__ import annotations

import os
from functools import partial

from jailssh.change import transaction
from jailssh.change.transaction import Journal
from jailssh.change.undo import Operation
from jailssh.core.errors import JailsshError
from jailssh.files import fs
from jailssh.host import accounts
from jailssh.host.paths import Layout
from jailssh.jail.authorized_keys import keys_file
from jailssh.publish.publish import withdraw_plan
from jailssh.users.adduser import subject as account_subject
from jailssh.users.adduser import users_file
from jailssh.users.deluser import DelUserOptions, deluser

PREFIX = "selftest-"


def subject(name: str) -> str:
    """Return the name of the undo journal of a selftest of the account ``name``."""
    return f"{PREFIX}{name}"


def subject_of_made(name: str) -> str:
    """Return the name of the undo journal of the account ``name`` itself, which a selftest has made."""
    return f"{PREFIX}made-{name}"


def is_subject(subject: str) -> bool:
    """True if the undo journal of this name is a selftest's."""
    return subject.startswith(PREFIX)


def settle(layout: Layout, subject: str) -> list[str]:
    """Take back what an interrupted selftest made; return lines about it.  Not to be called under the lock."""
    with fs.lock(layout.lock):
        journal = Journal(layout, subject)
        if journal.owner is not None and journal.owner.is_alive():
            return []
        made = [step.key for step in journal.steps if step.op == Operation.TRIAL_ACCOUNT]
    for name in made:
        take_out(layout, name)
    with fs.lock(layout.lock):
        lines = transaction.recover(layout, subject)
        if not lines and journal.owner is not None:
            # Killed before its first step.
            Journal(layout, subject).forget()
            lines = [f"settled an interrupted change: {subject}"]
        return lines


def settle_all(layout: Layout) -> list[str]:
    """Settle every selftest that was killed; return lines about it, also about what failed."""
    lines = []
    for each in transaction.unfinished(layout):
        if is_subject(each.subject) and not each.alive:
            try:
                lines += settle(layout, each.subject)
            except JailsshError as error:
                lines.append(f"{error}" + (f"; {error.hint}" if error.hint else ""))
    return lines


def take_out(layout: Layout, name: str) -> None:
    """Delete the account that a selftest made, its home and all that jailssh has of it; absent is fine."""
    # What it made elsewhere is taken back as the account, so before that goes.
    settle(layout, subject(name))
    traces = (users_file(layout, name), keys_file(layout, name), f"{layout.undo}/{account_subject(name)}.json")
    entry = accounts.find(name)
    if entry is None and not any(map(os.path.lexists, traces)):
        return
    with fs.lock(layout.lock):
        # adduser may have been killed: what is there of the account is one to be deleted, as deluser sees it.
        transaction.recover(layout, account_subject(name))
    wish = DelUserOptions(name, remove_home=accounts.find(name) is not None, now=True)
    deluser(layout, wish, partial(withdraw_plan, layout), lambda _: True)
