"""Remove a home, and nothing that is only mounted there."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from jailssh.core.errors import HostError
from jailssh.core.names import escape, is_below, pasted
from jailssh.files import fs
from jailssh.files.mounts import mounts_of

MAIL = "/var/mail"
SKELETON = "/etc/skel"


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
