"""All trees of this host: ``images/.pool/<generation>``, shared by every jail whose image has this content.

Beside each tree lie the manifests that lead to it, one for each set of needs, and in ``.objects`` one name for each
file of any tree, so that what two trees have in common is on disk once.  A tree goes when nothing refers to it: no
jail's link or history, no plan, no mount of any process.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from jailssh.closure.errors import ImageError
from jailssh.closure.manifest import Manifest, Summary, from_json, summary_from_json
from jailssh.core.errors import HostError, UsageError
from jailssh.core.names import HostPath, escape
from jailssh.files import blobs, fs, tree
from jailssh.files.mounts import Mount, mounts_of
from jailssh.host import pins
from jailssh.host.paths import Layout
from jailssh.image.history import read_history

GENERATION = re.compile(r"[0-9a-f]{20}\Z")
OBJECTS = ".objects"
_DEAD = ".dead-"
_LINK = re.compile(r"\.\./\.pool/([0-9a-f]{20})\Z")
_MOUNT = re.compile(r"(.*/\.pool)/([0-9a-f]{20})(?:/|\Z)", re.DOTALL)
_MANIFEST = re.compile(r"([0-9a-f]{20})-[0-9a-f]{16}\.json\Z")
_MANIFEST_LIMIT = 256 << 20


@dataclass(frozen=True)
class User:
    """A process that has a generation mounted: the first that was found in its mount namespace."""

    pid: int
    uid: int
    parent: int


@dataclass(frozen=True)
class Pruned:
    """What was removed: generations, and bytes on disk that are free now."""

    generations: tuple[str, ...]
    bytes: int


def pool_dir(layout: Layout) -> HostPath:
    """Return the directory of all trees."""
    return HostPath(f"{layout.images}/.pool")


def tree_path(layout: Layout, generation: str) -> HostPath:
    """Return the host path of a tree."""
    return HostPath(f"{pool_dir(layout)}/{generation}")


def link_to(generation: str) -> str:
    """Return what the link ``current`` of a jail holds."""
    return f"../.pool/{generation}"


def current_generation(layout: Layout, jail: str) -> str | None:
    """Return the generation that the link of a jail leads to, None if there is no such tree."""
    try:
        match = _LINK.match(os.readlink(f"{layout.images}/{jail}/current"))
    except OSError:
        return None
    return match[1] if match and os.path.isdir(tree_path(layout, match[1])) else None


def jails_with_images(layout: Layout) -> list[str]:
    """Return the jails that have a directory here, sorted."""
    try:
        return sorted(name for name in os.listdir(layout.images) if not name.startswith("."))
    except FileNotFoundError:
        return []


@contextmanager
def opened(layout: Layout) -> Iterator[int]:
    """Give a descriptor of the pool, made if need be."""
    fs.ensure_dir(layout.images, 0o755)
    fs.ensure_dir(pool_dir(layout), 0o755)
    # Nobody but the trees' own names leads to a file, so that a jail's mode bits mean what they say.
    fs.ensure_dir(f"{pool_dir(layout)}/{OBJECTS}", 0o700)
    fd = fs.open_dir(pool_dir(layout), strict=False)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Hold what a tree's coming and going is done under; nothing that takes long."""
    with fs.lock(f"{pool_dir(layout)}/.lock"):
        yield


def manifest_path(layout: Layout, generation: str, inputs: str) -> HostPath:
    """Return where the manifest of a tree is that was made for the needs with this digest."""
    return HostPath(f"{pool_dir(layout)}/{generation}-{inputs[:16]}.json")


def read_summary(layout: Layout, generation: str, inputs: str) -> Summary | None:
    """Return what a manifest says in short; None if there is none for these needs, or it is not to be trusted."""
    try:
        found = summary_from_json(_text(layout, manifest_path(layout, generation, inputs)))
    except (HostError, ImageError, UnicodeDecodeError):
        return None
    return found if (found.generation, found.inputs) == (generation, inputs) else None


def summaries(layout: Layout, generation: str) -> list[Summary]:
    """Return what all manifests of a tree say in short, whatever needs they were made for."""
    found = []
    for name in sorted(os.listdir(pool_dir(layout))):
        match = _MANIFEST.match(name)
        if match and match[1] == generation:
            with suppress(HostError, ImageError, UnicodeDecodeError):
                found.append(summary_from_json(_text(layout, f"{pool_dir(layout)}/{name}")))
    return [each for each in found if each.generation == generation]


def read_manifest(layout: Layout, generation: str) -> Manifest | None:
    """Return a manifest of a tree, or None if it is absent, damaged or not root's alone."""
    return next((manifest for _, manifest in manifests(layout, generation) if manifest), None)


def manifests(layout: Layout, generation: str) -> Iterator[tuple[str, Manifest | None]]:
    """Yield the name of each manifest of a tree, and the manifest, None if it is damaged or not root's alone."""
    try:
        names = sorted(os.listdir(pool_dir(layout)))
    except FileNotFoundError:
        return
    for name in names:
        match = _MANIFEST.match(name)
        if match and match[1] == generation:
            try:
                manifest = from_json(_text(layout, f"{pool_dir(layout)}/{name}"))
            except (HostError, ImageError, UnicodeDecodeError):
                yield name, None
                continue
            yield name, manifest if manifest.generation == generation else None


def _text(layout: Layout, path: str) -> str:
    return fs.read_trusted(path, _MANIFEST_LIMIT, trusted_root=layout.root or None).decode()


def generations(layout: Layout) -> list[str]:
    """Return all trees, sorted."""
    try:
        return sorted(name for name in os.listdir(pool_dir(layout)) if GENERATION.match(name))
    except FileNotFoundError:
        return []


def reasons(layout: Layout, in_use: Collection[str], keep: int) -> dict[str, list[str]]:
    """Return for each generation why it stays.

    ``in_use``: host paths, as plans have them.  ``keep``: how many generations of a jail stay, the current included.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(in_use):
        found.setdefault(os.path.basename(path), []).append("used by a plan")
    for jail in jails_with_images(layout):
        current = current_generation(layout, jail)
        if current:
            found.setdefault(current, []).append(f"current in jail {jail}")
        before = [each for each in read_history(layout, jail).generations() if each != current]
        for generation in before[: max(keep - 1, 0)]:
            found.setdefault(generation, []).append(f"kept for a rollback of jail {jail}")
    for generation, users in mounted(layout).items():
        found.setdefault(generation, []).append(f"mounted by {len(users)} sessions")
    return found


def prune(layout: Layout, in_use: Collection[str] = (), keep: int = 1, only: Collection[str] | None = None) -> Pruned:
    """Remove the trees that :func:`reasons` gives no reason for, and files that no tree has any more.

    ``only``: remove these and no others; :class:`UsageError` if one of them is needed or unknown (that a jail could go
    back to it is no obstacle).
    """
    if not os.path.isdir(pool_dir(layout)):
        return Pruned((), 0)
    with opened(layout) as pool, locked(layout):
        stay = reasons(layout, in_use, keep if only is None else 1)
        known = generations(layout)
        for name in only or ():
            if name not in known:
                raise UsageError(f"generation {escape(name)}", "does not exist")
            if name in stay:
                raise UsageError(f"generation {name}", stay[name][0])
        gone = [name for name in known if name not in stay and (only is None or name in only)]
        try:
            for name in os.listdir(pool):
                if name.startswith(_DEAD):
                    _remove(layout, pool, name)
            for name in gone:
                _remove(layout, pool, name)
            _remove_manifests(pool, set(known) - set(gone))
            return Pruned(tuple(gone), _sweep_objects(pool))
        except OSError as error:
            raise fs.failed("prune", pool_dir(layout), error) from error


def _remove(layout: Layout, pool: int, name: str) -> None:
    """Remove a tree and let go of its pinned namespace: before, and once more in case a login just made it anew."""
    info = os.stat(name, dir_fd=pool, follow_symlinks=False)
    pins.unpin(layout.run, info)
    tree.retire(pool, name, f"{_DEAD}{secrets.token_hex(8)}")
    pins.unpin(layout.run, info)


def _remove_manifests(pool: int, stay: Collection[str]) -> None:
    for name in os.listdir(pool):
        match = _MANIFEST.match(name)
        if match and match[1] not in stay:
            fs.remove_tree(pool, name)


def _sweep_objects(pool: int) -> int:
    store = fs.open_dir_at(pool, OBJECTS)
    try:
        return blobs.sweep(store)
    finally:
        os.close(store)


def mounted(layout: Layout) -> Mapping[str, tuple[User, ...]]:
    """Return the generations that any process has mounted, in whatever mount namespace, and by whom (proc(5)).

    Those of other layouts on this machine, another root's for example, are not among them.  A session counts once: its
    outer half, which is the parent of the jail's first process, is left out.
    """
    pool = _place_of(pool_dir(layout))
    seen: set[str] = set()
    found: dict[str, list[User]] = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with _vanishing():
            namespace = _mount_namespace(pid)
            if namespace in seen:
                continue
            here = _generations_among(mounts_of(pid), pool)
            user = _user(pid)
            seen.add(namespace)
            for generation in here:
                found.setdefault(generation, []).append(user)
    parents = {user.parent for users in found.values() for user in users}
    return {name: tuple(user for user in users if user.pid not in parents) for name, users in found.items()}


def _user(pid: str) -> User:
    """Return whose process it is; the owner of its directory would be root where it may not be looked into."""
    with open(f"/proc/{pid}/status", "rb") as file:
        rows = dict(line.split(b":", 1) for line in file)
    return User(int(pid), int(rows[b"Uid"].split()[0]), int(rows[b"PPid"]))


def _generations_among(mounts: Collection[Mount], pool: tuple[str, str] | None) -> set[str]:
    """Return the generations of ``pool`` that are mounted, or on which something is; of any where it is not known."""
    by_number = {mount.number: mount for mount in mounts}
    found = set()
    for mount in mounts:
        places = [(mount.device, mount.root)]
        parent = by_number.get(mount.parent)
        # Without its parent, what something is mounted on is known by the path alone.
        places.append(_place_within(parent, mount.point) if parent else ("", mount.point))
        for device, path in places:
            match = _MOUNT.match(path)
            if match and (pool is None or not device or (device, match[1]) == pool):
                found.add(match[2])
    return found


def _place_within(mount: Mount, path: str) -> tuple[str, str]:
    """Return the device and the path in its file system of what ``mount`` shows at ``path``."""
    # Two slashes at the beginning would stay two.
    return mount.device, os.path.normpath(f"{mount.root.rstrip('/')}/{os.path.relpath(path, mount.point)}")


def _place_of(path: str) -> tuple[str, str] | None:
    """Return the device of a directory and its path in the file system there, however it is mounted.

    None where it is not to be found out, and where there is no such directory.  The numbers of stat(2) would not do:
    some file systems have others in mountinfo.
    """
    try:
        directory = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        with open(f"/proc/self/fdinfo/{directory}", encoding="ascii") as file:
            numbers = [int(line.split()[1]) for line in file if line.startswith("mnt_id:")]
        where = os.readlink(f"/proc/self/fd/{directory}")
    finally:
        os.close(directory)
    mounts = [mount for mount in mounts_of() if mount.number in numbers]
    return _place_within(mounts[0], where) if mounts else None


@contextmanager
def _vanishing() -> Iterator[None]:
    """Let a process end while it is looked at; one that has just ended answers EINVAL."""
    try:
        yield
    except (FileNotFoundError, ProcessLookupError):
        return
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise fs.failed("read", "/proc/*/mountinfo", error) from error


def _mount_namespace(pid: str) -> str:
    """Return what names the mount namespace of a process; where that may not be asked, each has its own."""
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except PermissionError:
        return pid
