"""This host's local time, as the system's configuration says (localtime(5)); no environment counts."""

from __future__ import annotations

import io
import os
import struct
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from jailssh.core.errors import HostError
from jailssh.files import fs

FROM = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
UNTIL = int(datetime(2045, 1, 1, tzinfo=UTC).timestamp())
"""The changes of local time between these are known; what holds at an end is taken to hold beyond it."""

ALWAYS_UTC = ((0, 0),)
_DAY = 86400
_MAX_FILE = 1 << 18


def local_offsets(root: str = "") -> tuple[tuple[int, int], ...]:
    """Return (seconds since 1970 from which it holds, seconds ahead of UTC), ascending, the first from 0 on.

    ``root``: the directory that stands for the host's root; without a zone of its own it has this host's.  A host
    without ``/etc/localtime`` has UTC.  Raises :class:`HostError` for one that cannot be read or is damaged.
    """
    place = next((base for base in dict.fromkeys((root, "")) if os.path.lexists(f"{base}/etc/localtime")), None)
    if place is None:
        return ALWAYS_UTC
    path = _target(place)
    hint = "ls -l /etc/localtime; timedatectl set-timezone, or: apt-get install --reinstall tzdata"
    try:
        # Zones that are the same have one file with several names.
        fd = fs.open_trusted(path, trusted_root=root or None, limit=_MAX_FILE, single_link=False)
    except HostError as error:
        raise HostError(f"{place}/etc/localtime", f"{error.what}: {error.why}", hint=hint) from error
    with open(fd, "rb") as file:
        data = file.read(_MAX_FILE)
    try:
        if not data.endswith(b"\n"):
            raise ValueError("its last line, which says what holds from now on, is cut off")
        return _changes(data)
    except (ValueError, struct.error, AssertionError, EOFError, IndexError, OverflowError) as error:
        raise HostError(f"{place}/etc/localtime", f"{path} is not a valid time zone file", hint=hint) from error


def _target(root: str) -> str:
    path = f"{root}/etc/localtime"
    if root and os.path.islink(path):
        # The zones are below /usr, which need not be in a directory that stands for the root.
        target = os.path.normpath(os.path.join("/etc", os.readlink(path)))
        path = root + target if os.path.lexists(root + target) else target
    return os.path.realpath(path)


class _Whole(io.BytesIO):
    """Bytes that end with an error: zoneinfo reads a file that ends too early for ever."""

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if size is not None and len(data) < size:
            raise EOFError
        return data


@lru_cache(maxsize=4)
def _changes(data: bytes) -> tuple[tuple[int, int], ...]:
    zone = ZoneInfo.from_file(_Whole(data))
    found = [(0, _ahead(zone, FROM))]
    for day in range(FROM, UNTIL, _DAY):
        if _ahead(zone, day + _DAY) == found[-1][1]:
            continue
        low, high = day, day + _DAY
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _ahead(zone, middle) == found[-1][1] else (low, middle)
        found.append((high, _ahead(zone, high)))
    return tuple(found)


def _ahead(zone: ZoneInfo, moment: int) -> int:
    offset = datetime.fromtimestamp(moment, zone).utcoffset()
    return 0 if offset is None else int(offset.total_seconds())
