"""Images of containers as trees of systems: a layout of the OCI image specification, its layers one after the other.

Everything that is read is reached by the digest that names it, up to the index, and has that digest before it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from jailssh.core.errors import HostError, UsageError
from jailssh.core.names import escape
from jailssh.entering.places import unpacker
from jailssh.files import fs
from jailssh.files.oci_layout import DIGEST, INDEX, LAYERS, MANIFEST, MARK, MEDIA, REFERENCE, open_blob
from jailssh.host import kernel

_INDEXES = (
    f"{MEDIA}.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_MANIFESTS = (
    MANIFEST,
    "application/vnd.docker.distribution.manifest.v2+json",
)
_DOCKER = "application/vnd.docker.image.rootfs"
_LAYERS: Mapping[str, str] = {
    **LAYERS,
    **{kind.replace(".layer.", ".layer.nondistributable."): program for kind, program in LAYERS.items()},
    **{
        f"{_DOCKER}.{foreign}diff.tar{f'.{program}' if program else ''}": program
        for foreign in ("", "foreign.")
        for program in LAYERS.values()
    },
}
"""What decompresses a layer, by its media type, where docker and those before have names of their own too."""
_VARIANTS = {"amd64": "v1", "arm": "v7", "arm64": "v8"}
"""What one means who says no more."""
_MOST_JSON = 4 << 20
_MOST_LAYERS = 512
_MOST_IMAGES = 1024
_DEEPEST = 3
_PLACES = {"dev": 0o755, "etc": 0o755, "proc": 0o555, "run": 0o755, "sys": 0o555, "tmp": 0o1777}
"""What an image can do without, and a system cannot."""


@dataclass(frozen=True)
class _Blob:
    """A descriptor: what is named by its digest, and what is said of it."""

    _: KW_ONLY
    kind: str
    digest: str
    size: int
    platform: Mapping[str, Any]
    reference: str


def is_layout(path: str) -> bool:
    """True for a directory that has an image in it, and for one that an archive of such was unpacked to."""
    try:
        found = [os.lstat(f"{path}/{name}").st_mode for name in (MARK, INDEX)]
    except OSError:
        return False
    return all(map(stat.S_ISREG, found))


def fill(path: str, tree: str, tag: str) -> None:
    """Lay the image in the directory ``path`` on the new, empty tree; :class:`HostError`, :class:`UsageError`.

    ``tag``: the one of several images that has this name; "" where there is but one for this machine.
    """
    from jailssh.files.layers import Layers  # as slow to import as what it reads is rare

    layout = _Layout(path)
    top = fs.open_dir(tree, strict=False)
    try:
        layers = layout.layers(layout.choose(tag))
        room = os.fstatvfs(top)
        laid = Layers(top, room.f_bavail * room.f_frsize // 10 * 9)
        for number, (blob, digest) in enumerate(layers, 1):
            layout.lay(laid, blob, digest, f"layer {number} of the image")
        for name, mode in _PLACES.items():
            laid.add(name, mode)
        laid.finish()
    finally:
        os.close(top)
        layout.close()


class _Layout:
    """An image layout, which anybody may have filled."""

    def __init__(self, path: str) -> None:
        self._name = f"image {escape(path)}"
        self._indexes: set[str] = set()
        try:
            self._top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise fs.failed("open directory", path, error) from error

    def close(self) -> None:
        os.close(self._top)

    def choose(self, tag: str) -> _Blob:
        """Return the manifest of the image for this machine."""
        index = self._decoded(self._read(self._file(INDEX, fs.open_plain_at), INDEX), INDEX)
        tops = [self._descriptor(row) for row in _list(index.get("manifests"))]
        if tag and not any(blob.reference == tag for blob in tops):
            known = ", ".join(escape(blob.reference) for blob in tops if blob.reference)[:400]
            raise UsageError(f"--tag {escape(tag)[:80]}", f"is no image in there: {known or 'none has a name'}")
        others: set[str] = set()
        found: dict[str, _Blob] = {}
        names: list[str] = []
        for top in tops:
            if tag in ("", top.reference):
                for blob in self._manifests(top, others, _DEEPEST):
                    found[blob.digest] = blob
                    names.append(escape(top.reference)[:80] or "one without a name")
                    if len(found) > _MOST_IMAGES:
                        raise HostError(self._name, "holds too many images")
        if not found:
            if others:
                raise self._for_another(", ".join(sorted(others))[:400])
            raise HostError(self._name, "is no image of a tree")
        if len(found) > 1:
            several = ", ".join(dict.fromkeys(names))[:400]
            raise UsageError(self._name, f"holds several images: {several}", hint="name one with --tag")
        return next(iter(found.values()))

    def _for_another(self, which: str) -> HostError:
        return HostError(self._name, f"is for {which}, and this machine is linux/{kernel.architecture()}")

    def _manifests(self, blob: _Blob, others: set[str], depth: int) -> Iterator[_Blob]:
        if blob.platform and not _suits(blob.platform):
            others.add(_platform(blob.platform))
        elif blob.kind in _MANIFESTS:
            yield blob
        elif blob.kind in _INDEXES:
            if depth == 0:
                raise HostError(self._name, "has an index in an index in an index")
            if blob.digest in self._indexes:  # it may be named very often, and that in one which is
                return
            self._indexes.add(blob.digest)
            for row in _list(self._json(blob).get("manifests")):
                yield from self._manifests(self._descriptor(row), others, depth - 1)

    def layers(self, manifest: _Blob) -> list[tuple[_Blob, str]]:
        """Return the layers, lowest first, each with the digest of its tar; all of them are as they should be."""
        data = self._json(manifest)
        config = self._json(self._descriptor(data.get("config")))
        if not _suits(config):
            raise self._for_another(_platform(config))
        blobs = [self._descriptor(row) for row in _list(data.get("layers"))]
        root = config.get("rootfs")
        digests = [str(each) for each in _list(root.get("diff_ids") if isinstance(root, dict) else None)]
        if len(digests) != len(blobs) or not blobs or len(blobs) > _MOST_LAYERS or not all(map(DIGEST.match, digests)):
            raise HostError(self._name, "is no image of a tree")
        for blob in blobs:
            if blob.kind not in _LAYERS:
                raise HostError(self._name, f"has a layer of an unknown kind, {escape(blob.kind)[:80]}")
            self._checked(blob)
        return list(zip(blobs, digests, strict=True))

    def lay(self, laid: Any, blob: _Blob, digest: str, name: str) -> None:
        """Lay a layer on the tree.  It may have changed since it was looked at: what it unpacks to may not."""
        from jailssh.files import untar

        program = unpacker(_LAYERS[blob.kind], name)
        fd = self._blob(blob)
        try:
            with untar.decompressed(f"/proc/self/fd/{fd}", name, program) as stream:
                if laid.lay(stream, name) != digest.removeprefix("sha256:"):
                    raise HostError(name, f"is not what it should be: {digest}")
        finally:
            os.close(fd)

    def _descriptor(self, row: Any) -> _Blob:
        of = row if isinstance(row, dict) else {}
        size, platform, notes = of.get("size"), of.get("platform") or {}, of.get("annotations") or {}
        if (
            not DIGEST.match(str(of.get("digest"))) or not isinstance(size, int) or not isinstance(platform, dict)
            or not isinstance(notes, dict)
        ):  # fmt: skip
            raise HostError(self._name, f"names something without a SHA-256 or a size: {escape(str(row))[:120]}")
        return _Blob(kind=str(of.get("mediaType", "")), digest=str(of["digest"]), size=size, platform=platform,
                     reference=str(notes.get(REFERENCE, "")))  # fmt: skip

    def _json(self, blob: _Blob) -> dict[str, Any]:
        fd = self._blob(blob)
        data = self._read(fd, blob.digest)
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != blob.digest:
            raise HostError(self._name, f"has been changed: {blob.digest}")
        return self._decoded(data, blob.digest)

    def _read(self, fd: int, what: str) -> bytes:
        with open(fd, "rb") as stream:
            data = stream.read(_MOST_JSON + 1)
        if len(data) > _MOST_JSON:
            raise HostError(self._name, f"{what} has more than {_MOST_JSON} bytes")
        return data

    def _decoded(self, data: bytes, what: str) -> dict[str, Any]:
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise HostError(self._name, f"{what} is no JSON") from error
        if not isinstance(found, dict):
            raise HostError(self._name, f"{what} is no JSON object")
        return found

    def _file(self, name: str, opened: Callable[[int, str], int]) -> int:
        try:
            return opened(self._top, name)
        except OSError as error:
            raise HostError(self._name, f"{name}: {(error.strerror or str(error)).lower()}") from error

    def _blob(self, blob: _Blob) -> int:
        """Open what a digest names; it has the size that is said of it."""
        fd = self._file(blob.digest.removeprefix("sha256:"), open_blob)
        size = os.fstat(fd).st_size
        if size != blob.size:
            os.close(fd)
            raise HostError(self._name, f"has been changed: {blob.digest} has {size} bytes, and not {blob.size}")
        return fd

    def _checked(self, blob: _Blob) -> None:
        with open(self._blob(blob), "rb", buffering=0) as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if f"sha256:{digest}" != blob.digest:
            raise HostError(self._name, f"has been changed: {blob.digest}")


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _suits(platform: Mapping[str, Any]) -> bool:
    """True for what this machine can run; what an image does not say is not held against it."""
    own = kernel.architecture()
    variant = platform.get("variant") or _VARIANTS.get(own)
    return (
        platform.get("os", "linux") == "linux" and platform.get("architecture", own) == own
        and variant == _VARIANTS.get(own)
    )  # fmt: skip


def _platform(platform: Mapping[str, Any]) -> str:
    words = [str(platform.get(key, "")) for key in ("os", "architecture", "variant")]
    return escape("/".join(filter(None, words)))[:60]
