"""Rights to references: what of a table is in the plan of whom, and the hook in the image."""

from __future__ import annotations

from typing import Any

import pytest

from jailssh.config.values import defaults
from jailssh.core.errors import ConfigError
from jailssh.plugin.api import Account, Jail, Value
from jailssh.policy.rules import check_rules
from jailssh_plugins.git.plugin import plugin

SETTINGS: dict[str, Value] = defaults(plugin.options) | {"roots": ("/srv/git",)}
PROGRAMS = {"git": "/usr/bin/git", "jailssh-repos": "/usr/libexec/jailssh/jailssh-repos"}
JAIL = Jail("j", ("git",), PROGRAMS.get)


def of(*roles: str, rights: tuple[str, ...]) -> tuple[Any, Any]:
    """Return the rules, by name, and the result for a key with these roles."""
    account = Account("git", 999, 999, "git", "/home/git", roles=frozenset(("@all", *roles)))
    given = plugin.account(JAIL, account, {**SETTINGS, "rights": rights})
    check_rules(given.rules)
    return {rule.id: rule for rule in given.rules}, given


def config_of(rule: Any) -> dict[str, str]:
    values = dict(rule.environment)
    numbers = range(int(values["GIT_CONFIG_COUNT"]))
    return {values[f"GIT_CONFIG_KEY_{n}"]: values[f"GIT_CONFIG_VALUE_{n}"] for n in numbers}


REFS = (
    "write x @devs", "write y @devs", "rewind x refs/heads/wip/* @devs", "deny x refs/tags/** bob",
    "push y refs/heads/main ann", "create * refs/heads/** cyd", "push /srv/git/deep/z refs/** zoe",
)  # fmt: skip
JUDGED = Jail("j", ("git",), {**PROGRAMS, "jailssh-refs": "/usr/libexec/jailssh/jailssh-refs"}.get)


def lines_of(*roles: str, rights: Any = REFS) -> list[str]:
    variables = dict(of(*roles, rights=rights)[0]["git.receive-pack"].environment)
    return "\n".join(variables[f"JAILSSH_REFS_{n}"] for n in range(99) if f"JAILSSH_REFS_{n}" in variables).split("\n")


def test_rights_to_references_are_in_the_plan_of_whom_they_are_for() -> None:
    x, y, every = "/srv/git/x", "/srv/git/y", "/srv/git/*"
    assert lines_of("@devs") == [f"rewind {x} refs/heads/wip/*", f"ruled {y}", f"ruled {every}"]
    assert lines_of("@devs", "bob") == [
        f"rewind {x} refs/heads/wip/*", f"deny {x} refs/tags/**", f"ruled {y}", f"ruled {every}",
    ]  # fmt: skip
    # They include the right to write, and one that takes away gives nothing.
    assert lines_of("ann") == [f"push {y} refs/heads/main", f"ruled {every}"]
    assert lines_of("cyd") == [f"create {every} refs/heads/**", f"ruled {x}", f"ruled {y}", "ruled /srv/git/deep/z"]
    assert "git.receive-pack" not in of("bob", rights=REFS)[0]
    assert lines_of("ann", rights=("write a ann", "push b refs/heads/main bob")) == [""]


def test_the_hook_for_references_is_in_the_image_where_the_table_has_some() -> None:
    settings = {**SETTINGS, "rights": REFS}
    needs = plugin.image(JUDGED, settings)
    assert needs.links == (("/etc/jailssh/ref-hooks/proc-receive", "/usr/libexec/jailssh/jailssh-refs"),)
    assert "/usr/libexec/jailssh/jailssh-refs" in needs.bare_programs
    assert plugin.image(JAIL, {**SETTINGS, "rights": ("write x bob",)}).links == ()
    mine = of("@devs", "cyd", rights=(*REFS, "create new @devs"))[0]
    for rule in (mine["git.receive-pack"], mine["git.create"]):
        forced = config_of(rule)
        assert (forced["core.hooksPath"], forced["receive.procReceiveRefs"]) == ("/etc/jailssh/ref-hooks", "refs")
        assert ("JAILSSH_REPOSITORY", "%p") in rule.environment
    hooks = ("/etc/jailssh/hooks/update",)
    assert plugin.image(JUDGED, {**settings, "hooks": hooks}).links[0][0] == "/etc/jailssh/hooks/proc-receive"
    with pytest.raises(ConfigError, match="proc-receive cannot be"):
        plugin.image(JUDGED, {**settings, "hooks": ("/etc/jailssh/hooks/proc-receive",)})
    with pytest.raises(ConfigError, match="not found on this host"):
        plugin.image(JAIL, settings)


def test_many_rights_to_references_are_several_variables_and_too_many_are_an_error() -> None:
    rights = tuple(f"push r{n} refs/heads/main ann" for n in range(4000))
    assert lines_of("ann", rights=rights) == [f"push /srv/git/r{n} refs/heads/main" for n in range(4000)]
    check_rules(of("ann", rights=rights)[0].values())
    with pytest.raises(ConfigError, match="10000 lines about references for one account or key are too many"):
        of("ann", rights=tuple(f"push r{n} refs/heads/main ann" for n in range(10_000)))
