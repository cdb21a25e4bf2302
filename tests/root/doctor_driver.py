"""Runs in a scratch host: one broken set-up a line on standard input, what doctor says of it a line on standard output.

In one process, so that a case costs little more than its commands.  A case is broken, looked at, cured where its cure is
to be run, looked at again, and put back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from jailssh.doctor import home, keys, mounts, pam, past
from jailssh.doctor.walk import walk
from jailssh.host.paths import Layout

LAYOUT = Layout(prefix="/usr/local")
for module in (home, keys, mounts, pam, past):
    module.SECONDS = 1.0  # What hangs here hangs for ever.


def shell(command: str) -> str:
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    return "" if done.returncode == 0 else f"{command}: {done.returncode}: {done.stdout}{done.stderr}"


def look(user: str) -> list[str]:
    return walk(LAYOUT, user, everything=False).lines(everything=False)


def case(row: dict[str, Any]) -> dict[str, Any]:
    user = os.fsdecode(bytes.fromhex(row["user"]))
    said: dict[str, Any] = {"trouble": [shell(row["breaks"])], "cured": None, "facts": {}}
    try:
        found = walk(LAYOUT, user, everything=True)
        said["facts"], said["lines"] = found.facts(), look(user)
        if row["cure_is_run"]:
            hint = said["lines"][1].removeprefix("  hint: ") if len(said["lines"]) > 1 else "false"
            said["trouble"].append(shell(hint.partition("; ")[0]))
            said["cured"] = look(user)
    finally:
        said["trouble"].append(shell(row["back"]))
        said["after"] = look("alice")
    return said


for line in sys.stdin:
    print(json.dumps(case(json.loads(line))), flush=True)
