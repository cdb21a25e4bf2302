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
from jailssh_plugins.svn.plugin import plugin
from tests.harness.transport import Transport

ALICE = Account("alice", 1000, 1000, "alice", "/home/alice")
JAIL = Jail("j", ("svn",), {"svnserve": "/usr/bin/svnserve"}.get)
PLAIN: dict[str, Value] = {"root": "", "read_only": False}


def result(**settings: Any) -> Any:
    return plugin.account(JAIL, ALICE, {**PLAIN, **settings})


def test_it_is_a_plugin_whose_options_have_these_defaults() -> None:
    assert isinstance(plugin, Plugin)
    assert {option.name for option in plugin.options} == set(PLAIN)
    with pytest.raises(ConfigError, match="not found"):
        plugin.image(Jail("j", ("svn",), dict[str, str]().get), PLAIN)


def test_what_is_forced() -> None:
    given = result(root="/srv/svn")
    check_rules(given.rules)
    (rule,) = given.rules
    assert rule.argv_insert == ("--root", "/srv/svn", "--tunnel-user", "alice")
    assert (rule.short_flags, rule.required_letters, rule.operands[1]) == ("t", "t", 0)
    assert (given.binds, given.home) == ((Bind("/srv/svn", writable=True),), "none")
    given = result(root="~/svn", read_only=True)
    assert given.rules[0].argv_insert[-1] == "--read-only"
    assert (given.binds, given.home) == ((Bind("/home/alice/svn"),), "none")


@pytest.mark.parametrize(("root", "why"), [("", "no directory is set"), ("/", "homes of"), ("svn", "not a path")])
def test_impossible_settings(root: Any, why: Any) -> None:
    with pytest.raises(ConfigError, match=why):
        result(root=root)


@pytest.fixture
def served(tmp_path: Path, match_build: Any) -> Any:
    home = tmp_path / "home"
    home.mkdir()
    subprocess.run(["svnadmin", "create", home / "r"], check=True, timeout=30)

    def run(*words: Any, **settings: Any) -> Any:
        account = Account("alice", 1000, 1000, "alice", str(home))
        jail = Jail("j", ("svn",), find_program)
        rules = plugin.account(jail, account, {**PLAIN, "root": "~", **settings}).rules
        transport = Transport(tmp_path, match_build, rules, home)
        env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SVN_SSH": str(transport.path)}
        command = ["svn", "--non-interactive", *words]
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60), transport

    return tmp_path, run


@pytest.mark.needs("svn", "login-program")
def test_a_real_svn_reads_and_commits_below_the_root_as_the_account(served: Any) -> None:
    room, run = served
    done, transport = run("checkout", "svn+ssh://h/r", "work")
    assert done.returncode == 0, done.stderr
    assert set(transport.sent) == {"svnserve -t"}
    (room / "work" / "a").write_text("a")
    assert run("add", "work/a")[0].returncode == 0
    assert run("commit", "-m", "x", "work")[0].returncode == 0
    assert "alice" in run("log", "svn+ssh://h/r")[0].stdout
    assert run("ls", f"svn+ssh://h{room}/home/r")[0].returncode != 0
    assert run("ls", "svn+ssh://h/../home/r")[0].returncode != 0


@pytest.mark.needs("svn", "login-program")
def test_read_only(served: Any) -> None:
    _, run = served
    assert run("ls", "svn+ssh://h/r", read_only=True)[0].returncode == 0
    assert run("mkdir", "-m", "x", "svn+ssh://h/r/d", read_only=True)[0].returncode != 0
    assert run("mkdir", "-m", "x", "svn+ssh://h/r/d")[0].returncode == 0


@pytest.mark.needs("svn")
def test_this_host_has_what_the_image_needs() -> None:
    needs = plugin.image(Jail("j", ("svn",), find_program), PLAIN)
    assert resolve([("svn", needs)]).get(JailPath(needs.programs[0])) is not None
