"""Processes of accounts in jails that are outside of any jail right now."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from jailssh.checks import jobs
from jailssh.core.names import pluralize
from jailssh.host.paths import Layout
from jailssh.integrity import census
from jailssh.integrity.census import ProcessSeen
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.scene import Scene
from jailssh.services.sessions import SSHD

OUTSIDE = Kind(
    "JSH-521", Severity.HIGH, "process of an account in a jail that is in none",
    "It has all that the account's rights give on this host, and may have been there before the jail or come by "
    "another way in.",
    "find out what started it, then end it: ps -o pid,ppid,lstart,cgroup,cmd -p PID",
)  # fmt: skip
ELSEWHERE = Kind(
    "JSH-522", Severity.MEDIUM, "process of an account in a jail that is in namespaces of others",
    "It is in a container or in namespaces that no login program has made.",
    "find out what started it, then end it: ps -o pid,ppid,lstart,cgroup,cmd -p PID",
)  # fmt: skip

_SYSTEM = ("/usr/", "/sbin/", "/bin/", "/lib/")
_MOST_TOLD = 5
_ZOMBIE = b"Z"


@dataclass(frozen=True)
class Facts:
    """Processes outside by account, and those in namespaces of others; each account's jail."""

    outside: Mapping[str, tuple[ProcessSeen, ...]]
    elsewhere: Mapping[str, tuple[ProcessSeen, ...]]
    jails: Mapping[str, str]


def collect(scene: Scene) -> Facts:
    """Sort the processes of accounts in jails by where they are."""
    names = {person.entry.uid: name for name, person in scene.jailed.items()}
    outside, elsewhere = sort(scene.processes, names, scene.layout)
    return Facts(outside, elsewhere, {name: person.jail for name, person in scene.jailed.items()})


def sort(
    processes: Iterable[ProcessSeen], names: Mapping[int, str], layout: Layout, known: Iterable[str] = ()
) -> tuple[dict[str, tuple[ProcessSeen, ...]], dict[str, tuple[ProcessSeen, ...]]]:
    """Return by account the processes that are in no jail, and those in namespaces of others.

    ``names``: of the accounts in jails, by uid.  ``known``: pid namespaces of jails, beside those of the login program
    among the processes, as :func:`os.readlink` names them.
    """
    outside: dict[str, list[ProcessSeen]] = {}
    inner: dict[str, list[ProcessSeen]] = {}
    spaces = set(known)
    for process in processes:
        name = names.get(process.uid) or names.get(process.euid)
        if name is None or jobs.is_manager(process):
            continue
        if is_ours(process.program, layout) and _is_really_ours(process):
            if not process.here and _link(process.pid, "user") == _link(None, "user"):
                spaces.add(_link(process.pid, "pid"))
        elif not process.here:
            inner.setdefault(name, []).append(process)
        elif process.program or not _has_ended(process.pid):
            outside.setdefault(name, []).append(process)
    elsewhere = {
        name: found
        for name, processes in inner.items()
        if (found := tuple(each for each in processes if (space := _link(each.pid, "pid")) and space not in spaces))
    }
    return {name: tuple(found) for name, found in outside.items()}, elsewhere


def is_ours(program: str, layout: Layout) -> bool:
    """True if a process with this program may be a half of a login: the login program's, or a session of sshd's."""
    program = program.removesuffix(census.DELETED)
    return os.path.dirname(program) == os.path.dirname(layout.login_program) or _is_sshd(program)


def _is_sshd(program: str) -> bool:
    return os.path.basename(program) in SSHD and program.startswith(_SYSTEM)


def _is_really_ours(process: ProcessSeen) -> bool:
    """True if the program is the file of that name, and a session of sshd's the child of root's sshd.

    In a mount namespace of its own an account can put any program where that name is; and it can start sshd itself.
    """
    if not census.runs_what_it_says(process):
        return False
    return not _is_sshd(process.program.removesuffix(census.DELETED)) or census.is_root_s_child(process)


def _has_ended(pid: int) -> bool:
    """True if the process is gone, or a zombie, which has no program either."""
    try:
        return census.stat_of(pid)[0] == _ZOMBIE
    except (OSError, IndexError):
        return True


def _link(pid: int | None, space: str) -> str:
    """Return what names a namespace of a process, None for this one; "" for one that has ended."""
    try:
        return os.readlink(f"/proc/{'self' if pid is None else pid}/ns/{space}")
    except OSError:
        return ""


def judge(facts: Facts) -> Iterable[Finding]:
    """Return a finding for each account."""
    for kind, groups in ((OUTSIDE, facts.outside), (ELSEWHERE, facts.elsewhere)):
        for name, processes in groups.items():
            pids = ",".join(str(each.pid) for each in processes[:_MOST_TOLD])
            why = f"{pluralize(len(processes), 'process', 'es')}: {', '.join(_told(processes))}"
            jail = facts.jails.get(name, "")
            cure = kind.cure.replace("PID", pids)
            yield Finding(kind, f"account {name}", why, cure=cure, account=name, jail=jail)


def _told(processes: Iterable[ProcessSeen]) -> Iterator[str]:
    for number, each in enumerate(processes):
        if number == _MOST_TOLD:
            yield "and more"
            return
        yield f"{each.pid} {each.program or each.name}"


CHECK = Check(
    "processes", "processes of accounts in jails that are in none", (OUTSIDE, ELSEWHERE), collect, judge
)  # fmt: skip
