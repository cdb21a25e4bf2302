"""The variables that no client may set: config/jails.py and login/env.c refuse the same."""

from __future__ import annotations

import re
from pathlib import Path

from jailssh.config import jails

SOURCE = (Path(__file__).resolve().parents[2] / "jailssh/login/env.c").read_text()


def _listed(name: str) -> set[str]:
    found = re.search(rf"{name}\[\] = \{{([^}}]*)\}}", SOURCE)
    assert found
    return set(re.findall(r'"(\w+)"', found[1]))


def test_the_same_names_are_refused_on_both_sides() -> None:
    parts = jails._ENV_REFUSED.pattern.removeprefix("(").removesuffix(r")\Z").split("|")
    assert ".*PATH" in parts
    assert 'strncasecmp(name + length - 4, "PATH", 4) == 0' in SOURCE
    assert _listed("begins") == {part.removesuffix(".*") for part in parts if part.endswith(".*")}
    named = {part for part in parts if "*" not in part}
    assert _listed("whole") == {name for name in named if not name.endswith("PATH")}
