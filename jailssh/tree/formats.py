"""A finished tree in the formats of others: tar, an OCI image, squashfs, EROFS.

``write`` is all there is to call.  The tree itself is only read, by descriptor; the result is seen at its place when
it is whole.  mksquashfs(1) and mkfs.erofs(1) write theirs, gzip, xz and zstd compress.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import IO, Any

from jailssh.core.closed import Word
from jailssh.core.errors import HostError, UsageError
from jailssh.core.names import escape
from jailssh.files import fs
from jailssh.files.oci_layout import BLOBS, CONFIG, INDEX, MANIFEST, MARK, MEDIA, REFERENCE
from jailssh.host import kernel, output, process
from jailssh.host.output import Compression
from jailssh.tree.tar import write_tar


class Format(Word):
    """What a tree can be written as."""

    TAR = "tar"
    OCI = "oci"
    SQUASHFS = "squashfs"
    EROFS = "erofs"


FORMATS: Mapping[Format, tuple[Compression, ...]] = MappingProxyType(
    {
        Format.TAR: (Compression.NONE, Compression.GZIP, Compression.ZSTD, Compression.XZ),
        Format.OCI: (Compression.NONE, Compression.GZIP, Compression.ZSTD),
        Format.SQUASHFS: (Compression.NONE, Compression.GZIP, Compression.ZSTD, Compression.XZ),
        Format.EROFS: (Compression.NONE, Compression.LZ4),
    }
)
"""The formats, and the compressions that each can have; the first is what it has unasked."""

_SECONDS = 3600
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def write(
    format: str,
    tree: str,
    target: str,
    compress: str = "none",
    *,
    epoch: int | None = None,
    name: str = "jailssh:latest",
    labels: Mapping[str, str] | None = None,
) -> None:
    """Write the tree below the directory ``tree`` as ``target``, both absolute paths.

    ``format`` and ``compress``: see :data:`FORMATS`.  ``oci`` makes an image layout: a tar archive of it where the
    name of ``target`` ends in ``.tar`` (``podman load``, ``docker load``), else a directory, which must not exist or
    be empty.  ``epoch`` (SOURCE_DATE_EPOCH, seconds): no time in the result is later, see :mod:`jailssh.tree.tar`.
    ``name`` is the reference of an OCI image, ``labels`` are those in its configuration.  Raises :class:`UsageError`,
    :class:`HostError`, :class:`ImageError`.
    """
    kind, how = check(format, compress)
    root = fs.open_dir(tree, strict=False)
    try:
        if kind == Format.TAR:
            with output.new_file(target) as file, output.compressed(file, how) as stream:
                write_tar(root, stream, epoch)
        elif kind == Format.OCI:
            _oci(root, target, how, epoch, name, labels)
        elif kind == Format.SQUASHFS:
            _squashfs(root, target, how, epoch)
        else:
            _erofs(root, target, how, epoch)
    except OSError as error:
        raise fs.failed("read", tree, error) from error
    finally:
        os.close(root)


def check(format: str, compress: str) -> tuple[Format, Compression]:
    """Return both as what they are; :class:`UsageError` unless there is such a format and it can be compressed so."""
    compressions = next((ways for each, ways in FORMATS.items() if each == format), ())
    if compress not in compressions:
        known = ", ".join(compressions or FORMATS)
        what = f"compression {compress!r} of {format}" if compressions else f"format {format!r}"
        raise UsageError(what, "there is no such thing", hint=f"known: {known}")
    return Format(format), Compression(compress)


def _squashfs(root: int, target: str, compress: Compression, epoch: int | None) -> None:
    how = ["-noI", "-noD", "-noF", "-noX"] if compress == Compression.NONE else ["-comp", compress]
    times = [] if epoch is None else ["-mkfs-time", str(epoch), "-all-time", str(epoch)]
    with output.new_file(target) as file:
        argv = ["mksquashfs", f"{_path_of(root)}/.", _path_of(file.fileno()), "-noappend", "-no-progress", "-no-xattrs"]
        process.run([*argv, *how, *times], timeout=_SECONDS)


def _erofs(root: int, target: str, compress: Compression, epoch: int | None) -> None:
    how = [] if compress == Compression.NONE else [f"-z{compress}"]
    times = [] if epoch is None else ["-T", str(epoch)]
    # Without a fixed UUID the same tree would give different bytes.
    times += [] if epoch is None else ["-U", "00000000-0000-4000-8000-000000000000"]
    with output.new_file(target) as file:
        process.run(["mkfs.erofs", "-x-1", *how, *times, _path_of(file.fileno()), _path_of(root)], timeout=_SECONDS)


def _path_of(fd: int) -> str:
    """Return a path by which another process reaches what ``fd`` is open on."""
    return f"/proc/{os.getpid()}/fd/{fd}"


class _Hashing:
    """Passes bytes on and digests them."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._stream.write(data)


def _oci(
    root: int,
    target: str,
    compress: Compression,
    epoch: int | None,
    name: str,
    labels: Mapping[str, str] | None,
) -> None:
    """Write an image of one layer (OCI image specification 1.0: layout, index, manifest, config)."""
    archive = target.endswith(".tar")
    if not archive and os.path.lexists(target) and not (os.path.isdir(target) and not os.listdir(target)):
        raise HostError(f"write {escape(target)}", "something is there already", hint="name a new directory")
    with output.new_dir(target, keep=not archive) as folder:
        fs.ensure_dir(f"{folder}/{BLOBS}", 0o755, os.geteuid(), os.getegid())
        layer, diff = _layer(root, folder, compress, epoch)
        # A reader may take a zero time for "unknown"; the epoch's own second is as good as any other.
        config = _blob(folder, CONFIG, _config(root, diff, epoch or 0, labels))
        layers = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
        manifest = _blob(folder, MANIFEST, layers)
        annotated = {**manifest, "annotations": {REFERENCE: name}}
        _json(f"{folder}/{MARK}", {"imageLayoutVersion": "1.0.0"})
        _json(f"{folder}/{INDEX}", {"schemaVersion": 2, "manifests": [annotated]})
        if archive:
            # What docker read before it knew of layouts: docker load takes either.
            places = [f"{BLOBS}/{blob['digest'].removeprefix('sha256:')}" for blob in (config, layer)]
            _json(f"{folder}/manifest.json", [{"Config": places[0], "RepoTags": [name], "Layers": [places[1]]}])
            _pack(folder, target, epoch or 0)


def _layer(root: int, folder: str, compress: Compression, epoch: int | None) -> tuple[dict[str, Any], str]:
    """Write the layer's blob and return its descriptor and the digest of what it unpacks to."""
    with output.new_file(f"{folder}/layer") as file:
        with output.compressed(file, compress) as stream:
            hashing = _Hashing(stream)
            write_tar(root, hashing, epoch)  # type: ignore[arg-type]
        file.flush()
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        size = file.tell()
    output.give_name(f"{folder}/layer", f"{folder}/{BLOBS}/{digest}")
    kind = f"{MEDIA}.layer.v1.tar{'' if compress == Compression.NONE else '+' + compress}"
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": size}, f"sha256:{hashing.digest.hexdigest()}"


def _config(root: int, diff: str, epoch: int, labels: Mapping[str, str] | None) -> dict[str, Any]:
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    run: dict[str, Any] = {"Env": [f"PATH={_PATH}"], "WorkingDir": "/"}
    if shell := _shell(root):
        run["Cmd"] = [shell]
    if labels:
        run["Labels"] = dict(labels)
    return {
        "created": created,
        "architecture": kernel.architecture(),
        "os": "linux",
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [diff]},
        "history": [{"created": created, "created_by": "jailssh build"}],
    }


def _shell(root: int) -> str:
    """Return the shell that a container starts unless told otherwise, "" where the tree has none."""
    for name in ("bash", "sh"):
        try:
            above = fs.open_dir_at(root, "usr/bin")
        except OSError:
            return ""
        try:
            os.stat(name, dir_fd=above, follow_symlinks=False)
            return f"/usr/bin/{name}"
        except FileNotFoundError:
            continue
        finally:
            os.close(above)
    return ""


def _blob(folder: str, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
    text = _text(data)
    digest = hashlib.sha256(text).hexdigest()
    fs.atomic_write(f"{folder}/{BLOBS}/{digest}", text, 0o644, os.geteuid(), os.getegid())
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(text)}


def _json(path: str, data: object) -> None:
    fs.atomic_write(path, _text(data), 0o644, os.geteuid(), os.getegid())


def _text(data: object) -> bytes:
    return json.dumps(data, separators=(",", ":"), sort_keys=True).encode()


def _pack(folder: str, target: str, epoch: int) -> None:
    layout = fs.open_dir(folder, strict=False)
    try:
        with output.new_file(target) as file:
            write_tar(layout, file, epoch)
    finally:
        os.close(layout)
