"""New files and directories beside their final place, seen there when they are whole; and compressing on the way."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from jailssh.core.closed import Word
from jailssh.core.errors import HostError, UsageError
from jailssh.core.names import check_absolute, escape
from jailssh.core.signals import signals_raise, signals_wait
from jailssh.files import fs, tree
from jailssh.host import process


class Compression(Word):
    """How a stream is compressed."""

    NONE = "none"
    GZIP = "gzip"
    XZ = "xz"
    ZSTD = "zstd"
    LZ4 = "lz4"


# One thread each: with several, the bytes could depend on their number.
COMPRESSORS: dict[Compression, tuple[str, ...]] = {
    Compression.GZIP: ("gzip", "-n", "-c"),
    Compression.XZ: ("xz", "-c", "-T1"),
    Compression.ZSTD: ("zstd", "-q", "-c", "-T1"),
}
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def check_place(path: str) -> None:
    """Raise :class:`UsageError` where a new file would take the place of what is no file, such as a device."""
    # A link is replaced, but not one of /dev that stands for what somebody has open; a directory refuses by itself.
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise UsageError(escape(path), "exists and is not a file")


@contextmanager
def new_file(path: str, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """Give a file to fill that replaces ``path`` in one step when the block ends well, and is removed otherwise.

    :class:`UsageError` where something else than a file is there.
    """
    check_place(path)
    with signals_raise(), _new_file(path, mode) as file:
        yield file


@contextmanager
def _new_file(path: str, mode: int) -> Iterator[IO[bytes]]:
    head, name = os.path.split(check_absolute(path, "file"))
    new = f".new-{secrets.token_hex(8)}"
    dirfd = fs.open_dir(head, strict=False)
    try:
        fd = os.open(new, _CREATE, 0o600, dir_fd=dirfd)
        try:
            with open(fd, "r+b") as file:
                yield file
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            os.rename(new, name, src_dir_fd=dirfd, dst_dir_fd=dirfd)
            os.fsync(dirfd)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(new, dir_fd=dirfd)
            raise
    except OSError as error:
        raise fs.failed("write", path, error) from error
    finally:
        os.close(dirfd)


@contextmanager
def new_dir(path: str, keep: bool = True) -> Iterator[str]:
    """Give the path of an empty directory beside ``path`` that gets this name when the block ends well.

    ``path`` may be an empty directory, but nothing else may be there.  Not ``keep``: it is removed in any case, as a
    place for work.
    """
    with signals_raise(), _new_dir(path, keep) as folder:
        yield folder


@contextmanager
def _new_dir(path: str, keep: bool) -> Iterator[str]:
    head, name = os.path.split(check_absolute(path, "directory"))
    new = f".new-{secrets.token_hex(8)}"
    dirfd = fs.open_dir(head, strict=False)
    try:
        os.mkdir(new, 0o700, dir_fd=dirfd)
        try:
            yield f"{head}/{new}"
            if keep:
                tree.publish(dirfd, new, name)
        finally:
            with signals_wait():
                fs.remove_tree(dirfd, new)
    except OSError as error:
        raise fs.failed("write", path, error) from error
    finally:
        os.close(dirfd)


@contextmanager
def compressed(file: IO[bytes], how: Compression) -> Iterator[IO[bytes]]:
    """Give a stream whose bytes reach ``file`` as they are or compressed, by a program of :data:`COMPRESSORS`."""
    if how == Compression.NONE:
        yield file
        return
    program = process.find_program(COMPRESSORS[how][0])
    if program is None:
        raise HostError(f"program {COMPRESSORS[how][0]}", "not found", hint="install the package that contains it")
    file.flush()
    child = subprocess.Popen(
        [program, *COMPRESSORS[how][1:]],
        stdin=subprocess.PIPE,
        stdout=file.fileno(),
        stderr=subprocess.PIPE,
        env={"PATH": ":".join(process.SYSTEM_PATH), "LC_ALL": "C.UTF-8"},
        cwd="/",
    )
    broken = False
    with child:
        try:
            if child.stdin is None or child.stderr is None:
                raise AssertionError("both are pipes")
            try:
                yield child.stdin
                child.stdin.close()
            except BrokenPipeError:
                broken = True
            said = child.stderr.read().decode("utf-8", "replace")
        except BaseException:
            child.kill()
            raise
    if broken or child.returncode != 0:
        raise HostError(f"program {escape(program)}", process.last_line(said) or f"exit status {child.returncode}")
    file.seek(0, os.SEEK_END)


def open_at(dirfd: int, path: str) -> int:
    """Return a descriptor, for reading, of the regular file ``path`` below ``dirfd``, following no link; OSError."""
    head, name = os.path.split(path)
    above = fs.open_dir_at(dirfd, head)
    try:
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=above)
    finally:
        os.close(above)


def give_name(path: str, new: str) -> None:
    """Give the finished file ``path`` another name on the same file system."""
    try:
        os.rename(path, new)
    except OSError as error:
        raise fs.failed("write", new, error) from error
