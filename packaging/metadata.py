"""metadata.py DIRECTORY: write the project's ``.dist-info`` there, so that its entry points are found.

``metadata.py --version`` prints the version instead.

The plugins are found through entry points (importlib.metadata), in an installation and in a source tree alike.  A
wheel brings its own metadata; this is for the two places where no wheel is unpacked.
"""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent


def version() -> str:
    """Return the version that the package names."""
    text = (SOURCE / "jailssh" / "__init__.py").read_text()
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise SystemExit("metadata.py: jailssh/__init__.py names no version")
    return found[1]


def write_metadata(target: Path) -> None:
    """Replace every ``jailssh-*.dist-info`` below ``target`` by one that says what pyproject.toml says."""
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    for old in target.glob("jailssh-*.dist-info"):
        shutil.rmtree(old)
    folder = target / f"jailssh-{version()}.dist-info"
    folder.mkdir(parents=True)
    head = ["Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {version()}"]
    head += [f"Summary: {project['description']}", f"Requires-Python: {project['requires-python']}"]
    head += [f"Requires-Dist: {requirement}" for requirement in project["dependencies"]]
    (folder / "METADATA").write_text("\n".join(head) + "\n")
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    lines = []
    for group, entries in groups.items():
        lines.append(f"[{group}]")
        lines += [f"{name} = {value}" for name, value in entries.items()]
    (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "--version":
        print(version())
    else:
        write_metadata(Path(sys.argv[1]))
