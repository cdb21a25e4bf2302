"""What an account passes before sshd forwards ports for it: a day of expiry, then a group, then its keys; and back.

sshd forwards for the members of a group.  So that PAM is asked about each of their logins, the day of expiry of a
member is :data:`jailssh.host.accounts.GATED`: sshd without PAM refuses it by itself, and so does pam_unix where our
module, which goes past it, is not asked.  :mod:`jailssh.setup.forwarding` and :mod:`jailssh.setup.jumping` say whose
group it is, and what must hold before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from jailssh.change import undo
from jailssh.change.transaction import Journal
from jailssh.change.undo import Operation, UndoAction
from jailssh.core.errors import HostError, JailsshError
from jailssh.core.ports import GROUP_PREFIX
from jailssh.host import accounts
from jailssh.host.accounts import AccountEntry, PasswordAges
from jailssh.host.paths import Layout
from jailssh.jail import authorized_keys
from jailssh.services import shadow, sshd


def unsafe(ages: PasswordAges | None, group: str = sshd.FORWARD_GROUP) -> str:
    """Return what is wrong with an account in the group, "" for nothing."""
    if ages is None or ages.expires not in (accounts.GATED, accounts.LOCKED):  # unlock brings ours back
        return f"is in group {group} without its day of expiry: nothing but PAM keeps sshd from forwarding for it"
    return ""


def require_field(name: str, ages: PasswordAges, wants: str) -> None:
    """Raise :class:`HostError` where the day of expiry of an account is somebody's; ``wants``: what needs it."""
    if ages.expires not in (None, accounts.GATED):
        why = f"has a day of expiry in /etc/shadow, or is locked, and {wants} needs that field"
        hint = f"chage --expiredate -1 {name}; jailssh knows: expires, in [limits]"
        raise HostError(f"account {name}", why, hint=hint)


def is_locked(ages: PasswordAges | None) -> bool:
    """True for an account that nobody gets into: what sshd forwards for it is settled when it is unlocked."""
    return ages is not None and ages.expires == accounts.LOCKED


def enter(
    layout: Layout, subject: str, label: str, entry: AccountEntry, group: str, look: Callable[[], None] | None = None
) -> None:
    """Bring an account into ``group``; call once what is unfinished about ``subject`` has been settled.

    ``subject``: the journal that says what :func:`leave` takes back.  ``label`` names the change to people.  ``look``
    may raise: the account is in the group then, and no key of its forwards yet.
    """
    name = entry.name
    journal = Journal(layout, subject)
    journal.original, journal.uid = [], entry.uid
    inverse = undo.put_expiry_back(name, entry.uid, None, accounts.GATED)
    with journal.changing(label, "jailssh apply"):
        # First in, last out: nobody is in the group without it.
        journal.step("expiry", inverse, lambda: shadow.set_expiry(name, accounts.GATED))
        journal.step("member", UndoAction(Operation.MEMBER, name, (group,)), lambda: accounts.add_member(name, group))
        if look:
            look()
        text = _with_ports(authorized_keys.present(layout, name))
        inverse = undo.put_keys_back(layout, name, text)
        journal.step("keys", inverse, lambda: authorized_keys.write(layout, name, text))
        journal.commit()


def leave(
    layout: Layout, subject: str, name: str, groups: Sequence[str], first: Callable[[], None] | None = None
) -> bool:
    """Take an account out of ``groups``, those that it is in; False where there is nothing to take back.

    ``first`` is called before anything changes, where something does.  Call under the lock of the set-up.
    """
    journal = Journal(layout, subject)
    steps = [*journal.original, *journal.steps]
    if not steps and not groups:
        return False
    if first:
        first()
    for group in groups:
        accounts.remove_member(name, group)
    before = authorized_keys.present(layout, name)
    if (after := _without_ports(before)) != before:
        authorized_keys.write(layout, name, after)
    # Keys may have been added since.
    undo.take_back(step for step in steps if step.op != Operation.FILE)
    clear_day(name)  # of a name that it did not have then
    journal.steps = []
    journal.forget()
    return True


def why_in(lift: Callable[[Layout, str], bool], layout: Layout, name: str) -> JailsshError | None:
    """Take an account out by ``lift``; return what went wrong: one of them keeps no others from what they must lose."""
    try:
        lift(layout, name)
    except JailsshError as error:
        return error
    return None


def clear_day(name: str) -> None:
    """Take the day of expiry away that keeps others out, of an account that sshd does not forward for (any more)."""
    ages = accounts.password_ages(name)
    member = accounts.is_listed_member(name, sshd.FORWARD_GROUP) or accounts.listed_groups(name, GROUP_PREFIX)
    if ages is not None and ages.expires == accounts.GATED and not member:
        shadow.set_expiry(name, None)


def open_keys(layout: Layout, name: str, *, act: bool) -> bool:
    """Let keys that were added to a member's since forward as well; False where there are none."""
    before = authorized_keys.present(layout, name)
    after = _with_ports(before)
    if act and before != after:
        authorized_keys.write(layout, name, after)
    return before != after


def _with_ports(keys: str) -> str:
    """Return a file of keys in which each line that jailssh wrote may be used to forward ports."""
    return re.sub(r"^restrict,(?!port-forwarding,)", "restrict,port-forwarding,", keys, flags=re.MULTILINE)


def _without_ports(keys: str) -> str:
    return re.sub(r"^restrict,port-forwarding,", "restrict,", keys, flags=re.MULTILINE)
