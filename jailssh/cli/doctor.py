"""``jailssh doctor``: what is wrong with this host, looked at without changing anything."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from jailssh.change import transaction
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_FAILED, EXIT_OK, ConfigError, HostError, JailsshError, ManyErrors
from jailssh.daemon import status
from jailssh.host import sockets
from jailssh.host.paths import Layout
from jailssh.jail.configuration import load_configuration
from jailssh.services import listeners, units
from jailssh.users import pam, running, setup

EXAMPLES = ("jailssh doctor", "jailssh doctor --json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments: none of its own."""
    parser.description = (
        "Check the host: is it set up, do sshd and systemd use the files on disk, is a change unfinished, does\n"
        "jailsshd answer and with which configuration.  Change nothing.  To check accounts: jailssh config check\n"
        "Exit status 0: no problems found; 1: problems found."
    )


def run(_args: argparse.Namespace, context: Context) -> int:
    """Look at everything, whatever fails; print what runs and what is wrong."""
    context.need_real_root("doctor")
    layout = context.layout
    wrong: list[JailsshError] = []
    told: list[str] = []
    daemon = _looked(wrong, lambda: _daemon(layout, wrong), {"state": "unknown"})
    servers = _looked(wrong, lambda: listeners.standings(layout), [])
    for look in (_configuration, _set_up, _unfinished):
        _looked(wrong, lambda look=look: wrong.extend(look(layout)), None)  # type: ignore[misc]
    _looked(wrong, lambda: wrong.extend(running.findings(layout, servers)), None)
    # Several looks may meet the same mistake.
    wrong = list({(error.what, error.why): error for error in wrong}.values())
    told.append(f"jailsshd: {daemon['state']}" + (f": {daemon['line']}" if daemon.get("line") else ""))
    told += [f"{each.listener.name()}: {each.state}: {each.why}" for each in servers]
    told += [line for error in wrong for line in _lines(error)]
    told += [] if wrong else ["no problems found on this host"]
    facts = {
        "jailsshd": daemon,
        "sshd": [
            {"pid": each.listener.pid, "unit": each.listener.unit, "state": each.state, "why": each.why}
            for each in servers
        ],
        "wrong": [{"what": error.what, "why": error.why, "hint": error.hint} for error in wrong],
    }
    context.facts(facts, told)
    return EXIT_FAILED if wrong else EXIT_OK


def _looked(wrong: list[JailsshError], look: Callable[[], Any], otherwise: Any) -> Any:
    """Return what ``look`` returns; where it fails that is what is wrong, and the rest is looked at."""
    try:
        return look()
    except ManyErrors as several:
        wrong += several.errors
    except JailsshError as error:
        wrong.append(error)
    except OSError as error:
        what = error.filename if isinstance(error.filename, str) else "system call"
        wrong.append(HostError(what, (error.strerror or str(error)).lower()))
    return otherwise


def _lines(error: JailsshError) -> list[str]:
    return [f"wrong: {error.what}: {error.why}", *([f"  hint: {error.hint}"] if error.hint else [])]


def _daemon(layout: Layout, wrong: list[JailsshError]) -> dict[str, Any]:
    """Return how the daemon is; adds to ``wrong`` where first logins fail, or go by an old configuration."""
    found = status.read(layout)
    if found is not None:
        if found.trouble:
            wrong.append(ConfigError("jailsshd", found.trouble, hint="jailssh config check"))
        return {"state": "runs", "line": found.line(), **asdict(found)}
    if sockets.is_listened_at(layout.socket):
        return {"state": "starts with the next first login"}
    failed = units.failed()
    why = f"systemd gave up: {', '.join(failed)}" if failed else "no process listens on its socket"
    hint = f"systemctl reset-failed {' '.join(failed)}; " if failed else ""
    wrong.append(
        HostError("jailsshd", f"{why}; first logins fail", hint=f"{hint}systemctl enable --now jailsshd.socket")
    )
    return {"state": "does not run"}


def _configuration(layout: Layout) -> list[JailsshError]:
    """Return what is wrong with the main file, and with jails that somebody has written."""
    documents = load_configuration(layout).documents
    return [each for each in documents.values() if isinstance(each, JailsshError)]


def _set_up(layout: Layout) -> list[JailsshError]:
    if not setup.was_run(layout):
        return [HostError("this host", "is not set up for jails", hint="jailssh setup")]
    configuration = load_configuration(layout)
    broken = [name for name, each in configuration.documents.items() if isinstance(each, JailsshError)]
    if broken:
        # Which groups a jail has is not known, so what the set-up should be is not either.
        return [ConfigError("setup", f"cannot be checked while these jails have errors: {', '.join(broken)}")]
    groups = configuration.groups()
    rest = setup.pending(layout, groups)
    found: list[JailsshError] = (
        [HostError("setup", f"is out of date: {setup.explained(rest)}", hint="jailssh setup")] if rest else []
    )
    return [*found, *(ConfigError("PAM", note.removeprefix("PAM: ")) for note in pam.notes(layout, groups))]


def _unfinished(layout: Layout) -> list[JailsshError]:
    if not os.path.isdir(layout.undo):
        return []
    return [
        ConfigError(f"change of {each.subject}", _steps(each), hint=each.hint())
        for each in transaction.unfinished(layout)
        if not each.alive
    ]


def _steps(each: transaction.Unfinished) -> str:
    said = [each.line()]
    said += [f"kept: {', '.join(each.stays)}"] if each.stays else []
    said += [f"to be rolled back: {', '.join(each.goes)}"] if each.goes else []
    return "; ".join(said)
