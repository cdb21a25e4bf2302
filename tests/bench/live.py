"""``jailssh sessions`` with a thousand sessions, and ``kick`` of five hundred of them."""

from __future__ import annotations

import json
import subprocess
import time

from tests.bench.figures import Goal, Row
from tests.bench.site import LOGIN, PREFIX, Site

SESSIONS, KICKED = 1_000, 500
SHOWN_MS, KICKED_MS = 300.0, 2_000.0
_TRIES = 5
# As sshd starts them, many by one client: each login is a child of its own.
_MANY = """
import os, subprocess, sys
count, login = int(sys.argv[1]), sys.argv[2]
held = [subprocess.Popen([login, "-c", "sleep 3600"], stdin=subprocess.PIPE) for _ in range(count)]
sys.stdin.read()
"""


def measure(site: Site, runs: int) -> list[Row]:
    """Return the times of showing all sessions and of ending half of them, by name of the account."""
    people = [site.jailed, site.other]
    env = site.jailed.environment(LOGIN)
    starters = [
        site.host.popen(
            ["python3", "-c", _MANY, str(KICKED), LOGIN], user=one.name, env=env, stdin=subprocess.PIPE
        )
        for one in people
    ]  # fmt: skip
    return []
