"""Every test file is collected: a test that nobody runs is worse than none."""

from __future__ import annotations

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
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=REPO, env=dict(os.environ), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    collected = {line.split("::")[0] for line in done.stdout.splitlines() if "::" in line}
    there = {name(path) for path in PYTHON if path.name.startswith("test_")}
    assert there - collected == set()


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
