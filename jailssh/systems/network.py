"""The network of a system: a pair of interfaces between its own namespace and the host, which goes with that."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress

from jailssh.core.errors import HostError
from jailssh.host import process
from jailssh.systems.ranges import SIZE
from jailssh.systems.settings import Reach, System

INSIDE = "host0"
# What a host answers to on every pair without having it anywhere else; link-local, so that it is nobody's.
_GATEWAYS = {False: "169.254.1.1", True: "fe80::1"}


def _is_six(address: str) -> bool:
    return ":" in address


def _alone(address: str) -> str:
    """Return an address as a network that has no other."""
    return f"{address}/{128 if _is_six(address) else 32}"


def check(system: System, now: Sequence[str] = ()) -> None:
    """Raise :class:`HostError` where an address is one that this host has or leads to, or the bridge is missing.

    ``now``: the addresses that the system has already.
    """
    if system.network != Reach.VETH:
        return
    if process.find_program("ip") is None:
        raise HostError("network = veth", "needs the program ip", hint="install iproute2")
    own = [word.partition("/")[0] for word in system.address if word not in now]
    for link in json.loads(_ip(["-json", "address"]) or "[]"):
        for each in link.get("addr_info", ()):
            if each.get("local") in own:
                raise HostError(f"address {each['local']}", f"is this host's own ({link.get('ifname')})")
    for address in own:
        family = "-6" if _is_six(address) else "-4"
        for route in json.loads(_ip([family, "-json", "route", "show", _alone(address)]) or "[]"):
            raise HostError(f"address {address}", f"is in use behind {route.get('dev')}")
    if system.bridge:
        _ip(["link", "show", "dev", system.bridge, "type", "bridge"])


def attach(system: System, pid: int, number: int, base: int) -> None:
    """Give the network namespace of ``pid``, which waits, what the system's file says; :class:`HostError`.

    The host's end goes when the namespace does, whatever ends it.
    """
    if system.network == Reach.HOST:  # of which nothing is changed
        return
    # The groups that may use ICMP sockets: all of the system's, by their numbers on the host.
    groups = f"echo {base} {base + SIZE - 1} >/proc/sys/net/ipv4/ping_group_range"
    net = f"/proc/{pid}/ns/net"
    with suppress(HostError):  # read-only in a container without a network of its own: ping(8) needs raw sockets then
        process.run([*_space(net), "sh", "-c", groups], timeout=10)
    if system.network != Reach.VETH:
        return
    outside = _outside(number)
    _ip(["link", "add", outside, "type", "veth", "peer", "name", INSIDE, "netns", str(pid)])
    try:
        _take_no_routes(outside)
        if system.bridge:
            _ip(["link", "set", outside, "master", system.bridge])
        _ip(["link", "set", outside, "up"])
        _ip(["link", "set", INSIDE, "up"], _space(net))
        for address in system.address:
            _add(system, address, net, outside)
    except HostError:
        with suppress(HostError):
            _ip(["link", "delete", outside])
        raise


def detach(number: int) -> None:
    """Take the pair of a system that has ended away, which the kernel itself does when it comes to it."""
    with suppress(HostError):  # it has
        _ip(["link", "delete", _outside(number)])


def change(old: Sequence[str], system: System, net: str, number: int) -> None:
    """Give a system that runs its addresses in the place of ``old``; :class:`HostError`, and all is as before.

    ``net``: a path to its network namespace.
    """
    if system.network != Reach.VETH:
        return
    check(system, old)
    outside, added = _outside(number), [each for each in system.address if each not in old]
    try:
        for address in added:
            _add(system, address, net, outside)
    except HostError:
        for address in added:
            with suppress(HostError):
                _delete(system, address, net, outside)
        raise
    for address in old:
        if address not in system.address:
            with suppress(HostError):  # its root may have
                _delete(system, address, net, outside)


def repair(had: Sequence[str], system: System, net: str, number: int) -> None:
    """Give a system its addresses whatever it has of ``had``, among which they are; :class:`HostError`."""
    if system.network == Reach.VETH:
        for address in had:
            if address not in system.address:
                with suppress(HostError):  # it may be gone already
                    _delete(system, address, net, _outside(number))
        for address in system.address:
            _add(system, address, net, _outside(number))


def _outside(number: int) -> str:
    return f"jailssh{number}"


def _take_no_routes(outside: str) -> None:
    """Have the host believe nothing that a system says of routes, whose root would be the host's router (RFC 4861)."""
    path = f"/proc/sys/net/ipv6/conf/{outside}/accept_ra"
    if os.path.exists(path):  # a kernel without IPv6 has none
        process.run(["sh", "-c", f"echo 0 >{path}"], timeout=10)


def _space(net: str) -> list[str]:
    return ["nsenter", f"--net={net}"]


def _add(system: System, address: str, net: str, outside: str) -> None:
    six = _is_six(address)
    gateway = next((each for each in system.gateway if _is_six(each) == six), "")
    # A second address of the same would be looked for (RFC 4862), while which this one is of no use yet.
    at_once = ["nodad"] if six else []
    if not system.bridge:
        gateway = gateway or _GATEWAYS[six]
        _ip(["address", "replace", _alone(gateway), "dev", outside, *at_once])
        _ip(["route", "replace", _alone(address), "dev", outside])
    _ip(["address", "replace", address if system.bridge else _alone(address), "dev", INSIDE, *at_once], _space(net))
    if not system.bridge:
        _ip(["route", "replace", _alone(gateway), "dev", INSIDE], _space(net))
    if gateway:
        family = "-6" if six else "-4"
        _ip([family, "route", "replace", "default", "via", gateway, "dev", INSIDE], _space(net))


def _delete(system: System, address: str, net: str, outside: str) -> None:
    with suppress(HostError):
        _ip(["address", "delete", address if system.bridge else _alone(address), "dev", INSIDE], _space(net))
    if not system.bridge:
        _ip(["route", "delete", _alone(address), "dev", outside])


def _ip(words: Sequence[str], space: Sequence[str] = ()) -> str:
    return process.run([*space, "ip", *words], timeout=10).stdout
