"""Files that root may trust, and changes to the file system that are whole or not at all.

Every path is walked component by component through directory descriptors and no symbolic link is followed
(path_resolution(7), O_NOFOLLOW in open(2)), so that what was checked is what is used.  Failures are
:class:`HostError`; a failed write leaves the old file as it was.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Protocol

from jailssh.core.errors import HostError
from jailssh.core.names import check_absolute, escape, is_below
from jailssh.files import walked

SIZE_CAP = 4 << 30
NEW = ".new-"
_OWN = "/proc/self/fd"
_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK so that a fifo put in the place of a file cannot hold us, O_NOCTTY for the same with a terminal.
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def _token() -> str:
    """Return what nobody can guess; the module secrets would bring in all of hashlib's libraries for it."""
    return os.urandom(8).hex()


def failed(action: str, path: str, error: OSError) -> HostError:
    """Return the :class:`HostError` for ``error`` met while doing ``action`` (a verb) on ``path``."""
    return HostError(f"cannot {action} {escape(path)}", os.strerror(error.errno or errno.EIO).lower())


class Owned(Protocol):
    """The part of a status (stat(2)) that says whose something is."""

    @property
    def st_mode(self) -> int:
        """Kind and mode."""

    @property
    def st_uid(self) -> int:
        """The owner."""


def distrust(info: Owned) -> str:
    """Return why an object cannot be trusted ("owned by uid 1000", "writable by its group"), or "".

    Trusted owners are root and, for a process that is not root, the process itself.  The mode of a symbolic link
    says nothing, only its owner counts.
    """
    if info.st_uid not in (0, os.geteuid()):
        return f"owned by uid {info.st_uid}, not by root"
    if stat.S_ISLNK(info.st_mode):
        return ""
    if info.st_mode & stat.S_IWGRP:
        return "writable by its group"
    return "writable by everyone" if info.st_mode & stat.S_IWOTH else ""


def open_dir(path: str, *, trusted_root: str | None = None, strict: bool = True) -> int:
    """Return a descriptor of the directory ``path``; no component may be a symbolic link.

    ``strict``: each component must be trusted (:func:`distrust`); ``trusted_root`` and everything above it are
    taken as they are.  Not ``strict``: a directory such as ``/tmp``, where everyone may create but only the owner
    may remove, may lie on the way.
    """
    check_absolute(path, "directory")
    way = path, trusted_root, strict
    if (known := walked.again(way)) is not None:
        return known
    at, _, name = path.rpartition("/") if walked.is_below(path) else ("", "", path)
    fd = open_dir(at, trusted_root=trusted_root, strict=strict) if at else os.open("/", _DIR)
    try:
        _check_component(fd, at or "/", trusted_root, strict)
        for part in filter(None, name.split("/")):
            at += "/" + part
            below = os.open(part, _DIR, dir_fd=fd)
            os.close(fd)
            fd = below
            _check_component(fd, at, trusted_root, strict)
        walked.keep(way, fd)
    except BaseException as error:
        os.close(fd)
        if isinstance(error, OSError):
            if error.errno == errno.ENOTDIR and os.path.islink(at):
                hint = f"put a directory in its place, or mount {escape(os.path.realpath(at))} there: mount --bind"
                raise HostError(f"directory {escape(at)}", "is a symbolic link", hint=hint) from error
            raise failed("open directory", at, error) from error
        raise
    return fd


def open_dir_at(dirfd: int, path: str) -> int:
    """Return a descriptor of the directory ``path`` below ``dirfd`` ("" for itself), following no link; OSError."""
    fd = os.open(".", _DIR, dir_fd=dirfd)
    try:
        for part in path.strip("/").split("/") if path.strip("/") else ():
            below = os.open(part, _DIR, dir_fd=fd)
            os.close(fd)
            fd = below
    except BaseException:
        os.close(fd)
        raise
    return fd


def _check_component(fd: int, path: str, trusted_root: str | None, strict: bool) -> None:
    if trusted_root is not None and is_below(trusted_root, path):
        return
    info = os.fstat(fd)
    if not strict and info.st_mode & stat.S_ISVTX and info.st_uid == 0:
        return
    if why := distrust(info):
        raise HostError(f"directory {escape(path)}", why, hint="must belong to root and be writable by root only")


def open_trusted(path: str, *, trusted_root: str | None = None, limit: int = SIZE_CAP, single_link: bool = True) -> int:
    """Return a descriptor, for reading, of a regular file that only root can have written.

    Each directory on the way and the file itself must belong to root and be writable by nobody else; the file must
    have one name (``single_link``) and at most ``limit`` bytes.  ``trusted_root``: see :func:`open_dir`.
    """
    check_absolute(path, "file")
    head, name = os.path.split(path)
    dirfd = open_dir(head, trusted_root=trusted_root)
    try:
        fd = os.open(name, READ, dir_fd=dirfd)
    except OSError as error:
        raise failed("open", path, error) from error
    finally:
        os.close(dirfd)
    if why := _no_file_to_trust(os.fstat(fd), limit, single_link):
        os.close(fd)
        raise HostError(f"file {escape(path)}", why)
    return fd


def _no_file_to_trust(info: os.stat_result, limit: int, single_link: bool) -> str:
    if not stat.S_ISREG(info.st_mode):
        return "is not a regular file"
    if single_link and info.st_nlink != 1:
        return f"has {info.st_nlink} hard links"
    if info.st_size > limit:
        return f"has {info.st_size} bytes (limit {limit})"
    return distrust(info)


def open_plain(path: str) -> int:
    """Return a descriptor, for reading, of the regular file ``path``, itself not a link; raises OSError.

    Nothing is said about who could have put it there: the caller compares its status with one that was checked.
    """
    return open_plain_at(None, path)


def open_plain_at(dirfd: int | None, name: str) -> int:
    """Do the same for a file in an open directory; raises OSError."""
    fd = os.open(name, READ, dir_fd=dirfd)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
    return fd


def read_trusted(path: str, limit: int, *, trusted_root: str | None = None) -> bytes:
    """Return the content of a trusted file (:func:`open_trusted`) of at most ``limit`` bytes."""
    head, name = os.path.split(check_absolute(path, "file"))
    dirfd = open_dir(head, trusted_root=trusted_root)
    try:
        return read_in(dirfd, name, path, limit)
    except FileNotFoundError as error:
        raise failed("open", path, error) from error
    finally:
        os.close(dirfd)


def read_in(dirfd: int, name: str, path: str, limit: int) -> bytes:
    """Return the content of a trusted file in an open directory; FileNotFoundError where there is none."""
    try:
        fd = os.open(name, READ, dir_fd=dirfd)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise failed("open", path, error) from error
    try:
        info, data = os.fstat(fd), b""
        if why := _no_file_to_trust(info, limit, single_link=True):
            raise HostError(f"file {escape(path)}", why)
        # Room for as much as may come would be made anew for each of thousands of small files.
        while more := os.read(fd, min(max(info.st_size - len(data), len(data), 1 << 12), limit - len(data)) + 1):
            data += more
            if len(data) > limit:
                raise HostError(f"file {escape(path)}", f"grew beyond {limit} bytes while it was read")
    finally:
        os.close(fd)
    return data


def write_all(fd: int, data: bytes) -> None:
    """Write all of ``data`` to ``fd``; raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def copy_data(source: int, target: int, size: int = -1) -> int:
    """Copy all bytes from descriptor to descriptor and return their number; raises OSError.

    ``size``: how many there should be; with that many it is done, without a look for more.
    copy_file_range(2) shares the blocks where the file system can; where it cannot work at all, read and write do.
    """
    total = 0
    try:
        while total != size and (count := os.copy_file_range(source, target, 1 << 30)):
            total += count
        return total
    except OSError as error:
        if total or error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            raise
    while data := os.read(source, 1 << 20):
        write_all(target, data)
        total += len(data)
    return total


def atomic_write_at(dirfd: int, name: str, data: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
    """Put a whole new file ``name`` into the open directory, replacing an old one in one step; raises OSError."""
    atomic_write_parts_at(dirfd, name, (data,), mode, uid, gid)


def atomic_write_parts_at(
    dirfd: int, name: str, parts: Iterable[bytes], mode: int = 0o644, uid: int = 0, gid: int = 0, *, settle: bool = True
) -> None:
    """Do the same with data that comes in parts; what ``parts`` raises leaves the old file as it was.

    Not ``settle``: until the directory is synced (fsync(2)), a crash may bring the old file back.
    """
    with _new_file_at(dirfd, name, parts, mode, uid, gid, settle=settle) as put:
        put()


def _create(dirfd: int, name: str) -> tuple[int, bool]:
    """Return a new file without a name (O_TMPFILE in open(2)), of which a process that is killed leaves nothing.

    With this ``name``, and True, where there are none: on overlayfs before Linux 6.3 and others, and without ``/proc``.
    """
    if os.path.isdir(_OWN):
        try:
            return os.open(".", os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600, dir_fd=dirfd), False
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                raise
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=dirfd), True


@contextmanager
def _new_file_at(
    dirfd: int, name: str, parts: Iterable[bytes], mode: int, uid: int, gid: int, *, settle: bool
) -> Iterator[Callable[[], None]]:
    new, is_put = f"{NEW}{_token()}", False  # Removed below, too, where a signal raises at the call that makes it.

    def put() -> None:
        nonlocal is_put
        if not named:
            os.link(f"{_OWN}/{fd}", new, dst_dir_fd=dirfd, follow_symlinks=True)
        os.rename(new, name, src_dir_fd=dirfd, dst_dir_fd=dirfd)
        is_put = True
        if settle:
            os.fsync(dirfd)

    try:
        fd, named = _create(dirfd, new)
        try:
            with open(fd, "wb", closefd=False) as file:
                file.writelines(parts)
            os.fchown(fd, uid, gid)
            os.fchmod(fd, mode)
            os.fsync(fd)
            yield put
        finally:
            os.close(fd)
    finally:
        if not is_put:
            with suppress(OSError):
                os.unlink(new, dir_fd=dirfd)


def atomic_write(path: str, data: bytes, mode: int = 0o644, uid: int = 0, gid: int = 0, *, settle: bool = True) -> None:
    """Replace ``path`` by a file with ``data``, owner and mode, in one step that survives a crash.

    The old file stays whole when anything fails (no space, no right).  A symbolic link at ``path`` is replaced, not
    followed; one in the directories on the way is refused.  Not ``settle``: see :func:`atomic_write_parts_at`.
    """
    atomic_write_parts(path, (data,), mode, uid, gid, settle=settle)


def atomic_write_parts(
    path: str, parts: Iterable[bytes], mode: int = 0o644, uid: int = 0, gid: int = 0, *, settle: bool = True
) -> None:
    """Do the same with data that comes in parts."""
    with new_file(path, parts, mode, uid, gid, settle=settle) as put:
        put()


@contextmanager
def new_file(
    path: str, parts: Iterable[bytes], mode: int = 0o644, uid: int = 0, gid: int = 0, *, settle: bool = True
) -> Iterator[Callable[[], None]]:
    """Do the first half of :func:`atomic_write_parts`, which waits for the disk; yield the other half.

    Whoever replaces a file under a lock needs that for the other half alone.  What is not put there is removed.
    """
    head, name = os.path.split(check_absolute(path, "file"))

    def told(act: Callable[[], Any]) -> Any:
        try:
            return act()
        except OSError as error:
            raise failed("write", path, error) from error

    with ExitStack() as stack:
        dirfd = open_dir(head, strict=False)
        stack.callback(os.close, dirfd)
        put = told(lambda: stack.enter_context(_new_file_at(dirfd, name, parts, mode, uid, gid, settle=settle)))
        yield lambda: told(put)


def atomic_symlink_at(dirfd: int, name: str, target: str) -> None:
    """Make ``name`` in the open directory a symbolic link to ``target``, replacing an old one; raises OSError."""
    new = f"{NEW}{_token()}"
    try:
        os.symlink(target, new, dir_fd=dirfd)
        os.rename(new, name, src_dir_fd=dirfd, dst_dir_fd=dirfd)
    except BaseException:
        with suppress(OSError):
            os.unlink(new, dir_fd=dirfd)
        raise
    os.fsync(dirfd)


def remove_file(path: str) -> bool:
    """Remove the file or link ``path``; False if there was none, nor its directory."""
    head, name = os.path.split(check_absolute(path, "file"))
    try:
        dirfd = open_dir(head, strict=False)
    except HostError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return False
        raise
    try:
        os.unlink(name, dir_fd=dirfd)
        os.fsync(dirfd)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise failed("remove", path, error) from error
    finally:
        os.close(dirfd)
    return True


def ensure_dir(path: str, mode: int, uid: int = 0, gid: int = 0, *, trusted_root: str | None = None) -> None:
    """Make sure that ``path`` is a directory with this mode and owner; missing parents become 0755.

    What already is a directory gets the mode and the owner; anything else in its place is an error.
    ``trusted_root``: see :func:`open_dir`.
    """
    check_absolute(path, "directory")
    above, name = os.path.split(path)
    try:
        parent = open_dir(above, strict=False, trusted_root=trusted_root)
    except HostError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        ensure_dir(above, 0o755, uid, gid, trusted_root=trusted_root)
        parent = open_dir(above, strict=False, trusted_root=trusted_root)
    try:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=parent)
        fd = os.open(name, _DIR, dir_fd=parent)
        try:
            info = os.fstat(fd)
            if (info.st_uid, info.st_gid) != (uid, gid):
                os.fchown(fd, uid, gid)
            if stat.S_IMODE(info.st_mode) != mode:
                os.fchmod(fd, mode)
        finally:
            os.close(fd)
    except OSError as error:
        raise failed("make directory", path, error) from error
    finally:
        os.close(parent)


def remove_tree(dirfd: int, name: str) -> None:
    """Remove ``name`` and all below it from the open directory, following nothing; absent is fine; raises OSError.

    A mount point below is an error (EBUSY, EXDEV) and what it holds is not touched.  Nested directories are first
    moved up to the top, so neither the depth of the tree nor the length of its paths matters.
    """
    try:
        if not stat.S_ISDIR(os.stat(name, dir_fd=dirfd, follow_symlinks=False).st_mode):
            os.unlink(name, dir_fd=dirfd)
            return
    except FileNotFoundError:
        return
    top = os.open(name, _DIR, dir_fd=dirfd)
    try:
        mount = _mount_of(dirfd)
        _stay(top, mount, name)
        while children := os.listdir(top):
            for child in children:
                _remove_level(top, child, mount)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=dirfd)


def _mount_of(fd: int) -> bytes:
    """Return the id of the mount that an open directory is on: a bind mount has the device of what it shows."""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as stream:
        return next((line for line in stream if line.startswith(b"mnt_id:")), b"")


def _stay(fd: int, mount: bytes, name: str) -> None:
    if _mount_of(fd) != mount:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), name)


def _remove_level(top: int, name: str, mount: bytes) -> None:
    """Remove one child of ``top``; directories in it become children of ``top``."""
    if not _is_dir(top, name):
        os.unlink(name, dir_fd=top)
        return
    fd = os.open(name, _DIR, dir_fd=top)
    try:
        _stay(fd, mount, name)
        for child in os.listdir(fd):
            if _is_dir(fd, child):
                os.rename(child, f".gone-{_token()}", src_dir_fd=fd, dst_dir_fd=top)
            else:
                os.unlink(child, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=top)


def _is_dir(dirfd: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=dirfd, follow_symlinks=False).st_mode)


@contextmanager
def lock(path: str, waiting: Callable[[int], None] | None = None, *, trusted_root: str | None = None) -> Iterator[None]:
    """Hold the lock file ``path`` exclusively (flock(2)); it is created 0600 and never removed.

    If another process has it, ``waiting`` is called once with that process's id (0: unknown) and then the call
    waits; a signal handler that raises ends the waiting.  ``trusted_root``: see :func:`open_dir`.
    """
    head, name = os.path.split(check_absolute(path, "lock"))
    dirfd = open_dir(head, strict=False, trusted_root=trusted_root)
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        fd = os.open(name, flags, 0o600, dir_fd=dirfd)
    except OSError as error:
        raise failed("lock", path, error) from error
    finally:
        os.close(dirfd)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode) or distrust(os.fstat(fd)):
            raise HostError(f"lock {escape(path)}", "is not a regular file that belongs to root alone")
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting:
                holder = os.pread(fd, 20, 0).strip()
                waiting(int(holder) if holder.isdigit() else 0)
            fcntl.flock(fd, fcntl.LOCK_EX)
        # It is for who waits, and no reason not to go on where there is no room.
        with suppress(OSError):
            os.pwrite(fd, b"%-20d" % os.getpid(), 0)
        yield
    finally:
        os.close(fd)
