"""What make can make is listed by make help."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.abilities import REPO

# A step of install, of no use alone.
UNLISTED = {"stage"}


@pytest.mark.needs("make")
def test_help_lists_every_goal() -> None:
    text = (REPO / "Makefile").read_text()
    goals = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert goals
    done = subprocess.run(["make", "--silent", "help"], cwd=REPO, capture_output=True, text=True, check=True)
    rows = [re.fullmatch(r"make ([a-z-]+) +(\S.*)", line) for line in done.stdout.splitlines()]
    listed = [row[1] for row in rows if row]
    assert len(listed) == len(rows), done.stdout
    assert sorted(listed) == sorted(set(goals[1].split()) - UNLISTED)
