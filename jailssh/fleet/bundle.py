"""The bundle: the tree that describes all hosts, with a serial, as one signed text.  Pure: bytes in, bytes out.

It is an archive (:mod:`jailssh.carrying.archive`) of the tree's files and of one that says the serial, and behind that
the signature of all its bytes, as ``ssh-keygen -Y sign`` makes it.  The tree has ``fleet.conf`` with the names of the
hosts and of groups of them, and directories that are each like /etc/jailssh: ``all``, ``groups/NAME``, ``hosts/NAME``.
A host gets all that name it, laid over each other in this order.  ``accounts/NAME.conf`` in one of them describes an
account, in the words of an archive, for hosts on which nobody else makes it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from jailssh.carrying import archive
from jailssh.carrying.archive import Archive, CarriedFile
from jailssh.config.files import read_user
from jailssh.config.reader import read_document
from jailssh.config.values import words_of
from jailssh.core.errors import ConfigError, JailsshError, UsageError, parts, raise_all
from jailssh.core.names import escape

NAMESPACE = "jailssh-bundle"
"""What the signature is for, so that none made for anything else is taken (ssh-keygen(1): -n)."""
FLEET = "fleet.conf"
ACCOUNTS = "accounts"
MAX_SIGNATURE = 1 << 16
MAX_BUNDLE = archive.MAX_ARCHIVE + MAX_SIGNATURE
MAX_SERIAL = (1 << 53) - 1
SIGNERS, PULL_FILE = "signers", "pull.conf"
OWN = (SIGNERS, PULL_FILE)
"""What below /etc/jailssh is each host's own: who may sign for it, and what it runs to get a bundle."""
_ALL, _GROUPS, _HOSTS, _SERIAL = "all", "groups", "hosts", "serial"
SIGNED = b"-----BEGIN SSH SIGNATURE-----\n"
"""How a signature of ssh-keygen(1) begins."""
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z")
_GROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}\Z")


@dataclass(frozen=True)
class Fleet:
    """The hosts, by the names that ``uname -n`` prints there, and groups of them."""

    hosts: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]

    def parts_of(self, host: str) -> list[str]:
        """Return the directories of the tree that are for a host, the one that goes before the others last."""
        groups = [f"{_GROUPS}/{name}" for name, members in self.groups.items() if host in members]
        return [_ALL, *groups, f"{_HOSTS}/{host}"]


@dataclass(frozen=True)
class Bundle:
    """``serial``: grows from bundle to bundle.  ``files``: by path in the tree, ``fleet.conf`` among them.

    ``time``: when it was signed, in seconds since 1970, 0 where it does not say; one and the same description may be
    signed again and again, which tells its hosts that there is none newer.
    """

    serial: int
    fleet: Fleet
    files: Mapping[str, CarriedFile]
    time: int = 0

    def part(self, host: str) -> dict[str, CarriedFile]:
        """Return what is for a host, by path below /etc/jailssh; none for a host that is not in the fleet."""
        found: dict[str, CarriedFile] = {}
        for top in self.fleet.parts_of(host) if host in self.fleet.hosts else ():
            for path, each in self.files.items():
                if path.startswith(f"{top}/"):
                    found[path.removeprefix(f"{top}/")] = each
        return found


def made(serial: int, files: Mapping[str, CarriedFile], time: int = 0) -> Bundle:
    """Return the bundle of a tree; raises every mistake that shows without a host: names, places, accounts."""
    if not 0 < serial <= MAX_SERIAL:
        raise UsageError(f"serial {serial}", f"is not between 1 and {MAX_SERIAL}")
    if FLEET not in files:
        raise ConfigError(FLEET, "is missing", hint="it names the hosts: hosts = web1 web2")
    fleet = read_fleet(files[FLEET].text)
    errors: list[JailsshError] = []
    for path, each in sorted(files.items()):
        try:
            if path != FLEET:
                _check_file(fleet, path, each)
        except JailsshError as error:
            errors += parts(error)
    if len(files) == 1:
        errors.append(ConfigError(_ALL, "has no files: a bundle of it would take everything away"))
    raise_all(errors)
    return Bundle(serial, fleet, files, time)


def read_fleet(text: str) -> Fleet:
    """Return what ``fleet.conf`` says; raises all mistakes in it."""
    document = read_document(text, FLEET)
    errors: list[JailsshError] = [
        ConfigError(f"{FLEET} [{section}]" if section else FLEET, f"{key!r} is not understood")
        for section, entries in document.entries.items()
        for key in entries
        if (section, key) != ("", "hosts") and section != _GROUPS
    ]
    top = document.entries.get("", {})
    hosts = tuple(words_of(top["hosts"].raw)) if "hosts" in top else ()
    if not hosts:
        errors.append(ConfigError(FLEET, "names no hosts", hint="hosts = web1 web2, as uname -n prints them there"))
    errors += [
        ConfigError(FLEET, f"{escape(name, 80)!r} is not a host name") for name in hosts if not _HOST.match(name)
    ]
    groups: dict[str, tuple[str, ...]] = {}
    for name, entry in document.entries.get(_GROUPS, {}).items():
        groups[name] = tuple(words_of(entry.raw))
        if not _GROUP.match(name):
            errors.append(ConfigError(entry.origin, f"{escape(name, 80)!r} is not a name for a group"))
        errors += [
            ConfigError(entry.origin, f"host {escape(each, 80)} of group {name} is not among hosts")
            for each in groups[name]
            if each not in hosts
        ]
    raise_all(errors)
    return Fleet(hosts, groups)


def _check_file(fleet: Fleet, path: str, each: CarriedFile) -> None:
    """Raise for a file that no host gets, or that is each host's own, and for an account that is none."""
    words = path.split("/")
    known = {_ALL: {""}, _GROUPS: set(fleet.groups), _HOSTS: set(fleet.hosts)}.get(words[0])
    if known is None or len(words) < 2:
        raise ConfigError(path, f"is in none of {_ALL}, {_GROUPS}/NAME and {_HOSTS}/NAME")
    if words[0] != _ALL and (len(words) < 3 or words[1] not in known):
        raise ConfigError(path, f"is for no host: {FLEET} does not name {escape(words[1], 80)}")
    inside = words[1:] if words[0] == _ALL else words[2:]
    if inside[0] in OWN:
        raise ConfigError(path, "is each host's own, and cannot be in a bundle")
    if inside[0] == ACCOUNTS:
        account_of(path, each.text)
    if inside[0] == "users" and len(inside) == 2 and path.endswith(".conf"):
        read_user(each.text, path, inside[1].removesuffix(".conf"))


def account_of(path: str, text: str) -> archive.CarriedAccount:
    """Return the account that a file ``…/accounts/NAME.conf`` describes; lines with ``#`` say nothing."""
    name = path.split("/")[-1].removesuffix(".conf")
    if not path.endswith(f"{ACCOUNTS}/{name}.conf"):
        raise ConfigError(path, f"is not a place for an account: {ACCOUNTS}/NAME.conf")
    said = [line for each in text.splitlines() if (line := each.strip()) and line[0] != "#"]
    account = archive.parse_account(name, "".join(f"{line}\n" for line in said), path)
    if odd := sorted(set(said).difference(archive.account_lines(account))):
        raise ConfigError(path, f"is not written as an archive has it: {escape(odd[0], 80)}")
    return account


def written(bundle: Bundle) -> bytes:
    """Return the bytes that are signed."""
    time = f"time = {bundle.time}\n" if bundle.time else ""
    files = {**bundle.files, _SERIAL: CarriedFile(0o644, f"serial = {bundle.serial}\n{time}")}
    return archive.write(Archive(files))


def split(data: bytes, source: str) -> tuple[bytes, bytes]:
    """Return what is signed, and the signature; nothing of either is believed yet."""
    if len(data) > MAX_BUNDLE:
        raise ConfigError(source, f"is larger than {MAX_BUNDLE} bytes, the limit for a bundle")
    at = data.rfind(b"\n" + SIGNED) + 1
    if not at:
        raise ConfigError(source, "has no signature", hint="make a bundle: jailssh bundle --sign KEY DIR FILE")
    return data[:at], data[at:]


def read(body: bytes, source: str) -> Bundle:
    """Return what the signed bytes say; raises all mistakes."""
    found = archive.read(body, source)
    files = dict(found.files)
    head = files.pop(_SERIAL, CarriedFile(0o644, "")).text
    serial = re.fullmatch(r"serial = ([1-9][0-9]{0,15})\n(?:time = ([1-9][0-9]{0,11})\n)?", head)
    if serial is None or found.accounts or found.groups:
        raise ConfigError(source, "is an archive and no bundle", hint=f"jailssh import {source}")
    return made(int(serial[1]), files, int(serial[2] or 0))


def description_digest(bundle: Bundle) -> str:
    """Return what tells one description from another, whenever it was signed."""
    return hashlib.sha256(written(replace(bundle, time=0))).hexdigest()
