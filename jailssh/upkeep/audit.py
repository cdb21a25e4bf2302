"""Is every image what its manifest says?  All content is read, so one changed byte is found whatever its times say.

The files that trees share are read once, in the pool's store, each against its own name; then each tree is compared
with its manifest, whose entries give the tree its name: nothing that lies beside a tree is believed unread.  One
manifest at a time is held in memory.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field

from jailssh.closure.manifest import WITH_CONTENT, Entry, EntryKind, Manifest
from jailssh.closure.sources import Watch
from jailssh.core.closed import Word
from jailssh.core.errors import UsageError
from jailssh.core.names import JailPath, escape
from jailssh.files import beneath, blobs, fs
from jailssh.host.paths import Layout
from jailssh.image import pool
from jailssh.image.store import object_name
from jailssh.publish import plan_files

ROOT_MODE = 0o755
_TYPES = {
    EntryKind.DIR: stat.S_IFDIR,
    EntryKind.LINK: stat.S_IFLNK,
    EntryKind.FILE: stat.S_IFREG,
    EntryKind.TEXT: stat.S_IFREG,
}
_BYTES = " bytes"
_NAMES = {stat.S_IFDIR: "a directory", stat.S_IFLNK: "a symbolic link", stat.S_IFREG: "a file"}

Told = Callable[[str, int], None]
"""Told of each thing that was looked at: its name and its bytes."""


class DamageKind(Word):
    """What is wrong: ``status`` is type, mode, owner, time, attributes; ``image``: it is not there."""

    CONTENT = "content"
    STATUS = "status"
    MISSING = "missing"
    EXTRA = "extra"
    MANIFEST = "manifest"
    IMAGE = "image"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Damage:
    """One thing that is not as it must be.

    ``where``: a generation, ``pool`` for a file that trees share, or ``jail NAME``.  ``path``: in the tree, or the
    name of the shared file; "" for all of it.  ``kind``: ``content``, ``status`` (type, mode, owner, time, attributes),
    ``missing``, ``extra``, ``manifest``, ``image`` (it is not there) or ``unreadable``.  ``why`` is for people.
    """

    where: str
    path: str
    kind: DamageKind
    why: str

    def __str__(self) -> str:
        return f"{self.where}{': ' + escape(self.path) if self.path else ''}: {self.why}"


@dataclass
class Audit:
    """What was looked at: numbers of shared files, of trees and their paths, bytes that were read; what is wrong."""

    _: KW_ONLY
    files: int = 0
    trees: int = 0
    paths: int = 0
    bytes: int = 0
    damage: list[Damage] = field(default_factory=list)
    # The inodes of shared files that are right, with their names.
    right: dict[int, str] = field(default_factory=dict)
    # Shared files that an earlier look found right, with their status then, and those that this one did.
    known: Mapping[str, Sequence[int]] = field(default_factory=dict)
    verified: dict[str, Sequence[int]] = field(default_factory=dict)
    # What the trees were made from, by generation, of those whose manifests are all right.
    watches: dict[str, list[Watch]] = field(default_factory=dict)

    def told(self, where: str, path: str, kind: DamageKind, why: str) -> None:
        """Note a damage."""
        self.damage.append(Damage(where, path, kind, why))


POOL = "pool"
MOUNT_POINT = "is a mount point"
ROOT = JailPath("/")
Fault = tuple[DamageKind | None, str]
NO_FAULT: Fault = (None, "")


def audit(
    layout: Layout,
    only: Collection[str] | None = None,
    told: Told | None = None,
    known: Mapping[str, Sequence[int]] | None = None,
    *,
    plans: bool = True,
) -> Audit:
    """Look at every image of this host, or at the generations ``only``, and return what is wrong.

    ``known``: what ``verified`` of an earlier result was; such a shared file is read again only if its status has
    changed since, of which the kernel sets the time of the last change.  ``plans``: whether to look at every plan's
    image too.  What is built or removed meanwhile is no damage.  Raises :class:`HostError` where the pool cannot be
    read at all, :class:`UsageError` for a generation that is not there.
    """
    found = Audit(known=known or {})
    if not os.path.isdir(pool.pool_dir(layout)):
        return found
    tell = told or (lambda _name, _bytes: None)
    with pool.opened(layout) as trees:
        try:
            if only is None:
                _Store(trees, found, tell).run()
            for generation in pool.generations(layout) if only is None else only:
                audit_tree(layout, trees, generation, found)
                tell(generation, 0)
        except OSError as error:
            raise fs.failed("read", pool.pool_dir(layout), error) from error
        if only is None and plans:
            _referrers(layout, found, plans=plans)
    return found


def pick(layout: Layout, names: Collection[str]) -> list[str]:
    """Return the generations that are meant: the current one of a jail, or those that a word begins."""
    picked: dict[str, None] = {}
    jails = pool.jails_with_images(layout)
    for name in names:
        current = pool.current_generation(layout, name) if name in jails else None
        matching = [current] if current else [one for one in pool.generations(layout) if name and one.startswith(name)]
        if len(matching) != 1:
            why = "matches several generations" if matching else "neither a jail with an image nor a generation"
            raise UsageError(escape(name), why, hint="jailssh image list")
        picked[matching[0]] = None
    return list(picked)


class _Store:
    """The files that trees share, each against its name."""

    def __init__(self, trees: int, found: Audit, tell: Told) -> None:
        self._found = found
        self._tell = tell
        self._trees = trees

    def run(self) -> None:
        """Look at all of them."""
        store = fs.open_dir_at(self._trees, pool.OBJECTS)
        try:
            with os.scandir(store) as names:
                for item in names:
                    try:
                        self._one(store, item.name)
                    except FileNotFoundError:
                        continue  # It has just been cleared up.
                    except OSError as error:
                        self._found.told(POOL, item.name, DamageKind.UNREADABLE, (error.strerror or str(error)).lower())
        finally:
            os.close(store)

    def _one(self, store: int, name: str) -> None:
        info = os.stat(name, dir_fd=store, follow_symlinks=False)
        seen = (info.st_ino, info.st_dev, info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
        unread = tuple(self._found.known.get(name, ())) == seen
        kind, why = NO_FAULT if unread else object_fault(store, name, info)
        self._found.files += 1
        if stat.S_ISREG(info.st_mode) and not unread:
            self._found.bytes += info.st_size
        self._tell(name, info.st_size)
        if kind:
            self._found.told(POOL, name, kind, why)
        else:
            self._found.right[info.st_ino] = name
            self._found.verified[name] = seen


def object_fault(store: int, name: str, info: os.stat_result) -> Fault:
    """Return what kind of damage a shared file has and why, or :data:`NO_FAULT`; OSError."""
    if blobs.is_link_name(name):
        if not stat.S_ISLNK(info.st_mode):
            return DamageKind.STATUS, f"is {_named(info)}, expected a symbolic link"
        right = blobs.name_of_link(os.readlink(name, dir_fd=store)) == name
        return NO_FAULT if right else (DamageKind.CONTENT, "its target does not match its name")
    expected = blobs.expected_of(name)
    if expected is None:
        return NO_FAULT  # Nobody looks for a file by such a name.
    if why := _status(info, stat.S_IFREG, expected.mode, expected.size):
        return (DamageKind.CONTENT if why.endswith(_BYTES) else DamageKind.STATUS), why
    return _content(store, name, expected.digest, info, expected.mtime_ns)


def _content(dirfd: int, name: str, digest: str, info: os.stat_result, mtime_ns: int | None) -> Fault:
    """Compare the content, and what may differ where that is right."""
    if blobs.digest_of(dirfd, name, from_disk=True) != digest:
        return DamageKind.CONTENT, "content has changed"
    if mtime_ns is not None and info.st_mtime_ns != mtime_ns:
        return DamageKind.STATUS, "modification time has changed"
    strange = blobs.attributes_at(dirfd, name)
    return (DamageKind.STATUS, f"has the attribute {escape(strange[0], 60)}") if strange else NO_FAULT


def _named(info: os.stat_result) -> str:
    return _NAMES.get(stat.S_IFMT(info.st_mode), "neither file, directory nor link")


def _status(info: os.stat_result, kind: int, mode: int | None, size: int | None) -> str:
    """Return how the status differs from what is expected (None: nothing is), or ""."""
    if stat.S_IFMT(info.st_mode) != kind:
        return f"is {_named(info)}, expected {_NAMES[kind]}"
    if (info.st_uid, info.st_gid) != (0, 0):
        return f"is owned by {info.st_uid}:{info.st_gid}, expected root"
    if mode is not None and stat.S_IMODE(info.st_mode) != mode:
        return f"mode {stat.S_IMODE(info.st_mode):04o}, expected {mode:04o}"
    if size is not None and info.st_size != size:
        return f"expected {size}, found {info.st_size}{_BYTES}"
    return ""


def audit_tree(layout: Layout, trees: int, generation: str, found: Audit) -> Manifest | None:
    """Compare one tree with its manifest, which is returned if it can be read; a tree that is gone is no damage."""
    before = len(found.damage)
    try:
        root = fs.open_dir_at(trees, generation)
    except FileNotFoundError:
        return None
    try:
        manifest = _audit_open(layout, root, generation, found)
        if len(found.damage) == before or _has_name(trees, generation, root):
            return manifest
    finally:
        os.close(root)
    # It was removed meanwhile, and one that was built since may have its name.
    del found.damage[before:]
    return audit_tree(layout, trees, generation, found)


def _has_name(trees: int, generation: str, root: int) -> bool:
    """True if the open tree is still the one of this name."""
    try:
        return os.path.samestat(os.stat(generation, dir_fd=trees, follow_symlinks=False), os.fstat(root))
    except FileNotFoundError:
        return False


def _audit_open(layout: Layout, root: int, generation: str, found: Audit) -> Manifest | None:
    found.trees += 1
    manifest, bad, watches = None, [], []
    for name, each in pool.manifests(layout, generation):
        manifest = manifest or each
        bad += [] if each else [name]
        watches += [each.watch] if each else []
    if not bad:
        found.watches[generation] = watches
    for name in bad:
        found.told(generation, "", DamageKind.MANIFEST, f"manifest {name} is damaged")
    if manifest is None:
        if not bad:
            found.told(generation, "", DamageKind.MANIFEST, "manifest is missing")
        return None
    _Tree(root, generation, manifest, found).run()
    return manifest


def shape_fault(entry: Entry, info: os.stat_result) -> str:
    """Return what of an entry's object can be seen to be wrong without reading it, or ""."""
    if entry.kind not in _TYPES:
        return f"kind {entry.kind!r} is not allowed in an image"
    size = entry.size if entry.kind in WITH_CONTENT else None
    return _status(info, _TYPES[entry.kind], None if entry.kind == EntryKind.LINK else entry.mode, size)


def entry_fault(fd: int, entry: Entry, info: os.stat_result, right: Mapping[int, str]) -> Fault:
    """Return what kind of damage an entry's object in its open directory has and why, or :data:`NO_FAULT`; OSError.

    ``right``: the inodes of files that need not be read again, with their names in the store.
    """
    if why := shape_fault(entry, info):
        return (DamageKind.CONTENT if why.endswith(_BYTES) else DamageKind.STATUS), why
    name = os.path.basename(entry.path)
    mtime = (
        0 if entry.kind == EntryKind.TEXT else entry.stamp[2] if entry.kind == EntryKind.FILE and entry.stamp else None
    )
    if entry.kind == EntryKind.LINK:
        same = os.readlink(name, dir_fd=fd) == entry.target
        return NO_FAULT if same else (DamageKind.CONTENT, f"does not lead to {escape(entry.target, 200)}")
    if entry.kind == EntryKind.DIR or right.get(info.st_ino) == object_name(entry) != "":
        return NO_FAULT
    return _content(fd, name, entry.digest, info, mtime)


class _Tree:
    """One tree against its manifest, directory by directory."""

    def __init__(self, root: int, generation: str, manifest: Manifest, found: Audit) -> None:
        self._root = root
        self._device = os.fstat(root).st_dev
        self._generation = generation
        self._found = found
        self._below: dict[str, list[Entry]] = {"": []}
        for entry in manifest.entries:
            if entry.kind == EntryKind.DIR:
                self._below[entry.path] = []
            self._below.setdefault(os.path.dirname(entry.path).rstrip("/"), []).append(entry)

    def run(self) -> None:
        """Look at all of it."""
        if why := _status(os.fstat(self._root), stat.S_IFDIR, ROOT_MODE, None):
            self._tell(ROOT, DamageKind.STATUS, why)
        todo = [JailPath("")]
        while todo:
            path = todo.pop()
            try:
                fd = beneath.open_beneath(self._root, path)
            except OSError as error:
                self._unreadable(path, error)
                continue
            try:
                todo += self._directory(fd, path)
            finally:
                os.close(fd)

    def _directory(self, fd: int, path: JailPath) -> list[JailPath]:
        """Look at what a directory holds and return the directories in it."""
        if strange := blobs.strange_attributes(fd):
            self._tell(path or ROOT, DamageKind.STATUS, f"has the attribute {escape(strange[0], 60)}")
        names = set(os.listdir(fd))
        deeper = []
        for entry in self._below[path]:
            name = os.path.basename(entry.path)
            self._found.paths += 1
            try:
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
                kind, why = self._fault(fd, entry, info)
            except FileNotFoundError:
                self._tell(entry.path, DamageKind.MISSING, "is missing")
                continue
            except OSError as error:
                self._unreadable(entry.path, error)
                continue
            finally:
                names.discard(name)
            if kind:
                self._tell(entry.path, kind, why)
            if entry.kind == EntryKind.DIR and stat.S_ISDIR(info.st_mode):
                deeper.append(entry.path)
        for name in sorted(names):
            self._tell(JailPath(f"{path}/{name}"), DamageKind.EXTRA, "is not in the manifest")
        return deeper

    def _fault(self, fd: int, entry: Entry, info: os.stat_result) -> Fault:
        if info.st_dev != self._device:
            return DamageKind.UNREADABLE, MOUNT_POINT
        if stat.S_ISREG(info.st_mode) and info.st_ino not in self._found.right:
            self._found.bytes += info.st_size
        return entry_fault(fd, entry, info, self._found.right)

    def _unreadable(self, path: JailPath, error: OSError) -> None:
        mounted = error.errno == errno.EXDEV
        why = MOUNT_POINT if mounted else (error.strerror or str(error)).lower()
        self._tell(path or ROOT, DamageKind.UNREADABLE, why)

    def _tell(self, path: JailPath, kind: DamageKind, why: str) -> None:
        self._found.told(self._generation, path, kind, why)


def _referrers(layout: Layout, found: Audit, *, plans: bool) -> None:
    """Look for jails and plans whose image is not there."""
    for jail in pool.jails_with_images(layout):
        link = f"{layout.images}/{jail}/current"
        if os.path.lexists(link) and pool.current_generation(layout, jail) is None:
            found.told(f"jail {jail}", "", DamageKind.IMAGE, "link 'current' does not lead to an image")
    for image, users in sorted(plan_files.plans_by_image(layout).items()) if plans else ():
        if not os.path.isdir(image):
            names = ", ".join(sorted({plan.name for plan in users}))
            jail = (users[0].first("jail") or ("",))[0]
            found.told(
                f"jail {jail}", "", DamageKind.IMAGE, f"image of the plan of {names} does not exist: {escape(image)}"
            )
