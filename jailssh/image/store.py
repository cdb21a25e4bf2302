"""The image of a jail: ``images/<jail>/current`` leads to one tree of the pool (:mod:`jailssh.image.pool`).

A generation is never changed once it has its name.  Whatever is killed at whatever point, ``current`` leads to a
whole tree; what was left unfinished has a name beginning with ``.`` and is removed by the next build.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass, replace

from jailssh.closure.elf_cache import ElfCache, facts_path
from jailssh.closure.errors import ImageError, SourceChangedError
from jailssh.closure.manifest import Entry, EntryKind, Manifest, Summary, inputs_digest, without_made
from jailssh.closure.sources import HostSources, Seen, unchanged
from jailssh.core.errors import UsageError
from jailssh.core.names import HostPath, JailPath, escape
from jailssh.files import blobs, fs, tree
from jailssh.host.paths import Layout
from jailssh.image import pool
from jailssh.image.history import BUILT, PULLED, ROLLBACK, add_step, drop_steps, jail_dir, read_history
from jailssh.plugin.api import ImageNeeds

_LOCK = ".lock"
_NEW = ".new-"
_ROOM = ".carried"
_RETRIES = 3

Verify = Callable[[Manifest], None]
"""Looks at the manifest of an image before a jail gets it; raises if it cannot serve."""
Settle = Callable[[Manifest], Manifest]


@dataclass(frozen=True)
class BuildResult:
    """What :func:`ensure_image` leaves: the image's host path and generation; ``changed`` if it is not the old one."""

    path: HostPath
    generation: str
    _: KW_ONLY
    changed: bool
    entries: int
    bytes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What an image shall hold; see :func:`ensure_image`."""

    needs: tuple[tuple[str, ImageNeeds], ...]
    extra_dirs: tuple[JailPath, ...] = ()
    trusted_root: HostPath | None = None

    @property
    def inputs(self) -> str:
        """The digest that tells one set of needs from another."""
        return inputs_digest([self.needs, self.extra_dirs, self.trusted_root])


def new_host(layout: Layout) -> HostSources:
    """Return the host as it will be seen from now on, with what earlier runs have remembered of its files."""
    return HostSources(lambda: ElfCache(facts_path(layout), layout.root or None))


def current_image(layout: Layout, jail: str) -> HostPath | None:
    """Return the host path of the jail's current image (the tree itself, not a link), or None."""
    jail_dir(layout, jail)
    generation = pool.current_generation(layout, jail)
    return pool.tree_path(layout, generation) if generation else None


def ensure_image(
    layout: Layout,
    jail: str,
    needs: Sequence[tuple[str, ImageNeeds]],
    *,
    extra_dirs: Sequence[JailPath] = (),
    trusted_root: HostPath | None = None,
    waiting: Callable[[int], None] | None = None,
    verify: Verify | None = None,
    unpin: bool = False,
    host: HostSources | None = None,
) -> BuildResult:
    """Make the jail's current image hold what ``needs`` name, as this host has it now, and nothing else.

    Nothing is read but file status when neither the needs nor the host have changed.  Builds of one jail wait for
    each other; ``waiting`` is told the process id of the one that builds.  ``extra_dirs``, ``trusted_root``: see
    :func:`jailssh.image.resolve.resolve`.  A jail that was pinned by :func:`rollback` keeps its image unless
    ``unpin``.  ``host``: what several calls share of what they read.  Raises :class:`ImageError`,
    :class:`HostError`, :class:`ManyErrors` or what ``verify`` raises; the old image stays current then.
    """
    wanted = Wanted(tuple(needs), tuple(extra_dirs), trusted_root)
    if not unpin and read_history(layout, jail).pinned and (kept := _pinned(layout, jail, wanted, verify)):
        return kept
    seen = host.seen if host else None
    if (done := _up_to_date(layout, jail, wanted.inputs, seen)) and not read_history(layout, jail).pinned:
        return done
    with pool.opened(layout) as trees, _jail(layout, jail, waiting) as dirfd:
        if done := _up_to_date(layout, jail, wanted.inputs):
            add_step(layout, jail, done.generation, BUILT)
            return done
        _sweep(layout, jail, dirfd)
        host = host or new_host(layout)
        builder = _Builder(layout, jail, dirfd, trees, wanted, verify, host)
        for _ in range(_RETRIES):
            with suppress(SourceChangedError):
                return builder.build()
            host.forget()
        return builder.build()


def rollback(layout: Layout, jail: str, generation: str | None = None) -> str:
    """Make an older generation of the jail current and pin it; return its name.

    None: the one that was current before.  :class:`UsageError` if there is none.
    """
    current = pool.current_generation(layout, jail)
    known = [each for each in read_history(layout, jail).generations() if each != current]
    if current is None and not known:
        raise UsageError(f"jail {jail}", "does not have an image", hint="jailssh image list")
    there = [each for each in known if os.path.isdir(pool.tree_path(layout, each))]
    target = generation or (there[0] if there else None)
    if target is None or target not in there:
        what = f"generation {escape(generation)}" if generation else "an older generation"
        raise UsageError(f"jail {jail}", f"{what} does not exist", hint=", ".join(there))
    with _jail(layout, jail) as dirfd, pool.locked(layout):
        if not os.path.isdir(pool.tree_path(layout, target)):
            raise UsageError(f"jail {jail}", f"generation {target} has just been removed")
        # The pin stands first: an update that comes between must not undo what is asked for.
        add_step(layout, jail, target, ROLLBACK, pinned=True)
        _switch(layout, jail, dirfd, target)
    return target


def receive(
    layout: Layout,
    jail: str,
    manifest: Manifest,
    digest: str,
    wanted: Wanted,
    verify: Verify | None = None,
    settle: Settle | None = None,
) -> BuildResult:
    """Make an image that another host has made the jail's current one, and hold it there.

    ``manifest``: what :func:`jailssh.image.unpack.unpack` gave, or that of a tree of this host.  ``digest``: what it
    must be, by somebody who is believed; nothing of the content is looked at or stays if it is not.
    ``settle``: makes of the manifest the one that is kept.  :class:`ImageError` for another image, and where it
    cannot serve ``wanted``; the old one stays current.
    """
    if manifest.digest != digest:
        raise ImageError("image", f"has the digest {manifest.digest}, and not the one that is expected: {digest}")
    # A name has the beginning of the digest only.
    if (known := pool.read_manifest(layout, manifest.generation)) and known.digest != digest:
        raise ImageError(f"generation {manifest.generation}", "is another image here")
    _require(manifest, wanted, verify)
    with pool.opened(layout) as trees, _jail(layout, jail) as dirfd:
        _sweep(layout, jail, dirfd)
        return _Builder(layout, jail, dirfd, trees, wanted, None, new_host(layout), manifest, settle).build()


@contextmanager
def room(layout: Layout) -> Iterator[tuple[int, HostPath]]:
    """Give an empty directory for what is pushed or pulled; what an interrupted one has left there goes first."""
    fs.ensure_dir(layout.images, 0o755)
    place = HostPath(f"{layout.images}/{_ROOM}")
    with fs.lock(f"{place}.lock"):
        above = fs.open_dir(layout.images, strict=False)
        try:
            fs.remove_tree(above, _ROOM)
            fd = tree.make_staging(above, _ROOM)
            try:
                yield fd, place
            finally:
                os.close(fd)
                fs.remove_tree(above, _ROOM)
        finally:
            os.close(above)


def forget(layout: Layout, jail: str) -> None:
    """Remove a jail's link and history; its trees go with the next prune unless something else needs them."""
    with _jail(layout, jail), pool.locked(layout):
        above = fs.open_dir(layout.images, strict=False)
        try:
            tree.retire(above, jail, f".dead-{secrets.token_hex(8)}")
        except OSError as error:
            raise fs.failed("remove", jail_dir(layout, jail), error) from error
        finally:
            os.close(above)


def drop(layout: Layout, generation: str) -> None:
    """Let no jail go back to a generation any more; it goes with the next prune unless somebody still uses it."""
    for jail in pool.jails_with_images(layout):
        with _jail(layout, jail):
            drop_steps(layout, jail, generation)


@contextmanager
def _jail(layout: Layout, jail: str, waiting: Callable[[int], None] | None = None) -> Iterator[int]:
    base = jail_dir(layout, jail)
    fs.ensure_dir(base, 0o755)
    with fs.lock(f"{base}/{_LOCK}", waiting):
        fd = fs.open_dir(base, strict=False)
        try:
            yield fd
        finally:
            os.close(fd)


def _switch(layout: Layout, jail: str, dirfd: int, generation: str) -> None:
    try:
        fs.atomic_symlink_at(dirfd, "current", pool.link_to(generation))
    except OSError as error:
        raise fs.failed("switch", f"{jail_dir(layout, jail)}/current", error) from error


def _pinned(layout: Layout, jail: str, wanted: Wanted, verify: Verify | None) -> BuildResult | None:
    """Return the image that the jail is pinned to, if it is there; raise if it cannot serve these needs."""
    generation = pool.current_generation(layout, jail)
    manifest = pool.read_manifest(layout, generation) if generation else None
    if generation is None or manifest is None:
        return None
    try:
        _require(manifest, wanted, verify)
    except ImageError as error:
        raise ImageError(
            f"jail {jail}", f"is held at generation {generation}, but {error}", hint=f"jailssh update {jail}"
        ) from error
    path = pool.tree_path(layout, generation)
    return BuildResult(
        path, generation, changed=False, entries=len(manifest.entries), bytes=manifest.bytes, notes=manifest.notes
    )


def _require(manifest: Manifest, wanted: Wanted, verify: Verify | None) -> None:
    """Raise where an image that was not made for these needs cannot serve them."""
    for path in wanted.extra_dirs:
        if not find(manifest, path):
            raise ImageError(escape(path), "the image does not have this directory")
    if verify:
        verify(manifest)


def _up_to_date(layout: Layout, jail: str, inputs: str, seen: Seen | None = None) -> BuildResult | None:
    generation = pool.current_generation(layout, jail)
    known = pool.read_summary(layout, generation, inputs) if generation else None
    if generation is None or known is None or not unchanged(known.watch, seen):
        return None
    return _result(layout, known, False)


def _result(layout: Layout, known: Summary | Manifest, changed: bool) -> BuildResult:
    count = known.count if isinstance(known, Summary) else len(known.entries)
    path = pool.tree_path(layout, known.generation)
    return BuildResult(path, known.generation, changed=changed, entries=count, bytes=known.bytes, notes=known.notes)


def adopt(layout: Layout, jail: str, made: BuildResult) -> BuildResult | None:
    """Give the jail the image that was just made, or found up to date, for the same needs; None if it has gone."""
    with _jail(layout, jail) as dirfd, pool.locked(layout):
        if not os.path.isdir(made.path):
            return None
        changed = pool.current_generation(layout, jail) != made.generation
        if changed:
            _switch(layout, jail, dirfd, made.generation)
        add_step(layout, jail, made.generation, BUILT)
    return replace(made, changed=changed)


def _sweep(layout: Layout, jail: str, dirfd: int) -> None:
    """Remove what an interrupted build has left; the jail's lock is held."""
    for name in os.listdir(dirfd):
        if name.startswith(_NEW):
            try:
                fs.remove_tree(dirfd, name)
            except OSError as error:
                raise fs.failed("remove the unfinished", f"{jail_dir(layout, jail)}/{name}", error) from error


def find(manifest: Manifest | Mapping[JailPath, Entry], path: JailPath) -> Entry | None:
    """Return the entry at the end of ``path`` in the image, links followed; None if there is none."""
    rows = {entry.path: entry for entry in manifest.entries} if isinstance(manifest, Manifest) else manifest
    todo, at = path.split("/")[::-1], ""
    for _ in range(256):
        while todo and todo[-1] in ("", "."):
            todo.pop()
        if not todo:
            return rows.get(JailPath(at))
        part = todo.pop()
        if part == "..":
            at = os.path.dirname(at).rstrip("/")
            continue
        entry = rows.get(JailPath(f"{at}/{part}"))
        if entry is None:
            return None
        if entry.kind == EntryKind.LINK:
            at = "" if entry.target.startswith("/") else at
            todo += entry.target.split("/")[::-1]
        else:
            at = entry.path
    return None


class _Builder:
    """One build of one jail; its lock is held."""

    def __init__(
        self,
        layout: Layout,
        jail: str,
        dirfd: int,
        trees: int,
        wanted: Wanted,
        verify: Verify | None,
        host: HostSources,
        pulled: Manifest | None = None,
        settle: Settle | None = None,
    ) -> None:
        self._layout = layout
        self._jail = jail
        self._dirfd = dirfd
        self._trees = trees
        self._wanted = wanted
        self._verify = verify
        self._host = host
        self._pulled = pulled
        self._settle = settle

    def build(self) -> BuildResult:
        """Resolve the needs, build the tree unless it is there, verify, switch."""
        layout, old = self._layout, pool.current_generation(self._layout, self._jail)
        manifest = self._resolve()
        generation = manifest.generation
        staging = f"{_NEW}{os.getpid()}-{secrets.token_hex(8)}"
        try:
            if not os.path.isdir(pool.tree_path(layout, generation)):
                manifest = self._stage(staging, manifest)
            if self._verify:
                self._verify(manifest)
            if self._settle:
                manifest = self._settle(manifest)
            with pool.locked(layout):
                self._finish(staging, manifest)
                if self._pulled:
                    # The pin stands first, as where one goes back: no update may undo what is asked for.
                    add_step(layout, self._jail, generation, PULLED, pinned=True)
                if generation != old:
                    _switch(layout, self._jail, self._dirfd, generation)
        except OSError as error:
            raise fs.failed("build image in", jail_dir(layout, self._jail), error) from error
        finally:
            # Where this fails too, the next build removes it.
            with suppress(OSError):
                fs.remove_tree(self._dirfd, staging)
        if not self._pulled:
            add_step(layout, self._jail, generation, BUILT)
        return _result(layout, manifest, generation != old)

    def _resolve(self) -> Manifest:
        # Imported here: it costs more time than a whole run that finds nothing to do.
        from jailssh.image.resolve import resolve

        if self._pulled:
            return self._pulled
        wanted = self._wanted
        manifest = resolve(wanted.needs, extra_dirs=wanted.extra_dirs, sources=self._host.sources(wanted.trusted_root))
        self._host.save()
        return replace(manifest, inputs=wanted.inputs)

    def _stage(self, staging: str, manifest: Manifest) -> Manifest:
        """Write the tree beside the jail's link, sharing what any tree has."""
        from jailssh.image.build import Previous, write_tree

        store = fs.open_dir_at(self._trees, pool.OBJECTS)
        try:
            root = tree.make_staging(self._dirfd, staging)
            try:
                files = {entry.path: name for entry in manifest.entries if (name := object_name(entry))}
                kept = tuple(
                    each._replace(path=JailPath(f"/{files[each.path]}"))
                    for each in manifest.entries
                    if each.path in files
                )
                shared = Previous(replace(manifest, entries=kept), store, self._host.checked)
                path = HostPath(f"{jail_dir(self._layout, self._jail)}/{staging}")
                manifest = write_tree(root, path, manifest, shared)
                blobs.keep(root, store, (row for row in files.items() if row[0] not in shared.taken))
            finally:
                os.close(root)
        finally:
            os.close(store)
        return manifest

    def _finish(self, staging: str, manifest: Manifest) -> None:
        """Give the tree its name; the manifest comes first, so no tree is without one.  The pool's lock is held."""
        from jailssh.image.build import with_cache

        generation = manifest.generation
        staged = os.path.isdir(f"{jail_dir(self._layout, self._jail)}/{staging}")
        there = os.path.isdir(pool.tree_path(self._layout, generation))
        if not there and not staged:
            raise SourceChangedError(f"generation {generation}", "was removed while it was checked")
        if there:
            root = fs.open_dir_at(self._trees, generation)
            try:
                manifest = with_cache(root, without_made(manifest))
            finally:
                os.close(root)
            manifest = _as_copied(manifest, pool.read_manifest(self._layout, generation))
        path = pool.manifest_path(self._layout, generation, manifest.inputs)
        fs.atomic_write(path, manifest.to_json().encode(), 0o644)
        if not there:
            tree.publish(self._dirfd, staging, generation, self._trees)


def _as_copied(manifest: Manifest, known: Manifest | None) -> Manifest:
    """Return the manifest of a tree that is there with the stamps of what its files were copied from (``known``).

    What they were copied from may be written anew since, with the same content: the tree keeps the times from before.
    """
    stamps = {entry.path: entry.stamp for entry in known.entries} if known else {}
    entries = tuple(
        entry._replace(stamp=stamps.get(entry.path) or entry.stamp) if entry.stamp else entry
        for entry in manifest.entries
    )
    return replace(manifest, entries=entries)


def object_name(entry: Entry) -> str:
    """Return the name in the store of objects for a file or a symbolic link, "" for everything else."""
    if entry.kind == EntryKind.LINK:
        return blobs.name_of_link(entry.target)
    if entry.kind != EntryKind.FILE or not entry.stamp:
        return ""
    return blobs.name_of(entry.digest, entry.mode, entry.stamp[2], entry.size)
