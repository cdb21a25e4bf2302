"""Where things lie: what the flags of a mount keep from working, and directories of the host that a jail shows."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from jailssh.core.names import is_below
from jailssh.doctor.case import Case
from jailssh.doctor.step import Fault
from jailssh.files.mounts import mounts_of
from jailssh.host import bounded
from jailssh.publish.account_plan import no_source


@dataclass(frozen=True)
class MountFact:
    """A path of the host that a login needs: ``needs`` are the words of flags that must not be there.

    ``state``: the flags that are, ``missing`` or ``not-a-directory``, or why nobody can tell.
    """

    what: str
    path: str
    needs: frozenset[str]
    state: frozenset[str]
    mounted_at: str


@dataclass(frozen=True)
class _Wanted:
    what: str
    path: str
    needs: frozenset[str]


def collect(case: Case) -> list[MountFact]:
    """Look at all of them in a process that may be stopped: a directory may be on a server that does not answer."""
    wanted = [_Wanted("login program", case.layout.login_program, frozenset(("nosuid", "noexec")))]
    for plan in case.plans:
        jail = f"jail {(plan.first('jail') or ('',))[0]}"
        if row := plan.first("image"):
            wanted.append(_Wanted("image", row[0], frozenset(("noexec",))))
        for record in plan.records:
            # What is opened as the user is of the home, which is looked at as the user.
            if record.verb == "bind" and record.args[4:] == ("root", "must"):
                flags = {"read-only"} if record.args[2] == "rw" else set()
                flags |= {"noexec"} if record.args[3] == "exec" else set()
                wanted.append(_Wanted(jail, record.args[0], frozenset(flags)))
    wanted = list(dict.fromkeys(wanted))
    answer = bounded.ask(
        "directories of the host",
        lambda: json.dumps([_flags(each.path) for each in wanted]).encode(),
        case.seconds,
        ended="cannot be looked at",
    )
    points = [mount.point for mount in mounts_of()]
    return [
        MountFact(each.what, each.path, each.needs, frozenset(state), mount_of(each.path, points))
        for each, state in zip(wanted, json.loads(answer), strict=True)
    ]


def mount_of(path: str, points: Sequence[str]) -> str:
    """Return the mount point that ``path`` is below, by the text of both."""
    above = [each for each in points if is_below(path, each)]
    return max(above, key=len, default="/")


def _flags(path: str) -> list[str]:
    """Return the flags of the mount that a path is on, and what the path is."""
    names = {os.ST_NOSUID: "nosuid", os.ST_NOEXEC: "noexec", os.ST_RDONLY: "read-only"}
    try:
        found = os.statvfs(path)
        words = [name for flag, name in names.items() if found.f_flag & flag]
        return words if stat.S_ISDIR(os.stat(path).st_mode) else [*words, "not-a-directory"]
    except FileNotFoundError:
        return ["missing"]
    except OSError as error:
        return [(error.strerror or str(error)).lower()]


def judge(facts: Sequence[MountFact]) -> list[Fault]:
    """Say which of them keeps a login from working."""
    found = []
    for each in facts:
        is_shown = each.what.startswith("jail ")
        if is_shown and each.state & {"missing", "not-a-directory"}:
            found.append(Fault.of(no_source(each.what.removeprefix("jail "), each.path)))
        elif flags := sorted(each.needs & each.state):
            option = {"nosuid": "suid", "noexec": "exec", "read-only": "rw"}[flags[0]]
            why = f"{each.path} is on {each.mounted_at}, which is mounted {', '.join(flags)}"
            found.append(Fault(each.what, why, f"mount -o remount,{option} {each.mounted_at}; for good: /etc/fstab"))
    return found
