"""Reading the host for an image: only what root alone can have written, and remembering every question asked.

The answers to all questions (what is at a path, what does a directory list) are the *watch* of a manifest: as long
as the host still answers the same, resolving again would give the same manifest, and nothing needs to be done.
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import attrgetter
from typing import NamedTuple, cast

from jailssh.closure.ahead import Ahead
from jailssh.closure.elf import MAGIC, Elf, read_elf
from jailssh.closure.elf_cache import ElfCache
from jailssh.closure.errors import ImageError, SourceChangedError, UnsafeModeError
from jailssh.core.closed import Word
from jailssh.core.names import HostPath, escape, is_below, is_clean_absolute
from jailssh.core.packed import PathMap
from jailssh.files import fs
from jailssh.files.tree import Checked

# How many numbers say what an object is and whose; those after them change with its content.
_IDENTITY = 4


class Trust(Word):
    """How much is asked of those who could change what is found; see :meth:`Sources.find`."""

    STRICT = "strict"
    STICKY = "sticky"
    NAMED = "named"


STRICT, STICKY, NAMED = Trust.STRICT, Trust.STICKY, Trust.NAMED
_SMALL = 1 << 16  # bytes
_MAX_FOUND = 8192  # Ways that are remembered.
_NEVER = object()
_MAX_LINKS = 40  # As in path_resolution(7).

ROOT = HostPath("/")

# dev, ino, mtime and ctime in nanoseconds, size
Stamp = tuple[int, int, int, int, int]
Watch = Mapping[HostPath, tuple[int, ...] | None]
Seen = dict[HostPath, "Status | None"]
"""What lstat(2) has said of paths."""


class Status(NamedTuple):
    """What lstat(2) said of a host path, as much of it as is used; in the order in which it is kept."""

    st_mode: int
    st_uid: int
    st_gid: int
    st_dev: int
    st_ino: int
    st_nlink: int
    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int
    st_rdev: int


stamp_of: Callable[[os.stat_result | Status], Stamp] = attrgetter(
    "st_dev", "st_ino", "st_mtime_ns", "st_ctime_ns", "st_size"
)
"""Returns what changes whenever a file's content does."""


_What = Callable[[os.stat_result | Status], tuple[int, ...]]
_NAMES = ("st_mode", "st_uid", "st_dev", "st_ino", "st_mtime_ns", "st_ctime_ns", "st_size")
_identity_of: _What = attrgetter(*_NAMES[:_IDENTITY])
_whole_of: _What = attrgetter(*_NAMES)


def _watched(info: Status | os.stat_result | None, whole: bool) -> tuple[int, ...] | None:
    return None if info is None else _whole_of(info) if whole else _identity_of(info)


def _asked(path: HostPath) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ImageError(escape(path), os.strerror(error.errno or 0).lower()) from error


_all_of: Callable[[os.stat_result], tuple[int, ...]] = attrgetter(*Status._fields)


def _lstat(path: HostPath) -> Status | None:
    info = _asked(path)
    if info is None:
        return None
    return tuple.__new__(Status, _all_of(info))


def _status(row: list[int] | None) -> Status | None:
    return None if row is None else tuple.__new__(Status, row)


def unchanged(watch: Watch, seen: Seen | None = None) -> bool:
    """True if the host answers every question of ``watch`` as it did; what is in ``seen`` is not asked again."""
    if seen is None:
        return all(answers(path, old) for path, old in watch.items())
    for path, old in watch.items():
        info = seen.get(path, _NEVER)
        if info is _NEVER:
            info = seen[path] = _lstat(path)
        if _watched(cast("Status | None", info), old is None or len(old) > _IDENTITY) != old:
            return False
    return True


def pairs_of(watch: Watch) -> Iterable[tuple[HostPath, tuple[int, ...] | None]]:
    """Return the questions of a watch and the answers, which takes less time than the same by its ``items``."""
    return watch.pairs() if isinstance(watch, _Asked) else watch.items()


def answers(path: HostPath, old: tuple[int, ...] | None) -> bool:
    """True if the host answers one question as it did."""
    return _watched(_asked(path), old is None or len(old) > _IDENTITY) == old


def open_stamped(path: HostPath, stamp: Stamp) -> tuple[int, os.stat_result]:
    """Return a descriptor of the regular file that had ``stamp`` when it was checked, and its status.

    Device, inode and change time make it the same file with the same owner and mode, by whatever way it is reached;
    where they are not the same that is a :class:`SourceChangedError`.
    One that may not be read, or cannot, is an :class:`ImageError`.
    """
    try:
        fd = os.open(path, fs.READ)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EIO):
            raise ImageError(escape(path), os.strerror(error.errno).lower()) from error
        raise SourceChangedError(escape(path), os.strerror(error.errno or 0).lower()) from error
    info = os.fstat(fd)
    if stamp_of(info) != stamp or not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise SourceChangedError(escape(path), "it changed while it was examined")
    return fd, info


class Found(NamedTuple):
    """A host path followed to its end: ``path`` has no links in it; ``links`` and ``dirs`` are what was passed."""

    path: HostPath
    info: Status
    links: tuple[tuple[HostPath, str], ...]
    dirs: tuple[HostPath, ...]

    @property
    def is_dir(self) -> bool:
        """True for a directory."""
        return stat.S_ISDIR(self.info.st_mode)

    @property
    def is_file(self) -> bool:
        """True for a regular file."""
        return stat.S_ISREG(self.info.st_mode)


class Sources:
    """The host, read once: answers are kept for the life of the object.

    ``trusted_root``: this directory and those above it need not belong to root alone.  ``facts``: what earlier runs
    found out.  ``insecure``: nothing needs to be root's.
    """

    def __init__(
        self, trusted_root: HostPath | None = None, *, facts: ElfCache | None = None, insecure: bool = False
    ) -> None:
        self._trusted_root = trusted_root
        self._insecure = insecure
        self._facts = facts or ElfCache()
        self._ahead: Ahead | None = None
        self._seen: PathMap[Status | None] = PathMap(_status)
        # The names in a directory, with a NUL between them.
        self._listed: PathMap[str] = PathMap()
        # What a path leads to, and the questions that this took.
        self._found: dict[tuple[HostPath, Trust], tuple[Found | None, dict[HostPath, None]]] = {}
        self._followed: set[tuple[HostPath, Trust]] = set()
        # None: all that was seen was asked here, and all directories listed were entered.
        self._asked: dict[HostPath, None] | None = None
        self._entered: set[HostPath] | None = None

    def again(self) -> Sources:
        """Return sources that have the answers of these, now and later, and a watch of their own."""
        other = Sources(self._trusted_root, facts=self._facts, insecure=self._insecure)
        other._seen, other._listed = self._seen, self._listed
        other._found = self._found
        other._asked, other._entered = {}, set()
        return other

    def lstat(self, path: HostPath) -> Status | None:
        """Return the status of ``path`` itself, not followed; None if there is nothing."""
        if self._asked is not None:
            self._asked[path] = None
        info = self._seen.get(path, _NEVER)
        if info is _NEVER:
            info = self._seen[path] = _lstat(path)
        return cast("Status | None", info)

    def watch(self) -> Watch:
        """Return every question asked so far with its answer; a directory only passed is watched for its owner."""
        return _Asked(self._seen, self._listed) if self._asked is None else dict(self._watch_of(self._asked))

    def _watch_of(self, asked: Iterable[HostPath]) -> Iterator[tuple[HostPath, tuple[int, ...] | None]]:
        for path in asked:
            info = self._seen.get(path)
            entered = self._entered is not None and path in self._entered
            yield path, _watched(info, entered or info is None or not stat.S_ISDIR(info.st_mode))

    def find(self, path: HostPath, trust: Trust = STRICT) -> Found | None:
        """Follow ``path`` (absolute; ``..`` allowed) to its end, or return None where something is absent.

        Raises :class:`UnsafeModeError` if anything on the way is not root's alone, :class:`ImageError` for a loop.
        ``trust``: :data:`STICKY` lets directories pass where, as in ``/tmp``, everybody may create and only the owner
        may replace; :data:`NAMED` asks nothing, for a path that the administrator has named.
        """
        key = (path, trust)
        if len(self._found) > _MAX_FOUND:
            self._found.clear()
            self._followed.clear()
        if key not in self._found:
            asked: dict[HostPath, None] = {ROOT: None}
            self._found[key] = (self._walk(path, trust, asked), asked)
        found, asked = self._found[key]
        if key not in self._followed:
            self._followed.add(key)
            if self._asked is not None:
                self._asked.update(asked)
        return found

    def _walk(self, path: HostPath, trust: Trust, asked: dict[HostPath, None]) -> Found | None:
        head, _, name = path.rpartition("/")
        if head and name not in ("", ".", ".."):
            # Its directory was mostly followed before.
            above = self.find(HostPath(head), trust)
            asked.update(self._found[HostPath(head), trust][1])
            if above is None or not above.is_dir:
                return None
            step = HostPath(f"{above.path.rstrip('/')}/{name}")
            asked[step] = None
            info = self._trusted(step, trust)
            if info is None:
                return None
            if not stat.S_ISLNK(info.st_mode):
                dirs = (*above.dirs, step) if stat.S_ISDIR(info.st_mode) else above.dirs
                return Found(step, info, above.links, dirs)
        return self._walk_links(path, trust, asked)

    def _walk_links(self, path: HostPath, trust: Trust, asked: dict[HostPath, None]) -> Found | None:
        todo = path.split("/")[::-1]
        current = ""
        links: dict[HostPath, str] = {}
        dirs: dict[HostPath, None] = {}
        info = self._trusted(ROOT, trust)
        hops = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                current = os.path.dirname(current).rstrip("/")
                continue
            step = HostPath(f"{current}/{part}")
            asked[step] = None
            info = self._trusted(step, trust)
            if info is None:
                return None
            if stat.S_ISLNK(info.st_mode):
                hops += 1
                if hops > _MAX_LINKS:
                    raise ImageError(escape(path), "too many levels of symbolic links")
                links[step] = target = os.readlink(step)
                current = "" if target.startswith("/") else current
                todo.extend(target.split("/")[::-1])
                continue
            if stat.S_ISDIR(info.st_mode):
                dirs[step] = None
            elif any(rest not in ("", ".") for rest in todo):
                return None
            current = step
        path = HostPath(current or "/")
        end = self._trusted(path, trust)
        return None if end is None else Found(path, end, tuple(links.items()), tuple(dirs))

    def _trusted(self, path: HostPath, trust: Trust) -> Status | None:
        info = self.lstat(path)
        if info is None or (self._trusted_root is not None and is_below(self._trusted_root, path)):
            return info
        sticky = trust == STICKY and info.st_mode & stat.S_ISVTX and info.st_uid == 0
        if trust != NAMED and not (sticky or self._insecure) and (why := fs.distrust(info)):
            hint = "an image takes only files that root alone can write; mend owner and mode"
            raise UnsafeModeError(escape(path), why, hint=hint)
        if not is_clean_absolute(path):
            raise ImageError(escape(path), "its name has control characters")
        return info

    def listdir(self, path: HostPath) -> tuple[str, ...]:
        """Return the sorted names in the directory ``path`` (free of links, as in :attr:`Found.path`)."""
        if self._asked is not None and self._entered is not None:
            self._asked[path] = None
            self._entered.add(path)
        names = self._listed.get(path)
        if names is None:
            self._seen[path] = _lstat(path)
            try:
                names = "\0".join(sorted(os.listdir(path)))
            except OSError as error:
                raise ImageError(escape(path), os.strerror(error.errno or 0).lower()) from error
            self._listed[path] = names
        return tuple(names.split("\0")) if names else ()

    def glob(self, pattern: str, trust: Trust = STRICT) -> list[HostPath]:
        """Return the paths that match an absolute glob(7) pattern, sorted; ``trust`` as in :meth:`find`."""
        paths = [""]
        for part in pattern.strip("/").split("/"):
            if not any(char in part for char in "*?["):
                paths = [f"{path}/{part}" for path in paths]
                continue
            grown: list[str] = []
            for path in paths:
                found = self.find(HostPath(path or "/"), trust)
                names = self.listdir(found.path) if found and found.is_dir else ()
                grown += [f"{path}/{n}" for n in names if fnmatch.fnmatchcase(n, part) and not n.startswith(".")]
            paths = grown
        return [path for path in map(HostPath, paths) if self.find(path, trust)]

    def open(self, found: Found) -> int:
        """Return a descriptor of a found regular file; it is the very file that was found, unchanged since."""
        return open_stamped(found.path, stamp_of(found.info))[0]

    def head(self, found: Found, size: int = 256) -> bytes:
        """Return the first ``size`` bytes."""
        fd = self.open(found)
        try:
            return os.pread(fd, size, 0)
        finally:
            os.close(fd)

    def elf(self, found: Found) -> Elf | None:
        """Return the ELF facts of a found regular file, or None if it is something else; damaged: ImageError."""
        stamp = stamp_of(found.info)
        known = self._facts.elf(stamp)
        if isinstance(known, Elf):
            return known
        if known is False:
            return None
        with open(self.open(found), "rb", buffering=0) as file:
            is_elf = os.pread(file.fileno(), len(MAGIC), 0) == MAGIC
            elf = read_elf(file, found.path) if is_elf else None
        self._facts.put_elf(stamp, elf)
        return elf

    def read_text(self, path: HostPath, limit: int = 1 << 20) -> str | None:
        """Return the text of a small configuration file, or None if there is none."""
        found = self.find(path)
        if found is None or not found.is_file:
            return None
        return self.head(found, limit).decode("utf-8", "surrogateescape")

    def digest(self, found: Found) -> str:
        """Return the SHA-256 of a found regular file, in hex."""
        stamp = stamp_of(found.info)
        if digest := self._facts.digest(stamp):
            return digest
        if self._ahead and self._ahead.looked() and (digest := self._facts.digest(stamp)):
            return digest
        digest, other = _read(found.path, stamp)
        self._facts.put_digest(stamp, digest, other=other)
        return digest

    @contextmanager
    def looking_ahead(self, top: HostPath, left_out: Callable[[str, str], bool]) -> Iterator[None]:
        """Have the digests of a large tree made from its end, too, while the block goes through it.

        The block takes the last directory of each first; ``left_out`` says of a name and its path below ``top`` what
        it does not enter or read.
        """

        def digest(path: HostPath, info: os.stat_result) -> tuple[Stamp, str, bool] | None:
            stamp = stamp_of(info)
            return None if self._facts.digest(stamp) else (stamp, *_read(path, stamp))

        def told(stamp: Stamp, digest: str, other: bool) -> None:
            self._facts.put_digest(stamp, digest, other=other)

        self._ahead = Ahead(top, left_out, digest, told)
        try:
            yield
        finally:
            self._ahead.close()
            self._ahead = None


def _read(path: HostPath, stamp: Stamp) -> tuple[str, bool]:
    """Return the SHA-256, in hex, of the file that had ``stamp``, and whether it is surely no ELF file."""
    fd = open_stamped(path, stamp)[0]
    try:
        if stamp[4] <= _SMALL:
            # It is read at once, and whether it is an ELF file is asked next.
            data = os.pread(fd, stamp[4] + 1, 0)
            digest = hashlib.sha256(data).hexdigest()
            other = not data.startswith(MAGIC) and len(data) == stamp[4]
        else:
            with open(fd, "rb", buffering=0, closefd=False) as file:
                digest, other = hashlib.file_digest(file, "sha256").hexdigest(), False
        if stamp_of(os.fstat(fd)) != stamp:
            raise SourceChangedError(escape(path), "it changed while it was read")
    finally:
        os.close(fd)
    return digest, other


class _Asked(Mapping[HostPath, tuple[int, ...] | None]):
    """The watch of all that was seen, made as it is gone through: a tree may have very many paths."""

    def __init__(self, seen: PathMap[Status | None], listed: PathMap[str]) -> None:
        self._seen = seen
        self._listed = listed

    def __getitem__(self, path: HostPath) -> tuple[int, ...] | None:
        info = self._seen.get(path, _NEVER)
        if info is _NEVER:
            raise KeyError(path)
        return self._answer(path, cast("Status | None", info))

    def __iter__(self) -> Iterator[HostPath]:
        return (HostPath(path) for path, _ in self._seen.paths())

    def __len__(self) -> int:
        return len(self._seen)

    def pairs(self) -> Iterator[tuple[HostPath, tuple[int, ...] | None]]:
        """Yield questions and answers."""
        return ((HostPath(path), self._answer(path, info)) for path, info in self._seen.paths())

    def _answer(self, path: str, info: Status | None) -> tuple[int, ...] | None:
        return _watched(info, info is None or not stat.S_ISDIR(info.st_mode) or path in self._listed)


class HostSources:
    """This host as one run sees it: what was read for one image is not read again for the next.

    ``facts`` is made when it is first needed, since reading what is remembered takes longer than many a run.
    """

    def __init__(self, facts: Callable[[], ElfCache]) -> None:
        self._make = facts
        self._facts: ElfCache | None = None
        self._sources: dict[HostPath | None, Sources] = {}
        self.checked: Checked = {}
        """Which files of the pool were read and found right."""
        self.seen: Seen = {}
        """What of the host was compared with what images rest on."""

    def sources(self, trusted_root: HostPath | None) -> Sources:
        """Return sources for one image."""
        if self._facts is None:
            self._facts = self._make()
        known = self._sources.setdefault(trusted_root, Sources(trusted_root, facts=self._facts))
        return known.again()

    def save(self) -> None:
        """Keep what was found out about files."""
        if self._facts:
            self._facts.save()

    def forget(self) -> None:
        """Look at everything anew: something has changed meanwhile."""
        self._sources.clear()
        self.seen.clear()
