"""Packed maps and JSON read in pieces hold and give the same as plain ones."""

from __future__ import annotations

import io
import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jailssh.closure.manifest import Entry, EntryKind, EntryMap, Generation, Manifest, tree_order
from jailssh.core import jsonstream, packed
from jailssh.core.jsonstream import JsonStream
from jailssh.core.names import HostPath, JailPath
from jailssh.core.packed import PackedMap, PathMap


def random_paths(count: int) -> list[str]:
    numbers = random.Random(7)
    return ["/" + "/".join(str(numbers.randrange(40)) for _ in range(numbers.randrange(1, 5))) for _ in range(count)]


@pytest.mark.parametrize("order", [list, sorted, lambda paths: sorted(paths, reverse=True)])
def test_a_packed_map_is_a_map_in_tree_order(order: Any) -> None:
    paths = order(random_paths(20_000))
    here: PathMap[tuple[int, str]] = PathMap(tuple)
    plain = {}
    for number, path in enumerate(paths):
        here[path] = (number, path)
        plain[path] = (number, path)
    right = sorted(plain, key=lambda path: path.split("/"))
    assert len(here) == len(plain)
    assert list(here.paths()) == [(path, plain[path]) for path in right]
    assert [path for path, _ in here.paths(backwards=True)] == right[::-1]
    assert all(here.get(path) == plain[path] and path in here for path in plain)
    assert here.get("/none", 3) == 3
    assert "/none" not in here
    # Values may be replaced while it is gone through.
    for path, (number, _) in here.paths():
        here[path] = (-number, path)
    assert all(here.get(path) == (-number, path) for path, (number, _) in plain.items())


def test_few_records_are_unpacked_at_a_time() -> None:
    here: PackedMap[int] = PackedMap()
    for number in range(100_000):
        here[f"{number:06}"] = number
    unpacked = [leaf for leaf in here._leaves if leaf.items is not None]
    assert len(unpacked) <= packed._OPEN
    assert sum(len(leaf.blob) for leaf in here._leaves) < 1_500_000


def test_what_is_packed_is_adopted() -> None:
    one: PackedMap[int] = PackedMap()
    for number in range(1000):
        one[f"{number:04}"] = number
    other: PackedMap[int] = PackedMap()
    other.adopt(iter(list(one.leaves())), len(one))
    assert dict(other.items()) == dict(one.items())
    other["0500"] = -1
    assert (other.get("0500"), one.get("0500"), len(other)) == (-1, 500, 1000)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200)
@given(st.lists(JSON, max_size=5), st.dictionaries(st.text(), JSON, max_size=5), JSON, st.integers(1, 9), st.booleans())
def test_a_document_in_pieces(items: list[Any], pairs: dict[str, Any], value: Any, size: int, wide: bool) -> None:
    text = json.dumps({"items": items, "pairs": pairs, "value": value}, indent=1 if wide else None)
    before, jsonstream._CHUNK = jsonstream._CHUNK, size
    try:
        document = JsonStream(io.StringIO(text))
        found: dict[str, Any] = {}
        for name in document.members():
            found[name] = {
                "items": lambda: list(document.elements()),
                "pairs": lambda: dict(document.pairs()),
                "value": document.value,
            }[name]()
        document.end()
    finally:
        jsonstream._CHUNK = before
    assert found == {"items": items, "pairs": pairs, "value": value}


@pytest.mark.parametrize("text", ["", "{", '{"a"', '{"a":', '{"a":1', '{"a":1]', "[1,", "[1}", "{1:2}", "{}x", "tru"])
def test_what_is_no_document(text: str) -> None:
    document = JsonStream(io.StringIO(text))
    with pytest.raises(ValueError):
        if text.startswith("["):
            list(document.elements())
        else:
            dict(document.pairs())
        document.end()


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_what_is_before_a_member_is_passed_by(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonstream, "_CHUNK", size)
    text = json.dumps({"a": ['","b":', "\\"], ",": {'","b"': ","}, "b": [[1], [2]], "c": 3}, separators=(",", ":"))
    document = JsonStream(io.StringIO(text))
    document.pass_by(',"b":')
    assert list(document.elements()) == [[1], [2]]
    with pytest.raises(ValueError, match="is missing"):
        document.pass_by(',"b":')


def entries(count: int) -> list[Entry]:
    found = {}
    for n, path in enumerate(random_paths(count)):
        same = (EntryKind.FILE, "x", 0o644, n, f"{n:064x}", HostPath(path), (1, 2, 3, 4, n))
        found[path] = Entry(JailPath(path), *same)
    return sorted(found.values(), key=tree_order)


def test_the_name_of_a_tree_is_the_same_however_it_is_counted() -> None:
    some = entries(3000)
    many = Manifest(EntryMap(some))
    assert tuple(many.entries) == tuple(some)
    assert many.generation == Manifest(tuple(some)).generation
    name = Generation()
    for entry in some:
        name.add(entry)
        name.digits()
    assert name.digits() == many.generation
    assert Manifest(tuple(some[:-1])).generation != many.generation
