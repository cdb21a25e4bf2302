"""One account that is looked at: the facts that several looks share, each got when it is first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from jailssh.core.errors import HostError
from jailssh.host import accounts
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.jail.configuration import Configuration, load_configuration
from jailssh.jail.this_host import to_account
from jailssh.plan.codec import Plan
from jailssh.plugin.api import Account
from jailssh.publish import plan_files
from jailssh.services import pam_account, sshd
from jailssh.services.pam_account import PamAnswer

SECONDS = 3.0
"""What a single look may take that may never end: a home on a server, PAM, the journal."""


class Case:
    """An account, by the name that was asked for.  Each attribute raises :class:`JailsshError` where it is unknown.

    ``seconds``: what a look may take that may never end.
    """

    def __init__(self, layout: Layout, name: str, seconds: float = SECONDS) -> None:
        self.layout = layout
        self.name = name
        self.seconds = seconds

    @cached_property
    def entry(self) -> AccountEntry:
        """What the name service says."""
        found = accounts.find(self.name)
        if found is None:
            raise HostError(f"account {self.name}", "does not exist on this host")
        return found

    @cached_property
    def account(self) -> Account:
        """The same, as plugins get it."""
        return to_account(self.entry)

    @cached_property
    def configuration(self) -> Configuration:
        """What the configuration files say."""
        return load_configuration(self.layout)

    @cached_property
    def jails(self) -> tuple[str, ...]:
        """The jails that the account is in."""
        return self.configuration.jails_for(self.account)

    @cached_property
    def by_name(self) -> bool:
        """True if the account has a file of its own, so that the group ``jailssh`` makes it jailed for sshd."""
        return self.configuration.user(self.name) is not None

    @cached_property
    def server(self) -> Mapping[str, list[str]]:
        """What sshd would use for a login of the account: keyword to values."""
        return sshd.effective(self.name, sshd.main_config(self.layout))

    @cached_property
    def uses_pam(self) -> bool:
        """True if sshd asks PAM."""
        return self.server.get("usepam", ["no"])[0].lower() == "yes"

    @cached_property
    def pam_answer(self) -> PamAnswer:
        """What the account phase of PAM says of a login; raises as :func:`jailssh.services.pam_account.ask`."""
        return pam_account.ask(self.name, self.seconds)

    @cached_property
    def plan(self) -> Plan | None:
        """The published plan, a roster for a shared account; None if there is none."""
        return plan_files.read_plan(self.layout, self.entry.uid)

    @cached_property
    def plans(self) -> list[Plan]:
        """The published plans that logins get: one, or those of the named keys; what cannot be read is left out."""
        plan = self.plan
        if plan is None:
            return []
        serials = sorted(set(plan_files.keys_of(plan).values()))
        found = [plan_files.readable_plan(self.layout, self.entry.uid, serial) for serial in serials]
        return [each for each in found if each is not None] if serials else [plan]
