"""The Python side and what it imports, for a scratch host in which the checkout may not be visible."""

from __future__ import annotations

import shutil
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
_IMPORTED = ("configobj", "elftools", "pyseccomp.py", "systemd", "validate")
# What Python has compiled comes along, or each start of a program would compile all of it; not what it writes just now.
_NOT = shutil.ignore_patterns("login", "*.pyc.*")


def _copy(source: str, target: str) -> None:
    """Copy a file; what Python has compiled may be gone again, where the checkout is a layer that changes."""
    try:
        shutil.copy2(source, target)
    except FileNotFoundError:
        if not source.endswith(".pyc"):
            raise


def put_source(folder: Path) -> None:
    """Copy the package ``jailssh`` and the libraries that ``make build`` has fetched into ``folder``."""
    shutil.copytree(REPO / "jailssh", folder / "jailssh", ignore=_NOT, copy_function=_copy)
    for name in _IMPORTED:
        library = REPO / "build" / "dependencies" / name
        if library.is_dir():
            shutil.copytree(library, folder / name, ignore=_NOT, copy_function=_copy)
        else:
            shutil.copy(library, folder / name)
