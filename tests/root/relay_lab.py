"""Plans with limits and logs, and clients of sessions whose streams are relayed."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jailssh.plan import codec, ops
from tests.root import login_lab
from tests.root.login_lab import Lab, Session, record

FAST = record("bandwidth", 10**12)
"""A limit that limits nothing: what it costs is the relay."""


def limited(*more: ops.Record, log: bool = False, **how: Any) -> bytes:
    """Return the lab's plan with more records, each where it belongs, and all rules with a log."""
    found = codec.decode(login_lab.plan(**how))
    rules = next(index for index, row in enumerate(found.records) if row.verb == "rule")
    head = sorted([*found.records[:rules], *more], key=lambda row: ops.BY_NAME[row.verb].phase)
    tail: list[ops.Record] = []
    for row in found.records[rules:]:
        if log and row.verb == "rule" and tail:
            tail.append(record("log"))
        tail.append(row)
    return codec.encode(replace(found, records=(*head, *tail, *([record("log")] if log else []))))


class Client:
    """The ends that sshd would have: one socket for input and output, or two pipes; and a pipe for errors."""

    def __init__(self, lab: Lab, command: str, kind: str) -> None:
        self.errors, errors = os.pipe()
        if kind == "socketpair":
            ours, theirs = (end.detach() for end in socket.socketpair())
            self.input, self.output, ends = ours, os.dup(ours), (theirs, theirs)
        else:
            (stdin, self.input), (self.output, stdout) = os.pipe(), os.pipe()
            ends = (stdin, stdout)
        self.kind = kind
        self.session: Session = lab.start(command, stdin=ends[0], stdout=ends[1], stderr=errors)
        for fd in {*ends, errors}:
            os.close(fd)

    def end_input(self) -> None:
        """Let the command see the end of its input, and nothing else."""
        if self.kind == "socketpair":
            with socket.socket(fileno=os.dup(self.input)) as end:
                end.shutdown(socket.SHUT_WR)
        else:
            os.close(self.input)
            self.input = -1

    def exchange(self, size: int, block: int = 1 << 16) -> tuple[int, float]:
        """Send ``size`` bytes while all output is read; return how much came until the end, and the seconds."""
        begin, sent, got, data = time.monotonic(), 0, 0, bytes(block)
        os.set_blocking(self.input, False)
        while True:
            writes = [self.input] if sent < size else []
            readable, writable, _ = select.select([self.output], writes, [], 20)
            assert readable or writable, (sent, got)
            if writable:
                sent += os.write(self.input, data[: size - sent])
                if sent == size:
                    self.end_input()
            if readable:
                new = len(os.read(self.output, block))
                got += new
                if not new:
                    return got, time.monotonic() - begin

    def close(self) -> None:
        """Close all ends that are still open."""
        for fd in {self.input, self.output, self.errors} - {-1}:
            os.close(fd)
        self.input = self.output = self.errors = -1


def read_all(fd: int) -> bytes:
    """Read to the end."""
    found = b""
    while block := os.read(fd, 1 << 16):
        found += block
    return found


def cpu_ticks(pids: Sequence[int]) -> int:
    """Return the CPU time that processes have used, in ticks (proc(5))."""
    rows = [Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in pids]
    return sum(int(row[11]) + int(row[12]) for row in rows)


def asleep(pid: int) -> bool:
    """Return whether a process waits for something."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "S"
