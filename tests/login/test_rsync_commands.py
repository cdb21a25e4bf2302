"""What rsync's clients send, judged by the real matcher."""

from __future__ import annotations

from typing import Any

import pytest

from tests.login.commands import HOME
from tests.login.rsync_commands import PULLED, PUSHED, RSYNC_ROWS

pytestmark = pytest.mark.needs("login-program")


@pytest.mark.parametrize(("jail", "command", "expected"), RSYNC_ROWS)
def test_rsync(decide: Any, jail: Any, command: Any, expected: Any) -> None:
    assert decide(jail, command) == expected


@pytest.mark.parametrize("options", PUSHED)
def test_rsync_options_that_a_pushing_client_sends(decide: Any, options: Any) -> None:
    """Options go through unchanged; a relative directory is relative to the destination, as rsync(1) says."""
    command = f"rsync --server {options} . backup/x"
    argv = ["rsync", "--server", *options.split(), ".", "backup/x"]
    assert decide("backup", command) == ("rsync.push", argv)


@pytest.mark.parametrize(
    ("option", "word", "executed"),
    [
        ("--usermap=\\*:root", "--usermap=*:root", []),
        ("--temp-dir ~/backup/tmp", "--temp-dir", [HOME + "/backup/tmp"]),
        ("--link-dest /home/alice/backup/1", "--link-dest", [HOME + "/backup/1"]),
        ("--partial-dir=/home/alice/backup/p", "--partial-dir=/home/alice/backup/p", []),
    ],
)
def test_rsync_values(decide: Any, option: Any, word: Any, executed: Any) -> None:
    argv = ["rsync", "--server", "-e.L", word, *executed, ".", "backup/x"]
    assert decide("backup", f"rsync --server -e.L {option} . backup/x") == ("rsync.push", argv)


@pytest.mark.parametrize("options", PULLED)
def test_rsync_options_that_a_pulling_client_sends(decide: Any, options: Any) -> None:
    argv = ["rsync", "--server", "--sender", *options.split(), ".", "/srv/data/x"]
    assert decide("pull", f"rsync --server --sender {options} . /srv/data/x") == ("rsync.pull", argv)
