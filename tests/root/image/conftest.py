"""A place for images that are built from a directory of the host's."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.host.paths import Layout


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory outside /tmp, since a jail has its own /tmp; ``src`` in it is empty."""
    old = os.umask(0o022)
    path = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="jailssh-test-"))
    path.chmod(0o755)
    (path / "src").mkdir()
    yield path
    os.umask(old)
    shutil.rmtree(path)


@pytest.fixture
def layout(place: Path) -> Layout:
    """A root of its own in there."""
    (place / "root").mkdir()
    return Layout(root=str(place / "root"))
