"""``linger = yes``: what it makes of a plan, and what a jail that says so cannot also say."""

from __future__ import annotations

import pytest

from jailssh.config import files, jails, reader
from jailssh.core.errors import JailsshError
from jailssh.core.names import HostPath
from jailssh.jail.definition import JailDefinition
from jailssh.jail.this_host import SAMPLE_ACCOUNT
from jailssh.plan.compile import compile_plan
from jailssh.plugin.api import Jail
from jailssh.plugin.registry import load_registry
from tests.login.jails import PROGRAMS

REGISTRY = load_registry()
MAIN = files.read_main("", "m.conf")
FILTER = ("x86_64", bytes(8))


def definition(text: str) -> JailDefinition:
    config = jails.read_jail("j", reader.read_document(text, "j.conf"), REGISTRY.options, frozenset(REGISTRY.plugins))
    plugins = tuple(REGISTRY.get(name) for name in config.plugins)
    return JailDefinition(config, plugins, Jail("j", config.plugins, PROGRAMS.get))


def verbs(text: str) -> list[str]:
    found = definition(text)
    found.check_plan(MAIN, SAMPLE_ACCOUNT)
    plan = compile_plan(SAMPLE_ACCOUNT, found.settings(MAIN), found.results(SAMPLE_ACCOUNT), HostPath("/image"), FILTER)
    return [record.verb for record in plan.records]


def test_the_plan_has_it_where_the_jail_says_so() -> None:
    found = verbs("plugins = shell\nlinger = yes\n")
    assert found.count("linger") == 1
    assert found[found.index("linger") + 1] == "image"
    assert "linger" not in verbs("plugins = shell\n")
    assert "linger" not in verbs("plugins = shell\nlinger = no\n")


def fault(text: str, user: str | None = None) -> list[str]:
    own = None if user is None else files.read_user(user, "u.conf", "user")
    with pytest.raises(JailsshError) as caught:
        definition(text).check_plan(MAIN, SAMPLE_ACCOUNT, own)
    return [line.removeprefix("jailssh: ") for line in caught.value.lines()]


@pytest.mark.parametrize("bound", ["max_duration = 8h", "hours = mon-fri 08:00-18:00"])
def test_what_goes_on_would_outlast_the_end_of_a_session(bound: str) -> None:
    name = bound.split()[0]
    why = f"{name} cannot hold what linger = yes (j.conf:2) keeps running"
    assert fault(f"plugins = shell\nlinger = yes\n[limits]\n{bound}\n")[0] == f"j.conf:4: {why}"
    assert "linger" in verbs(f"plugins = shell\nlinger = yes\n[limits]\n{name} =\nidle_timeout = 1h\n")
    verbs(f"plugins = shell\nlinger = no\n[limits]\n{bound}\n")


def test_the_hours_of_one_account() -> None:
    text = "plugins = shell\nlinger = yes\n"
    told = fault(text, "uid = 1000\njail = j\n[limits]\nhours = mon-fri 08:00-18:00\n")
    assert told[0] == "u.conf:4: hours cannot hold what linger = yes (j.conf:2) keeps running"
    definition(text).check_plan(
        MAIN,
        SAMPLE_ACCOUNT,
        files.read_user("uid = 1000\njail = j\n[limits]\nexpires = 2040-01-31\n", "u.conf", "user"),
    )


@pytest.mark.parametrize("plugins", ["sftp", "sftp rsync"])
def test_a_jail_that_runs_nothing_of_the_accounts_own(plugins: str) -> None:
    told = fault(f"plugins = {plugins}\nlinger = yes\n[rsync]\nwrite = ~/d\n" if "rsync" in plugins
                 else f"plugins = {plugins}\nlinger = yes\n")  # fmt: skip
    assert told[0] == (
        "j.conf:2: linger = yes has no effect: no plugin of the jail can leave anything in the background"
    )
