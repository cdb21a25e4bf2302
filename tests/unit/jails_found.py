"""A jail that was found, as our own reader and the plugins take it."""

from __future__ import annotations

import importlib
from dataclasses import replace

from jailssh.config.jails import read_jail
from jailssh.config.reader import read_document
from jailssh.config.rights import Table
from jailssh.migration.wanted import as_text
from jailssh.plugin.api import Account, Jail, Plugin
from jailssh.policy.rules import check_rules
from jailssh.sources.found import Found


def _plugin(name: str) -> Plugin:
    found = importlib.import_module(f"jailssh_plugins.{name}.plugin").plugin
    assert isinstance(found, Plugin)
    return found


def builds(found: Found) -> None:
    """Raise where the jail's file is not read without an error, or a plugin of it makes no rules."""
    document = read_document(as_text(found), "x.conf")
    tables = {path: Table(path, text.encode()) for path, text in found.files.items()}
    jail = read_jail("x", replace(document, tables=tables), lambda name: _plugin(name).options)
    account = Account("kim", 1001, 1001, "kim", found.inside or "/home/kim", roles=frozenset({"@all", *found.named}))
    shape = Jail("x", jail.plugins, lambda name: name if name.startswith("/") else f"/usr/bin/{name}")
    for name in jail.plugins:
        rules = _plugin(name).account(shape, account, jail.options[name]).rules
        check_rules(list(rules))
        assert rules, found
