"""``jailssh sessions`` with a thousand sessions, and ``kick`` of five hundred of them."""

from __future__ import annotations

import json
import subprocess
import time

from jailssh.scratch.host import ScratchHost
from tests.bench.figures import Goal, Row
from tests.bench.site import LOGIN, PREFIX, Site

HALF = 500
SHOWN_MS, KICKED_MS = 300.0, 2_000.0
_TRIES = 5
_SECOND = "bench-second"
_MANY = """
import subprocess, sys
held = [subprocess.Popen(["{login}", "-c", "sleep 3600"], stdin=subprocess.PIPE) for _ in range({count})]
sys.stdin.read()
"""


def measure(site: Site, runs: int) -> list[Row]:
    """Return the times of showing all sessions, of ending those of one account and of another one's."""
    site.jailssh("adduser", _SECOND, "--jail", "bench", "--yes")
    env = site.jailed.environment(LOGIN)
    script = _MANY.format(login=LOGIN, count=HALF)
    people = (site.jailed.name, _SECOND)
    starters = [
        site.host.popen(
            ["python3", "-c", script], user=name, env={**env, "USER": name, "LOGNAME": name}, stdin=subprocess.PIPE
        )
        for name in people
    ]
    try:
        site.host.wait_until(lambda: _running(site.host) == 2 * HALF, "a thousand sessions", timeout=120)
        shown = [_once(site.host, "sessions") for _ in range(_TRIES)]
        kicked = [_once(site.host, f"kick {name}") for name in people]
        assert _running(site.host) == 0
    finally:
        for starter in starters:
            starter.kill()
            starter.communicate()
    return [
        Row(f"sessions: {2 * HALF} shown", sorted(shown)[_TRIES // 2], "ms", min(shown), goals=(
            Goal(f"sessions with {2 * HALF} of them (ms)", min(shown), SHOWN_MS),)),
        Row(f"sessions: kick of {HALF}", max(kicked), "ms", min(kicked), goals=(
            Goal(f"kick of {HALF} (ms)", max(kicked), KICKED_MS),)),
    ]  # fmt: skip


def _running(host: ScratchHost) -> int:
    # What starts them is in no jail, which the exit status tells.
    return len(json.loads(host.run([f"{PREFIX}/bin/jailssh", "sessions", "--json"]).stdout)["sessions"])


def _once(host: ScratchHost, command: str) -> float:
    start = time.monotonic()
    host.run(["sh", "-c", f"{PREFIX}/bin/jailssh {command} >/dev/null"], timeout=60)
    return (time.monotonic() - start) * 1000
