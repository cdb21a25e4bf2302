"""What the processes of one test run share: directories that are filled once, and turns at the one build directory.

``pytest -n`` runs the tests in several processes (see :mod:`tests.side_by_side`), and a session's fixture is made by
each of them.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]


@contextmanager
def turn(lock: Path) -> Iterator[None]:
    """Wait until no other process has its turn at ``lock``, a file that is made."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def building() -> Iterator[None]:
    """Have the turn at build/, where make, meson and ninja of two processes would meet."""
    (REPO / "build").mkdir(exist_ok=True)
    with turn(REPO / "build" / "tests.lock"):
        yield


def once(factory: pytest.TempPathFactory, name: str, fill: Callable[[Path], object]) -> Path:
    """Return the directory ``name`` of this run, which ``fill`` has filled: the first process that asks does it.

    What failed is tried anew by the next one.  Nobody may change what is in there.
    """
    own = factory.getbasetemp()
    # Each worker has a directory of its own in that of the run.
    top = own.parent if own.name.startswith("popen-") else own
    folder, filled = top / f"shared-{name}", top / f"shared-{name}.filled"
    with turn(top / f"shared-{name}.lock"):
        if not filled.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            fill(folder)
            filled.touch()
    return folder
