"""What is made from the code for people and shells: manual pages, completion, catalog; made once for all tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.abilities import REPO


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that ``packaging/documents/make.py`` filled, as below a prefix."""
    folder = tmp_path_factory.mktemp("documents")
    command = [sys.executable, "-B", str(REPO / "packaging/documents/make.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder
