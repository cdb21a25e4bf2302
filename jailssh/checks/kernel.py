"""Settings of the kernel that jails lean on, or that keep what runs outside of them from harm."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.scene import Scene

WEAK = Kind(
    "JSH-621", Severity.MEDIUM, "kernel setting that helps whoever is outside of a jail",
    "Programs of root's and of others that work in places where an account can write are easier to trick.",
    "set it in a file of /etc/sysctl.d, then: sysctl --system",
)  # fmt: skip
LAX = Kind(
    "JSH-622", Severity.LOW, "kernel setting that could be stricter",
    "Jails do not need it; it makes a fault of the kernel, or a process outside of every jail, worth less.",
    "set it in a file of /etc/sysctl.d, then: sysctl --system",
)  # fmt: skip
NO_MODULE = Kind(
    "JSH-623", Severity.LOW, "neither AppArmor nor SELinux is on",
    "sshd and other services of the host have no limits beside those of the kernel's permissions.",
    "boot with AppArmor or SELinux: security=apparmor",
)  # fmt: skip

_SYSCTL = "/proc/sys"
_LSM = "/sys/kernel/security/lsm"
_MODULES = ("apparmor", "selinux", "smack", "tomoyo")


@dataclass(frozen=True)
class _Setting:
    """A setting: its name, when it is right, what it should be, why, and of which kind another value is."""

    name: str
    right: Callable[[int], bool]
    wanted: str
    why: str
    kind: Kind = LAX


SETTINGS = (
    _Setting("fs.protected_symlinks", lambda value: value >= 1, "1", "links of others in /tmp are followed", WEAK),
    _Setting(
        "fs.protected_hardlinks", lambda value: value >= 1, "1",
        "an account can give a second name to files that it may not write, old set-id programs among them", WEAK,
    ),
    _Setting("fs.protected_fifos", lambda value: value >= 1, "1", "a program that writes to /tmp can be made to wait"),
    _Setting("fs.protected_regular", lambda value: value >= 1, "1", "files of others in /tmp are taken for one's own"),
    _Setting(
        "fs.suid_dumpable", lambda value: value != 1, "0", "set-id programs leave core files, with what they held",
        WEAK,
    ),
    _Setting(
        "kernel.randomize_va_space", lambda value: value == 2, "2", "addresses in programs can be guessed", WEAK
    ),
    _Setting("kernel.yama.ptrace_scope", lambda value: value >= 1, "1", "a process can read its siblings"),
    _Setting("kernel.unprivileged_bpf_disabled", lambda value: value >= 1, "1", "everybody can load BPF programs"),
    _Setting("kernel.kptr_restrict", lambda value: value >= 1, "1", "addresses of the kernel can be read"),
    _Setting("kernel.dmesg_restrict", lambda value: value >= 1, "1", "everybody reads the kernel's messages"),
    _Setting("kernel.perf_event_paranoid", lambda value: value >= 2, "2", "everybody can profile the kernel"),
    _Setting("dev.tty.legacy_tiocsti", lambda value: value == 0, "0", "a program can type into its terminal"),
    _Setting("vm.unprivileged_userfaultfd", lambda value: value == 0, "0", "everybody can hold the kernel up"),
    _Setting("vm.mmap_min_addr", lambda value: value >= 4096, "65536", "faults of the kernel can be used"),
)  # fmt: skip
"""Those that are not there are settings of another kernel, or of a module that is not loaded."""
_SPACES = (
    "user.max_user_namespaces",
    "kernel.unprivileged_userns_clone",
    "kernel.apparmor_restrict_unprivileged_userns",
)
"""Any of these can keep accounts from making user namespaces."""


@dataclass(frozen=True)
class Facts:
    """``values`` by name, those that are there; ``modules``: the security modules in lower case, None for unknown."""

    values: Mapping[str, int]
    modules: tuple[str, ...] | None = None


def collect(_scene: Scene) -> Facts:
    """Read the settings."""
    names = (*(setting.name for setting in SETTINGS), *_SPACES)
    values = {name: value for name in names if (value := _value(name)) is not None}
    modules = None
    with suppress(OSError), open(_LSM, encoding="ascii", errors="replace") as stream:
        modules = tuple(stream.read().strip().casefold().split(","))
    return Facts(values, modules)


def _value(name: str) -> int | None:
    path = os.path.join(_SYSCTL, *name.split("."))
    with suppress(OSError, ValueError), open(path, encoding="ascii", errors="replace") as stream:
        return int(stream.read())
    return None


def judge(facts: Facts) -> Iterable[Finding]:
    """Return what is weaker than it should be."""
    for setting in SETTINGS:
        value = facts.values.get(setting.name)
        if value is not None and not setting.right(value):
            cure = f"sysctl -w {setting.name}={setting.wanted}, and the same in a file of /etc/sysctl.d"
            why = f"is {value}: {setting.why}"
            yield Finding(setting.kind, f"kernel setting {setting.name}", why, cure=cure)
    most, clone, armor = (facts.values.get(name) for name in _SPACES)
    if most and clone != 0 and armor != 1:
        why = f"is {most}: every account can make user namespaces, from which most faults of the kernel are reached"
        cure = "sysctl -w user.max_user_namespaces=0, unless browsers or containers of accounts need them"
        yield Finding(LAX, f"kernel setting {_SPACES[0]}", why, cure=cure)
    if facts.modules is not None and not set(facts.modules) & set(_MODULES):
        yield Finding(NO_MODULE, "kernel", f"security modules: {', '.join(facts.modules)}")


CHECK = Check("kernel", "settings of the kernel", (WEAK, LAX, NO_MODULE), collect, judge)
