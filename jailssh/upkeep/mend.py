"""One damaged pool made right from what this host has: shared files first, then every tree that has them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import partial

from jailssh.closure.manifest import Entry, EntryKind, Manifest, without_made
from jailssh.core.names import JailPath, directory_of, escape
from jailssh.files import beneath, blobs, fs
from jailssh.files.editor import TreeEditor
from jailssh.host.paths import Layout
from jailssh.image import pool
from jailssh.image.build import LD_CACHE, LD_CONF, make_cache, with_cache
from jailssh.image.store import object_name
from jailssh.upkeep.audit import POOL, ROOT, ROOT_MODE, Damage, DamageKind, Fault, entry_fault, object_fault


class Mender:
    """Mends what an audit of the pool, open as ``trees``, found.  ``room``: an empty directory of the pool's.

    ``touched``: the generations that it changes.  ``errors``: what cannot be made right, for people.
    """

    def __init__(self, layout: Layout, trees: int, room: int, damage: Collection[Damage]) -> None:
        self._layout = layout
        self._trees = trees
        self._room = room
        self._objects = {one.path for one in damage if one.where == POOL}
        self._hit: dict[str, dict[JailPath, DamageKind]] = {}
        for one in damage:
            if one.where != POOL and one.kind != DamageKind.IMAGE:
                self._hit.setdefault(one.where, {})[JailPath(one.path)] = one.kind
        self._places: dict[str, list[str]] = {}
        self._sources: dict[str, set[str]] = {}
        self._targets: dict[str, str] = {}
        self.touched: set[str] = set(self._hit)
        self.errors: list[str] = []

    def run(self) -> None:
        """Do it; OSError."""
        for generation in pool.generations(self._layout):
            self._look_for(generation)
        self._objects |= self._places.keys()
        store = fs.open_dir_at(self._trees, pool.OBJECTS)
        try:
            for name in sorted(self._objects):
                self._mend_object(store, name)
            for generation in sorted(self.touched):
                with pool.locked(self._layout):
                    self._mend_tree(store, generation)
        finally:
            os.close(store)

    def faults(self) -> list[Damage]:
        """Return what is still wrong with shared files; OSError."""
        found = []
        store = fs.open_dir_at(self._trees, pool.OBJECTS)
        try:
            for name in sorted(self._objects):
                kind, why = _fault(store, name)
                found += [Damage(POOL, name, kind, why)] if kind and kind != DamageKind.MISSING else []
        finally:
            os.close(store)
        return found

    def _look_for(self, generation: str) -> None:
        """Find the places of what has to be made anew, and where its content may come from."""
        manifest = pool.read_manifest(self._layout, generation)
        for entry in manifest.entries if manifest else ():
            name = object_name(entry)
            if name and (name in self._objects or self._is_hit(generation, entry.path)):
                self.touched.add(generation)
                self._places.setdefault(name, []).append(f"{generation}{entry.path}")
                self._sources.setdefault(name, set()).update([entry.source] if entry.source else [])
                self._targets[name] = entry.target

    def _is_hit(self, generation: str, path: JailPath) -> bool:
        """True if something was wrong at ``path`` or with a directory on the way."""
        hit = self._hit.get(generation)
        while hit and path != ROOT:
            if path in hit:
                return True
            path = directory_of(path)
        return False

    def _mend_object(self, store: int, name: str) -> None:
        """Put a good file under its name into the store; if there is none to be had, at least no bad one is there."""
        kind, _ = _fault(store, name)
        if not kind:
            return
        made = name in self._places and self._make(store, name)
        with pool.locked(self._layout):
            if made:
                # The name in the room stays until all is done: a file with one name only may be cleared up.
                blobs.replace(self._room, name, store, name)
            elif kind != DamageKind.MISSING:
                fs.remove_tree(store, name)

    def _make(self, store: int, name: str) -> bool:
        expected = blobs.expected_of(name)
        if expected is None:
            blobs.link_in(self._room, name, self._targets[name])
            return True
        for opening in self._candidates(store, name, expected.digest):
            with suppress(OSError):
                source = opening()
                try:
                    if blobs.copy_in(self._room, name, source, expected):
                        return True
                finally:
                    os.close(source)
        where = ", ".join(sorted(map(escape, self._sources[name]))) or name
        self.errors.append(f"{where}: the host no longer has this content")
        return False

    def _candidates(self, store: int, name: str, digest: str) -> Iterator[Callable[[], int]]:
        """Yield what opens files that may have the content; by its digest, it does not matter whose they are."""
        for other in sorted(one for one in os.listdir(store) if one.startswith(f"{digest}-")):
            yield partial(fs.open_plain_at, store, other)
        for place in self._places[name]:
            yield partial(self._open, place)
        for source in sorted(self._sources[name]):
            yield partial(fs.open_plain, source)

    def _open(self, path: str) -> int:
        head, name = os.path.split(path)
        above = beneath.open_beneath(self._trees, head)
        try:
            return fs.open_plain_at(above, name)
        finally:
            os.close(above)

    def _mend_tree(self, store: int, generation: str) -> None:
        """Mend one tree, whose shared files are good again where that was possible; the pool's lock is held."""
        hit = self._hit.get(generation, {})
        try:
            root = fs.open_dir_at(self._trees, generation)
        except FileNotFoundError:
            return  # It was removed meanwhile.
        editor = TreeEditor(root, owned=True)
        try:
            if ROOT in hit:
                self._guard(generation, ROOT, partial(blobs.set_directory, root, ROOT_MODE))
            for path in sorted(path for path, kind in hit.items() if kind == DamageKind.EXTRA):
                self._guard(generation, path, partial(editor.clear, path))
            manifest = pool.read_manifest(self._layout, generation)
            for entry in manifest.entries if manifest else ():
                if object_name(entry) in self._objects or self._is_hit(generation, entry.path):
                    self._guard(generation, entry.path, partial(_mend, editor, store, entry))
            if manifest:
                # Without its configuration the cache is the host's own, of a live root, and a shared file.
                if self._is_hit(generation, LD_CACHE) and manifest.get(LD_CONF):
                    self._make_cache(root, generation)
                self._drop_manifests(generation)
        finally:
            editor.close()
            os.close(root)

    def _guard(self, generation: str, path: JailPath, act: Callable[[], object]) -> None:
        """Do ``act``; what fails does not keep the rest from being mended."""
        try:
            act()
        except OSError as error:
            mounted = error.errno in (errno.EXDEV, errno.EBUSY)
            why = "is a mount point" if mounted else (error.strerror or str(error)).lower()
            self.errors.append(f"{generation}: {escape(path)}: {why}")

    def _make_cache(self, root: int, generation: str) -> None:
        """Make the loader's cache anew; each manifest of the tree says what it is."""
        make_cache(root, pool.tree_path(self._layout, generation))
        for name, manifest in pool.manifests(self._layout, generation):
            if manifest:
                self._write(name, with_cache(root, without_made(manifest)))

    def _write(self, name: str, manifest: Manifest) -> None:
        fs.atomic_write_at(self._trees, name, manifest.to_json().encode(), 0o644)

    def _drop_manifests(self, generation: str) -> None:
        """Remove damaged manifests where a good one is there: the next build writes what it needs."""
        for name in [name for name, manifest in pool.manifests(self._layout, generation) if manifest is None]:
            fs.remove_tree(self._trees, name)


def _fault(store: int, name: str) -> Fault:
    try:
        return object_fault(store, name, os.stat(name, dir_fd=store, follow_symlinks=False))
    except FileNotFoundError:
        return DamageKind.MISSING, "is missing"


def _mend(editor: TreeEditor, store: int, entry: Entry) -> None:
    """Make one path what its entry says, unless it is; OSError."""
    path, name = entry.path, object_name(entry)
    info = editor.look(path)
    if info is not None and not (entry.kind == EntryKind.DIR and stat.S_ISDIR(info.st_mode)):
        right = {info.st_ino: name} if name and _is_same(store, name, info) else {}
        if not entry_fault(editor.parent(path), entry, info, right)[0] and (
            not name or right or entry.kind == EntryKind.LINK
        ):
            return
        if stat.S_ISDIR(info.st_mode) != (entry.kind == EntryKind.DIR):
            editor.clear(path)
    if entry.kind == EntryKind.DIR:
        editor.directory(path, entry.mode, 0, 0)
        fd = beneath.open_beneath(editor.parent(path), os.path.basename(path))
        try:
            blobs.set_directory(fd, entry.mode)
        finally:
            os.close(fd)
    elif entry.kind == EntryKind.LINK:
        editor.link(path, entry.target)
    elif entry.kind == EntryKind.TEXT:
        editor.text(path, entry.text.encode("utf-8", "surrogateescape"), entry.mode, 0, 0)
    elif name and not _fault(store, name)[0]:
        _put(editor, store, name, path)


def _is_same(store: int, name: str, info: os.stat_result) -> bool:
    """True if a file is the one that has this name in the store, which is good."""
    with suppress(FileNotFoundError):
        return os.stat(name, dir_fd=store, follow_symlinks=False).st_ino == info.st_ino and not _fault(store, name)[0]
    return False


def _put(editor: TreeEditor, store: int, name: str, path: JailPath) -> None:
    """Put a shared file into its place in a tree, as a copy where it has all the names that it can have."""
    try:
        editor.share(path, store, name)
    except OSError as error:
        expected = blobs.expected_of(name)
        if error.errno != errno.EMLINK or expected is None:
            raise
        source = fs.open_plain_at(store, name)
        try:
            editor.file(path, source, os.fstat(source), expected.mode, 0, 0, expected.mtime_ns)
        finally:
            os.close(source)
