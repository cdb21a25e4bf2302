"""Whom sudo's files can mean, and what is kept of what sudo says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jailssh.checks import accounts
from jailssh.core.errors import HostError
from jailssh.host import install
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.integrity.kept import Kept
from jailssh.integrity.scene import Scene
from jailssh.services import spools
from jailssh.setup import looks

AL = AccountEntry("al", 1001, 1001, group="al", home="/home/al", shell="", gecos="", groups=(("al", 1001), ("g", 7)))


def read(path: str, *_: object) -> bytes | None:
    return Path(path).read_bytes() if Path(path).exists() else None


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(spools, "SUDOERS", (f"{tmp_path}/sudoers", f"{tmp_path}/sudoers.d/*"))
    monkeypatch.setattr(spools, "_SWITCH", f"{tmp_path}/nsswitch.conf")
    monkeypatch.setattr(install, "read_optional", read)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("al h = /bin/x", True),
        ("bo h = /bin/x", False),
        ("AL h = /bin/x", True),  # case_insensitive_user and case_insensitive_group are on unless switched off
        ("%G h = /bin/x", True),
        ("Al-1 h = /bin/x", False),
        ("%#7 h = /bin/x", True),
        ("%#1001 h = /bin/x", True),
        ("%#8 h = /bin/x", False),
        ('"al" h = /bin/x', True),
        ("User_Alias U = bo,al", True),
        ("ALL h = /bin/x", True),
        ("bo, !root , ALL h = /bin/x", True),
        ('"domain users",ALL h = /bin/x', True),
        ('"domain \\"users",ALL h = /bin/x', True),
        ("b\\ o,ALL h = /bin/x", True),
        ("bo,\\\n  ALL h = /bin/x", True),
        ("User_Alias U = ALL, !root\nU h = /bin/x", True),
        ("  ALL,!bo ALL = (ALL:ALL) ALL", True),
        ("root ALL=(ALL:ALL) ALL\n%sudo\tALL=(ALL:ALL) NOPASSWD: ALL\nbo h = (ALL) /bin/x : ALL = ALL", False),
        ("Defaults:ALL !lecture\nHost_Alias H = ALL\nRunas_Alias R = ALL\nCmnd_Alias C = ALL, !/bin/su", False),
    ],
)
def test_who_is_meant(text: str, meant: bool) -> None:
    assert looks.sudo_names(AL).isdisjoint(looks.sudo_words([text])) is not meant


def test_files_that_others_include(etc: Path) -> None:
    (etc / "more").mkdir()
    (etc / "more/a").write_text("al h = /bin/x\n")
    (etc / "local").write_text("bo h = /bin/x\n@include sudoers\n")
    (etc / "sudoers").write_text(f'@include "{etc}/local"\n#includedir more\n# @include nothing\n')
    assert [path.removeprefix(f"{etc}/") for path in spools.sudoers()] == ["sudoers", "local", "more/a"]


def test_names_of_included_files(etc: Path) -> None:
    """As sudo 1.9.13 reads them."""
    host = os.uname().nodename.partition(".")[0]
    names = ("a b", f"of {host}", f"{host}.d/x")
    (etc / f"{host}.d").mkdir()
    for name in names:
        (etc / name).write_text("al h = /bin/x\n")
    (etc / "sudoers").write_text(f'@include {etc}/a\\ b\n@include "of %h"\n@includedir %h.d\n')
    assert [path.removeprefix(f"{etc}/") for path in spools.sudoers()] == ["sudoers", *names]


@pytest.mark.parametrize(
    ("switch", "text", "others"),
    [
        ("", "al h = /bin/x", False),
        ("sudoers: files", "+staff h = /bin/x", True),
        ("sudoers: files", "al h = /bin/chmod +x /bin/y", False),
        ("sudoers: files sss", "", True),
        ("passwd: files ldap", "", False),
    ],
)
def test_whether_others_say_who_may(etc: Path, switch: str, text: str, others: bool) -> None:
    (etc / "nsswitch.conf").write_text(f"{switch}\n")
    assert spools.sudo_asks_others([text]) is others


def test_no_answer_is_noted_and_not_kept(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (etc / "sudoers").write_text("al h = /bin/x\n")

    def silent(*_: object) -> str:
        raise HostError("program sudo", "timed out after 10 seconds")

    monkeypatch.setattr(looks, "ask_sudo", silent)
    scene = Scene(Layout(root=str(etc)), Kept(Layout(root=str(etc))))
    files = accounts._files()
    assert accounts._sudo(scene, AL, files) == ""
    assert [error.what for error in scene.errors] == ["sudo for al"]
    monkeypatch.setattr(looks, "ask_sudo", lambda *_: "(root) ALL")
    assert accounts._sudo(scene, AL, files) == "(root) ALL"
