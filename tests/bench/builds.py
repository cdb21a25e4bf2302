"""Stand-alone trees: Jailkit's jk_init, ``jailssh build`` and ``cp -a`` make the same thing beside each other.

All write to the machine's disk, with the sources in the page cache.  jailssh ends with everything on the disk
(syncfs(2)); jk_init and ``cp -a`` do not, and what they have left is written out before the next one begins.
Nothing is removed between runs: ext4 makes new files slowly where many were removed a moment ago.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from pathlib import Path

from tests.bench.figures import Goal, Row, ratio
from tests.bench.site import PREFIX, STATE, Site, attach
from tests.bench.timing import Program, Timer

SECTIONS = ("jk_lsh", "sftp", "scp", "rsync", "git", "basicshell")
LIMITS = {"jailkit": 0.1, "plain": 2.0}
REBUILD_LIMIT = 0.02
MEMORY_MIB = 150.0
ROUNDS = 3
REBUILDS = 10
LARGE_FILES, LARGE_BYTES = 80_000, 4 << 30
LARGE_LIMIT, LARGE_AGAIN_LIMIT = 1.3, 0.03
LARGE_ROUNDS = 2
_WHERE = "/srv/builds"
_JAILSSH = f"{PREFIX}/bin/jailssh"
_PEAK = "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode; "
# A check that finds something ends with 1.
_PEAK += "assert code <= int('check' in sys.argv); "
_PEAK += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"


def measure(site: Site, runs: int) -> list[Row]:
    """Return the rows of a first build, of one without change, and of the memory."""
    room = site.room / "builds"
    room.mkdir(mode=0o755)
    attach(site.host, room, _WHERE)
    kit = f"{_WHERE}/kit"
    site.host.run(["mkdir", kit], check=True)
    # Once: it takes longer than all others together.
    spent = {"jailkit": timed(site, ["/usr/sbin/jk_init", "-j", kit, *SECTIONS])}
    spent |= {name: [] for name in ("jailssh", "plain", "synced")}
    for number in range(ROUNDS):
        ours, copy = f"{_WHERE}/ours{number}", f"{_WHERE}/copy{number}"
        # What was found out about files is forgotten: a first build knows nothing of the host.
        site.host.run(["rm", "-f", f"{STATE}/facts.json"], check=True)
        spent["jailssh"] += timed(site, [_JAILSSH, "build", *_sections(), ours])
        spent["plain"] += timed(site, ["/usr/bin/cp", "-a", ours, copy])
        script = 'cp -a "$1" "$2" && sync --file-system "$2"'
        spent["synced"] += timed(site, ["/bin/sh", "-c", script, "sh", ours, f"{copy}-synced"])
    again = timed(site, [_JAILSSH, "build", *_sections(), f"{_WHERE}/ours0"], REBUILDS)
    usual = peak(site, ["build", *_sections(), f"{_WHERE}/memory"])
    large = peak(site, ["build", _large_spec(room), f"{_WHERE}/large"])
    return [*_first(site, spent), _again(again, spent), *_many(site), *_memory(usual, large)]


def timed(site: Site, command: Sequence[str], runs: int = 1) -> list[float]:
    """Return the milliseconds of some runs of a command of root's, begun when nothing waits to be written."""
    os.sync()
    timer = Timer(site.host, Program(command[0], command, "root", {}))
    try:
        timer.start(runs)
        return timer.finish(runs)
    finally:
        timer.close()


def _sections() -> list[str]:
    return [f"section:{name}" for name in SECTIONS]


def _entries(site: Site, name: str) -> int:
    return sum(len(folders) + len(files) for _, folders, files in os.walk(site.room / "builds" / name))


def _first(site: Site, spent: dict[str, list[float]]) -> list[Row]:
    ours = spent["jailssh"]
    ratios = {peer: ratio(ours, spent[peer]) for peer in LIMITS}
    names = {"jailkit": "jk_init", "plain": "cp -a of jailssh's", "synced": "cp -a, then sync"}
    goals = [Goal(f"first build / {names[peer]}", ratios[peer], limit) for peer, limit in LIMITS.items()]
    rows = []
    for peer, tree in (("jailkit", "kit"), ("plain", "ours0"), ("synced", "ours0")):
        times = spent[peer]
        name = f"build: {names[peer]}, {_entries(site, tree)} entries"
        rows.append(Row(name, statistics.median(times), "ms", min(times)))
    name = f"build: jailssh, {_entries(site, 'ours0')} entries, synced"
    return [*rows, Row(name, statistics.median(ours), "ms", min(ours), ratios, tuple(goals))]


def _again(again: list[float], spent: dict[str, list[float]]) -> Row:
    ratios = {"jailkit": ratio(again, spent["jailkit"])}
    goals = (Goal("build without change / jk_init", ratios["jailkit"], REBUILD_LIMIT),)
    return Row("build: jailssh, nothing changed", statistics.median(again), "ms", min(again), ratios, goals)


def _many(site: Site) -> list[Row]:
    """Return the rows of very many small files: built, built without a change, and copied, both synced."""
    spent: dict[str, list[float]] = {"jailssh": [], "plain": [], "again": []}
    for number in range(LARGE_ROUNDS):
        ours, copy = f"{_WHERE}/many{number}", f"{_WHERE}/many-copy{number}"
        site.host.run(["rm", "-f", f"{STATE}/facts.json"], check=True)
        spent["jailssh"] += timed(site, [_JAILSSH, "build", f"{_WHERE}/many.jailspec", ours])
        script = 'cp -a "$1" "$2" && sync --file-system "$2"'
        spent["plain"] += timed(site, ["/bin/sh", "-c", script, "sh", ours, copy])
        spent["again"] += timed(site, [_JAILSSH, "build", f"{_WHERE}/many.jailspec", ours], REBUILDS)
    name = f"build: {LARGE_FILES} small files"
    first, again = ratio(spent["jailssh"], spent["plain"]), ratio(spent["again"], spent["jailssh"])
    return [
        Row(f"{name}: cp -a, then sync", statistics.median(spent["plain"]), "ms", min(spent["plain"])),
        Row(f"{name}: jailssh, synced", statistics.median(spent["jailssh"]), "ms", min(spent["jailssh"]),
            {"plain": first}, (Goal(f"{name} / cp -a, then sync", first, LARGE_LIMIT),)),
        Row(f"{name}: nothing changed", statistics.median(spent["again"]), "ms", min(spent["again"]),
            goals=(Goal(f"{name}: without change / first build", again, LARGE_AGAIN_LIMIT),)),
    ]  # fmt: skip


def _memory(usual: float, large: float) -> list[Row]:
    name = f"peak memory, {LARGE_FILES} files and {LARGE_BYTES >> 30} GiB"
    return [
        Row(f"build: {text}", value, "MiB", goals=(Goal(f"build: {text} (MiB)", value, MEMORY_MIB),))
        for text, value in (("peak memory", usual), (name, large))
    ]


def peak(site: Site, words: Sequence[str]) -> float:
    """Return the most memory, in MiB, that the command had resident."""
    done = site.host.run(["python3", "-c", _PEAK, _JAILSSH, *words], check=True, timeout=1200)
    return int(done.stdout) / 1024


def _large_spec(room: Path) -> str:
    """Make a tree of many small files and a huge one with holes; return a spec, as the scratch host sees it."""
    source = room / "source"
    for number in range(LARGE_FILES):
        folder = source / f"{number // 200}"
        if number % 200 == 0:
            folder.mkdir(mode=0o755, parents=True)
        (folder / f"file-{number}").write_text(f"{number}\n")
    with (source / "huge").open("wb") as file:
        file.truncate(LARGE_BYTES)
    (room / "large.jailspec").write_text(f"tree {_WHERE}/source /data\n")
    (room / "many.jailspec").write_text(f"tree {_WHERE}/source /data exclude=huge\n")
    return f"{_WHERE}/large.jailspec"
