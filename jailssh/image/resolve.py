"""From what plugins need to the manifest of an image."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace

from jailssh.closure.closure import Closure
from jailssh.closure.companions import Companions, Taking
from jailssh.closure.data import NSSWITCH, data_set
from jailssh.closure.errors import ImageError, SourceChangedError, UnsafeModeError
from jailssh.closure.manifest import Collector, Entry, EntryKind, Manifest, dir_entry, link_entry, text_entry
from jailssh.closure.sources import Found, Sources, stamp_of
from jailssh.core.errors import JailsshError, ManyErrors, distinct, parts
from jailssh.core.names import HostPath, JailPath, escape, is_clean_absolute, joined, same_place
from jailssh.plugin.api import ImageNeeds

Needs = Sequence[tuple[str, ImageNeeds]]
_BASE = "base"
_BASE_DIRS = ("/dev", "/etc", "/home", "/proc", "/run", "/tmp", "/usr", "/usr/bin", "/usr/lib", "/var")  # noqa: S108
# Top-level names that are links on a host with a merged /usr.
_MERGED = tuple(map(HostPath, ("/bin", "/lib", "/lib32", "/lib64", "/libo32", "/libx32", "/sbin")))
# The login program writes these two, for one account, into the jail's private /run.
_ACCOUNT_FILES = ("passwd", "group")


def resolve(
    needs: Needs,
    *,
    extra_dirs: Sequence[JailPath] = (),
    trusted_root: HostPath | None = None,
    sources: Sources | None = None,
) -> Manifest:
    """Return the manifest of an image with all that ``needs`` name, as (who needs it, what).

    ``extra_dirs``: more empty directories, such as the first component of homes outside ``/home``.  ``sources``: what
    to read the host through, by default :class:`Sources` with ``trusted_root``.  Every missing or untrusted file is
    reported: :class:`ImageError`, or :class:`ManyErrors` for several.
    """
    resolver = _ImageResolver(sources or Sources(trusted_root))
    resolver.base(extra_dirs)
    for origin, need in needs:
        resolver.need(origin, need)
    return resolver.finish()


class _ImageResolver:
    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._out = Collector()
        self._companions = Companions(sources, Taking(self._take, self._data, self._out.note))
        self._closure = Closure(sources, self._take, self._out.note, started=self._companions.started)
        self._companions.closure = self._closure
        self._errors: list[JailsshError] = []
        self._ways: set[tuple[object, ...]] = set()

    def base(self, extra_dirs: Sequence[JailPath]) -> None:
        """Add what every image has."""
        for top in _MERGED:
            found = self._sources.find(top)
            if found and found.links:
                self._passed(found, _BASE)
        for path in (*_BASE_DIRS, *extra_dirs):
            self._out.add(dir_entry(self._out.place(JailPath(path)), _BASE))
        for name in _ACCOUNT_FILES:
            self._out.add(link_entry(JailPath(f"/etc/{name}"), f"../run/{name}", _BASE))
        self._out.add(text_entry(JailPath("/etc/nsswitch.conf"), NSSWITCH, _BASE))

    def need(self, origin: str, need: ImageNeeds) -> None:
        """Add one need; what is wrong with it is kept for :meth:`finish`."""
        for name in need.programs:
            self._guard(self._program, name, origin, True)
        for name in need.optional_programs:
            self._guard(self._program, name, origin, False)
        for name in need.bare_programs:
            self._guard(self._program, name, origin, True, True)
        for name in need.packages:
            self._guard(self._companions.package, name, origin)
        for path in need.files:
            self._guard(self._tree, HostPath(path), origin, True)
        for path in need.optional_files:
            self._guard(self._tree, HostPath(path), origin, False)
        for name in need.data:
            self._guard(self._data, name, origin)
        for path, target in need.links:
            self._guard(self._link, JailPath(path), target, origin)
        for path in need.dirs:
            self._guard(lambda at: self._out.add(dir_entry(self._out.place(at), origin)), JailPath(path))
        for path, text in need.texts:
            self._guard(
                lambda at, data: self._out.add(text_entry(self._out.place(at), data, origin)), JailPath(path), text
            )

    def finish(self) -> Manifest:
        """Return the manifest, or raise what went wrong."""
        if self._closure.wants_cache:
            lines = "".join(f"{path}\n" for path in self._closure.cache_dirs)
            self._guard(lambda: self._out.add(text_entry(JailPath("/etc/ld.so.conf"), lines, _BASE)))
        entries: tuple[Entry, ...] = ()
        if not self._errors:
            entries = self._out.entries()
        if len(self._errors) > 1:
            raise ManyErrors(self._errors)
        if self._errors:
            raise self._errors[0]
        return Manifest(entries, tuple(self._out.notes), watch=self._sources.watch())

    def _guard(self, action: Callable[..., None], *args: object) -> None:
        """Do ``action``; keep its error, so that one run reports all.  A change of the host ends the run."""
        try:
            action(*args)
        except SourceChangedError:
            raise
        except JailsshError as error:
            self._errors = distinct([*self._errors, *parts(error)])

    def _program(self, name: str, origin: str, required: bool, bare: bool = False) -> None:
        path = self._closure.find_program(name)
        if path:
            self._closure.program(path, origin, bare=bare)
        elif required:
            raise ImageError(
                f"program {escape(name)}",
                f"not on this host (needed by {origin})",
                hint="install the package that contains it",
            )

    def _data(self, name: str, origin: str) -> None:
        if (name, "data") in self._ways:
            return
        self._ways.add((name, "data"))
        data = data_set(name, self._sources)
        # What a need gives by itself, as the jail's /etc/hosts with its own name, is the better text.
        texts = tuple(row for row in data.needs.texts if JailPath(row[0]) not in self._out)
        self.need(f"{origin}: {name}", replace(data.needs, texts=texts))
        for library in data.libraries:
            self._closure.library(library, f"{origin}: {name}")

    def _link(self, path: JailPath, target: str, origin: str) -> None:
        if not target or not target.isprintable() or not is_clean_absolute(path):
            raise ImageError(escape(path), f"not a usable link to {escape(target)!r} (needed by {origin})")
        self._out.add(link_entry(self._out.place(path), target, origin))

    def _tree(self, path: HostPath, origin: str, required: bool) -> None:
        """Take a file, or a directory with all below it."""
        found = self._sources.find(path)
        if found is None:
            if required:
                raise ImageError(escape(path), f"not on this host (needed by {origin})")
            return
        top = found.path
        todo = [self._take(path, origin)]
        while todo:
            found = todo.pop()
            if not found.is_dir:
                self._loose(found, origin, named=found.path == top)
                continue
            for name in self._sources.listdir(found.path):
                child = self._child(joined(found.path, name), origin)
                todo += [child] if child else []

    def _child(self, path: HostPath, origin: str) -> Found | None:
        """Take one name of a tree and return it for its content; None for a link, whose target is not entered."""
        info = self._sources.lstat(path)
        if info is None:
            raise SourceChangedError(escape(path), "disappeared while its directory was read")
        if not stat.S_ISLNK(info.st_mode):
            return self._take(path, origin)
        try:
            found = self._sources.find(path)
        except SourceChangedError:
            raise
        except ImageError as error:
            self._out.note(f"{escape(path)} leads to a file that an image cannot contain: {error}")
            found = None
        if found is None:
            self._out.add(link_entry(same_place(path), os.readlink(path), origin))
            self._out.note(f"{escape(path)} is a link without a target in the jail")
            return None
        taken = self._take(path, origin)
        return taken if taken.is_file else None

    def _loose(self, found: Found, origin: str, *, named: bool) -> None:
        """Take the libraries of a file: copied alone it could not be loaded.

        One of a directory that cannot be loaded here either is data, with a note.
        """
        try:
            self._closure.object(found, origin)
        except SourceChangedError:
            raise
        except JailsshError as error:
            if named or any(isinstance(one, UnsafeModeError) for one in parts(error)):
                raise
            for one in parts(error):
                self._out.note(f"{one}; it is taken as it is, as data")

    def _take(self, path: HostPath, origin: str) -> Found:
        """Put what is at ``path`` into the image, with all links on the way, and return its end."""
        found = self._sources.find(path)
        if found is None:
            raise ImageError(escape(path), f"not on this host (needed by {origin})")
        self._passed(found, origin)
        if found.is_file and same_place(found.path) not in self._out:
            self._out.add(self._file(found, origin))
        elif not found.is_file and not found.is_dir:
            raise ImageError(escape(found.path), f"neither a file nor a directory (needed by {origin})")
        return found

    def _passed(self, found: Found, origin: str) -> None:
        # The files of one directory have all come the same way.
        way = (found.links, found.dirs, found.is_dir)
        if way in self._ways:
            return
        self._ways.add(way)
        for path, target in found.links:
            self._out.add(link_entry(same_place(path), target, origin))
        for path in found.dirs:
            self._out.add(dir_entry(same_place(path), origin))
        if found.is_dir:
            self._out.add(dir_entry(same_place(found.path), origin))

    def _file(self, found: Found, origin: str) -> Entry:
        mode = stat.S_IMODE(found.info.st_mode)
        if mode & (stat.S_ISUID | stat.S_ISGID):
            self._out.note(f"{escape(found.path)} loses its set-id bit")
        if not mode & stat.S_IROTH:
            self._out.note(f"{escape(found.path)} cannot be read by the users of the jail (mode {mode & 0o755:04o})")
        return Entry(
            same_place(found.path),
            EntryKind.FILE,
            origin,
            mode & 0o755,
            found.info.st_size,
            self._sources.digest(found),
            found.path,
            stamp_of(found.info),
        )
