"""Who works in a directory: processes with something open below it, or that stand in it."""

from __future__ import annotations

import os
from contextlib import suppress

from jailssh.core.names import is_below, is_number


def processes_in(path: str) -> list[int]:
    """Return the processes with a working directory, a root or an open file at or below ``path``, sorted."""
    found = []
    for name in os.listdir("/proc"):
        # A process that ends while we look works nowhere.
        with suppress(OSError):
            if is_number(name) and any(is_below(place, path) for place in _places(name)):
                found.append(int(name))
    return sorted(found)


def _places(pid: str) -> list[str]:
    links = ["cwd", "root", *(f"fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd"))]
    found = []
    for link in links:
        with suppress(OSError):
            found.append(os.readlink(f"/proc/{pid}/{link}").removesuffix(" (deleted)"))
    return found
