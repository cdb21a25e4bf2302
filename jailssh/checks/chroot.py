"""A chroot that is not of jailssh: what jk_check looks for in one of Jailkit's, and what it leaves out.

Every file is compared as a whole with the host's file of the same place, nothing is followed, no mount is crossed.
What the host and a chroot never have in common (its accounts, its linker's cache, homes) is not compared.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from jailssh.core.errors import HostError, UsageError
from jailssh.core.names import check_absolute, escape
from jailssh.files import beneath, blobs, fs
from jailssh.integrity.census import Census
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.scene import Scene

_TAKE = "chmod, chown or remove it; to replace such a chroot: jailssh adduser NAME --jail JAIL"

WRITABLE = Kind(
    "JSH-151", Severity.HIGH, "directory of a chroot that others can write to",
    "Whoever is in the chroot can put programs and libraries there, or replace them.", "chmod go-w",
)  # fmt: skip
SET_ID = Kind(
    "JSH-152", Severity.HIGH, "set-id program in a chroot",
    "It runs with the rights of its owner or group: from one that is root's a way out of the chroot is known.",
    "chmod a-s",
)  # fmt: skip
DIFFERS = Kind(
    "JSH-153", Severity.MEDIUM, "file of a chroot that differs from the host's",
    "It is older than what the host runs, or was changed.", "jk_update, or copy it again",
)  # fmt: skip
FILE_WRITABLE = Kind(
    "JSH-154", Severity.HIGH, "file of a chroot that others can write",
    "Whoever is in the chroot can change what others run or read.", "chmod go-w",
)  # fmt: skip
ATTRIBUTES = Kind(
    "JSH-155", Severity.HIGH, "capabilities or an ACL on a file of a chroot",
    "Rights that ls does not show.", "setcap -r, setfacl --remove-all",
)  # fmt: skip
DEVICE = Kind(
    "JSH-156", Severity.HIGH, "device in a chroot that gives power",
    "Through it disks, memory or the terminals of others are read and written.", _TAKE,
)  # fmt: skip
NO_DEVICE = Kind(
    "JSH-157", Severity.LOW, "device that a chroot lacks",
    "Programs expect it; a plain file in its place fills up.", "mknod -m 666 DIR/dev/null c 1 3",
)  # fmt: skip
OWNER = Kind(
    "JSH-158", Severity.HIGH, "foreign owner in a chroot",
    "The owner of a directory or program can replace it.", "chown root:root",
)  # fmt: skip
BASE = Kind(
    "JSH-159", Severity.HIGH, "top of a chroot that is not root's alone",
    "Whoever can write on the way to it can put another in its place.", _TAKE,
)  # fmt: skip
USER = Kind(
    "JSH-160", Severity.MEDIUM, "account of a chroot that does not fit the host's",
    "A login fails, or gets other rights than were meant.", "correct the chroot's etc/passwd",
)  # fmt: skip
HOST_USER = Kind(
    "JSH-161", Severity.HIGH, "account with a home in a chroot that does not get there",
    "It has another shell than jk_chrootsh, or is not in the chroot's etc/passwd.", "jailssh adduser NAME --jail JAIL",
)  # fmt: skip
LINK = Kind(
    "JSH-162", Severity.MEDIUM, "link of a chroot that leads elsewhere than the host's",
    "A program takes another file than the one that was copied.", "jk_update, or copy it again",
)  # fmt: skip
KINDS = (WRITABLE, SET_ID, DIFFERS, FILE_WRITABLE, ATTRIBUTES, DEVICE, NO_DEVICE, OWNER, BASE, USER, HOST_USER, LINK)

_DEVICES = {(1, 3): "null", (1, 5): "zero", (1, 7): "full", (1, 8): "random", (1, 9): "urandom", (5, 0): "tty",
            (5, 2): "ptmx"}  # fmt: skip
_NEEDED = ("dev/null",)
_OPEN_TO_ALL = ("tmp", "var/tmp", "dev/shm", "var/lock", "run/lock")
"""Where everybody may write, if the sticky bit stands."""
_NOT_COMPARED = ("etc/passwd", "etc/group", "etc/shadow", "etc/gshadow", "etc/ld.so.cache", "etc/hosts",
                 "etc/hostname", "etc/resolv.conf", "etc/motd", "etc/jailkit", "proc", "sys", "dev", "run")  # fmt: skip
_SHELLS = ("/usr/sbin/jk_chrootsh", "/sbin/jk_chrootsh", "/usr/local/sbin/jk_chrootsh")
_MOST = 2_000_000
_MOST_ACCOUNTS = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True)
class PathSeen:
    """One path below the top: its status, and what was found out about it by reading.

    ``differs``: from the host's file, with how; ``strange``: an attribute; ``home``: below a home of the chroot.
    """

    path: str
    mode: int
    uid: int
    gid: int
    device: tuple[int, int] = (0, 0)
    differs: str = ""
    link: str = ""
    strange: str = ""
    home: bool = False


@dataclass
class Facts:
    """What the chroot holds that may matter: paths that are as they should be are left out while it is walked."""

    top: str
    base: list[str] = field(default_factory=list)
    seen: list[PathSeen] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    accounts: list[tuple[str, str, str, str]] = field(default_factory=list)
    host: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    inside: list[tuple[str, str, str]] = field(default_factory=list)


def collect(scene: Scene) -> Facts:
    """Walk the chroot ``scene.directory``."""
    top = check_absolute(scene.directory, "--dir")
    if top == "/":
        raise UsageError("--dir /", "is the host itself", hint="jailssh check")
    if not os.path.isdir(top):
        raise UsageError(f"--dir {escape(top)}", "is not a directory")
    facts = Facts(top)
    facts.base = _base(top)
    fd = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _accounts(fd, facts, scene.census)
        _walk(scene, fd, facts)
    finally:
        os.close(fd)
    return facts


def _base(top: str) -> list[str]:
    """Return what is wrong with the way to the top."""
    found = []
    walked = ""
    for part in ["", *top.strip("/").split("/")]:
        walked = f"{walked.rstrip('/')}/{part}"
        info = os.stat(walked)
        if (why := fs.distrust(info)) and not (walked != top and info.st_mode & stat.S_ISVTX and info.st_uid == 0):
            found.append(f"{walked} is {why}")
    return found


def _accounts(fd: int, facts: Facts, census: Census) -> None:
    rows: list[list[str]] = []
    with suppress(OSError):
        etc = beneath.open_beneath(fd, "etc")
        try:
            with open(os.open("passwd", _READ, dir_fd=etc), "rb") as stream:
                text = stream.read(_MOST_ACCOUNTS) if stat.S_ISREG(os.fstat(stream.fileno()).st_mode) else b""
        finally:
            os.close(etc)
        rows = [line.split(":") for line in text.decode("utf-8", "surrogateescape").splitlines()]
    facts.accounts = [(row[0], row[2], row[3], row[5]) for row in rows if len(row) == 7]
    for row in census.passwd:
        facts.host.setdefault(row[0], (row[2], row[3], row[5]))
        jail, dot, _ = row[5].partition("/./")
        if dot and os.path.normpath(jail) == os.path.normpath(facts.top):
            facts.inside.append((row[0], row[5], row[6]))


def _walk(scene: Scene, root: int, facts: Facts) -> None:
    homes = {home.strip("/") for name, _, _, home in facts.accounts if name != "root" and home.strip("/")} | {
        "home",
        "root",
    }
    present: set[str] = set()
    count = 0
    todo = [""]
    while todo:
        folder = todo.pop()
        try:
            fd = beneath.open_beneath(root, folder)
        except OSError as error:
            if error.errno != errno.EXDEV:  # Another file system is mounted there, and is not the chroot's.
                scene.unseen(HostError(f"{facts.top}/{folder}", (error.strerror or str(error)).lower()))
            continue
        try:
            for name in sorted(os.listdir(fd)):
                count += 1
                if count > _MOST:
                    scene.unseen(HostError(facts.top, f"holds more than {_MOST} paths: the rest was not looked at"))
                    return
                path = f"{folder}/{name}".lstrip("/")
                present.add(path) if path in _NEEDED else None
                home = any(path == each or path.startswith(f"{each}/") for each in homes)
                with suppress(FileNotFoundError):
                    seen = _look(fd, name, path, home=home)
                    if _matters(seen):
                        facts.seen.append(seen)
                    # What is in a home is the user's own.
                    if stat.S_ISDIR(seen.mode) and not home:
                        todo.append(path)
        except OSError as error:
            scene.unseen(HostError(f"{facts.top}/{folder}", (error.strerror or str(error)).lower()))
        finally:
            os.close(fd)
    facts.missing = [path for path in _NEEDED if path not in present]


def _look(fd: int, name: str, path: str, *, home: bool) -> PathSeen:
    info = os.stat(name, dir_fd=fd, follow_symlinks=False)
    device = (os.major(info.st_rdev), os.minor(info.st_rdev))
    differs = link = strange = ""
    compared = not home and not any(path == each or path.startswith(f"{each}/") for each in _NOT_COMPARED)
    if stat.S_ISREG(info.st_mode):
        strange = next(iter(blobs.attributes_at(fd, name)), "")
        differs = _differs(fd, name, f"/{path}", info) if compared else ""
    elif stat.S_ISLNK(info.st_mode) and compared:
        here = os.readlink(name, dir_fd=fd)
        with suppress(OSError):
            there = os.readlink(f"/{path}")
            link = f"{here} here, {there} on the host" if there != here else ""
    return PathSeen(path, info.st_mode, info.st_uid, info.st_gid, device, differs, link, strange, home)


def _differs(fd: int, name: str, path: str, info: os.stat_result) -> str:
    """Return how a file differs from the host's; "" where it does not, or the host has none."""
    try:
        # Nothing but a file is opened: to open a device can be to use it, and others may write where it lies.
        seen = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            there = os.fstat(seen)
            if not stat.S_ISREG(there.st_mode):
                return "the host has no file there"
            if (there.st_dev, there.st_ino) == (info.st_dev, info.st_ino):
                return ""
            if there.st_size != info.st_size:
                return f"{info.st_size} bytes here, {there.st_size} on the host"
            host = os.open(f"/proc/self/fd/{seen}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        finally:
            os.close(seen)
    except OSError:
        return ""
    with open(host, "rb", buffering=0) as file:
        same = blobs.digest_of(fd, name) == hashlib.file_digest(file, "sha256").hexdigest()
    return "" if same else "the content differs"


def _matters(seen: PathSeen) -> bool:
    return any(True for _ in _of_path(seen))


def judge(facts: Facts) -> Iterable[Finding]:
    """Return what is wrong with the chroot."""
    top = f"chroot {facts.top}"
    yield from (Finding(BASE, top, why, path=facts.top) for why in facts.base)
    for seen in facts.seen:
        for kind, why in _of_path(seen):
            yield Finding(kind, top, f"{seen.path}: {why}", path=f"{facts.top}/{seen.path}")
    yield from (Finding(NO_DEVICE, top, f"{path} is missing", path=f"{facts.top}/{path}") for path in facts.missing)
    known = {name for name, _, _, _ in facts.accounts}
    for name, uid, gid, home in facts.accounts:
        if name == "root":
            continue
        for why in _of_account(facts, name, uid, gid, home):
            yield Finding(USER, f"{top}, account {name}", why, path=f"{facts.top}/etc/passwd")
    for name, home, shell in facts.inside:
        if shell not in _SHELLS:
            yield Finding(
                HOST_USER, f"account {name}", f"home is {home}, login shell is {shell}", path=facts.top, account=name
            )
        if name not in known:
            yield Finding(
                HOST_USER, f"account {name}", f"is not in {facts.top}/etc/passwd", path=f"{facts.top}/etc/passwd"
            )


def _of_account(facts: Facts, name: str, uid: str, gid: str, home: str) -> Iterator[str]:
    there = facts.host.get(name)
    if there is None:
        yield "does not exist on this host"
        return
    if (uid, gid) != there[:2]:
        yield f"is {uid}:{gid} here, {there[0]}:{there[1]} on the host"
    outside = there[2]
    if os.path.normpath(outside.replace("/./", "/")) != os.path.normpath(f"{facts.top}/{home}"):
        yield f"its home is {home} here, {outside} on the host"


def _of_path(seen: PathSeen) -> Iterator[tuple[Kind, str]]:
    mode, others = seen.mode, seen.mode & (stat.S_IWGRP | stat.S_IWOTH)
    by_group = bool(mode & stat.S_IWGRP) and seen.gid != 0
    said = f"mode {stat.S_IMODE(mode):04o}, owner {seen.uid}:{seen.gid}"
    if stat.S_ISLNK(mode):
        if seen.link:
            yield LINK, seen.link
        return
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        if stat.S_ISBLK(mode) or seen.device not in _DEVICES:
            yield (
                DEVICE,
                f"{'block' if stat.S_ISBLK(mode) else 'character'} device {seen.device[0]}:{seen.device[1]}, {said}",
            )
        return
    if seen.home and not stat.S_ISREG(mode):
        return
    if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID) and mode & 0o111 and not (seen.home and seen.uid):
        yield SET_ID, said
    if seen.strange and not seen.home:
        yield ATTRIBUTES, f"has {seen.strange}"
    if seen.home:
        return
    if stat.S_ISDIR(mode):
        shared = seen.path in _OPEN_TO_ALL and mode & stat.S_ISVTX
        if others and not shared:
            yield WRITABLE, f"{said}: {'others' if mode & stat.S_IWOTH else 'its group'} can write to it"
    elif stat.S_ISREG(mode) and (mode & stat.S_IWOTH or by_group):
        yield FILE_WRITABLE, said
    if seen.uid and not stat.S_ISSOCK(mode):
        yield OWNER, said
    if seen.differs:
        yield DIFFERS, seen.differs


CHECK = Check("chroot", "a chroot that is not of jailssh", KINDS, collect, judge)
