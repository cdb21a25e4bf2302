"""One request of a Prometheus server by HTTP, and what it is answered; systemd accepts the connection.

A server of our own would run all the time with root's rights: a process for each question reads a bounded request,
understands nothing of it but its first line, and ends.
"""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress

PATIENCE = 5.0
"""Seconds for the request."""
_LONGEST = 8192
_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_PATHS = ("/", "/metrics")


def asked(fd: int, seconds: float = PATIENCE) -> bytes:
    """Return the head of the request that comes by ``fd``, as far as it came in time."""
    end, data = time.monotonic() + seconds, b""
    while b"\r\n\r\n" not in data and len(data) <= _LONGEST:
        ready, _, _ = select.select([fd], [], [], max(0.0, end - time.monotonic()))
        part = b""
        with suppress(OSError):
            part = os.read(fd, _LONGEST) if ready else b""
        if not part:
            break
        data += part
    return data


def refusal(request: bytes) -> bytes:
    """Return what a request is answered that is not one for the numbers; nothing for one that is."""
    words = request.partition(b"\r\n")[0].split(b" ")
    if b"\r\n\r\n" not in request or len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        return answer("400 Bad Request", "not a request for numbers\n")
    if words[0] != b"GET":
        return answer("405 Method Not Allowed", "only GET\n")
    if words[1].partition(b"?")[0].decode("latin-1") not in _PATHS:
        return answer("404 Not Found", "the numbers are at /metrics\n")
    return b""


def answer(status: str, text: str) -> bytes:
    """Return the whole answer."""
    body = text.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {_TYPE}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
