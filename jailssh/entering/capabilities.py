"""The names of capabilities(7), by their numbers in linux/capability.h."""

from __future__ import annotations

from jailssh.core.errors import UsageError

NAMES = (
    "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap",
    "linux_immutable", "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner",
    "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
    "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write", "audit_control", "setfcap",
    "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf",
    "checkpoint_restore",
)  # fmt: skip


def number_of(name: str) -> int:
    """Return the number of a capability, with or without ``cap_`` in front; :class:`UsageError`."""
    word = name.lower().removeprefix("cap_")
    if word not in NAMES:
        raise UsageError(f"capability {name[:40]!r}", "does not exist", hint="man 7 capabilities")
    return NAMES.index(word)
