"""The journal's catalog: what ``journalctl -x`` says below a record, see systemd.journal-fields(7) and catalogs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import explained

from jailssh.core.journal_fields import MESSAGE_IDS

WIDTH = 78


def catalog() -> str:
    """Return the whole file: an entry for each event, with the reasons that come with it."""
    words = explained.read()
    return "\n".join(line for name, message_id in MESSAGE_IDS.items() for line in _entry(words, name, message_id))


def _entry(words: explained.Explained, name: str, message_id: str) -> Iterator[str]:
    event = words.events[name]
    yield f"-- {message_id}"
    yield f"Subject: {event.subject}"
    yield "Defined-By: jailssh"
    yield "Documentation: man:jailssh-journal(7)"
    yield ""
    yield from textwrap.wrap(event.text, WIDTH)
    reasons = list(words.reasons(name))
    if reasons:
        yield ""
        # A field that the record lacks would be shown by its name.
        here = "" if name == "session-end" else " (here: @JAILSSH_REASON@)"
        yield f"JAILSSH_REASON{here} says why:"
    for code, lines in reasons:
        yield ""
        yield f"{code}:"
        text = " ".join(f"{line[0].upper()}{line[1:].rstrip('.')}." for line in lines)
        yield from textwrap.wrap(text, WIDTH, initial_indent="    ", subsequent_indent="    ")
    yield ""
