"""The first password of an account that has none, as it sets one itself.

PAM's modules judge a password as the account's own, and not as root's, only where it takes the place of one that they
have verified.  So for that moment the account gets one that nobody knows, by a step that the undo journal has: where
the new one is not taken, or this is killed, the account has none again.
"""

from __future__ import annotations

from collections.abc import Callable

from jailssh.change import undo
from jailssh.change.transaction import Fault, Journal, no_fault, recover
from jailssh.host.paths import Layout
from jailssh.plugin.api import Account
from jailssh.selfservice import keys, password
from jailssh.selfservice.rules import NotAllowedError, Rules, has_ended
from jailssh.services import shadow
from jailssh.users.keyring import subject


def set_password(
    layout: Layout,
    account: Account,
    rules: Rules,
    change: Callable[[bytes], None],
    now: float,
    fault: Fault = no_fault,
) -> None:
    """Give the account its first password, under the lock of the set-up, by ``change`` of one that is an argument.

    ``change`` raises where the new one is not taken.  Raises :class:`NotAllowedError` where the rules say no.
    """
    name = account.name
    recover(layout, subject(name))
    present = keys.present(layout, name)
    if not rules.passwords or not rules.first_password:
        raise NotAllowedError("your jail does not allow this")
    if not password.is_missing(name):
        why = "give the present one; where it is locked, only the administrator can set one"
        raise NotAllowedError(f"this account has a password, or is not of this host: {why}")
    if all(has_ended(key.ends, now) for key in present) or any(key.limited for key in present):
        # Else it would be a way in without them.
        why = "a first password is for accounts whose keys the host has, none with limits (from=, …)"
        raise NotAllowedError(f"{why}; not set")
    old, hashed = password.unguessable()
    journal = Journal(layout, subject(name), fault)
    with journal.changing(f"self-service of {name}: first password"):
        inverse = undo.put_password_back(name, account.uid, hashed, dated=False)
        journal.step("stand-in", inverse, lambda: shadow.set_password(name, hashed, dated=False))
        change(old)
        journal.finish()
