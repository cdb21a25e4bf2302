"""Bring a directory, a home, from one place to another, so that it is always whole in one of them.

On one file system it is renamed.  Else the old one first goes where only root can look, so that nobody changes it
meanwhile; its copy is made where only root can look, and appears by one rename, which decides: until then the old one
counts, from then on the new one.  Whoever is interrupted calls :func:`bring` again, there or back.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from jailssh.core.errors import HostError
from jailssh.core.names import escape, is_below, pasted
from jailssh.files import blobs, fs
from jailssh.files.beneath import sync_file_system
from jailssh.files.duplicate import copy_tree
from jailssh.files.homes import mounts_below

_ASIDE = ".jailssh-moved-"
_COMING = ".jailssh-coming-"
_HOME = "home"


def nothing() -> None:
    """Do nothing."""


class _Place:
    """Where a home is or may be, with the directories beside it that only root can look into."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.head, self.name = os.path.split(path)
        self.aside, self.coming = f"{_ASIDE}{self.name}", f"{_COMING}{self.name}"

    @property
    def there(self) -> bool:
        return os.path.lexists(self.path)

    @property
    def put_aside(self) -> bool:
        return os.path.lexists(f"{self.head}/{self.aside}/{_HOME}")


def rename_beside(path: str, name: str) -> None:
    """Give ``path`` the name ``name`` in its directory, unless that is taken or it is gone; :class:`HostError`.

    The directory may be a daemon's; no component of its path is followed where it is a link.
    """
    head, old = os.path.split(path)
    if not os.path.lexists(path) or os.path.lexists(f"{head}/{name}"):
        return
    above = fs.open_dir(head, trusted_root=head)
    try:
        os.rename(old, name, src_dir_fd=above, dst_dir_fd=above)
        os.fsync(above)
    except OSError as error:
        raise fs.failed("rename", path, error) from error
    finally:
        os.close(above)


def check(source: str, target: str, uid: int) -> None:
    """Raise :class:`HostError` unless the home ``source`` of ``uid`` can be brought to ``target``."""
    what = f"home {target}"
    if is_below(target, source) or is_below(source, target):
        raise HostError(what, f"and {source} are inside each other")
    if os.path.lexists(target):
        raise HostError(what, "already exists", hint="move it away, or choose another place")
    if points := mounts_below(source):
        shown = ", ".join(escape(point, 200) for point in points[:5])
        raise HostError(f"home {source}", f"contains mount points: {shown}", hint=f"umount {pasted(points[-1])}")
    for place in (_Place(source), _Place(target)):
        try:
            above = fs.open_dir(place.head)
        except HostError as error:
            hint = "the directory above must belong to root alone"
            raise HostError(f"home {place.path}", str(error), hint=hint) from error
        os.close(above)
    info = os.lstat(source)
    if not stat.S_ISDIR(info.st_mode) or info.st_uid not in (0, uid):
        raise HostError(f"home {source}", f"is not a directory of uid {uid}")


def has_arrived(source: str, target: str) -> bool:
    """True if the home is at ``target``, whatever an interrupted :func:`bring` left."""
    return os.path.lexists(target) and not os.path.lexists(source)


def are_both(source: str, target: str) -> bool:
    """True if something is at either place, so that which of them is the home cannot be told."""
    return os.path.lexists(target) and os.path.lexists(source)


def bring(
    source: str,
    target: str,
    *,
    check_idle: Callable[[str], object],
    arrived: Callable[[], object],
    heed: Callable[[], object] = nothing,
) -> list[str]:
    """Have the home at ``target`` that is at ``source``, or on its way between the two; return notes.

    ``check_idle`` raises where somebody works below a path, ``heed`` where it is to stop; then the way back is open.
    ``arrived`` is called once it is there, before what is left of the old one is removed.  Raises
    :class:`HostError`; a home that is nowhere is not an error.
    """
    here, there = _Place(source), _Place(target)
    notes: list[str] = []
    if not there.there:
        try:
            notes = _take(here, there, check_idle, heed)
        except OSError as error:
            at = f" at {escape(str(error.filename), 200)}" if error.filename else ""
            why = f"{(error.strerror or str(error)).lower()}{at}"
            raise HostError(f"cannot move home {source} to {target}", why) from error
    elif here.there:
        why = f"exists beside {source}, and which of them is the home is not known"
        raise HostError(f"home {target}", why, hint="move one of them away, then repeat the command")
    arrived()
    return [*notes, *(note for place in (here, there) for note in _clear(place))]


def _take(here: _Place, there: _Place, check_idle: Callable[[str], object], heed: Callable[[], object]) -> list[str]:
    if here.there:
        check_idle(here.path)
        if _renamed(here, there):
            return []
        _put_aside(here)
    elif not here.put_aside:
        if there.put_aside:
            _put_back(there)
        return []
    # Nobody comes any more; who came in between is there by the new path.
    check_idle(f"{here.head}/{here.aside}")
    return _copy(here, there, heed)


def _renamed(here: _Place, there: _Place) -> bool:
    """True if both are on one file system, and the home is at the other place now."""
    above, below = fs.open_dir(here.head), fs.open_dir(there.head)
    try:
        os.rename(here.name, there.name, src_dir_fd=above, dst_dir_fd=below)
        os.fsync(below)
        os.fsync(above)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return False
        raise
    finally:
        os.close(above)
        os.close(below)
    return True


def _room(above: int, name: str) -> int:
    """Return the directory ``name``, made where it is missing, that only root can look into."""
    try:
        os.mkdir(name, 0o700, dir_fd=above)
    except FileExistsError:
        info = os.stat(name, dir_fd=above, follow_symlinks=False)
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != 0:
            raise
    room = fs.open_dir_at(above, name)
    blobs.set_directory(room, 0o700)  # The directory above may have ACLs for all that is made in it.
    return room


def _put_aside(place: _Place) -> None:
    above = fs.open_dir(place.head)
    try:
        room = _room(above, place.aside)
        try:
            os.rename(place.name, _HOME, src_dir_fd=above, dst_dir_fd=room)
            os.fsync(room)
        finally:
            os.close(room)
        os.fsync(above)
    finally:
        os.close(above)


def _put_back(place: _Place) -> None:
    above = fs.open_dir(place.head)
    try:
        room = fs.open_dir_at(above, place.aside)
        try:
            os.rename(_HOME, place.name, src_dir_fd=room, dst_dir_fd=above)
        finally:
            os.close(room)
        os.fsync(above)
    finally:
        os.close(above)


def _copy(here: _Place, there: _Place, heed: Callable[[], object]) -> list[str]:
    source = fs.open_dir(f"{here.head}/{here.aside}/{_HOME}", trusted_root=f"{here.head}/{here.aside}/{_HOME}")
    above = fs.open_dir(there.head)
    try:
        fs.remove_tree(above, there.coming)
        room = _room(above, there.coming)
        try:
            os.mkdir(_HOME, 0o700, dir_fd=room)
            made = fs.open_dir_at(room, _HOME)
            try:
                further = copy_tree(source, made, heed)
                sync_file_system(made)
            finally:
                os.close(made)
            if there.there:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), there.path)
            os.rename(_HOME, there.name, src_dir_fd=room, dst_dir_fd=above)
            os.fsync(above)
        finally:
            os.close(room)
    finally:
        os.close(above)
        os.close(source)
    if not further:
        return []
    return [f"note: {further} of the files had other names outside of {here.path}, and have them no more"]


def _clear(place: _Place) -> list[str]:
    """Remove what is left beside a place; return notes about what cannot be removed, which is in nobody's way."""
    notes = []
    above = fs.open_dir(place.head)
    try:
        for name in (place.aside, place.coming):
            try:
                fs.remove_tree(above, name)
            except OSError as error:
                path = f"{place.head}/{name}"
                notes.append(f"note: {path}: cannot be removed ({error.strerror}); to remove it: rm -r {path}")
    finally:
        os.close(above)
    return notes
