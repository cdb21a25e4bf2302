"""The marker ``needs`` and ``JAILSSH_MUST_RUN``: a skip that nobody sees is a test that does not exist."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.abilities import PROBES, REPO

LACKING = """
import pytest
import tests.abilities

tests.abilities.PROBES["lacking"] = lambda: False

@pytest.mark.needs("lacking")
def test_it():
    raise AssertionError("must not run")
"""
SKIPPING = """
import pytest

def test_it():
    pytest.skip("because")
"""
WHOLE_FILE = """
import pytest
pytest.skip("because", allow_module_level=True)
"""
EXPECTED_FAILURE = """
import pytest

@pytest.mark.xfail(reason="known")
def test_it():
    raise AssertionError
"""
UNKNOWN = """
import pytest

@pytest.mark.needs("no-such-ability")
def test_it():
    pass
"""
ENVIRONMENT = """
import os

def test_it():
    assert [name for name in os.environ if name.startswith(("JAILSSH_", "GIT_", "LC_"))] == []
"""


def _run(folder: Path, text: str, must_run: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(text)
    options = ["-p", "tests.abilities", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder)]
    env = {**os.environ, "JAILSSH_MUST_RUN": must_run, "GIT_DIR": "/nowhere", "LC_ALL": "C", "PYTHONPATH": str(REPO)}
    command = [sys.executable, "-m", "pytest", *options, str(folder)]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("text", "must_run", "said"),
    [
        (LACKING, "", "1 skipped"),
        (LACKING, "root", "1 skipped"),
        (LACKING, "all", "this host lacks: lacking, and the test must run"),
        (LACKING, "root,lacking", "this host lacks: lacking, and the test must run"),
        (SKIPPING, "", "1 skipped"),
        (SKIPPING, "all", "skipped, and the test must run"),
        (WHOLE_FILE, "", "1 skipped"),
        (WHOLE_FILE, "all", "skipped, and the test must run"),
        (EXPECTED_FAILURE, "all", "1 xfailed"),
        (UNKNOWN, "", "no such ability: no-such-ability"),
        (ENVIRONMENT, "", "1 passed"),
    ],
)
def test_outcome(tmp_path: Path, text: str, must_run: str, said: str) -> None:
    done = _run(tmp_path, text, must_run)
    assert said in done.stdout + done.stderr
    good = said in ("1 skipped", "1 xfailed", "1 passed")
    assert (done.returncode in (0, 5)) == good, done.stdout


def test_header_names_every_ability(tmp_path: Path) -> None:
    header = _run(tmp_path, EXPECTED_FAILURE, "").stdout
    assert [ability for ability in PROBES if ability not in header] == []
