"""Accounts whose login shell is git-shell (git-shell(1))."""

from __future__ import annotations

from jailssh.sources import by_shell, forced
from jailssh.sources.by_shell import Case
from jailssh.sources.forced import home_of
from jailssh.sources.found import Effect, Fate, Found, Host

NAME = "git-shell"
TITLE = "git-shell"
_ACCOUNTS = "/etc/passwd"
_COMMAND = 'git-shell -c "$SSH_ORIGINAL_COMMAND"'
_REFUSES = "no-interactive-login"


def find(host: Host) -> list[Found]:
    """Return the accounts whose login shell is git-shell."""
    every = by_shell.cases(host, NAME, (NAME,), _ACCOUNTS)
    return [by_shell.judged(case) or by_shell.settled(case, _account) for case in every]


def _account(case: Case) -> Found:
    # A forced command that hands the client's own to git-shell lets through the same as git-shell as login shell.
    what = forced.judge(_COMMAND, by_shell.with_sh(case.person), case.host)
    for effect, text in what.notes:
        case.say(effect, text)
    if what.fate is not Fate.MIGRATE:
        return case.found(what.fate, what.why)
    directory = f"{home_of(case.person)}/git-shell-commands"
    if case.host.kind(directory):
        refuses = case.host.kind(f"{directory}/{_REFUSES}")
        text = f"a login without a command gets jailssh's line, not that of {_REFUSES}" if refuses \
            else "a login without a command, which begins git-shell's prompt today"  # fmt: skip
        case.say(Effect.CHANGED if refuses else Effect.LOST, text, directory)
    return case.migrates(what.settings, what.uses, what.called)
