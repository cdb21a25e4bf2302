"""What was found out about files before: ELF facts and digests, kept on disk by device, inode, times and size.

The file is a help, never a source of truth: one that is not root's alone, or is damaged, is as good as none.  It is
read when it is first asked, and stays packed as it is on disk: a line of JSON for some hundred files that lie together.
"""

from __future__ import annotations

import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import Any

from jailssh.closure.elf import Abi, Elf
from jailssh.core.errors import HostError
from jailssh.core.packed import PackedMap
from jailssh.files import fs
from jailssh.host.paths import Layout

FORMAT = 2
_LIMIT = 64 << 20
_MAX_ROWS = 100_000
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_UNKNOWN = 0
Key = tuple[int, int, int, int, int]


def facts_path(layout: Layout) -> str:
    """Return where the facts of this host are kept."""
    return f"{layout.state}/facts.json"


class ElfCache:
    """The facts about files by their stamp; ``path`` "" keeps nothing.

    A row, by device and inode: mtime, ctime, size, digest or "", ELF facts (None: no ELF file, 0: not known), and the
    number of the run that found it out.
    """

    def __init__(self, path: str = "", trusted_root: str | None = None) -> None:
        self._path = path
        self._trusted_root = trusted_root
        self._known: PackedMap[list[Any]] | None = None
        self._run = 1
        self._new = 0
        # The last one, which is asked again at once; where there are too many to keep, nothing else has it.
        self._last: tuple[Key, list[Any]] | None = None

    @property
    def _rows(self) -> PackedMap[list[Any]]:
        if self._known is None:
            self._known = PackedMap(dump=_packed, load=_unpacked)
            if self._path:
                with suppress(HostError, ValueError, KeyError, TypeError, RecursionError):
                    self._read(self._known)
        return self._known

    def _read(self, rows: PackedMap[list[Any]]) -> None:
        text = fs.read_trusted(self._path, _LIMIT, trusted_root=self._trusted_root)
        head, *lines = text.removesuffix(b"\n").split(b"\n")
        data = json.loads(head)
        firsts = data["firsts"]
        if data["format"] != FORMAT or len(firsts) != len(lines) or firsts != sorted(map(str, firsts)):
            raise ValueError("format")
        run, count = int(data["run"]), int(data["count"])
        rows.adopt(zip(firsts, lines, strict=True), count)
        self._run = run + 1

    def save(self) -> None:
        """Write what is new; the oldest is dropped where there is too much.  Where it cannot be kept, it is not."""
        if not self._path or not self._new or self._known is None:
            return
        rows = _newest(self._known)
        firsts, blobs = zip(*rows.leaves(), strict=True)
        head = json.dumps({"format": FORMAT, "run": self._run, "count": len(rows), "firsts": firsts}).encode()
        data = (line + b"\n" for line in chain((head,), map(_line, blobs)))
        with suppress(HostError):
            fs.ensure_dir(os.path.dirname(self._path), 0o755)
            fs.atomic_write_parts(self._path, data, 0o600)
            self._new = 0

    def _row(self, stamp: Key) -> list[Any] | None:
        if self._last and self._last[0] == stamp:
            return self._last[1]
        try:
            row = self._rows.get(_key(stamp))
            if row is None or tuple(row[:3]) != stamp[2:]:
                return None
        except (TypeError, KeyError, IndexError):
            return None
        self._last = (stamp, row)
        return row

    def elf(self, stamp: Key) -> Elf | bool:
        """Return the ELF facts of a file; False for a file known to be something else, True for one not known."""
        row = self._row(stamp)
        if row is None:
            return True
        try:
            return False if row[4] is None else True if row[4] == _UNKNOWN else _elf(row[4])
        except (TypeError, ValueError, IndexError):
            return True

    def digest(self, stamp: Key) -> str | None:
        """Return the SHA-256 of a file in hex, or None if it is not known."""
        row = self._row(stamp)
        value = row[3] if row and len(row) > 3 else None
        return value if isinstance(value, str) and _DIGEST.match(value) else None

    def put_elf(self, stamp: Key, elf: Elf | None) -> None:
        """Remember the facts; None says that it is no ELF file."""
        self._put(stamp, self.digest(stamp) or "", _row(elf) if elf else None)

    def put_digest(self, stamp: Key, digest: str, *, other: bool = False) -> None:
        """Remember the digest; ``other``: and that it is no ELF file."""
        row = None if other else self._row(stamp)
        self._put(stamp, digest, None if other else row[4] if row and len(row) > 4 else _UNKNOWN)

    def _put(self, stamp: Key, digest: str, elf: list[Any] | int | None) -> None:
        rows, key = self._rows, _key(stamp)
        row = [*stamp[2:], digest, elf, self._run]
        self._last = (stamp, row)
        if len(rows) < 2 * _MAX_ROWS or key in rows:
            rows[key] = row
            self._new += 1


def _key(stamp: Key) -> str:
    return f"{stamp[0]:x}.{stamp[1]:016x}"


def _packed(rows: dict[str, Any]) -> bytes:
    return zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 1)


def _line(blob: bytes) -> bytes:
    """Return the line of JSON that is packed in ``blob``, or, as read from the file, is it."""
    return blob if blob.startswith(b"{") else zlib.decompress(blob)


def _unpacked(blob: bytes) -> dict[str, Any]:
    try:
        rows = json.loads(_line(blob))
    except (ValueError, RecursionError, zlib.error):
        return {}
    return {key: row for key, row in rows.items() if isinstance(row, list)} if isinstance(rows, dict) else {}


def _newest(rows: PackedMap[list[Any]]) -> PackedMap[list[Any]]:
    """Return the rows without those of the oldest runs, as many as are too many."""
    if len(rows) <= _MAX_ROWS:
        return rows
    sizes = Counter(row[-1] for _, row in rows.items())
    kept: set[int] = set()
    left = _MAX_ROWS
    for run in sorted(sizes, reverse=True):
        left -= sizes[run]
        if left < 0 and kept:
            break
        kept.add(run)
    newest: PackedMap[list[Any]] = PackedMap(dump=_packed, load=_unpacked)
    for key, row in _first(_MAX_ROWS, ((key, row) for key, row in rows.items() if row[-1] in kept)):
        newest[key] = row
    return newest


def _first(count: int, rows: Iterator[tuple[str, list[Any]]]) -> Iterator[tuple[str, list[Any]]]:
    return (row for _, row in zip(range(count), rows, strict=False))


def _row(elf: Elf) -> list[Any]:
    abi = [elf.abi.bits, elf.abi.machine, elf.abi.little_endian]
    return [
        *abi,
        elf.loadable,
        elf.interp,
        elf.needed,
        elf.rpath,
        elf.runpath,
        elf.default_dirs,
        elf.soname,
        elf.program,
    ]


def _elf(row: list[Any]) -> Elf:
    bits, machine, little, loadable, interp, needed, rpath, runpath, default, soname, program = row
    flags, texts = (little, loadable, default, program), (machine, interp, soname, *needed, *rpath, *runpath)
    if not all(isinstance(flag, bool) for flag in flags) or not all(isinstance(text, str) for text in texts):
        raise ValueError(row)
    abi = Abi(int(bits), machine, little)
    return Elf(abi, loadable, interp, tuple(needed), tuple(rpath), tuple(runpath), default, soname, program)
