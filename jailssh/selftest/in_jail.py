"""A selftest of a jail that needs no account of anybody: one is made for it, and goes with all it had."""

from __future__ import annotations

import secrets

from jailssh.change.undo import Operation, UndoAction
from jailssh.core.errors import JailsshError, UsageError, raise_all
from jailssh.host import accounts
from jailssh.host.paths import Layout
from jailssh.jail.configuration import load_configuration
from jailssh.publish.publish import Publisher
from jailssh.selftest import leftovers
from jailssh.selftest.report import CannotTryError, Report
from jailssh.selftest.selftest import How, changing, selftest
from jailssh.setup import afterwards
from jailssh.users.adduser import AddUserOptions, adduser

PREFIX = "jst-"
"""Begins the name of every account that is made here."""


def selftest_jail(layout: Layout, jail: str, how: How | None = None) -> list[Report]:
    """Try the jail with a throw-away account that has a home of its own; return its reports.

    Raises as :func:`jailssh.selftest.selftest.selftest`, and :class:`CannotTryError` where no account can be put into
    the jail.  Call it without the lock of the set-up.
    """
    how = how or How()
    configuration = load_configuration(layout)
    if jail not in configuration.documents and jail not in configuration.registry.plugins:
        raise UsageError(f"jail {jail}", "does not exist", hint="jailssh list")
    name = f"{PREFIX}{secrets.token_hex(4)}"
    with changing(layout, leftovers.subject_of_made(name), f"jail {jail}", how.fault) as journal:
        journal.step("account", UndoAction(Operation.TRIAL_ACCOUNT, name), lambda: None)
        try:
            try:
                adduser(layout, AddUserOptions(name, (jail,)), Publisher(layout), lambda _: True, how.fault)
                _, missing = afterwards.settle(layout, [name])
                # Ports are all that such an account has; without forwarding or a way out there is enough to try.
                if configuration.may_jump((jail,)):
                    raise_all(missing)
            except JailsshError as error:
                raise CannotTryError(error.what, error.why, hint=error.hint) from error
            return selftest(layout, load_configuration(layout), accounts.get(name), how)
        finally:
            leftovers.take_out(layout, name)
