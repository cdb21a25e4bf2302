"""Requests of webhooks: to whom the system's authorities vouch for, once, and for a bounded time."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from jailssh.host import bounded, https
from jailssh.webhooks import sending
from jailssh.webhooks.server import Stopped


@pytest.fixture
def room() -> Iterator[Path]:
    """A directory that the process without power can read."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def answering(*answers: bytes) -> tuple[int, list[bytes]]:
    """Listen; return the port and what came, each answered in turn; b"" for never."""
    listening, seen = socket.create_server(("127.0.0.1", 0)), list[bytes]()

    def serve() -> None:
        for answer in answers:
            client = listening.accept()[0]
            seen.append(client.recv(1 << 16))
            client.sendall(answer)
            if answer:
                client.close()
            else:
                time.sleep(5)

    threading.Thread(target=serve, daemon=True).start()
    return listening.getsockname()[1], seen


def test_the_systems_authorities_vouch(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = https.listen()
    threading.Thread(target=trial.serve, daemon=True).start()
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert "CERTIFICATE_VERIFY_FAILED" in sending.send(trial.url, b"{}", {})
    bundle = room / "ca-certificates.crt"
    bundle.write_bytes(trial.certificates["ca-certificates.crt"])
    bundle.chmod(0o644)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert sending.send(trial.url, b"", {}) == ""


def test_the_request_is_what_was_to_be_sent() -> None:
    port, seen = answering(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert sending.send(f"http://127.0.0.1:{port}/push?x=1", b'{"a": 1}', {"X-A": "b"}) == ""
    head = seen[0].split(b"\r\n")
    assert (head[0], b"X-A: b" in head) == (b"POST /push?x=1 HTTP/1.1", True)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/\r\n\r\n", "status 302"),
        (b"HTTP/1.1 500 x\x1b[2J\r\n\r\n", "status 500"),
        (b"\x1b[2J\r\n", "BadStatusLine: ?[2J??"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n", "HTTPException: got more than 100 headers"),
    ],
)
def test_what_is_no_good_answer(answer: bytes, why: str) -> None:
    port, seen = answering(answer.replace(b"%d", b"1"), b"HTTP/1.1 200 OK\r\n\r\n")
    assert sending.send(f"http://127.0.0.1:{port}/", b"{}", {}) == why
    assert len(seen) == 1


def test_nobody_there_and_nobody_who_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sending.send("http://127.0.0.1:1/", b"{}", {}).startswith("ConnectionRefusedError")
    monkeypatch.setattr(sending, "WITHIN", 0.5)
    port, _ = answering(b"")
    begun = time.monotonic()
    assert sending.send(f"http://127.0.0.1:{port}/", b"{}", {}) != ""
    assert time.monotonic() - begun < 3


def test_a_name_has_an_address_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    port, seen = answering(b"HTTP/1.1 200 OK\r\n\r\n")
    real = socket.getaddrinfo
    rows = [real(address, port, type=socket.SOCK_STREAM)[0] for address in ("127.0.0.2", "127.0.0.1")]
    # What a full queue does not take is dropped, so nobody there says no.
    with socket.create_server(("127.0.0.2", port), backlog=0), ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.2", port))
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: rows)
        monkeypatch.setattr(sending, "WITHIN", 3.0)
        monkeypatch.setattr(sending, "_TO_CONNECT", 0.5)
        assert sending.send(f"http://ci.example.org:{port}/", b"{}", {}) == ""
    assert len(seen) == 1


def test_a_signal_in_an_attempt_is_the_end_and_not_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise Stopped

    port, _ = answering(b"")
    before = signal.signal(signal.SIGALRM, stop)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(Stopped):
            sending.send(f"http://127.0.0.1:{port}/", b"{}", {})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    def fail(*_: object, **__: object) -> bytes:
        raise OSError

    monkeypatch.setattr(bounded, "ask", fail)
    assert sending.send("http://127.0.0.1:1/", b"{}", {}) == "OSError"


@pytest.mark.needs("root")
def test_it_is_nobody_who_sends(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port, _ = answering(b"HTTP/1.1 200 OK\r\n\r\n")
    room.chmod(0o777)
    real = sending._give_up_power

    def told() -> None:
        real()
        (room / "ran").write_text(" ".join(map(str, (*os.getresuid(), *os.getresgid(), *os.getgroups()))))

    monkeypatch.setattr(sending, "_give_up_power", told)
    assert sending.send(f"http://127.0.0.1:{port}/", b"{}", {}) == ""
    assert (room / "ran").read_text() == " ".join(["65534"] * 6)
