"""What programs read of the whole system in ``/proc``, as a jail's account has it: its own limits, nothing of others.

proc(5) and the sources of procps say which lines are read.  What is used of the limits is not in there: a file cannot
change by itself, and the kernel's own would tell of everybody.
"""

from __future__ import annotations

from collections.abc import Iterator

FOLDER = "/run/proc"
"""Where the login program puts the files (PROC_FILES in ``login/proc.h``)."""

_MEMORY = (
    "MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapCached", "Active", "Inactive", "SwapTotal",
    "SwapFree", "Dirty", "Writeback", "AnonPages", "Mapped", "Shmem", "Slab", "SReclaimable", "SUnreclaim",
)  # fmt: skip
_FREE = ("MemTotal", "MemFree", "MemAvailable")


def proc_files(memory: int, cpus: int) -> Iterator[tuple[str, str]]:
    """Yield (name below ``/proc``, text) for an account with so much ``memory``, in bytes, and so many ``cpus``.

    The login program adds the time of boot to ``stat``.
    """
    yield "loadavg", "0.00 0.00 0.00 1/1 1\n"
    sizes = ((name, memory >> 10 if name in _FREE else 0) for name in _MEMORY)
    yield "meminfo", "".join(f"{name + ':':<16}{size:>8} kB\n" for name, size in sizes)
    times = " 0" * 10
    lines = [f"cpu {times}", *(f"cpu{number}{times}" for number in range(max(cpus, 1)))]
    yield "stat", "\n".join([*lines, "intr 0", "ctxt 0", "processes 1", "procs_running 1", "procs_blocked 0", ""])
    yield "swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
