"""What writers that were killed have left beside the files that they were to replace, in the directories of root's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from jailssh.core.errors import HostError
from jailssh.files import several
from jailssh.host.paths import Layout

_LONGEST = 3600.0
"""Seconds after which nobody writes to such a file any more: jailsshd may begin one at any time."""


def remove(layout: Layout, now: float) -> None:
    """Remove it from the directories of the configuration and of the state.

    Nothing is told: such a file is nobody's, and one that cannot be removed harms nobody.
    """
    for folder in _folders(layout):
        with suppress(HostError, OSError):
            several.remove_unfinished(folder, now - _LONGEST, trusted_root=layout.root or None)


def _folders(layout: Layout) -> Iterator[str]:
    for top in (layout.etc, layout.key_rings, layout.state):
        yield top
        with suppress(OSError), os.scandir(top) as inside:
            yield from (each.path for each in inside if each.is_dir(follow_symlinks=False))
