"""All that a program needs to start: its interpreter, its libraries, and theirs, found as ld.so(8) finds them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from jailssh.core.names import escape
from jailssh.host.process import SYSTEM_PATH
from jailssh.image.elf import MAGIC, Abi, Elf, read_elf
from jailssh.image.errors import DistrustError, ImageError
from jailssh.image.sources import Found, Sources, Stamp, stamp_of

# The loader's own list of directories, as it stands in its read-only data: "/lib/x86_64-linux-gnu/\0/usr/lib/…/\0".
_SYSTEM_DIRS = re.compile(rb"/lib[\w./-]*/\0(?:/[\w./-]*lib[\w./-]*/\0)+")
# A loader without such a list is musl's; this is its default.
_MUSL_DIRS = ("/lib", "/usr/local/lib", "/usr/lib")
_MAX_SCRIPTS = 4
_MAX_CONF = 20

# Puts a path, with the links on the way, into the image; (path, origin) → what is at its end.
Take = Callable[[str, str], Found]


@dataclass(frozen=True)
class _Object:
    """One ELF object where it was found: ``origin_dir`` is its $ORIGIN, ``rpath`` what it inherits from its loaders."""

    found: Found
    elf: Elf
    origin_dir: str
    rpath: tuple[str, ...]
    system: tuple[str, ...]


class Closure:
    """Finds what programs need and hands each file to ``take``; the same file is examined once."""

    def __init__(self, sources: Sources, take: Take, note: Callable[[str], None]) -> None:
        self._sources = sources
        self._take = take
        self._note = note
        self._parsed: dict[Stamp, Elf] = {}
        self._done: set[tuple[str, tuple[str, ...]]] = set()
        self._system: dict[str, tuple[str, ...]] = {}
        self._conf: tuple[str, ...] | None = None
        self._libc: dict[Abi, _Object] = {}
        self._used_conf: dict[str, None] = {}

    @property
    def cache_dirs(self) -> tuple[str, ...]:
        """The directories of ld.so.conf(5) that libraries came from and that the loader does not search by itself."""
        return tuple(path for path in self._conf_dirs() if path in self._used_conf)

    def find_program(self, name: str) -> str | None:
        """Return the path of a program: a bare name in the system's directories, or an absolute path."""
        if name.startswith("/"):
            return name if self._sources.find(name) else None
        if "/" in name or not name:
            raise ImageError(f"program {escape(name)!r}", "neither a bare name nor an absolute path")
        for directory in SYSTEM_PATH:
            found = self._sources.find(f"{directory}/{name}")
            if found and found.is_file and found.info.st_mode & 0o111:
                return f"{directory}/{name}"
        return None

    def program(self, path: str, origin: str, depth: int = 0) -> None:
        """Take the program ``path`` and all it needs to start.  Scripts bring their interpreter."""
        found = self._take(path, origin)
        if not found.is_file or not found.info.st_mode & 0o111:
            raise ImageError(escape(path), f"not an executable file (needed by {origin})")
        head = self._sources.head(found)
        if head.startswith(MAGIC):
            self.object(found, origin)
        elif head.startswith(b"#!"):
            if depth >= _MAX_SCRIPTS:
                raise ImageError(escape(path), "too many interpreters, one calling the other")
            self._script(path, head, origin, depth)
        else:
            raise ImageError(escape(path), "neither an ELF program nor a script with an interpreter line")

    def _script(self, path: str, head: bytes, origin: str, depth: int) -> None:
        words = os.fsdecode(head[2:].split(b"\n", 1)[0]).split()
        if not words or not words[0].startswith("/"):
            raise ImageError(escape(path), "its interpreter line names no absolute path")
        origin = f"{origin}: interpreter of {path}"
        if self._sources.find(words[0]) is None:
            raise ImageError(escape(path), f"its interpreter {escape(words[0])} is not on this host")
        self.program(words[0], origin, depth + 1)
        if os.path.basename(words[0]) != "env":
            return
        name = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), None)
        program = self.find_program(name) if name else None
        if program is None:
            raise ImageError(escape(path), f"its interpreter {escape(name or '')!r} is not on this host")
        self.program(program, origin, depth + 1)

    def object(self, found: Found, origin: str) -> None:
        """Take what the ELF file ``found`` needs; the file itself is taken already.  Not loadable: nothing."""
        elf = self._elf(found)
        if not elf.loadable:
            return
        system = self._system_dirs(elf.interp) if elf.interp else ()
        if elf.interp:
            self._interpreter(elf, found, origin)
        elif elf.needed:
            system = self._native_dirs()
        queue = [_Object(found, elf, os.path.dirname(found.path), (), system)]
        while queue:
            item = queue.pop()
            key = (item.found.path, item.rpath)
            if key not in self._done:
                self._done.add(key)
                queue += [self._needed(name, item, origin) for name in item.elf.needed]
        for abi in list(self._libc):
            self._companion(abi, origin)

    def library(self, name: str, origin: str) -> bool:
        """Take the library ``name`` as the system's own programs would load it; False if there is none."""
        shell = self._native()
        context = _Object(shell, self._elf(shell), "", (), self._native_dirs())
        path = self._locate(name, context)
        if path:
            self.object(self._take(path, origin), origin)
        return path is not None

    def _interpreter(self, elf: Elf, found: Found, origin: str) -> None:
        if self._sources.find(elf.interp) is None:
            raise ImageError(escape(found.path), f"its loader {escape(elf.interp)} is not on this host")
        self._take(elf.interp, f"{origin}: loader of {found.path}")

    def _needed(self, name: str, item: _Object, origin: str) -> _Object:
        path = self._locate(name, item)
        if path is None:
            raise ImageError(
                escape(item.found.path),
                f"library {escape(name)} is not found (needed by {origin})",
                hint="install the package that has it, or name its directory in /etc/ld.so.conf.d",
            )
        found = self._take(path, f"{origin}: {name} of {item.found.path}")
        elf = self._elf(found)
        inherited = (*self._expand(item.elf.rpath, item), *item.rpath)
        child = _Object(found, elf, os.path.dirname(path), inherited, item.system)
        if name == "libc.so.6":
            self._libc.setdefault(elf.abi, child)
        return child

    def _companion(self, abi: Abi, origin: str) -> None:
        """Take libgcc_s, which glibc loads by itself in pthread_cancel(3) and backtrace(3)."""
        libc = self._libc.pop(abi)
        path = self._locate("libgcc_s.so.1", libc)
        if path:
            self._take(path, f"{origin}: loaded by libc.so.6")

    def _locate(self, name: str, item: _Object) -> str | None:
        """Return the path by which the loader would open library ``name`` for ``item``, or None."""
        if "/" in name:
            (path,) = self._expand((name,), item) or ("",)
            return path if path and self._fits(path, item.elf.abi) else None
        own = self._expand(item.elf.rpath, item)
        searched = (() if item.elf.runpath else (*own, *item.rpath)) + self._expand(item.elf.runpath, item)
        for directory in searched:
            self._check_private(directory, item)
            if self._fits(f"{directory}/{name}", item.elf.abi):
                return f"{directory}/{name}"
        if not item.elf.default_dirs:
            return None
        for directory in (*self._conf_dirs(), *item.system):
            if self._fits(f"{directory}/{name}", item.elf.abi):
                self._remember_conf(directory, item.system)
                return f"{directory}/{name}"
        return None

    def _check_private(self, directory: str, item: _Object) -> None:
        """Refuse a directory of RPATH or RUNPATH that others can write, whatever it holds now."""
        try:
            self._sources.find(directory)
        except DistrustError as error:
            why = f"it searches {escape(directory)} for libraries, and {error.what} is {error.why}"
            raise DistrustError(escape(item.found.path), why) from error

    def _remember_conf(self, directory: str, system: tuple[str, ...]) -> None:
        found = self._sources.find(directory)
        known = [self._sources.find(path) for path in system]
        if found and all(one is None or one.path != found.path for one in known):
            self._used_conf[directory] = None

    def _fits(self, path: str, abi: Abi) -> bool:
        """True if a loadable object of the same kind is at ``path``."""
        try:
            found = self._sources.find(path)
        except DistrustError:
            # A directory of the loader that others can write matters only if the library is taken from it.
            if self._sources.lstat(path) is None:
                return False
            raise
        if found is None or not found.is_file or not self._sources.head(found, 4).startswith(MAGIC):
            return False
        elf = self._elf(found)
        return elf.loadable and elf.abi == abi

    def _expand(self, dirs: tuple[str, ...], item: _Object) -> tuple[str, ...]:
        """Return directories with $ORIGIN, $LIB and $PLATFORM replaced; what is not absolute then is left out."""
        lib = item.system[0].lstrip("/") if item.system else "lib"
        values = {"ORIGIN": item.origin_dir, "LIB": lib, "PLATFORM": os.uname().machine}
        out = []
        for text in dirs:
            path = re.sub(r"\$(?:(\w+)|\{(\w+)\})", lambda m: values.get(m[1] or m[2], m[0]), text)
            if path.startswith("/"):
                out.append(path.rstrip("/") or "/")
            else:
                self._note(f"{escape(item.found.path)} searches {escape(text)!r}, which is not absolute, for libraries")
        return tuple(out)

    def _elf(self, found: Found) -> Elf:
        stamp = stamp_of(found.info)
        if stamp not in self._parsed:
            with open(self._sources.open(found), "rb") as file:
                self._parsed[stamp] = read_elf(file, found.path)
        return self._parsed[stamp]

    def _system_dirs(self, interp: str) -> tuple[str, ...]:
        if interp not in self._system:
            found = self._sources.find(interp)
            dirs: tuple[str, ...] = _MUSL_DIRS
            if found and found.is_file:
                lists = _SYSTEM_DIRS.findall(self._sources.head(found, 8 << 20))
                if lists:
                    dirs = tuple(part.decode().rstrip("/") for part in lists[0].split(b"\0") if part)
            self._system[interp] = dirs
        return self._system[interp]

    def _native(self) -> Found:
        shell = self._sources.find("/bin/sh")
        if shell is None:
            raise ImageError("/bin/sh", "not on this host, so its loader cannot be known")
        return shell

    def _native_dirs(self) -> tuple[str, ...]:
        interp = self._elf(self._native()).interp
        return self._system_dirs(interp) if interp else _MUSL_DIRS

    def _conf_dirs(self) -> tuple[str, ...]:
        if self._conf is None:
            self._conf = tuple(dict.fromkeys(read_conf(self._sources, "/etc/ld.so.conf")))
        return self._conf


def read_conf(sources: Sources, path: str, depth: int = 0) -> list[str]:
    """Return the directories that the ld.so.conf(5) file ``path`` names, in order; includes may be globs."""
    if depth > _MAX_CONF:
        raise ImageError(escape(path), "includes nested too deeply")
    dirs: list[str] = []
    for line in (sources.read_text(path) or "").splitlines():
        words = line.split("#", 1)[0].split(None, 1)
        if words[:1] == ["include"]:
            for pattern in words[1].split() if len(words) > 1 else ():
                base = pattern if pattern.startswith("/") else f"{os.path.dirname(path)}/{pattern}"
                for included in sources.glob(base):
                    dirs += read_conf(sources, included, depth + 1)
        elif words[:1] != ["hwcap"]:
            names = re.split(r"[\s:,]+", " ".join(words))
            dirs += [name.split("=", 1)[0].rstrip("/") for name in names if name.startswith("/")]
    return dirs
