"""Settings of the kernel, changed for a test: of the whole machine, so such a test is marked ``alone``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUID_DUMPABLE = Path("/proc/sys/fs/suid_dumpable")


@contextmanager
def kernel_setting(path: Path, value: str) -> Iterator[None]:
    """Give a setting a value, and its own one back."""
    before = path.read_text()
    path.write_text(value)
    try:
        yield
    finally:
        path.write_text(before)
