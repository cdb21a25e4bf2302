"""One run of the audit: kept, compared with those before it, told in every way that the administrator has named."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jailssh.audit import history, telling
from jailssh.audit.compare import Comparison, compare, with_since
from jailssh.config.files import MainConfig
from jailssh.core.errors import JailsshError
from jailssh.host.paths import Layout

_COMPARED = 400
"""Runs before this one that are looked through for what comes back."""


@dataclass(frozen=True)
class Done:
    """The run with what became of its findings, and what failed on the way."""

    facts: dict[str, Any]
    found: Comparison
    errors: tuple[JailsshError, ...]


def finish(layout: Layout, main: MainConfig, facts: dict[str, Any], now: float, seconds: float) -> Done:
    """Keep a run, compare it, tell it; ``seconds``: how long it took.

    What cannot be kept or told in one way is told in the others.
    """
    errors: list[JailsshError] = []
    before: list[dict[str, Any]] = []

    def look_back() -> None:
        before.extend(history.look_back(layout, errors, _COMPARED))

    def keep() -> None:
        history.keep(layout, facts)
        history.prune(layout, now, main.audit_keep)

    try:
        with history.locked(layout):
            _try(errors, look_back)
            facts = with_since(facts, before[-1] if before else None)
            found = compare(facts, before)
            _try(errors, keep)
    except (JailsshError, OSError) as error:
        # No room even for the lock: what was found is told all the same.
        errors.append(_as_error(error))
        facts = with_since(facts, before[-1] if before else None)
        found = compare(facts, before)
    for way in _ways(layout, main, facts, found, seconds):
        _try(errors, way)
    return Done(facts, found, tuple(errors))


def _ways(
    layout: Layout, main: MainConfig, facts: dict[str, Any], found: Comparison, seconds: float
) -> list[Callable[[], None]]:
    ways: list[Callable[[], None]] = [lambda: telling.to_journal(facts, found)]
    if main.audit_textfile:
        ways.append(lambda: telling.write_textfile(main.audit_textfile, telling.textfile(facts, seconds)))
    # A mail and a command are for what has changed; the same every night is soon read by nobody.
    if found.worse or found.mended or facts["unseen"]:
        if main.audit_mail:
            host = os.uname().nodename
            ways.append(lambda: telling.send_mail(telling.mail_text(facts, found, main.audit_mail, host)))
        if main.audit_command:
            ways.append(lambda: telling.run_command(main.audit_command, facts, found, layout.root or None))
    return ways


def _try(errors: list[JailsshError], act: Callable[[], object]) -> None:
    try:
        act()
    except (JailsshError, OSError) as error:
        errors.append(_as_error(error))
    except ValueError as error:  # an address that no mail can have
        errors.append(JailsshError("audit", str(error)))


def _as_error(error: JailsshError | OSError) -> JailsshError:
    if isinstance(error, JailsshError):
        return error
    return JailsshError(str(error.filename or "audit"), (error.strerror or str(error)).lower())
