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


def test_every_c_file_is_built() -> None:
    built = set(re.findall(r"'((?:jailssh/login|pam)/[\w/]+\.c)'", (REPO / "meson.build").read_text()))
    assert built == {name(path) for path in (*LOGIN_C, *PAM_C) if path.suffix == ".c"}
