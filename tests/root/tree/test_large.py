"""Trees of very many files: little memory, and what earlier versions remembered is read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jailssh.tree import copying, layout
from tests.root.build_site import REPO, Site, site, states

pytestmark = pytest.mark.needs("root")
__all__ = ["site"]

FILES = 20_000
# The interpreter and the modules alone have 35 MiB; 20,000 entries as objects would be another 65.
MEMORY_MIB = 70
PEAK = "import resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode; "
PEAK += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"


def peak(site: Site, *argv: str) -> tuple[float, str]:
    """Return the most memory, in MiB, that the command had resident, and its last line."""
    command = [sys.executable, "-c", PEAK, sys.executable, "-m", "jailssh", "--root", str(site.base / "state"), *argv]
    env = {"PYTHONPATH": REPO, "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    *said, memory = done.stdout.splitlines()
    return int(memory) / 1024, said[-1]


def fill(folder: Path, count: int) -> None:
    for number in range(count):
        if number % 250 == 0:
            (folder / f"part-{number // 250}").mkdir(parents=True)
        (folder / f"part-{number // 250}" / f"file-{number}").write_text(f"{number}\n")


def test_the_memory_of_a_large_tree(site: Site) -> None:
    fill(site.src / "many", FILES)
    runs = {
        "dry": (site.spec("tree SRC/many /many\n"), "--dry-run"),
        "first": (site.spec("tree SRC/many /many\n"),),
        "changed": (site.spec("tree SRC/many /many\n/x/\n", "x.jailspec"),),
        "pruned": (site.spec("tree SRC/many /many exclude=part-1*\n", "y.jailspec"), "--prune"),
    }
    used = {}
    for name, (spec, *options) in runs.items():
        used[name], said = peak(site, "build", spec, str(site.tree), *options)
        assert f": {FILES + FILES // 250 + 1 if name in ('first', 'dry') else ''}" in said
    assert max(used.values()) < MEMORY_MIB, used
    assert sum(1 for _ in site.tree.rglob("file-*")) == sum(1 for _ in (site.src / "many").glob("part-[02-9]*/*"))
    assert not (site.tree / "many/part-1").exists()
    used["tar"], _ = peak(site, "build", runs["first"][0], str(site.base / "x.tar"), "--format", "tar")
    assert max(used.values()) < MEMORY_MIB, used


def test_more_paths_than_there_may_be_are_one_error(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "_MAX_ENTRIES", 100)
    fill(site.src / "many", 300)
    assert site.build("tree SRC/many /many\n") == 1
    assert site.err.count("more than 100 paths in one tree") == 1
    assert not site.tree.exists()


def test_what_is_wrong_very_often_is_told_often_enough(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_MAX_FAILED", 20)
    (site.src / "many").mkdir()
    for number in range(100):
        (site.src / f"many/bad\x01{number}").write_text("")
    assert site.build("tree SRC/many /many\nSRC/none /n\n") == 1
    assert site.err.count("its name has control characters") == 20
    assert site.err.count("there is more, which was not looked at") == 1
    assert "SRC/none: not on this host" in site.err


def as_before(site: Site) -> None:
    """Give the files beside the tree the form in which earlier versions wrote them."""
    beside = site.base / ".root.jailssh"
    for name, orders in (
        ("state.json", ("format", "inputs", "watch", "seen", "notes", "runs", "numbers")),
        ("manifest.json", ("format", "generation", "inputs", "count", "bytes", "notes", "entries", "watch")),
    ):
        data = json.loads((beside / name).read_text())

        def ordered(row: dict[str, Any], orders: tuple[str, ...] = orders) -> dict[str, Any]:
            assert sorted(row) == sorted(orders)
            return {key: row[key] for key in orders}

        old = ordered(data) if name == "state.json" else {key: ordered(data[key]) for key in ("manifest", "left")}
        text = json.dumps(old, separators=(",", ":"))
        (beside / name).write_text(text if name == "state.json" else text[:-1].replace("}],", "}],", 1) + "}")


def test_what_earlier_versions_remembered_is_read(site: Site) -> None:
    text = "/bin/sh\n/d/e/ 700\nSRC/data.txt /f\n/l -> f\n/h => /f\n/dev/null c 1 3\ncontent /t 'text'\n"
    assert site.build(text + "SRC/data.txt /gone\n") == 0
    assert site.build(text) == 0
    as_before(site)
    before = states(site.tree)
    assert site.build(text) == 0
    assert (site.changes(), states(site.tree)) == (0, before)
    as_before(site)
    assert site.build(text + "/new/\n", "--prune") == 0
    assert site.changes() == 2
    assert not (site.tree / "gone").exists()


def test_second_names_of_the_host_in_many_places(site: Site) -> None:
    fill(site.src / "many", 600)
    for number in range(0, 600, 3):
        os.link(site.src / f"many/part-{number // 250}/file-{number}", site.src / f"many/second-{number}")
    assert site.build("tree SRC/many /many\n") == 0
    for number in range(0, 600, 3):
        first, second = site.tree / f"many/part-{number // 250}/file-{number}", site.tree / f"many/second-{number}"
        assert first.stat().st_ino == second.stat().st_ino
    assert site.build("tree SRC/many /many\n/x/\n") == 0
    assert site.changes() == 1
