"""What an account may fill of the host's file systems: quotas of users, where the kernel keeps them (quotactl(2)).

What was set here is recorded below the state directory before it is set, so that it can be taken back, and so that
what the administrator has set by other means is told and left as it is.  A limit that a file system cannot keep is an
error: nothing is published then.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from jailssh.config.limits import Quota
from jailssh.core.errors import ConfigError, HostError, JailsshError
from jailssh.core.names import binary_size, pluralize
from jailssh.files import fs, narrow, quotactl
from jailssh.files.mounts import Mount, mount_above, mounts_below, mounts_of
from jailssh.files.quotactl import Standing
from jailssh.host import process
from jailssh.host.paths import Layout

_EXT = ("ext2", "ext3", "ext4")
_XFS = ("xfs",)
_TMPFS = "tmpfs"
_KEEP = (*_EXT, *_XFS, "f2fs", "jfs", "reiserfs", _TMPFS)
"""Kinds of file systems that can have quotas of users.  Others are not touched: what lies behind may not answer."""
_AUTOMATIC = "autofs"
"""Stands where a file system is mounted once somebody goes there."""
_HIDDEN = {errno.EPERM, errno.EACCES, errno.ENOENT, errno.EROFS}
"""What a service gets that has no power for it, or that does not see the file system as it is."""
_LIMIT = 1 << 16
_TIMEOUT = 20.0
_PATIENCE = 10.0

Amounts = Mapping[str, int]
"""Numbers of bytes and of files by kind."""
Record = dict[str, dict[str, list[int]]]
"""What was set here: by mount point and kind, the number; while it is changed the old and the new one.

None of a limit that holds and was set by others.
"""


@dataclass(frozen=True)
class Wanted:
    """What an account is to be held to, ``origin``: where that is written, and the directories it can write to."""

    name: str
    uid: int
    _: KW_ONLY
    amounts: Amounts
    origin: str = ""
    directories: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What an account uses of a file system on which it has a quota; sizes in bytes, 0 is no limit."""

    place: str
    disk: int
    disk_used: int
    files: int
    files_used: int

    def said(self) -> str:
        """Return it for people."""
        parts = [f"{about(self.disk_used)} of {about(self.disk)}"] if self.disk else []
        parts += [f"{self.files_used} of {pluralize(self.files, 'file')}"] if self.files else []
        return f"{self.place}: {', '.join(parts)}"

    def is_full(self) -> bool:
        """True if nothing more, or no further file, can be written."""
        return 0 < self.disk <= self.disk_used or 0 < self.files <= self.files_used


@dataclass
class _Change:
    """``sets``: what to ask of the kernel, ``record``: what is ours then."""

    sets: list[tuple[Mount, str, int]] = field(default_factory=list)
    record: Record = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


_UNITS = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20))


def about(number: int) -> str:
    """Return a number of bytes, rounded: ``1.2 GiB``."""
    for unit, length in _UNITS:
        if number >= length:
            return f"{number / length:.1f}".removesuffix(".0") + f" {unit}"
    return binary_size(-(-number // 1024) * 1024)


def _exact(number: int) -> str:
    """Return a number of bytes as :func:`about` does where that rounds nothing, else all of it."""
    length = next((length for _, length in _UNITS if number >= length), 0)
    return about(number) if length and number * 10 % length == 0 else binary_size(number)


def difference(layout: Layout, wanted: Wanted) -> list[str]:
    """Return the lines that show what :func:`hold` would change; raises as that does."""
    recorded = {} if layout.root else _read(layout, wanted.uid)
    if layout.root or not (wanted.amounts or recorded):
        return []
    mounts = mounts_of()
    return _changes(wanted, recorded, _targets(wanted, recorded, mounts), mounts).lines


def hold(layout: Layout, wanted: Wanted) -> tuple[list[str], str]:
    """Hold the account to ``wanted`` and to nothing else that was set here; return what changed, and a note or "".

    Raises :class:`ConfigError` where a file system that it can write to does not keep quotas, :class:`HostError` where
    the kernel refuses.
    """
    if layout.root or not (wanted.amounts or os.path.lexists(_file(layout, wanted.uid))):
        return [], ""
    with _locked(layout):
        recorded = _read(layout, wanted.uid)
        mounts = mounts_of()
        change = _changes(wanted, recorded, _targets(wanted, recorded, mounts), mounts)
        _make(layout, wanted.uid, recorded, change)
    return change.lines, "; ".join(change.notes)


def release(layout: Layout, uid: int) -> str:
    """Take back what :func:`hold` set for the account; return what went wrong, or ""."""
    if layout.root or not os.path.lexists(_file(layout, uid)):
        return ""
    try:
        # For a lock that is never given back nobody waits: more goes with the plan than this.
        with narrow.lock(_lock(layout), _PATIENCE) as why:
            if not why:
                _put_back(layout, uid, {})
    except (JailsshError, OSError, ValueError) as error:
        why = str(error)
    return f"cannot lift the quota of uid {uid}: {why}" if why else ""


def put_back(layout: Layout, uid: int, before: Record) -> None:
    """Have what was set here as it was when :func:`recorded` returned ``before``; raises as :func:`hold`."""
    if layout.root or not (before or os.path.lexists(_file(layout, uid))):
        return
    with _locked(layout):
        _put_back(layout, uid, before)


def _put_back(layout: Layout, uid: int, before: Record) -> None:
    recorded = _read(layout, uid)
    mounts = mounts_of()
    there = {each.point: each for each in mounts}
    targets = [(there[point], {kind: row[-1] for kind, row in rows.items() if row})
               for point, rows in before.items() if point in there]  # fmt: skip
    _make(layout, uid, recorded, _changes(Wanted(f"uid {uid}", uid, amounts={}), recorded, targets, mounts))


def recorded(layout: Layout, uid: int) -> Record:
    """Return what was set here for the account, in a form that JSON holds."""
    return {} if layout.root else _read(layout, uid)


def standing(layout: Layout, uid: int) -> str:
    """Return a text that is another one when what was set here, or what the kernel keeps of it, has changed."""
    found = recorded(layout, uid)
    if not found:
        return ""
    mounts = {each.point: each for each in mounts_of()}
    # A file system that is mounted later may be one that the account can write to.
    disks = sorted({each.device for each in mounts.values() if each.kind in _KEEP and each.kind != _TMPFS})
    there = [mounts[point] for point in found if point in mounts]
    kept = [(each.point, now.error, now.enforced, now.disk, now.files)
            for each, now in zip(there, _look(uid, there), strict=True)]  # fmt: skip
    return f"{sorted(found.items())} {kept} {disks}"


def usage(layout: Layout, uid: int, home: str, mounts: Sequence[Mount] | None = None) -> list[Usage]:
    """Return what the account uses where it has a quota, whoever has set that: of its home's file system first.

    ``mounts``: those of this process, where they are known.
    """
    if layout.root:
        return []
    mounts = mounts_of() if mounts is None else mounts
    points = dict.fromkeys(filter(None, [mount_above(home, mounts)]))
    by_point = {each.point: each for each in mounts}
    points |= dict.fromkeys(by_point[point] for point in recorded(layout, uid) if point in by_point)
    there = [each for each in points if each.kind in _KEEP]
    return [
        Usage(place=each.point, disk=now.disk, disk_used=now.disk_used, files=now.files, files_used=now.files_used)
        # Who only shows it starts no program for each of thousands of accounts, as in a container.
        for each, now in zip(there, _look(uid, there, may_start=False), strict=True)
        if now.disk or now.files
    ]


def _changes(
    wanted: Wanted, recorded: Record, targets: Sequence[tuple[Mount, Amounts]], mounts: Sequence[Mount]
) -> _Change:
    change = _Change()
    now = dict(zip((each.point for each, _ in targets), _look(wanted.uid, [each for each, _ in targets]), strict=True))
    for mount, amounts in targets:
        if wanted.amounts and (error := _why_not(wanted, mount, now[mount.point])):
            raise error
        for kind, number in amounts.items():
            _change_one(change, wanted.name, mount, kind, number, now[mount.point], recorded)
    there = {each.point: each for each in mounts}
    kept = {mount.point: amounts for mount, amounts in targets}
    for point, rows in recorded.items():
        if rest := {kind: row for kind, row in rows.items() if row and kind not in kept.get(point, {})}:
            _give_up(change, wanted.uid, there.get(point), point, rest)
    return change


def _change_one(
    change: _Change, name: str, mount: Mount, kind: str, number: int, now: Standing, recorded: Record
) -> None:
    there, soft, used = _of(now, kind)
    ours = recorded.get(mount.point, {}).get(kind, [])
    what = f"quota on {mount.point}: {_said(kind, number)}"
    if soft or (there and there not in ours and there != number):
        holds = f" ({_said(kind, there, about)})" if there else ""
        change.notes.append(
            f"{what} is not set: one that other tools have set holds{holds}; "
            f"to replace it: setquota -u {name} 0 0 0 0 {mount.point}, then: jailssh apply"
        )
        return
    if there == number and not ours:
        # It holds, and is somebody else's: noted, so that it is missed when it is gone.
        change.record.setdefault(mount.point, {})[kind] = []
        return
    change.record.setdefault(mount.point, {})[kind] = [number]
    if there != number:
        change.sets.append((mount, kind, number))
        full = f"; in use: {_said(kind, used, about)}" if used >= number else ""
        change.lines.append(f"+ {what}{full}")


def _give_up(change: _Change, uid: int, mount: Mount | None, point: str, rows: Mapping[str, list[int]]) -> None:
    (now,) = _look(uid, [mount]) if mount else [Standing()]
    if mount is None or not now.accounted:
        # It comes back with its quota.
        change.record.setdefault(point, {}).update(rows)
        why = "it is mounted without quotas" if mount else "nothing is mounted there"
        change.notes.append(f"the quota on {point} stays: {os.strerror(now.error).lower() if now.error else why}")
        return
    for kind, row in rows.items():
        there, soft, _ = _of(now, kind)
        change.lines.append(f"- quota on {point}: {_said(kind, row[-1])}")
        if there and there in row and not soft:
            change.sets.append((mount, kind, 0))


def _make(layout: Layout, uid: int, recorded: Record, change: _Change) -> None:
    """Make the change, call it under the lock: first the record, so that what is interrupted can be taken back."""
    if not change.sets:
        if change.record != recorded:
            _write(layout, uid, change.record)
        return
    both: Record = {point: {kind: list(row) for kind, row in rows.items()} for point, rows in recorded.items()}
    for point, rows in change.record.items():
        for kind, row in rows.items():
            known = both.setdefault(point, {}).setdefault(kind, [])
            known += [number for number in row if number not in known]
    _write(layout, uid, both)
    nothing = dict.fromkeys(Quota)
    errors = _ask([_question(mount, uid) | nothing | {kind: number} for mount, kind, number in change.sets])
    for (mount, _, _), code in zip(change.sets, errors, strict=True):
        if code:
            raise HostError(f"quota of uid {uid}", f"cannot be set on {mount.point}: {os.strerror(int(code)).lower()}")
    _write(layout, uid, change.record)


def _targets(wanted: Wanted, recorded: Record, mounts: Sequence[Mount]) -> list[tuple[Mount, Amounts]]:
    """Return the file systems on which the account can write, each once, with what it may fill there."""
    if not wanted.amounts:
        return []
    # A file system may be seen at several places, and keeps the one by which it is recorded.
    known = {each.device: each for each in mounts if each.point in recorded}
    found: dict[str, Mount] = {}
    for path in wanted.directories:
        mount = mount_above(path, mounts)
        if mount is None:
            raise ConfigError(wanted.origin, f"the file system of {path} is not known")
        # A jail shows a directory with what is mounted below it.
        below = [each for each in mounts_below(path, mounts) if not each.fixed and each.kind != _AUTOMATIC]
        for each in (mount, *below):
            found.setdefault(each.device, known.get(each.device) or _whole(each, mounts))
    return [(mount, wanted.amounts) for mount in found.values()]


def _whole(part: Mount, mounts: Sequence[Mount]) -> Mount:
    """Return where all of a file system is seen that is seen at ``part``: a service has mounts that the host has not.

    Without such a place it is ``part``.
    """
    if part.root == os.sep:
        return part
    same = (each for each in mounts if each.device == part.device and each.root == os.sep)
    return next((each for each in same if mount_above(each.point, mounts) is each), part)


def _why_not(wanted: Wanted, mount: Mount, now: Standing) -> ConfigError | None:
    """Return what is wrong where a file system does not keep the account to its quota."""
    why = hint = ""
    where = f"{mount.point} ({mount.kind})"
    if mount.kind not in _KEEP:
        why = f"{where} has no quotas of users that this host can set"
        hint = "put what the account writes to on ext4 or xfs, or take disk and files out"
    elif now.error:
        why = f"{where}: {os.strerror(now.error).lower()}"
        hint = {
            errno.EPERM: "this system may not change quotas: is it a container?",
            errno.ENOSYS: "this kernel, or the filter of a container, allows no quotas: take disk and files out",
            errno.EROFS: f"mount -o remount,rw {mount.point}",
        }.get(now.error, "")
    elif not now.accounted:
        why, hint = f"{where} is mounted without quotas", _switch_on(mount)
    elif not now.enforced:
        why, hint = f"{where} counts, and lets users go over their quotas", _enforce(mount)
    what = " and ".join(kind for kind in Quota if kind in wanted.amounts)
    return ConfigError(wanted.origin, f"{what} cannot be kept for {wanted.name}: {why}", hint=hint) if why else None


def _switch_on(mount: Mount) -> str:
    if mount.kind in _XFS:
        if mount.point == os.sep:
            return "add rootflags=uquota to the kernel's command line, and restart"
        return f"add uquota to its options in /etc/fstab, then: umount {mount.point} && mount {mount.point}"
    if mount.kind not in _EXT:
        return f"add usrquota to its options in /etc/fstab, then: umount {mount.point} && mount {mount.point}"
    if mount.point == os.sep:
        return (
            "add usrjquota=aquota.user,jqfmt=vfsv1 to its options in /etc/fstab, then: mount -o remount / && "
            "quotacheck -cum / && quotaon -u /"
        )
    return (
        f"add usrquota to its options in /etc/fstab, then: umount {mount.point} && tune2fs -O quota {mount.source} && "
        f"mount {mount.point}"
    )


def _enforce(mount: Mount) -> str:
    if mount.kind in _XFS:
        return f"xfs_quota -x -c 'enable -u' {mount.point}; for good: uquota in /etc/fstab"
    return f"quotaon -u {mount.point}; for good: usrquota in /etc/fstab"


def _of(now: Standing, kind: str) -> tuple[int, bool, int]:
    """Return the limit, whether there is one with a time of grace, and what is in use."""
    if kind == Quota.DISK:
        return now.disk, now.disk_soft, now.disk_used
    return now.files, now.files_soft, now.files_used


def _said(kind: str, number: int, size: Callable[[int], str] = _exact) -> str:
    return size(number) if kind == Quota.DISK else pluralize(number, "file")


def _look(uid: int, mounts: Sequence[Mount], *, may_start: bool = True) -> list[Standing]:
    """Return what the kernel says; file systems without quotas are not asked."""
    asked = [each for each in mounts if each.kind in _KEEP]
    answers = dict(zip(asked, _ask([_question(each, uid) for each in asked], may_start=may_start), strict=True))
    return [Standing(**answers[each]) if each in answers else Standing() for each in mounts]


def _question(mount: Mount, uid: int) -> dict[str, Any]:
    return {"place": mount.point, "device": mount.source, "uid": uid}


def _ask(questions: Sequence[Mapping[str, Any]], *, may_start: bool = True) -> list[Any]:
    """Ask the kernel; a service without the power to do so has systemd start a program that does, if it ``may_start``.

    A service can also see less than there is, and what there is as read-only.
    """
    answers = []
    for each in questions:
        try:
            answers.append(quotactl.answer(dict(each)))
        except OSError as error:
            raise fs.failed("open directory", str(each["place"]), error) from error
    if not may_start or not any(_HIDDEN & {*_errors(each)} for each in answers) or not process.has_systemd():
        return answers
    program = os.path.abspath(quotactl.__file__)
    words = ["systemd-run", "--quiet", "--collect", "--wait", "--pipe", sys.executable, "-I", "-S", program]
    said = process.run([*words, json.dumps([*questions])], timeout=_TIMEOUT).stdout
    found: list[Any] = json.loads(said)
    return found


def _errors(answer: Any) -> Iterator[int]:
    yield answer["error"] if isinstance(answer, dict) else answer


def _file(layout: Layout, uid: int) -> str:
    return f"{layout.state}/quotas/{uid}"


def _locked(layout: Layout) -> Any:
    fs.ensure_dir(f"{layout.state}/quotas", 0o700)
    return fs.lock(_lock(layout))


def _lock(layout: Layout) -> str:
    return f"{layout.state}/quotas/.lock"


def _read(layout: Layout, uid: int) -> Record:
    """Return what was set here; a damaged record is none."""
    if not os.path.lexists(_file(layout, uid)):
        return {}
    with suppress(ValueError, AttributeError, TypeError):
        found = json.loads(fs.read_trusted(_file(layout, uid), _LIMIT))
        return {
            str(point): {str(kind): [int(number) for number in row] for kind, row in rows.items() if kind in (*Quota,)}
            for point, rows in found.items()
        }
    return {}


def _write(layout: Layout, uid: int, record: Record) -> None:
    if record:
        fs.atomic_write(_file(layout, uid), json.dumps(record).encode(), mode=0o600)
    elif os.path.lexists(_file(layout, uid)):
        fs.remove_file(_file(layout, uid))
