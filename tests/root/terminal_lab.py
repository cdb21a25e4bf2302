"""A terminal as sshd makes one, for a session of the login program; and what a session says by and by."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import termios
import time
from collections.abc import Sequence
from typing import Any

from tests.root.login_lab import Done, Lab, Session


class Terminal:
    """The terminal that sshd would have made; ``master`` is its end."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.master, self.slave = pty.openpty()
        self.resize(33, 111)
        self.before = termios.tcgetattr(self.slave)
        self.said = b""
        self.session: Session | None = None

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def start(self, command: str | None, argv: Sequence[bytes] | None = None) -> Session:
        def take() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        ends: dict[str, Any] = {"stdin": self.slave, "stdout": self.slave, "stderr": self.slave}
        self.session = self.lab.start(command, argv=argv, prepare=take, env=[b"TERM=xterm"], **ends)
        return self.session

    def read(self) -> bool:
        """Take what is there, up to the end; False at the end."""
        with contextlib.suppress(OSError):
            block = os.read(self.master, 65536)
            self.said += block
            return bool(block)
        return False

    def expect(self, text: bytes) -> None:
        """Read until ``text`` has come."""
        end = time.monotonic() + 10
        while text not in self.said:
            assert time.monotonic() < end, self.said
            if select.select([self.master], [], [], 0.05)[0]:
                self.read()

    def wait(self) -> Done:
        """Read to the end of the session; the slave that this test holds keeps the terminal alive."""
        assert self.session is not None
        while self.session.process.poll() is None:
            if select.select([self.master], [], [], 0.01)[0]:
                self.read()
        while select.select([self.master], [], [], 0)[0]:
            self.read()
        done = self.session.wait()
        return Done(done.code, self.said, b"", done.records)

    def close(self) -> None:
        for fd in {self.master, self.slave} - {-1}:
            with contextlib.suppress(OSError):
                os.close(fd)


def wait_for(session: Session, text: bytes) -> bytes:
    """Read what the command says until ``text`` is in it."""
    assert session.process.stdout is not None
    said = b""
    while text not in said:
        assert select.select([session.process.stdout], [], [], 10)[0], said
        block = os.read(session.process.stdout.fileno(), 4096)
        assert block, said
        said += block
    return said
