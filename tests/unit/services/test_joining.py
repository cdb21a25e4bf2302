"""What stands between the administrator and a command in a session: streams that are passed on, and their ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.harness.source import REPO


@pytest.mark.parametrize("said", [b"", b"one\ntwo\n"])
def test_an_input_that_ends_is_passed_on_and_nothing_is_closed_twice(said: bytes) -> None:
    code = "from jailssh.services import joining; raise SystemExit(joining.run(['/bin/cat'], [], terminal=False))"
    # -X dev: a file that somebody else has closed by its descriptor is told, as by Python 3.13 always.
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore", "-c", code], cwd=REPO, input=said, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, said, b"")
