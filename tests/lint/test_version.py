"""One version, wherever it is written; one list of C files."""

from __future__ import annotations

import re

import jailssh
from tests.abilities import REPO
from tests.lint.tree import LOGIN_C, PAM_C, name


def test_version() -> None:
    found = re.search(r"^  version: '([^']+)'", (REPO / "meson.build").read_text(), re.MULTILINE)
    assert found
    assert found[1] == jailssh.__version__


def test_version_of_the_debian_package() -> None:
    head = (REPO / "packaging/debian/changelog").read_text().splitlines()[0]
    assert head.split()[:2] == ["jailssh", f"({jailssh.__version__})"]


def test_packages_depend_on_what_the_program_needs() -> None:
    """What building and running need is listed for make; a package that does not name it does not build, or run."""
    source, binary = (REPO / "packaging/debian/control").read_text().split("\n\n", 1)
    python = _lines("packaging/packages-python.txt")
    # Essential for building in Debian, for the private environment, or for Python packages that are compiled there.
    others = {"gcc", "libc6-dev", "make", "ninja-build", "libseccomp2", "libseccomp-dev", "libsystemd-dev",
              "python3-dev", "python3-venv"}  # fmt: skip
    assert _lines("packaging/packages-build.txt") - others - _named(source) == set()
    assert python - _named(source) == set()
    assert python - _named(binary) == set()


def _lines(path: str) -> set[str]:
    return {line for line in (REPO / path).read_text().splitlines() if line and not line.startswith("#")}


def _named(text: str) -> set[str]:
    return set(re.findall(r"^ ([a-z0-9+.-]+)(?: \(.*\))?,$", text, re.MULTILINE))


def test_every_c_file_is_built() -> None:
    built = set(re.findall(r"'((?:jailssh/login|pam)/[\w/]+\.c)'", (REPO / "meson.build").read_text()))
    assert built == {name(path) for path in (*LOGIN_C, *PAM_C) if path.suffix == ".c"}
