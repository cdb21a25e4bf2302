"""What all programs of this host need to start: found with nothing known of any file, and with all remembered.

Measured in this process, as ``jailssh build`` and ``update`` call it; the files are in the page cache.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from jailssh.closure.closure import Closure
from jailssh.closure.elf import MAGIC
from jailssh.closure.elf_cache import ElfCache
from jailssh.closure.sources import Found, Sources
from jailssh.core.errors import JailsshError
from jailssh.core.names import HostPath
from tests.bench.figures import Row, timed_row
from tests.bench.site import Site
from tests.bench.timing import undisturbed

COLD_MS, CACHED_MS = 1500.0, 200.0
ROUNDS = 3
_PROGRAMS = Path("/usr/bin")


def measure(site: Site, runs: int) -> list[Row]:
    """Return a row for each; the first of the rounds is a warm-up."""
    room = site.room / "facts"
    room.mkdir(mode=0o700)
    programs = elf_programs()
    cold, cached = [], []
    with undisturbed():
        for number in range(1 + ROUNDS):
            path = str(room / f"{number}.json")
            cold.append(_closure(programs, path))
            cached.append(_closure(programs, path))
    name = f"closure of {len(programs)} programs"
    return [
        timed_row(f"{name}, nothing known", cold[1:], COLD_MS),
        timed_row(f"{name}, files known", cached[1:], CACHED_MS),
    ]


def elf_programs() -> list[str]:
    """Return the ELF files of /usr/bin, sorted, links left out."""
    return [str(path) for path in sorted(_PROGRAMS.iterdir()) if path.is_file() and _is_elf(path)]


def _is_elf(path: Path) -> bool:
    if path.is_symlink():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _closure(programs: Sequence[str], remembered: str) -> float:
    """Return the milliseconds until everything is found; ``remembered`` is read before and written after that."""
    begun = time.monotonic()
    facts = ElfCache(remembered, str(Path(remembered).parent))
    sources = Sources(facts=facts)
    taken: set[str] = set()

    def take(path: str, origin: str) -> Found:
        found = sources.find(HostPath(path))
        if found is None:
            raise JailsshError(path, "it vanished while the benchmark ran")
        taken.add(found.path)
        return found

    closure = Closure(sources, take, lambda note: None, missing=lambda error: None)
    for path in programs:
        closure.program(HostPath(path), "benchmark")
    spent = (time.monotonic() - begun) * 1e3
    facts.save()
    if len(taken) <= len(programs) or not Path(remembered).exists():
        raise JailsshError("benchmark", "no library was found, or nothing remembered")
    return spent
