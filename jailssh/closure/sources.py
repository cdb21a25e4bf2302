"""Reading the host for an image: only what root alone can have written, and remembering every question asked.

The answers to all questions (what is at a path, what does a directory list) are the *watch* of a manifest: as long
as the host still answers the same, resolving again would give the same manifest, and nothing needs to be done.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jailssh.closure.elf import MAGIC, Elf, read_elf
from jailssh.closure.elf_cache import ElfCache
from jailssh.closure.errors import ImageError, SourceChangedError, UnsafeModeError
from jailssh.core.names import escape, is_below, is_clean_absolute
from jailssh.files import fs
from jailssh.files.tree import Checked

# How many numbers say what an object is and whose; those after them change with its content.
_IDENTITY = 4
# How much is asked of those who could change what is found; see Sources.find.
STRICT, STICKY, NAMED = "strict", "sticky", "named"
_SMALL = 1 << 16  # bytes
_MAX_LINKS = 40  # As in path_resolution(7).

# dev, ino, mtime and ctime in nanoseconds, size
Stamp = tuple[int, int, int, int, int]
Watch = Mapping[str, tuple[int, ...] | None]


def stamp_of(info: os.stat_result) -> Stamp:
    """Return what changes whenever a file's content does."""
    return (info.st_dev, info.st_ino, info.st_mtime_ns, info.st_ctime_ns, info.st_size)


def _watched(info: os.stat_result | None, whole: bool) -> tuple[int, ...] | None:
    if info is None:
        return None
    identity = (info.st_mode, info.st_uid, info.st_dev, info.st_ino)
    return (*identity, info.st_mtime_ns, info.st_ctime_ns, info.st_size) if whole else identity


def _lstat(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ImageError(escape(path), os.strerror(error.errno or 0).lower()) from error


def unchanged(watch: Watch) -> bool:
    """True if the host answers every question of ``watch`` as it did."""
    return all(_watched(_lstat(path), old is None or len(old) > _IDENTITY) == old for path, old in watch.items())


def open_stamped(path: str, stamp: Stamp) -> int:
    """Return a descriptor of the file that had ``stamp`` when it was checked, or raise :class:`SourceChangedError`.

    Device, inode and change time make it the same file with the same owner and mode, by whatever way it is reached.
    """
    try:
        fd = fs.open_plain(path)
    except OSError as error:
        raise SourceChangedError(escape(path), os.strerror(error.errno or 0).lower()) from error
    if stamp_of(os.fstat(fd)) != stamp:
        os.close(fd)
        raise SourceChangedError(escape(path), "it changed while it was examined")
    return fd


@dataclass(frozen=True)
class Found:
    """A host path followed to its end: ``path`` has no links in it; ``links`` and ``dirs`` are what was passed."""

    path: str
    info: os.stat_result
    links: tuple[tuple[str, str], ...]
    dirs: tuple[str, ...]

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
        self, trusted_root: str | None = None, *, facts: ElfCache | None = None, insecure: bool = False
    ) -> None:
        self._trusted_root = trusted_root
        self._insecure = insecure
        self._facts = facts or ElfCache()
        self._seen: dict[str, os.stat_result | None] = {}
        self._listed: dict[str, tuple[str, ...]] = {}
        self._digests: dict[tuple[int, int, int, int], str] = {}
        # What a path leads to, and the questions that this took.
        self._found: dict[tuple[str, str], tuple[Found | None, dict[str, None]]] = {}
        self._asked: dict[str, None] = {}
        self._entered: set[str] = set()
        self._followed: set[tuple[str, str]] = set()

    def again(self) -> Sources:
        """Return sources that have the answers of these, now and later, and a watch of their own."""
        other = Sources(self._trusted_root, facts=self._facts, insecure=self._insecure)
        other._seen, other._listed, other._digests = self._seen, self._listed, self._digests
        other._found = self._found
        return other

    def lstat(self, path: str) -> os.stat_result | None:
        """Return the status of ``path`` itself, not followed; None if there is nothing."""
        self._asked[path] = None
        if path not in self._seen:
            self._seen[path] = _lstat(path)
        return self._seen[path]

    def watch(self) -> dict[str, tuple[int, ...] | None]:
        """Return every question asked so far with its answer; a directory only passed is watched for its owner."""
        seen = ((path, self._seen[path]) for path in self._asked)
        return {
            path: _watched(info, path in self._entered or info is None or not stat.S_ISDIR(info.st_mode))
            for path, info in seen
        }

    def find(self, path: str, trust: str = STRICT) -> Found | None:
        """Follow ``path`` (absolute; ``..`` allowed) to its end, or return None where something is absent.

        Raises :class:`UnsafeModeError` if anything on the way is not root's alone, :class:`ImageError` for a loop.
        ``trust``: :data:`STICKY` lets directories pass where, as in ``/tmp``, everybody may create and only the owner
        may replace; :data:`NAMED` asks nothing, for a path that the administrator has named.
        """
        key = (path, trust)
        if key not in self._found:
            asked: dict[str, None] = {"/": None}
            self._found[key] = (self._walk(path, trust, asked), asked)
        found, asked = self._found[key]
        if key not in self._followed:
            self._followed.add(key)
            self._asked.update(asked)
        return found

    def _walk(self, path: str, trust: str, asked: dict[str, None]) -> Found | None:
        todo = path.split("/")[::-1]
        current = ""
        links: dict[str, str] = {}
        dirs: dict[str, None] = {}
        info = self._trusted("/", trust)
        hops = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                current = os.path.dirname(current).rstrip("/")
                continue
            step = f"{current}/{part}"
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
        end = self._trusted(current or "/", trust)
        return None if end is None else Found(current or "/", end, tuple(links.items()), tuple(dirs))

    def _trusted(self, path: str, trust: str) -> os.stat_result | None:
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

    def listdir(self, path: str) -> tuple[str, ...]:
        """Return the sorted names in the directory ``path`` (free of links, as in :attr:`Found.path`)."""
        self._asked[path] = None
        self._entered.add(path)
        if path not in self._listed:
            self._seen.pop(path, None)
            self.lstat(path)
            try:
                self._listed[path] = tuple(sorted(os.listdir(path)))
            except OSError as error:
                raise ImageError(escape(path), os.strerror(error.errno or 0).lower()) from error
        return self._listed[path]

    def glob(self, pattern: str, trust: str = STRICT) -> list[str]:
        """Return the paths that match an absolute glob(7) pattern, sorted; ``trust`` as in :meth:`find`."""
        paths = [""]
        for part in pattern.strip("/").split("/"):
            if not any(char in part for char in "*?["):
                paths = [f"{path}/{part}" for path in paths]
                continue
            grown: list[str] = []
            for path in paths:
                found = self.find(path or "/", trust)
                names = self.listdir(found.path) if found and found.is_dir else ()
                grown += [f"{path}/{n}" for n in names if fnmatch.fnmatchcase(n, part) and not n.startswith(".")]
            paths = grown
        return [path for path in paths if self.find(path, trust)]

    def open(self, found: Found) -> int:
        """Return a descriptor of a found regular file; it is the very file that was found, unchanged since."""
        return open_stamped(found.path, stamp_of(found.info))

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

    def read_text(self, path: str, limit: int = 1 << 20) -> str | None:
        """Return the text of a small configuration file, or None if there is none."""
        found = self.find(path)
        if found is None or not found.is_file:
            return None
        return self.head(found, limit).decode("utf-8", "surrogateescape")

    def digest(self, found: Found) -> str:
        """Return the SHA-256 of a found regular file, in hex."""
        stamp = stamp_of(found.info)
        key = (stamp[0], stamp[1], stamp[2], stamp[4])
        if key not in self._digests and (digest := self._facts.digest(stamp)):
            self._digests[key] = digest
        if key not in self._digests:
            with open(self.open(found), "rb", buffering=0) as file:
                if stamp[4] <= _SMALL:
                    digest = self._digest_small(file.fileno(), stamp)
                else:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                if stamp_of(os.fstat(file.fileno())) != stamp:
                    raise SourceChangedError(escape(found.path), "it changed while it was read")
            self._digests[key] = digest
            self._facts.put_digest(stamp, digest)
        return self._digests[key]

    def _digest_small(self, fd: int, stamp: Stamp) -> str:
        """Return the digest of a file that is read at once, and note if it is no ELF file: that is asked next."""
        data = os.pread(fd, _SMALL + 1, 0)
        if not data.startswith(MAGIC) and len(data) == stamp[4]:
            self._facts.put_elf(stamp, None)
        return hashlib.sha256(data).hexdigest()


class HostSources:
    """This host as one run sees it: what was read for one image is not read again for the next.

    ``facts`` is made when it is first needed, since reading what is remembered takes longer than many a run.
    """

    def __init__(self, facts: Callable[[], ElfCache]) -> None:
        self._make = facts
        self._facts: ElfCache | None = None
        self._sources: dict[str | None, Sources] = {}
        self.checked: Checked = {}
        """Which files of the pool were read and found right."""

    def sources(self, trusted_root: str | None) -> Sources:
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
