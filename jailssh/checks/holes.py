"""Published holes that matter on a host with jails, and the package versions that mend them.  Data alone.

A distribution mends without taking a new version of the program, so versions of packages are compared and nothing is
concluded for a distribution that has no column.  Written down here is what the changelogs of its packages say.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

DATE = datetime.date(2026, 11, 28)
"""The day on which this table was last looked through."""
KERNEL = "linux"
"""Stands for the kernel that runs, not for one that is installed."""


@dataclass(frozen=True)
class Hole:
    """A hole: its names, the package, what comes of it here, and the first mended version by distribution."""

    names: tuple[str, ...]
    package: str
    why: str
    mended: Mapping[str, str]
    high: bool = False


_BOOKWORM, _TRIXIE = "debian 12", "debian 13"

HOLES = (
    Hole(
        ("CVE-2024-6387",), "openssh-server", "sshd can be made to run code as root before any login",
        {_BOOKWORM: "1:9.2p1-2+deb12u3", _TRIXIE: "1:9.7p1-7"}, high=True,
    ),
    Hole(
        ("CVE-2025-32728",), "openssh-server",
        "DisableForwarding, which the drop-in uses, leaves X11 and agents forwarded",
        {_BOOKWORM: "1:9.2p1-2+deb12u6", _TRIXIE: "1:10.0p1-1"},
    ),
    Hole(
        ("CVE-2026-35414", "CVE-2026-35387"), "openssh-server",
        "a certificate with a comma in a principal, or a key of an algorithm that is switched off, is accepted",
        {_BOOKWORM: "1:9.2p1-2+deb12u10"},
    ),
    Hole(
        ("CVE-2026-53783", "CVE-2026-53803", "CVE-2026-70456"), "rsync",
        "a client reads, writes or runs what rsync is told to keep it from; the jail is what is left",
        {_BOOKWORM: "3.5.0~", _TRIXIE: "3.5.0~"},
    ),
    Hole(
        ("CVE-2025-48384", "CVE-2025-48385"), "git", "a repository cloned with its submodules runs code",
        {_BOOKWORM: "1:2.39.5-0+deb12u3"},
    ),
    Hole(
        ("CVE-2024-32002", "CVE-2024-32004"), "git", "a repository that is cloned runs code",
        {_BOOKWORM: "1:2.39.5-0+deb12u1"},
    ),
    Hole(
        ("CVE-2023-4911",), "libc6", "every set-id program, the login program too, can be made to run code as root",
        {_BOOKWORM: "2.36-9+deb12u3"}, high=True,
    ),
    Hole(
        ("CVE-2023-6246",), "libc6", "set-id programs that write to syslog can be made to run code as root",
        {_BOOKWORM: "2.36-9+deb12u4"}, high=True,
    ),
    Hole(
        ("CVE-2025-32462",), "sudo", "rules of sudoers for other hosts hold on this one",
        {_BOOKWORM: "1.9.13p3-1+deb12u2"},
    ),
    Hole(
        ("CVE-2025-4598",), "systemd", "systemd-coredump gives an account the core of a set-id program",
        {_BOOKWORM: "252.38-1~deb12u1"},
    ),
    Hole(
        ("CVE-2024-1086",), KERNEL, "an account that can make user namespaces becomes root",
        {_BOOKWORM: "6.1.76-1"}, high=True,
    ),
)  # fmt: skip
"""Only what is certain; an entry without a column for a distribution says nothing about it."""


def distributions() -> frozenset[str]:
    """Return the distributions about which anything is known."""
    return frozenset(name for hole in HOLES for name in hole.mended)
