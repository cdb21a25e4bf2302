"""The home, looked at as the account and for a bounded time: it may be on a server that does not answer."""

from __future__ import annotations

import errno
import json
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from jailssh.core.errors import HostError
from jailssh.core.names import is_below
from jailssh.doctor.case import Case
from jailssh.doctor.mounts import mount_of
from jailssh.doctor.step import Fault
from jailssh.files.mounts import mounts_of
from jailssh.host import as_user
from jailssh.publish import quotas

_KINDS = {stat.S_IFDIR: "", stat.S_IFREG: "a file", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket",
          stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}  # fmt: skip


@dataclass(frozen=True)
class HomeFacts:
    """A home as the account finds it.

    ``needed``: a login of the account is refused without it; ``writable``: the jail shows it so that it can be changed.
    ``link``: a symbolic link on the way.  ``kind``: what is there instead of a directory.  ``error``: why it cannot be
    entered.  ``full``: why nothing can be written, in the words of the kernel.  ``mounted_at``: its mount point.
    ``quota``: what the account uses of a quota that is used up.
    """

    name: str
    uid: int
    path: str
    needed: bool
    writable: bool
    unreachable: str = ""
    exists: bool = True
    link: str = ""
    kind: str = ""
    owner: int = -1
    mode: int = 0
    error: str = ""
    full: str = ""
    mounted_at: str = "/"
    quota: str = ""


def collect(case: Case) -> HomeFacts:
    """Look at the home as the account."""
    entry = case.entry
    home = entry.home.rstrip("/") or "/"
    binds = [record.args for plan in case.plans for record in plan.records if record.verb == "bind"]
    inside = [args for args in binds if is_below(args[0], home)]
    needed = any(args[5] == "must" for args in inside)
    writable = any(args[2] == "rw" for args in inside)
    mounts = mounts_of()
    place = mount_of(home, [mount.point for mount in mounts])
    try:
        answer = as_user.ask(entry, lambda: json.dumps(_look(home)).encode(), case.seconds)
    except HostError as error:
        return HomeFacts(case.name, entry.uid, home, needed, writable, unreachable=error.why, mounted_at=place)
    full = [each.said() for each in quotas.usage(case.layout, entry.uid, home, mounts) if each.is_full()]
    return HomeFacts(
        case.name, entry.uid, home, needed, writable, mounted_at=place, quota="; ".join(full), **json.loads(answer)
    )


def _look(home: str) -> dict[str, Any]:
    """Return what is at ``home``; runs as the account."""
    place = ""
    try:
        for name in home.split("/")[1:]:
            place = f"{place}/{name}"
            if stat.S_ISLNK(os.lstat(place).st_mode):
                return {"link": place}
        info = os.lstat(home)
    except FileNotFoundError:
        return {"exists": False}
    except OSError as error:
        return {"error": (error.strerror or str(error)).lower()}
    found: dict[str, Any] = {"kind": _KINDS.get(stat.S_IFMT(info.st_mode), "something else")}
    found |= {"owner": info.st_uid, "mode": stat.S_IMODE(info.st_mode)}
    if not found["kind"]:
        try:
            os.close(os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            os.stat(f"{home}/.")
            found["full"] = _full(home)
        except OSError as error:
            found["error"] = (error.strerror or str(error)).lower()
    return found


def _full(home: str) -> str:
    """Return why nothing can be written: a file without a name is written, of which nothing remains."""
    try:
        fd = os.open(home, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, b"\0" * 4096)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return (error.strerror or str(error)).lower()
        with suppress(OSError):  # Not every file system has files without a name.
            free = os.statvfs(home)
            if error.errno == errno.EOPNOTSUPP and free.f_blocks and not free.f_bavail:
                return os.strerror(errno.ENOSPC).lower()
    return ""


def judge(facts: HomeFacts) -> list[Fault]:
    """Say what is wrong with the home; where no login needs it, that is a note."""
    what = f"home of {facts.name}"
    found: list[tuple[str, str]] = []
    if facts.unreachable:
        cure = (
            f"umount --lazy {facts.mounted_at} && mount {facts.mounted_at}"
            if facts.mounted_at != "/"
            else "ls -ld " + facts.path
        )
        found.append((f"{facts.path}: {facts.unreachable} (mounted at {facts.mounted_at})", cure))
    elif not facts.exists:
        make = f"install -d -o {facts.name} -g $(id -g {facts.name}) -m 700 {facts.path}"
        found.append((f"{facts.path} does not exist", make))
    elif facts.link:
        why = f"{facts.path} has a symbolic link on its way ({facts.link}), which a login does not follow"
        found.append((why, f"usermod --home $(realpath {facts.path}) {facts.name}"))
    elif facts.kind:
        found.append((f"{facts.path} is {facts.kind}, not a directory", f"mv {facts.path} {facts.path}.old"))
    elif facts.owner not in (-1, facts.uid):
        why = f"{facts.path} belongs to uid {facts.owner}, expected {facts.uid}"
        found.append((why, f"chown {facts.name}: {facts.path}"))
    elif facts.error:
        cure = f"chmod u+rwx {facts.path}" if facts.owner == facts.uid else f"namei -l {facts.path}"
        found.append((f"{facts.path}: {facts.error} (mode {facts.mode:04o})", cure))
    elif facts.full and facts.writable:
        read_only = os.strerror(errno.EROFS).lower() == facts.full
        cure = f"mount -o remount,rw {facts.mounted_at}" if read_only else f"df -h {facts.path}; du -xsh {facts.path}"
        cure = f"raise disk or files in [limits], or remove files of {facts.name}" if facts.quota else cure
        found.append((f"{facts.path}: {facts.full}{f' ({facts.quota})' if facts.quota else ''}", cure))
    return [Fault(what, why, cure, wrong=facts.needed) for why, cure in found]
