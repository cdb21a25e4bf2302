"""Security modules of the kernel: what is there, since a denial of theirs is in no log of ours."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

from jailssh.core.names import escape
from jailssh.doctor.case import Case
from jailssh.doctor.step import Fault
from jailssh.services import listeners

_ENFORCE = "/sys/fs/selinux/enforce"
_PROFILES = "/sys/kernel/security/apparmor/profiles"
_LABEL = "security.selinux"


@dataclass(frozen=True)
class SecurityFacts:
    """``selinux``: "", ``enforcing`` or ``permissive``; ``label``: of the login program.

    ``profiles``: the profiles of AppArmor, with their modes, that sshd runs under.
    """

    selinux: str
    label: str
    profiles: tuple[str, ...]


def collect(case: Case) -> SecurityFacts:
    """Ask the kernel."""
    selinux, label = "", ""
    with suppress(OSError):
        selinux = "enforcing" if _read(_ENFORCE) == "1" else "permissive"
        label = escape(os.getxattr(case.layout.login_program, _LABEL).rstrip(b"\0"), 200)
    profiles = set()
    for each in listeners.listeners() if os.path.exists(_PROFILES) else ():
        with suppress(OSError):
            profiles.add(_read(f"/proc/{each.pid}/attr/current"))
    return SecurityFacts(selinux, label, tuple(sorted(profiles - {"", "unconfined"})))


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return escape(file.read(256).rstrip("\n\0"), 256)


def judge(facts: SecurityFacts) -> list[Fault]:
    """Say what could deny something; nobody is said to be kept out by it."""
    found = []
    if facts.selinux:
        why = f"is {facts.selinux}" + (f"; the login program is {facts.label}" if facts.label else "")
        found.append(Fault("SELinux", why, "ausearch --message AVC --start recent", wrong=False))
    for profile in facts.profiles:
        cure = "journalctl --dmesg --grep apparmor=.DENIED"
        found.append(Fault("AppArmor", f"sshd runs under the profile {profile}", cure, wrong=False))
    return found
