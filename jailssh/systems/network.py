"""The network of a system: a pair of interfaces between its own namespace and the host, which goes with that."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

from jailssh.core.errors import HostError
from jailssh.host import process
from jailssh.systems.ranges import SIZE
from jailssh.systems.settings import Reach, System

INSIDE = "host0"
# What a host answers to on every pair without having it anywhere else; link-local, so that it is nobody's.
_GATEWAY = "169.254.1.1"


def check(system: System) -> None:
    """Raise :class:`HostError` where the address is one that this host has or leads to, or the bridge is missing."""
    if system.network != Reach.VETH:
        return
    if process.find_program("ip") is None:
        raise HostError("network = veth", "needs the program ip", hint="install iproute2")
    own = system.address.partition("/")[0]
    for link in json.loads(_ip(["-json", "address"]) or "[]"):
        if any(each.get("local") == own for each in link.get("addr_info", ())):
            raise HostError(f"address {own}", f"is this host's own ({link.get('ifname')})")
    for route in json.loads(_ip(["-json", "route", "show", f"{own}/32"]) or "[]"):
        raise HostError(f"address {own}", f"is in use behind {route.get('dev')}")
    if system.bridge:
        _ip(["link", "show", "dev", system.bridge, "type", "bridge"])


def attach(system: System, pid: int, number: int, base: int) -> None:
    """Give the network namespace of ``pid`` what the system's file says; :class:`HostError`.

    The host's end goes when the namespace does, whatever ends it.
    """
    space = ["nsenter", f"--net=/proc/{pid}/ns/net"]
    # The groups that may use ICMP sockets: all of the system's, by their numbers on the host.
    process.run([*space, "sh", "-c", f"echo {base} {base + SIZE - 1} >/proc/sys/net/ipv4/ping_group_range"], timeout=10)
    if system.network != Reach.VETH:
        return
    outside, gateway = f"jailssh{number}", system.gateway or _GATEWAY
    own = system.address.partition("/")[0]
    _ip(["link", "add", outside, "type", "veth", "peer", "name", INSIDE, "netns", str(pid)])
    try:
        if system.bridge:
            _ip(["link", "set", outside, "master", system.bridge, "up"])
        else:
            _ip(["address", "add", f"{gateway}/32", "dev", outside])
            _ip(["link", "set", outside, "up"])
            _ip(["route", "add", f"{own}/32", "dev", outside])
        address = system.address if system.bridge else f"{own}/32"
        _ip(["address", "add", address, "dev", INSIDE], space)
        _ip(["link", "set", INSIDE, "up"], space)
        if not system.bridge:
            _ip(["route", "add", f"{gateway}/32", "dev", INSIDE], space)
        if system.gateway or not system.bridge:
            _ip(["route", "add", "default", "via", gateway], space)
    except HostError:
        with suppress(HostError):
            _ip(["link", "delete", outside])
        raise


def _ip(words: Sequence[str], space: Sequence[str] = ()) -> str:
    return process.run([*space, "ip", *words], timeout=10).stdout
