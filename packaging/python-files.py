"""python-files.py: list the files of the Python packages, one a line, for meson.build.

What belongs to the package is decided here alone: modules, the shipped profiles, the type marker; no tests.
"""

from __future__ import annotations

from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent


def python_files() -> list[str]:
    """Return the paths relative to the source tree, sorted."""
    found = [path for folder in ("jailssh", "plugins") for path in (SOURCE / folder).rglob("*.py")]
    found = [path for path in found if not path.name.startswith("test_") and path.name != "_build.py"]
    found += (SOURCE / "jailssh" / "profiles").glob("*.conf")
    return sorted(str(path.relative_to(SOURCE)) for path in found)


if __name__ == "__main__":
    print("\n".join(python_files()))
