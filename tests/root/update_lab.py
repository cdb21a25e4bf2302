"""A jail whose image follows this host: bash and one script that tests change."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.host.paths import Layout
from jailssh.jail.configuration import installed_plugins
from jailssh.jail.this_host import ThisHost
from jailssh.publish import plan_files
from tests.root.publish_lab import ALICE, install_entry_points, put

JAIL = """\
plugins = shell
[shell]
tools = no
programs = {tool}
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that only root can write to, with all above it, since images take nothing else."""
    path = Path(tempfile.mkdtemp(dir="/opt", prefix="jailssh-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def state() -> Iterator[Path]:
    """A directory in memory, where waiting for the disk takes no time."""
    path = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="jailssh-test-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def layout(place: Path, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A jail ``lab`` whose image has bash and one script, and nothing else that changes."""
    install_entry_points(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(ThisHost, "find_account", staticmethod({ALICE.uid: ALICE}.get))
    installed_plugins.cache_clear()
    layout = Layout(root=str(state / "root"))
    for folder in (layout.jails, layout.users):
        os.makedirs(folder)
    write_tool(place, "one")
    put(f"{layout.jails}/lab.conf", JAIL.format(tool=place / "tool"))
    return layout


def write_tool(place: Path, text: str) -> None:
    put(str(place / "tool.new"), f"#!/bin/sh\necho {text}\n")
    (place / "tool.new").chmod(0o755)
    (place / "tool.new").rename(place / "tool")


def image_of_plan(layout: Layout) -> str:
    plan = plan_files.read_plan(layout, ALICE.uid)
    assert plan is not None
    (path,) = plan.first("image") or ("",)
    return path
