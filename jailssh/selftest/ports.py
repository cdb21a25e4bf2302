"""Ports without a session, as a jail with the plugin jump has them: what it names works, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import paramiko

from jailssh.core.ports import ANY, Ports
from jailssh.selftest import channels, forwarded
from jailssh.selftest.channels import Answer, answer_of
from jailssh.selftest.client import CONNECTING, FAILURES, Connection
from jailssh.selftest.general import SSHD, answered, row
from jailssh.selftest.report import Kind, Row, shown

_MOST = 20
"""So many of the places that are named are tried."""
_PROHIBITED = 1
"""SSH_OPEN_ADMINISTRATIVELY_PROHIBITED, RFC 4254 section 5.1."""


def session(connection: Connection) -> Answer:
    """Ask for a session."""
    try:
        with connection.channel():
            return False, "a session began"
    except FAILURES as error:
        return answer_of(connection, error)


def rows(connection: Connection, ports: Ports, socket_path: str, listening_path: str) -> Iterator[Row]:
    """Try what is named, then what is not.

    ``socket_path``: a Unix socket that takes connections; ``listening_path``: where none may come to be.
    """
    for number, place in enumerate((each for each in ports.open if ANY not in each), 1):
        what = f"a connection to {place} (ssh -J, -L, -W)"
        if number <= _MOST:
            answer = answered(partial(_reached, connection, place))
            yield row(f"ports.open.{number}", SSHD, what, what, "sshd permits it", *answer, kind=Kind.USE)
    asked: list[tuple[str, str, Callable[[], Answer]]] = [
        ("forward.listen", "another port of this host that leads to the client (ssh -R)",
         lambda: channels.tcpip_forward(connection)),
        ("forward.socket", "a connection to a Unix socket of this host (ssh -L)",
         lambda: channels.direct_streamlocal(connection, socket_path)),
        ("forward.listen-socket", "a Unix socket of this host that leads to the client (ssh -R)",
         lambda: channels.streamlocal_forward(connection, listening_path)),
        ("forward.tunnel", "a tunnel device (ssh -w)", lambda: channels.tunnel(connection)),
    ]  # fmt: skip
    if f"{forwarded.LOOPBACK}:{ANY}" not in ports.open:
        what = "a connection to another port of this host (ssh -L, -W)"
        asked.append(("forward.tcp", what, lambda: forwarded.host_is_apart(connection)))
    for id, what, ask in asked:
        yield row(id, SSHD, what, what, "refusal", *answered(ask))


def _reached(connection: Connection, place: str) -> Answer:
    """Ask for a connection: whether anybody is there does not matter, sshd must have tried."""
    host, _, port = place.rpartition(":")
    where = (host.strip("[]"), int(port))
    try:
        connection.transport().open_channel("direct-tcpip", where, (forwarded.LOOPBACK, 1), timeout=CONNECTING).close()
    except paramiko.ChannelException as error:
        if error.code == _PROHIBITED:
            return False, "refused: administratively prohibited"
        return True, f"sshd tries, and nobody answers: {shown(error.text)}"
    except FAILURES as error:
        return None, answer_of(connection, error)[1]
    return True, "a connection was opened"
