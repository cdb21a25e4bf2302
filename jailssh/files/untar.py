"""A tar as a tree: unpacked into memory that goes with the command, or once into a directory.

It is unpacked by this process with nothing but the new tree in reach (chroot(2)): no name and no link in it leads
anywhere else.  What is in memory belongs to a mount namespace of this process, and goes with it however it ends.
"""

from __future__ import annotations

import bz2
import ctypes
import fcntl
import gzip
import io
import lzma
import os
import shutil
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from jailssh.core.errors import HostError, UsageError

KNOWN: dict[str, Callable[[str], Any]] = {"": io.FileIO, "gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
"""What Python itself can decompress."""
_NEW_MOUNTS = 0x00020000
_PRIVATE = (1 << 18) | (1 << 14)
_NOSUID_NODEV = 6
TREE = "tree"
_PART = "tree.part"
_STAMP = "tree.of"
_MEMORY = "size=50%,nr_inodes=1m,mode=0755"
"""Half of the host's memory at most."""


def in_memory(archive: str, name: str, program: str, place: str) -> str:
    """Unpack a tar into a new tmpfs on the directory ``place``, for this process alone; return that directory.

    ``program``: what decompresses it: gzip, bzip2 or xz, which Python does, the path of another, or "" for none;
    ``name``: for messages.  :class:`HostError`.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    os.makedirs(place, 0o755, exist_ok=True)

    def call(done: int) -> None:
        if done != 0:
            raise HostError(name, f"cannot make room for a tar: {os.strerror(ctypes.get_errno())}")

    call(libc.unshare(_NEW_MOUNTS))
    call(libc.mount(b"none", b"/", None, ctypes.c_ulong(_PRIVATE), None))
    call(libc.mount(b"none", place.encode(), b"tmpfs", ctypes.c_ulong(_NOSUID_NODEV), _MEMORY.encode()))
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    _unpack(archive, name, program, fd)
    os.close(fd)
    return place


def once(archive: str, name: str, program: str, store: str) -> str:
    """Unpack a tar into the directory ``tree`` of ``store``, unless that holds it already; return that directory.

    Who comes second waits.  :class:`UsageError` if another tar was unpacked there.
    """
    info = os.stat(archive)
    stamp = f"{os.path.realpath(archive)}\n{info.st_size} {info.st_mtime_ns}\n"
    folder = os.open(store, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    if os.fstat(folder).st_uid != os.geteuid() or os.fstat(folder).st_mode & 0o022:
        raise UsageError("--overlay", "others can change this directory, and a tar is unpacked there")
    fcntl.flock(folder, fcntl.LOCK_EX)
    if not _holds(folder, stamp):
        with suppress(FileNotFoundError):
            shutil.rmtree(_PART, dir_fd=folder)
        os.mkdir(_PART, 0o755, dir_fd=folder)
        part = os.open(_PART, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        _unpack(archive, name, program, part)
        os.close(part)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(_STAMP, flags, 0o644, dir_fd=folder), "w", encoding="utf-8",
                  errors="surrogateescape") as stream:  # fmt: skip
            stream.write(stamp)
        os.rename(_PART, TREE, src_dir_fd=folder, dst_dir_fd=folder)
    os.close(folder)
    return f"{store}/{TREE}"


def _holds(folder: int, stamp: str) -> bool:
    try:
        os.stat(TREE, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    found = ""
    with suppress(OSError), open(
        os.open(_STAMP, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), encoding="utf-8",
        errors="surrogateescape",
    ) as stream:  # fmt: skip
        found = stream.read(1 << 16)
    if found != stamp:
        raise UsageError("--overlay", f"{TREE} in it is not of this tar, or of an earlier state of it",
                         hint="take another directory, or remove this one")  # fmt: skip
    return True


def _unpack(archive: str, name: str, program: str, folder: int) -> None:
    with (
        decompressed(archive, name, program) as stream, told(name), _as_root_directory(folder),
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):  # fmt: skip
        _extract(tar)
        while stream.read(1 << 20):  # what stands behind the end: its sum is looked at
            pass


@contextmanager
def told(name: str) -> Iterator[None]:
    """Raise what is wrong with a tar, or what keeps it from being unpacked, as :class:`HostError` about ``name``."""
    broken = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, KeyError, ValueError, OverflowError)
    try:
        yield
    except broken as error:
        raise HostError(name, f"damaged tar: {error}") from error
    except OSError as error:
        if error.errno is None:  # what Python itself finds wrong
            raise HostError(name, f"damaged tar: {error}") from error
        raise HostError(name, f"cannot be unpacked: {error.strerror or error}".rstrip(": ")) from error


def _extract(tar: tarfile.TarFile) -> None:
    tar.extraction_filter = lambda member, _path: member  # nothing else is in reach
    tar.errorlevel = 2
    made = []
    for member in tar:
        if member.ischr() or member.isblk():  # of no use in a tree, whose mounts are nodev
            continue
        if member.isdir():
            made.append(member)
        tar.extract(member, "/", set_attrs=not member.isdir(), numeric_owner=True)
    assert tar.fileobj is not None
    if tar.fileobj.tell() - tar.offset != tarfile.BLOCKSIZE:  # nor has it been told by a block of zeros
        raise tarfile.ReadError("unexpected end of data")
    for member in reversed(made):  # when nothing is put into them any more
        path = "/" + member.name.lstrip("/")
        if os.path.islink(path):
            continue
        os.chown(path, member.uid, member.gid)
        os.chmod(path, member.mode & 0o7777)
        os.utime(path, (member.mtime, member.mtime))


@contextmanager
def _as_root_directory(folder: int) -> Iterator[None]:
    old = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    where = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    mask = os.umask(0o022)
    os.fchdir(folder)
    os.chroot(".")
    try:
        yield
    finally:
        os.fchdir(old)
        os.chroot(".")
        os.fchdir(where)
        os.umask(mask)
        os.close(old)
        os.close(where)


@contextmanager
def decompressed(archive: str, name: str, program: str) -> Iterator[IO[bytes]]:
    """Yield the tar itself; where Python does not know how it is compressed, by a program; see :func:`in_memory`."""
    if program in KNOWN:
        with KNOWN[program](archive) as stream:
            yield stream
        return
    with open(archive, "rb") as source, subprocess.Popen(
        [program, "-dc"], stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={}
    ) as running:  # fmt: skip
        assert running.stdout is not None
        assert running.stderr is not None
        try:
            yield running.stdout
            said = running.stderr.read(200).decode("utf-8", "replace").strip()
            if running.wait() != 0:
                raise HostError(name, f"damaged tar: {said or program}")
        finally:
            running.kill()
