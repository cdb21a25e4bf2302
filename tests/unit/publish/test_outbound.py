"""Networks with a way out, where the host does not let them be made."""

from __future__ import annotations

import time

import pytest

from jailssh.core.errors import HostError
from jailssh.host import process
from jailssh.publish import outbound


def test_why_there_is_no_namespace_is_said_at_once() -> None:
    begun = time.monotonic()
    said = "unshare: unshare failed: No space left on device"  # user.max_user_namespaces is 0
    script = f"sleep 0.1; echo '{said}' >&2; exit 1"
    with process.start(["sh", "-c", script]) as child, pytest.raises(HostError, match=f"cannot be made: {said}"):
        outbound._spaces(child)
    assert time.monotonic() - begun < 4
