"""A configuration that stands still for one run: each account's files are read once, each question answered once.

For looking at many accounts without changing anything.  Whoever publishes must use a :class:`Configuration`, which
reads the files of accounts anew each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from jailssh.config.files import UserConfig
from jailssh.config.keys import Keyring
from jailssh.core.errors import JailsshError
from jailssh.jail.configuration import Configuration
from jailssh.jail.definition import JailDefinition
from jailssh.jail.this_host import ThisHost
from jailssh.plugin.api import Account, PluginResult

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


class _SteadyDefinition(JailDefinition):
    def results(self, account: Account) -> tuple[PluginResult, ...]:
        """Return what the plugins give, asked once for each of the last accounts."""
        if "_answers" not in self.__dict__:
            object.__setattr__(self, "_answers", _Answers())
        answers: _Answers = self.__dict__["_answers"]
        return answers.get(account, lambda: super(_SteadyDefinition, self).results(account))


class SteadyConfiguration(Configuration):
    """What :func:`steady` gives."""

    def __init__(self, of: Configuration, host: ThisHost) -> None:
        super().__init__(of.layout, of.main, of.documents, of.registry, of.stamps, host)
        self._answers = _Answers()

    def user(self, name: str) -> UserConfig | None:
        """Do as the configuration does, once."""
        return self._answers.get(("user", name), lambda: super(SteadyConfiguration, self).user(name))

    def keyring(self, name: str, *, vacant: bool = False) -> Keyring:
        """Do as the configuration does, once."""
        make = lambda: super(SteadyConfiguration, self).keyring(name, vacant=vacant)  # noqa: E731
        return self._answers.get(("ring", name, vacant), make)

    def jails_for(self, account: Account) -> tuple[str, ...]:
        """Do as the configuration does, once."""
        return self._answers.get(("jails", account), lambda: super(SteadyConfiguration, self).jails_for(account))

    def definition(self, names: Sequence[str]) -> JailDefinition:
        """Do as the configuration does; the plugins are asked once for each of the last accounts."""
        key = tuple(sorted(set(names)))
        if key not in self._definitions:
            made = super().definition(names)
            self._definitions[key] = _SteadyDefinition(made.config, made.plugins, made.facts, made.root, made.members)
        return self._definitions[key]


def steady(configuration: Configuration, host: ThisHost) -> SteadyConfiguration:
    """Return the configuration for one run; ``host`` answers for the accounts."""
    return SteadyConfiguration(configuration, host)
