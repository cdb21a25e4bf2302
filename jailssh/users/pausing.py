"""No new logins into any jail, for maintenance: a file that the login program reads.

It lies below ``/run``, so a reboot allows logins again: whoever forgets it locks nobody out for ever.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass

from jailssh.core.names import escape
from jailssh.files import fs
from jailssh.host.paths import Layout

_MOST = 1000
"""Bytes, as the login program takes them (``login/pause.c``)."""
_MOST_SAID = 400


@dataclass(frozen=True)
class Pause:
    """``until``: seconds since 1970, 0 without an end.  ``said``: what users are told."""

    until: int
    said: str


def begin(layout: Layout, seconds: int, message: str) -> Pause:
    """Allow no new logins for so many seconds, 0 for until :func:`end`."""
    until = int(time.time()) + seconds if seconds else 0
    end_of_it = f" until {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime(until))}" if until else " at the moment"
    said = f"no new logins{end_of_it}{f': {escape(message, _MOST_SAID)}' if message else ''}"
    data = f"{until}\n{said}".encode("utf-8", "replace")[: _MOST - 1] + b"\n"
    fs.ensure_dir(layout.run, 0o755)
    fs.atomic_write(_file(layout), data, mode=0o644)
    return Pause(until, said)


def end(layout: Layout) -> bool:
    """Allow new logins again; False if they were allowed."""
    was = present(layout) is not None
    fs.remove_file(_file(layout))
    return was


def present(layout: Layout) -> Pause | None:
    """Return what holds now, None where logins are allowed."""
    if not os.path.lexists(_file(layout)):
        return None
    first, _, said = fs.read_trusted(_file(layout), _MOST).decode("utf-8", "replace").partition("\n")
    until = 0
    with suppress(ValueError):
        until = int(first)
    return None if until and until <= time.time() else Pause(until, said.strip())


def _file(layout: Layout) -> str:
    return f"{layout.run}/no-logins"
