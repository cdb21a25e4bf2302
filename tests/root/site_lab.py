"""A configuration of its own, with plugins of third parties that do what they must not, for the whole command."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.host.paths import Layout
from tests.root.publish_lab import install_entry_points

PLUGIN = """
from jailssh.plugin.api import ImageNeeds, Option, PluginResult, Rule
class Plugin:
    api_version, name, summary, options = 2, "{name}", "s", (Option("list", "paths", "", "h"),)
    def image(self, jail, settings):
        return ImageNeeds(programs=("true",))
    def account(self, jail, account, settings):
        {account}
plugin = Plugin()
"""


ANSWER = 'return PluginResult((Rule("{0}.{1}", "{0}", "/usr/bin/true", ("{1}",)),), "{0}")'


NAMES = ("unruly", "other", "twin", "ending", "odd", "broken", "import-ends", "late", "kinds", "defaults", "textless")


ACCOUNTS = {
    "unruly": "raise RuntimeError('boom\\nand more')",
    "other": ANSWER.format("other", "true"),
    "twin": ANSWER.format("twin", "true"),
    "ending": "raise SystemExit(0)",
    "odd": "return PluginResult((Rule('odd.x', 'odd', '/usr/bin/true', ('x',), short_flags=5),), 'odd')",
    "late": "return None",
    "kinds": ANSWER.format("kinds", "true"),
    "defaults": ANSWER.format("defaults", "true"),
}


SOURCES = {
    "broken": "import no_such_module",
    "import-ends": "import sys\nsys.exit(0)",
    "kinds": PLUGIN.replace('"paths", ""', '"colour", "red"'),
    "defaults": PLUGIN.replace('"paths", ""', '"int", "many"'),
    "textless": PLUGIN.replace("class Plugin:", "class Textless(Exception):\n    __str__ = None\nclass Plugin:"),
}


ACCOUNTS["textless"] = "raise Textless()"


class Site:
    """A root with configuration and state of its own, and a Python with plugins of third parties."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.layout = Layout(root=str(folder / "root"))
        self.programs = programs
        self.site = folder / "site"
        for path in (self.layout.jails, self.layout.users, self.layout.keys, f"{self.layout.etc}/rights"):
            os.makedirs(path)
        install_entry_points(self.site)
        for name in NAMES:
            module = name.replace("-", "_") + "_plugin"
            account = ACCOUNTS.get(name, "return 1")
            text = SOURCES.get(name, PLUGIN).replace("{name}", name).replace("{account}", account)
            (self.site / f"{module}.py").write_text(text)
            info = self.site / f"{module}-1.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
            (info / "entry_points.txt").write_text(f"[jailssh.plugins]\n{name} = {module}:plugin\n")
        self.put("jailssh.conf", f"third_party_plugins = {' '.join(NAMES)}\n")

    def put(self, name: str, text: str) -> str:
        """Write a file of the configuration and return its path."""
        path = f"{self.layout.etc}/{name}"
        Path(path).write_text(text)
        return path

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run the command as it is installed, in a process of its own."""
        # What a table of rights needs of ours is built, and installed nowhere.
        ours = f"from jailssh.host.paths import Layout; Layout.repos_program = {str(self.programs / 'jailssh-repos')!r}"
        start = f"import sys; {ours}; from jailssh.console.main import main; sys.exit(main())"
        env = {"PATH": os.defpath + ":/usr/sbin:/sbin", "PYTHONPATH": os.pathsep.join([str(self.site), *sys.path])}
        argv = (sys.executable, "-c", start, "--root", self.layout.root, *argv)
        return subprocess.run(argv, env=env, capture_output=True, text=True, timeout=120, check=False)

    def check(self) -> list[str]:
        """Return what ``config check`` says, which must be errors and no more, without changing anything."""
        before = self.tree()
        done = self.run("config", "check")
        assert done.returncode == 1, done
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        assert self.tree() == before
        return done.stderr.splitlines()

    def tree(self) -> dict[str, tuple[int, int, str]]:
        """Return every file below the root with mode, inode and digest of its content."""
        found = {}
        for folder, dirs, files in os.walk(self.layout.root):
            for name in (*dirs, *files):
                path = os.path.join(folder, name)
                info = os.lstat(path)
                data = Path(path).read_bytes() if os.path.isfile(path) and not os.path.islink(path) else b""
                found[path] = (info.st_mode, info.st_ino, hashlib.sha256(data).hexdigest())
        return found


@pytest.fixture
def site(tmp_path: Path, build_dir: Path) -> Iterator[Site]:
    yield Site(tmp_path, build_dir)
