from typing import Any

import pytest

from jailssh.core.errors import ConfigError
from jailssh.plugin.api import Account, ImageNeeds, Jail, Plugin, Ports, Value
from jailssh.policy.rules import check_rules
from jailssh_plugins.jump.plugin import plugin

ALICE = Account("alice", 1000, 1000, "alice", "/home/alice")
PLAIN: dict[str, Value] = {"open": (), "listen": ()}
JAIL = Jail("j", ("jump",), dict[str, str]().get)


def given(**settings: Any) -> Any:
    return plugin.account(JAIL, ALICE, {**PLAIN, **settings})


def test_it_is_a_plugin_whose_options_have_these_defaults() -> None:
    assert isinstance(plugin, Plugin)
    assert {option.name for option in plugin.options} == set(PLAIN)
    assert plugin.image(JAIL, PLAIN) == ImageNeeds()


def test_it_gives_ports_and_nothing_that_runs() -> None:
    result = given(open=("db.example.org:5432 10.0.0.1:*", "[::1]:22"), listen=("8022",))
    check_rules(result.rules)
    assert [rule.builtin_reply[0] for rule in result.rules] == [126]
    assert (result.home, result.binds, result.proc) == ("none", (), False)
    assert result.ports == Ports(open=("10.0.0.1:*", "[::1]:22", "db.example.org:5432"), listen=("localhost:8022",))


def test_impossible_settings_name_theirs() -> None:
    with pytest.raises(ConfigError, match="names no port"):
        given()
    for settings, where in (({"open": ("*:*",)}, "open"), ({"open": ("h:1",), "listen": ("80",)}, "listen")):
        with pytest.raises(ConfigError) as raised:
            given(**settings)
        assert raised.value.what == f"[jump] {where}"
