import subprocess
from pathlib import Path
from typing import Any

import pytest

from jailssh.core.errors import ConfigError
from jailssh.core.names import JailPath
from jailssh.image.resolve import resolve
from jailssh.jail.this_host import find_program
from jailssh.plugin.api import Account, Bind, Jail, Plugin, Value
from jailssh.policy.rules import check_rules
from jailssh_plugins.cvs.plugin import plugin
from tests.harness.transport import Transport

ALICE = Account("alice", 1000, 1000, "alice", "/home/alice")
PLAIN: dict[str, Value] = {"repositories": ()}


def jail(*plugins: Any) -> Any:
    return Jail("j", ("cvs", *plugins), {"cvs": "/usr/bin/cvs"}.get)


def test_it_is_a_plugin_whose_options_have_these_defaults() -> None:
    assert isinstance(plugin, Plugin)
    assert {option.name for option in plugin.options} == set(PLAIN)
    with pytest.raises(ConfigError, match="not found"):
        plugin.image(Jail("j", ("cvs",), dict[str, str]().get), PLAIN)


def test_the_rule_and_the_mounts() -> None:
    given = plugin.account(jail(), ALICE, {"repositories": ("/srv/cvs",)})
    check_rules(given.rules)
    (rule,) = given.rules
    assert (rule.argv_prefix, rule.literal_words, rule.operands[1]) == (("-f",), ("server",), 0)
    assert given.binds == (Bind("/srv/cvs", writable=True),)


def test_impossible_settings() -> None:
    with pytest.raises(ConfigError, match="no repository is set"):
        plugin.account(jail(), ALICE, PLAIN)
    for other in ("shell", "command"):
        with pytest.raises(ConfigError, match=f"in one jail with {other}"):
            plugin.account(jail(other), ALICE, {"repositories": ("/srv/cvs",)})


@pytest.mark.needs("cvs", "login-program")
def test_a_real_cvs_checks_out_and_commits(tmp_path: Path, match_build: Any) -> None:
    home = tmp_path / "home"
    home.mkdir()
    account = Account("alice", 1000, 1000, "alice", str(home))
    found = Jail("j", ("cvs",), find_program)
    rules = plugin.account(found, account, {"repositories": ("~/cvs",)}).rules
    transport = Transport(tmp_path, match_build, rules, home)
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "CVS_RSH": str(transport.path), "USER": "a", "LOGNAME": "a"}

    def run(*words: Any, where: Any = tmp_path) -> None:
        command = ["cvs", "-f", *words]
        done = subprocess.run(command, env=env, cwd=where, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    root = f":ext:h:{home}/cvs"
    run("-d", str(home / "cvs"), "init")
    (home / "cvs" / "m").mkdir()
    run("-d", root, "checkout", "m")
    (tmp_path / "m" / "a").write_text("a")
    run("add", "a", where=tmp_path / "m")
    run("commit", "-m", "x", where=tmp_path / "m")
    assert (home / "cvs" / "m" / "a,v").exists()
    assert set(transport.sent) == {"cvs server"}


@pytest.mark.needs("cvs")
def test_this_host_has_what_the_image_needs() -> None:
    needs = plugin.image(Jail("j", ("cvs",), find_program), PLAIN)
    assert resolve([("cvs", needs)]).get(JailPath(needs.programs[0])) is not None
