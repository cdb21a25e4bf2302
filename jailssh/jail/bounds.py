"""What an account's sessions are held to together, and what then is left to hold each process to."""

from __future__ import annotations

from collections.abc import Mapping

from jailssh.config.jails import JailConfig
from jailssh.config.limits import slice_of
from jailssh.services import slices

# The kernel counts the processes of a uid in all containers: a bound for the case that a login comes to no slice.
_NPROC_BESIDE_TASKS = 4096


def slice_properties(config: JailConfig) -> dict[str, str]:
    """Return the properties of the slice of an account in this jail."""
    return slice_of(config.access, slices.total_memory())


def what_is_there(config: JailConfig) -> tuple[int, int]:
    """Return the memory, in bytes, and the number of processors that an account in this jail has for its sessions."""
    held, cpus = slice_properties(config), slices.processors()
    memory = min(int(held.get("MemoryMax", slices.total_memory())), slices.total_memory())
    quota = int(held["CPUQuota"].removesuffix("%")) if "CPUQuota" in held else cpus * 100
    return memory, max(1, min(cpus, -(-quota // 100)))


def rlimits(config: JailConfig, root: str) -> Mapping[str, int]:
    """Return what each process is held to; ``tasks`` does better what ``nproc`` does, unless that is set.

    ``root``: the directory that stands for the host's, "" for the host's own.
    """
    own = any(item.setting.name == "nproc" and item.origin != "default" for item in config.items)
    if own or root or "TasksMax" not in slice_properties(config) or slices.why_not():
        return config.limits
    return {**config.limits, "nproc": _NPROC_BESIDE_TASKS}
