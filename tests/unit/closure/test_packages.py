"""What is read of dpkg's files: made ones, and this host's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from jailssh.closure.errors import ImageError
from jailssh.closure.packages import Package, Packages, installed, is_part
from jailssh.closure.sources import Sources
from jailssh.core.errors import HostError
from jailssh.core.names import HostPath
from tests.unit.closure.dpkg import Dpkg

STATUS = """\
Package: dpkg
Status: install ok installed
Architecture: amd64
Description: text
 Package: not-a-package

Package: tool
Status: install ok installed
Architecture: amd64
Source: suite (1.0-1)
Depends: libtool (>= 1), other:any | none [amd64],
 late
Provides: virtual (= 2)

Package: libtool
Status: hold ok installed
Architecture: amd64
Multi-Arch: same
Source: suite
Pre-Depends: virtual

Package: libtool
Status: install ok installed
Architecture: i386
Multi-Arch: same
Source: suite

Package: other
Status: install ok installed
Architecture: all
Depends: tool

Package: late
Status: deinstall ok config-files
Architecture: all
"""


@pytest.fixture
def dpkg(tmp_path: Path) -> Dpkg:
    made = Dpkg(tmp_path)
    made.status(STATUS)
    made.list("tool", "/usr/bin/tool", "/usr/share/doc/tool/copyright")
    made.list("libtool:amd64", "/lib/libtool.so.1")
    made.list("libtool:i386", "/lib/i386/libtool.so.1")
    made.list("other", "/usr/bin/tool-extra")
    return made


def names(packages: list[Package]) -> list[str]:
    return [package.name for package in packages]


def test_packages_and_what_they_need(dpkg: Dpkg) -> None:
    packages = dpkg.packages()
    assert {name for name in packages.by_name if ":" not in name} == {"dpkg", "tool", "libtool", "other"}
    tool = packages.must_have("tool")
    assert (tool.source, tool.depends, tool.provides) == ("suite", ("libtool", "other", "none", "late"), ("virtual",))
    assert sorted(names(packages.needed([tool]))) == ["libtool", "other", "tool"]
    assert names(packages.of_one_source([tool])) == ["tool", "libtool"]
    assert names(packages.needed([packages.must_have("libtool")]))[:2] == ["libtool", "tool"], "by what it provides"
    assert packages.must_have("libtool").listed[0] == "libtool:amd64.list"
    assert packages.must_have("libtool:i386").listed[0] == "libtool:i386.list"
    assert names(packages.matching("lib*")) == ["libtool"]


@pytest.mark.parametrize(("name", "why"), [("late", "not installed"), ("../x", "not a name"), ("Tool", "not a name")])
def test_what_is_not_there_is_said(dpkg: Dpkg, name: str, why: str) -> None:
    with pytest.raises(ImageError, match=why):
        dpkg.packages().must_have(name)


def test_a_list_that_is_missing_is_an_error_with_the_cure(dpkg: Dpkg) -> None:
    packages = dpkg.packages()
    assert packages.files(packages.must_have("other"), Sources(HostPath(str(dpkg.place)))) == ["/usr/bin/tool-extra"]
    (dpkg.folder / "info/other.list").unlink()
    with pytest.raises(ImageError, match="package other: its list of files is missing") as raised:
        packages.files(packages.must_have("other"), Sources(HostPath(str(dpkg.place))))
    assert raised.value.hint == "apt-get install --reinstall other"


def test_whose_a_file_is(dpkg: Dpkg) -> None:
    packages = dpkg.packages()
    owned = {"/usr/bin/tool": "tool", "/usr/lib/libtool.so.1": "libtool", "/usr/bin/tool-extra": "other"}
    for path, name in owned.items():
        owner = packages.owner(path)
        assert owner is not None
        assert owner.name == name
    for path in ("/usr/bin/too", "/bin/tool", "/usr/local/bin/tool"):
        assert packages.owner(path) is None, path


def test_a_new_status_is_read(dpkg: Dpkg) -> None:
    assert "extra" not in dpkg.packages().by_name
    dpkg.status(STATUS + "\nPackage: extra\nStatus: install ok installed\nArchitecture: all\n")
    assert "extra" in dpkg.packages().by_name


def test_a_status_of_others_is_not_believed(dpkg: Dpkg) -> None:
    (dpkg.folder / "status").chmod(0o666)
    with pytest.raises(HostError):
        installed(str(dpkg.folder), "/nonexistent")


def test_no_dpkg_is_no_packages(tmp_path: Path) -> None:
    packages = installed(str(tmp_path / "none"))
    assert packages == Packages(str(tmp_path / "none"))
    assert packages.owner("/usr/bin/env") is None
    assert list(packages.choices(Sources())) == []


def test_the_names_that_alternatives_give(dpkg: Dpkg, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/tool-2").write_text("x")
    (tmp_path / "bin/tool").symlink_to("tool-2")
    (tmp_path / "bin/gone").symlink_to("nothing")
    (tmp_path / "man").mkdir()
    (tmp_path / "man/tool.1").write_text("x")
    followers = f"tool.1\n{tmp_path}/man/tool.1\nslave\n{tmp_path}/bin/gone\n"
    text = f"auto\n{tmp_path}/bin/tool\n{followers}\n{tmp_path}/bin/tool-2\n"
    dpkg.choice("tool", text)
    found = list(dpkg.packages().choices(Sources(HostPath(str(tmp_path)))))
    assert found == [(f"{tmp_path}/bin/tool", f"{tmp_path}/bin/tool-2")]


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("/usr/lib/x/y.so", True), ("/lib/terminfo/x", True), ("/etc/php/8.2/cli/php.ini", True),
        ("/usr/share/x", True), ("/usr/bin/x", False), ("/usr/share/doc/x", False), ("/usr/share/man/x", False),
        ("/usr/share/documents/x", True), ("/etc/ssl/private/key", False), ("/etc/init.d/x", False),
        ("/etc/ssl/certs/x", True), ("/var/lib/x", False), ("/var/lib/gems/x", True), ("/lib/systemd/x", False),
    ],
)  # fmt: skip
def test_what_is_a_part_of_a_program(path: str, is_one: bool) -> None:
    assert is_part(path) is is_one


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="no dpkg here")
def test_this_host_as_dpkg_says_it_is() -> None:
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${binary:Package} ${source:Package} ${db:Status-Status}\n"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    told = {tuple(line.split()[:2]) for line in done.stdout.splitlines() if line.endswith(" installed")}
    packages = installed()
    assert {name.partition(":")[0] for name, _ in told} == {name for name in packages.by_name if ":" not in name}
    for name, source in told:
        assert packages.by_name[name].source == source
    bash = packages.owner("/usr/bin/bash")
    assert bash is not None
    assert bash.name == "bash"
    listed = subprocess.run(["dpkg", "-L", "bash"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert set(packages.files(bash, Sources())) == set(listed.splitlines()) - {"/."}
