"""Ports that sshd forwards for accounts without a session: written by administrators, compared with what sshd says.

sshd compares what a client asks for with PermitOpen letter by letter (``open_match`` in channels.c), and looks no
name up before: so a place is what is written, once, in the one spelling that ssh(1) sends.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

GROUP_PREFIX = "jailssh-jump-"
"""How the groups are called for whose members sshd forwards; what follows tells which ports."""
MOST = 200
"""So many places may be named: sshd reads all of them at each login."""
ANY = "*"
NONE = "none"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PLACE = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:/\s]+)):(\*|[1-9][0-9]{0,4})\Z")
_PORT = re.compile(r"[1-9][0-9]{0,4}\Z")
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*\Z")
_HIGHEST, _UNPRIVILEGED = 65535, 1024
_KEYWORDS = ("permitopen", "permitlisten")


@dataclass(frozen=True, kw_only=True)
class Ports:
    """``open``: ``HOST:PORT`` that clients reach through sshd; ``listen``: where it listens for them; both sorted."""

    open: tuple[str, ...] = ()
    listen: tuple[str, ...] = ()

    @classmethod
    def of(cls, opened: Iterable[str], listened: Iterable[str]) -> Ports:
        """Return the ports that these words name; raises :class:`ValueError` with the reason."""
        each = sorted({_opened(word) for word in opened}), sorted({_listened(word) for word in listened})
        if max(map(len, each)) > MOST:
            raise ValueError(f"more than {MOST} places are named")
        return cls(open=tuple(each[0]), listen=tuple(each[1]))

    @property
    def group(self) -> str:
        """The Unix group for whose members sshd forwards these ports, and whose name nothing else can have."""
        text = "\n".join(("open", *self.open, "listen", *self.listen))
        return GROUP_PREFIX + hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def beyond_loopback(self) -> bool:
        """True if sshd listens at addresses that others reach."""
        return any(place.rpartition(":")[0].strip("[]") not in LOOPBACK for place in self.listen)

    def settings(self) -> dict[str, str]:
        """Return what sshd must say of a member of the group: keyword of sshd_config(5) in lower case to its value."""
        which = {(True, True): "yes", (True, False): "local", (False, True): "remote"}
        return {
            "permitopen": " ".join(self.open) or NONE,
            "permitlisten": " ".join(self.listen) or NONE,
            "allowtcpforwarding": which.get((bool(self.open), bool(self.listen)), "no"),
            "gatewayports": "clientspecified" if self.beyond_loopback else "no",
            "disableforwarding": "no",
            "allowstreamlocalforwarding": "no",
            "allowagentforwarding": "no",
            "x11forwarding": "no",
            "maxsessions": "0",
            "permittty": "no",
            "usepam": "yes",
        }

    def said(self) -> str:
        """Return in words what an account may do."""
        way = {"to": self.open, "listening at": self.listen}
        return "; ".join(f"{word} {', '.join(places)}" for word, places in way.items() if places)


def groups_among(names: Iterable[str]) -> list[str]:
    """Return those of ``names`` that are groups for whose members sshd forwards."""
    return sorted(name for name in names if name.startswith(GROUP_PREFIX))


def of_answer(values: Mapping[str, Sequence[str]]) -> Ports:
    """Return the ports that sshd forwards by its own answer (``sshd -T``): keyword to values.

    The lists as they are: what an administrator wrote elsewhere is none of ours, and has another group then.
    """
    opened, listened = (" ".join(values.get(keyword, ["any"])).split() for keyword in _KEYWORDS)
    return Ports(open=_without_none(opened), listen=_without_none(listened))


def _without_none(words: Sequence[str]) -> tuple[str, ...]:
    return () if [word.lower() for word in words] == [NONE] else tuple(words)


def _opened(word: str) -> str:
    host, port = _parted(word)
    if host == ANY == port:
        raise ValueError(f"{word!r} is every port of every host: name a port, or hosts")
    return _written(_host(host, word), port)


def _listened(word: str) -> str:
    host, port = ("localhost", word) if _PORT.match(word) else _parted(word)
    if port != ANY and int(port) < _UNPRIVILEGED:
        raise ValueError(f"{word!r}: sshd listens at ports below {_UNPRIVILEGED} for root alone")
    if port != ANY and int(port) > _HIGHEST:
        raise ValueError(f"{word!r}: {port} is not a port")
    host = _host(host, word)
    if host == ANY or (host != "localhost" and not _is_address(host)):
        raise ValueError(f"{word!r} is not a port, localhost:PORT or ADDRESS:PORT")
    return _written(host, port)


def _parted(word: str) -> tuple[str, str]:
    found = _PLACE.match(word)
    if not found or (found[3] != ANY and int(found[3]) > _HIGHEST):
        raise ValueError(f"{word!r} is not HOST:PORT, an IPv6 address in brackets; * is any port, or any host")
    return found[1] or found[2], found[3]


def _host(text: str, word: str) -> str:
    """Return a host in the spelling that clients send."""
    if text == ANY:
        return text
    with suppress(ValueError):
        return str(ipaddress.ip_address(text))
    name = text.lower()
    # What ends in a number is read as an address in one of its old spellings (inet_aton(3)).
    last = name.rpartition(".")[2]
    if not _NAME.match(name) or len(name) > 253 or last.isdecimal() or re.match(r"0x[0-9a-f]*\Z", last):
        raise ValueError(f"{word!r}: {text!r} is neither a host name nor an address")
    return name


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def _written(host: str, port: str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
