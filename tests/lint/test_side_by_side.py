"""Tests in several processes: one summary, who is alone is alone, and what is made once is made once."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.abilities import REPO
from tests.lint.nested import run_pytest
from tests.side_by_side import ALONE, LONGEST, TOGETHER, group_of, place_of

# Notes when it ran: one line "name start end" for each test.
NOTED = """
import pathlib, time
import pytest

NOTES = pathlib.Path(__file__).parent / "notes"

@pytest.fixture(autouse=True)
def noted(request):
    start = time.monotonic()
    yield
    with NOTES.open("a") as file:
        file.write(f"{request.node.name} {start} {time.monotonic()}\\n")
"""
# Notes of each process when it collected.
COLLECTING = """
import os, pathlib, time
import pytest

@pytest.hookimpl(hookwrapper=True, trylast=True)
def pytest_collection(session):
    start = time.monotonic()
    time.sleep(0.3)
    yield
    if "PYTEST_XDIST_WORKER" in os.environ:
        with (session.config.rootpath / "collected").open("a") as file:
            file.write(f"{start} {time.monotonic()}\\n")
"""
ORDINARY = "\n".join(f"def test_ordinary_{{place}}_{number}(): time.sleep(0.05)" for number in range(20))
ALONE_TESTS = "\n".join(f"@pytest.mark.alone\ndef test_alone_{number}(): time.sleep(0.1)" for number in range(5)) + "\n"
SHARED = """
import pathlib
from tests.harness.shared import once

def fill(folder):
    (folder / "it").write_text("made")
    with (pathlib.Path(__file__).parent / "made").open("a") as file:
        file.write("made\\n")

def test_it(tmp_path_factory):
    assert (once(tmp_path_factory, "it", fill) / "it").read_text() == "made"
"""


@pytest.mark.slow
def test_one_summary_and_the_right_status(tmp_path: Path) -> None:
    files = {f"test_{name}.py": f"def test_it(): assert {name == 'good'}" for name in ("good", "bad")}
    done = run_pytest(tmp_path, files, "-q", "-n", "2", stdin=False)
    assert done.returncode == 1
    assert re.findall(r"^(\d.*) in ", done.stdout, re.MULTILINE) == ["1 failed, 1 passed"]
    assert "FAILED test_bad.py::test_it - " in done.stdout
    done = run_pytest(tmp_path, files, "-q", "-n", "2", "-k", "good")
    assert (done.returncode, "1 passed" in done.stdout) == (0, True)


@pytest.mark.slow
def test_nothing_runs_beside_who_is_alone(tmp_path: Path) -> None:
    files = {f"test_{place}.py": NOTED + ORDINARY.format(place=place) for place in ("one", "two")}
    files["test_alone.py"] = NOTED + ALONE_TESTS + ORDINARY.format(place="three")
    files["conftest.py"] = COLLECTING
    done = run_pytest(tmp_path, files, "-q", "-n", "3", "-o", "markers=alone")
    assert "65 passed" in done.stdout, done.stdout
    collected = [tuple(map(float, line.split())) for line in (tmp_path / "collected").read_text().splitlines()]
    assert len(collected) == 3
    at_once = max(sum(start <= begin < end for start, end in collected) for begin, _ in collected)
    assert at_once == min(3, os.cpu_count() or 1)
    rows = [line.split() for line in (tmp_path / "notes").read_text().splitlines()]
    times = {name: (float(start), float(end)) for name, start, end in rows}
    beside = [
        (alone, other)
        for alone, (start, end) in times.items()
        if "alone" in alone
        for other, (begin, finish) in times.items()
        if other != alone and begin < end and start < finish
    ]
    assert beside == []
    ordinary = [span for name, span in times.items() if "ordinary" in name]
    # Each time all wait for what is under way, so they are given out last, when each other group has begun.
    first = min(start for name, (start, _) in times.items() if "alone" in name)
    for place in ("one", "two", "three"):
        assert min(start for name, (start, _) in times.items() if f"ordinary_{place}" in name) < first
    assert [1 for one in ordinary for other in ordinary if one[0] < other[0] < one[1]], "the others ran one by one"


@pytest.mark.slow
def test_once_is_once_in_all_processes(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, {f"test_{number}.py": SHARED for number in range(4)}, "-q", "-n", "2")
    assert "4 passed" in done.stdout, done.stdout
    assert (tmp_path / "made").read_text() == "made\n"


def test_groups_and_their_order(tmp_path: Path) -> None:
    assert group_of("tests/unit/test_x.py::test_y[a::b/c.py]") == "tests/unit/test_x.py"
    assert group_of("tests/system/test_x_booted.py::test_y[bookworm-z]") == "bookworm"
    assert group_of("tests/system/test_x_booted.py::test_y[trixie]") == "trixie"
    assert group_of("tests/sshd/test_limits.py::test_y") == "sshd a-l"
    with pytest.raises(AssertionError, match="one of sshd a-l, so it cannot be alone"):
        group_of("tests/sshd/test_limits.py::test_y", alone=True)
    assert group_of("tests/sshd/test_ways_in.py::test_y") == "sshd m-z"
    assert group_of("tests/unit/test_x.py::test_y", alone=True) == ALONE
    order = [place_of(group) for group in (*LONGEST, "tests/unit/test_x.py")]
    order.append(place_of("tests/unit/test_x.py", alone=True))
    assert order == sorted(set(order))
    assert place_of("tests/sshd/test_b.py") < place_of("tests/fuzz/test_fuzz.py")


@pytest.mark.parametrize("row", sorted({*(files for files, _ in TOGETHER.values()), *LONGEST} - {*TOGETHER}))
def test_every_row_is_there(row: str) -> None:
    assert list(REPO.glob(row))


def test_every_group_has_a_place_and_every_file_one_group() -> None:
    assert set(TOGETHER) <= set(LONGEST)
    for level in ("sshd", "system"):
        pattern = {"sshd": "test_*.py", "system": "test_*_booted.py"}[level]
        for path in (REPO / "tests" / level).glob(pattern):
            assert group_of(f"tests/{level}/{path.name}::test_x") in TOGETHER
