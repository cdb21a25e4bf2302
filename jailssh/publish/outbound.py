"""The network of an account that reaches the outside, while nothing reaches it from there (``network = outbound``).

It is the account's pinned network namespace (jailssh/login/net_pin.c) with a way out: pasta(1), which opens what is
connected to in there as connections of its own on the host.  The namespace belongs to a user namespace of the user that
pasta runs as, so that it has no power elsewhere; accounts have none in either.  What they may send is decided by a
filter in the namespace that is there before the namespace is, since routes that lead nowhere are passed by programs
that bind a socket to the interface.  Where pasta does not run, nothing leads out.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
import struct
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager

from jailssh.core.errors import HostError
from jailssh.files import fs
from jailssh.host import install, pins, process
from jailssh.host.paths import Layout
from jailssh.image.network import RESOLVERS

NEEDS = (("pasta", "passt"), ("nft", "nftables"), ("ip", "iproute2"), ("nsenter", "util-linux"))
"""Programs, and the packages of Debian that have them."""
GUARD = "jailssh-outbound.service"
"""The unit that keeps the filters true (:func:`renew`)."""
_GET_USERNS, _GET_NSTYPE, _GET_OWNER_UID = 0xB701, 0xB703, 0xB704  # ioctl_nsfs(2)
_NEW_NET = 0x40000000
_PATIENCE = 5.0
_RESOLV = "/etc/resolv.conf"
_PARTS = ("", ".user", ".sshd", ".lock")
# What nobody outside has: this host, this link (with the metadata of clouds), groups, IPv4 in the clothes of IPv6.
_CLOSED = {
    4: ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "224.0.0.0/3"),
    6: ("::/96", "::ffff:0:0/96", "fe80::/10", "ff00::/8", "fd00:ec2::254", f"{RESOLVERS[6]}/48"),
}
_TABLE = """\
table inet jailssh {{}}
delete table inet jailssh
table inet jailssh {{
  set closed4 {{ type ipv4_addr; flags interval; auto-merge; elements = {{ {four} }} }}
  set closed6 {{ type ipv6_addr; flags interval; auto-merge; elements = {{ {six} }} }}
  chain output {{
    type filter hook output priority 0; policy drop;
    oifname "lo" accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
{asks}
    ip daddr @closed4 reject with icmpx type admin-prohibited
    ip6 daddr @closed6 reject with icmpx type admin-prohibited
    meta l4proto tcp accept
    reject with icmpx type admin-prohibited
  }}
  chain input {{
    type filter hook input priority 0; policy drop;
    iifname "lo" accept
    icmp type destination-unreachable accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, destination-unreachable, packet-too-big }} accept
{answers}
    tcp flags & (syn | ack) == syn drop
    meta l4proto tcp accept
  }}
  chain forward {{
    type filter hook forward priority 0; policy drop;
  }}
}}
"""
# pasta binds the port that a question comes from on the host too, so it must be one that no service has.
_ASK = """\
    {ip} daddr {at} udp sport 32768-60999 udp dport 53 accept
    {ip} daddr {at} tcp dport 53 accept"""
_ANSWER = "    {ip} saddr {at} udp sport 53 accept"


def path_of(layout: Layout, uid: int) -> str:
    """Return the pin of the account's network; that of the user namespace it belongs to has ``.user`` behind it."""
    return f"{layout.networks}/{uid}"


def unit(uid: int) -> str:
    """Return the unit of systemd that runs pasta for the account's network."""
    return f"jailssh-outbound@{uid}.service"


def missing() -> tuple[str, str] | None:
    """Return what this host lacks for such networks, and the cure."""
    for program, package in NEEDS:
        if process.find_program(program) is None:
            return f"needs the program {program}", f"install {package}"
    return None


def made(layout: Layout) -> list[int]:
    """Return the uids that have such a network."""
    found = os.listdir(layout.networks) if os.path.isdir(layout.networks) else []
    names = (name.removesuffix(".user") for name in found if name.endswith(".user"))
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal())


def provide(layout: Layout, uid: int, owner: int) -> None:
    """Have the network of ``uid`` there, belonging to the user ``owner``, and its filter as this host is by now.

    One that is of another kind is let go of: sessions that are in it stay there, without a way out.
    """
    path = path_of(layout, uid)
    _provide_directory(layout)
    with fs.lock(f"{path}.lock"), _one_view(layout):
        if belongs(layout, uid, owner):
            _filter(_entering(f"{path}.user", path))
            return
        with process.start(_owned_by(owner)) as child:
            spaces = _spaces(child)
            within = _entering(f"{spaces}/user", f"{spaces}/net")
            process.run([*within, "ip", "link", "set", "lo", "up"], timeout=_PATIENCE)
            _filter(within)
            for name, pinned in (("user", f"{path}.user"), ("net", path)):
                if os.path.lexists(pinned):
                    pins.unmount(pinned)
                pins.pin(f"{spaces}/{name}", pinned)


def _owned_by(owner: int) -> list[str]:
    """Return the command that is in new namespaces which belong to a user; it makes them where users may make none."""
    power = ["--inh-caps=-all,+sys_admin", "--ambient-caps=-all,+sys_admin"]
    user = [f"--reuid={owner}", f"--regid={owner}", "--clear-groups"]
    return ["setpriv", *user, *power, "unshare", "--map-root-user", "--user", "--net", "sleep", "60"]


def _spaces(child: process.Running) -> str:
    """Return the directory of the namespaces of a child, once it is in them."""
    end = time.monotonic() + _PATIENCE
    while child.runs:
        with open(f"/proc/{child.pid}/comm", encoding="utf-8", errors="replace") as stream:
            if stream.read() == "sleep\n":
                return f"/proc/{child.pid}/ns"
        if time.monotonic() > end:
            raise HostError("network namespace", "cannot be made: the program unshare does not come to its end")
        time.sleep(0.005)
    done = child.finish(timeout=_PATIENCE)
    why = process.last_line(done.stderr) or f"exit status {done.code}"
    raise HostError("network namespace", f"cannot be made: {why}", hint="sysctl user.max_user_namespaces")


def belongs(layout: Layout, uid: int, owner: int | None = None) -> bool:
    """True if the pinned network of ``uid`` is of this kind, and, where given, of the user ``owner``."""
    path = path_of(layout, uid)
    try:
        net = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if fcntl.ioctl(net, _GET_NSTYPE) != _NEW_NET:
            return False
        space = fcntl.ioctl(net, _GET_USERNS)
        try:
            number = struct.unpack("I", fcntl.ioctl(space, _GET_OWNER_UID, struct.pack("I", 0)))[0]
            return os.path.samestat(os.fstat(space), os.lstat(f"{path}.user")) and owner in (None, number)
        finally:
            os.close(space)
    except OSError:  # no namespace is pinned there, or no other than the host's is above it
        return False
    finally:
        os.close(net)


def renew(layout: Layout) -> dict[int, str]:
    """Give each such network a filter that knows the addresses which this host has by now; return why not, by uid."""
    failed = {}
    _provide_directory(layout)
    with _one_view(layout):
        uids = made(layout)  # with one that was being made, by what was known before
    for uid in uids:
        try:
            with _one_view(layout):
                if belongs(layout, uid):
                    path = path_of(layout, uid)
                    _filter(_entering(f"{path}.user", path))
        except HostError as error:
            failed[uid] = str(error)
    return failed


def _provide_directory(layout: Layout) -> None:
    fs.ensure_dir(os.path.dirname(layout.networks), 0o755)
    fs.ensure_dir(layout.networks, 0o700)


def _one_view(layout: Layout) -> AbstractContextManager[None]:
    """Hold what those hold who look at this host's addresses until a filter has them: none puts back an older view.

    It is not the lock of a network, which the login program holds too, and whoever has started that can stop it.
    """
    return fs.lock(f"{layout.networks}/filter.lock")


def let_go(layout: Layout, uid: int) -> None:
    """Let go of the network of ``uid``, of whatever kind; who is in it stays there."""
    for part in _PARTS:
        pins.let_go(f"{path_of(layout, uid)}{part}")


def take_away(layout: Layout, uid: int) -> None:
    """Let go of the network of ``uid`` if it is of this kind; a login makes another one then, if it is to have one."""
    path = path_of(layout, uid)
    if belongs(layout, uid):
        pins.let_go(path)
    pins.let_go(f"{path}.user")


def _entering(user: str, net: str) -> list[str]:
    """Return the words before a command that has power over a network, and none elsewhere."""
    return ["nsenter", f"--user={user}", f"--net={net}"]


def _filter(within: list[str]) -> None:
    """Put the filter into a network, in the place of the one that is there, at once."""
    known = _resolver_families()
    families = [(version, {4: "ip", 6: "ip6"}[version], RESOLVERS[version]) for version in (4, 6) if version in known]
    own = _own()
    text = _TABLE.format(
        four=", ".join((*_CLOSED[4], *own[4])), six=", ".join((*_CLOSED[6], *own[6])),
        asks="\n".join(_ASK.format(ip=ip, at=at) for _, ip, at in families),
        answers="\n".join(_ANSWER.format(ip=ip, at=at) for _, ip, at in families),
    )  # fmt: skip
    process.run([*within, "nft", "-f", "-"], input=text, timeout=_PATIENCE * 2)


def _own() -> dict[int, list[str]]:
    """Return what the kernel takes for this host itself, by the version of IP: also prefixes of which all addresses.

    Where everything is this host's, that table is for marked packets, as of a transparent proxy.
    """
    found: dict[int, list[str]] = {}
    for version, kinds in ((4, ("local",)), (6, ("local", "anycast"))):
        words = [["ip", f"-{version}", "-json", "route", "show", "table", "all", "type", kind] for kind in kinds]
        routes = [each for argv in words for each in json.loads(process.run(argv, timeout=_PATIENCE).stdout or "[]")]
        places = {each["dst"] for each in routes}.difference(["default"])
        found[version] = sorted({str(ipaddress.ip_network(each, strict=False)) for each in places})
    return found


def _resolver_families() -> set[int]:
    """Return the versions of IP by which pasta finds a resolver: others it would ask at no address at all."""
    text = (install.read_followed(_RESOLV) or b"").decode("utf-8", "surrogateescape")
    return set(_versions(line.split() for line in text.splitlines()))


def _versions(lines: Iterable[list[str]]) -> Iterable[int]:
    for words in lines:
        if len(words) > 1 and words[0] == "nameserver":
            try:
                yield ipaddress.ip_address(words[1].partition("%")[0]).version
            except ValueError:
                continue
