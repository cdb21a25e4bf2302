"""The page of equivalents: each line of ours is one that the command takes."""

from __future__ import annotations

import shlex
from pathlib import Path

from jailssh.console import main as cli

PAGE = Path(__file__).resolve().parents[3] / "packaging/man/jailssh-equivalents.7.in"


def test_each_command_is_one() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("jailssh ")]
    for line in lines:
        cli.parse(shlex.split(line)[1:])
    assert len(lines) > 40
