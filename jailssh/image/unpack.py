"""A layer of an OCI image as what an image is made of: a manifest, and one plain file for each content.

Nothing of it is believed: names are names only, no link is followed or made, owners and modes are those that images
have or it is refused.  What comes out is worth what its digest is, see :func:`jailssh.image.store.receive`.
"""

from __future__ import annotations

import os
import tarfile
from dataclasses import replace

from jailssh.closure.errors import ImageError
from jailssh.closure.manifest import (
    TEXT_MODE,
    Collector,
    Entry,
    EntryKind,
    Manifest,
    dir_entry,
    inputs_digest,
    link_entry,
    text_entry,
)
from jailssh.closure.sources import stamp_of
from jailssh.core.names import HostPath, JailPath, escape, joined, same_source
from jailssh.files import blobs, untar
from jailssh.image.build import LD_CACHE, LD_CONF
from jailssh.image.oci import Bounded, Layer, whole

_MAX_TEXT = 1 << 20
_MAX_TEXTS = 64 << 20
"""Bytes of all generated files, which are kept in memory."""
_MAX_TIME = 1 << 34
_ORIGIN = "pulled"
INPUTS = inputs_digest([_ORIGIN])
"""What stands for the needs of an image that was pulled: it is what it is, whatever this host has."""


def unpack(layer: Layer, room: int, place: HostPath, source: str) -> Manifest:
    """Return the manifest of a layer; its files lie in the empty directory ``room``, whose path is ``place``.

    ``source``: where it comes from, for people.  Raises :class:`ImageError` for all that no image of ours has,
    :class:`HostError`, OSError.
    """
    reader = _Reader(layer, room, place)
    with untar.decompressed(f"/proc/self/fd/{layer.fd}", "layer of the image", layer.program) as stream, whole():
        for tar, member in Bounded(stream).members():
            reader.take(tar, member)
    return Manifest(reader.entries(), (f"pulled from {escape(source)}",), INPUTS)


def settled(manifest: Manifest) -> Manifest:
    """Return the manifest of a pulled image without the places of its files, which do not stay; others as they are."""
    if manifest.inputs != INPUTS:
        return manifest
    entries = (e._replace(source=same_source(e.path)) if e.source else e for e in manifest.entries)
    return replace(manifest, entries=tuple(entries))


class _Reader:
    def __init__(self, layer: Layer, room: int, place: HostPath) -> None:
        self._texts = layer.texts
        self._left = _MAX_TEXTS
        self._room = room
        self._place = place
        self._out = Collector()
        self._files: dict[str, Entry] = {}
        self._cache: Entry | None = None

    def take(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Take one member: its entry, and its content if it has one."""
        path = JailPath(f"/{member.name}")
        self._refuse(path, member)
        if member.isdir():
            entry = dir_entry(path, _ORIGIN)
        elif member.issym():
            entry = link_entry(path, member.linkname, _ORIGIN)
        elif member.islnk():
            first = self._files.get(f"/{member.linkname}")
            if first is None:
                raise ImageError(escape(path), "is a second name of a file that does not come before it")
            entry = first._replace(path=path)
        else:
            entry = self._file(tar, member, path)
        if entry.kind == EntryKind.FILE:
            self._files[path] = entry
        if path == LD_CACHE:
            self._cache = entry
        elif path in self._out:
            raise ImageError(escape(path), "is in the image twice")
        else:
            self._out.add(entry)

    def entries(self) -> tuple[Entry, ...]:
        """Return all entries.  The loader's cache is made anew where an image has its list, and is no part of it."""
        if self._cache is not None and LD_CONF not in self._out:
            self._out.add(self._cache)
        return self._out.entries()

    def _refuse(self, path: JailPath, member: tarfile.TarInfo) -> None:
        if os.path.basename(path).startswith(".wh."):
            raise ImageError(escape(path), "is a whiteout, and an image of a jail has one layer")
        plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and member.sparse is None
        if not (plain or member.isdir() or member.issym() or member.islnk()):
            raise ImageError(escape(path), "is neither a file nor a directory nor a link")
        if (member.uid, member.gid) != (0, 0):
            raise ImageError(escape(path), f"belongs to {member.uid}:{member.gid}, expected root")
        if not member.issym() and member.mode & ~0o755:
            raise ImageError(escape(path), f"has mode {member.mode:04o}, which no image has")
        if not 0 <= member.mtime < _MAX_TIME or member.size < 0:
            raise ImageError(escape(path), "has a time or a size that cannot be")

    def _file(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: JailPath) -> Entry:
        content = tar.extractfile(member)
        assert content is not None
        if path in self._texts:
            data = content.read(_MAX_TEXT + 1)
            self._left -= len(data)
            if len(data) > _MAX_TEXT or self._left < 0 or member.mode != TEXT_MODE:
                raise ImageError(escape(path), "is too large for a generated file, or has another mode")
            return text_entry(path, data.decode("utf-8", "surrogateescape"), _ORIGIN)
        name = str(len(self._files))
        digest, info = blobs.take_in(self._room, name, content, int(member.mtime) * 1_000_000_000)
        place = joined(self._place, name)
        return Entry(path, EntryKind.FILE, _ORIGIN, member.mode, info.st_size, digest, place, stamp_of(info))
