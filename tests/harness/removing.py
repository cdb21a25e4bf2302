"""Trees that go while other tests run.

Files on a disk that hears of each block set free take up to minutes to go: nobody waits for that meanwhile.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

# What removes them.
_going: list[subprocess.Popen[bytes]] = []


def remove(folder: str | Path) -> None:
    """Begin to remove a folder, but for what is mounted in it."""
    _going.append(subprocess.Popen(["rm", "-rf", "--one-file-system", str(folder)], start_new_session=True))


def wait_for_removals() -> None:
    """Wait until all of them are gone from the disk."""
    while _going:
        _going.pop().wait()
