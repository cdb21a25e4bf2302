"""What the tests of builds share: a place of root's, a source file, the command run in this process."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jailssh.console import main as cli
from jailssh.jail.configuration import installed_plugins

REPO = str(Path(cli.__file__).parents[2])


class Site:
    """A directory of root's with a source file, specs and a target."""

    def __init__(self, base: Any, capsys: pytest.CaptureFixture[str]) -> None:
        self.base = base
        self.src = base / "SRC"
        self.src.mkdir()
        self.tree = base / "root"
        self.data = self.src / "data.txt"
        self.data.write_text("hello\n")
        self.data.chmod(0o640)
        self._capsys = capsys
        self.out = self.err = ""

    def spec(self, text: Any, name: Any = "t.jailspec") -> Any:
        path = self.base / name
        path.write_text(text.replace("SRC/", f"{self.src}/"))
        path.chmod(0o644)
        return str(path)

    def build(self, text: Any, *options: Any, target: Any = None) -> Any:
        return self.run("build", self.spec(text), str(target or self.tree), *options)

    def run(self, *argv: Any) -> Any:
        code = cli.main(["--root", str(self.base / "state"), *argv])
        said = self._capsys.readouterr()
        self.out, self.err = said.out, said.err
        return code

    def changes(self) -> Any:
        return int(self.out.rsplit(": ", 1)[1].split()[0])

    def mode(self, path: Any) -> Any:
        return stat.S_IMODE(os.lstat(f"{self.tree}{path}").st_mode)

    def read(self, path: Any) -> Any:
        return Path(f"{self.tree}{path}").read_text()

    def inside(self, *argv: Any) -> Any:
        return subprocess.run(["chroot", str(self.tree), *argv], capture_output=True, text=True, timeout=20)


def states(tree: Any) -> Any:
    """Everything below a directory with all of its status but the time of the last reading."""
    found = {}
    for path in [tree, *tree.rglob("*")]:
        info = path.lstat()
        found[path] = (info.st_mode, info.st_uid, info.st_gid, info.st_ino, info.st_mtime_ns, info.st_ctime_ns)
    return found


@pytest.fixture
def site(capsys: pytest.CaptureFixture[str]) -> Iterator[Site]:
    """A place that only root can write to, all the way up: ``/tmp`` would be refused."""
    old = os.umask(0o022)
    base = Path(tempfile.mkdtemp(dir="/run", prefix="jailssh-test-"))
    base.chmod(0o755)
    (base / "state").mkdir()
    (base / "state").chmod(0o755)
    yield Site(base, capsys)
    os.umask(old)
    shutil.rmtree(base)


def announce_plugins(folder: Path) -> None:
    """Announce the shipped plugins as an installation does."""
    project = tomllib.loads((Path(REPO) / "pyproject.toml").read_text())["project"]
    info = folder / "jailssh-0.dist-info"
    info.mkdir(parents=True)
    rows = "".join(f"{name} = {value}\n" for name, value in project["entry-points"]["jailssh.plugins"].items())
    (info / "entry_points.txt").write_text(f"[jailssh.plugins]\n{rows}")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: jailssh\nVersion: 0\n")
    installed_plugins.cache_clear()
