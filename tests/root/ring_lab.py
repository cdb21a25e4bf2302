"""A shared account and the files of its named keys."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jailssh.host.paths import Layout
from jailssh.jail.this_host import ThisHost, find_program
from jailssh.plugin.api import Account
from tests.harness.keys import public_key
from tests.root.publish_lab import layout, put

__all__ = ["layout"]


GIT = Account("git", 61001, 61001, "git", "/home/git")


ALICE = Account("alice", 61002, 61002, "alice", "/home/alice")


RIGHTS = "write team/* @devs, read docs @all, create own/* carol"


JAIL = f"plugins = git\n[git]\nroots = /srv\nrights = {RIGHTS}\n"


def name(layout: Layout, who: str, number: int, account: str = "git") -> None:
    os.makedirs(f"{layout.key_rings}/{account}", exist_ok=True)
    put(f"{layout.key_rings}/{account}/{who}.pub", f"{public_key(number)} {who}@desk\n")


@pytest.fixture
def people(layout: Layout, build_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Two accounts, one of them shared by those whose names are given."""
    os.makedirs(layout.keys)
    put(f"{layout.jails}/hosting.conf", JAIL)
    put(f"{layout.users}/alice.conf", "uid = 61002\njail = hosting\n")
    known = {"git": GIT, 61001: GIT, "alice": ALICE, 61002: ALICE}
    monkeypatch.setattr(ThisHost, "find_account", staticmethod(known.get))
    # What a table of rights needs of ours is built, and installed nowhere.
    ours = {program: str(build_dir / program) for program in ("jailssh-refs", "jailssh-repos")}
    monkeypatch.setattr(ThisHost, "find_program", staticmethod(lambda what: ours.get(what) or find_program(what)))

    def write(*names: str, groups: str = "") -> None:
        put(f"{layout.users}/git.conf", f"uid = 61001\njail = hosting\n{groups}")
        for number, who in enumerate(names, 1):
            name(layout, who, number)

    return write


def files(layout: Layout, uid: int = 61001) -> list[str]:
    return sorted(file for file in os.listdir(layout.plans) if file.split(".")[0] == str(uid))
