"""What programs of a jail that has the host's network need to find names and to trust servers."""

from __future__ import annotations

from jailssh.closure.data import HOSTS, hosts
from jailssh.plugin.api import ImageNeeds

Needs = tuple[tuple[str, ImageNeeds], ...]

_RESOLVER = "/etc/resolv.conf"
_MAX_RESOLVER = 1 << 16


def name_needs(hostname: str, others: Needs) -> Needs:
    """Return what lets an image find the jail's own host name; nothing where ``others`` bring an /etc/hosts."""
    if any(HOSTS in (*need.files, *need.optional_files, *dict(need.texts)) for _, need in others):
        return ()
    return (("hostname", ImageNeeds(texts=((HOSTS, hosts(hostname)),))),)


def network_needs() -> Needs:
    """Return what an image of such a jail holds besides.

    The resolver's file is taken as text: it is often a link into ``/run``, which a jail has one of its own of.
    """
    text = _resolver()
    texts = ((_RESOLVER, text),) if text else ()
    files = ("/etc/gai.conf", "/etc/host.conf")
    return (("network", ImageNeeds(texts=texts, optional_files=files, data=("nss", "ca-certificates"))),)


def _resolver() -> str:
    try:
        with open(_RESOLVER, "rb") as file:
            return file.read(_MAX_RESOLVER).decode("utf-8", "surrogateescape")
    except OSError:
        return ""
