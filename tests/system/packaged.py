"""The Debian package: built of this tree, and a booted Debian that has what it depends on, and no network."""

from __future__ import annotations

import datetime
import hashlib
import os
import subprocess
from pathlib import Path

from tests.abilities import REPO
from tests.harness.shared import turn
from tests.system.booted import NO_SYNC, BootedTree, debootstrap, listed, mirror

# In the image of every jail with a shell, by way of ls(1), and no other package wants one version of it exactly.
LIBRARY = "libpcre2-8-0"
# What its Depends name, and the clients of the story.
_PACKAGES = (
    "systemd-sysv", "dbus", "libpam-systemd", "libpam-runtime", "openssh-server", "openssh-client", "procps", "passwd",
    "rsync", "git", "apparmor", "python3",
)  # fmt: skip
_CACHE = REPO / "build/trees"
ROOM = "/root/packages"


def build(target: Path, umask: int, **environment: str) -> Path:
    """Build the package, and the source package, into ``target``; return its path."""
    done = subprocess.run(
        [REPO / "packaging/make-deb", target],
        env={"PATH": os.environ["PATH"], **environment}, umask=umask,
        capture_output=True, text=True, timeout=600, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return Path(done.stdout.strip())


def repacked(deb: Path, target: Path, version: str, library: bool = False) -> Path:
    """Return a package of the same files with another version; a ``library`` gets another content as well."""
    target.mkdir(parents=True, exist_ok=True)
    tree = target / "tree"
    _out("dpkg-deb", "-R", str(deb), str(tree))
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text("".join(f"{f'Version: {version}' if line[:8] == 'Version:' else line}\n" for line in lines))
    for path in sorted(tree.rglob("*.so.*")) if library else ():
        if not path.is_symlink():
            _out("objcopy", "--add-section", f".later={control}", str(path))
    made = target / "made.deb"
    _out("dpkg-deb", "--root-owner-group", "-Znone", "-b", str(tree), str(made))
    return made


def _out(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


def archive(suite: str, log: str) -> Path:
    """Return the archive of a Debian with systemd, sshd, Python, and a package in ``ROOM``; one of this week will do.

    ``log``: the file for the words of mmdebstrap.
    """
    names = ",".join((*_PACKAGES, *listed("python")))
    argv = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={names}", "--dpkgopt=force-unsafe-io"]
    argv.append(f"--hook-dir={NO_SYNC}")
    get = f"mkdir {ROOM}; cd {ROOM}; apt-get -q download {LIBRARY}"
    argv += [f"--customize-hook=chroot \"$1\" sh -c '{get}'", suite]
    week = datetime.date.today().strftime("%G-%V")
    name = hashlib.sha256(repr((argv, mirror(), week)).encode()).hexdigest()[:16]
    _CACHE.mkdir(parents=True, exist_ok=True)
    path = _CACHE / f"{suite}-{name}.tar"
    with turn(_CACHE / f"{suite}.lock"):
        if not path.exists():
            for old in _CACHE.glob(f"{suite}-*"):
                old.unlink()
            part = path.with_suffix(".part.tar")
            debootstrap([*argv, str(part), mirror()], log)
            part.rename(path)
    return path


class PackagedTree(BootedTree):
    """A booted Debian without jailssh, in which the packages wait: :meth:`install` installs one of them."""

    _shown = ()

    def __init__(self, suite: str, packages: dict[str, Path]) -> None:
        self._packages = packages
        super().__init__(suite)

    def _make(self) -> None:
        os.mkdir(self.tree)
        source = archive(self.suite, f"{self.folder}/log")
        _out("tar", "-C", self.tree, "--numeric-owner", "--xattrs", "-xf", str(source))
        self._name_it()

    def _install(self) -> None:
        room = Path(f"{self.tree}{ROOM}")
        (found,) = room.glob(f"{LIBRARY}_*.deb")
        packages = {**self._packages, LIBRARY: repacked(found, Path(self.folder, "library"), "9:1", library=True)}
        for name, path in packages.items():
            (room / f"{name}.deb").write_bytes(path.read_bytes())

    def install(self, name: str) -> str:
        """Install a package by its name here; return what was said."""
        done = self.run(f"DEBIAN_FRONTEND=noninteractive dpkg --install {ROOM}/{name}.deb 2>&1")
        assert done.returncode == 0, done.stdout
        return done.stdout
