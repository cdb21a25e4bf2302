"""Measure and print a table: ``python -m tests.bench [--json FILE] [--page] [--runs N] [--only NAME]``.

Exit status 0 when all goals are met, 1 when not, 2 when it cannot be measured here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from jailssh.core.errors import JailsshError
from tests.bench import (
    accounts,
    builds,
    checks,
    closure,
    idle,
    images,
    journal,
    live,
    login_path,
    logs,
    many,
    page,
    pam,
    plans,
    policy,
    recording,
    sessions,
    ssh,
    trees,
)
from tests.bench.figures import Row, as_json, missed, table
from tests.bench.site import Site, open_site

PARTS: dict[str, Callable[[Site, int], list[Row]]] = {
    "login": login_path.measure,
    "pam": pam.measure,
    "session": sessions.measure,
    "recording": recording.measure,
    "idle": idle.measure,
    "run": trees.measure,
    "plan": plans.measure,
    "policy": policy.measure,
    "ssh": ssh.measure,
    "build": builds.measure,
    "update": images.measure,
    "closure": closure.measure,
    "journal": journal.measure,
    "log": logs.measure,
    "check": checks.measure,
    "accounts": accounts.measure,
    "many": many.measure,
    "live": live.measure,
}


def main() -> int:
    """Do what the module's docstring says."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="jailssh beside Jailkit, bwrap and cp")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE as well")
    parser.add_argument("--page", action="store_true", help="keep the figures for tests/bench/README.md")
    parser.add_argument("--runs", type=int, default=400, metavar="N", help="runs of each program (default 400)")
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this alone; may be repeated")
    args = parser.parse_args()
    parts: dict[str, list[Row]] = {}
    try:
        with open_site() as site:
            for name in args.only or PARTS:
                parts[name] = PARTS[name](site, args.runs)
            facts = site.facts()
    except JailsshError as error:
        print(*error.lines(), sep="\n", file=sys.stderr)
        return 2
    rows = [row for found in parts.values() for row in found]
    print(", ".join(f"{name} {value}" for name, value in facts.items()), table(rows), sep="\n")
    if args.json:
        Path(args.json).write_text(json.dumps({"host": facts, "rows": as_json(rows)}, indent=1) + "\n")
    if args.page:
        page.keep(parts, facts)
    goals = missed(rows)
    for goal in goals:
        print(f"not met: {goal.text}: {goal.value:.3f}, goal {goal.limit:g}")
    return 1 if goals else 0


if __name__ == "__main__":
    sys.exit(main())
