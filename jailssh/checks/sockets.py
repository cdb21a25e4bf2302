"""Sockets of this host that give power: which of them an account in a jail may connect to, and whether its jail can."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

from jailssh.core.errors import JailsshError
from jailssh.core.names import is_below
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.scene import Scene
from jailssh.jail.this_host import to_account
from jailssh.plugin.api import Account

SHOWN = Kind(
    "JSH-541", Severity.HIGH, "socket that gives power is shown in a jail",
    "A program in the jail connects to it and gets what the service behind it can do on the host.",
    "show a directory of the jail's own in its place: jailssh config check",
)  # fmt: skip
POWER = Kind(
    "JSH-542", Severity.MEDIUM, "account in a jail may use a socket that gives power",
    "Its jail does not show the socket; whatever runs as the account outside of the jail can become root by it.",
    "restrict the socket to a group that no account in a jail is in",
)  # fmt: skip
OPEN = Kind(
    "JSH-543", Severity.LOW, "socket of root's that everybody may connect to",
    "What is behind it decides what an account outside of its jail gets; jails do not show it.",
    "restrict it, or accept it with a suppression once it is known what it does",
)  # fmt: skip

POWERFUL = {
    "/run/docker.sock": "Docker", "/run/containerd/containerd.sock": "containerd", "/run/crio/crio.sock": "CRI-O",
    "/run/podman/podman.sock": "Podman", "/run/buildkit/buildkitd.sock": "BuildKit",
    "/run/k3s/containerd/containerd.sock": "containerd of k3s", "/run/k0s/containerd.sock": "containerd of k0s",
    "/run/supervisor/supervisor.sock": "supervisor", "/var/lib/lxd/unix.socket": "LXD",
    "/var/snap/lxd/common/lxd/unix.socket": "LXD", "/var/lib/incus/unix.socket": "Incus",
    "/run/libvirt/virtqemud-sock": "libvirt", "/run/libvirt/libvirt-sock": "libvirt",
    "/run/supervisor.sock": "supervisor", "/run/systemd/private": "systemd", "/run/fail2ban/fail2ban.sock": "fail2ban",
    "/run/haproxy/admin.sock": "HAProxy",
}  # fmt: skip
"""By where they are, the services that do as root what their socket tells them."""
_ASKS_POLKIT = ("libvirt",)
"""Open to all by design: they ask polkit who may do what."""
_KNOWN = re.compile(
    r"/run/(?:systemd/|dbus/|udev/|jailssh/|user/|acpid\.socket|avahi-daemon/|cups/|rpcbind\.sock|uuidd/|nscd/|pcscd/|"
    r"snapd(?:-snap)?\.socket|snapd/|libvirt/|tailscale/|gssproxy|sssd|chrony/|ModemManager|postgresql/|mysqld/|"
    r"sendsigs|lvm/|dmeventd|irqbalance|saslauthd/|dovecot/|sudo_logsrvd|bluetooth|NetworkManager|uuidd|nslcd/|"
    r"gdm3?/|console-setup|lock/|pulse/|pipewire|cockpit/|motd|openvswitch/|varlink|polkit)"
)
"""What distributions have open to everybody, and what judges those who connect."""
_LISTENS = 1 << 16
_MANY = 8


@dataclass(frozen=True)
class Socket:
    """A socket that is there: where, whose it is, and the name of the service if it is one that gives power."""

    path: str
    uid: int
    gid: int
    everybody: bool
    group: bool
    service: str = ""


@dataclass(frozen=True)
class Facts:
    """The sockets, the gids of each account, the directories that each jail shows, and who is in which jail."""

    sockets: tuple[Socket, ...]
    groups: Mapping[str, frozenset[int]]
    shown: Mapping[str, tuple[str, ...]]
    jails: Mapping[str, str]


def collect(scene: Scene) -> Facts:
    """Look at the sockets that are known to give power and at those that something listens on."""
    sockets = [socket for path, name in POWERFUL.items() if (socket := _look(path, name)) is not None]
    known = {socket.path for socket in sockets}
    for path in _listening():
        if path not in known and (socket := _look(path, "")) is not None and socket.uid == 0 and socket.everybody:
            sockets.append(socket)
    groups = {name: frozenset(gid for _, gid in person.entry.groups) for name, person in scene.jailed.items()}
    jails = {name: person.jail for name, person in scene.jailed.items()}
    shown = _shown(scene) if sockets else {}
    return Facts(tuple(sockets), groups, shown, jails)


def _look(path: str, name: str) -> Socket | None:
    """Return what there is at ``path``; None where there is no socket, or where nobody but root gets to."""
    try:
        info = os.stat(path)
        if not stat.S_ISSOCK(info.st_mode):
            return None
        above = os.path.dirname(os.path.realpath(path))
        open_to_all = True
        while above != "/":
            open_to_all = open_to_all and bool(os.stat(above).st_mode & stat.S_IXOTH)
            above = os.path.dirname(above)
    except OSError:
        return None
    everybody = bool(info.st_mode & stat.S_IWOTH) and open_to_all
    return Socket(path, info.st_uid, info.st_gid, everybody, bool(info.st_mode & stat.S_IWGRP), name)


def _listening() -> list[str]:
    """Return the paths below /run that something listens on (proc(5): net/unix)."""
    found = set()
    with suppress(OSError), open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as stream:
        for line in stream:
            fields = line.rstrip("\n").split(maxsplit=7)
            if len(fields) == 8 and fields[3].isalnum() and not fields[7].startswith("@"):
                path = fields[7].replace("/var/run/", "/run/", 1) if fields[7].startswith("/var/run/") else fields[7]
                with suppress(ValueError):
                    if int(fields[3], 16) & _LISTENS and path.startswith("/run/"):
                        found.add(path)
    return sorted(found)


def _shown(scene: Scene) -> dict[str, tuple[str, ...]]:
    """Return the directories of the host that each jail shows to the first of its accounts."""
    found: dict[str, tuple[str, ...]] = {}
    for person in scene.jailed.values():
        if person.jail in found:
            continue

        account = scene.configuration.placed(to_account(person.entry))

        def look(jails: Collection[str] = person.jails, account: Account = account) -> list[str]:
            definition = scene.configuration.definition(tuple(jails))
            binds = (bind for result in definition.results(account) for bind in result.binds)
            return sorted({*map(account.source_of, binds), *definition.config.services})

        # What is wrong with a jail is told by the check of the configuration.
        with suppress(JailsshError):
            stamp = scene.settings_stamp
            found[person.jail] = tuple(scene.kept.get("sockets", person.jail, stamp, look))
    return found


def judge(facts: Facts) -> Iterable[Finding]:
    """Return the sockets that accounts in jails may connect to."""
    for socket in facts.sockets:
        yield from _about(socket, facts)


def _about(socket: Socket, facts: Facts) -> Iterator[Finding]:
    what = f"socket {socket.path}"
    for jail, places in facts.shown.items():
        if any(is_below(socket.path, place) for place in places):
            yield Finding(SHOWN, what, f"jail {jail} shows it", path=socket.path, jail=jail)
    if not socket.service:
        if socket.uid == 0 and not _KNOWN.match(socket.path):
            yield Finding(OPEN, what, "everybody may connect", path=socket.path)
        return
    if socket.everybody and socket.service not in _ASKS_POLKIT:
        yield Finding(POWER, what, f"everybody may connect to {socket.service}", path=socket.path)
    elif socket.group and not socket.everybody:
        names = sorted(name for name, groups in facts.groups.items() if socket.gid in groups)
        for name in names[:_MANY]:
            more = f", as {len(names) - 1} others in jails" if len(names) > 1 else ""
            why = f"its group may connect to {socket.service}{more}"
            yield Finding(POWER, what, why, path=socket.path, account=name, jail=facts.jails[name])
            break


CHECK = Check("sockets", "sockets that give power to whoever may connect", (SHOWN, POWER, OPEN), collect, judge)
