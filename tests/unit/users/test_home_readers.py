"""The table of who reads what in a home is whole, and is what the manual says."""

from __future__ import annotations

import re
from pathlib import Path

from jailssh.core.home_readers import HOME_READERS, WAYS, covers

MANUAL = Path(__file__).resolve().parents[3] / "jailssh/users/README.md"


def test_covers_are_names_at_the_top() -> None:
    names = [name for name, _ in covers()]
    assert len(set(names)) == len(names)
    assert all("/" not in name and "*" not in name and name.startswith(".") for name in names)
    assert {".ssh", ".forward", ".procmailrc", ".pam_environment"} <= set(names)
    # An empty one of these would lock people out.
    assert {".k5login", ".k5users"}.isdisjoint(names)
    assert dict(covers())[".ssh"] == "directory"
    assert dict(covers())[".forward"] == "file"


def test_every_path_stands_once_and_is_relative() -> None:
    paths = [row.path for row in HOME_READERS]
    assert len(set(paths)) == len(paths)
    assert all(not path.startswith("/") and ".." not in path for path in paths)
    assert all(row.programs and row.why and row.closed in WAYS for row in HOME_READERS)


def test_the_manual_has_the_table() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([a-z]+) \|$", MANUAL.read_text(), re.MULTILINE)
    told = [(path, programs.strip(), why.strip(), closed) for path, programs, why, closed in rows]
    assert told == [
        (row.path + ("/" if row.kind == "directory" else ""), ", ".join(row.programs), row.why, row.closed)
        for row in HOME_READERS
    ]
