"""The memory of an idle session, and its processes."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
from pathlib import Path

from jailssh.scratch.host import ScratchHost
from tests.bench.figures import Goal, Row
from tests.bench.site import LOGIN, Site

LIMIT_KIB, SEVERAL_KIB = 320.0, 160.0
SESSIONS = 20


def measure(site: Site, runs: int) -> list[Row]:
    """Return KiB (Pss) beyond the command of a lonely session and of one of several, and the processes of one."""
    alone = _sessions(site, 1)[0]
    several = [sum(session.values()) for session in _sessions(site, SESSIONS)]
    own = sum(alone.values())
    pythons = float(sum("python" in name for name in alone))
    each = statistics.median(several)
    goals = (Goal("idle session: KiB beyond the command", own, LIMIT_KIB),)
    of_many = (Goal(f"idle session, one of {SESSIONS}: KiB beyond the command", each, SEVERAL_KIB),)
    none = (Goal("idle session: Python processes", pythons, 0.0),)
    return [
        Row("idle session, alone", own, "KiB", goals=goals),
        Row(f"idle session, one of {SESSIONS}", each, "KiB", min(several), goals=of_many),
        Row("idle session, processes beside the command", float(len(alone)), "", goals=none),
    ]


def _sessions(site: Site, count: int) -> list[dict[str, float]]:
    """Start ``count`` idle sessions and return of each the KiB by process, without the command's."""
    command = [LOGIN, "-c", "sleep 3600"]
    env = site.jailed.environment(LOGIN)
    logins = [site.host.popen(command, user=site.jailed.name, env=env, stdin=subprocess.PIPE) for _ in range(count)]
    try:
        for login in logins:
            _wait_for_sleep(site.host, login.pid)
        return [_memory(login.pid) for login in logins]
    finally:
        for login in logins:
            os.killpg(login.pid, 15)
            login.communicate()


def _wait_for_sleep(host: ScratchHost, pid: int) -> None:
    host.wait_until(lambda: "sleep" in map(_name, _descendants(pid)), "an idle session")


def _memory(pid: int) -> dict[str, float]:
    """Return the Pss in KiB (proc(5), smaps_rollup) of each process below ``pid`` that is not the command."""
    found = {}
    for process in _descendants(pid):
        if _name(process) != "sleep":
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            found[f"{_name(process)} {process}"] = sum(float(x.split()[1]) for x in lines if x.startswith("Pss:"))
    return found


def _descendants(pid: int) -> list[int]:
    """Return all processes below ``pid``."""
    below: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):  # it ended meanwhile
                after = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                below.setdefault(int(after[1]), []).append(int(entry))
    found, rest = [], [pid]
    while rest:
        children = below.get(rest.pop(), [])
        found += children
        rest += children
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
