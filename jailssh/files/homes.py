"""A new home with what useradd(8) puts into one; it appears complete or not at all."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from jailssh.files import fs
from jailssh.files.removal import SKELETON

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
