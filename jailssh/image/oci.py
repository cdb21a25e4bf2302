"""OCI image layouts as they come in: found, fetched, and compared with the digests in them (image-spec 1.0).

Nobody who made or carried one is believed: no link is followed, all sizes are bounded, and an image that is not of the
one form that :mod:`jailssh.tree.formats` writes, one layer, is refused.  Registries are spoken to by skopeo(1).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, cast

from jailssh.closure.errors import ImageError
from jailssh.core.errors import HostError
from jailssh.core.names import HostPath, escape
from jailssh.files import blobs, fs
from jailssh.files.oci_layout import BLOBS, CONFIG, DIGEST, INDEX, LAYERS, MANIFEST, open_blob
from jailssh.host import kernel, process

REGISTRY = "docker://"
"""How a place in a registry begins, in the words of skopeo(1)."""
DIGEST_LABEL, TEXTS_LABEL = "jailssh.digest", "jailssh.texts"
"""What the labels of an image that is a jail's say: its digest for people, and which files were generated."""
MAX_IMAGE = 16 << 30
"""Bytes of an image, packed and unpacked; so large a file may a registry make skopeo write."""
MAX_HEADERS = 1 << 20
"""Bytes that may stand in a tar between the content of one file and the next: tarfile keeps them in memory."""
_MAX_JSON = 16 << 20
_SECONDS = 3600
_IN_ARCHIVE = re.compile(rf"(?:\./)?({re.escape(INDEX)}|{BLOBS}/[0-9a-f]{{64}})\Z")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Layer:
    """The one layer of an image: a tar behind the descriptor ``fd``, to be unpacked by ``program``.

    ``texts``: paths of generated files, as whoever made the image says.
    """

    fd: int
    program: str
    texts: frozenset[str]


def carry(source: str, target: str, env: Mapping[str, str]) -> None:
    """Have skopeo(1) copy an image from one place to another, both in its words; ``env``: of whoever asks."""
    if process.find_program("skopeo") is None:
        raise HostError("program skopeo", "not found", hint="registries are spoken to by it: install skopeo")
    known = {name: env[name] for name in ("HOME", "REGISTRY_AUTH_FILE") if name in env}
    argv = ["prlimit", f"--fsize={MAX_IMAGE}", "skopeo", "copy", "-q", source, target]
    done = process.run(argv, timeout=_SECONDS, env=known, check=False)
    if done.code != 0:
        raise HostError("program skopeo", process.last_line(done.stderr) or f"exit status {done.code}")


@contextmanager
def opened(source: str, room: HostPath, env: Mapping[str, str]) -> Iterator[Layer]:
    """Give the layer of the image at ``source``: a directory, an archive (``….tar``), or a place in a registry.

    ``room``: a directory of root's own, into which what is not a directory is brought first.  Raises
    :class:`ImageError` for what is no image of ours, :class:`HostError`.
    """
    if source.startswith(REGISTRY):
        carry(source, f"oci:{room}/layout", env)
        source = f"{room}/layout"
    elif source.endswith(".tar"):
        _unarchive(source, f"{room}/layout")
        source = f"{room}/layout"
    folder = fs.open_dir(source, strict=False)
    try:
        layer = _layer(folder)
    except OSError as error:
        raise fs.failed("read the image in", source, error) from error
    finally:
        os.close(folder)
    try:
        yield layer
    finally:
        os.close(layer.fd)


def _layer(folder: int) -> Layer:
    rows = _object(_read(fs.open_plain_at(folder, INDEX), INDEX), INDEX).get("manifests")
    if not isinstance(rows, list) or len(rows) != 1:
        raise ImageError(INDEX, "does not name exactly one image")
    manifest = _object(_blob(folder, rows[0], {MANIFEST}), "manifest")
    config = _object(_blob(folder, manifest.get("config"), {CONFIG}), "config")
    layers = manifest.get("layers")
    if not isinstance(layers, list) or len(layers) != 1:
        raise ImageError("manifest", "does not have exactly one layer, as images of jails do")
    there = config.get("architecture")
    if there != kernel.architecture():
        raise ImageError("image", f"is for {escape(str(there), 40)}, this machine is {kernel.architecture()}")
    name, size = _described(layers[0], LAYERS, MAX_IMAGE)
    program = LAYERS[layers[0]["mediaType"]]
    # Python knows gzip itself.
    if program == "zstd" and not (program := process.find_program("zstd") or ""):
        raise HostError("program zstd", "not found", hint="install the package that contains it")
    return Layer(_verified(folder, name, size), program, _texts(config))


def _texts(config: Mapping[str, Any]) -> frozenset[str]:
    run = config.get("config")
    labels = run.get("Labels") if isinstance(run, dict) else None
    text = labels.get(TEXTS_LABEL) if isinstance(labels, dict) else None
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise ImageError("image", "is not one of a jail", hint="images of jails are made by: jailssh image push")
    return frozenset(found)


def _object(data: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ImageError(what, "is not JSON") from error
    if not isinstance(found, dict):
        raise ImageError(what, "is not an object")
    return found


def _read(fd: int, name: str) -> bytes:
    with open(fd, "rb") as file:
        data = file.read(_MAX_JSON + 1)
    if len(data) > _MAX_JSON:
        raise ImageError(name, f"is larger than {_MAX_JSON} bytes")
    return data


def _described(row: object, kinds: Collection[str], most: int) -> tuple[str, int]:
    """Return the name and the size of the blob that a descriptor is about; raise for one of another kind or size."""
    if not isinstance(row, dict) or not isinstance(row.get("mediaType"), str) or row["mediaType"] not in kinds:
        kind = row.get("mediaType") if isinstance(row, dict) else row
        raise ImageError("image", f"has a part that cannot be used: {escape(str(kind), 100)}")
    match, size = DIGEST.match(str(row.get("digest"))), row.get("size")
    if match is None or type(size) is not int or not 0 <= size <= most:
        raise ImageError("image", "has a part without a digest, or one that is too large")
    return match[1], size


def _blob(folder: int, row: object, kinds: set[str]) -> bytes:
    name, size = _described(row, kinds, _MAX_JSON)
    data = _read(open_blob(folder, name), name)
    if len(data) != size or hashlib.sha256(data).hexdigest() != name:
        raise _tampered(name)
    return data


def _verified(folder: int, name: str, size: int) -> int:
    """Return a descriptor of a blob that is as large as said and has the digest that is its name."""
    fd = open_blob(folder, name)
    with open(fd, "rb", buffering=0, closefd=False) as file:
        right = os.fstat(fd).st_size == size and hashlib.file_digest(file, "sha256").hexdigest() == name
    if not right:
        os.close(fd)
        raise _tampered(name)
    return fd


def _tampered(name: str) -> ImageError:
    return ImageError(f"blob {name}", "does not have this digest: it was changed or cut")


@contextmanager
def whole() -> Iterator[None]:
    """Raise :class:`ImageError` for what reading a damaged tar raises."""
    try:
        yield
    except (tarfile.TarError, zlib.error, EOFError, ValueError, OverflowError, RecursionError, KeyError) as error:
        raise ImageError("tar", f"is damaged: {error}") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise ImageError("tar", f"is damaged: {error}") from error  # what Python itself finds wrong


class Bounded:
    """The stream of a tar that somebody else has made: neither disk nor memory takes more of it than is said."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left = MAX_IMAGE
        self._headers: int | None = None

    def read(self, size: int) -> bytes:
        """Return the next bytes; raises :class:`ImageError` where there are too many."""
        data = self._stream.read(size)
        self._left -= len(data)
        if self._headers is not None:
            self._headers -= len(data)
        if self._left < 0 or (self._headers or 0) < 0:
            raise ImageError("tar", f"is larger than {MAX_IMAGE} bytes, or has headers of more than {MAX_HEADERS}")
        return data

    def members(self) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
        """Yield what the tar holds, and the open tar for its content; then read what follows its end.

        Call in :func:`whole`, with all that reads content.
        """
        stream = cast("IO[bytes]", self)
        with tarfile.open(fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape") as tar:
            while (member := self._next(tar)) is not None:
                yield tar, member
        while self.read(_CHUNK):
            pass

    def _next(self, tar: tarfile.TarFile) -> tarfile.TarInfo | None:
        self._headers = MAX_HEADERS
        member = tar.next()
        self._headers = None
        tar.members = []  # type: ignore[attr-defined]
        if tar.pax_headers:
            raise ImageError("tar", "has headers for all that follows, which no tar of ours has")
        return member


def _unarchive(archive: str, target: str) -> None:
    """Write what an archive of a layout has into the new directory ``target``, and nothing else of it."""
    fs.ensure_dir(f"{target}/{BLOBS}", 0o700)
    try:
        source = fs.open_plain(archive)
    except OSError as error:
        raise fs.failed("read", archive, error) from error
    with open(source, "rb") as file, whole():
        for tar, member in Bounded(file).members():
            match = _IN_ARCHIVE.match(member.name)
            if not match or not member.isfile() or member.sparse is not None:
                continue
            content = tar.extractfile(member)
            assert content is not None
            below, name = os.path.split(match[1])
            above = fs.open_dir(f"{target}/{below}".rstrip("/"), strict=False)
            try:
                blobs.take_in(above, name, content)
            finally:
                os.close(above)
