"""The action ``merge`` of ``jailssh audit``: the checks of many hosts on one page."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from jailssh.audit import fleet, history
from jailssh.console import output
from jailssh.console.context import Context
from jailssh.console.inputs import read_named
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, JailsshError, UsageError
from jailssh.core.names import escape

_MOST = 64 << 20


def merge(files: Sequence[str], context: Context) -> int:
    """Print the page of what hosts have printed into ``files``; return the exit status: 1 where a part is missing.

    Of several runs of one host the last counts; a file that is none is told, and the others are shown.
    """
    if files.count("-") > 1:
        raise UsageError("-", "is given twice")
    hosts: dict[str, dict[str, Any]] = {}
    notes = []
    for file in files:
        shown = escape(file)
        try:
            run = history.parsed(read_named(file, shown, _MOST, "the checks of a host"))
        except ValueError:
            notes.append(f"{shown}: is not what 'jailssh check --json' prints")
            continue
        except JailsshError as error:
            notes.append(f"{error.what}: {error.why}")
            continue
        stem = os.path.basename(file).removesuffix(".json") if file != "-" else "standard input"
        name = str(run.get("host") or stem)
        # Written in UTC, so the later one is the greater text.
        if name not in hosts or str(run.get("when", "")) > str(hosts[name].get("when", "")):
            hosts[name] = run
    if not hosts:
        raise JailsshError("audit merge", "; ".join(notes), hint="on each host: jailssh check --json")
    found = fleet.Fleet(hosts, time.time(), notes)
    missing = found.missing()
    for line in missing:
        context.tell(f"jailssh: {line}")
    if context.json:
        context.facts(found.facts(), [])
    else:
        print(fleet.page(found), end="")
    return output.status_of_own(EXIT_FAILED if missing else EXIT_OK)
