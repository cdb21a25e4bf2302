"""Formats, types and the linters' findings, in the versions of packaging/requirements-test.txt."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.abilities import REPO
from tests.lint.tree import PYTHON, C, name, shell_scripts

TOOLS = Path(sys.executable).parent


def _passes(tool: str, *arguments: str) -> None:
    program = TOOLS / tool
    # Outside the private environment the tool is looked up in PATH.
    command = [str(program) if program.exists() else tool, *arguments]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.fail(f"{tool} {' '.join(arguments[:3])}\n{done.stdout}{done.stderr}", pytrace=False)


@pytest.mark.needs("ruff")
def test_ruff_check() -> None:
    _passes("ruff", "check", "--no-cache", ".")


@pytest.mark.needs("ruff")
def test_ruff_format() -> None:
    _passes("ruff", "format", "--no-cache", "--check", "--diff", ".")


@pytest.mark.needs("mypy")
def test_mypy_product() -> None:
    _passes("mypy", "--no-error-summary")


@pytest.mark.needs("mypy")
def test_mypy_packaging() -> None:
    documents = [name(path) for path in PYTHON if name(path).startswith("packaging/documents/")]
    assert documents
    _passes("mypy", "--strict", "--no-error-summary", "packaging/install.py", "packaging/metadata.py", *documents)


@pytest.mark.needs("clang-format")
@pytest.mark.parametrize("path", C, ids=name)
def test_clang_format(path: Path) -> None:
    _passes("clang-format", "--dry-run", "-Werror", name(path))


@pytest.mark.needs("shellcheck")
@pytest.mark.parametrize("path", shell_scripts(), ids=name)
def test_shellcheck(path: Path) -> None:
    _passes("shellcheck", name(path))


@pytest.mark.needs("login-program", "clang")
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_no_warning(compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", compiler)
    _passes("meson", "setup", "--werror", str(tmp_path), str(REPO))
    _passes("ninja", "-C", str(tmp_path))
