"""What was found out about files before: ELF facts and digests, kept on disk by device, inode, times and size.

The file is a help, never a source of truth: one that is not root's alone, or is damaged, is as good as none.
"""

from __future__ import annotations

import json
import os
import re
from contextlib import suppress
from typing import Any

from jailssh.closure.elf import Abi, Elf
from jailssh.core.errors import HostError
from jailssh.files import fs
from jailssh.host.paths import Layout

FORMAT = 1
_LIMIT = 64 << 20
_MAX_ROWS = 100_000
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
Key = tuple[int, int, int, int, int]


def facts_path(layout: Layout) -> str:
    """Return where the facts of this host are kept."""
    return f"{layout.state}/facts.json"


class ElfCache:
    """The facts about files by their stamp; ``path`` "" keeps nothing."""

    def __init__(self, path: str = "", trusted_root: str | None = None) -> None:
        self._path = path
        self._elf: dict[str, Any] = {}
        self._digest: dict[str, Any] = {}
        self._size = 0
        if path:
            self._load(trusted_root)

    def _load(self, trusted_root: str | None) -> None:
        try:
            data = json.loads(fs.read_trusted(self._path, _LIMIT, trusted_root=trusted_root))
            if data["format"] == FORMAT and isinstance(data["elf"], dict) and isinstance(data["digest"], dict):
                self._elf, self._digest = data["elf"], data["digest"]
        except (HostError, ValueError, KeyError, TypeError, RecursionError):
            return
        self._size = len(self._elf) + len(self._digest)

    def save(self) -> None:
        """Write what is new; the oldest is dropped where there is too much.  Where it cannot be kept, it is not."""
        if not self._path or len(self._elf) + len(self._digest) == self._size:
            return
        rows = [dict(list(table.items())[-_MAX_ROWS:]) for table in (self._elf, self._digest)]
        data = {"format": FORMAT, "elf": rows[0], "digest": rows[1]}
        with suppress(HostError):
            fs.ensure_dir(os.path.dirname(self._path), 0o755)
            fs.atomic_write(self._path, json.dumps(data, separators=(",", ":")).encode(), 0o600)
            self._size = len(self._elf) + len(self._digest)

    def elf(self, stamp: Key) -> Elf | bool:
        """Return the ELF facts of a file; False for a file known to be something else, True for one not known."""
        row = self._elf.get(_text(stamp), 0)
        if row is None:
            return False
        try:
            return _elf(row) if row else True
        except (TypeError, ValueError):
            return True

    def put_elf(self, stamp: Key, elf: Elf | None) -> None:
        """Remember the facts; None says that it is no ELF file."""
        self._elf[_text(stamp)] = _row(elf) if elf else None

    def digest(self, stamp: Key) -> str | None:
        """Return the SHA-256 of a file in hex, or None if it is not known."""
        value = self._digest.get(_text(stamp))
        return value if isinstance(value, str) and _DIGEST.match(value) else None

    def put_digest(self, stamp: Key, digest: str) -> None:
        """Remember the digest."""
        self._digest[_text(stamp)] = digest


def _text(stamp: Key) -> str:
    return ".".join(map(str, stamp))


def _row(elf: Elf) -> list[Any]:
    abi = [elf.abi.bits, elf.abi.machine, elf.abi.little_endian]
    return [*abi, elf.loadable, elf.interp, elf.needed, elf.rpath, elf.runpath, elf.default_dirs, elf.soname]


def _elf(row: list[Any]) -> Elf:
    bits, machine, little, loadable, interp, needed, rpath, runpath, default, soname = row
    flags, texts = (little, loadable, default), (machine, interp, soname, *needed, *rpath, *runpath)
    if not all(isinstance(flag, bool) for flag in flags) or not all(isinstance(text, str) for text in texts):
        raise ValueError(row)
    abi = Abi(int(bits), machine, little)
    return Elf(abi, loadable, interp, tuple(needed), tuple(rpath), tuple(runpath), default, soname)
