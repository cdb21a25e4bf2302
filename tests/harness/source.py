"""The Python side and what it imports, for a scratch host in which the checkout may not be visible."""

from __future__ import annotations

import shutil
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
_IMPORTED = ("configobj", "elftools", "pyseccomp.py", "systemd", "validate")


def put_source(folder: Path) -> None:
    """Copy the package ``jailssh`` and the libraries that ``make build`` has fetched into ``folder``."""
    shutil.copytree(REPO / "jailssh", folder / "jailssh", ignore=shutil.ignore_patterns("login", "*.pyc"))
    for name in _IMPORTED:
        library = REPO / "build" / "dependencies" / name
        if library.is_dir():
            shutil.copytree(library, folder / name, ignore=shutil.ignore_patterns("*.pyc"))
        else:
            shutil.copy(library, folder / name)
