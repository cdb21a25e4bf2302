"""libFuzzer on readers of plans, commands, keys, pushes and logs: 3 seconds each, JAILSSH_FUZZ_SECONDS sets more."""

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
from tests.login.driver import LOGIN

pytestmark = pytest.mark.needs("clang", "libfuzzer")

# Read here, since the tests themselves see an environment without it.
SECONDS = int(os.environ.get("JAILSSH_FUZZ_SECONDS", "3"))
AT_ONCE = 2
LLVM = next((name for name in ("llvm-{}", *(f"llvm-{{}}-{n}" for n in range(30, 10, -1)))
             if shutil.which(name.format("cov"))), "llvm-{}")  # fmt: skip
"""The programs of clang's coverage: distributions put the version behind the name."""

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
    assert executed and int(executed[1]) > 20 * SECONDS, report[-2000:]


def test_the_corpus_reaches_every_line(tmp_path: Path) -> None:
    """Of the splitter and the matcher, but for what happens without memory: tests/login/test_scarce.py has that."""
    targets = ("request", "match", "both")
    programs = build(tmp_path, "-fprofile-instr-generate", "-fcoverage-mapping", targets=targets)
    for target in targets:
        environment = {**os.environ, "LLVM_PROFILE_FILE": str(tmp_path / f"{target}.raw")}
        command: list[str | Path] = [programs[target], "-runs=0", CORPUS / target]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=100)
    merged = tmp_path / "merged"
    raw = [tmp_path / f"{target}.raw" for target in targets]
    subprocess.run([LLVM.format("profdata"), "merge", "-o", merged, *raw], check=True, timeout=60)
    objects = [word for target in targets for word in ("-object", programs[target])][1:]
    sources = [
        LOGIN / f"command/{name}.c" for name in ("request", "rule", "match", "option", "path", "value", "repository")
    ]
    command = [LLVM.format("cov"), "export", "--format=lcov", f"--instr-profile={merged}", *objects, *sources]
    report = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    files = report.split("SF:")[1:]
    assert len(files) == len(sources)
    assert [line for file in files for line in _not_reached(file)] == []


def _not_reached(report: str) -> list[str]:
    """Return the lines without a visit in one file's part of an lcov report."""
    path = Path(report.split("\n", 1)[0])
    lines = path.read_text().splitlines()
    counts = [(int(number), int(count)) for number, count in re.findall(r"^DA:(\d+),(\d+)", report, re.MULTILINE)]
    assert len(counts) > 25
    missed = [number for number, count in counts if count == 0 and not _without_memory(lines, number)]
    return [f"{path.name}:{number}: {lines[number - 1].strip()}" for number in missed]


def _without_memory(lines: list[str], number: int) -> bool:
    taken = re.fullmatch(r"    if \(!(\w+)\)", lines[number - 2])
    return (
        taken is not None
        and "return" in lines[number - 1]
        and f"{taken[1]} = malloc(" in "".join(lines[number - 5 : number])
    )
