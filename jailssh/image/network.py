"""What programs of a jail that reaches the outside need to find names and to trust servers."""

from __future__ import annotations

from jailssh.closure.data import HOSTS, hosts
from jailssh.plugin.api import ImageNeeds

Needs = tuple[tuple[str, ImageNeeds], ...]

RESOLVERS = {4: "192.0.0.1", 6: "fd6a:6169:6c73::1"}
"""Where a jail with ``network = outbound`` asks for names, by the version of IP: what is sent there the host's asks."""
_RESOLVER = "/etc/resolv.conf"
_MAX_RESOLVER = 1 << 16


def name_needs(hostname: str, others: Needs) -> Needs:
    """Return what lets an image find the jail's own host name; nothing where ``others`` bring an /etc/hosts."""
    if any(HOSTS in (*need.files, *need.optional_files, *dict(need.texts)) for _, need in others):
        return ()
    return (("hostname", ImageNeeds(texts=((HOSTS, hosts(hostname)),))),)


def network_needs(*, of_host: bool = True) -> Needs:
    """Return what an image of such a jail holds besides.

    The resolver's file is taken as text: it is often a link into ``/run``, which a jail has one of its own of.
    ``of_host``: its servers are asked; else those of :data:`RESOLVERS`.
    """
    text = _resolver() if of_host else _asking_outside(_resolver())
    texts = ((_RESOLVER, text),) if text else ()
    files = ("/etc/gai.conf", "/etc/host.conf")
    return (("network", ImageNeeds(texts=texts, optional_files=files, data=("nss", "ca-certificates"))),)


def _resolver() -> str:
    try:
        with open(_RESOLVER, "rb") as file:
            return file.read(_MAX_RESOLVER).decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def _asking_outside(text: str) -> str:
    """Return the file of a jail that cannot reach the servers in the host's, with all else that is said there."""
    others = [line for line in text.splitlines() if line.split()[:1] not in ([], ["nameserver"])]
    servers = [f"nameserver {address}" for address in RESOLVERS.values()]
    return "\n".join([*(line for line in others if line[:1] not in "#;"), *servers, ""])
