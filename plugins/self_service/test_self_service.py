"""The self-service plugin: what its settings allow, and what they cannot say."""

from __future__ import annotations

import pytest

from jailssh.core import asking
from jailssh.core.errors import ConfigError
from jailssh.plugin.api import Account, Jail, Value
from jailssh_plugins.self_service.plugin import plugin

ACCOUNT = Account("alice", 1000, 1000, "alice", "/home/alice")
HERE = Jail("own", ("self-service",), lambda name: f"/usr/bin/{name}")
GIVEN: dict[str, Value] = {
    "keys": True, "key_types": ("ed25519",), "rsa_bits": 3072, "max_keys": 5, "key_lifetime": -1, "passwords": True,
    "first_password": False, "outgoing_keys": False,
}  # fmt: skip


def test_each_switch_gives_its_commands_and_no_other() -> None:
    result = plugin.account(HERE, ACCOUNT, GIVEN)
    both = [rule.id for rule in result.rules]
    keys = [rule.id for rule in plugin.account(HERE, ACCOUNT, {**GIVEN, "passwords": False}).rules]
    passwords = [rule.id for rule in plugin.account(HERE, ACCOUNT, {**GIVEN, "keys": False}).rules]
    assert keys == ["self-service.list", "self-service.add", "self-service.remove"]
    assert passwords == ["self-service.password", "self-service.passwd"]
    assert both == keys + passwords
    assert (result.asks, result.home, result.binds) == (True, "none", ())
    assert {rule.program for rule in result.rules} == {"/usr/bin/jail-keys"}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"keys": False, "passwords": False}, "allows nothing"),
        ({"key_types": ("dsa",)}, "'dsa' is not a type of keys"),
        ({"key_types": ()}, "names no type"),
        ({"rsa_bits": 1024}, "rsa_bits"),
        ({"first_password": True, "passwords": False}, "is set without passwords"),
        ({"outgoing_keys": True}, "is for jails with a shell"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, Value], where: str) -> None:
    with pytest.raises(ConfigError, match=where):
        plugin.account(HERE, ACCOUNT, {**GIVEN, **change})


def test_keys_to_elsewhere_need_a_shell_and_ask_nobody() -> None:
    shell = Jail("own", ("shell", "self-service"), lambda name: f"/usr/bin/{name}")
    given: dict[str, Value] = {**GIVEN, "keys": False, "passwords": False, "outgoing_keys": True}
    result, needs = plugin.account(shell, ACCOUNT, given), plugin.image(shell, given)
    assert [rule.id for rule in result.rules] == ["self-service.outgoing"]
    assert (result.asks, result.capability) == (False, "jail-keys")
    ((place, text),) = needs.texts
    assert place == "/etc/ssh/ssh_config"
    assert f"UserKnownHostsFile ~/{asking.OUTGOING}/known_hosts" in text
    assert "/.ssh/" not in text  # which is closed
    assert plugin.image(shell, GIVEN).texts == ()


def test_a_host_without_the_program() -> None:
    with pytest.raises(ConfigError, match="jail-keys is not on this host"):
        plugin.image(Jail("own", (), lambda _: None), GIVEN)
