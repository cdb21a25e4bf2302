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
from jailssh_plugins.hg.plugin import plugin
from tests.harness.transport import Transport

ALICE = Account("alice", 1000, 1000, "alice", "/home/alice")
JAIL = Jail("j", ("hg",), {"hg": "/usr/bin/hg"}.get)
PLAIN: dict[str, Value] = {"read": (), "write": ()}


def result(**settings: Any) -> Any:
    return plugin.account(JAIL, ALICE, {**PLAIN, **settings})


def test_it_is_a_plugin_whose_options_have_these_defaults() -> None:
    assert isinstance(plugin, Plugin)
    assert {option.name for option in plugin.options} == set(PLAIN)
    with pytest.raises(ConfigError, match="not found"):
        plugin.image(Jail("j", ("hg",), dict[str, str]().get), PLAIN)


def test_every_repository_is_a_rule_word_for_word() -> None:
    given = result(read=("/srv/hg/a",), write=("~/b",))
    check_rules(given.rules)
    assert [rule.literal_words[1] for rule in given.rules] == ["/srv/hg/a", "/home/alice/b", "b"]
    for rule in given.rules:
        assert (rule.literal_words[0], rule.literal_words[2:]) == ("-R", ("serve", "--stdio"))
        assert (rule.short_flags, rule.long_options, rule.operands[1]) == ("", (), 0)
    assert (given.binds, given.home) == ((Bind("/home/alice/b", writable=True), Bind("/srv/hg/a")), "none")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "no repository is set"),
        ({"read": ("/srv/a",), "write": ("/srv/a",)}, "also in write"),
        ({"write": ("~/--config=x",)}, "reads it as an option"),
        ({"write": ("/",)}, "homes of accounts"),
    ],
)
def test_impossible_settings(settings: Any, why: Any) -> None:
    with pytest.raises(ConfigError, match=why):
        result(**settings)


@pytest.mark.needs("hg", "login-program")
def test_a_real_hg_clones_and_pushes_the_listed_repository_alone(tmp_path: Path, match_build: Any) -> None:
    home = tmp_path / "home"
    account = Account("alice", 1000, 1000, "alice", str(home))
    rules = plugin.account(Jail("j", ("hg",), find_program), account, {**PLAIN, "write": ("~/r",)}).rules
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "HGUSER": "a"}

    def run(*words: Any, where: Any = tmp_path) -> Any:
        return subprocess.run(["hg", *words], env=env, cwd=where, capture_output=True, text=True, timeout=60)

    for name in ("r", "secret"):
        assert run("init", str(home / name)).returncode == 0
    transport = Transport(tmp_path, match_build, rules, home)
    (tmp_path / ".hgrc").write_text(f"[ui]\nssh = {transport.path}\n")
    done = run("clone", "ssh://h/r", "work")
    assert done.returncode == 0, done.stderr
    (tmp_path / "work" / "a").write_text("a")
    assert run("commit", "-A", "-m", "x", where=tmp_path / "work").returncode == 0
    done = run("push", where=tmp_path / "work")
    assert done.returncode == 0, done.stderr
    assert run("clone", f"ssh://h/{home}/r", "again").returncode == 0
    assert transport.sent[0] == "hg -R r serve --stdio"
    for url in ("ssh://h/secret", f"ssh://h/{home}/secret", "ssh://h/--config=ui.x=y"):
        assert run("clone", url, "no").returncode != 0
    assert run("init", "ssh://h/new").returncode != 0
    assert not (home / "new").exists()


@pytest.mark.needs("hg")
def test_this_host_has_what_the_image_needs() -> None:
    needs = plugin.image(Jail("j", ("hg",), find_program), PLAIN)
    manifest = resolve([("hg", needs)])
    assert manifest.get(JailPath(needs.bare_programs[0])) is not None
    assert manifest.get(JailPath("/usr/lib/python3/dist-packages/mercurial/dispatch.py")) is not None
