"""The files beside a stand-alone tree: what it is made of, and how it and the host looked when a run was done.

Both are JSON documents, written and read record by record: a tree may have very many paths.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from operator import attrgetter
from typing import IO, Any

from jailssh.closure.manifest import FORMAT, Entry, EntryMap, Generation, entry_of, row_of
from jailssh.closure.sources import Watch, answers, pairs_of
from jailssh.core.jsonstream import JsonStream
from jailssh.core.names import HostPath, JailPath
from jailssh.core.packed import PathMap
from jailssh.files import shares

_FORMAT = 1
_AT_ONCE = 256  # records that are an object of their own: one by one takes three times as long
_MANY = 4_000  # entries, from which on two processes are worth it
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
    return _file_of(info)


_FIELDS = ("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_ctime_ns", "st_ino")
_file_of: Callable[[os.stat_result], Seen] = attrgetter(*_FIELDS)


def state_parts(state: State, watch: Watch, root: HostPath, paths: Iterable[JailPath]) -> Iterator[bytes]:
    """Yield the file of a state: ``watch`` is what it rests on, ``paths`` those of the tree at ``root``."""
    head = {
        "format": _FORMAT,
        "inputs": state.inputs,
        "notes": state.notes,
        "runs": state.runs,
        "numbers": [state.count, state.bytes, state.left],
    }
    seen = partial(_objects, ((path, look(HostPath(root + path))) for path in paths))
    several = state.count > _MANY and shares.others()
    with shares.parts_beside(seen) if several else nullcontext(seen) as rest:
        yield _text(head)[:-1]
        yield b',"watch":['
        yield from _objects(pairs_of(watch))
        yield b'],"seen":['
        yield from rest()
        yield b"]}"


def _objects(pairs: Iterable[tuple[str, Any]]) -> Iterator[bytes]:
    comma = b""
    rest = iter(pairs)
    while some := dict(islice(rest, _AT_ONCE)):
        yield comma + _text(some)
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
            for _ in _some(document):
                pass
    if head["format"] != _FORMAT:
        raise ValueError(head["format"])
    count, size, left = map(int, head["numbers"])
    return State(str(head["inputs"]), tuple(head["notes"]), tuple(head["runs"]), count, size, left)


def is_unchanged(open_it: Callable[[], IO[str]], root: HostPath, count: int) -> bool:
    """True if the host and the tree at ``root`` are still as the state says; raises as :func:`read_state` does.

    ``open_it`` opens the file of the state.  ``count``: how many entries the tree has; of very many another process
    looks at the tree while this one looks at the host.
    """

    def answered(member: str) -> bool:
        with open_it() as stream:
            return _is_answered(stream, root, member)

    beside = None
    if count > _MANY and shares.others():
        with suppress(OSError):  # There may be no more processes.
            beside = shares.Another(partial(answered, "seen"), "looked at files of it")
    if beside is None:
        return answered("watch") and answered("seen")
    try:
        return answered("watch") and bool(beside.join())
    finally:
        beside.close()


def _is_answered(stream: IO[str], root: HostPath, member: str) -> bool:
    """True if each question of the member ``watch`` or ``seen`` has the answer that it had."""
    document = JsonStream(stream)
    # No text and no name of a path can hold this, since a quotation mark in them is written with a backslash.
    document.pass_by(f',"{member}":')
    return all(map(_stands if member == "watch" else partial(_looks, root), _some(document)))


def _some(document: JsonStream) -> Iterator[dict[str, Any]]:
    """Yield names with what is known of them, many at a time; earlier versions wrote them one after the other."""
    if document.is_array():
        yield from document.elements()
    else:
        yield from ({path: old} for path, old in document.pairs())


def _stands(some: dict[str, Any]) -> bool:
    return all(answers(HostPath(path), None if old is None else tuple(old)) for path, old in some.items())


def _looks(root: HostPath, some: dict[str, Any]) -> bool:
    # As below() does, which takes longer for very many.
    return all(look(HostPath(root + place)) == (None if old is None else tuple(old)) for place, old in some.items())


def mark(seen: Seen) -> str:
    """Return a short text in place of what was seen: all that is asked is whether it is still the same."""
    return hashlib.blake2b(repr(seen).encode(), digest_size=12).hexdigest()


def read_seen(stream: IO[str]) -> PathMap[str]:
    """Return the marks of how the tree looked; raises as :func:`read_state` does."""
    seen: PathMap[str] = PathMap()
    document = JsonStream(stream)
    for name in document.members():
        if name == "seen":
            for some in _some(document):
                for path, old in some.items():
                    if old is not None:
                        seen[path] = mark(tuple(old))
        elif name == "watch":
            for _ in _some(document):
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
