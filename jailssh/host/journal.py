"""Journal records of the command: who changed the set-up, and how."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from jailssh.core.journal_fields import EVENT, MESSAGE_IDS
from jailssh.core.names import escape

LIMIT = 2000
_WARNING, _NOTICE = "4", "5"
_WARNINGS = ("image-failed",)


def record(event: str, message: str, fields: Mapping[str, str]) -> None:
    """Write one record about ``event`` (a name in ``MESSAGE_IDS``); without a journal there is none."""
    # Imported here: the command must work where the binding cannot be loaded, and most verbs write no record.
    with suppress(OSError, ImportError):
        from systemd import journal

        journal.send(
            escape(message, LIMIT),
            MESSAGE_ID=MESSAGE_IDS[event],
            PRIORITY=_WARNING if event in _WARNINGS else _NOTICE,
            SYSLOG_IDENTIFIER="jailssh",
            **{EVENT: event},
            **{name: escape(value, LIMIT) for name, value in fields.items()},
        )
