"""What a program gives into keeping is there for its next run, however soon after that it ended."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.services.fd_store import Kept

GIVES = """
import os, socket, sys
line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
line.connect(os.environ["NOTIFY_SOCKET"])
for name in sys.argv[1:]:
    socket.send_fds(line, [f"FDSTORE=1\\nFDNAME={name}".encode()], [os.memfd_create(name)])
line.send(b"FDSTOREREMOVE=1\\nFDNAME=" + sys.argv[1].encode())
"""


class _Once(Kept):
    """Runs the program once, and looks at it only when it has ended."""

    def run(self) -> list[str]:
        pid = self._start()
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        pidfd = os.pidfd_open(pid)
        try:
            self._attend(pid, pidfd, lambda: None)
        finally:
            os.close(pidfd)
        return [name for name, _ in self._kept]

    def close(self) -> None:
        for _, fd in self._kept:
            os.close(fd)
        self._socket.close()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[_Once]:
    argv = [sys.executable, "-c", GIVES, "first", "second", "third"]
    kept = _Once(argv, {}, str(tmp_path / "notify"), (os.getuid(), os.getgid()))
    yield kept
    kept.close()


def test_all_that_was_given_before_the_end_is_kept(kept: _Once) -> None:
    assert kept.run() == ["second", "third"]
