"""Runs in a scratch host: one broken set-up a line on standard input, what doctor says a line on standard output.

In one process, so that a case costs little more than its commands.  A case is broken, looked at, cured where its cure
is to be run, looked at again, and put back.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

from jailssh.doctor.case import Case
from jailssh.doctor.walk import STEPS, Walk, walk
from jailssh.host.paths import Layout

LAYOUT = Layout(prefix="/usr/local")


def shell(command: str) -> str:
    """Run a command; return what went wrong.  What it leaves running may keep its output open."""
    with tempfile.TemporaryFile("w+") as out:
        done = subprocess.run(
            ["bash", "-c", command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False, timeout=10
        )
        out.seek(0)
        return "" if done.returncode == 0 else f"{command}: {done.returncode}: {out.read()}"


QUICK = tuple(step for step in STEPS if step.name != "sshd in use")
"""Without what connects to sshd, which takes longer than all else; the rows about it have it."""


def look(user: str, *, runs: bool) -> Walk:
    return walk(Case(LAYOUT, user, seconds=1.0), everything=False, steps=STEPS if runs else QUICK)


def case(row: dict[str, Any]) -> dict[str, Any]:
    user = os.fsdecode(bytes.fromhex(row["user"]))
    said: dict[str, Any] = {"trouble": [shell(row["breaks"])], "cured": None, "facts": {}}
    began = time.monotonic()
    try:
        found = look(user, runs=row["is_run"])
        said["facts"], said["lines"] = found.facts(), found.lines(everything=False)
        said["seconds"] = time.monotonic() - began
        if row["cure_is_run"]:
            # What stands behind a semicolon is another way; setup asks where nobody says yes.
            hint = found.wrong[0].cure.partition("; ")[0].replace("jailssh setup", "jailssh setup --yes")
            said["trouble"].append(shell(hint))
            said["cured"] = look(user, runs=row["is_run"]).lines(everything=False)
    finally:
        said["trouble"].append(shell(row["back"]))
        said["after"] = look("alice", runs=row["is_run"]).lines(everything=False)
    return said


for line in sys.stdin:
    print(json.dumps(case(json.loads(line))), flush=True)
