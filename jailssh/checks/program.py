"""The installation: owner, mode, content and place of the login program and of what stands beside it."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass

from jailssh.core.errors import HostError, JailsshError
from jailssh.files import fs
from jailssh.host import install, packages
from jailssh.host.paths import INSTALL, Layout
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.scene import Scene
from jailssh.setup import proof

_AGAIN = f"{INSTALL}, and find out who changed it"
MISSING = Kind(
    "JSH-601", Severity.HIGH, "login program is missing", "Nobody in a jail can log in.", INSTALL,
)  # fmt: skip
OTHERS = Kind(
    "JSH-602", Severity.HIGH, "program of jailssh that others than root can change",
    "Who changes it is root at the next login.", _AGAIN,
)  # fmt: skip
CHANGED = Kind(
    "JSH-603", Severity.HIGH, "program of jailssh is not the one that was installed",
    "It runs with root's power at every login.", _AGAIN,
)  # fmt: skip
PLACE = Kind(
    "JSH-604", Severity.HIGH, "place of the login program is not root's alone",
    "Who may write a directory above it can put another program in its place.",
    "chown root:root and chmod go-w the directory",
)  # fmt: skip
LINKS = Kind(
    "JSH-605", Severity.MEDIUM, "login program has a second name",
    "A hard link keeps an old version with its set-id bit when a new one is installed.",
    "find the other name and remove it: find / -xdev -samefile",
)  # fmt: skip
CAPABILITIES = Kind(
    "JSH-606", Severity.MEDIUM, "capabilities of the login program",
    "With a set-id bit they are not needed; with more than it needs, a fault in it is worth more.",
    "setcap with the capabilities that jailssh-setup(8) names",
)  # fmt: skip
UNFIT = Kind(
    "JSH-607", Severity.HIGH, "host cannot serve logins",
    "Every login of an account in a jail is refused.", "jailssh setup",
)  # fmt: skip

NEEDED = 1 << 6 | 1 << 7 | 1 << 8 | 1 << 18 | 1 << 21 | 1 << 27
"""setgid, setuid, setpcap, sys_chroot, sys_admin, mknod (capabilities(7))."""
_RECORD = "lib/jailssh/installed-digests"
_LIMIT = 1 << 20
_BIG = 64 << 20
_CAPABILITY = "security.capability"


@dataclass(frozen=True)
class Program:
    """A file beside the login program; ``recorded``: its digest as the installation wrote it down, "" for none."""

    path: str
    _: KW_ONLY
    uid: int = 0
    mode: int = 0o100755
    links: int = 1
    digest: str = ""
    recorded: str = ""
    capabilities: int = 0
    login: bool = False


@dataclass(frozen=True)
class Facts:
    """The programs; ``place``: what is wrong with the directories above them; ``unfit``: why no login can work."""

    login_program: str
    programs: tuple[Program, ...]
    place: str = ""
    unfit: tuple[JailsshError, ...] = ()


def collect(scene: Scene) -> Facts:
    """Look at the directory of the login program and read what is in it, each time."""
    layout = scene.layout
    folder = os.path.dirname(layout.login_program)
    place = ""
    try:
        os.close(fs.open_dir(folder))
    except JailsshError as error:
        place = str(error)
    unfit: list[JailsshError] = []
    try:
        proof.check(layout)
    except JailsshError as error:
        unfit.append(error)
    recorded = {**_packaged(folder), **recorded_digests(layout)}
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    programs = [found for name in names if (found := _look(f"{folder}/{name}", layout, recorded)) is not None]
    return Facts(layout.login_program, tuple(programs), place, tuple(unfit))


def _look(path: str, layout: Layout, recorded: Mapping[str, str]) -> Program | None:
    info = os.lstat(path)
    if not stat.S_ISREG(info.st_mode):
        return None
    wanted = recorded.get(path, "")
    with open(path, "rb") as stream:
        digest = hashlib.new(_ALGORITHMS.get(len(wanted), "sha256"), stream.read(_BIG), usedforsecurity=False)
    return Program(
        path,
        uid=info.st_uid,
        mode=info.st_mode,
        links=info.st_nlink,
        digest=digest.hexdigest(),
        recorded=wanted,
        capabilities=_capabilities(path),
        login=path == layout.login_program,
    )


_ALGORITHMS = {32: "md5", 64: "sha256"}
"""By the length of a digest: dpkg has nothing better than the first."""


def recorded_digests(layout: Layout) -> dict[str, str]:
    """Return what ``make install``, or the build of the package, has written down, by path."""
    path = f"{layout.prefix}/{_RECORD}"
    with suppress(HostError):
        data = install.read_optional(path, _LIMIT) or b""
        rows = [line.split("  ", 1) for line in data.decode("utf-8", "replace").splitlines()]
        return {f"{layout.prefix}/{row[1]}": row[0] for row in rows if len(row) == 2 and len(row[0]) in _ALGORITHMS}
    return {}


def _packaged(folder: str) -> dict[str, str]:
    """Return what the package database has about the programs in ``folder``, by path."""
    found: dict[str, str] = {}
    with suppress(HostError, FileNotFoundError):
        for name in os.listdir(packages.INFO):
            if name.startswith("jailssh") and name.endswith(".md5sums"):
                text = (install.read_optional(f"{packages.INFO}/{name}", _LIMIT) or b"").decode("utf-8", "replace")
                rows = [line.split("  ", 1) for line in text.splitlines()]
                found |= {f"/{row[1]}": row[0] for row in rows if len(row) == 2 and f"/{row[1]}".startswith(folder)}
    return found


def _capabilities(path: str) -> int:
    """Return the permitted capabilities of a file (capabilities(7): vfs_cap_data)."""
    try:
        data = os.getxattr(path, _CAPABILITY, follow_symlinks=False)
    except OSError:
        return 0
    return int.from_bytes(data[4:8], "little") | int.from_bytes(data[12:16], "little") << 32


def judge(facts: Facts) -> Iterable[Finding]:
    """Return what is wrong with the installation."""
    if not any(each.login for each in facts.programs):
        yield Finding(MISSING, f"program {facts.login_program}", "does not exist", path=facts.login_program)
    if facts.place:
        yield Finding(PLACE, f"program {facts.login_program}", facts.place, path=facts.login_program)
    for error in facts.unfit:
        yield Finding(UNFIT, error.what, error.why, cure=error.hint)
    for each in facts.programs:
        for kind, why in _about(each):
            yield Finding(kind, f"program {each.path}", why, path=each.path)


def _about(each: Program) -> Iterator[tuple[Kind, str]]:
    if each.uid:
        yield OTHERS, f"belongs to uid {each.uid}"
    if each.mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield OTHERS, f"is writable by others (mode {stat.S_IMODE(each.mode):04o})"
    if each.recorded and each.digest != each.recorded:
        yield CHANGED, "its content is not what the installation has recorded"
    set_id = bool(each.mode & (stat.S_ISUID | stat.S_ISGID))
    if not each.login and (set_id or each.capabilities):
        yield CAPABILITIES, "has power that no program but the login program needs"
    elif each.capabilities & ~NEEDED or (each.capabilities and set_id):
        yield CAPABILITIES, f"has capabilities {each.capabilities:#x}" + (" beside its set-id bit" if set_id else "")
    if each.login and each.links > 1:
        yield LINKS, f"has {each.links} names"


CHECK = Check(
    "program", "owner, mode, content and place of the login program",
    (MISSING, OTHERS, CHANGED, PLACE, LINKS, CAPABILITIES, UNFIT), collect, judge,
)  # fmt: skip
