"""Processes of accounts in jails that are outside of any jail right now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from jailssh.core.names import pluralize
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.scene import Scene
from jailssh.services import processes
from jailssh.services.processes import ProcessSeen

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

_MOST_TOLD = 5


@dataclass(frozen=True)
class Facts:
    """Processes outside by account, and those in namespaces of others; each account's jail."""

    outside: Mapping[str, tuple[ProcessSeen, ...]]
    elsewhere: Mapping[str, tuple[ProcessSeen, ...]]
    jails: Mapping[str, str]


def collect(scene: Scene) -> Facts:
    """Sort the processes of accounts in jails by where they are."""
    names = {person.entry.uid: name for name, person in scene.jailed.items()}
    outside, elsewhere = processes.sort(scene.processes, names, scene.layout)
    return Facts(outside, elsewhere, {name: person.jail for name, person in scene.jailed.items()})


def judge(facts: Facts) -> Iterable[Finding]:
    """Return a finding for each account."""
    for kind, groups in ((OUTSIDE, facts.outside), (ELSEWHERE, facts.elsewhere)):
        for name, found in groups.items():
            pids = ",".join(str(each.pid) for each in found[:_MOST_TOLD])
            why = f"{pluralize(len(found), 'process', 'es')}: {', '.join(_told(found))}"
            jail = facts.jails.get(name, "")
            cure = kind.cure.replace("PID", pids)
            yield Finding(kind, f"account {name}", why, cure=cure, account=name, jail=jail)


def _told(found: Iterable[ProcessSeen]) -> Iterator[str]:
    for number, each in enumerate(found):
        if number == _MOST_TOLD:
            yield "and more"
            return
        yield f"{each.pid} {each.program or each.name}"


CHECK = Check(
    "processes", "processes of accounts in jails that are in none", (OUTSIDE, ELSEWHERE), collect, judge
)  # fmt: skip
