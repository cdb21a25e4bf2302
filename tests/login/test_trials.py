"""What the shipped plugins announce for real logins, judged by the real matcher: uses are allowed, attacks are not."""

from __future__ import annotations

from typing import Any

import pytest

from jailssh.plugin.api import Jail
from jailssh.plugin.trials import DENIED, PLACE, TOKEN, Trial, Tried
from jailssh.selftest.general import Powers, commands
from jailssh.selftest.trying import Words
from tests.login.jails import ALICE, JAILS, PROGRAMS, value

pytestmark = pytest.mark.needs("login-program")

# Whether there is a repository shows only inside of a jail.
OF_REPOSITORIES = ("git.fetch", "git.push", "git.no-")


def trials_of(name: str) -> list[Trial]:
    jail = Jail(name, tuple(plugin.name for plugin, _ in JAILS[name]), PROGRAMS.get)
    found: list[Trial] = []
    for plugin, given in JAILS[name]:
        texts = {option.name: option.default for option in plugin.options} | given
        settings = {option.name: value(option.kind, texts[option.name]) for option in plugin.options}
        assert isinstance(plugin, Tried)
        found += plugin.trials(jail, ALICE, settings)
    return found


def filled(trial: Trial) -> Trial:
    place = f"{trial.place}/{'' if trial.visible else '.'}jailssh-selftest.x"
    done = Words(place, "0123abcd").trial(trial)
    assert not {PLACE, TOKEN} & {word for word in (PLACE, TOKEN) if word in str(done)}
    return done


@pytest.mark.parametrize("name", sorted(set(JAILS) - {"shell"}))
def test_commands_are_judged_as_announced(decide: Any, name: str) -> None:
    trials = trials_of(name)
    assert trials
    ids = [trial.id for trial in trials]
    assert sorted(set(ids)) == sorted(ids)
    for trial in map(filled, trials):
        if not trial.command or (trial.attack and trial.exits != DENIED):
            continue
        if not trial.attack and trial.id.startswith(OF_REPOSITORIES):
            continue
        verdict = decide(name, trial.command)
        allowed = isinstance(verdict, tuple) and len(verdict) == 2 and isinstance(verdict[1], list)
        assert allowed is not trial.attack, (trial.id, trial.command, verdict)


@pytest.mark.parametrize("name", sorted(set(JAILS) - {"shell"}))
def test_what_stands_behind_a_use_is_denied(decide: Any, name: str) -> None:
    uses = [trial for trial in trials_of(name) if not trial.attack]
    names = frozenset(("id", "true") if name == "command" else ())
    powers = Powers(free=False, login=False, sftp=True, network=False, names=names)
    for trial in map(filled, commands(powers, uses, 22)):
        verdict = decide(name, trial.command)
        assert not (isinstance(verdict, tuple) and isinstance(verdict[1], list)), (trial.command, verdict)
