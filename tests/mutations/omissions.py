"""Each refusal is left out of the login program by itself, and a row of its own sees it.

For ``python -m tests.mutations``, which runs it in a copy of the repository, since it changes the source.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.abilities import REPO
from tests.harness import fixtures
from tests.harness.executed import Executed
from tests.harness.refusals import all_places
from tests.root import login_lab, refusal_lab
from tests.root.login_lab import Lab
from tests.root.refusal_lab import meet
from tests.root.refusal_rows import ROWS, UNREACHABLE, Row

pytestmark = login_lab.NEEDS
set_uid_lab, executed, probe = login_lab.set_uid_lab, refusal_lab.executed, fixtures.probe

PLACES = [place.name for place in all_places() if place.name not in UNREACHABLE]


def build(build_dir: Path) -> Path:
    subprocess.run(["ninja", "-C", build_dir], check=True, capture_output=True)
    return build_dir / "jailssh-login"


@contextlib.contextmanager
def omitted(name: str, lab: Lab, build_dir: Path) -> Iterator[None]:
    """Let what the refusal of a place forbids go on."""
    assert not (REPO / ".git").exists(), "this is no copy"
    place = next(place for place in all_places() if place.name == name)
    before = place.file.read_text()
    place.file.write_text(before[: place.begin] + "(void)0" + before[place.end :])
    try:
        lab.install(build(build_dir))
        yield
    finally:
        place.file.write_text(before)
        for session in lab.sessions:
            session.kill()
        lab.sessions.clear()
        lab.install(build(build_dir))


def is_seen(lab: Lab, executed: Executed, row: Row) -> bool:
    try:
        meet(lab, executed, row)
    except (AssertionError, OSError, subprocess.SubprocessError):
        return True
    return False


@pytest.mark.parametrize("place", PLACES)
def test_it_is_missed(set_uid_lab: Lab, executed: Executed, build_dir: Path, place: str) -> None:
    rows = [row for row in ROWS if row.place == place]
    with omitted(place, set_uid_lab, build_dir):
        assert any(is_seen(set_uid_lab, executed, row) for row in rows)
