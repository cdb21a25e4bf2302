"""make install on a host that reaches no index of packages: from wheels in a directory, or with Debian's packages."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.abilities import REPO

pytestmark = pytest.mark.needs("login-program", "make", "root", "namespaces", "pip")
CARRIED = ("configobj", "elftools", "pam", "paramiko", "rich", "systemd")


def make(*arguments: str, network: bool = False) -> list[str]:
    """Run make with a build directory of its own; return the lines that it says."""
    # Flags of an outer make would reach this one.
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    command = [*([] if network else ["unshare", "--net"]), "make", "--silent", *arguments]
    done = subprocess.run(command, cwd=REPO, env=env, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return (done.stdout + done.stderr).splitlines()


def runs(destdir: Path) -> set[str]:
    """Run the installed command; return the Python packages beside it."""
    program = destdir / "opt/jailssh/bin/jailssh"
    done = subprocess.run([program, "plugins"], env={}, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "sftp" in done.stdout
    return {path.name for path in (destdir / "opt/jailssh/lib/jailssh/python").iterdir()}


def test_from_wheels(tmp_path: Path) -> None:
    wheels, room, destdir = tmp_path / "wheels", tmp_path / "room", tmp_path / "root"
    assert make(f"ROOM={room}", f"WHEELS={wheels}", "wheels", network=True)[-1] == f"wheels: into {wheels}"
    said = make(
        f"ROOM={room}", f"WHEELS={wheels}", "LOGIN_CC=cc", f"DESTDIR={destdir}", "PREFIX=/opt/jailssh", "install"
    )
    assert said == [
        f"build: the Python packages that an installation carries, from {wheels}",
        "note: there is no musl-gcc: with another C library jailssh-login is larger and slower to start",
        "install: compiling",
        f"install: files into {destdir}/opt/jailssh",
        "install: next step: /opt/jailssh/bin/jailssh setup",
    ]
    assert set(CARRIED) <= runs(destdir)


@pytest.mark.needs("python3-packages")
def test_with_the_distributions_packages(tmp_path: Path) -> None:
    destdir = tmp_path / "root"
    make(f"ROOM={tmp_path / 'room'}", "SYSTEM_PACKAGES=1", f"DESTDIR={destdir}", "PREFIX=/opt/jailssh", "install")
    assert {name for name in runs(destdir) if not name.startswith("jailssh")} == set()
    # And what an installation of the other kind carried goes.
    library = destdir / "opt/jailssh/lib/jailssh"
    (library / "python/rich").mkdir()
    (library / "python/rich/old.py").touch()
    with (library / "installed-files").open("a") as stream:
        stream.write("/opt/jailssh/lib/jailssh/python/rich/old.py\n")
    make(f"ROOM={tmp_path / 'room'}", "SYSTEM_PACKAGES=1", f"DESTDIR={destdir}", "PREFIX=/opt/jailssh", "install")
    assert not (library / "python/rich/old.py").exists()
