"""The setting after_push: what stands in the plan and in the image, and what can be no line of it."""

from __future__ import annotations

from typing import Any

import pytest

from jailssh.config.values import defaults
from jailssh.core.errors import ConfigError
from jailssh.plugin.api import Account, Jail, Value
from jailssh.policy.rules import check_rules
from jailssh_plugins.git.plugin import plugin

DEPLOY = "/etc/jailssh/hooks/deploy"
SETTINGS: dict[str, Value] = defaults(plugin.options) | {
    "roots": ("/srv/git",), "rights": ("create team/* @devs", "read x bob"),
    "after_push": (f"team/* refs/heads/main {DEPLOY} site", "**  refs/tags/v*  notify", "/srv/git/x refs/** notify"),
}  # fmt: skip
FOUND = {name: f"/usr/bin/{name}" for name in ("git", "notify")}
OURS = {name: f"/usr/libexec/jailssh/{name}" for name in ("jailssh-refs", "jailssh-repos")}
JAIL = Jail("j", ("git",), {**FOUND, **OURS}.get)
LINES = f"/srv/git/team/* refs/heads/main {DEPLOY} site\n/** refs/tags/v* /usr/bin/notify\n"


def given(*roles: str, **settings: Any) -> Any:
    account = Account("git", 999, 999, "git", "/home/git", roles=frozenset(("@all", *roles)))
    return plugin.account(JAIL, account, {**SETTINGS, **settings})


def variables(*roles: str, **settings: Any) -> dict[str, str]:
    rules = {rule.id: rule for rule in given(*roles, **settings).rules}
    check_rules(rules.values())
    assert rules["git.create"].environment[-3:] == rules["git.receive-pack"].environment[-3:]
    return dict(rules["git.receive-pack"].environment)


def test_who_may_push_has_the_lines_in_the_plan() -> None:
    found = variables("@devs")
    assert found["JAILSSH_AFTER"] == f"{LINES}/srv/git/x refs/** /usr/bin/notify"
    assert (found["JAILSSH_AFTER_SECONDS"], found["JAILSSH_REPOSITORY"]) == ("60", "%p")
    assert "/etc/jailssh/ref-hooks" in found.values()
    assert given("@devs").logs and not given("@devs", after_push=()).logs
    assert not any("JAILSSH_AFTER" in dict(rule.environment) for rule in given("bob").rules)


def test_relative_patterns_begin_at_the_first_directory() -> None:
    rules = {rule.id: rule for rule in given(roots=(), rights=(), write=("/srv/a", "/srv/b")).rules}
    assert dict(rules["git.receive-pack"].environment)["JAILSSH_AFTER"].startswith("/srv/a/team/* refs/heads/main ")


def test_rights_to_references_stand_beside_it() -> None:
    rights = ("create team/* refs/heads/** @devs",)
    found = variables("@devs", rights=(*rights, "create team/* @devs"))
    assert "JAILSSH_REFS_0" in found and "JAILSSH_AFTER" in found
    needs = plugin.image(JAIL, {**SETTINGS, "rights": rights})
    assert [path for path, _ in needs.links] == [
        f"/etc/jailssh/ref-hooks/{name}" for name in ("proc-receive", "post-receive")
    ]


def test_the_image_has_the_hook_and_what_it_runs() -> None:
    needs = plugin.image(JAIL, SETTINGS)
    assert needs.links == (("/etc/jailssh/ref-hooks/post-receive", "/usr/libexec/jailssh/jailssh-refs"),)
    assert {DEPLOY, "notify"} <= set(needs.programs)
    hooks = ("/etc/jailssh/hooks/update",)
    assert plugin.image(JAIL, {**SETTINGS, "hooks": hooks}).links[0][0] == "/etc/jailssh/hooks/post-receive"


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"after_push": (f"team/* {DEPLOY}",)}, "is not a repository, a reference and a command"),
        ({"after_push": (f"team/* heads/main {DEPLOY}",)}, "does not say which references"),
        ({"after_push": (f"team/../x refs/** {DEPLOY}",)}, "'team/../x' is not a pattern"),
        ({"after_push": (f"** refs/**/main {DEPLOY}",)}, "'refs/\\*\\*/main' is not a pattern"),
        ({"after_push": (f"** refs/heads/a** {DEPLOY}",)}, "is not a pattern"),
        ({"after_push": ("** refs/** /srv/git/deploy",)}, "is not a file below /etc or /usr"),
        ({"after_push": ("** refs/** /etc/../srv/deploy",)}, "is not a file below /etc or /usr"),
        ({"after_push": ("** refs/** hooks/deploy",)}, "is neither a name nor an absolute path"),
        ({"after_push": ("** refs/** nowhere",)}, "nowhere was not found on this host"),
        ({"after_push": (f"** refs/** {DEPLOY}{' x' * 70}",)}, "more than 60 words"),
        ({"after_push": tuple(f"r{n} refs/** {DEPLOY}" for n in range(3000))}, "3000 lines are too many"),
        ({"after_push_seconds": 0}, "is not a number of seconds from 1 to 3600"),
        ({"hooks": ("/etc/a/post-receive",)}, "cannot be beside after_push"),
    ],
)
def test_what_cannot_be(settings: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        given("@devs", **settings)
        plugin.image(JAIL, {**SETTINGS, **settings})
