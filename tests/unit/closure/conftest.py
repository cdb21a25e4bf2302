"""What the tests of closures share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory outside /tmp, since a jail has its own /tmp."""
    old = os.umask(0o022)
    path = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="jailssh-test-"))
    path.chmod(0o755)
    yield path
    os.umask(old)
    shutil.rmtree(path)
