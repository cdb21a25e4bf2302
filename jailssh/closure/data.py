"""The named data sets that no ELF header shows: what a program opens by a name built into libc or ncurses."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from jailssh.closure.errors import ImageError
from jailssh.closure.sources import Sources
from jailssh.core.names import HostPath
from jailssh.plugin.api import ImageNeeds

# The jail's own account files are enough; the host's directory services stay outside (nsswitch.conf(5)).
NSSWITCH = """\
passwd: files
group: files
shadow: files
hosts: files dns
networks: files
protocols: files
services: files
ethers: files
rpc: files
"""
HOSTS = HostPath("/etc/hosts")
_LOCALHOST = "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
# Larger archives hold every language; then C.UTF-8 alone must do.
_MAX_LOCALE_ARCHIVE = 16 << 20
_LOCALES = "/usr/lib/locale"
_ZONES = "/usr/share/zoneinfo"


@dataclass(frozen=True)
class DataSet:
    """What a data set brings; all of it is left out where the host has none, ``libraries`` are names for the loader."""

    needs: ImageNeeds
    libraries: tuple[str, ...] = ()


def data_set(name: str, sources: Sources) -> DataSet:
    """Return the data set ``name`` of :attr:`ImageNeeds.data` for this host; :class:`ImageError` if it is unknown."""
    maker = _MAKERS.get(name)
    if maker is None:
        raise ImageError(f"data set {name!r}", "unknown", hint="known: " + ", ".join(sorted(_MAKERS)))
    return maker(sources)


def hosts(name: str = "localhost") -> str:
    """Return an /etc/hosts that knows localhost and the host's own ``name``, with what stands before its first dot.

    The name has the address that Debian's installer gives to a host without a fixed one: on the loopback interface,
    where there is one, and no server's own.
    """
    names = dict.fromkeys((name, name.partition(".")[0]))
    own = "" if name == "localhost" else f"127.0.1.1 {' '.join(names)}\n"
    return _LOCALHOST + own


def _nss(_: Sources) -> DataSet:
    files = ("/etc/protocols", "/etc/services")
    # Built into libc.so.6 since glibc 2.34, separate before.
    libraries = ("libnss_files.so.2", "libnss_dns.so.2")
    return DataSet(ImageNeeds(texts=((HOSTS, hosts()),), optional_files=files), libraries)


def _locale(sources: Sources) -> DataSet:
    files = [f"{_LOCALES}/{name}" for name in ("C.utf8", "C.UTF-8")]
    name = configured_locale(sources)
    if name and sources.find(HostPath(f"{_LOCALES}/{name}")):
        files.append(f"{_LOCALES}/{name}")
    elif name and not name.startswith("C."):
        archive = sources.find(HostPath(f"{_LOCALES}/locale-archive"))
        if archive and archive.info.st_size <= _MAX_LOCALE_ARCHIVE:
            files.append(f"{_LOCALES}/locale-archive")
    return DataSet(ImageNeeds(optional_files=tuple(files)))


def configured_locale(sources: Sources) -> str:
    """Return the host's LANG as glibc names its directory (``de_DE.utf8``), or "" for none, C and POSIX."""
    for path in map(HostPath, ("/etc/locale.conf", "/etc/default/locale")):
        match = re.search(r"^\s*(?:export\s+)?LANG=[\"']?([\w.@-]+)", sources.read_text(path) or "", re.MULTILINE)
        if match and match[1] not in ("C", "POSIX"):
            language, dot, rest = match[1].partition(".")
            codeset, at, modifier = rest.partition("@")
            # As in glibc's _nl_normalize_codeset: letters and digits, lower case.
            return language + dot + re.sub(r"[^a-z0-9]", "", codeset.lower()) + at + modifier
    return ""


def _terminfo(_: Sources) -> DataSet:
    return DataSet(ImageNeeds(optional_files=("/etc/terminfo", "/lib/terminfo", "/usr/share/terminfo")))


def _zoneinfo(sources: Sources) -> DataSet:
    # All zones, as they are once; posix and right hold the same again.
    found = sources.find(HostPath(_ZONES))
    names = sources.listdir(found.path) if found and found.is_dir else ()
    zones = (f"{_ZONES}/{name}" for name in names if name not in ("posix", "right"))
    return DataSet(ImageNeeds(optional_files=("/etc/localtime", "/etc/timezone", *zones)))


def _certificates(_: Sources) -> DataSet:
    files = (
        "/etc/ssl/certs",
        "/etc/ssl/openssl.cnf",
        "/etc/pki/tls/certs",
        "/etc/pki/tls/cert.pem",
        "/usr/lib/ssl/certs",
        "/usr/lib/ssl/cert.pem",
        "/usr/lib/ssl/openssl.cnf",
    )
    return DataSet(ImageNeeds(optional_files=files))


def _gconv(sources: Sources) -> DataSet:
    return DataSet(ImageNeeds(optional_files=tuple(sources.glob("/usr/lib*/gconv") + sources.glob("/usr/lib/*/gconv"))))


_MAKERS: dict[str, Callable[[Sources], DataSet]] = {
    "nss": _nss,
    "locale": _locale,
    "terminfo": _terminfo,
    "zoneinfo": _zoneinfo,
    "ca-certificates": _certificates,
    "gconv": _gconv,
}
