"""The packages as they are built, before anybody installs one: the same each time, clean, and with the right modes."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jailssh
from tests.abilities import REPO
from tests.system import packaged

LOGIN = "usr/libexec/jailssh/jailssh-login"
# Of the package of debug symbols: debhelper of Debian 12 copies the field, which lintian of Debian 12 does not know.
KNOWN = {"W: jailssh-dbgsym: unknown-field Static-Built-Using"}


def out(*argv: str | Path, cwd: Path = REPO) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.needs("root", "login-program", "python3-packages", "debhelper", "lintian")
def test_lintian_finds_nothing_without_a_reason(deb: Path) -> None:
    (changes,) = deb.glob("*.changes")
    command = ["lintian", "--allow-root", "--tag-display-limit=0", "--display-info", "--color=never", str(changes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    found = [line for line in done.stdout.splitlines() if re.match(r"[EWI]: ", line) and line not in KNOWN]
    assert found == [], done.stderr


@pytest.mark.needs("root", "login-program", "python3-packages", "debhelper")
def test_the_same_files_give_the_same_package(deb: Path, tmp_path: Path) -> None:
    # In another folder, with another clock, language and umask.
    again = packaged.build(tmp_path / "again", 0o022, TZ="America/Lima", LC_ALL="C.UTF-8")
    # Not the source package: other tests may have put a file into the tree meanwhile.
    made_of_it = sorted(deb.glob("jailssh*.deb"))
    assert len(made_of_it) == 2
    for made in made_of_it:
        other = again.parent / made.name
        assert hashlib.sha256(made.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest(), made.name


@pytest.mark.needs("root", "login-program", "python3-packages", "debhelper")
def test_no_power_is_in_the_package_itself(deb: Path) -> None:
    rows = [line.split(maxsplit=5) for line in out("dpkg-deb", "-c", next(deb.glob("jailssh_*.deb"))).splitlines()]
    modes = {row[5].removeprefix("./"): (row[0], row[1]) for row in rows}
    assert {owner for _, owner in modes.values()} == {"root/root"}
    # The set-id bit comes by dpkg-statoverride, so that it belongs to a group which is there by then.
    assert modes[LOGIN][0] == "-rwxr-xr-x"
    files = {path: mode for path, (mode, _) in modes.items() if mode[0] != "l"}  # a link has no rights of its own
    assert [path for path, mode in files.items() if "s" in mode or "t" in mode or mode[8] == "w"] == []
    # Before the set-up no login meets anything of it.
    assert [path for path in modes if path.startswith(("etc/ssh", "etc/pam.d", "etc/systemd"))] == []
    assert [path for path in modes if "__pycache__" in path or path.endswith(".pyc") or "/test_" in path] == []


@pytest.mark.needs("root", "login-program", "python3-packages", "debhelper")
def test_the_programs_are_hardened_and_recorded(deb: Path, tmp_path: Path) -> None:
    out("dpkg-deb", "-x", next(deb.glob("jailssh_*.deb")), tmp_path)
    for name in ("jailssh-login", "jailssh-match"):
        header = out("readelf", "-lhd", tmp_path / "usr/libexec/jailssh" / name)
        assert "DYN (Position-Independent Executable" in header or "DYN (Shared object" in header
        assert "GNU_RELRO" in header
        assert "INTERP" not in header, "it is static"
        assert "(NEEDED)" not in header
        assert re.search(r"GNU_STACK(?:\s+0x\w+)+\s+RW ", header)
    out("sha256sum", "--check", "--quiet", "lib/jailssh/installed-digests", cwd=tmp_path / "usr")
    assert LOGIN.removeprefix("usr/") in (tmp_path / "usr/lib/jailssh/installed-digests").read_text()


@pytest.mark.needs("root", "login-program", "python3-packages", "rpm")
def test_rpm_has_the_same_files_and_the_right_modes(deb: Path, tmp_path: Path) -> None:
    rpm = out(REPO / "packaging/make-rpm", tmp_path).strip()
    rows = [line.split(maxsplit=8) for line in out("rpm", "-qplv", rpm).splitlines()]
    modes = {row[8].lstrip("/"): (row[0], row[2], row[3]) for row in rows}
    assert modes.pop(LOGIN) == ("-rwsr-x---", "root", "jailssh")
    assert {name for _, *names in modes.values() for name in names} == {"root"}
    files = {path: mode for path, (mode, *_) in modes.items() if mode[0] != "l"}
    assert [path for path, mode in files.items() if "s" in mode or mode[8] == "w"] == []
    there = {row[5].removeprefix("./") for row in (
        line.split(maxsplit=5) for line in out("dpkg-deb", "-c", next(deb.glob("jailssh_*.deb"))).splitlines()
    )}  # fmt: skip
    places = ("usr/bin/", "usr/libexec/jailssh/", "usr/lib/jailssh/", "usr/lib/systemd/", "usr/share/jailssh/")
    wanted = {path for path in there if path.startswith(places) and not path.endswith("/")}
    assert wanted - {LOGIN} - set(modes) == set()
    assert f"jailssh-{jailssh.__version__}-1" in rpm
    scripts = out("rpm", "-qp", "--scripts", rpm)
    assert "not removed: accounts are in a jail" in scripts
    assert "/usr/lib64" in out("rpm", "-qp", "--filetriggers", rpm)


@pytest.mark.needs("apparmor")
def test_the_parser_of_apparmor_takes_the_profile(tmp_path: Path) -> None:
    profile = REPO / "packaging/apparmor/usr.libexec.jailssh.jailssh-login"
    command = ["apparmor_parser", "--skip-kernel-load", "--skip-cache", "-M", "/etc/apparmor.d/abi/3.0"]
    out(*command, profile)
    damaged = tmp_path / "damaged"
    damaged.write_text(profile.read_text().replace("capability chown,", "capability all_of_them,"))
    assert subprocess.run([*command, damaged], capture_output=True, check=False).returncode != 0
    # Nobody has seen it deny, so it only tells.
    assert "complain" in profile.read_text()


@pytest.mark.needs("pip")
@pytest.mark.parametrize("verb", ["wheel", "install"])
def test_pip_is_told_what_to_do_instead(tmp_path: Path, verb: str) -> None:
    command = [sys.executable, "-m", "pip", verb, "--no-index", "--no-cache-dir", "--quiet", str(REPO)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode != 0
    assert "jailssh: pip cannot install it: its login program is set-user-ID root" in done.stdout + done.stderr
    assert "hint: as root, in the source tree: make install" in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []
