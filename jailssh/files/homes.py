"""Homes: a new one with what useradd(8) puts into it, which appears complete or not at all, and one that is removed.

What is only mounted there is never removed.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from jailssh.core.errors import HostError
from jailssh.core.names import escape, is_below, pasted
from jailssh.files import fs
from jailssh.files.mounts import mounts_of

MAIL = "/var/mail"
SKELETON = "/etc/skel"
_STAGING = ".jailssh-new-"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def make(path: str, uid: int, gid: int, skeleton: str = SKELETON) -> None:
    """Make the home ``path``, mode 0700, below a directory that only root can write to; :class:`HostError`.

    What an interrupted command left half made is replaced.
    """
    head, name = os.path.split(path)
    staging = f"{_STAGING}{name}"
    above = fs.open_dir(head)
    try:
        with suppress(FileNotFoundError):
            os.stat(staging, dir_fd=above, follow_symlinks=False)
            fs.remove_tree(above, staging)
        os.mkdir(staging, 0o700, dir_fd=above)
        home = fs.open_dir_at(above, staging)
        try:
            if os.path.isdir(skeleton):
                source = fs.open_dir(skeleton)
                try:
                    _fill(source, home, uid, gid)
                finally:
                    os.close(source)
            os.fchown(home, uid, gid)
        finally:
            os.close(home)
        # rename(2) would replace an empty directory that somebody made meanwhile.
        with suppress(FileNotFoundError):
            os.stat(name, dir_fd=above, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        os.rename(staging, name, src_dir_fd=above, dst_dir_fd=above)
    except OSError as error:
        raise fs.failed("make home", path, error) from error
    finally:
        os.close(above)


def _fill(source: int, target: int, uid: int, gid: int) -> None:
    for name in sorted(os.listdir(source)):
        info = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, uid, gid, dir_fd=target, follow_symlinks=False)
        elif stat.S_ISDIR(info.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            inside, made = fs.open_dir_at(source, name), fs.open_dir_at(target, name)
            try:
                _fill(inside, made, uid, gid)
                _give(made, info, uid, gid)
            finally:
                os.close(inside)
                os.close(made)
        elif stat.S_ISREG(info.st_mode):
            read = fs.open_plain_at(source, name)
            try:
                made = os.open(name, _CREATE, 0o600, dir_fd=target)
                try:
                    fs.copy_data(read, made)
                    _give(made, info, uid, gid)
                finally:
                    os.close(made)
            finally:
                os.close(read)


def _give(fd: int, info: os.stat_result, uid: int, gid: int) -> None:
    os.fchown(fd, uid, gid)
    os.fchmod(fd, stat.S_IMODE(info.st_mode) & 0o777)
    os.utime(fd, ns=(info.st_atime_ns, info.st_mtime_ns))


def mounts_below(path: str) -> list[str]:
    """Return the mount points at ``path`` and below it, in the order of mounting."""
    return [mount.point for mount in mounts_of() if is_below(mount.point, path)]


def check_home(path: str) -> None:
    """Raise :class:`HostError` where something is mounted in the home: what it holds is somebody else's."""
    if points := mounts_below(path):
        shown = ", ".join(escape(point, 200) for point in points[:5])
        more = f" and {len(points) - 5} more" if len(points) > 5 else ""
        hint = f"umount {pasted(points[-1])}, or omit --remove-home"
        raise HostError(f"home {path}", f"contains mount points: {shown}{more}", hint=hint)


def remove_home(path: str, uid: int) -> None:
    """Remove the home of the account ``uid`` by descriptor, following no link and crossing no mount.

    Raises :class:`HostError` for whatever cannot be removed; absent is fine.
    """
    check_home(path)
    head, name = os.path.split(path)
    if not os.path.lexists(path):
        return
    above = fs.open_dir(head, strict=False)
    try:
        info = os.stat(name, dir_fd=above, follow_symlinks=False)
        if info.st_uid != uid or not stat.S_ISDIR(info.st_mode):
            why = f"is not a directory of uid {uid}, so it is not removed"
            raise HostError(f"home {path}", why, hint=f"inspect it, then: rm -r {path}")
        fs.remove_tree(above, name)
    except OSError as error:
        what = f"{path}, at {escape(str(error.filename), 200)}" if error.filename else path
        raise fs.failed("remove home", what, error) from error
    finally:
        os.close(above)


def is_as_skeleton(path: str, skeleton: str = SKELETON) -> bool:
    """True if the home ``path`` has what useradd(8) puts into a new one, no more and no less."""
    try:
        home = fs.open_dir(path, strict=False, trusted_root=path)
    except HostError:
        return False
    try:
        return _holds_the_same(home, skeleton)
    except OSError:
        return False
    finally:
        os.close(home)


def _holds_the_same(home: int, skeleton: str) -> bool:
    names = set(os.listdir(skeleton)) if os.path.isdir(skeleton) else set()
    if set(os.listdir(home)) != names:
        return False
    for name in names:
        here, there = os.stat(name, dir_fd=home, follow_symlinks=False), os.lstat(f"{skeleton}/{name}")
        if stat.S_IFMT(here.st_mode) != stat.S_IFMT(there.st_mode):
            return False
        if stat.S_ISREG(here.st_mode) and here.st_size != there.st_size:
            return False
        if stat.S_ISDIR(here.st_mode):
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=home)
            try:
                if not _holds_the_same(below, f"{skeleton}/{name}"):
                    return False
            finally:
                os.close(below)
    return True


def remove_mail(name: str, uid: int) -> None:
    """Remove the account's mailbox on this host, if it is the account's."""
    with suppress(FileNotFoundError, HostError):
        folder = fs.open_dir(MAIL, trusted_root=MAIL)
        try:
            if os.stat(name, dir_fd=folder, follow_symlinks=False).st_uid == uid:
                os.unlink(name, dir_fd=folder)
        finally:
            os.close(folder)
