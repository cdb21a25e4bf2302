"""libFuzzer on the plan reader, the splitter and the matcher: 20 seconds each, JAILSSH_FUZZ_SECONDS sets more."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fuzz.targets import CORPUS, TARGETS, build, run

pytestmark = pytest.mark.needs("clang", "libfuzzer")

# Read here, since the tests themselves see an environment without it.
SECONDS = int(os.environ.get("JAILSSH_FUZZ_SECONDS", "20"))
AT_ONCE = 2

Runs = dict[str, Future[subprocess.CompletedProcess[bytes]]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Runs]]:
    """Every target under way, two at a time, each with a copy of its corpus."""
    folder = tmp_path_factory.mktemp("fuzz")
    programs = build(folder)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        under_way = {}
        for target, program in programs.items():
            corpus = folder / f"corpus-{target}"
            shutil.copytree(CORPUS / target, corpus)
            under_way[target] = pool.submit(run, program, corpus, SECONDS)
        yield folder, under_way


@pytest.mark.parametrize("target", TARGETS)
def test_target(runs: tuple[Path, Runs], target: str) -> None:
    folder, under_way = runs
    done = under_way[target].result()
    report = done.stderr.decode(errors="replace")
    found = [f"{path.name}: {path.read_bytes()[:2000]!r}" for path in folder.glob(f"{target}-*-*")]
    assert done.returncode == 0, "\n".join([report[-6000:], *found])
    executed = re.search(r"stat::number_of_executed_units: (\d+)", report)
    assert executed and int(executed[1]) > 100 * SECONDS, report[-2000:]
