"""A root with the shipped plugins and nobody in it, and what tests put into it and publish."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest

from jailssh.core.errors import raise_all
from jailssh.host.paths import Layout
from jailssh.jail.configuration import installed_plugins, load_configuration
from jailssh.plugin.api import Account
from jailssh.publish import each, publish

SOURCE = Path(__file__).resolve().parents[2]


ALICE = Account("alice", 61001, 61001, "alice", "/home/alice")


def install_entry_points(site: Path) -> None:
    """Announce the shipped plugins as an installation does."""
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    info = site / "jailssh-0.dist-info"
    info.mkdir(parents=True)
    rows = "".join(f"{name} = {value}\n" for name, value in project["entry-points"]["jailssh.plugins"].items())
    (info / "entry_points.txt").write_text(f"[jailssh.plugins]\n{rows}")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: jailssh\nVersion: 0\n")


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    install_entry_points(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    installed_plugins.cache_clear()
    layout = Layout(root=str(tmp_path / "root"))
    for folder in (layout.jails, layout.users):
        os.makedirs(folder)
    return layout


def put(path: str, text: str) -> None:
    Path(path).write_text(text)


def user(layout: Layout, account: Account, jails: str) -> None:
    put(f"{layout.users}/{account.name}.conf", f"uid = {account.uid}\njail = {jails}\n")


def published(layout: Layout, account: Account = ALICE) -> publish.Published:
    return publish.publish_plan(load_configuration(layout), account)


def publish_all(layout: Layout) -> list[publish.PlanChange]:
    """Publish everybody's plan as ``jailssh apply`` does; return what changed, raise what failed."""
    found: list[publish.PlanChange] = []
    raise_all(each.publish_each(load_configuration(layout), found))
    return found
