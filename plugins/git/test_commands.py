"""The commands of ``ssh git@host``: a rule for each that somebody has the right to, an answer for the others."""

from __future__ import annotations

import time
from typing import Any

import pytest

from jailssh.config.values import defaults
from jailssh.core.errors import ConfigError
from jailssh.host import process
from jailssh.jail import this_host
from jailssh.plugin.api import Account, Jail, Value
from jailssh.policy.rules import check_rules
from jailssh_plugins.git.plugin import plugin
from jailssh_plugins.git.program import find_git

PROGRAMS = {name: f"/usr/bin/{name}" for name in ("git", "jailssh-refs", "jailssh-repos")}
JAIL = Jail("j", ("git",), PROGRAMS.get)
ALL = ("info", "list", "create", "describe", "set-head", "delete")
PLAIN: dict[str, Value] = defaults(plugin.options) | {
    "roots": ("/srv/git",), "rights": ("create team/* @devs", "write doc eve", "read ** @all"), "commands": ALL,
}  # fmt: skip


def of(*roles: str, **settings: Any) -> tuple[dict[str, Any], Any]:
    account = Account("git", 999, 999, "git", "/home/git", roles=frozenset(("@all", *roles)))
    given = plugin.account(JAIL, account, {**PLAIN, **settings})
    check_rules(given.rules)
    return {rule.id: rule for rule in given.rules}, given


def test_each_command_has_the_patterns_of_the_right_that_it_needs() -> None:
    mine, given = of("@devs")
    assert given.capability == "git, info, list, create, describe, set-head, delete, restore"
    team, every = ("/srv/git/team/*",), ("/srv/git/**", "/srv/git/team/*")
    for id, operands, patterns in (
        ("create-empty", (1, 1, "new-repository"), team), ("description", (1, 1, "repository"), every),
        ("describe", (2, 201, "text"), team), ("set-head", (2, 2, "text"), team),
        ("delete", (1, 1, "repository"), team), ("restore", (1, 1, "new-repository"), team),
        ("info", (0, 0, "text"), ()), ("list", (0, 0, "text"), ()),
    ):  # fmt: skip
        rule = mine[f"git.{id}"]
        assert (rule.program, rule.operands, rule.repository_patterns) == (
            PROGRAMS["jailssh-repos"],
            operands,
            patterns,
        )
        assert rule.builtin_reply is None and dict(rule.environment)["JAILSSH_ROOTS"] == "/srv/git"
    rights = dict(mine["git.info"].environment)["JAILSSH_RIGHTS_0"]
    assert rights == "create /srv/git/team/*\nread /srv/git/**"


def test_who_has_no_right_to_a_command_is_told_so() -> None:
    mine, given = of("eve")
    assert given.capability == "git, info, list, describe, set-head"
    assert mine["git.no-delete"].command_names == ("delete", "restore")
    assert mine["git.no-create"].builtin_reply == (126, "creating repositories is not allowed for this key")
    mine, given = of("bob", rights=())
    assert given.capability == "git"
    assert {rule.builtin_reply[1] for id, rule in mine.items() if id != "git.lfs"} == {
        "no repository access for this key", "creating repositories is not allowed for this key",
        "changing HEAD is not allowed for this key", "deleting repositories is not allowed for this key",
    }  # fmt: skip
    assert {id for id in of("@devs", commands=())[0] if id.split(".")[1] in (*ALL, "restore", "create-empty")} == {
        "git.create"
    }


def test_directories_without_a_table() -> None:
    some = {"roots": (), "rights": (), "read": ("/srv/pub",), "write": ("/srv/git",)}
    mine, _ = of(**some, commands=("info", "describe", "set-head"))
    values = dict(mine["git.info"].environment)
    assert values["JAILSSH_ROOTS"] == "/srv/pub\n/srv/git"
    assert values["JAILSSH_RIGHTS_0"].split("\n") == [
        "write /srv/git", "write /srv/git/**", "read /srv/pub", "read /srv/pub/**",
    ]  # fmt: skip
    for command in ("create", "delete"):
        with pytest.raises(ConfigError, match=f"'{command}' needs a table of rights"):
            of(**some, commands=(command,))
    with pytest.raises(ConfigError, match="'show' is not a command"):
        of(commands=("info", "show"))


def test_rights_to_references_are_in_what_they_are_asked_about() -> None:
    lines = ("write x @devs", "create team/* @devs", "delete team/* refs/heads/** @devs")
    mine, _ = of("@devs", rights=lines)
    for id, there in (("set-head", True), ("delete", True), ("restore", True), ("describe", False), ("list", False)):
        assert ("JAILSSH_REFS_0" in dict(mine[f"git.{id}"].environment)) is there, id
    # Without any the variable is there too: without it nothing is done.
    assert dict(of("@devs")[0]["git.delete"].environment)["JAILSSH_REFS_0"] == ""
    many = (*lines, *(f"push r{n} refs/heads/main @devs" for n in range(4000)))
    of("@devs", rights=many, commands=("info", "set-head"))
    with pytest.raises(ConfigError, match="4001 lines about references for one account or key are too many"):
        of("@devs", rights=many)


def test_switches_are_off_unless_they_are_on() -> None:
    for given, word in (({}, "false"), ({"push_options": True, "partial_clone": True}, "true")):
        values = dict(of("eve", **given)[0]["git.receive-pack"].environment)
        numbers = range(int(values["GIT_CONFIG_COUNT"]))
        config = {values[f"GIT_CONFIG_KEY_{n}"]: values[f"GIT_CONFIG_VALUE_{n}"] for n in numbers}
        assert (config["receive.advertisePushOptions"], config["uploadpack.allowFilter"]) == (word, word)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("git version 2.30.9", "is git 2.30, expected 2.31 or later"), ("git version 1.99", "is git 1.99"),
        ("", "does not say its version"), ("git 2.40", "does not say"), ("git version 2.31.0", None),
        ("git version 2.55.0.rc1", None), ("git version 3.0", None), (None, None),
    ],
)  # fmt: skip
def test_a_git_that_ignores_the_settings_is_refused(said: str | None, why: str | None) -> None:
    jail = Jail("j", ("git",), PROGRAMS.get, lambda _: said)
    if why is None:
        assert find_git(jail) == "/usr/bin/git"
        return
    for ask in (lambda: plugin.image(jail, PLAIN), lambda: find_git(jail)):
        with pytest.raises(ConfigError, match=why):
            ask()


def test_a_program_says_its_version(tmp_path: Any) -> None:
    program = tmp_path / "git"
    assert this_host.version_of(str(program)) is None
    for text, said in (
        ("echo git version 2.5; echo more", "git version 2.5"),
        ("echo 7; exit 1", ""),
        ("echo 2.50", "2.50"),
    ):
        program.unlink(missing_ok=True)
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        assert this_host.version_of(str(program)) == said


def test_a_program_that_failed_is_asked_again(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "git").touch()
    codes = [137, 137, 0]

    def run(*_: Any, **__: Any) -> process.Completed:
        return process.Completed(stdout="git version 2.40\n", stderr="", code=codes.pop(0))

    monkeypatch.setattr(process, "run", run)
    now = time.monotonic()
    for later, said, left in ((0, "", 1), (0, "", 1), (90, "git version 2.40", 0)):
        monkeypatch.setattr(time, "monotonic", lambda later=later: now + later)
        assert (this_host.version_of(str(tmp_path / "git")), len(codes)) == (said, left)
