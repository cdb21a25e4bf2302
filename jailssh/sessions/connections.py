"""TCP connections as the kernel knows them: who is at the other end, and how much has passed (sock_diag(7))."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from jailssh.services.processes import link

_SOCK_DIAG = 4
_BY_FAMILY = 20
_DONE, _ERROR = 3, 2
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_INFO = 2
"""INET_DIAG_INFO: struct tcp_info of tcp(7)."""
_CONNECTED = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 8
"""Established, and half closed by either side."""
_HEAD = struct.Struct("=IHHII")
_MESSAGE = struct.Struct("!BBBBHH16s16sI8x")
_MESSAGE_SIZE = 72
_INODE_AT = 68
_BYTES = struct.Struct("=QQ")
_BYTES_AT = 120
"""In struct tcp_info: tcpi_bytes_acked, tcpi_bytes_received; since Linux 4.1."""
_PATIENCE = 2.0
_SOCKET = "socket:["


@dataclass(frozen=True, kw_only=True)
class Connection:
    """``peer``: address and port of the other end.  ``sent``, ``received``: bytes so far, -1 where nobody tells."""

    peer: str
    sent: int = -1
    received: int = -1


class Connections:
    """The connections of this network namespace, found by who holds them."""

    def __init__(self) -> None:
        self._by_inode: dict[int, Connection] = {}
        self._usual = 4
        """Where the last one was found: all of sshd's processes are alike."""
        for family in (socket.AF_INET, socket.AF_INET6):
            with suppress(OSError, struct.error):
                self._by_inode.update(_dump(family))

    def of(self, pid: int) -> Connection | None:
        """Return the connection that a process holds, None without one."""
        if (found := self._at(pid, str(self._usual))) is not None:
            return found
        with suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                if (found := self._at(pid, name)) is not None:
                    self._usual = int(name)
                    return found
        return None

    def _at(self, pid: int, name: str) -> Connection | None:
        leads = link(pid, f"fd/{name}")
        return self._by_inode.get(int(leads[len(_SOCKET) : -1])) if leads.startswith(_SOCKET) else None


def _dump(family: int) -> Iterator[tuple[int, Connection]]:
    request = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, 1 << (_INFO - 1), _CONNECTED)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as asked:
        asked.settimeout(_PATIENCE)
        asked.send(_HEAD.pack(_HEAD.size + len(request), _BY_FAMILY, _DUMP, 1, 0) + request)
        while True:
            data = asked.recv(1 << 18)
            at = 0
            while at + _HEAD.size <= len(data):
                length, kind, _, _, _ = _HEAD.unpack_from(data, at)
                if kind in (_DONE, _ERROR) or length < _HEAD.size:
                    return
                yield _told(data[at + _HEAD.size : at + length])
                at += (length + 3) & ~3


def _told(message: bytes) -> tuple[int, Connection]:
    family, _, _, _, _, port, _, address, _ = _MESSAGE.unpack_from(message)
    (inode,) = struct.unpack_from("=I", message, _INODE_AT)
    at = _MESSAGE_SIZE
    sent = received = -1
    while at + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, at)
        if length < 4:
            break
        if kind == _INFO and length >= 4 + _BYTES_AT + _BYTES.size:
            sent, received = _BYTES.unpack_from(message, at + 4 + _BYTES_AT)
        at += (length + 3) & ~3
    return inode, Connection(peer=_written(family, address, port), sent=sent, received=received)


def _written(family: int, address: bytes, port: int) -> str:
    if family == socket.AF_INET:
        return f"{socket.inet_ntop(family, address[:4])}:{port}"
    six = ipaddress.IPv6Address(address)
    return f"{six.ipv4_mapped}:{port}" if six.ipv4_mapped else f"[{six}]:{port}"
