"""What is started as an account in a jail by a clock or by the system: cron, at, incron, user managers, units."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from jailssh.checks import pam, setting_aside
from jailssh.core.closed import Word
from jailssh.core.errors import HostError
from jailssh.core.names import is_number
from jailssh.host import install
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.kept import stamp_of
from jailssh.integrity.scene import Scene
from jailssh.publish import crontabs
from jailssh.services import processes, spools, unit_users
from jailssh.setup.looks import Outside, OutsideJail

RUNS = Kind(
    "JSH-501", Severity.HIGH, "job of an account in a jail that runs",
    "It runs what the account has put there outside of the jail, whenever its time has come.",
    "jailssh check --fix sets it aside until deluser",
)  # fmt: skip
WAITS = Kind(
    "JSH-502", Severity.LOW, "job of an account in a jail that PAM refuses",
    "It would run outside of the jail as soon as the PAM profile is not in force.",
    "jailssh check --fix sets it aside until deluser",
)  # fmt: skip
INCRON = Kind(
    "JSH-503", Severity.HIGH, "incron table of an account in a jail",
    "incrond runs its commands outside of the jail when a file changes, and does not ask PAM.",
    "incrontab -u NAME -r, or remove NAME from /etc/incron.allow",
)  # fmt: skip
MANAGER = Kind(
    "JSH-504", Severity.HIGH, "user manager of an account in a jail runs",
    "systemd --user starts units from the home outside of the jail.", "loginctl terminate-user NAME",
)  # fmt: skip
UNIT = Kind(
    "JSH-505", Severity.MEDIUM, "unit that runs as an account in a jail",
    "What the unit starts has the account's rights and its home, and no jail.",
    "give the unit an account of its own: systemctl edit UNIT, User=",
)  # fmt: skip
SYSTEM_CRON = Kind(
    "JSH-506", Severity.MEDIUM, "system crontab with a job of an account in a jail",
    "It runs outside of the jail where PAM admits it, and not at all where PAM refuses it.",
    "give the job another account",
)  # fmt: skip

_INCRON = "/var/spool/incron"
_INCRON_LISTS = ("/etc/incron.allow", "/etc/incron.deny")
_SYSTEM_CRON, _SYSTEM_CRON_FOLDER = "/etc/crontab", "/etc/cron.d"
_CRON_NAME = re.compile(r"[A-Za-z0-9_-]+\Z")
_NO_CRONIE_NAME = re.compile(r"[.#]|.*(?:~|\.rpmsave|\.rpmorig|\.rpmnew)\Z")
_CRONIE = "/usr/sbin/crond"
"""Of cronie, which takes names with dots, too (cron(8))."""
_CRON_LINE = re.compile(r"\s*(?:@\S+|(?:\S+\s+){4}\S+)\s+(\S+)\s+\S")


class Starter(Word):
    """What starts it."""

    CRON = "crontab"
    AT = "at job"
    LINGER = "lingering"
    INCRON = "incron table"
    MANAGER = "user manager"
    UNIT = "unit"
    SYSTEM_CRON = "system crontab"


_PLACES = {Starter.CRON: Outside.SPOOL, Starter.AT: Outside.SPOOL, Starter.LINGER: Outside.LINGER}
"""What can be set aside."""


@dataclass(frozen=True)
class Job:
    """One thing: what starts it, where it is, whose; ``runs``: nothing keeps it from running."""

    starter: Starter
    path: str
    account: str
    jail: str = ""
    runs: bool = False


def collect(scene: Scene) -> list[Job]:
    """Look into the spools of cron, at and incron, at lingering, at units and at what runs."""
    if not scene.jailed:
        return []
    jails = {name: person.jail for name, person in scene.jailed.items()}
    uids = {person.entry.uid: name for name, person in scene.jailed.items()}
    cron = not pam.refuses_cron(scene) or spools.skips_pam()
    inside = frozenset() if crontabs.why_outside(scene.layout) else crontabs.taken(scene.layout)
    tabs = [each for each in _named(spools.CRONTABS, jails) if each[0] not in inside]
    found = [Job(Starter.CRON, path, name, runs=cron) for path, name in tabs]
    found += [Job(Starter.AT, path, name, runs=not pam.refuses_at(scene)) for path, name in _at_jobs(uids)]
    linger = not pam.refuses_managers(scene)
    found += [Job(Starter.LINGER, path, name, runs=linger) for path, name in _named((spools.LINGER,), jails)]
    allowed = incron_lists(_INCRON_LISTS)
    found += [Job(Starter.INCRON, path, name, runs=allowed(name)) for path, name in _named((_INCRON,), jails)]
    found += _managers(scene, uids)
    found += [Job(Starter.UNIT, path, name, runs=True) for path, name in _units(scene, uids)]
    found += [Job(Starter.SYSTEM_CRON, path, name, runs=cron) for path, name in _system_crontabs() if name in jails]
    return [Job(each.starter, each.path, each.account, jails[each.account], each.runs) for each in found]


def _named(folders: Sequence[str], names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Give the files of these folders that have the name of an account."""
    known = set(names)
    for folder in folders:
        with suppress(FileNotFoundError, NotADirectoryError):
            for name in sorted(known & set(os.listdir(folder))):
                if not os.path.isdir(f"{folder}/{name}"):
                    yield f"{folder}/{name}", name


def _at_jobs(uids: dict[int, str]) -> Iterator[tuple[str, str]]:
    for folder in spools.AT_JOBS:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as listing:
            for each in listing:
                owner = -1
                with suppress(FileNotFoundError):  # one that has just run: the others are still there
                    owner = each.stat(follow_symlinks=False).st_uid
                if owner in uids and each.is_file(follow_symlinks=False) and not each.name.startswith("."):
                    yield each.path, uids[owner]


@dataclass(frozen=True)
class Allowed:
    """Who may use incron (incrond(8)): the first list that is there decides."""

    allow: frozenset[str] | None
    deny: frozenset[str] | None

    def __call__(self, name: str) -> bool:
        """Return whether this account may."""
        return name in self.allow if self.allow is not None else self.deny is None or name not in self.deny


def incron_lists(paths: Sequence[str]) -> Allowed:
    """Return what the lists of those who may and may not say; one that others can write may say anything."""
    try:
        found = [install.read_followed(path) for path in paths]
    except HostError:
        return Allowed(None, None)
    return Allowed(*(None if data is None else frozenset(os.fsdecode(data).split()) for data in found))


def _managers(scene: Scene, uids: dict[int, str]) -> Iterator[Job]:
    told = set()
    for process in scene.processes:
        name = uids.get(process.uid)
        if name and name not in told and processes.is_manager(process):
            told.add(name)
            yield Job(Starter.MANAGER, f"process {process.pid}", name, runs=True)


def _units(scene: Scene, uids: dict[int, str]) -> Iterator[tuple[str, str]]:
    paths = unit_users.files()
    rows = scene.kept.get("jobs", "units", stamp_of(paths), lambda: unit_users.users(paths))
    instances = unit_users.instances() if any("%" in user for _, user in rows) else []
    for path, user in unit_users.of_accounts([(path, user) for path, user in rows], instances):
        name = uids.get(int(user)) if is_number(user) else user
        if name in scene.jailed:
            yield path, str(name)


def is_read(name: str, *, cronie: bool) -> bool:
    """Return whether cron reads a file of this name in its directory."""
    return not _NO_CRONIE_NAME.match(name) if cronie else bool(_CRON_NAME.match(name))


def _system_crontabs() -> Iterator[tuple[str, str]]:
    paths, cronie = [_SYSTEM_CRON], os.path.exists(_CRONIE)
    with suppress(FileNotFoundError):
        paths += [f"{_SYSTEM_CRON_FOLDER}/{name}" for name in sorted(os.listdir(_SYSTEM_CRON_FOLDER))]
    for path in paths:
        with suppress(HostError):
            if path != _SYSTEM_CRON and not is_read(os.path.basename(path), cronie=cronie):
                continue
            text = (install.read_followed(path) or b"").decode("utf-8", "surrogateescape")
            yield from ((path, name) for name in users_of_crontab(text))


def users_of_crontab(text: str) -> list[str]:
    """Return the accounts that a system crontab (crontab(5)) has jobs of, each once."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return list(dict.fromkeys(match[1] for line in lines if (match := _CRON_LINE.match(line))))


_KINDS = {
    Starter.INCRON: INCRON, Starter.MANAGER: MANAGER, Starter.UNIT: UNIT, Starter.SYSTEM_CRON: SYSTEM_CRON,
}  # fmt: skip


def judge(facts: Iterable[Job]) -> Iterable[Finding]:
    """Return a finding for each."""
    for each in facts:
        kind = _KINDS.get(each.starter, RUNS)
        if not each.runs and kind in (RUNS, INCRON):
            kind = WAITS
        what = f"{each.starter} of account {each.account}"
        refused = "" if each.runs or kind != WAITS else ", refused until now"
        cure = kind.cure.replace("NAME", each.account).replace("UNIT", unit_users.unit_of(each.path))
        yield Finding(
            kind, what, f"{each.path}{refused}", cure=cure, path=each.path, account=each.account, jail=each.jail
        )


def set_aside(scene: Scene, findings: Sequence[Finding]) -> list[str]:
    """Give crontabs and jobs names that nothing runs, and end lingering; ``deluser`` brings them back."""
    lines: list[str] = []
    jobs = list(collect(scene))
    for name in dict.fromkeys(each.account for each in findings):
        facts = [job for job in jobs if job.account == name and job.starter in _PLACES]
        wanted = {each.path for each in findings}
        found = [OutsideJail(_PLACES[job.starter], job.path, "") for job in facts if job.path in wanted]
        spooled = [each.place for each in found if each.kind == Outside.SPOOL]
        taken = {place: new for place in spooled if os.path.lexists(new := spools.aside(place))}
        lines += setting_aside.set_aside(scene, name, found, taken)
    return lines


CHECK = Check(
    "jobs",
    "cron, at, incron, lingering, user managers and units of accounts in jails",
    (RUNS, WAITS, INCRON, MANAGER, UNIT, SYSTEM_CRON),
    collect,
    judge,
    fixes={RUNS.id: set_aside, WAITS.id: set_aside},
)
