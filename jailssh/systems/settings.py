"""The file of a system, ``/etc/jailssh/systems/NAME.conf``: its settings, as a jail's are read."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import cast

from jailssh.config.reader import Item, read_document, read_section
from jailssh.config.settings import Setting
from jailssh.core.closed import Word
from jailssh.core.errors import ConfigError, JailsshError, UsageError, raise_all
from jailssh.core.names import escape
from jailssh.files import fs
from jailssh.host.paths import Layout

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,46}[a-z0-9])?\Z")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?\Z")
_BRIDGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}\Z")
_LIMIT = 1 << 18


class Reach(Word):
    """What a system has of a network."""

    NONE = "none"
    VETH = "veth"
    HOST = "host"


LIMITS = ("memory", "tasks", "cpu")
ROWS = (
    Setting("", "hostname", "word", "", "host name in the system (default: its name)"),
    Setting(
        "",
        "network",
        "enum:none,veth,host",
        "none",
        "none: a loopback interface; veth: a pair of interfaces too; host: the host's own, without power over it",
    ),
    Setting("", "address", "words", "", "with veth: an IPv4 address, an IPv6 one, or both; with a bridge also /PREFIX"),
    Setting(
        "", "gateway", "words", "", "with veth: the address of the host, or of the bridge's router; one of each kind"
    ),
    Setting("", "bridge", "word", "", "with veth: a bridge of the host that the pair is joined to"),
    Setting("", "resolver", "words", "", "addresses of name servers, written at each start (default: left as it is)"),
    Setting("", "raw_sockets", "bool", "no", "allow raw sockets; ping(8) works without"),
    Setting("", "ipc", "bool", "yes", "allow System V IPC and POSIX message queues, the system's own"),
    Setting("", "memory", "size?", "", "the most memory of all its processes"),
    Setting("", "tasks", "most", "", "the most processes and threads at a time"),
    Setting("", "cpu", "most", "", "the most processor time, in percent of one processor"),
    Setting("", "autostart", "bool", "no", "start it when the host does"),
    Setting("", "depends", "words", "", "systems that are started before it, and stopped after it"),
    Setting("", "stop_time", "seconds", "90", "seconds that its init gets to stop it, before everything is ended"),
)


@dataclass(frozen=True)
class System:
    """A system as configured; limits are below 0 for none, ``memory`` in bytes, ``cpu`` in percent."""

    _: KW_ONLY
    name: str
    hostname: str
    network: Reach
    address: tuple[str, ...]
    gateway: tuple[str, ...]
    bridge: str
    resolver: tuple[str, ...]
    raw_sockets: bool
    ipc: bool
    memory: int
    tasks: int
    cpu: int
    autostart: bool
    depends: tuple[str, ...]
    stop_time: int

    def limit(self, name: str) -> int:
        """Return one of :data:`LIMITS`."""
        return {"memory": self.memory, "tasks": self.tasks, "cpu": self.cpu}[name]


def is_name(name: str) -> bool:
    """True if a system can have that name."""
    return bool(_NAME.match(name))


def check_name(name: str) -> str:
    """Return ``name`` if it can name a system; else :class:`UsageError`."""
    if not is_name(name):
        why = "is no name of small letters, digits and '-', at most 48"
        raise UsageError(f"system {escape(name)[:80]!r}", why)
    return name


def file_of(layout: Layout, name: str) -> str:
    """Return the path of a system's file."""
    return f"{layout.systems_config}/{name}.conf"


def read(layout: Layout, name: str) -> System:
    """Return the system of a name as its file has it, with the defaults where there is none; :class:`ConfigError`."""
    path = file_of(layout, name)
    data = fs.read_trusted(path, _LIMIT) if os.path.lexists(path) else b""
    return parse(name, data, path)


def parse(name: str, data: bytes, file: str) -> System:
    """Return the system that the text of a file means; :class:`ConfigError` with file and line of what is wrong."""
    document = read_document(data, file)
    errors: list[JailsshError] = [
        ConfigError(where, f"a system's file has no section [{section}]")
        for section, where in document.headers.items()
    ]  # fmt: skip
    items = read_section(document, "", ROWS, errors)
    raise_all(errors)
    of = {key: item.value for key, item in items.items()}
    errors += [ConfigError(items[key].origin, f"{key}: {why}") for key, why in _wrong(name, items)]
    raise_all(errors)
    return System(
        name=name, hostname=str(of["hostname"]) or name, network=Reach(str(of["network"])),
        address=_words(of["address"]), gateway=_words(of["gateway"]), bridge=str(of["bridge"]),
        resolver=_words(of["resolver"]),
        raw_sockets=of["raw_sockets"] is True, ipc=of["ipc"] is True, memory=cast(int, of["memory"]),
        tasks=cast(int, of["tasks"]), cpu=cast(int, of["cpu"]), autostart=of["autostart"] is True,
        depends=_words(of["depends"]), stop_time=cast(int, of["stop_time"]),
    )  # fmt: skip


def _words(value: object) -> tuple[str, ...]:
    return cast("tuple[str, ...]", value)


def _wrong(name: str, items: Mapping[str, Item]) -> list[tuple[str, str]]:
    of = {key: item.value for key, item in items.items()}
    found: list[tuple[str, str]] = []
    if not _HOST_NAME.match(str(of["hostname"]) or name):
        found.append(("hostname", f"{of['hostname']!r} is no host name of at most 64 characters"))
    if of["bridge"] and not _BRIDGE.match(str(of["bridge"])):
        found.append(("bridge", f"{of['bridge']!r} is no name of an interface"))
    has_pair = Reach(str(of["network"])) == Reach.VETH
    for key in ("address", "gateway", "bridge"):
        if of[key] and not has_pair:
            found.append((key, "is of no use without: network = veth"))
    if of["raw_sockets"] is True and Reach(str(of["network"])) == Reach.HOST:
        found.append(("raw_sockets", "are not to be had with: network = host"))
    if has_pair and not of["address"]:
        found.append(("network", "veth needs an address"))
    found += _wrong_addresses("address", _words(of["address"]), with_prefix=bool(of["bridge"]))
    found += _wrong_addresses("gateway", _words(of["gateway"]), with_prefix=False)
    for word in _words(of["resolver"]):
        try:
            ipaddress.ip_address(word)
        except ValueError:
            found.append(("resolver", f"{word!r} is no address"))
    for word in _words(of["depends"]):
        if not is_name(word) or word == name:
            found.append(("depends", f"{word!r} is no name of another system"))
    return found


def _wrong_addresses(key: str, words: tuple[str, ...], *, with_prefix: bool) -> list[tuple[str, str]]:
    example = "10.0.0.2/24 or fd00::2/64" if with_prefix else "10.0.0.2 or fd00::2"
    found = [
        (key, f"{word!r} is no address as in {example}") for word in words if not _is_address(word, with_prefix)
    ]  # fmt: skip
    if not found and len({":" in word for word in words}) != len(words):
        found.append((key, "has more than one IPv4 or IPv6 address"))
    return found


def _is_address(text: str, with_prefix: bool) -> bool:
    try:
        address = ipaddress.ip_interface(text).ip
    except ValueError:
        return False
    return ("/" in text) == with_prefix and "%" not in text and not (address.is_unspecified or address.is_multicast)
