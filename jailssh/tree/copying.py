"""What comes by the many: directory trees of the host, the files of a package, and what programs need besides."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager

from jailssh.closure.closure import Closure
from jailssh.closure.companions import Companions
from jailssh.closure.errors import ImageError, MissingLibraryError, SourceChangedError, TooManyError, UnsafeModeError
from jailssh.closure.manifest import Entry, EntryKind, dir_entry, link_entry
from jailssh.closure.packages import installed
from jailssh.closure.sources import NAMED, STICKY, Found, Sources, Status
from jailssh.core.errors import JailsshError, parts
from jailssh.core.names import HostPath, JailPath, escape, joined, same_source
from jailssh.tree.layout import BULK, IMPLIED, PLAIN, NodeAttributes, Picture

_MAX_FAILED = 1000


class Bulk:
    """Puts trees and packages into the picture, each file with its closure.

    ``failed`` is told what is wrong with one of the many; the others are looked at all the same.
    """

    def __init__(self, sources: Sources, picture: Picture, failed: Callable[[JailsshError], None]) -> None:
        self._failed = failed
        self._failures = 0
        self._sources = sources
        self._picture = picture
        self.closure: Closure
        self.companions: Companions
        self._unwanted: dict[str, set[str]] = {}
        # What was said of files whose library is not found where the loader looks, by that library's name.
        self._lacking: dict[str, list[str]] = {}

    def tree(
        self,
        source: HostPath,
        target: JailPath | None,
        origin: str,
        excludes: Sequence[str] = (),
        attributes: NodeAttributes = PLAIN,
        weight: int = BULK,
    ) -> None:
        """Take a directory with all below it; raises :class:`ImageError` where somebody else could swap parts of it."""
        found = self._sources.find(source, NAMED)
        if found is None or not found.is_dir:
            raise ImageError(escape(source), "not on this host" if found is None else "not a directory")
        self._check_trust(source, found)
        if target is None:
            jail, _ = self._picture.take(source, origin, named=True)
        else:
            jail = self._picture.place(target)
        self._picture.put(_directory(jail, found, attributes, origin), weight)

        def left_out(name: str, rest: str) -> bool:
            return any(fnmatch.fnmatchcase(rest if "/" in one else name, one) for one in excludes)

        todo = [(found.path, JailPath("" if jail == "/" else jail), "")]
        with self._sources.looking_ahead(found.path, left_out):
            while todo:
                host, inside, below = todo.pop()
                entry = self._picture.get(inside)
                if entry and entry.kind != EntryKind.DIR:
                    said = f"{escape(inside)} is not taken from {escape(host)}: the spec says what is there"
                    self._picture.note(said)
                    continue
                for name in self._names(host):
                    rest = f"{below}/{name}".lstrip("/")
                    if excludes and left_out(name, rest):
                        continue
                    path, place = joined(host, name), JailPath(f"{inside}/{name}")
                    try:
                        if self._one(path, place, origin, attributes, weight):
                            todo.append((path, place, rest))
                    except JailsshError as error:
                        self._tell(error)

    def _names(self, folder: HostPath) -> tuple[str, ...]:
        with self._each():
            return self._sources.listdir(folder)
        return ()

    @contextmanager
    def _each(self) -> Iterator[None]:
        """Tell what is wrong with one of the many, and go on."""
        try:
            yield
        except JailsshError as error:
            self._tell(error)

    def _tell(self, error: JailsshError) -> None:
        if isinstance(error, (SourceChangedError, TooManyError)):
            raise error
        if self._failures >= _MAX_FAILED:
            raise TooManyError(error.what, "there is more, which was not looked at") from error
        self._failures += 1
        self._failed(error)

    def _check_trust(self, source: HostPath, found: Found) -> None:
        """Refuse a tree that others can write: while it is read, they could put a link to anything into it."""
        try:
            self._sources.find(found.path, STICKY)
        except UnsafeModeError as error:
            why = f"{error.what} is {error.why}, so its parts could be swapped while they are read"
            raise UnsafeModeError(
                escape(source), why, hint="copy it to a place of root's first, or use --insecure"
            ) from error

    def _one(self, host: HostPath, inside: JailPath, origin: str, attributes: NodeAttributes, weight: int) -> bool:
        """Take one name of a tree; True for a directory, which is to be entered."""
        info = self._sources.lstat(host)
        if info is None:
            raise SourceChangedError(escape(host), "it vanished while its directory was read")
        if stat.S_ISLNK(info.st_mode):
            self._picture.put(link_entry(inside, os.readlink(host), origin), weight)
            if host == same_source(inside):
                self._end_of_link(host, origin)
        elif stat.S_ISDIR(info.st_mode):
            found = Found(host, info, (), ())
            self._picture.put(_directory(inside, found, attributes, origin), weight)
            return True
        elif stat.S_ISREG(info.st_mode):
            found = Found(host, info, (), ())
            if self._picture.put(self._picture.file(inside, found, origin, attributes), weight):
                self.needs(found, origin, in_tree=True)
        elif stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
            self._picture.put(node_of(inside, info, origin), weight)
        else:
            self._picture.note(f"{escape(host)} is left out: neither file, directory, link nor device")
        return False

    def needs(self, found: Found, origin: str, *, strict: bool = False, in_tree: bool = False) -> None:
        """Take what a file needs.

        ``strict``: an interpreter that is not there is an error, else a note.  ``in_tree``: a script brings a shell
        along, but no whole language: trees hold many a script that nobody runs, and files of other systems, which are
        data here.
        """
        is_script = False
        try:
            is_script = self._sources.elf(found) is None
            if is_script and (not found.info.st_mode & 0o111 or (in_tree and not self._is_wanted(found))):
                return
            self.closure.file(found, origin)
        except SourceChangedError:
            raise
        except JailsshError as error:
            several = parts(error)
            if strict or not (is_script or in_tree) or any(isinstance(one, UnsafeModeError) for one in several):
                raise
            for one in several:
                if isinstance(one, MissingLibraryError):
                    self._lacking.setdefault(one.library, []).append(f"{one}")
                else:
                    self._picture.note(f"{one}" if is_script else f"{one}; it is taken as it is, as data")

    def _is_wanted(self, found: Found) -> bool:
        head = self._sources.head(found)
        words = head[2:].split(b"\n", 1)[0].split() if head.startswith(b"#!") else []
        program = os.path.basename(words[1] if len(words) > 1 and words[0].endswith(b"/env") else (*words, b"sh")[0])
        if program in _SHELLS:
            return True
        self._unwanted.setdefault(os.fsdecode(program), set()).add(os.path.dirname(found.path))
        return False

    def unwanted(self) -> Set[str]:
        """Return the names of programs and libraries that files want and that were not brought along for them."""
        return self._unwanted.keys() | self._lacking.keys()

    def tell_unwanted(self, programs: Set[str]) -> None:
        """Tell which scripts will not run, unless what they need is there: ``programs`` are those of them that are.

        A library that is there is loaded by whoever loads the file, before it (Java's libjvm.so).
        """
        for library, said in self._lacking.items():
            for one in said if library not in programs else ():
                self._picture.note(f"{one}; it is taken as it is, as data")
        for program, places in sorted(self._unwanted.items()):
            if program not in programs:
                more = f" and {len(places) - 1} more places" if len(places) > 1 else ""
                self._picture.note(f"scripts in {escape(min(places))}{more} will not run without {escape(program)}")

    def _end_of_link(self, path: HostPath, origin: str) -> None:
        try:
            found = self._sources.find(path)
            if found is None:
                self._picture.note(f"{escape(path)} is a link that leads nowhere")
            elif found.is_file:
                self.needs(self._picture.take(path, origin)[1], origin)
        except SourceChangedError:
            raise
        except ImageError as error:
            self._picture.note(f"{escape(path)} leads to what a tree cannot hold: {error}")

    def package(self, name: str, excludes: Sequence[str], origin: str) -> None:
        """Take the files of an installed package as dpkg lists them."""
        packages = installed()
        for path in sorted(packages.files(packages.must_have(name), self._sources)):
            rest = path.lstrip("/")
            parts = rest.split("/")
            if any(fnmatch.fnmatchcase(rest, one) or fnmatch.fnmatchcase(parts[-1], one) for one in excludes):
                continue
            with self._each():
                self._listed_one(path, origin)
        self.companions.belonging(name, origin)

    def _listed_one(self, path: HostPath, origin: str) -> None:
        info = self._sources.lstat(path)
        if info is None:
            return  # Left out when the package was installed (path-exclude in dpkg.cfg(5)), or removed since.
        if stat.S_ISDIR(info.st_mode):
            jail, found = self._picture.take(path, origin)
            self._picture.put(_directory(jail, found, PLAIN, origin), IMPLIED)
            return
        found = self._picture.take(path, origin, BULK)[1]
        if found.is_file:
            self.needs(found, origin)


_SHELLS = (b"sh", b"dash", b"bash")


def node_of(path: JailPath, info: Status, origin: str) -> Entry:
    """Return an entry for a node like the host's."""
    kind = EntryKind.CHAR if stat.S_ISCHR(info.st_mode) else EntryKind.BLOCK
    numbers = (os.major(info.st_rdev), os.minor(info.st_rdev))
    return Entry(path, kind, origin, stat.S_IMODE(info.st_mode) & 0o777, major=numbers[0], minor=numbers[1])


def _directory(path: JailPath, found: Found, attributes: NodeAttributes, origin: str) -> Entry:
    uid, gid = attributes.owner or (found.info.st_uid, found.info.st_gid)
    mode = stat.S_IMODE(found.info.st_mode) & 0o1777
    base = dir_entry(path, origin)
    return Entry(base.path, base.kind, origin, mode, uid=uid, gid=gid)
