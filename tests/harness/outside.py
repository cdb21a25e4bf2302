"""An outside for a host that has none, what of it and of the host a jail with ``network = outbound`` reaches."""

from __future__ import annotations

import json
from collections.abc import Mapping

from jailssh.image.network import RESOLVERS

# Answers everything on the port it is given, TCP and UDP, of both versions of IP, with its name.
SERVE = """
import socket, sys, threading
name, port = sys.argv[1].encode(), int(sys.argv[2])
def tcp(s):
    while True:
        c, peer = s.accept()
        c.sendall(name)
        c.close()
def udp(s):
    while True:
        data, peer = s.recvfrom(2000)
        s.sendto(name, peer)
for family, any in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
    for kind, work in ((socket.SOCK_STREAM, tcp), (socket.SOCK_DGRAM, udp)):
        s = socket.socket(family, kind)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((any, port))
        if kind == socket.SOCK_STREAM:
            s.listen()
        threading.Thread(target=work, args=(s,), daemon=True).start()
print("listening", flush=True)
threading.Event().wait()
"""
# Tries all places of a file at once, {name: [kind, address, port, source port, interface]}, and prints who answered.
TRY = """
import json, socket, sys, threading
def one(name, kind, address, port, source=0, device=""):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    s = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    s.settimeout(1.5)
    try:
        if device:
            s.setsockopt(socket.SOL_SOCKET, 25, device.encode())
        if source:
            s.bind(("", source))
        s.connect((address, port))
        if kind == "udp":
            s.send(b"who")
        found[name] = s.recv(100).decode()
    except OSError as error:
        found[name] = ""
found = {}
threads = [threading.Thread(target=one, args=(name, *each)) for name, each in json.load(open("places.json")).items()]
for each in threads: each.start()
for each in threads: each.join()
print(json.dumps(found))
"""
TOPOLOGY = """
set -e
mkdir -p /run/netns
touch /run/netns/outside
unshare --net=/run/netns/outside true
outside() { nsenter --net=/run/netns/outside "$@"; }
ip link add near type veth peer name far
ip link set far netns outside
ip address add 10.9.0.2/24 dev near
ip address add 2001:db8::2/64 dev near nodad
ip link set dev near up
ip link add br-x type veth peer name br-y
ip address add 172.17.0.1/16 dev br-x
ip link set dev br-x up
outside ip link set dev lo up
outside ip address add 10.9.0.1/24 dev far
outside ip address add 2001:db8::1/64 dev far nodad
for each in 198.51.100.7/32 169.254.169.254/32 100.64.0.9/32; do outside ip address add $each dev lo; done
for each in 2001:db8:ff::7/128 fd00:ec2::254/128; do outside ip address add $each dev lo nodad; done
outside ip link set dev far up
ip route add default via 10.9.0.1
ip route add local default dev lo table 100
ip -6 route add default via 2001:db8::1
printf 'search example.org\\nnameserver 127.0.0.1\\nnameserver ::1\\n' >/etc/resolv.conf
"""
DEVICE = "out"
# Name: kind, address, port, and from which port; who answers, "" for nobody.
PLACES: dict[str, tuple[tuple[str, str, int] | tuple[str, str, int, int], str]] = {
    "the outside": (("tcp", "198.51.100.7", 80), "outside"),
    "the outside by IPv6": (("tcp", "2001:db8:ff::7", 80), "outside"),
    "the gateway": (("tcp", "10.9.0.1", 80), "outside"),
    "another network": (("tcp", "100.64.0.9", 80), "outside"),
    "the host's loopback": (("tcp", "127.0.0.1", 80), ""),
    "the host's loopback by IPv6": (("tcp", "::1", 80), ""),
    "the host's loopback, mapped": (("tcp", "::ffff:127.0.0.1", 80), ""),
    "any address": (("tcp", "0.0.0.0", 80), ""),
    "the host's address": (("tcp", "10.9.0.2", 80), ""),
    "the host's address, mapped": (("tcp", "::ffff:10.9.0.2", 80), ""),
    "the host's other address": (("tcp", "172.17.0.1", 80), ""),
    "the host by IPv6": (("tcp", "2001:db8::2", 80), ""),
    "what pasta answers for": (("tcp", RESOLVERS[4], 80), ""),
    "what pasta answers for by IPv6": (("tcp", RESOLVERS[6], 80), ""),
    "metadata of a cloud": (("tcp", "169.254.169.254", 80), ""),
    "metadata of a cloud by IPv6": (("tcp", "fd00:ec2::254", 80), ""),
    "the outside by UDP": (("udp", "198.51.100.7", 53), ""),
    "the host by UDP": (("udp", "10.9.0.2", 53), ""),
    "a group": (("udp", "224.0.0.251", 53), ""),
    "names": (("udp", RESOLVERS[4], 53), "host"),
    "names by IPv6": (("udp", RESOLVERS[6], 53), "host"),
    "names from a port of services": (("udp", RESOLVERS[4], 53, 5353), ""),
}
WORKS = {name: who for name, (_, who) in PLACES.items()}
CLOSED = dict.fromkeys(PLACES, "")


def asked(places: Mapping[str, tuple[str | int, ...]] | None = None, device: str = "") -> str:
    """Return the file places.json that :data:`TRY` reads: all of :data:`PLACES`, unless others are given."""
    named = places or {name: each for name, (each, _) in PLACES.items()}
    return json.dumps({name: [*each, *[0] * (4 - len(each)), device] for name, each in named.items()})
