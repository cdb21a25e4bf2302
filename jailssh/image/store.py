"""The images of a jail on disk: ``images/<jail>/<generation>/``, its manifest beside it, ``current`` pointing at one.

A generation is never changed once it has its name.  Whatever is killed at whatever point, ``current`` leads to a
whole tree; what was left unfinished has a name beginning with ``.`` and is removed by the next build.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from jailssh.core.errors import HostError
from jailssh.core.names import check_jail_name, escape
from jailssh.host import fs, tree
from jailssh.host.paths import Layout
from jailssh.image.errors import ImageError, SourceChangedError
from jailssh.image.manifest import Manifest, from_json, inputs_digest, summary_from_json
from jailssh.image.sources import Stamp, unchanged
from jailssh.plugin.api import ImageNeeds

_GENERATION = re.compile(r"[0-9a-f]{20}\Z")
_LOCK = ".lock"
_NEW = ".new-"
_DEAD = ".dead-"
_MANIFEST_LIMIT = 256 << 20
_RETRIES = 3


@dataclass(frozen=True)
class BuildResult:
    """What :func:`ensure_image` leaves: the image's host path and generation; ``changed`` if it is not the old one."""

    path: str
    generation: str
    changed: bool
    entries: int
    bytes: int
    notes: tuple[str, ...] = ()


def jail_images(layout: Layout, jail: str) -> str:
    """Return the directory of a jail's images."""
    return f"{layout.images}/{check_jail_name(jail, combined=True)}"


def current_image(layout: Layout, jail: str) -> str | None:
    """Return the host path of the jail's current image (the generation itself, not a link), or None."""
    base = jail_images(layout, jail)
    try:
        generation = os.readlink(f"{base}/current")
    except OSError:
        return None
    path = f"{base}/{generation}"
    return path if _GENERATION.match(generation) and os.path.isdir(path) else None


def read_manifest(layout: Layout, jail: str, generation: str) -> Manifest | None:
    """Return the manifest of a generation, or None if it is absent, damaged or not root's alone."""
    try:
        manifest = from_json(_manifest_text(layout, jail, generation))
    except (HostError, ImageError, UnicodeDecodeError):
        return None
    return manifest if manifest.generation == generation else None


def _manifest_text(layout: Layout, jail: str, generation: str) -> str:
    path = f"{jail_images(layout, jail)}/{generation}.json"
    return fs.read_trusted(path, _MANIFEST_LIMIT, trusted_root=layout.root or None).decode()


def ensure_image(
    layout: Layout,
    jail: str,
    needs: Sequence[tuple[str, ImageNeeds]],
    *,
    extra_dirs: Sequence[str] = (),
    trusted_root: str | None = None,
    waiting: Callable[[int], None] | None = None,
) -> BuildResult:
    """Make the jail's current image hold what ``needs`` name, as this host has it now, and nothing else.

    Nothing is read but file status when neither the needs nor the host have changed.  Builds of one jail wait for
    each other; ``waiting`` is told the process id of the one that builds.  ``extra_dirs``, ``trusted_root``: see
    :func:`jailssh.image.resolve.resolve`.  Raises :class:`ImageError`, :class:`HostError` or
    :class:`ManyErrors`; the old image stays current then.
    """
    inputs = inputs_digest([tuple(needs), tuple(extra_dirs), trusted_root])
    if done := _up_to_date(layout, jail, inputs):
        return done
    fs.ensure_dir(layout.images, 0o755)
    base = jail_images(layout, jail)
    fs.ensure_dir(base, 0o755)
    with fs.lock(f"{base}/{_LOCK}", waiting), _open(base) as dirfd:
        if done := _up_to_date(layout, jail, inputs):
            return done
        _sweep(dirfd, base)
        for _ in range(_RETRIES):
            with suppress(SourceChangedError):
                return _build(layout, jail, dirfd, needs, extra_dirs, trusted_root, inputs)
        return _build(layout, jail, dirfd, needs, extra_dirs, trusted_root, inputs)


def _up_to_date(layout: Layout, jail: str, inputs: str) -> BuildResult | None:
    path = current_image(layout, jail)
    if path is None:
        return None
    generation = os.path.basename(path)
    try:
        known = summary_from_json(_manifest_text(layout, jail, generation))
    except (HostError, ImageError, UnicodeDecodeError):
        return None
    if known.generation != generation or known.inputs != inputs or not unchanged(known.watch):
        return None
    return BuildResult(path, generation, False, known.count, known.bytes, known.notes)


@contextmanager
def _open(base: str) -> Iterator[int]:
    fd = fs.open_dir(base, strict=False)
    try:
        yield fd
    finally:
        os.close(fd)


def _sweep(dirfd: int, base: str) -> None:
    """Remove what an interrupted build or prune has left; the lock is held."""
    for name in os.listdir(dirfd):
        if name.startswith((_NEW, _DEAD)):
            try:
                fs.remove_tree(dirfd, name)
            except OSError as error:
                raise fs.failed("remove the unfinished", f"{base}/{name}", error) from error


def _build(
    layout: Layout,
    jail: str,
    dirfd: int,
    needs: Sequence[tuple[str, ImageNeeds]],
    extra_dirs: Sequence[str],
    trusted_root: str | None,
    inputs: str,
) -> BuildResult:
    # Imported here: the ELF reader costs more time than a whole run that finds nothing to do.
    from jailssh.image.resolve import resolve

    base = jail_images(layout, jail)
    old_path = current_image(layout, jail)
    old = read_manifest(layout, jail, os.path.basename(old_path)) if old_path else None
    manifest = resolve(needs, extra_dirs=extra_dirs, trusted_root=trusted_root, known=_digests(old))
    manifest = replace(manifest, inputs=inputs)
    generation = manifest.generation
    path = f"{base}/{generation}"
    if os.path.isdir(path):
        manifest = _describe(dirfd, manifest)
        _write_manifest(base, manifest)
    else:
        manifest = _stage(base, dirfd, manifest, old, old_path)
    if path != old_path:
        try:
            fs.atomic_symlink_at(dirfd, "current", generation)
        except OSError as error:
            raise fs.failed("switch", f"{base}/current", error) from error
    changed = path != old_path
    return BuildResult(path, generation, changed, len(manifest.entries), manifest.bytes, manifest.notes)


def _digests(old: Manifest | None) -> dict[tuple[str, Stamp], str]:
    return {(entry.source, entry.stamp): entry.digest for entry in old.entries if entry.stamp} if old else {}


def _write_manifest(base: str, manifest: Manifest) -> None:
    fs.atomic_write(f"{base}/{manifest.generation}.json", manifest.to_json().encode(), 0o644)


def _describe(dirfd: int, manifest: Manifest) -> Manifest:
    """Return the manifest of a tree that exists already; one with this name has this content."""
    from jailssh.image.build import with_cache

    root = fs.open_dir_at(dirfd, manifest.generation)
    try:
        return with_cache(root, manifest)
    finally:
        os.close(root)


def _stage(base: str, dirfd: int, manifest: Manifest, old: Manifest | None, old_path: str | None) -> Manifest:
    """Write the tree beside the others and give it its name; the manifest comes first, so no tree is without one."""
    from jailssh.image.build import Previous, write_tree

    staging = f"{_NEW}{os.getpid()}-{secrets.token_hex(8)}"
    fds: list[int] = []
    try:
        fds.append(tree.make_staging(dirfd, staging))
        previous = None
        if old and old_path:
            fds.append(fs.open_dir_at(dirfd, os.path.basename(old_path)))
            previous = Previous(old, fds[-1])
        manifest = write_tree(fds[0], f"{base}/{staging}", manifest, previous)
        _write_manifest(base, manifest)
        tree.publish(dirfd, staging, manifest.generation)
    except OSError as error:
        raise fs.failed("build image in", base, error) from error
    finally:
        for fd in fds:
            os.close(fd)
        # Where this fails too, the next build removes it.
        with suppress(OSError):
            fs.remove_tree(dirfd, staging)
    return manifest


def prune(layout: Layout, jail: str, in_use: Collection[str] = ()) -> list[str]:
    """Remove the jail's generations that nothing uses and return their names.

    Kept are the current one, those in ``in_use`` (host paths, as plans have them), and those mounted anywhere.
    """
    base = jail_images(layout, jail)
    if not os.path.isdir(base):
        return []
    with fs.lock(f"{base}/{_LOCK}"), _open(base) as dirfd:
        _sweep(dirfd, base)
        current = current_image(layout, jail)
        keep = {os.path.basename(path) for path in in_use} | mounted(os.path.basename(base))
        if current is None:
            return []
        keep.add(os.path.basename(current))
        names = os.listdir(dirfd)
        gone = sorted(name for name in names if _GENERATION.match(name) and name not in keep)
        try:
            for name in gone:
                tree.retire(dirfd, name, f"{_DEAD}{secrets.token_hex(8)}")
        except OSError as error:
            raise fs.failed("prune", base, error) from error
        for name in names:
            stem = name.removesuffix(".json")
            if stem != name and stem not in keep:
                fs.remove_file(f"{base}/{name}")
    return gone


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


def mounted(jail: str) -> set[str]:
    """Return the generations of the jail that any process has mounted, in whatever mount namespace (proc(5))."""
    seen: set[str] = set()
    live: set[str] = set()
    mark = re.compile(rf"/{re.escape(jail)}/([0-9a-f]{{20}})(?:/|\Z)")
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with _vanishing():
            namespace = _mount_namespace(pid)
            if namespace in seen:
                continue
            with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
                for line in file:
                    fields = line.split(" ", 5)
                    if len(fields) < 5:
                        raise HostError(f"/proc/{pid}/mountinfo", f"a line that is not understood: {escape(line, 200)}")
                    live.update(match[1] for field in fields[3:5] if (match := mark.search(field)))
            seen.add(namespace)
    return live


def _mount_namespace(pid: str) -> str:
    """Return what names the mount namespace of a process; where that may not be asked, each has its own."""
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except PermissionError:
        return pid
