"""Sorted maps of very many records in little memory: all but the records in use are kept packed.

Neighbours are packed together, so work that goes through a tree in order unpacks each of them a few times only.  A
record costs its packed size, some 50 to 100 bytes, instead of the 1,000 that the same has as objects.
"""

from __future__ import annotations

import json
import zlib
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar, cast

V = TypeVar("V")
D = TypeVar("D")

_LEAF = 256  # records packed together
_OPEN = 64  # how many such are unpacked at a time
_LEVEL = 1


_encode: Callable[[Any], str] = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def _dump(items: dict[str, Any]) -> bytes:
    return zlib.compress(_encode(items).encode(), _LEVEL)


def _load(blob: bytes) -> dict[str, Any]:
    return cast("dict[str, Any]", json.loads(zlib.decompress(blob)))


class _Leaf:
    __slots__ = ("blob", "changed", "items")

    def __init__(self, items: dict[str, Any] | None, blob: bytes = b"") -> None:
        self.items = items
        self.blob = blob
        self.changed = items is not None


class PackedMap(Generic[V]):
    """A map from text, in the order of the keys; values are plain data (JSON: no tuples), or what ``make`` makes of it.

    ``make`` and ``plain``: from data to value and back.  ``dump`` and ``load``: how a leaf, a dict, is packed.
    """

    def __init__(
        self,
        make: Callable[[Any], V] | None = None,
        plain: Callable[[V], Any] | None = None,
        *,
        dump: Callable[[dict[str, Any]], bytes] = _dump,
        load: Callable[[bytes], dict[str, Any]] = _load,
    ) -> None:
        self._make = make
        self._plain = plain
        self._dump = dump
        self._load = load
        self._firsts = [""]
        self._leaves = [_Leaf({})]
        self._open: deque[_Leaf] = deque(self._leaves)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, key: str) -> bool:
        return key in self._items(self._leaves[bisect_right(self._firsts, key) - 1])

    def get(self, key: str, default: D = None) -> V | D:  # type: ignore[assignment]
        """Return the value of a key."""
        return self._items(self._leaves[bisect_right(self._firsts, key) - 1]).get(key, default)

    def __setitem__(self, key: str, value: V) -> None:
        at = bisect_right(self._firsts, key) - 1
        leaf = self._leaves[at]
        items = self._items(leaf)
        before = len(items)
        items[key] = value
        leaf.changed = True
        if len(items) != before:
            self._count += 1
            if before >= _LEAF:
                self._split(at, items, key)

    def items(self, *, backwards: bool = False) -> Iterator[tuple[str, V]]:
        """Yield all keys with their values in order; meanwhile values may be replaced, but nothing added."""
        for leaf in reversed(self._leaves) if backwards else self._leaves:
            yield from self._in(leaf, backwards=backwards)

    @property
    def parts(self) -> int:
        """How many parts it has now: neighbours that are packed together."""
        return len(self._leaves)

    def part(self, number: int) -> Iterator[tuple[str, V]]:
        """Yield the keys of one part, counted from 0, with their values in order."""
        return self._in(self._leaves[number])

    def _in(self, leaf: _Leaf, *, backwards: bool = False) -> Iterator[tuple[str, V]]:
        items = self._unpacked(leaf.blob) if leaf.items is None else leaf.items
        for key in sorted(items, reverse=backwards):
            yield key, items[key]

    def keys(self) -> Iterator[str]:
        """Yield all keys in order."""
        for leaf in self._leaves:
            yield from sorted(self._load(leaf.blob) if leaf.items is None else leaf.items)

    def leaves(self) -> Iterator[tuple[str, bytes]]:
        """Yield all as it is packed, with the least key that each part may have."""
        for first, leaf in zip(self._firsts, self._leaves, strict=True):
            yield first, self._packed(leaf) if leaf.changed and leaf.items is not None else leaf.blob

    def adopt(self, parts: Iterator[tuple[str, bytes]], count: int) -> None:
        """Become what :meth:`leaves` gave; ``count`` is how many records that are."""
        found = list(parts)
        if found and found[0][0] == "":
            self._firsts = [first for first, _ in found]
            self._leaves = [_Leaf(None, blob) for _, blob in found]
            self._open.clear()
            self._count = count

    def _items(self, leaf: _Leaf) -> dict[str, V]:
        return self._unpack(leaf) if leaf.items is None else leaf.items

    def _unpack(self, leaf: _Leaf) -> dict[str, V]:
        leaf.items = self._unpacked(leaf.blob)
        self._opened(leaf)
        return leaf.items

    def _opened(self, leaf: _Leaf) -> None:
        self._open.append(leaf)
        if len(self._open) > _OPEN:
            old = self._open.popleft()
            if old.changed:
                old.blob = self._packed(old)
                old.changed = False
            old.items = None

    def _unpacked(self, blob: bytes) -> dict[str, V]:
        items = self._load(blob)
        make = self._make
        return {key: make(value) for key, value in items.items()} if make else items

    def _packed(self, leaf: _Leaf) -> bytes:
        items = leaf.items or {}
        plain = self._plain
        return self._dump({key: plain(value) for key, value in items.items()} if plain else items)

    def _split(self, at: int, items: dict[str, V], key: str) -> None:
        """Make two leaves of one; one that grows at its end stays full."""
        keys = sorted(items)
        cut = len(keys) - 1 if keys[-1] == key else len(keys) // 2
        leaf = _Leaf({one: items.pop(one) for one in keys[cut:]})
        self._firsts.insert(at + 1, keys[cut])
        self._leaves.insert(at + 1, leaf)
        self._opened(leaf)


class PathMap(PackedMap[V]):
    """The same for paths, in tree order: a directory before what it holds, and that before its neighbours."""

    def __contains__(self, path: str) -> bool:
        return super().__contains__(path.replace("/", "\0"))

    def get(self, path: str, default: D = None) -> V | D:  # type: ignore[assignment]
        """Return the value of a path."""
        return super().get(path.replace("/", "\0"), default)

    def __setitem__(self, path: str, value: V) -> None:
        super().__setitem__(path.replace("/", "\0"), value)

    def paths(self, *, backwards: bool = False) -> Iterator[tuple[str, V]]:
        """Yield all paths with their values in tree order."""
        for key, value in self.items(backwards=backwards):
            yield key.replace("\0", "/"), value
