"""What the readers give is a jail file that our own reader and the plugins take."""

from __future__ import annotations

import importlib
from dataclasses import replace

import pytest

from jailssh.config.jails import read_jail
from jailssh.config.reader import read_document
from jailssh.config.rights import Table
from jailssh.migration.wanted import as_text
from jailssh.plugin.api import Account, Jail, Plugin
from jailssh.policy.rules import check_rules
from jailssh.sources.found import Fate, Found
from tests.unit.sources import test_authorized_keys, test_gitolite, test_sshd_blocks


def _plugin(name: str) -> Plugin:
    found = importlib.import_module(f"jailssh_plugins.{name}.plugin").plugin
    assert isinstance(found, Plugin)
    return found


def _commands() -> list[Found]:
    return [test_authorized_keys.one(test_authorized_keys.line(row[0])) for row in test_authorized_keys.MIGRATES]


def _chroots() -> list[Found]:
    root, kim = test_sshd_blocks.ROOT, test_sshd_blocks.KIM
    every = [
        test_sshd_blocks.found(row[0], row[1], {test_sshd_blocks.sshd_blocks.expand(row[0], kim): root, **row[2]})
        for row in test_sshd_blocks.CHROOTS
    ]
    return [each for each in every if each is not None]


def _tables() -> list[Found]:
    return [test_gitolite.found(conf) for conf, _ in test_gitolite.TABLES]


@pytest.mark.parametrize("each", [_commands, _chroots, _tables], ids=["commands", "chroots", "tables"])
def test_a_jail_is_one_that_can_be_built(each: object) -> None:
    """Its file is read without an error, and each plugin makes its rules of it."""
    assert callable(each)
    results = each()
    assert len(results) > 10
    for found in results:
        assert found.fate is Fate.MIGRATE
        document = read_document(as_text(found), "x.conf")
        tables = {path: Table(path, text.encode()) for path, text in found.files.items()}
        jail = read_jail("x", replace(document, tables=tables), lambda name: _plugin(name).options)
        where = found.inside or "/home/kim"
        account = Account("kim", 1001, 1001, "kim", where, roles=frozenset({"@all", *found.named}))
        shape = Jail("x", jail.plugins, lambda name: name if name.startswith("/") else f"/usr/bin/{name}")
        for name in jail.plugins:
            rules = _plugin(name).account(shape, account, jail.options[name]).rules
            check_rules(list(rules))
            assert rules, found
