"""What is wrong with the host: the set-up, jailsshd, each sshd, unfinished changes.  Looked at whatever else fails."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from jailssh.change import transaction
from jailssh.core.errors import ConfigError, HostError, JailsshError, ManyErrors
from jailssh.daemon import status
from jailssh.doctor.step import Fault
from jailssh.host import sockets
from jailssh.host.paths import Layout
from jailssh.jail.configuration import load_configuration
from jailssh.services import listeners, units
from jailssh.services.listeners import ListenerState
from jailssh.setup import pam, running, setup


@dataclass(frozen=True)
class HostReport:
    """How jailsshd is, what each sshd goes by, and what is wrong."""

    daemon: dict[str, Any]
    servers: list[ListenerState]
    wrong: list[JailsshError]

    def facts(self) -> dict[str, Any]:
        """Return it for programs."""
        servers = [
            {"pid": each.listener.pid, "unit": each.listener.unit, "state": each.state, "why": each.why}
            for each in self.servers
        ]
        wrong = [{"what": error.what, "why": error.why, "hint": error.hint} for error in self.wrong]
        return {"jailsshd": self.daemon, "sshd": servers, "wrong": wrong}

    def lines(self) -> list[str]:
        """Return it for people."""
        told = [f"jailsshd: {self.daemon['state']}" + (f": {line}" if (line := self.daemon.get("line")) else "")]
        told += [f"{each.listener.name()}: {each.state}: {each.why}" for each in self.servers]
        for error in self.wrong:
            told += [f"wrong: {error.what}: {error.why}", *([f"  hint: {error.hint}"] if error.hint else [])]
        return told if self.wrong else [*told, "no problems found on this host"]


def look(layout: Layout) -> HostReport:
    """Look at everything, whatever fails."""
    wrong: list[JailsshError] = []
    daemon = _looked(wrong, lambda: _daemon(layout, wrong), {"state": "unknown"})
    servers = _looked(wrong, lambda: listeners.standings(layout), [])
    for each in (_configuration, about_setup, _unfinished):
        _looked(wrong, lambda each=each: wrong.extend(each(layout)), None)  # type: ignore[misc]
    _looked(wrong, lambda: wrong.extend(running.findings(layout, servers)), None)
    # Several looks may meet the same mistake.
    return HostReport(daemon, servers, list({(error.what, error.why): error for error in wrong}.values()))


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


def _daemon(layout: Layout, wrong: list[JailsshError]) -> dict[str, Any]:
    """Return how the daemon is; adds to ``wrong`` where first logins fail, or go by an old configuration."""
    found = status.read(layout)
    if found is not None:
        if found.trouble:
            wrong.append(ConfigError("jailsshd", found.trouble, hint="jailssh config check"))
        return {"state": "runs", "line": found.line(), **asdict(found)}
    if sockets.is_listened_at(layout.socket):
        return {"state": "starts with the next first login"}
    wrong.append(no_daemon())
    return {"state": "does not run"}


def no_daemon() -> HostError:
    """Return what is wrong where nothing listens on the socket of jailsshd."""
    failed = units.failed()
    why = f"systemd gave up: {', '.join(failed)}" if failed else "no process listens on its socket"
    hint = f"systemctl reset-failed {' '.join(failed)}; " if failed else ""
    return HostError("jailsshd", f"{why}; first logins fail", hint=f"{hint}systemctl enable --now jailsshd.socket")


def _configuration(layout: Layout) -> list[JailsshError]:
    """Return what is wrong with the main file, and with jails that somebody has written."""
    documents = load_configuration(layout).documents
    return [each for each in documents.values() if isinstance(each, JailsshError)]


@dataclass(frozen=True)
class SetupFacts:
    """What is wrong with the set-up, and what beside it: mistakes in jails that keep it from being checked, PAM."""

    wrong: tuple[JailsshError, ...] = ()
    beside: tuple[JailsshError, ...] = ()


def collect_setup(layout: Layout) -> SetupFacts:
    """Compare the host with what the set-up makes of it."""
    if not setup.was_run(layout):
        return SetupFacts((HostError("this host", "is not set up for jails", hint="jailssh setup"),))
    configuration = load_configuration(layout)
    broken = [name for name, each in configuration.documents.items() if isinstance(each, JailsshError)]
    if broken:
        # Which groups a jail has is not known, so what the set-up should be is not either.
        why = f"cannot be checked while these jails have errors: {', '.join(broken)}"
        return SetupFacts((), (ConfigError("setup", why, hint="jailssh config check"),))
    groups = configuration.groups()
    try:
        rest = setup.pending(layout, groups)
    except HostError as error:  # something is missing that no set-up brings
        return SetupFacts((error,))
    wrong = [HostError("setup", f"is out of date: {setup.explained(rest)}", hint="jailssh setup")] if rest else []
    notes = [ConfigError("PAM", note.removeprefix("PAM: ")) for note in pam.notes(layout, groups)]
    return SetupFacts(tuple(wrong), tuple(notes))


def about_setup(layout: Layout) -> list[JailsshError]:
    """Return what is wrong with the set-up, and what keeps the PAM profile from holding."""
    found = collect_setup(layout)
    return [*found.wrong, *found.beside]


def judge_setup(facts: SetupFacts) -> list[Fault]:
    """Say whether the host can serve a login of an account in a jail; what is beside that keeps nobody out."""
    beside = [Fault(each.what, each.why, each.hint, wrong=False) for each in facts.beside]
    return [*(Fault.of(error) for error in facts.wrong), *beside]


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
