"""The account itself: its name, its jail, its group, its login shell, and whether it is expired."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from jailssh.core.errors import JailsshError, UsageError, parts
from jailssh.core.names import check_account_name, escape
from jailssh.doctor.case import Case
from jailssh.doctor.step import Fault
from jailssh.host import accounts
from jailssh.host.accounts import AccountEntry, PasswordAges, UnansweredError
from jailssh.setup import doors, setup

_NOLOGIN = ("/run/nologin", "/var/run/nologin", "/etc/nologin")
_LONGEST = 200
_DAY = 86400


@dataclass(frozen=True)
class NameFacts:
    """What the name service says of a name; ``trouble``: why it could not be asked, or says nothing."""

    name: str
    entry: AccountEntry | None
    trouble: JailsshError | None = None
    others: tuple[str, ...] = ()


def collect_name(case: Case) -> NameFacts:
    """Ask the name service."""
    try:
        check_account_name(case.name)
        entry = accounts.find(case.name)
    except (UsageError, UnansweredError) as error:
        return NameFacts(case.name, None, error)
    if entry is None:
        return NameFacts(case.name, None)
    return NameFacts(case.name, entry, None, tuple(set(accounts.names_of_uid(entry.uid)) - {entry.name}))


def judge_name(facts: NameFacts) -> list[Fault]:
    """Say whether there is such an account, and whether it can be in a jail."""
    what = f"account {facts.name}"
    if facts.trouble is not None:
        cure = facts.trouble.hint or f"getent passwd {facts.name}"
        return [Fault(facts.trouble.what, facts.trouble.why, cure)]
    if facts.entry is None:
        return [Fault(what, "does not exist on this host", f"jailssh adduser {facts.name} --jail JAIL")]
    if facts.entry.uid == 0:
        return [Fault(what, "has uid 0, and root is never jailed", "jailssh adduser NAME --jail JAIL")]
    if facts.entry.name != facts.name:
        why = f"is called {facts.entry.name!r} by the name service"
        return [Fault(what, why, f"jailssh doctor {facts.entry.name}")]
    if facts.others:
        why = f"shares uid {facts.entry.uid} with {', '.join(sorted(facts.others))}: a uid has one jail"
        return [Fault(what, why, f"usermod --uid UID {sorted(facts.others)[0]}", wrong=False)]
    return []


def collect_jail(case: Case) -> list[JailsshError]:
    """Read the configuration and return what is wrong with it for this account."""
    try:
        case.configuration.definition(case.jails)
        case.configuration.keyring(case.name)
    except JailsshError as error:
        return parts(error)
    return []


def judge_jail(errors: Sequence[JailsshError]) -> list[Fault]:
    """Say whether the account is in a jail, and that one is defined."""
    return [Fault(error.what, error.why, _cure(error) or error.hint or "jailssh config check") for error in errors]


def _cure(error: JailsshError) -> str:
    """Return what mends a file or directory that root does not trust, "" for other errors."""
    noun, _, path = error.what.partition(" ")
    if noun in ("file", "directory") and path.startswith("/"):
        for why, command in (("writable by", "chmod go-w"), ("owned by", "chown root")):
            if error.why.startswith(why):
                return f"{command} {path}"
    return ""


@dataclass(frozen=True)
class GroupFacts:
    """What makes sshd confine the account: ``by_name`` it must be in ``group``; ``exists``: there is that group."""

    name: str
    by_name: bool
    exists: bool
    groups: tuple[str, ...]


def collect_group(case: Case) -> GroupFacts:
    """Look at the account's groups."""
    groups = tuple(name for name, _ in case.entry.groups)
    return GroupFacts(case.name, case.by_name, accounts.group_exists(setup.GROUP), groups)


def judge_group(facts: GroupFacts) -> list[Fault]:
    """Say whether sshd and the login program take the account for a jailed one."""
    if not facts.exists:
        return [Fault(f"group {setup.GROUP}", "does not exist", "jailssh setup")]
    if facts.by_name and setup.GROUP not in facts.groups:
        return [Fault(f"account {facts.name}", *doors.not_in_group(facts.name))]
    return []


@dataclass(frozen=True)
class ShellFacts:
    """The login shell, what it should be, and whether programs of this host can change it."""

    name: str
    shell: str
    wanted: str
    local: bool


def collect_shell(case: Case) -> ShellFacts:
    """Look at the login shell."""
    return ShellFacts(case.name, case.entry.shell, case.layout.login_program, accounts.is_local(case.name))


def judge_shell(facts: ShellFacts) -> list[Fault]:
    """Say whether the login shell is the login program."""
    if facts.shell == facts.wanted:
        return []
    return [Fault(f"account {facts.name}", *doors.wrong_shell(facts.shell, facts.wanted, local=facts.local))]


@dataclass(frozen=True)
class StateFacts:
    """What shadow(5) says, the day of today, whether sshd asks PAM, and the file that keeps everybody out."""

    name: str
    ages: PasswordAges | None
    today: int
    uses_pam: bool
    nologin: str = ""
    text: str = ""


def collect_state(case: Case) -> StateFacts:
    """Read shadow's line, and the file of nologin(5) where there is one."""
    place = next((path for path in _NOLOGIN if os.path.lexists(path)), "")
    text = ""
    with suppress(OSError):
        text = _beginning(place) if place else ""
    ages = accounts.password_ages(case.name) if accounts.is_local(case.name) else None
    return StateFacts(case.name, ages, int(time.time()) // _DAY, case.uses_pam, place, text)


def _beginning(path: str) -> str:
    """Return how a file of root's begins; a FIFO has nothing to say, and is not waited for."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return escape(os.read(fd, _LONGEST).decode("utf-8", "surrogateescape").strip(), _LONGEST)
    finally:
        os.close(fd)


def judge_state(facts: StateFacts) -> list[Fault]:
    """Say whether the account, its password or the whole host is closed."""
    found = []
    if facts.nologin:
        why = "exists, so nobody but root can log in" + (f": {facts.text}" if facts.text else "")
        found.append(Fault(facts.nologin, why, f"rm {facts.nologin}"))
    ages, what = facts.ages, f"account {facts.name}"
    if ages is None:
        return found
    if ages.end is not None and facts.today >= ages.end:
        why = f"expired on {_date(ages.end)} (shadow)"
        found.append(Fault(what, why, f"chage --expiredate -1 {facts.name}"))
    if ages.changed == 0:
        why = "must change its password at the next login, which a jail does not allow"
        found.append(Fault(what, why, f"chage --lastday -1 {facts.name}"))
    elif ages.changed is not None and ages.most is not None and facts.today > ages.changed + ages.most:
        why = f"password expired on {_date(ages.changed + ages.most)}, and a jail does not allow to change it"
        found.append(Fault(what, why, f"chage --maxdays -1 {facts.name}"))
    if ages.locked and not facts.uses_pam:
        why = "password is locked with '!', and without UsePAM sshd refuses its keys too"
        found.append(Fault(what, why, f"usermod --password '*' {facts.name}"))
    return found


def _date(days: int) -> str:
    try:
        return time.strftime("%Y-%m-%d", time.gmtime(days * _DAY))
    except (OverflowError, ValueError):
        return f"day {days}"
