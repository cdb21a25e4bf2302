"""The picture of a tree while statements are resolved: what is at each path, and what has more weight than what.

Host paths keep their place in the jail with all links on the way, except where the spec says otherwise: an explicit
directory where the host has a link is a directory, and what lies below it is put there.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from jailssh.closure.errors import ImageError, TooManyError
from jailssh.closure.manifest import Entry, EntryKind, EntryMap, describe, dir_entry, link_entry, tree_order
from jailssh.closure.sources import NAMED, STRICT, Found, Sources, stamp_of
from jailssh.core.errors import JailsshError, raise_all
from jailssh.core.names import HostPath, JailPath, escape, is_clean_absolute, same_source
from jailssh.core.packed import PackedMap, PathMap

# What brought an entry: something else that needs it, a tree or a pattern, a statement about this very path.
IMPLIED, BULK, EXPLICIT = 0, 1, 2
_MERGED = tuple(map(JailPath, ("/bin", "/lib", "/lib32", "/lib64", "/libo32", "/libx32", "/sbin")))
_TOP = JailPath("")
"""The root as what paths begin with."""
_MAX_LINKS = 40
_MAX_ENTRIES = 500_000


@dataclass(frozen=True)
class NodeAttributes:
    """What a statement says about files: mode None for the source's; owner None for the source's."""

    mode: int | None = None
    owner: tuple[int, int] | None = (0, 0)
    setuid: bool = False


PLAIN = NodeAttributes()


class Picture:
    """Entries by path, each with its weight."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._entries = EntryMap()
        self._is_done = False
        # What has several names on the host.
        self._linked: PathMap[int] = PathMap()
        self._explicit_names: set[JailPath] = set()
        self._dirs: dict[JailPath, JailPath] = {}
        self._override: set[str] = set()
        self.notes: dict[str, None] = {}

    def note(self, text: str) -> None:
        """Remember something for the administrator, once."""
        self.notes[text] = None

    def get(self, path: JailPath) -> Entry | None:
        """Return what is at ``path`` so far."""
        return self._entries.get(path)

    def explicit(self, kind: EntryKind) -> list[Entry]:
        """Return the links (``link``) or second names (``hard``) that statements are about, in tree order."""
        found = [entry for path in self._explicit_names if (entry := self._entries.get(path)) and entry.kind == kind]
        return sorted(found, key=tree_order)

    def put(self, entry: Entry, weight: int, *, override: bool = False) -> bool:
        """Put an entry unless something of more weight is there; True if it counts.

        Among explicit ones of a kind, and among all of a bulk, the last counts; of what is implied, the first.
        """
        path = entry.path
        if path == "/":
            return False
        if not is_clean_absolute(path):
            raise ImageError(escape(path), "its name has control characters")
        old, before = self._entries.pair(path)
        if old is None and len(self._entries) >= _MAX_ENTRIES:
            raise TooManyError(escape(path), f"more than {_MAX_ENTRIES} paths in one tree")
        if old is not None:
            if weight < before or weight == before == IMPLIED:
                return False
            if weight == before == EXPLICIT and old.kind != entry.kind and not override:
                why = f"{describe(entry)} here, but {describe(old)} in {old.origin}"
                raise ImageError(escape(path), why, hint="both lead to one path through the links of the tree")
        self._entries.put(entry, weight)
        if weight == EXPLICIT and entry.kind in (EntryKind.LINK, EntryKind.HARD):
            self._explicit_names.add(path)
        return True

    def place(self, path: JailPath) -> JailPath:
        """Return ``path`` with the tree's links on the way to its last part replaced: ``/lib/x`` → ``/usr/lib/x``."""
        for _ in range(_MAX_LINKS):
            parts = path.split("/")
            for end in range(2, len(parts)):
                step = JailPath("/".join(parts[:end]))
                self._adopt(step)
                entry = self._entries.get(step)
                if entry and entry.kind == EntryKind.LINK:
                    above = "" if entry.target.startswith("/") else "/".join(parts[: end - 1])
                    path = _normal(f"{above}/{entry.target}/{'/'.join(parts[end:])}")
                    break
            else:
                return path
        raise ImageError(escape(path), "too many levels of symbolic links")

    def _adopt(self, step: JailPath) -> None:
        """Take over the host's link of a merged /usr, unless the spec says what is there."""
        if step in _MERGED and not self._is_done and step not in self._entries:
            host = same_source(step)
            info = self._sources.lstat(host)
            if info and stat.S_ISLNK(info.st_mode):
                self.put(link_entry(step, os.readlink(host), "the host's layout"), IMPLIED)

    def take(
        self,
        path: HostPath,
        origin: str,
        weight: int = IMPLIED,
        attributes: NodeAttributes = PLAIN,
        *,
        named: bool = False,
    ) -> tuple[JailPath, Found]:
        """Put what is at a host path to the same path, with all links on the way; return where it is, and what.

        ``named``: the administrator named this path, whoever owns it.  :class:`ImageError` if there is nothing.
        """
        found = self._sources.find(path, NAMED if named else STRICT)
        if found is None:
            raise ImageError(escape(path), "not on this host")
        return _Walk(self, self._sources, found, origin, weight, attributes).run(path), found

    def known_dir(self, step: JailPath) -> JailPath | None:
        """Return where a directory that was passed before leads to."""
        return self._dirs.get(step)

    def learn_dir(self, step: JailPath, leads: JailPath) -> None:
        """Remember where a directory leads to."""
        self._dirs[step] = leads

    def file(self, path: JailPath, found: Found, origin: str, attributes: NodeAttributes = PLAIN) -> Entry:
        """Return the entry of a regular file; set-id bits only where they are asked for, with a note otherwise."""
        info = found.info
        mode = stat.S_IMODE(info.st_mode) if attributes.mode is None else attributes.mode
        if mode & 0o6000 and not attributes.setuid:
            self.note(f"{escape(path)} loses its set-id bit")
        mode &= 0o7777 if attributes.setuid else 0o1777 if attributes.mode is not None else 0o777
        uid, gid = attributes.owner if attributes.owner is not None else (info.st_uid, info.st_gid)
        digest = self._sources.digest(found)
        if info.st_nlink > 1:
            self._linked[path] = 1
        return Entry(
            path, EntryKind.FILE, origin, mode, info.st_size, digest, found.path, stamp_of(info), uid=uid, gid=gid
        )

    def leads_to(self, path: JailPath) -> Entry | None:
        """Return what is at the end of the links from ``path``, as a process in the jail would find it."""
        try:
            for _ in range(_MAX_LINKS):
                entry = self._entries.get(self.place(path))
                if entry is None or entry.kind != EntryKind.LINK:
                    return entry
                path = JailPath(os.path.normpath(os.path.join(os.path.dirname(entry.path), entry.target)))
        except ImageError:
            return None
        return None

    def entries(self) -> EntryMap:
        """Return all entries, with the directories above them; a file above something is an error."""
        self._complete()
        for step in _MERGED:
            # A program that is there must be found by both of its names, as on the host.
            host = same_source(step)
            info = self._sources.lstat(host)
            if info and stat.S_ISLNK(info.st_mode) and os.path.join("/", os.readlink(host)) in self._entries:
                self._adopt(step)
        self._is_done = True
        return self._entries

    def _complete(self) -> None:
        """Add the directories above, and make names of one inode of the host names of one inode here too."""
        missing: dict[JailPath, str] = {}
        errors: list[JailsshError] = []
        first: PackedMap[list[str]] = PackedMap()
        size = 0
        has_linked = len(self._linked) > 0
        # In tree order what lies in one directory comes mostly together.
        known = ""
        for entry in self._entries:
            head = entry.path.rpartition("/")[0]
            if head not in (known, ""):
                known = head
                self._look_above(entry, missing, errors)
            size += entry.size
            if has_linked and entry.path in self._linked and self._is_second_name(entry, first):
                size -= entry.size
        raise_all(errors)
        self._entries.bytes = size
        for path, origin in missing.items():
            self.put(dir_entry(path, origin), IMPLIED)

    def _look_above(self, entry: Entry, missing: dict[JailPath, str], errors: list[JailsshError]) -> None:
        parts = entry.path.split("/")
        for path in (JailPath("/".join(parts[:end])) for end in range(2, len(parts))):
            above = self._entries.get(path)
            if above is None:
                missing.setdefault(path, entry.origin)
            elif above.kind != EntryKind.DIR:
                why = f"wanted by {entry.origin}, but {escape(path)} is {describe(above)} for {above.origin}"
                errors.append(ImageError(escape(entry.path), why))
                return

    def _is_second_name(self, entry: Entry, first: PackedMap[list[str]]) -> bool:
        """Make an entry a second name, if its file has another one here."""
        if entry.kind != EntryKind.FILE or not entry.source:
            return False
        key = repr((entry.stamp, entry.mode, entry.uid, entry.gid))
        path, source = first.get(key, ["", ""])
        if not path:
            first[key] = [entry.path, entry.source]
        elif source != entry.source:
            again = entry._replace(kind=EntryKind.HARD, target=path, source=HostPath(""), stamp=None, size=0)
            self._entries.put(again, self._entries.pair(entry.path)[1])
            return True
        return False


def _normal(path: str) -> JailPath:
    return JailPath("/" + os.path.normpath(path).lstrip("/"))


class _Walk:
    """One host path on its way into the picture."""

    def __init__(
        self, picture: Picture, sources: Sources, found: Found, origin: str, weight: int, attributes: NodeAttributes
    ) -> None:
        self._picture = picture
        self._sources = sources
        self._found = found
        self._origin = origin
        self._weight = weight
        self._attributes = attributes
        self._hops = 0

    def run(self, path: HostPath) -> JailPath:
        """Return where the end of ``path`` is in the tree."""
        return self._walk(_TOP, path) or JailPath("/")

    def _walk(self, base: JailPath, text: str, final: bool = True) -> JailPath:
        parts = [part for part in text.split("/") if part not in ("", ".")]
        for number, part in enumerate(parts):
            if part == "..":
                base = JailPath(os.path.dirname(base).rstrip("/"))
                continue
            step = JailPath(f"{base}/{part}")
            last = final and number == len(parts) - 1
            known = None if last else self._picture.known_dir(step)
            if known is None:
                known = self._step(base, step, last)
                if not last:
                    self._picture.learn_dir(step, known)
            base = known
        return base

    def _step(self, base: JailPath, step: JailPath, last: bool) -> JailPath:
        entry = self._picture.get(step)
        if entry and entry.kind == EntryKind.LINK:
            return self._follow(base, entry.target, last)
        if entry and (entry.kind == EntryKind.DIR or last) and not (last and self._weight > IMPLIED):
            return step
        host = same_source(step)
        info = self._sources.lstat(host)
        if info and stat.S_ISLNK(info.st_mode) and self._same_place(base):
            target = os.readlink(host)
            self._picture.put(link_entry(step, target, self._origin), min(self._weight, BULK))
            return self._follow(base, target, last)
        if not last or self._found.is_dir:
            self._picture.put(dir_entry(step, self._origin), IMPLIED)
        elif self._found.is_file:
            entry = self._picture.file(step, self._content(host), self._origin, self._attributes)
            self._picture.put(entry, self._weight)
        return step

    def _content(self, host: HostPath) -> Found:
        """Return what belongs at the place of ``host``: where a link of the spec has led elsewhere, what is there."""
        here = self._sources.find(host, NAMED if self._weight > IMPLIED else STRICT)
        return here if here and here.is_file else self._found

    def _follow(self, base: JailPath, target: str, last: bool) -> JailPath:
        self._hops += 1
        if self._hops > _MAX_LINKS:
            raise ImageError(escape(self._found.path), "too many levels of symbolic links")
        return self._walk(_TOP if target.startswith("/") else base, target, last)

    def _same_place(self, base: JailPath) -> bool:
        """True if ``base`` is the same directory in the tree as on the host, so that a link in it means the same."""
        host = same_source(base or JailPath("/"))
        found = self._sources.find(host, NAMED)
        return found is not None and found.path == host
