"""All that a program needs to start: its interpreter, its libraries, and theirs, found as ld.so(8) finds them."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from jailssh.closure.elf import Abi, Elf
from jailssh.closure.errors import ImageError, MissingLibraryError, SourceChangedError, UnsafeModeError
from jailssh.closure.loader import MUSL_RESERVED, Loader, read_cache, read_conf, read_loader
from jailssh.closure.sources import Found, Sources
from jailssh.core.errors import JailsshError, distinct, raise_all
from jailssh.core.names import HostPath, directory_of, escape, joined
from jailssh.host.process import SYSTEM_PATH

_MAX_SCRIPTS = 4
_HWCAPS = "glibc-hwcaps"

# Puts a path, with the links on the way, into the image; (path, origin) → what is at its end.
Take = Callable[[HostPath, str], Found]
# Told of a program, for what, and the script that it is the interpreter of, if it is one.
Started = Callable[[Found, str, Found | None], None]


@dataclass(frozen=True)
class _Object:
    """One ELF object where it was found: ``origin_dir`` is its $ORIGIN, ``rpath`` what it inherits from its loaders."""

    found: Found
    elf: Elf
    origin_dir: HostPath
    rpath: tuple[HostPath, ...]
    loader: Loader


class Closure:
    """Finds what programs need and hands each file to ``take``; the same file is examined once.

    ``missing``: told of each library that is not found; without it that is an :class:`ImageError`.
    ``started``: told of each program, script and interpreter taken, which may need files that no header shows.
    """

    def __init__(
        self,
        sources: Sources,
        take: Take,
        note: Callable[[str], None],
        *,
        missing: Callable[[ImageError], None] | None = None,
        started: Started | None = None,
    ) -> None:
        self._sources = sources
        self._put = take
        self._note = note
        self._missing = missing
        self._started = started
        self._taken: dict[HostPath, Found] = {}
        self._done: set[str] = set()
        self._loaders: dict[HostPath, Loader] = {}
        self._conf: tuple[HostPath, ...] | None = None
        self._cache: dict[str, tuple[HostPath, ...]] | None = None
        self._located: dict[tuple[object, ...], HostPath | None] = {}
        self._companions: set[Abi] = set()
        self._used_conf: dict[HostPath, None] = {}
        self.wants_cache = False
        """A program's loader reads ld.so.cache: without one it tries every directory at each start."""

    @property
    def cache_dirs(self) -> tuple[HostPath, ...]:
        """The directories that libraries came from and that the loader does not search by itself, in ld.so's order."""
        named = [path for path in self._conf_dirs() if path in self._used_conf]
        return (*named, *(path for path in self._used_conf if path not in named))

    def find_program(self, name: str) -> HostPath | None:
        """Return the path of a program: a bare name in the system's directories, or an absolute path."""
        if name.startswith("/"):
            path = HostPath(name)
            return path if self._sources.find(path) else None
        if "/" in name or not name:
            raise ImageError(f"program {escape(name)!r}", "neither a bare name nor an absolute path")
        for directory in SYSTEM_PATH:
            path = HostPath(f"{directory}/{name}")
            found = self._sources.find(path)
            if found and found.is_file and found.info.st_mode & 0o111:
                return path
        return None

    def program(self, path: HostPath, origin: str, *, bare: bool = False) -> None:
        """Take the program ``path`` and all it needs to start.  Scripts bring their interpreter.

        ``bare``: nobody is told that it is started.
        """
        told, self._started = self._started, None if bare else self._started
        try:
            self._program(path, origin)
        finally:
            self._started = told

    def _program(self, path: HostPath, origin: str, scripts: tuple[Found, ...] = ()) -> None:
        found = self._take(path, origin)
        if not found.is_file or not found.info.st_mode & 0o111:
            raise ImageError(escape(path), f"not an executable file (needed by {origin})")
        if not self.file(found, origin, scripts):
            raise ImageError(escape(path), "neither an ELF program nor a script with an interpreter line")

    def file(self, found: Found, origin: str, scripts: tuple[Found, ...] = ()) -> bool:
        """Take what a regular file, itself taken already, needs; False if it is nothing that can be started.

        ``scripts``: it is the interpreter of the last one, which is that of the one before.
        """
        if self._sources.elf(found):
            self.object(found, origin)
        else:
            head = self._sources.head(found)
            if not head.startswith(b"#!"):
                return False
            if len(scripts) >= _MAX_SCRIPTS:
                raise ImageError(escape(found.path), "too many interpreters, one calling the other")
            self._script(found, head, origin, scripts)
        if self._started:
            self._started(found, origin, scripts[-1] if scripts else None)
        return True

    def _script(self, found: Found, head: bytes, origin: str, scripts: tuple[Found, ...]) -> None:
        path = found.path
        words = os.fsdecode(head[2:].split(b"\n", 1)[0]).split()
        if not words or not words[0].startswith("/"):
            raise ImageError(escape(path), "its interpreter line names no absolute path")
        origin = f"{origin}: interpreter of {path}"
        interpreter = HostPath(words[0])
        if self._sources.find(interpreter) is None:
            raise ImageError(escape(path), f"its interpreter {escape(words[0])} is not on this host")
        self._program(interpreter, origin, (*scripts, found))
        if os.path.basename(words[0]) != "env":
            return
        name = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), None)
        program = self.find_program(name) if name else None
        if program is None:
            raise ImageError(escape(path), f"its interpreter {escape(name or '')!r} is not on this host")
        self._program(program, origin, (*scripts, found))

    def object(self, found: Found, origin: str) -> None:
        """Take what the ELF file ``found`` needs; the file itself is taken already.  Not loadable: nothing.

        Raises all that is wrong with it: :class:`ImageError`, or ManyErrors for several.
        """
        elf = self._sources.elf(found)
        if elf is None or not elf.loadable or f"object {found.path}" in self._done:
            return
        self._done.add(f"object {found.path}")
        if elf.interp:
            self._interpreter(elf, found, origin)
        elif not elf.needed:
            return
        loader = self._loader(HostPath(elf.interp)) if elf.interp else self._native_loader()
        first = _Object(found, elf, directory_of(found.path), (), loader)
        # Breadth first, and what is loaded under a name is not looked for again: the loader's own order.
        loaded: dict[str, _Object] = {elf.soname: first} if elf.soname else {}
        queue = deque([first])
        errors: list[JailsshError] = []
        while queue:
            item = queue.popleft()
            for name in item.elf.needed:
                if name in loaded:
                    continue
                try:
                    child = self._needed(name, item, origin)
                except SourceChangedError:
                    raise
                except ImageError as error:
                    errors.append(error)
                    continue
                if child:
                    loaded[name] = child
                    loaded.setdefault(child.elf.soname, child)
                    queue.append(child)
        raise_all(distinct(errors))

    def library(self, name: str, origin: str) -> bool:
        """Take the library ``name`` as the system's own programs would load it; False if there is none."""
        shell = self._native()
        elf = self._elf(shell)
        context = _Object(shell, elf, HostPath(""), (), self._native_loader())
        path = self._locate(name, context)
        if path:
            self.object(self._take(path, origin), origin)
        return path is not None

    def _take(self, path: HostPath, origin: str) -> Found:
        if path not in self._taken:
            self._taken[path] = self._put(path, origin)
        return self._taken[path]

    def _interpreter(self, elf: Elf, found: Found, origin: str) -> None:
        interp = HostPath(elf.interp)
        if self._sources.find(interp) is None:
            raise ImageError(escape(found.path), f"its loader {escape(elf.interp)} is not on this host")
        self._take(interp, f"{origin}: loader of {found.path}")

    def _needed(self, name: str, item: _Object, origin: str) -> _Object | None:
        path = self._locate(name, item)
        if path is None:
            error = MissingLibraryError(
                escape(item.found.path),
                f"library {escape(name)} is not found (needed by {origin})",
                hint="install the package that has it, or name its directory in /etc/ld.so.conf.d",
                library=name,
            )
            if self._missing is None:
                raise error
            self._missing(error)
            return None
        why = f"{origin}: {name} of {item.found.path}"
        found = self._take(path, why)
        elf = self._elf(found)
        inherited = (*self._expand(item.elf.rpath, item), *item.rpath)
        child = _Object(found, elf, directory_of(path), inherited, item.loader)
        self._variants(path, why)
        if name == "libc.so.6":
            self._companion(child, origin)
        return child

    def _variants(self, path: HostPath, origin: str) -> None:
        """Take the builds of a library for newer processors, which the loader prefers where they run."""
        head, name = directory_of(path), os.path.basename(path)
        for level in self._levels(head):
            variant = joined(head, f"{_HWCAPS}/{level}/{name}")
            if variant not in self._taken and self._sources.find(variant):
                self.object(self._take(variant, origin), origin)

    def _levels(self, directory: HostPath) -> tuple[str, ...]:
        found = self._sources.find(joined(directory, _HWCAPS))
        return self._sources.listdir(found.path) if found and found.is_dir else ()

    def _companion(self, libc: _Object, origin: str) -> None:
        """Take libgcc_s, which glibc loads by itself in pthread_cancel(3) and backtrace(3)."""
        if libc.elf.abi not in self._companions:
            self._companions.add(libc.elf.abi)
            path = self._locate("libgcc_s.so.1", libc)
            if path:
                self._take(path, f"{origin}: loaded by libc.so.6")

    def _locate(self, name: str, item: _Object) -> HostPath | None:
        """Return the path by which the loader would open library ``name`` for ``item``, or None."""
        elf = item.elf
        place = item.origin_dir if elf.rpath or elf.runpath or "/" in name else HostPath("")
        key = (name, elf.abi, elf.rpath, elf.runpath, elf.default_dirs, place, item.rpath, item.loader)
        if key not in self._located:
            self._located[key] = self._search(name, item)
        return self._located[key]

    def _search(self, name: str, item: _Object) -> HostPath | None:
        if "/" in name:
            expanded = self._expand((name,), item)
            return expanded[0] if expanded and self._fits(expanded[0], item.elf.abi) else None
        if item.loader.musl and name.startswith(MUSL_RESERVED):
            return item.loader.path
        own = self._expand(item.elf.rpath, item)
        searched = (() if item.elf.runpath else (*own, *item.rpath)) + self._expand(item.elf.runpath, item)
        for directory in searched:
            self._check_private(directory, item)
            if own_path := self._in(directory, name, item.elf.abi):
                return own_path
        if not item.elf.default_dirs:
            return None
        conf = () if item.loader.musl else self._conf_dirs()
        for directory in (*conf, *item.loader.dirs):
            if common := self._in(directory, name, item.elf.abi):
                self._remember_conf(directory, item.loader.dirs)
                return common
        return None if item.loader.musl else self._in_cache(name, item)

    def _in(self, directory: HostPath, name: str, abi: Abi) -> HostPath | None:
        """Return the library in a directory, or the one of its builds for newer processors if that is all there is."""
        path = joined(directory, name)
        if self._fits(path, abi):
            return path
        variants = (joined(directory, f"{_HWCAPS}/{level}/{name}") for level in self._levels(directory))
        return next((path for path in variants if self._fits(path, abi)), None)

    def _in_cache(self, name: str, item: _Object) -> HostPath | None:
        """Look in ld.so.cache, which also knows directories that ldconfig(8) was told on its command line."""
        if self._cache is None:
            self._cache = read_cache(self._sources)
        for path in self._cache.get(name, ()):
            if self._fits(path, item.elf.abi):
                self._remember_conf(directory_of(path), item.loader.dirs)
                return path
        return None

    def _check_private(self, directory: HostPath, item: _Object) -> None:
        """Refuse a directory of RPATH or RUNPATH that others can write, whatever it holds now."""
        try:
            self._sources.find(directory)
        except UnsafeModeError as error:
            why = f"it searches {escape(directory)} for libraries, and {error.what} is {error.why}"
            raise UnsafeModeError(escape(item.found.path), why) from error

    def _remember_conf(self, directory: HostPath, system: tuple[HostPath, ...]) -> None:
        self.wants_cache = True
        found = self._sources.find(directory)
        known = [self._sources.find(path) for path in system]
        if found and all(one is None or one.path != found.path for one in known):
            self._used_conf[directory] = None

    def _fits(self, path: HostPath, abi: Abi) -> bool:
        """True if a loadable object of the same kind is at ``path``."""
        try:
            found = self._sources.find(path)
        except UnsafeModeError:
            # A directory of the loader that others can write matters only if the library is taken from it.
            if self._sources.lstat(path) is None:
                return False
            raise
        elf = self._sources.elf(found) if found and found.is_file else None
        return elf is not None and elf.loadable and elf.abi == abi

    def _expand(self, dirs: tuple[str, ...], item: _Object) -> tuple[HostPath, ...]:
        """Return directories with $ORIGIN, $LIB and $PLATFORM replaced; what is not absolute then is left out."""
        lib = item.loader.dirs[0].lstrip("/") if item.loader.dirs else "lib"
        values = {"ORIGIN": item.origin_dir, "LIB": lib, "PLATFORM": os.uname().machine}
        out: list[HostPath] = []
        for text in dirs:
            path = re.sub(r"\$(?:(\w+)|\{(\w+)\})", lambda m: values.get(m[1] or m[2], m[0]), text)
            if path.startswith("/"):
                out.append(HostPath(path.rstrip("/") or "/"))
            else:
                self._note(f"{escape(item.found.path)} searches {escape(text)!r}, which is not absolute, for libraries")
        return tuple(out)

    def _elf(self, found: Found) -> Elf:
        elf = self._sources.elf(found)
        if elf is None:
            raise ImageError(escape(found.path), "no ELF file")
        return elf

    def _loader(self, interp: HostPath) -> Loader:
        if interp not in self._loaders:
            self._loaders[interp] = read_loader(self._sources, interp)
        return self._loaders[interp]

    def _native(self) -> Found:
        shell = self._sources.find(HostPath("/bin/sh"))
        if shell is None:
            raise ImageError("/bin/sh", "not on this host, so its loader cannot be known")
        return shell

    def _native_loader(self) -> Loader:
        return self._loader(HostPath(self._elf(self._native()).interp))

    def _conf_dirs(self) -> tuple[HostPath, ...]:
        if self._conf is None:
            self._conf = tuple(dict.fromkeys(read_conf(self._sources, HostPath("/etc/ld.so.conf"))))
        return self._conf
