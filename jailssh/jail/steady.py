"""A configuration that stands still for one run: each account's files are read once, each question answered once.

For looking at many accounts without changing anything.  Whoever publishes has it forget what it knows before each
account, and again under the lock, where a plan is published only if the files still say the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from jailssh.config.files import UserConfig
from jailssh.config.keys import Keyring
from jailssh.core.errors import JailsshError
from jailssh.jail.configuration import Configuration
from jailssh.jail.definition import JailDefinition
from jailssh.jail.holders import Holder
from jailssh.jail.this_host import Remembering, ThisHost
from jailssh.plugin.api import Account

_T = TypeVar("_T")
_FEW = 16
"""Accounts are looked at one after the other, so a few answers are enough, and ten thousand do not fill the memory."""


class _Answers:
    """The last answers by question; an error is one."""

    def __init__(self) -> None:
        self._known: dict[Any, tuple[Any, JailsshError | None]] = {}

    def get(self, key: Any, make: Callable[[], _T]) -> _T:
        if key not in self._known:
            while len(self._known) >= _FEW:
                del self._known[next(iter(self._known))]
            try:
                self._known[key] = make(), None
            except JailsshError as error:
                self._known[key] = None, error
        value, failure = self._known[key]
        if failure is not None:
            raise failure
        return value  # type: ignore[no-any-return]


class SteadyConfiguration(Configuration):
    """What :func:`steady` gives."""

    def __init__(self, of: Configuration, host: ThisHost) -> None:
        super().__init__(of.layout, of.main, of.documents, of.registry, of.stamps, host)
        self._answers = _Answers()

    def forget(self) -> None:
        """Read the files of accounts anew from here on."""
        self._answers = _Answers()

    def user(self, name: str) -> UserConfig | None:
        """Do as the configuration does, once."""
        return self._answers.get(("user", name), lambda: super(SteadyConfiguration, self).user(name))

    def keyring(self, name: str, *, vacant: bool = False) -> Keyring:
        """Do as the configuration does, once."""
        make = lambda: super(SteadyConfiguration, self).keyring(name, vacant=vacant)  # noqa: E731
        return self._answers.get(("ring", name, vacant), make)

    def holders(
        self, definition: JailDefinition, account: Account, ring: Keyring, user: UserConfig | None
    ) -> tuple[Holder, ...]:
        """Do as the configuration does, once."""
        make = lambda: super(SteadyConfiguration, self).holders(definition, account, ring, user)  # noqa: E731
        return self._answers.get(("holders", definition.name, account), make)

    def jails_for(self, account: Account) -> tuple[str, ...]:
        """Do as the configuration does, once."""
        return self._answers.get(("jails", account), lambda: super(SteadyConfiguration, self).jails_for(account))


def steady(configuration: Configuration, host: ThisHost | None = None) -> SteadyConfiguration:
    """Return the configuration for one run; ``host`` answers for the accounts, without it this one, once for each."""
    return SteadyConfiguration(configuration, host or Remembering())
