"""The manifest: every path of an image with its kind, mode, content, source and the need that brought it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

from jailssh.closure.errors import ImageError
from jailssh.closure.sources import Stamp, Watch
from jailssh.core.closed import Word
from jailssh.core.names import HostPath, JailPath, escape, is_clean_absolute
from jailssh.core.packed import PathMap

FORMAT = 1
# The login program mounts over these, so nothing placed below them could ever be seen.
COVERED = ("/dev", "/proc", "/run", "/tmp")  # noqa: S108
_BELOW_COVERED = tuple(f"{top}/" for top in COVERED)
DIR_MODE = 0o755
TEXT_MODE = 0o644
GENERATION_DIGITS = 20
_MAX_ENTRIES = 200_000
_AT_ONCE = 256  # Encoding one by one takes three times as long.


class EntryKind(Word):
    """What an entry is.

    ``file`` is copied from the host or made from the finished tree, ``text`` is generated; both are regular files.
    ``hard`` is a second name of a file.
    """

    DIR = "dir"
    FILE = "file"
    LINK = "link"
    TEXT = "text"
    HARD = "hard"
    CHAR = "char"
    BLOCK = "block"
    FIFO = "fifo"
    SOCKET = "socket"


WITH_CONTENT = (EntryKind.FILE, EntryKind.TEXT)
DEVICES = (EntryKind.CHAR, EntryKind.BLOCK)
_KINDS: dict[object, EntryKind] = {str(kind): kind for kind in EntryKind}
"""By word: a call of the class takes six times as long, for each of very many entries."""


class Entry(NamedTuple):
    """One path of an image or a tree.

    ``origin``  the need that brought it, for people: ``git``, or ``rsync: libc.so.6 of /usr/bin/rsync``.
    ``size``, ``digest``  bytes and SHA-256 of a file's or text's content; 0 and "" for others.
    ``source``, ``stamp`` of a file: the host path it is copied from and its state when examined.
    ``target``  of a link; of a second name (``hard``) the path that has the content.
    ``text``    the content of a generated file.  ``uid``, ``gid``: its owner, root in all images.
    ``major``, ``minor``  the numbers of a device.
    A file without a source (``/etc/ld.so.cache``) is made from the finished tree and not part of its identity.
    """

    path: JailPath
    kind: EntryKind
    origin: str
    mode: int = DIR_MODE
    size: int = 0
    digest: str = ""
    source: HostPath = HostPath("")
    stamp: Stamp | None = None
    target: str = ""
    text: str = ""
    uid: int = 0
    gid: int = 0
    major: int = 0
    minor: int = 0

    @property
    def identity(self) -> tuple[str | int, ...]:
        """What makes two entries the same content; where it came from plays no part."""
        same = (self.path, self.kind, self.mode, self.size, self.digest, self.target)
        more = (self.uid, self.gid, self.major, self.minor)
        return (*same, *more) if any(more) else same


class EntryMap:
    """Very many entries by path, in tree order: iterated again and again, kept packed.

    Each has a weight, of which only who makes the map knows the meaning.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._pairs: PathMap[tuple[Entry, int]] = PathMap(_pair)
        self.bytes: int | None = None
        """The sum of their sizes, where it is known."""
        for entry in entries:
            self.put(entry)

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[Entry]:
        return (entry for _, (entry, _) in self._pairs.items())

    @property
    def parts(self) -> int:
        """How many parts it has, which can be gone through one by one."""
        return self._pairs.parts

    def part(self, number: int) -> Iterator[Entry]:
        """Yield the entries of one part, counted from 0."""
        return (entry for _, (entry, _) in self._pairs.part(number))

    def paths(self) -> Iterator[JailPath]:
        """Yield the paths."""
        return (JailPath(key.replace("\0", "/")) for key in self._pairs.keys())  # noqa: SIM118 - no Mapping: these are in order

    def __reversed__(self) -> Iterator[Entry]:
        return (entry for _, (entry, _) in self._pairs.items(backwards=True))

    def __contains__(self, path: str) -> bool:
        return path in self._pairs

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Iterable) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def put(self, entry: Entry, weight: int = 0) -> None:
        """Put an entry, whatever was at its path."""
        self._pairs[entry.path] = (entry, weight)

    def get(self, path: JailPath) -> Entry | None:
        """Return the entry of a path."""
        pair = self._pairs.get(path)
        return pair[0] if pair else None

    def pair(self, path: JailPath) -> tuple[Entry | None, int]:
        """Return the entry of a path and its weight, None and -1 where there is none."""
        return self._pairs.get(path, (None, -1))


_KIND = Entry._fields.index("kind")
_STAMP = Entry._fields.index("stamp")


def _pair(row: Any) -> tuple[Entry, int]:
    fields, weight = row
    fields[_KIND] = _KINDS[fields[_KIND]]
    if stamp := fields[_STAMP]:
        fields[_STAMP] = tuple(stamp)
    return tuple.__new__(Entry, fields), weight


Entries = tuple[Entry, ...] | EntryMap


def dir_entry(path: JailPath, origin: str) -> Entry:
    """Return an entry for a directory."""
    return Entry(path, EntryKind.DIR, origin)


def link_entry(path: JailPath, target: str, origin: str) -> Entry:
    """Return an entry for a symbolic link."""
    return Entry(path, EntryKind.LINK, origin, mode=0o777, target=target)


def text_entry(path: JailPath, text: str, origin: str) -> Entry:
    """Return an entry for a generated file."""
    data = text.encode("utf-8", "surrogateescape")
    return Entry(path, EntryKind.TEXT, origin, TEXT_MODE, len(data), hashlib.sha256(data).hexdigest(), text=text)


@dataclass(frozen=True)
class Manifest:
    """What an image is: entries sorted so that a directory precedes what it holds, each path once.

    ``notes``  what an administrator may want to know (a set-id bit dropped, a link that leads nowhere).
    ``inputs`` identifies the needs it was resolved from, ``watch`` the answers of the host it rests on.
    """

    entries: Entries
    notes: tuple[str, ...] = ()
    inputs: str = ""
    watch: Watch = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """What the name of the tree begins: 64 hex digits, the same for the same content wherever it came from."""
        name = Generation()
        for entry in self.entries:
            name.add(entry)
        return name.whole()

    @property
    def generation(self) -> str:
        """The name of the tree: the first 20 digits of :attr:`digest`."""
        return self.digest[:GENERATION_DIGITS]

    @cached_property
    def bytes(self) -> int:
        """The sum of the sizes of all files."""
        if isinstance(self.entries, EntryMap) and self.entries.bytes is not None:
            return self.entries.bytes
        return sum(entry.size for entry in self.entries)

    def get(self, path: JailPath) -> Entry | None:
        """Return the entry of ``path``, or None."""
        if isinstance(self.entries, EntryMap):
            return self.entries.get(path)
        return next((entry for entry in self.entries if entry.path == path), None)

    def with_entry(self, entry: Entry) -> Manifest:
        """Return a manifest with one more entry."""
        return replace(self, entries=tuple(sorted((*self.entries, entry), key=tree_order)))

    def to_json(self) -> str:
        """Return the manifest as it is kept beside its image: its summary in the first line, the entries in the second.

        The first has the length of the second, so that one that was cut is noticed without being read.
        """
        rows = json.dumps([row_of(entry) for entry in self.entries], separators=(",", ":")) + "\n"
        head = {
            "format": FORMAT,
            "generation": self.generation,
            "inputs": self.inputs,
            "count": len(self.entries),
            "bytes": self.bytes,
            "notes": self.notes,
            "entries": len(rows),
            "watch": dict(self.watch),
        }
        return f"{json.dumps(head, separators=(',', ':'))}\n{rows}"


class Generation:
    """The name of a tree, from one entry after the other: the digest of their content as a JSON document."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256(f"[{FORMAT}, [".encode())
        self._waiting: list[Any] = []
        self._before = ""

    def add(self, entry: Entry) -> None:
        """Take the next entry."""
        if entry.kind != EntryKind.FILE or entry.source:
            self._waiting.append(entry.identity)
            if len(self._waiting) >= _AT_ONCE:
                self._take()

    def _take(self) -> None:
        if self._waiting:
            self._digest.update(f"{self._before}{json.dumps(self._waiting)[1:-1]}".encode())
            self._waiting.clear()
            self._before = ", "

    def digits(self) -> str:
        """Return the name of a tree with all that came so far."""
        return self.whole()[:GENERATION_DIGITS]

    def whole(self) -> str:
        """Return the whole digest of all that came so far, of which the name is the beginning."""
        self._take()
        digest = self._digest.copy()
        digest.update(b"]]")
        return digest.hexdigest()


def row_of(entry: Entry) -> dict[str, Any]:
    """Return an entry as it stands in a manifest's file, without what says nothing."""
    return {key: value for key, value in zip(Entry._fields, entry, strict=True) if value or key == "mode"}


def without_made(manifest: Manifest) -> Manifest:
    """Return the manifest without the files that are made from the finished tree."""
    return replace(manifest, entries=tuple(one for one in manifest.entries if one.kind != EntryKind.FILE or one.source))


@dataclass(frozen=True)
class Summary:
    """The part of a manifest that tells whether anything has to be done; see :class:`Manifest`."""

    generation: str
    inputs: str
    count: int
    bytes: int
    notes: tuple[str, ...]
    watch: Watch


def from_json(text: str) -> Manifest:
    """Return the manifest that :meth:`Manifest.to_json` wrote, or raise :class:`ImageError`."""
    with _reading():
        data, rest = _lines(text)
        summary = _summary(data)
        rows = json.loads(rest) if rest else data["entries"]
        manifest = Manifest(tuple(map(entry_of, rows)), summary.notes, summary.inputs, summary.watch)
        if manifest.generation != summary.generation:
            raise ImageError("manifest", "its content and its name differ")
    return manifest


def summary_from_json(text: str) -> Summary:
    """Return the summary of a manifest without looking at its entries, which would take most of the time."""
    with _reading():
        return _summary(_lines(text)[0])


def _lines(text: str) -> tuple[dict[str, Any], str]:
    """Return the first line of a manifest, and the second as it is; "" where all is in the first, as it once was."""
    head, _, rest = text.partition("\n")
    data = json.loads(head)
    if data["entries"] != len(rest) and not isinstance(data["entries"], list):
        raise ImageError("manifest", "cut")
    return data, rest


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ImageError("manifest", f"damaged ({type(error).__name__})") from error


def _summary(data: dict[str, Any]) -> Summary:
    if data["format"] != FORMAT:
        raise ImageError("manifest", f"format {data['format']!r}, not {FORMAT}")
    watch = {path: None if old is None else tuple(old) for path, old in data["watch"].items()}
    notes = tuple(map(str, data["notes"]))
    return Summary(str(data["generation"]), str(data["inputs"]), int(data["count"]), int(data["bytes"]), notes, watch)


def entry_of(row: Mapping[str, object]) -> Entry:
    """Return the entry that :func:`row_of` gave; ValueError or TypeError if it makes no sense."""
    stamp = row.get("stamp")
    fields = dict(row)
    if kind := _KINDS.get(row.get("kind")):
        fields["kind"] = kind
    if isinstance(stamp, list):
        fields["stamp"] = tuple(map(int, stamp))
    entry = Entry(**fields)  # type: ignore[arg-type]
    if kind is None or not is_clean_absolute(entry.path) or not isinstance(entry.mode, int):
        raise ValueError(entry.path)
    # The digest is part of the tree's name, the text is not.
    if (
        entry.kind == EntryKind.TEXT
        and hashlib.sha256(entry.text.encode("utf-8", "surrogateescape")).hexdigest() != entry.digest
    ):
        raise ValueError(entry.path)
    return entry


def tree_order(entry: Entry) -> list[str]:
    """Return the key that sorts a directory before what it holds, and that before its neighbours."""
    return entry.path.split("/")


class Collector:
    """Gathers entries; two needs for one path must agree."""

    def __init__(self) -> None:
        self._entries: dict[JailPath, Entry] = {}
        self.notes: dict[str, None] = {}

    def __contains__(self, path: JailPath) -> bool:
        return path in self._entries

    def note(self, text: str) -> None:
        """Remember something for the administrator, once."""
        self.notes[text] = None

    def add(self, entry: Entry) -> None:
        """Add an entry; the first origin stays.  Different content for one path is an :class:`ImageError`."""
        if entry.path == "/":
            return
        if not is_clean_absolute(entry.path):
            raise ImageError(escape(entry.path), f"not a plain absolute path (needed by {entry.origin})")
        if entry.path.startswith(_BELOW_COVERED):
            raise ImageError(escape(entry.path), f"a jail mounts its own {entry.path.split('/')[1]} over this place")
        if len(self._entries) >= _MAX_ENTRIES:
            raise ImageError(
                escape(entry.path), f"more than {_MAX_ENTRIES} paths in one image (needed by {entry.origin})"
            )
        old = self._entries.setdefault(entry.path, entry)
        if old is not entry and old.identity != entry.identity:
            raise ImageError(
                escape(entry.path), f"{describe(old)} for {old.origin}, but {describe(entry)} for {entry.origin}"
            )

    def place(self, path: JailPath) -> JailPath:
        """Return ``path`` with the image's links on the way to its last part replaced: ``/lib/x`` → ``/usr/lib/x``."""
        for _ in range(40):
            parts = path.split("/")
            for end in range(2, len(parts)):
                entry = self._entries.get(JailPath("/".join(parts[:end])))
                if entry and entry.kind == EntryKind.LINK:
                    above = "" if entry.target.startswith("/") else "/".join(parts[: end - 1])
                    path = _normal(f"{above}/{entry.target}/{'/'.join(parts[end:])}")
                    break
            else:
                return path
        raise ImageError(escape(path), "too many levels of symbolic links")

    def entries(self) -> tuple[Entry, ...]:
        """Return all entries, sorted, with the directories that they lie in."""
        firsts: dict[str, Entry] = {}  # of each directory: the others have the same ones above them
        for entry in self._entries.values():
            firsts.setdefault(entry.path.rpartition("/")[0], entry)
        for entry in firsts.values():
            self._add_parents(entry)
        return tuple(sorted(self._entries.values(), key=tree_order))

    def _add_parents(self, entry: Entry) -> None:
        parts = entry.path.split("/")
        for path in (JailPath("/".join(parts[:end])) for end in range(2, len(parts))):
            above = self._entries.setdefault(path, dir_entry(path, entry.origin))
            if above.kind != EntryKind.DIR:
                why = f"needed by {entry.origin}, but {escape(path)} is {describe(above)} for {above.origin}"
                raise ImageError(escape(entry.path), why)


def _normal(path: str) -> JailPath:
    out: list[str] = []
    for part in path.split("/"):
        if part == "..":
            out = out[:-1]
        elif part not in ("", "."):
            out.append(part)
    return JailPath("/" + "/".join(out))


def describe(entry: Entry) -> str:
    """Return what an entry is, in words."""
    names = {
        EntryKind.DIR: "a directory",
        EntryKind.FILE: f"a file of {entry.size} bytes",
        EntryKind.LINK: f"a link to {escape(entry.target)}",
        EntryKind.TEXT: f"a generated file of {entry.size} bytes",
        EntryKind.HARD: f"a second name of {escape(entry.target)}",
    }
    return names.get(entry.kind, "a device")


def inputs_digest(parts: Iterable[object]) -> str:
    """Return what identifies the needs: the digest of their textual form (all are plain frozen values)."""
    return hashlib.sha256(repr((FORMAT, *parts)).encode("utf-8", "surrogateescape")).hexdigest()
