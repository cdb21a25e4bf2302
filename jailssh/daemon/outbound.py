"""What units of systemd call for jails with ``network = outbound``: their networks made, their filters kept true."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress

from systemd import daemon

from jailssh.core.errors import EXIT_OK, HostError, UsageError
from jailssh.host import process
from jailssh.host.paths import Layout
from jailssh.publish import outbound

_ADDRESSES = 0x10 | 0x100
"""Groups of rtnetlink(7) that tell of IPv4 and IPv6 addresses (RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR)."""
_LONGEST = 1 << 16
_SETTLES = 0.1
_ASKS = 20.0
_LOOKS = 600.0
"""Seconds after which it looks without having been told: routes of one's own are no addresses."""


def provide(layout: Layout, word: str) -> int:
    """Have the network of the account with this uid there, for the user that the calling unit runs as."""
    if not (word.isascii() and word.isdecimal()) or not int(word):
        raise UsageError("jailsshd outbound", "takes the uid of an account, or nothing")
    uid = int(word)
    place = f"{layout.run}/outbound/{uid}"
    try:
        owner = os.lstat(place).st_uid
    except OSError as error:
        hint = f"systemctl start {outbound.unit(uid)}"
        raise HostError(f"directory {place}", str(error.strerror), hint=hint) from error
    if not owner:
        raise HostError(f"directory {place}", "belongs to root, and pasta is not to be run as root")
    outbound.provide(layout, uid, owner)
    return EXIT_OK


def keep_true(layout: Layout) -> int:
    """Follow the addresses of this host until a signal ends this."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_OK))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as told:
        told.bind((0, _ADDRESSES))
        told.settimeout(_LOOKS)
        _renew(layout)
        daemon.notify("READY=1")
        while True:
            _wait(told)
            _renew(layout)


def _wait(told: socket.socket) -> None:
    """Wait until something is told, and take all that is told with it: one look at the addresses answers it all."""
    # Whatever goes wrong, as where more was told than there is room for, is a reason to look.
    with suppress(OSError):
        told.recv(_LONGEST)
    time.sleep(_SETTLES)
    with suppress(OSError):
        while select.select([told], [], [], 0)[0]:
            told.recv(_LONGEST)


def _renew(layout: Layout) -> None:
    for uid, why in outbound.renew(layout).items():
        print(f"jailsshd: network of uid {uid}: {why}", file=sys.stderr, flush=True)
        # Which begins with its filter, and without it nothing leads out.  One that does not run is not started: its
        # account may have lost its way out at this very moment.
        if process.has_systemd():
            process.run(["systemctl", "--no-block", "try-restart", outbound.unit(uid)], check=False, timeout=_ASKS)
