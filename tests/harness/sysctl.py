"""Settings of the kernel, changed for a test: of the whole machine, so such a test is marked ``alone``.

Another run of tests may be on the machine too: it waits, or it would give back what this one has set.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUID_DUMPABLE = Path("/proc/sys/fs/suid_dumpable")


@contextmanager
def kernel_setting(path: Path, value: str) -> Iterator[None]:
    """Give a setting a value, and its own one back."""
    with path.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = path.read_text()
        path.write_text(value)
        try:
            yield
        finally:
            path.write_text(before)
