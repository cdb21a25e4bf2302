"""Where a dynamic loader looks for libraries: its built-in directories, ld.so.conf(5), ld.so.cache (ld.so(8))."""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass

from jailssh.closure.errors import ImageError
from jailssh.closure.sources import Sources
from jailssh.core.names import HostPath, escape

# glibc's own list of directories, as it stands in its read-only data: "/lib/x86_64-linux-gnu/\0/usr/lib/…/\0".
_SYSTEM_DIRS = re.compile(rb"/lib[\w./-]*/\0(?:/[\w./-]*lib[\w./-]*/\0)+")
_GLIBC_DIRS = (HostPath("/lib"), HostPath("/usr/lib"))
_MUSL_DIRS = (HostPath("/lib"), HostPath("/usr/local/lib"), HostPath("/usr/lib"))
_MUSL_NAME = re.compile(r"ld-musl-([\w.-]+)\.so\.\d+\Z")
# musl's loader stands for these itself (load_library in its dynlink.c).
MUSL_RESERVED = tuple(f"lib{name}." for name in ("c", "pthread", "rt", "m", "dl", "util", "xnet"))
_MAX_LOADER = 8 << 20
_MAX_CONF = 20
_CACHE = HostPath("/etc/ld.so.cache")
_MAX_CACHE = 8 << 20
_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_CACHE_HEADER = struct.Struct("=20sIIB3xI12x")
_CACHE_ENTRY = struct.Struct("=iIIIQ")


@dataclass(frozen=True)
class Loader:
    """A dynamic loader: its path as programs name it ("" for none), the directories that it searches by itself."""

    path: HostPath
    dirs: tuple[HostPath, ...]
    musl: bool = False


def read_loader(sources: Sources, interp: HostPath) -> Loader:
    """Return what the loader ``interp`` searches; "" stands for static programs' host, with the plain directories."""
    if match := _MUSL_NAME.search(interp):
        text = sources.read_text(HostPath(f"/etc/ld-musl-{match[1]}.path"))
        named = [HostPath(word.rstrip("/")) for word in re.split(r"[:\n]", text or "") if word.startswith("/")]
        return Loader(interp, tuple(named) if text is not None else _MUSL_DIRS, musl=True)
    found = sources.find(interp) if interp else None
    lists = _SYSTEM_DIRS.findall(sources.head(found, _MAX_LOADER)) if found and found.is_file else []
    dirs = (
        tuple(HostPath(part.decode().rstrip("/")) for part in lists[0].split(b"\0") if part) if lists else _GLIBC_DIRS
    )
    return Loader(interp, dirs)


def read_conf(sources: Sources, path: HostPath, depth: int = 0) -> list[HostPath]:
    """Return the directories that the ld.so.conf(5) file ``path`` names, in order; includes may be globs."""
    if depth > _MAX_CONF:
        raise ImageError(escape(path), "includes nested too deeply")
    dirs: list[HostPath] = []
    for line in (sources.read_text(path) or "").splitlines():
        words = line.split("#", 1)[0].split(None, 1)
        if words[:1] == ["include"]:
            for pattern in words[1].split() if len(words) > 1 else ():
                base = pattern if pattern.startswith("/") else f"{os.path.dirname(path)}/{pattern}"
                for included in sources.glob(base):
                    dirs += read_conf(sources, included, depth + 1)
        elif words[:1] != ["hwcap"]:
            names = re.split(r"[\s:,]+", " ".join(words))
            dirs += [HostPath(name.split("=", 1)[0].rstrip("/")) for name in names if name.startswith("/")]
    return dirs


def read_cache(sources: Sources) -> dict[str, tuple[HostPath, ...]]:
    """Return the paths of ld.so.cache by library name, in its order; a cache that cannot be read has none."""
    found = sources.find(_CACHE)
    if found is None or not found.is_file:
        return {}
    data = sources.head(found, _MAX_CACHE)
    start = data.find(_CACHE_MAGIC)
    # An older format may stand in front; then the texts are counted from where the newer one begins.
    data = data[start:] if start >= 0 else b""
    if len(data) < _CACHE_HEADER.size:
        return {}
    count = _CACHE_HEADER.unpack_from(data)[1]
    end = _CACHE_HEADER.size + count * _CACHE_ENTRY.size
    paths: dict[str, tuple[HostPath, ...]] = {}
    if end > len(data):
        return {}
    for _, key, value, _, _ in _CACHE_ENTRY.iter_unpack(data[_CACHE_HEADER.size : end]):
        name, path = _text(data, key), _text(data, value)
        if name and path.startswith("/"):
            paths[name] = (*paths.get(name, ()), HostPath(path))
    return paths


def _text(data: bytes, offset: int) -> str:
    raw, nul, _ = data[offset : offset + 4096].partition(b"\0")
    return raw.decode("utf-8", "surrogateescape") if nul else ""
