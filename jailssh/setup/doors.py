"""The doors beside the jail, of accounts that are in one: what ``apply`` closes, and what it and ``config check`` tell.

An account may change after it was taken in: another shell, a group that is root in disguise, sudo.  So may the host:
an earlier Match block of sshd's, a mail server that reads other files, PAM's files edited by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from jailssh.change import transaction
from jailssh.change.transaction import Journal
from jailssh.change.undo import Operation, UndoAction, take_back
from jailssh.core.errors import ConfigError, JailsshError
from jailssh.host import accounts
from jailssh.host.accounts import AccountEntry, UnansweredError
from jailssh.host.paths import Layout
from jailssh.jail.configuration import Configuration
from jailssh.jail.this_host import to_account
from jailssh.services import mail, sshd
from jailssh.setup import looks, pam, people, running, setup


def jailed(
    configuration: Configuration,
    errors: list[JailsshError] | None = None,
    *,
    local: bool = False,
    known: Mapping[str, AccountEntry] | None = None,
) -> list[AccountEntry]:
    """Return the accounts of :func:`people.names` that are in a jail, by name; with ``local`` no directory's.

    Whom the name service cannot tell is left out, and why is added to ``errors``.  ``known``: local ones of which that
    is known, by name.
    """
    names, uids = people.names(configuration), accounts.local_uids()
    found = []
    for name in sorted(names & uids.keys() if local else names):
        if known and name in known:
            found.append(known[name])
            continue
        try:
            entry = configuration.host.find_entry(name)
        except UnansweredError as error:
            if errors is not None:
                errors.append(error)
            continue
        # A jail file with a mistake is told by the configuration itself; who would be in it stays shut out.
        with suppress(JailsshError):
            if local and entry is not None and entry.uid != uids[name]:
                continue  # A directory has the name too, and is asked first: the file's line is nobody's.
            if entry is not None and entry.uid and configuration.jails_for(to_account(entry)):
                found.append(entry)
    return found


def set_shells(
    layout: Layout,
    configuration: Configuration,
    *,
    act: bool,
    errors: list[JailsshError] | None = None,
    known: Mapping[str, AccountEntry] | None = None,
) -> list[str]:
    """Make the login program the shell of local accounts in a jail; give those that left a group theirs back.

    Call under the lock of the set-up.  Returns lines that say what changed, or would.  ``errors``, ``known``:
    as for :func:`jailed`; nobody gets a shell back while somebody cannot be looked up.
    """
    login = layout.login_program
    if (forced := sshd.forced_program(layout)) not in (None, login):
        # sshd and PAM go by the other one: with this one as their shell all accounts would be shut out.
        why = f"is of another installation: it forces {forced}, and not {login}"
        error = ConfigError(layout.sshd_drop_in, why, hint="jailssh setup")
        if errors is None:
            raise error
        errors.append(error)
        return []
    journal = Journal(layout, setup.SHELLS)
    unknown: list[JailsshError] = []
    lines: list[str] = []
    try:
        inside = {entry.name: entry for entry in jailed(configuration, unknown, local=True, known=known)}
        # A group that this host does not know may be one that its directory service does not tell just now.
        all_known = not unknown and all(accounts.group_exists(group) for group in configuration.groups())
    except UnansweredError as error:  # not even who is in the groups
        unknown.append(error)
        inside, all_known = {}, False
    if errors is not None:
        errors += unknown
    for step in [step for step in journal.original if all_known and step.key not in inside]:
        entry = accounts.find(step.key)
        if entry is not None and entry.shell == login:
            lines.append(f"{step.key}: no longer in a jail, login shell {step.args[1]} again")
        if act:
            take_back([step])
            journal.original = [each for each in journal.original if each is not step]
            journal.commit()
    for name, entry in inside.items():
        if entry.shell == login:
            continue
        lines.append(f"{name}: login shell {login} (was {entry.shell})")
        if act:
            _set_shell(journal, entry, login)
    return lines


def _set_shell(journal: Journal, entry: AccountEntry, login: str) -> None:
    # An older note about an account of this name is about another shell, or another account.
    journal.original = [step for step in journal.original if step.key != entry.name]
    inverse = UndoAction(Operation.SHELL, entry.name, (entry.uid, entry.shell, login))
    with journal.changing(f"login shell of {entry.name}", "jailssh apply"):
        journal.step(f"shell of {entry.name}", inverse, lambda: accounts.set_shell(entry.name, login), confines=True)
        journal.commit()


def findings(
    layout: Layout, configuration: Configuration, known: Mapping[str, AccountEntry] | None = None
) -> list[ConfigError]:
    """Return what is open beside the jails of this host; nothing where nobody is in one.  ``known``: see above."""
    unfinished = [each for each in transaction.unfinished(layout) if not each.alive]
    begun = [ConfigError(each.subject, each.line(), hint=each.hint()) for each in unfinished]
    return [*begun, *running.findings(layout), *_open_doors(layout, configuration, known)]


def _open_doors(
    layout: Layout, configuration: Configuration, known: Mapping[str, AccountEntry] | None
) -> list[ConfigError]:
    inside = jailed(configuration, known=known)
    if not inside and not configuration.groups():
        return []
    found = [_as_error(*each) for each in mail.findings(layout.deliver_program)]
    found += [ConfigError("PAM", note.removeprefix("PAM: ")) for note in pam.notes(layout, configuration.groups())]
    sudo, named = looks.SudoFiles(), {*configuration.user_names()}
    for entry in inside:
        found += _about(layout, configuration, entry, sudo, by_name=entry.name in named)
    return [*found, *_about_sshd(layout, inside)]


def _as_error(what: str, why: str, hint: str) -> ConfigError:
    return ConfigError(what, why, hint=hint)


def _about(
    layout: Layout, configuration: Configuration, entry: AccountEntry, sudo: looks.SudoFiles, *, by_name: bool
) -> list[ConfigError]:
    what = f"account {entry.name}"
    found = []
    if entry.shell != layout.login_program:
        found.append(
            _as_error(what, *wrong_shell(entry.shell, layout.login_program, local=accounts.is_local(entry.name)))
        )
    if by_name and setup.GROUP not in {name for name, _ in entry.groups}:
        found.append(_as_error(what, *not_in_group(entry.name)))
    if strong := looks.strong_groups(entry, configuration.main.deny_groups):
        why = f"member of group {', '.join(map(repr, strong))}, which can escape any jail"
        found.append(_as_error(what, why, f"gpasswd --delete {entry.name} {strong[0]}"))
    if rights := looks.sudo_rights(entry, sudo):
        why = f"sudo allows it to run commands as others: {rights}"
        found.append(_as_error(what, why, "remove it from /etc/sudoers and /etc/sudoers.d: visudo"))
    return found


def wrong_shell(shell: str, login_program: str, *, local: bool) -> tuple[str, str]:
    """Return what is to be said of an account in a jail with another login shell, and the cure."""
    why = f"login shell is {shell!r}, expected {login_program!r}: PAM refuses its logins"
    return why, "jailssh apply" if local else "set it in the directory service (SSSD: override_shell)"


def not_in_group(name: str) -> tuple[str, str]:
    """Return what is to be said of an account that has a file of ours and is not in our group, and the cure."""
    why = f"has a jail but is not in group {setup.GROUP}, by which sshd finds it: PAM refuses its logins"
    return why, f"gpasswd --add {name} {setup.GROUP}"


def _about_sshd(layout: Layout, inside: Sequence[AccountEntry]) -> list[ConfigError]:
    """Return where sshd would do something else than the drop-in says: every account is asked about where a Match block
    stands before it, else one for all."""
    config = sshd.main_config(layout)
    found = []
    try:
        earlier = sshd.earlier_matches(layout)
        for entry in inside if earlier else inside[:1]:
            try:
                found += about_server(layout, entry, sshd.effective(entry.name, config), earlier)
            except JailsshError as error:
                found.append(ConfigError(error.what, error.why, hint=error.hint))
    except JailsshError as error:
        found.append(ConfigError(error.what, error.why, hint=error.hint))
    return found


def about_server(
    layout: Layout, entry: AccountEntry, values: Mapping[str, list[str]], earlier: Sequence[str]
) -> list[ConfigError]:
    """Return where ``values``, sshd's for this account, are not what the drop-in says.

    ``earlier``: the Match blocks that sshd reads before it.
    """
    by_name = setup.GROUP in {name for name, _ in entry.groups}
    try:
        sshd.check_forced(values, layout, entry.name, home_keys=not by_name)
    except JailsshError as error:
        first = f"; {earlier[0]} is read first" if earlier else ""
        return [ConfigError(error.what, error.why + first, hint=error.hint)]
    return []
