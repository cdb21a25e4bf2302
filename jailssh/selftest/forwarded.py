"""Ports that sshd forwards for an account of a jail with ``forward = inside``: in its own network, not the host's."""

from __future__ import annotations

import queue
import socket
from contextlib import suppress

import paramiko

from jailssh.selftest.channels import Answer, answer_of
from jailssh.selftest.client import CONNECTING, FAILURES, Connection, bounded
from jailssh.selftest.report import shown

LOOPBACK = "127.0.0.1"
_WORD = b"jailssh selftest"
_MOMENT = 1.0


def host_is_apart(connection: Connection) -> Answer:
    """Ask for a connection to a port of the host's loopback at which this process listens: it must not get there."""
    with socket.create_server((LOOPBACK, 0)) as ours:
        ours.setblocking(False)
        try:
            _connect(connection, ours.getsockname()[1]).close()
        except paramiko.ChannelException as error:
            return True, f"not reached: {shown(error.text)}"
        except FAILURES as error:
            return answer_of(connection, error)
        with suppress(BlockingIOError):
            ours.accept()[0].close()
            return False, "it was reached"
    return True, "something of the account's own is there"


def listens_apart(connection: Connection) -> Answer:
    """Ask the server to listen: not on the host's loopback."""
    arrived: queue.SimpleQueue[paramiko.Channel] = queue.SimpleQueue()
    try:
        port = _listen(connection, arrived)
    except FAILURES as error:
        return False, f"it does not listen: {shown(str(error))}"
    try:
        with suppress(OSError), socket.create_connection((LOOPBACK, port), _MOMENT), suppress(queue.Empty):
            # Another program of the host may have the same number.
            arrived.get(timeout=_MOMENT).close()
            return False, "it listens on the host's loopback"
    finally:
        _cancel(connection, port)
    return True, "not on the host's loopback"


def joins(connection: Connection) -> Answer:
    """Have the server listen, and connect to that by it: both are in one network, so what is said comes back."""
    arrived: queue.SimpleQueue[paramiko.Channel] = queue.SimpleQueue()
    try:
        port = _listen(connection, arrived)
        try:
            with _connect(connection, port) as there:
                there.sendall(_WORD)
                with arrived.get(timeout=CONNECTING) as back:
                    back.settimeout(CONNECTING)
                    said = back.recv(len(_WORD))
        finally:
            _cancel(connection, port)
    except (queue.Empty, *FAILURES) as error:
        return False, shown(str(error)) or "nothing came back"
    return said == _WORD, "what was sent came back" if said == _WORD else "something else came back"


def _connect(connection: Connection, port: int) -> paramiko.Channel:
    place = (LOOPBACK, port)
    return connection.transport().open_channel("direct-tcpip", place, (LOOPBACK, 1), timeout=CONNECTING)


def _listen(connection: Connection, arrived: queue.SimpleQueue[paramiko.Channel]) -> int:
    transport = connection.transport()
    with bounded(transport):
        return int(transport.request_port_forward(LOOPBACK, 0, lambda channel, *_: arrived.put(channel)))


def _cancel(connection: Connection, port: int) -> None:
    with suppress(*FAILURES):
        transport = connection.transport()
        with bounded(transport):
            transport.cancel_port_forward(LOOPBACK, port)
