"""Homes that their accounts have closed to themselves: looked into as root by descriptor, or told."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.checks import homes
from jailssh.checks.homes import Wanted
from jailssh.host import as_each, as_user
from jailssh.host.accounts import AccountEntry

pytestmark = pytest.mark.needs("root")

UID = 54321
WANTED = Wanted(frozenset({".config/systemd/user", ".forward"}))


@pytest.fixture
def home() -> Iterator[AccountEntry]:
    folder = tempfile.mkdtemp(dir="/tmp")
    os.chmod(folder, 0o755)
    path = f"{folder}/alice"
    os.makedirs(f"{path}/.config/systemd/user")
    Path(path, ".config/systemd/user/x.service").write_text("")
    Path(path, ".forward").write_text("|id")
    for root, _, _ in os.walk(path):
        os.chown(root, UID, UID)
    yield AccountEntry("alice", UID, UID, group="alice", home=path, shell="", gecos="", groups=(("alice", UID),))
    shutil.rmtree(folder)


def seen(entry: AccountEntry) -> tuple[bytes, bytes]:
    ((_, as_account),) = as_each.ask_each([entry], WANTED.look)
    assert isinstance(as_account, bytes)
    return as_account, as_user.ask_below(entry, WANTED.look_below)


def test_what_is_open_is_the_same_for_both(home: AccountEntry) -> None:
    assert seen(home) == (b"+.config/systemd/user\0+.forward",) * 2


@pytest.mark.parametrize("closed", [".config", ".config/systemd", ".config/systemd/user"])
def test_a_closed_directory_hides_nothing(home: AccountEntry, closed: str) -> None:
    os.chmod(f"{home.home}/{closed}", 0)
    assert seen(home) == (b"?.config/systemd/user\0+.forward", b"+.config/systemd/user\0+.forward")


def test_a_closed_home_hides_nothing(home: AccountEntry) -> None:
    os.chmod(home.home, 0)
    assert seen(home) == (b"?", b"+.config/systemd/user\0+.forward")


def test_root_follows_no_link_of_the_account(home: AccountEntry) -> None:
    os.rename(f"{home.home}/.config", f"{home.home}/real")
    os.symlink("real", f"{home.home}/.config")
    os.chmod(f"{home.home}/real", 0)
    assert seen(home) == (b"?.config/systemd/user\0+.forward",) * 2


def test_names_without_end_are_counted(home: AccountEntry) -> None:
    for number in range(homes.MOST_ALIKE + 5):
        Path(home.home, f".forward+{number:04}").write_text("x")
    rows = seen(home)[0].split(b"\0")
    assert rows[0] == b"#5"
    assert len(rows) == 3 + homes.MOST_ALIKE
