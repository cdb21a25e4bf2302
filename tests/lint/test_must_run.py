"""The marker ``needs`` and ``JAILSSH_MUST_RUN``: a skip that nobody sees is a test that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.abilities import PROBES
from tests.lint.nested import run_pytest

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


TEXTS = {
    "lacking": LACKING,
    "skipping": SKIPPING,
    "whole_file": WHOLE_FILE,
    "expected": EXPECTED_FAILURE,
    "clean": ENVIRONMENT,
}
HAS_TO = "and the test must run"


@pytest.mark.parametrize(
    ("must_run", "counted", "failed"),
    [
        ("", "1 passed, 3 skipped, 1 xfailed", {}),
        ("root", "1 passed, 3 skipped, 1 xfailed", {}),
        ("root,lacking", "1 passed, 2 skipped, 1 xfailed, 1 error", {"lacking": f"this host lacks: lacking, {HAS_TO}"}),
        ("all", "1 failed, 1 passed, 1 xfailed, 2 errors", {
            "lacking": f"this host lacks: lacking, {HAS_TO}", "skipping": f"skipped, {HAS_TO}",
            "whole_file": f"skipped, {HAS_TO}",
        }),
    ],
)  # fmt: skip
def test_outcome(tmp_path: Path, must_run: str, counted: str, failed: dict[str, str]) -> None:
    files = {f"test_{name}.py": text for name, text in TEXTS.items()}
    done = run_pytest(tmp_path, files, "-q", "--continue-on-collection-errors", must_run=must_run)
    assert counted in re.sub(r"\d+ warnings?, ", "", done.stdout)
    assert done.returncode == int(bool(failed))
    assert set(re.findall(r"^(?:FAILED|ERROR) test_(\w+)\.py", done.stdout, re.MULTILINE)) == set(failed)
    assert [said for said in failed.values() if said not in done.stdout] == []


def test_a_file_that_must_not_be_skipped_stops_the_run(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, {"test_it.py": WHOLE_FILE}, "-q", must_run="all")
    assert (done.returncode, f"skipped, {HAS_TO}" in done.stdout) == (2, True)


def test_a_mark_that_names_nothing_is_refused_before_anything_runs(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, {"test_it.py": UNKNOWN, "test_clean.py": ENVIRONMENT}, "-q")
    assert (done.returncode, "passed" in done.stdout) == (4, False)
    assert "no such ability: no-such-ability" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("must_run", "counted"),
    [("", "1 passed, 3 skipped, 1 xfailed, 1 error"), ("all", "1 failed, 1 passed, 1 xfailed, 3 errors")],
)
@pytest.mark.slow
def test_outcome_with_workers(tmp_path: Path, must_run: str, counted: str) -> None:
    texts = (LACKING, SKIPPING, WHOLE_FILE, EXPECTED_FAILURE, UNKNOWN, ENVIRONMENT)
    files = {f"test_{number}.py": text for number, text in enumerate(texts)}
    done = run_pytest(tmp_path, files, "-q", "-n", "2", must_run=must_run)
    assert counted in re.sub(r"\d+ warnings?, ", "", done.stdout)
    assert "no such ability: no-such-ability" in done.stdout
    assert done.returncode == 1


def test_header_names_every_ability(tmp_path: Path) -> None:
    header = run_pytest(tmp_path, {"test_it.py": EXPECTED_FAILURE}).stdout
    assert [ability for ability in PROBES if ability not in header] == []
