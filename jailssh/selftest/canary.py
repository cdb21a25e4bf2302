"""Prove a jail with the first account that goes into it, before anybody else does and before the change is kept.

A new account gets neither keys nor a password until it is proven: meanwhile nobody but the proof logs in.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from jailssh.change.transaction import Journal
from jailssh.core.errors import JailsshError
from jailssh.files import fs
from jailssh.host import accounts
from jailssh.host.paths import Layout
from jailssh.jail.configuration import load_configuration
from jailssh.users import adduser, deluser, many
from jailssh.users.adduser import AddUserOptions, Confirm, Publishing, canary_subject, users_file
from jailssh.users.deluser import DelUserOptions

Proof = Callable[[str], str]
"""Called with the name of an account, without the lock of the set-up: returns what is wrong, "" for nothing."""


@dataclass(frozen=True)
class _Tried:
    wish: AddUserOptions
    created: bool
    before: tuple[str, ...]

    def again(self) -> str:
        """Return the command that takes it back."""
        name = self.wish.name
        if self.before:
            return f"jailssh adduser {name} --jail {','.join(self.before)}"
        return f"jailssh deluser {name}{' --remove-home' if self.created else ''}"


def prove(
    layout: Layout,
    wishes: Sequence[AddUserOptions],
    publisher: Publishing,
    confirm: Confirm,
    withdraw: Callable[[int], object],
    proof: Proof,
    counting: many.Counting,
) -> None:
    """Put the first account of each jail into it and prove it; on any failure all of them are taken out again.

    All ``wishes`` are judged before (``counting``: see there).  What is left to do is
    :func:`jailssh.users.many.add_many` of all of them.
    """
    many.judge(layout, wishes, publisher, counting)
    firsts = {wish.jails: replace(wish, on_demand=False) for wish in reversed(wishes)}
    tried: list[_Tried] = []
    try:
        for wish in firsts.values():
            tried.append(_tried(layout, wish))
            _begin(layout, tried[-1])
            adduser.adduser(layout, _without_access(tried[-1]), publisher, confirm)
            if why := proof(wish.name):
                hint = "everything is as it was; to look closer, add it without --canary, then: jailssh selftest"
                raise JailsshError(f"account {wish.name}", f"proof of its jail failed: {why}", hint=hint)
    except BaseException:
        for each in reversed(tried):
            _take_back(layout, each, publisher, withdraw)
        raise
    for each in tried:
        _end(layout, each)


def _tried(layout: Layout, wish: AddUserOptions) -> _Tried:
    user = load_configuration(layout).user(wish.name)
    return _Tried(wish, accounts.find(wish.name) is None, () if user is None else user.jails)


def _without_access(tried: _Tried) -> AddUserOptions:
    return replace(tried.wish, keys=(), password="") if tried.created else tried.wish


def _begin(layout: Layout, tried: _Tried) -> None:
    with fs.lock(layout.lock):
        Journal(layout, canary_subject(tried.wish.name)).begin(f"adduser {tried.wish.name} --canary", tried.again())


def _end(layout: Layout, tried: _Tried) -> None:
    with fs.lock(layout.lock):
        Journal(layout, canary_subject(tried.wish.name)).forget()


def _take_back(layout: Layout, tried: _Tried, publisher: Publishing, withdraw: Callable[[int], object]) -> None:
    name = tried.wish.name
    if tried.before:
        wish = AddUserOptions(name, tried.before, force=True, now=True)
        adduser.adduser(layout, wish, publisher, lambda _: True)
    elif os.path.lexists(users_file(layout, name)):
        # Its own process that is still there would keep it: only the proof's can be, and that has ended.
        deluser.deluser(layout, DelUserOptions(name, remove_home=tried.created), withdraw, lambda _: True)
    _end(layout, tried)
