"""From a manifest to a tree: written in a staging directory, nothing visible before it is whole."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass, field, replace

from jailssh.closure.errors import ImageError, SourceChangedError
from jailssh.closure.manifest import Entry, EntryKind, Manifest
from jailssh.closure.sources import open_stamped, stamp_of
from jailssh.core.names import HostPath, JailPath, escape
from jailssh.files import beneath, fs, tree
from jailssh.host import process

LD_CONF = JailPath("/etc/ld.so.conf")
LD_CACHE = JailPath("/etc/ld.so.cache")
_LD_AUX = "ldconfig"
_LDCONFIG_SECONDS = 60


@dataclass(frozen=True)
class Previous:
    """A finished tree whose files may be shared: its manifest and an open descriptor of its root.

    ``checked``: what this run knows of their content.  ``taken`` gets the paths in the new tree that share one of them.
    """

    manifest: Manifest
    root: int
    checked: tree.Checked = field(default_factory=dict)
    taken: set[JailPath] = field(default_factory=set)


def write_tree(root: int, path: HostPath, manifest: Manifest, previous: Previous | None) -> Manifest:
    """Fill the empty directory ``root`` (its host path is ``path``) and return the manifest of what is there now.

    A file with the content, mode and time of one in ``previous``, or of one written before it, becomes a hard link
    to that, a symbolic link with the same text likewise.  Everything is on disk when this returns.  Raises
    :class:`SourceChangedError` when a source is not what the manifest says, :class:`HostError` for what the file
    system refuses.
    """
    shared: dict[tuple[str, int, int], tree.SharedFile] = {}
    for entry in previous.manifest.entries if previous else ():
        _share(shared, entry, previous.root if previous else -1, entry.digest)
    writer = tree.TreeWriter(root, previous.checked if previous else None)
    try:
        for entry in manifest.entries:
            old = _write(writer, entry, shared)
            if previous and old and old.root == previous.root:
                previous.taken.add(entry.path)
            _share(shared, entry, root)
    except OSError as error:
        raise fs.failed("build image in", path, error) from error
    finally:
        writer.close()
    if writer.damaged:
        manifest = replace(manifest, notes=(*manifest.notes, *map(_told, writer.damaged)))
    if manifest.get(LD_CONF):
        make_cache(root, path)
        manifest = with_cache(root, manifest)
    # One syncfs(2) for all files is much cheaper than an fsync(2) for each.
    beneath.sync_file_system(root)
    return manifest


def _told(path: str) -> str:
    return (
        f"{escape(path)} is damaged in an older image and was copied again; to repair it: jailssh image verify --repair"
    )


def _key(entry: Entry) -> tuple[str, int, int]:
    if entry.kind == EntryKind.LINK:
        return (f"-> {entry.target}", 0, 0)
    return (entry.digest, entry.mode, entry.stamp[2] if entry.stamp else 0)


def _share(shared: dict[tuple[str, int, int], tree.SharedFile], entry: Entry, root: int, digest: str = "") -> None:
    if entry.kind == EntryKind.LINK or (entry.kind == EntryKind.FILE and entry.stamp):
        mtime = entry.stamp[2] if entry.stamp else 0
        file = tree.SharedFile(root, entry.path, entry.mode, entry.size, mtime, digest)
        shared.setdefault(_key(entry), file)


def _write(
    writer: tree.TreeWriter, entry: Entry, shared: dict[tuple[str, int, int], tree.SharedFile]
) -> tree.SharedFile | None:
    """Write one entry and return the file that it shares, None if it has one of its own."""
    if entry.kind == EntryKind.DIR:
        writer.directory(entry.path, entry.mode)
    elif entry.kind == EntryKind.LINK:
        old = shared.get(_key(entry))
        if old and writer.share_link(entry.path, old, entry.target):
            return old
        writer.link(entry.path, entry.target)
    elif entry.kind == EntryKind.TEXT:
        writer.text(entry.path, entry.text.encode("utf-8", "surrogateescape"), entry.mode)
    else:
        old = shared.get(_key(entry))
        if old and writer.share(entry.path, old):
            return old
        _copy(writer, entry)
    return None


def _copy(writer: tree.TreeWriter, entry: Entry) -> None:
    if entry.stamp is None:
        raise ImageError(escape(entry.path), "the manifest does not have a source for it")
    source = open_stamped(entry.source, entry.stamp)[0]
    try:
        writer.copy(entry.path, source, entry.mode, entry.stamp[2])
        after = stamp_of(os.fstat(source))
    finally:
        os.close(source)
    if after != entry.stamp:
        raise SourceChangedError(escape(entry.source), "changed while it was copied")


def make_cache(root: int, path: HostPath) -> None:
    """Make the loader's cache for libraries outside the loader's own directories (ldconfig(8))."""
    argv = ["ldconfig", "-X", "-r", path, "-f", LD_CONF, "-C", LD_CACHE]
    process.run(argv, timeout=_LDCONFIG_SECONDS)
    # ldconfig leaves a cache of its own work, which no jail needs.
    with suppress(FileNotFoundError):
        cache = fs.open_dir_at(root, "var/cache")
        try:
            fs.remove_tree(cache, _LD_AUX)
        finally:
            os.close(cache)


def with_cache(root: int, manifest: Manifest) -> Manifest:
    """Return the manifest with an entry for the loader's cache, if it wants one, as it is in the tree ``root``."""
    if not manifest.get(LD_CONF):
        return manifest
    try:
        etc = fs.open_dir_at(root, "etc")
        try:
            fd = os.open(os.path.basename(LD_CACHE), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=etc)
        finally:
            os.close(etc)
        with open(fd, "rb") as file:
            data = file.read()
            mode = os.fstat(fd).st_mode & 0o777
    except OSError as error:
        raise fs.failed("read the loader's cache", LD_CACHE, error) from error
    return manifest.with_entry(
        Entry(LD_CACHE, EntryKind.FILE, "ldconfig", mode, len(data), hashlib.sha256(data).hexdigest())
    )
