"""What a file that is to be a tree holds, by what stands in it: its name counts for nothing."""

from __future__ import annotations

import os
import stat

from jailssh.core.closed import Word
from jailssh.core.errors import HostError, UsageError

_LOOKED_AT = 4096
_ARCHIVES = (
    (0, b"\x1f\x8b", "gzip"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"\x89LZO\0", "lzop"),
    (0, b"LZIP", "lzip"),
    (257, b"ustar", ""),
)
"""Where which bytes stand in a tar, and the program that unpacks it, if any."""
_OTHERS = (
    (0, b"PK\x03\x04", "a zip archive"),
    (0, b"QFI\xfb", "a qcow2 disk"),
    (0, b"LUKS", "an encrypted disk"),
    (0, b"XFSB", "an XFS file system"),
    (32769, b"CD001", "an ISO 9660 file system"),
)


class ImageKind(Word):
    """File systems of image files."""

    SQUASHFS = "squashfs"
    EROFS = "erofs"
    EXT4 = "ext4"


_SUPERBLOCKS = (
    (0, b"hsqs", ImageKind.SQUASHFS),
    (1024, b"\xe2\xe1\xf5\xe0", ImageKind.EROFS),
    (1080, b"\x53\xef", ImageKind.EXT4),  # ext2 and ext3 too, which the driver of ext4 reads
)


def kind_of(path: str, name: str) -> tuple[ImageKind | None, str]:
    """Return the file system in a regular file, or None and the program that unpacks the tar that it is.

    ``""``: none is needed.  :class:`UsageError` for anything else, which is said; ``name``: what it is called there.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(name, (error.strerror or str(error)).lower()) from error
    with open(fd, "rb", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UsageError(name, "is neither a directory nor a regular file")
        try:
            start = stream.read(_LOOKED_AT)
            far = os.pread(fd, 16, 32768)
        except OSError as error:
            raise HostError(name, (error.strerror or str(error)).lower()) from error
    return _judged(start, far, name)


def _judged(start: bytes, far: bytes, name: str) -> tuple[ImageKind | None, str]:
    def has(at: int, bytes_: bytes) -> bool:
        return start.startswith(bytes_, at) or (at >= 32768 and far.startswith(bytes_, at - 32768))

    parted = UsageError(name, "holds a partition table", hint="name a file with one file system, without partitions")
    if has(512, b"EFI PART"):
        raise parted
    for at, magic, kind in _SUPERBLOCKS:
        if has(at, magic):
            return kind, ""
    for at, magic, program in _ARCHIVES:
        if has(at, magic):
            return None, program
    if _is_old_tar(start):
        return None, ""
    for at, magic, what in _OTHERS:
        if has(at, magic):
            raise UsageError(name, f"is {what}", hint="a tree is a directory, a tar, or squashfs, erofs or ext4")
    if has(510, b"\x55\xaa"):
        raise parted
    what = (
        "is no directory, and empty"
        if not start
        else "is no directory, and neither a tar nor a squashfs, erofs or ext4 image"
    )
    raise UsageError(name, what)


def _is_old_tar(start: bytes) -> bool:
    """True by the sum over the header, which tars without a magic have too."""
    header, field = start[:512], start[148:156].strip(b" \0")
    if len(header) < 512 or not field or any(byte not in b"01234567" for byte in field):
        return False
    return int(field, 8) == sum(header[:148]) + 8 * 32 + sum(header[156:])
