"""The files beside a stand-alone tree: what it is made of, and how it and the host looked when a run was done.

Both are JSON documents, written and read record by record: a tree may have very many paths.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO, Any, cast

from jailssh.closure.manifest import FORMAT, Entry, EntryMap, Generation, entry_of, row_of
from jailssh.closure.sources import Watch, answers, pairs_of
from jailssh.core.jsonstream import JsonStream
from jailssh.core.names import HostPath, JailPath
from jailssh.core.packed import PathMap

_FORMAT = 1
_AT_ONCE = 256  # records encoded together: one by one takes three times as long
_HEAD = ("format", "inputs", "notes", "runs", "numbers")

# mode, uid, gid, size, mtime and ctime in nanoseconds, inode
Seen = tuple[int, int, int, int, int, int, int]


@dataclass(frozen=True)
class State:
    """What a finished run left: with the same inputs, the same host and the same tree there is nothing to do.

    ``runs``  the commands that were run.  ``left``: how many entries of earlier runs are still there.
    """

    inputs: str
    notes: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    count: int = 0
    bytes: int = 0
    left: int = 0


def look(path: HostPath) -> Seen | None:
    """Return the state of a path of a tree as it is now, None if there is nothing.

    Only compared with what was seen before: a path that somebody has bent shows another inode.
    """
    try:
        info = os.lstat(path)
    except OSError:
        return None
    if stat.S_ISDIR(info.st_mode):
        # What others put into a directory changes its times and says nothing about ours.
        return (info.st_mode, info.st_uid, info.st_gid, 0, 0, 0, info.st_ino)
    times = (info.st_mtime_ns, info.st_ctime_ns)
    return (info.st_mode, info.st_uid, info.st_gid, info.st_size, *times, info.st_ino)


def state_parts(state: State, watch: Watch, root: HostPath, paths: Iterable[JailPath]) -> Iterator[bytes]:
    """Yield the file of a state: ``watch`` is what it rests on, ``paths`` those of the tree at ``root``."""
    head = {
        "format": _FORMAT,
        "inputs": state.inputs,
        "notes": state.notes,
        "runs": state.runs,
        "numbers": [state.count, state.bytes, state.left],
    }
    yield _text(head)[:-1]
    yield b',"watch":{'
    yield from _members(pairs_of(watch))
    yield b'},"seen":{'
    yield from _members((path, look(HostPath(root + path))) for path in paths)
    yield b"}}"


def _members(pairs: Iterable[tuple[str, Any]]) -> Iterator[bytes]:
    comma = b""
    rest = iter(pairs)
    while some := dict(islice(rest, _AT_ONCE)):
        yield comma + _text(some)[1:-1]
        comma = b",\n"


def _text(data: Any) -> bytes:
    return _encode(data).encode()


_encode: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":")).encode


def read_state(stream: IO[str]) -> State:
    """Return what stands at the head of a state; ValueError, KeyError or TypeError if it makes no sense."""
    head: dict[str, Any] = {}
    document = JsonStream(stream)
    for name in document.members():
        if name in _HEAD:
            head[name] = document.value()
            if len(head) == len(_HEAD):
                break
        else:
            # Written by an earlier version, which had the head's members at the end.
            for _ in document.pairs():
                pass
    if head["format"] != _FORMAT:
        raise ValueError(head["format"])
    count, size, left = map(int, head["numbers"])
    return State(str(head["inputs"]), tuple(head["notes"]), tuple(head["runs"]), count, size, left)


def is_unchanged(stream: IO[str], root: HostPath) -> bool:
    """True if the host and the tree at ``root`` are still as the state says; raises as :func:`read_state` does."""
    document = JsonStream(stream)
    for name in document.members():
        if name == "watch":
            for path, old in cast("Iterator[tuple[HostPath, Any]]", document.pairs()):
                if not answers(path, None if old is None else tuple(old)):
                    return False
        elif name == "seen":
            for place, old in document.pairs():
                # As below() does, which takes longer for very many.
                if look(HostPath(root + place)) != (None if old is None else tuple(old)):
                    return False
        else:
            document.value()
    document.end()
    return True


def mark(seen: Seen) -> str:
    """Return a short text in place of what was seen: all that is asked is whether it is still the same."""
    return hashlib.blake2b(repr(seen).encode(), digest_size=12).hexdigest()


def read_seen(stream: IO[str]) -> PathMap[str]:
    """Return the marks of how the tree looked; raises as :func:`read_state` does."""
    seen: PathMap[str] = PathMap()
    document = JsonStream(stream)
    for name in document.members():
        if name == "seen":
            for path, old in document.pairs():
                if old is not None:
                    seen[path] = mark(tuple(old))
        elif name == "watch":
            for _ in document.pairs():
                pass
        else:
            document.value()
    return seen


def manifest_parts(entries: EntryMap, left: EntryMap) -> Iterator[bytes]:
    """Yield the file of the entries that a tree has and of those of earlier runs that are left."""
    yield b'{"manifest":'
    yield from _table(entries)
    yield b',"left":'
    yield from _table(left)
    yield b"}"


def _table(entries: EntryMap) -> Iterator[bytes]:
    yield b'{"format":%d,"inputs":"","count":%d,"notes":[],"watch":{},"entries":[' % (FORMAT, len(entries))
    name, size = Generation(), 0
    comma = b""
    rest = iter(entries)
    while some := list(islice(rest, _AT_ONCE)):
        for entry in some:
            name.add(entry)
            size += entry.size
        yield comma + _text([row_of(entry) for entry in some])[1:-1]
        comma = b",\n"
    yield b'],"bytes":%d,"generation":"%s"}' % (size, name.digits().encode())


def read_manifest(
    stream: IO[str],
    wanted: Callable[[Entry], bool] = lambda _: True,
    tables: Collection[str] = ("manifest", "left"),
) -> EntryMap:
    """Return the entries and those that are left, as many of them as are ``wanted``.

    Raises as :func:`read_state` does, also if names and content differ.
    """
    entries = EntryMap()
    document = JsonStream(stream)
    seen = []
    for name in document.members():
        _read_table(document, entries, wanted if name in tables else lambda _: False)
        seen.append(name)
    document.end()
    if sorted(seen) != ["left", "manifest"]:
        raise ValueError("not all there")
    return entries


def _read_table(document: JsonStream, entries: EntryMap, wanted: Callable[[Entry], bool]) -> None:
    head: dict[str, Any] = {}
    name = Generation()
    for member in document.members():
        if member == "entries":
            for row in document.elements():
                entry = entry_of(row)
                name.add(entry)
                if wanted(entry):
                    entries.put(entry)
        elif member == "watch":
            for _ in document.pairs():
                pass
        else:
            head[member] = document.value()
    if head["format"] != FORMAT or head["generation"] != name.digits():
        raise ValueError("its content and its name differ")


def with_more(entries: EntryMap, more: Iterable[JailPath]) -> Iterator[JailPath]:
    """Yield the paths of the entries, and more."""
    return chain(entries.paths(), more)
