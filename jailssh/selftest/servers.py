"""Where the host's own sshd listens, by what ``sshd -T`` says, and why it may not let an account in."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from jailssh.core.errors import JailsshError
from jailssh.host import accounts, install, process
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.selftest.report import CannotTryError
from jailssh.services import sshd

_LOOPBACK = ("127.0.0.1", "::1")
_PROBE = 3.0
_NOLOGIN = ("/etc/nologin", "/run/nologin")


@dataclass(frozen=True)
class Place:
    """An address and a port at which sshd answers, with the base64 texts of its host keys."""

    address: str
    port: int
    host_keys: frozenset[str]

    def __str__(self) -> str:
        return f"{self.address} port {self.port}"


def places(values: Mapping[str, Sequence[str]]) -> list[Place]:
    """Return where the sshd of these settings (:func:`jailssh.services.sshd.effective`) can be reached from here.

    Raises :class:`CannotTryError` where nothing listens.
    """
    keys = host_keys(values.get("hostkey", ()))
    if not keys:
        raise CannotTryError("sshd", "none of its host keys can be read", hint="see: sshd -T | grep hostkey")
    wanted = list(dict.fromkeys(_near(text) for text in values.get("listenaddress", ())))
    found = [Place(address, port, keys) for address, port in wanted if _listens(address, port)]
    if not found:
        where = ", ".join(f"{address} port {port}" for address, port in wanted) or "any address"
        hint = "start it: systemctl start ssh (or: /usr/sbin/sshd)"
        raise CannotTryError("sshd", f"does not run: nothing listens at {where}", hint=hint)
    return found


def sources(found: Sequence[Place]) -> list[str]:
    """Return from which addresses a client of this host comes to these places."""
    return list(dict.fromkeys((*_LOOPBACK, *(place.address for place in found))))


def _near(text: str) -> tuple[str, int]:
    """Return by which address and port a client of this host reaches what listens at ``text``."""
    host, _, port = text.rpartition(":")
    address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    if address.is_unspecified:
        return _LOOPBACK[address.version == 6], int(port)
    return str(address), int(port)


def _listens(address: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((address, port), timeout=_PROBE):
        return True
    return False


def host_keys(paths: Sequence[str]) -> frozenset[str]:
    """Return the public keys, as base64 text, of sshd's host keys at these paths."""
    found = set()
    for path in paths:
        with suppress(JailsshError, IndexError):
            if text := install.read_optional(f"{path}.pub"):
                found.add(text.split()[1].decode("ascii", "replace"))
        with suppress(JailsshError, IndexError):
            # The file beside it may be an old one, or none.
            found.add(process.run(["ssh-keygen", "-y", "-P", "", "-f", path], timeout=10).stdout.split()[1])
    return frozenset(found)


def why_not(layout: Layout, entry: AccountEntry, values: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what keeps the account out of this host, as far as that shows without a login."""
    first = {name: value[0] for name, value in values.items() if value}
    found = []
    if first.get("pubkeyauthentication", "yes").lower() != "yes":
        found.append("PubkeyAuthentication is off")
    if first.get("authenticationmethods", "any") not in ("any", "publickey"):
        found.append(f"AuthenticationMethods is {first['authenticationmethods']}, so a key alone is not enough")
    keys = first.get("authorizedkeysfile", "")
    if f"{layout.keys}/%u" not in keys.split():
        found.append(f"AuthorizedKeysFile is {keys}, expected {layout.keys}/%u")
    if accounts.is_expired(entry.name):
        found.append("account has expired (shadow(5)); to extend it: chage -E DATE NAME".replace("NAME", entry.name))
    if accounts.must_change_password(entry.name):
        found.append(f"password has expired and must be changed; to set a new one: passwd {entry.name}")
    if accounts.is_locked(entry.name) and first.get("usepam", "no").lower() != "yes":
        found.append(f"account is locked (its password begins with '!'); to unlock it: usermod -p '*' {entry.name}")
    if accounts.is_local(entry.name) and entry.shell != layout.login_program:
        found.append(f"login shell is {entry.shell}, expected {layout.login_program}; to set it: jailssh apply")
    found += [f"{path} exists, so PAM refuses all logins but root's" for path in _NOLOGIN if os.path.lexists(path)]
    return found


def effective(layout: Layout, name: str) -> dict[str, list[str]]:
    """Return what sshd's configuration on disk says for the account, from loopback."""
    try:
        return sshd.effective(name, sshd.main_config(layout))
    except JailsshError as error:
        raise CannotTryError("sshd", f"cannot tell its configuration: {error.why}", hint="sshd -t") from error
