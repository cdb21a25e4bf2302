"""One request by HTTP: what is one for the numbers, what is not, and one that does not come."""

from __future__ import annotations

import os
import time

import pytest

from jailssh.audit import scrape

GOOD = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def got(*parts: bytes, seconds: float = 2.0) -> bytes:
    source, target = os.pipe()
    for part in parts:
        os.write(target, part)
    os.close(target)
    try:
        return scrape.asked(source, seconds)
    finally:
        os.close(source)


@pytest.mark.parametrize("request_", [GOOD, b"GET / HTTP/1.0\r\n\r\n", b"GET /metrics?x=1 HTTP/1.1\r\n\r\n"])
def test_the_numbers_are_asked_for(request_: bytes) -> None:
    assert scrape.refusal(got(request_)) == b""


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"", b"400"), (b"GET /metrics", b"400"), (GOOD[:-2], b"400"), (b"GET /metrics\r\n\r\n", b"400"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"), (b"GET /etc/shadow HTTP/1.1\r\n\r\n", b"404"),
        (b"\xff \xff HTTP/1.1\r\n\r\n", b"405"), (b"A" * 60000, b"400"),
    ],
)  # fmt: skip
def test_anything_else_is_refused(request_: bytes, status: bytes) -> None:
    assert scrape.refusal(got(request_)).startswith(b"HTTP/1.1 " + status)


def test_nobody_is_waited_for() -> None:
    source, target = os.pipe()
    before = time.monotonic()
    assert scrape.asked(source, 0.05) == b""
    assert time.monotonic() - before < 2
    os.close(source)
    os.close(target)


def test_the_answer_says_how_long_it_is() -> None:
    head, _, body = scrape.answer("200 OK", "größe 1\n").partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
