"""Images against their manifests: every byte, mode and owner, and what should not be there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jailssh.closure.manifest import DEVICES, EntryKind
from jailssh.closure.sources import Watch, unchanged
from jailssh.core.errors import HostError
from jailssh.core.names import JailPath
from jailssh.files import beneath
from jailssh.image import history, pool
from jailssh.integrity import looked
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.kept import stamp_of
from jailssh.integrity.scene import Scene
from jailssh.jail.configuration import load_configuration
from jailssh.upkeep import audit, repair
from jailssh.upkeep.audit import Damage, DamageKind

_IMAGE_VERIFY = "jailssh image verify --repair"

CONTENT = Kind(
    "JSH-101", Severity.HIGH, "content of an image has changed",
    "Nobody but root can change an image: a program of the jail was replaced, or the disk is failing.", _IMAGE_VERIFY,
)  # fmt: skip
STATUS = Kind(
    "JSH-102", Severity.HIGH, "mode, owner or attributes of an image have changed",
    "A set-id bit, a capability, an ACL, a foreign owner or a mode for others lets the jail's users change programs.",
    _IMAGE_VERIFY,
)  # fmt: skip
MISSING = Kind(
    "JSH-103", Severity.MEDIUM, "path of an image is missing",
    "Something that the jail needs does not start.", _IMAGE_VERIFY,
)  # fmt: skip
EXTRA = Kind(
    "JSH-104", Severity.HIGH, "path that does not belong in an image",
    "Somebody with root's power has put it there; it runs in every session of the jail.", _IMAGE_VERIFY,
)  # fmt: skip
MANIFEST = Kind(
    "JSH-105", Severity.HIGH, "manifest of an image is missing or damaged",
    "Without it nobody can tell what the image must hold.", _IMAGE_VERIFY,
)  # fmt: skip
GONE = Kind(
    "JSH-106", Severity.HIGH, "image of a jail does not exist",
    "Every login to the jail is refused.", "jailssh apply",
)  # fmt: skip
MOUNTED = Kind(
    "JSH-107", Severity.HIGH, "something is mounted over an image",
    "The jail does not show what was built, and nobody can see what lies below.", "umount it: findmnt",
)  # fmt: skip
POWER = Kind(
    "JSH-108", Severity.HIGH, "image was made with a set-id file, a device or a file that others can write",
    "An image needs none of them: a session gains no privileges from one and must not change another's programs.",
    "remove what brings it from the jail's settings or plugin, then: jailssh update",
)  # fmt: skip
BEHIND = Kind(
    "JSH-109", Severity.MEDIUM, "image is older than the host's files",
    "The jail runs programs of before: what an update has mended is not mended in it.", "jailssh update",
)  # fmt: skip
FAILED = Kind(
    "JSH-110", Severity.MEDIUM, "the last update of an image failed",
    "The jail keeps its old image until that is mended.", "jailssh update JAIL",
)  # fmt: skip

_BY_DAMAGE = {
    DamageKind.CONTENT: CONTENT,
    DamageKind.STATUS: STATUS,
    DamageKind.MISSING: MISSING,
    DamageKind.EXTRA: EXTRA,
    DamageKind.MANIFEST: MANIFEST,
    DamageKind.IMAGE: GONE,
}


@dataclass(frozen=True)
class Behind:
    """A jail whose image does not follow the host: since when it is like that is not known."""

    jail: str
    generation: str
    failed: str = ""


@dataclass(frozen=True)
class Facts:
    """``damage``: each with its path on the host and what is there; ``users``: generation to jails.

    ``lost``: images that are not there, with the accounts whose plans have them.
    """

    damage: tuple[tuple[Damage, str, str], ...]
    power: tuple[tuple[str, str, str], ...]
    behind: tuple[Behind, ...]
    users: dict[str, tuple[str, ...]]
    lost: tuple[tuple[str, tuple[str, ...]], ...] = ()


def collect(scene: Scene) -> Facts:
    """Read every image, or those of the jails that were asked for; what has not changed since a look is not read."""
    layout = scene.layout
    current = {jail: pool.current_generation(layout, jail) for jail in pool.jails_with_images(layout)}
    users: dict[str, tuple[str, ...]] = {}
    for jail, generation in sorted(current.items()):
        if generation:
            users[generation] = (*users.get(generation, ()), jail)
    meant = {person.jail for person in scene.jailed.values()} | set(scene.jails)
    only = [each for each, jails in users.items() if not meant.isdisjoint(jails)] if scene.narrow else None
    found = audit.audit(layout, only, known=scene.kept.all_of("objects"), plans=False)
    if only is None:
        scene.kept.put("objects", found.verified)
    for damage in found.damage:
        if damage.kind == DamageKind.UNREADABLE and damage.why != audit.MOUNT_POINT:
            scene.unseen(HostError(f"image {damage.where}{damage.path}", damage.why))
    top = pool.pool_dir(layout)
    power: list[tuple[str, str, str]] = []
    for generation in users if only is None else only:
        stamp = stamp_of(f"{top}/{name}" for name in sorted(os.listdir(top)) if name.startswith(f"{generation}-"))
        power += [tuple(row) for row in scene.kept.get("power", generation, stamp, lambda: _power(scene, generation))]  # noqa: B023
    images: dict[str, list[str]] = {}
    for name, each in looked.of(scene).items():
        for image in each.images:
            images.setdefault(image, []).append(name)
    lost = tuple((image, tuple(names)) for image, names in sorted(images.items()) if not os.path.isdir(image))
    behind = tuple(
        _behind(scene, jail, generation, found.watches.get(generation))
        for jail, generation in current.items()
        if generation
    )
    rows = tuple((each, _place(top, each), _what(top, each)) for each in found.damage)
    return Facts(rows, tuple(power), tuple(filter(None, behind)), users, lost)


def _place(top: str, damage: Damage) -> str:
    if damage.where == audit.POOL:
        return f"{top}/{pool.OBJECTS}/{damage.path}"
    return f"{top}/{damage.where}{damage.path}" if damage.kind != DamageKind.IMAGE else ""


def _what(top: str, damage: Damage) -> str:
    """Say what a path is that should not be there, as far as that matters."""
    if damage.kind != DamageKind.EXTRA:
        return ""
    folder, name = os.path.split(damage.path)
    try:
        root = os.open(f"{top}/{damage.where}", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fd = beneath.open_beneath(root, JailPath(folder.rstrip("/")))
            try:
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            finally:
                os.close(fd)
        finally:
            os.close(root)
    except OSError:
        return ""
    mode = info.st_mode
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        return f"a device, {os.major(info.st_rdev)}:{os.minor(info.st_rdev)}"
    if stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID):
        return f"a set-id file of uid {info.st_uid}"
    return "" if info.st_uid == 0 else f"of uid {info.st_uid}"


def _power(scene: Scene, generation: str) -> list[tuple[str, str, str]]:
    """Return what the manifest itself says that no image needs: generation, path, why."""
    manifest = pool.read_manifest(scene.layout, generation)
    found = []
    for entry in manifest.entries if manifest else ():
        why = ""
        if entry.kind in (*DEVICES, EntryKind.FIFO, EntryKind.SOCKET):
            why = f"is a {entry.kind} device" if entry.kind in DEVICES else f"is a {entry.kind}"
        elif entry.uid or entry.gid:
            why = f"is owned by {entry.uid}:{entry.gid}"
        elif entry.kind != EntryKind.LINK and entry.mode & (stat.S_IWOTH | stat.S_IWGRP):
            why = f"has mode {entry.mode:04o}: others can write to it"
        elif entry.kind in (EntryKind.FILE, EntryKind.TEXT, EntryKind.HARD) and entry.mode & (
            stat.S_ISUID | stat.S_ISGID
        ):
            why = f"has mode {entry.mode:04o}: a set-id bit"
        if why:
            found.append((generation, str(entry.path), why))
    return found


def _behind(scene: Scene, jail: str, generation: str, watches: list[Watch] | None) -> Behind | None:
    """Return that the jail's image is not what the host would give now; a pinned one stays as it is."""
    layout = scene.layout
    if scene.narrow and jail not in scene.jails and all(jail != each.jail for each in scene.jailed.values()):
        return None
    if (failure := history.failed_update(layout, jail)) is not None:
        return Behind(jail, generation, "; ".join(failure.lines) or "no reason was noted")
    if history.read_history(layout, jail).pinned:
        return None
    watched = watches if watches is not None else [each.watch for each in pool.summaries(layout, generation)]
    return None if not watched or any(map(unchanged, watched)) else Behind(jail, generation)


def judge(facts: Facts) -> Iterable[Finding]:
    """Return a finding for each damage, each doubtful path and each image that is behind."""
    for damage, path, what in facts.damage:
        kind = MOUNTED if damage.why == audit.MOUNT_POINT else _BY_DAMAGE.get(damage.kind)
        if kind is None:
            continue
        jails = facts.users.get(damage.where, ())
        jail = damage.where.removeprefix("jail ") if damage.where.startswith("jail ") else next(iter(jails), "")
        why = f"{damage.path or 'all of it'}: {damage.why}{f' ({what})' if what else ''}"
        yield Finding(kind, _named(damage.where, jails), why, path=path, jail=jail)
    for generation, place, why in facts.power:
        jails = facts.users.get(generation, ())
        yield Finding(POWER, _named(generation, jails), f"{place} {why}", detail=place, jail=next(iter(jails), ""))
    for image, names in facts.lost:
        why = f"image of the plan of {', '.join(names[:5])}{' and others' if names[5:] else ''} does not exist"
        yield Finding(GONE, f"account {names[0]}", f"{why}: {image}", path=image, account=names[0])
    for each in facts.behind:
        what, cure = f"image of jail {each.jail}", f"jailssh update {each.jail}"
        if each.failed:
            yield Finding(FAILED, what, each.failed, cure=cure, jail=each.jail)
        else:
            why = f"{each.generation[:12]} was made from files that have changed since"
            yield Finding(BEHIND, what, why, cure=cure, jail=each.jail)


def _named(where: str, jails: Sequence[str]) -> str:
    if where == audit.POOL:
        return "files that images share"
    if where.startswith("jail "):
        return where
    return f"image {where[:12]}" + (f" of {', '.join(jails)}" if jails else "")


def mend(scene: Scene, _findings: Sequence[Finding]) -> list[str]:
    """Repair every image: a good copy from the host or the store, else it is built anew."""
    found = audit.audit(scene.layout)
    done = repair.repair(scene.layout, found.damage)
    if done.left:
        done = repair.rebuild(load_configuration(scene.layout), done)
    lines = [f"{len(found.damage) - len(done.left)} of {len(found.damage)} damages of images repaired"]
    lines += [f"jail {jail} now uses another image" for jail in done.rebuilt]
    return [*lines, *done.errors]


_MENDED = (CONTENT, STATUS, MISSING, EXTRA, MANIFEST)
CHECK = Check(
    "images",
    "images against their manifests, and against the host",
    (CONTENT, STATUS, MISSING, EXTRA, MANIFEST, GONE, MOUNTED, POWER, BEHIND, FAILED),
    collect,
    judge,
    fixes={kind.id: mend for kind in _MENDED},
)
