"""Every test file is collected: a test that nobody runs is worse than none."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import pytest

from tests.abilities import REPO
from tests.lint.tree import PYTHON, name

# File with tests -> why it is not collected, and who runs it.
ELSEWHERE = {"tests/mutations/omissions.py": "changes the source: tests/mutations/__main__.py runs it in its copy"}


@pytest.mark.slow
def test_every_test_file_is_collected() -> None:
    # Collecting skips nothing by marks, so the answer does not depend on what this host has.
    collected = {line.split("::")[0] for line in _collected("gw0")}
    there = {name(path) for path in PYTHON if path.name.startswith("test_")}
    assert there - collected == set()


@pytest.mark.slow
def test_each_process_of_a_run_collects_the_same(request: pytest.FixtureRequest) -> None:
    # A pid, a uid or a time in the name of a test would end a run side by side before it begins.
    own = {item.nodeid for item in request.session.items}
    # This process has collected as well; what it was not asked for is collected by a second one.
    whole = len(own) == len(_collected("gw0"))
    assert set(_collected("gw0")) == (own if whole else set(_collected("gw1")))


@functools.cache
def _collected(worker: str) -> tuple[str, ...]:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTEST_XDIST_WORKER": worker}
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return tuple(line for line in done.stdout.splitlines() if "::" in line)


def test_test_files_are_named_for_it() -> None:
    # A file with tests in it under another name would never be collected at all.
    strays = [
        name(path)
        for path in PYTHON
        if name(path).startswith(("tests/", "plugins/"))
        and not path.name.startswith("test_")
        and "\ndef test_" in path.read_text()
    ]
    assert sorted(strays) == sorted(ELSEWHERE)
    for path, why in ELSEWHERE.items():
        assert f'"{path}"' in (REPO / why.split(": ")[1].split()[0]).read_text()
