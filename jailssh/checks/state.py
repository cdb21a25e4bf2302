"""The state of the installation: set up, nothing under way that nobody ends, nothing left that nobody uses."""

from __future__ import annotations

import json
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from jailssh.change import transaction
from jailssh.config.files import read_pull
from jailssh.config.values import UNSET
from jailssh.core.errors import JailsshError
from jailssh.core.names import pluralize
from jailssh.daemon import status
from jailssh.files import fs
from jailssh.host import pins, process, sockets
from jailssh.host.paths import Layout
from jailssh.image import pool
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.kept import stamp_of
from jailssh.integrity.scene import Scene
from jailssh.services import units
from jailssh.setup import outbound, running, setup

UNFINISHED = Kind(
    "JSH-641", Severity.MEDIUM, "change that was interrupted",
    "A part of it is done; nobody who is in a jail gets more by it, and somebody may get less than was meant.",
    "jailssh recover",
)  # fmt: skip
NOT_SET_UP = Kind(
    "JSH-642", Severity.HIGH, "host is not set up for jails",
    "sshd and PAM do not jail anybody: what the configuration says is not in force.", "jailssh setup",
)  # fmt: skip
OUT_OF_DATE = Kind(
    "JSH-643", Severity.MEDIUM, "set-up is out of date",
    "A group whose members are in a jail, a directory or a text is not as the configuration needs it.",
    "jailssh setup",
)  # fmt: skip
OWED = Kind(
    "JSH-644", Severity.HIGH, "what runs is older than what is on disk",
    "sshd or systemd go by what was there before.", "jailssh setup",
)  # fmt: skip
DAEMON = Kind(
    "JSH-645", Severity.MEDIUM, "jailsshd does not serve as it should",
    "First logins, those without a plan, fail or go by an older configuration.",
    "systemctl enable --now jailsshd.socket",
)  # fmt: skip
FAILED = Kind(
    "JSH-646", Severity.MEDIUM, "unit of jailssh that systemd has given up",
    "What it is for is not done: updates of images, accounts that are gone, first logins.",
    "systemctl reset-failed UNIT, and: journalctl -u UNIT",
)  # fmt: skip
LEFT = Kind(
    "JSH-647", Severity.LOW, "something is left that nobody uses",
    "It takes room, or makes a later command wait.", "jailssh image gc",
)  # fmt: skip
PINNED = Kind(
    "JSH-648", Severity.LOW, "namespace is pinned for an image that is gone",
    "The kernel keeps the image's files on disk as long as it is.", "jailssh check --fix removes it",
)  # fmt: skip

NO_BUNDLE = Kind(
    "JSH-649", Severity.HIGH, "no newer description of this host's jails",
    "Somebody may keep newer bundles from this host: what they take away, such as a stolen key, holds here still.",
    "jailssh apply --pull; or sign the description again: jailssh bundle",
)  # fmt: skip

CLOSED = Kind(
    "JSH-651", Severity.MEDIUM, "account without the way out that its jail has",
    "Nothing outside is to be reached in the jail; nothing more than that is reached either.",
    "jailssh apply, and: journalctl -u jailssh-outbound@UID",
)  # fmt: skip
GUARD = Kind(
    "JSH-652", Severity.HIGH, "addresses of this host are not kept out of the reach of jails",
    "Jails with network = outbound may reach services of this host at an address that it has got since.",
    "systemctl restart jailssh-outbound",
)  # fmt: skip

_SHADOW_LOCKS = ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")
_NEW = re.compile(r"\.new-([0-9]+)-[0-9a-f]+\Z")
_PROOF = "proof-of-setup."
_MANIFEST = re.compile(r"([0-9a-f]{20})-[0-9a-f]{16}\.json\Z")
_SHORT = 64
_PULL_LIMIT = 1 << 16


@dataclass(frozen=True)
class Leftover:
    """Something left: what it is, where, and how to be rid of it, "" for the usual way."""

    what: str
    path: str
    why: str
    cure: str = ""


@dataclass(frozen=True)
class Facts:
    """``unfinished``: changes whose process is gone; ``pending``: what the set-up would change, None for no set-up."""

    unfinished: tuple[transaction.Unfinished, ...] = ()
    pending: str | None = ""
    owed: tuple[JailsshError, ...] = ()
    daemon: tuple[str, str] = ("", "")
    failed: tuple[str, ...] = ()
    left: tuple[Leftover, ...] = ()
    pinned: tuple[str, ...] = ()
    bundle: str = ""
    closed: tuple[tuple[str, str, str], ...] = ()
    guard: str = ""


def collect(scene: Scene) -> Facts:
    """Look at journals, at the set-up, at what runs, and through the directories of jailssh's own."""
    layout = scene.layout
    unfinished = tuple(each for each in transaction.unfinished(layout) if not each.alive)
    pending: str | None = None
    if setup.was_run(layout):
        try:
            pending = setup.explained(setup.pending(layout, scene.configuration.groups()))
        except JailsshError as error:
            pending = str(error)
    return Facts(
        unfinished,
        pending,
        # What each sshd goes by is told by the check of sshd.
        tuple(running.findings(layout, ())),
        _daemon(layout),
        tuple(units.failed()),
        (*_locks(layout), *_trees(layout), *_objects(scene)),
        tuple(pins.strange(layout.run, _images(layout))),
        _bundle(layout, time.time()),
        tuple(outbound.closed(layout, scene.configuration)),
        outbound.unguarded(layout),
    )


def _bundle(layout: Layout, now: float) -> str:
    """Return why this host may go by a description that is too old, "" for one that is not, or may be of any age."""
    path, root = f"{layout.etc}/pull.conf", layout.root or None
    if not os.path.lexists(path):
        return ""
    try:
        most = read_pull(fs.read_trusted(path, _PULL_LIMIT, trusted_root=root), path).max_age
        if most == UNSET:
            return ""
        known = json.loads(fs.read_trusted(f"{layout.bundles}/newest", _PULL_LIMIT, trusted_root=root))
        signed = int(known.get("time", 0))
    except JailsshError as error:
        return f"not known how old the newest bundle is: {error}"
    except (ValueError, TypeError, AttributeError):
        return "not known how old the newest bundle is: the record of it is damaged"
    if now - signed <= most:
        return ""
    when = datetime.fromtimestamp(signed, UTC).strftime("%Y-%m-%d %H:%M UTC") if signed else "an unknown time"
    return f"the newest bundle was signed at {when}, max_age is {most} seconds"


def _daemon(layout: Layout) -> tuple[str, str]:
    """Return why the daemon does not serve as it should, and the cure."""
    found = status.read(layout)
    if found is not None:
        return found.trouble, "jailssh config check"
    if sockets.is_listened_at(layout.socket) or not setup.was_run(layout):
        return "", ""
    return "no process listens on its socket", "systemctl enable --now jailsshd.socket"


def _locks(layout: Layout) -> Iterator[Leftover]:
    """Give locks whose process is gone: those of shadow's programs, and records of jails that have ended."""
    for name in _SHADOW_LOCKS:
        path = f"{layout.root}/etc/{name}.lock"
        number = _first_number(path)
        if os.path.lexists(path) and (not number or process.start_time(number) is None):
            why = f"process {number} is gone" if number else "names no process, so that every change of accounts fails"
            yield Leftover(f"lock {path}", path, why, f"rm {path}")
    folder = f"{layout.run}/linger"
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        path = f"{folder}/{name}"
        number = _first_number(path)
        if number and process.start_time(number) is None:
            yield Leftover(f"record {path}", path, f"the jail of process {number} has ended", f"rm {path}")


def _first_number(path: str) -> int:
    """Return the number that a small file of root's begins with, 0 for none."""
    with suppress(OSError, ValueError, IndexError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return int(os.read(fd, _SHORT).strip(b"\0\n ").split()[0])
        finally:
            os.close(fd)
    return 0


def _trees(layout: Layout) -> Iterator[Leftover]:
    """Give trees and manifests that an interrupted command has left; those of one that works are its own."""
    top = pool.pool_dir(layout)
    names = os.listdir(top) if os.path.isdir(top) else []
    known = set(pool.generations(layout))
    for name in sorted(names):
        match = _MANIFEST.match(name)
        if name.startswith(".dead-") or (match and match[1] not in known):
            yield Leftover(f"file {top}/{name}", f"{top}/{name}", "belongs to no tree")
    for jail in pool.jails_with_images(layout):
        folder = f"{layout.images}/{jail}"
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
            if (match := _NEW.match(name)) and process.start_time(int(match[1])) is None:
                path = f"{folder}/{name}"
                yield Leftover(f"tree {path}", path, "its build was interrupted", f"jailssh image build {jail}")
    for name in sorted(os.listdir(layout.state)) if os.path.isdir(layout.state) else ():
        if name.startswith(_PROOF):
            path = f"{layout.state}/{name}"
            yield Leftover(f"tree {path}", path, "a set-up was interrupted", "jailssh setup")


def _objects(scene: Scene) -> Iterator[Leftover]:
    """Give the files of the pool that no tree has, together; looked for again when trees have come or gone."""
    top = pool.pool_dir(scene.layout)
    store = f"{top}/{pool.OBJECTS}"
    if not os.path.isdir(store):
        return

    def look() -> list[int]:
        number = size = 0
        with os.scandir(store) as listing:
            for each in listing:
                info = each.stat(follow_symlinks=False)
                if info.st_nlink == 1 and not stat.S_ISDIR(info.st_mode):
                    number, size = number + 1, size + info.st_blocks * 512
        return [number, size]

    number, size = scene.kept.get("state", "objects", stamp_of([top, store]), look)
    if number:
        why = f"{pluralize(number, 'file')} of no tree, {size} bytes"
        yield Leftover(f"directory {store}", store, why)


def _images(layout: Layout) -> set[tuple[int, int]]:
    """Return device and inode of each tree."""
    found = set()
    for name in pool.generations(layout):
        with suppress(FileNotFoundError):
            info = os.stat(pool.tree_path(layout, name))
            found.add((info.st_dev, info.st_ino))
    return found


def judge(facts: Facts) -> Iterable[Finding]:
    """Return what is not as it should be."""
    for each in facts.unfinished:
        yield Finding(UNFINISHED, f"change of {each.subject}", each.line(), cure=each.hint())
    if facts.pending is None:
        yield Finding(NOT_SET_UP, "this host", "jailssh setup has not been run")
    elif facts.pending:
        yield Finding(OUT_OF_DATE, "setup", facts.pending)
    for error in facts.owed:
        yield Finding(OWED, error.what, error.why, cure=error.hint)
    if facts.daemon[0]:
        yield Finding(DAEMON, "jailsshd", facts.daemon[0], cure=facts.daemon[1])
    for unit in facts.failed:
        yield Finding(FAILED, f"unit {unit}", "systemd has given it up", cure=FAILED.cure.replace("UNIT", unit))
    for left in facts.left:
        yield Finding(LEFT, left.what, left.why, cure=left.cure, path=left.path)
    if facts.bundle:
        yield Finding(NO_BUNDLE, "bundle", facts.bundle)
    for name, why, cure in facts.closed:
        yield Finding(CLOSED, f"account {name}", why, cure=cure)
    if facts.guard:
        yield Finding(GUARD, "unit jailssh-outbound.service", facts.guard)
    for path in facts.pinned:
        yield Finding(PINNED, f"pin {path}", "is for no image of this host", path=path)


def unpin(scene: Scene, findings: Sequence[Finding]) -> list[str]:
    """Let go of what is pinned for images that are gone; sessions keep what they have."""
    lines = []
    with pool.locked(scene.layout):
        still = set(pins.strange(scene.layout.run, _images(scene.layout)))
        for path in (each.path for each in findings):
            if path in still and pins.let_go(path):
                lines.append(f"removed {path}")
    return lines


CHECK = Check(
    "state", "the set-up, interrupted changes, and what is left that nobody uses",
    (UNFINISHED, NOT_SET_UP, OUT_OF_DATE, OWED, DAEMON, FAILED, LEFT, PINNED, NO_BUNDLE, CLOSED, GUARD), collect, judge,
    fixes={PINNED.id: unpin},
)  # fmt: skip
