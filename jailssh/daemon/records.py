"""The daemon's journal records."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress

from systemd import journal

from jailssh.core.journal_fields import EVENT, MESSAGE_IDS, Event
from jailssh.core.names import escape

INFO, WARNING = 6, 4
Send = Callable[[Event, str, dict[str, str]], None]
"""Takes the event, the message for people, and the fields."""


def send(event: Event, message: str, fields: dict[str, str]) -> None:
    """Write one record; without a journal it goes to stderr, so that a plain start leaves a trace too."""
    text = escape(message, 2000)
    try:
        journal.send(
            text,
            MESSAGE_ID=MESSAGE_IDS[event],
            PRIORITY=str(WARNING if event == Event.PLAN_FAILED else INFO),
            SYSLOG_IDENTIFIER="jailsshd",
            **{EVENT: event},
            **{name: escape(value, 2000) for name, value in fields.items()},
        )
    except (OSError, ValueError) as error:
        # Nobody may listen there either: a record is lost then, a login is not.
        with suppress(OSError, ValueError):
            print(f"jailsshd: {text} (no journal: {error})", file=sys.stderr, flush=True)
