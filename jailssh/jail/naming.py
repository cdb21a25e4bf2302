"""Where jail files name an account: who may enter a jail, in tables of rights, in sections for directories."""

from __future__ import annotations

from contextlib import suppress

from jailssh.config.reader import Document
from jailssh.core.errors import JailsshError
from jailssh.jail.configuration import Configuration
from jailssh.plugin.api import Account, Right


def places(configuration: Configuration, account: Account, name: str) -> list[str]:
    """Return where jail files say ``name`` and mean ``account``: places with the setting, sorted.

    In jails that it is in or may enter, since elsewhere the name is somebody else's, as that of a key.
    """
    found = set()
    jails: list[tuple[str, ...]] = []
    for jail, words in configuration.entries().items():
        document = configuration.documents[jail]
        if name in words and isinstance(document, Document):
            found.add(f"{document.entries['']['enter'].origin}: enter")
        if not {name, *account.roles}.isdisjoint(words):
            jails.append((jail,))
    with suppress(JailsshError):
        if not configuration.keyring(account.name, vacant=True).shared:
            jails.append(configuration.jails_for(account))
    for each in jails:
        with suppress(JailsshError):  # a jail that is wrong: apply says what
            found.update(_of_jail(configuration, each, name))
    return sorted(found)


def _of_jail(configuration: Configuration, jails: tuple[str, ...], name: str) -> set[str]:
    config = configuration.definition(jails).config
    tables = ((item.setting, line) for item in config.items for line in item.lines)
    rights = {
        f"{line.origin}: [{setting.section}] {setting.name}"
        for setting, line in tables
        if name in Right.of(line.text).who
    }
    return rights | {each.origin for each in config.directories if name in each.who}
