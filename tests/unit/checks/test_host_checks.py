"""The host and the installation: what follows from the facts, row by row."""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from jailssh.change.transaction import Unfinished
from jailssh.checks import holes, kernel, program, state, versions
from jailssh.checks.program import Program
from jailssh.checks.state import Leftover
from jailssh.core.errors import ConfigError, HostError
from jailssh.host import packages, pins
from jailssh.integrity.finding import Finding


def ids(findings: Iterable[Finding]) -> list[str]:
    return [each.kind.id for each in findings]


LOGIN = "/x/libexec/jailssh/jailssh-login"
RIGHT = Program(LOGIN, mode=0o104750, digest="a", recorded="a", login=True)
BESIDE = Program("/x/libexec/jailssh/jailssh-match", digest="b", recorded="b")
PROGRAMS: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({}, {}, []),
    ({"uid": 1000}, {}, ["JSH-602"]),
    ({"mode": 0o104770}, {}, ["JSH-602"]),
    ({"mode": 0o104757}, {}, ["JSH-602"]),
    ({"digest": "c"}, {}, ["JSH-603"]),
    ({"recorded": ""}, {}, []),
    ({"links": 2}, {}, ["JSH-605"]),
    ({"mode": 0o100755, "capabilities": program.NEEDED}, {}, []),
    ({"mode": 0o100755, "capabilities": program.NEEDED | 1}, {}, ["JSH-606"]),
    ({"capabilities": program.NEEDED}, {}, ["JSH-606"]),
    ({}, {"mode": 0o104755}, ["JSH-606"]),
    ({}, {"capabilities": 1}, ["JSH-606"]),
    ({}, {"digest": "c"}, ["JSH-603"]),
    ({}, {"links": 2}, []),
    ({"login": False, "mode": 0o100755}, {}, ["JSH-601"]),
]


@pytest.mark.parametrize(("login", "beside", "expected"), PROGRAMS)
def test_the_programs(login: dict[str, Any], beside: dict[str, Any], expected: list[str]) -> None:
    facts = program.Facts(LOGIN, (replace(RIGHT, **login), replace(BESIDE, **beside)))
    assert ids(program.judge(facts)) == expected


def test_the_place_and_the_host_of_the_login_program() -> None:
    facts = program.Facts(LOGIN, (RIGHT,), "/x: is writable by group", (HostError("this host", "is too old"),))
    assert ids(program.judge(facts)) == ["JSH-604", "JSH-607"]


KERNEL = [
    ({}, None, []),
    ({setting.name: int(setting.wanted) for setting in kernel.SETTINGS}, ("capability", "apparmor"), []),
    ({"fs.protected_symlinks": 0}, None, ["JSH-621"]),
    ({"fs.protected_hardlinks": 0}, None, ["JSH-621"]),
    ({"fs.suid_dumpable": 1}, None, ["JSH-621"]),
    ({"fs.suid_dumpable": 2}, None, []),
    ({"kernel.kptr_restrict": 0, "dev.tty.legacy_tiocsti": 1}, None, ["JSH-622"] * 2),
    ({"user.max_user_namespaces": 9}, None, ["JSH-622"]),
    ({"user.max_user_namespaces": 0}, None, []),
    ({"user.max_user_namespaces": 9, "kernel.unprivileged_userns_clone": 0}, None, []),
    ({"user.max_user_namespaces": 9, "kernel.apparmor_restrict_unprivileged_userns": 1}, None, []),
    ({}, ("capability", "landlock"), ["JSH-623"]),
    ({}, ("capability", "selinux"), []),
]  # fmt: skip


@pytest.mark.parametrize(("values", "modules", "expected"), KERNEL)
def test_the_kernel(values: dict[str, int], modules: tuple[str, ...] | None, expected: list[str]) -> None:
    assert ids(kernel.judge(kernel.Facts(values, modules))) == expected


TODAY = holes.DATE
VERSIONS = [
    ("debian 12", {}, TODAY, []),
    ("debian 12", {"openssh-server": "1:9.2p1-2+deb12u10", "rsync": "3.5.0+ds1-0+deb12u1"}, TODAY, []),
    ("debian 12", {"openssh-server": "1:9.2p1-2+deb12u9"}, TODAY, ["JSH-632"]),
    ("debian 12", {"openssh-server": "1:9.2p1-2+deb12u2"}, TODAY, ["JSH-631"]),
    ("debian 12", {"rsync": "3.2.7-1+deb12u4", "git": "1:2.39.5-0+deb12u2"}, TODAY, ["JSH-632"] * 2),
    ("debian 13", {"rsync": "3.4.1+ds1-5+deb13u4", "git": "1:2.39.5-0+deb12u2"}, TODAY, ["JSH-632"]),
    ("debian 12", {"libc6": "2.36-9+deb12u2", "linux": "6.1.69-1"}, TODAY, ["JSH-631"] * 2),
    ("ubuntu 24.04", {"rsync": "3.2.7-1"}, TODAY, ["JSH-634"]),
    ("", {}, TODAY, ["JSH-634"]),
    ("debian 12", {}, TODAY + datetime.timedelta(days=366), ["JSH-633"]),
]


@pytest.mark.parametrize(("distribution", "present", "today", "expected"), VERSIONS)
def test_packages(distribution: str, present: dict[str, str], today: datetime.date, expected: list[str]) -> None:
    assert ids(versions.judge(versions.Facts(distribution, present, today))) == expected


def test_the_table_of_holes_is_whole() -> None:
    for hole in holes.HOLES:
        assert all(name.startswith("CVE-") for name in hole.names)
        assert hole.why
        assert set(hole.mended) <= holes.distributions()
        assert all(packages.compare(version, "0") > 0 for version in hole.mended.values())
    assert holes.distributions() == {"debian 12", "debian 13"}


ORDER = [
    "0~", "0", "0.9", "1.0~~", "1.0~~a", "1.0~", "1.0~rc1-1", "1.0~rc2-1", "1.0", "1.0-1", "1.0-1+deb12u9",
    "1.0-1+deb12u10", "1.0-2", "1.0a-1", "1.0+b-1", "1.0.1", "1.1", "1.00010", "1:0.1", "1:9.2p1-2", "2:0",
]  # fmt: skip


def test_versions_are_ordered_as_dpkg_orders_them() -> None:
    for at, one in enumerate(ORDER):
        for other in ORDER[at + 1 :]:
            assert packages.compare(one, other) < 0 < packages.compare(other, one), (one, other)
        assert packages.compare(one, one) == 0
    assert packages.compare("1.0-01", "1.00-1") == 0


def test_dpkg_says_the_same() -> None:
    script = "\n".join(f'dpkg --compare-versions "{one}" lt "{two}" || exit 1' for one, two in pairwise(ORDER))
    assert subprocess.run(["sh", "-c", script], check=False).returncode == 0


def test_installed_versions_come_from_the_status_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Package: a\nStatus: install ok installed\nDescription: x\n Version: 9\nVersion: 1:2-3\n\n"
    text += "Package: b\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: ab\nStatus: install ok installed\n"
    (tmp_path / "status").write_text(text)
    monkeypatch.setattr(packages, "STATUS", str(tmp_path / "status"))
    assert packages.versions(["a", "b", "c"]) == {"a": "1:2-3"}
    monkeypatch.setattr(packages, "STATUS", str(tmp_path / "none"))
    assert packages.versions(["a"]) == {}


STATE: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"unfinished": (Unfinished("account-al", what="adduser al", goes=("shell",)),)}, ["JSH-641"]),
    ({"unfinished": (Unfinished("setup", damaged="is damaged"),)}, ["JSH-641"]),
    ({"pending": None}, ["JSH-642"]),
    ({"pending": "group jailssh: system group"}, ["JSH-643"]),
    ({"owed": (ConfigError("reload of sshd", "was interrupted"),)}, ["JSH-644"]),
    ({"daemon": ("no process listens on its socket", "x")}, ["JSH-645"]),
    ({"failed": ("jailsshd.service", "jailssh-update.timer")}, ["JSH-646"] * 2),
    ({"left": (Leftover("tree /x", "/x", "its build was interrupted"),)}, ["JSH-647"]),
    ({"bundle": "the newest bundle was signed at an unknown time"}, ["JSH-649"]),
    ({"closed": (("ann", "needs the program pasta", "install passt"),)}, ["JSH-651"]),
    ({"guard": "does not run: failed"}, ["JSH-652"]),
    ({"pinned": ("/run/jailssh/ns/tree-1-2",)}, ["JSH-648"]),
]


@pytest.mark.parametrize(("facts", "expected"), STATE)
def test_the_state(facts: dict[str, Any], expected: list[str]) -> None:
    assert ids(state.judge(state.Facts(**facts))) == expected


def test_pins_of_known_images_are_not_strange(tmp_path: Path) -> None:
    folder = tmp_path / "ns"
    folder.mkdir()
    for name in ("tree-1a-2b", "tree-1a-3c", "image-1a-4d", "1a-5e", "uts-host", "net", "pid"):
        (folder / name).touch()
    found = [Path(path).name for path in pins.strange(str(tmp_path), {(0x1A, 0x2B)})]
    assert found == ["1a-5e", "image-1a-4d", "tree-1a-3c"]
    assert pins.strange(str(tmp_path / "none"), set()) == []
