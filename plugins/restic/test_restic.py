from typing import Any

import pytest

from jailssh.core.errors import ConfigError
from jailssh.plugin.api import Account, Bind, Jail, Plugin, Value
from jailssh.policy.rules import check_rules
from jailssh_plugins.restic.plugin import plugin

ALICE = Account("alice", 1000, 1000, "alice", "/home/alice")
JAIL = Jail("j", ("restic",), {"rclone": "/usr/bin/rclone"}.get)
PLAIN: dict[str, Value] = {"repository": "", "append_only": True}


def test_it_is_a_plugin_whose_options_have_these_defaults() -> None:
    assert isinstance(plugin, Plugin)
    assert {option.name for option in plugin.options} == set(PLAIN)
    assert plugin.image(JAIL, PLAIN).bare_programs == ("/usr/bin/rclone",)
    with pytest.raises(ConfigError, match="not found"):
        plugin.image(Jail("j", ("restic",), dict[str, str]().get), PLAIN)


def test_the_same_is_executed_whatever_the_client_asks_for() -> None:
    given = plugin.account(JAIL, ALICE, {**PLAIN, "repository": "~/restic"})
    check_rules(given.rules)
    (rule,) = given.rules
    assert rule.ignore_arguments
    assert rule.literal_words == ("serve", "restic", "--stdio")
    assert rule.argv_insert == ("--config=/dev/null", "--append-only", "/home/alice/restic")
    assert (given.home, [bind.path for bind in given.binds]) == ("none", ["/home/alice/restic"])
    given = plugin.account(JAIL, ALICE, {"repository": "/srv/r", "append_only": False})
    assert given.rules[0].argv_insert == ("--config=/dev/null", "/srv/r")
    assert given.binds == (Bind("/srv/r", writable=True),)


@pytest.mark.parametrize(("path", "why"), [("", "no directory is set"), ("/", "homes of"), ("r", "not a path")])
def test_impossible_settings(path: Any, why: Any) -> None:
    with pytest.raises(ConfigError, match=why):
        plugin.account(JAIL, ALICE, {**PLAIN, "repository": path})
