"""What started programs bring along: the files of their language or tool, from package data and the table of languages.

One piece of code for images and trees.  It only reads, and only through :class:`Sources`; what is taken everybody on
the host may read already.
"""

from __future__ import annotations

import os
import re
import stat
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from typing import TypeVar

from jailssh.closure.closure import Closure
from jailssh.closure.data import configured_locale
from jailssh.closure.errors import ImageError, MissingLibraryError, SourceChangedError, TooManyError, UnsafeModeError
from jailssh.closure.languages import Language, languages_of
from jailssh.closure.packages import Package, Packages, installed, is_part
from jailssh.closure.sources import Found, Sources
from jailssh.core.errors import JailsshError, parts, raise_all
from jailssh.core.names import HostPath, directory_of, escape, is_below, joined

_CERTIFICATES = tuple(map(HostPath, ("/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/ssl/cert.pem")))
_SHELLS = ("sh", "dash", "bash")
_LEAVE = ("__pycache__", "*.pyc")
_PROGRAM_DIRS = ("/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/games")
# A package that has nothing there has nothing of its own.
_OWN = (*_PROGRAM_DIRS, "/usr/lib", "/lib", "/usr/share/nodejs", "/usr/share/perl5", "/usr/share/php", "/opt")
_EVERYBODY = 0o005
_SECTIONS = "15678"
_T = TypeVar("_T")


@dataclass
class Taking:
    """What a maker of trees does with what is found.

    ``take(path, origin)``  puts a path with the links on the way; ``data(name, origin)`` takes a data set;
    ``note``  tells the administrator.  ``missing``: told of what a language lacks; without it that is an error.
    """

    take: Callable[[HostPath, str], Found]
    data: Callable[[str, str], None]
    note: Callable[[str], None]
    missing: Callable[[ImageError], None] | None = None


class Companions:
    """Takes what programs bring along; ``closure`` must be set before anything is started."""

    closure: Closure

    def __init__(self, sources: Sources, taking: Taking, packages: Packages | None = None) -> None:
        self._sources = sources
        self._taking = taking
        self._packages_known = packages
        self._done: set[tuple[str, ...]] = set()
        self._errors: list[JailsshError] = []
        self._passable: dict[str, bool] = {}
        self._files: set[str] = set()
        # The names of all that is started and what else has pages, until there is something that shows them.
        self._named: list[str] = []
        self._pages: Sequence[tuple[HostPath, str, Sequence[str]]] | None = None

    @property
    def _packages(self) -> Packages:
        if self._packages_known is None:
            self._packages_known = installed()
        return self._packages_known

    def started(self, found: Found, origin: str, script: Found | None = None) -> None:
        """Take what belongs to a program; ``script``: the program is started as the interpreter of this one.

        Raises :class:`ImageError` or ManyErrors for what the language needs and this host does not have.
        """
        with self._told():
            room, isolated = self._venv(found, origin)
            if room and is_below(found.path, room):
                found = self._base_of(room, found, origin) or found
            self._named += [os.path.basename(path) for path in (found.path, *(link for link, _ in found.links))]
            for row, version in languages_of(os.path.basename(found.path)):
                why = f"{origin}: belongs to {found.path}"
                at = _Place(found.path, _prefix_of(found.path), version)
                if self._is_new(row.name, found.path):
                    self._row(row, at, why)
                wants = row.modules and not isolated
                if wants and self._is_new(row.name, found.path, script.path if script else ""):
                    self._modules(row, at, why, script)
            self._manual(f"{origin}: page of the manual")

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Raise at the end what was wrong with one of the many."""
        outer, self._errors = self._errors, []
        try:
            yield
            errors = self._errors
        finally:
            self._errors = outer
        raise_all(errors)

    def _is_new(self, *key: str) -> bool:
        if key in self._done:
            return False
        self._done.add(key)
        return True

    def _manual(self, why: str) -> None:
        """Take the pages of what was started since the last call, if the manual can be shown."""
        if self._pages is None:
            return
        named, self._named = self._named, []
        for folder, section, names in self._pages:
            for name in named:
                for page in _pages_of(name, section, names):
                    self._try(partial(self._one, joined(folder, page), why))

    def _all_pages(self, top: str) -> Iterator[tuple[HostPath, str, Sequence[str]]]:
        """Yield directories of pages, in English and the language of this host, with their section and sorted names."""
        for room, section in product(("", *(f"/{one}" for one in self._languages())), _SECTIONS):
            folder = self._find(HostPath(f"{top}{room}/man{section}"))
            if folder and folder.is_dir:
                yield folder.path, section, self._sources.listdir(folder.path)

    def _row(self, row: Language, at: _Place, why: str) -> None:
        self._named += row.pages
        if row.manual and self._pages is None:
            self._pages = tuple(self._all_pages(at.fill("{prefix}/share/man")))
        if row.own and (package := self._packages.owner(at.program)):
            self._parts(self._packages.of_one_source([package]), why, row.leave)
        for pattern in row.packages:
            self._parts(self._packages.matching(pattern), why, row.leave)
        for path in self._found(row.paths, at):
            self._tree(path, why, row.leave)
        for name in row.programs:
            if (program := self.closure.find_program(name)) and self._is_new("program", program):
                self._try(partial(self._content, self._taking.take(program, why), why, (), language=True))
        for name in row.data:
            if self._is_new("data", name):
                self._taking.data(name, why)
        if row.data and "ca-certificates" in row.data and not self._has_certificates():
            self._taking.note(f"{row.name} will not speak https: this host has no certificates (ca-certificates)")
        for pattern, needed in row.required:
            self._require(row, at, pattern, needed, why)

    def _has_certificates(self) -> bool:
        return any(map(self._sources.find, _CERTIFICATES))

    def _require(self, row: Language, at: _Place, patterns: str, package: str, why: str) -> None:
        alternatives = [at.fill(one) for one in patterns.split("|")]
        paths = [path for one in alternatives for path in self._sources.glob(one)]
        if not any(found and self._is_open(found) for found in map(self._sources.find, paths)):
            what = f"program {escape(at.program)}"
            lacks = f"not everybody may read {paths[0]}" if paths else f"this host lacks {alternatives[0]}"
            lacks += f", without which {row.name} does not work ({why})"
            error = ImageError(what, lacks, hint=f"apt-get install {at.fill(package)}, or leave the program out")
            if self._taking.missing is None:
                self._errors.append(error)
            else:
                self._taking.missing(error)

    def _modules(self, row: Language, at: _Place, why: str, script: Found | None) -> None:
        owner = self._packages.owner(script.path) if script else None
        folders = self._found(row.modules, at)
        if script is None or owner is None:
            for folder in folders:
                self._tree(folder, why, row.leave)
            if script and "/node_modules/" in script.path:
                self._tree(HostPath(f"{script.path.partition('/node_modules/')[0]}/node_modules"), why, row.leave)
            return
        own = self._packages.owner(at.program)
        why = f"{why}, for {script.path}"
        self._parts(self._packages.of_one_source([owner]), why, row.leave)
        for package in self._packages.needed([owner, *([own] if own else [])]):
            self._parts([package], why, row.leave, folders)

    def _venv(self, found: Found, why: str) -> tuple[str, bool]:
        """Take the virtual environment that Python is reached through: pyvenv.cfg stands above its directory.

        Returns its directory, "" for none; and True if it shows none of the modules outside of it.
        """
        if not os.path.basename(found.path).startswith("python"):
            return "", False
        for path in (found.path, *(link for link, _ in found.links)):
            room = directory_of(directory_of(path))
            text = self._sources.read_text(joined(room, "pyvenv.cfg"))
            if text is None:
                continue
            if self._is_new("venv", room):
                self._taking.take(joined(room, "pyvenv.cfg"), why)
                for name in ("lib", "lib64"):
                    self._tree(joined(room, name), why, ())
            return room, _setting(text, "include-system-site-packages").lower() != "true"
        return "", False

    def _base_of(self, room: str, found: Found, why: str) -> Found | None:
        """Take the interpreter that an environment's own one is a copy of, since it has the library."""
        text = self._sources.read_text(HostPath(f"{room}/pyvenv.cfg")) or ""
        version = ".".join((_setting(text, "version") or _setting(text, "version_info")).split(".")[:2])
        base = self._sources.find(HostPath(f"{_setting(text, 'home')}/python{version}"))
        if base is None or not base.is_file:
            why = f"this host lacks the Python {version} of the virtual environment {escape(room)} ({why})"
            self._errors.append(ImageError(f"program {escape(found.path)}", why, hint="make the environment anew"))
            return None
        self._taking.take(base.path, why)
        self.closure.object(base, why)
        return base

    def package(self, name: str, origin: str) -> None:
        """Take an installed package: its parts and programs and what :meth:`belonging` adds."""
        package = self._packages.must_have(name)
        if not self._is_new("whole", *package.listed):
            return
        with self._told():
            self._parts([package], origin, ())
            for path in self._packages.files(package, self._sources):
                if _in_folders(path, _PROGRAM_DIRS):
                    self._program(path, origin)
        self.belonging(name, origin)

    def belonging(self, name: str, origin: str) -> None:
        """Take what belongs to a package besides its own files.

        That is, of what it depends on, the packages of the same source or name, and the modules of others; and the
        names that alternatives give its programs.  A package of nothing but links stands for those that it names.
        """
        package = self._packages.must_have(name)
        if not self._is_new("package", *package.listed):
            return
        files = self._packages.files(package, self._sources)
        needed = self._packages.needed([package])[1:]
        kin = [one for one in needed if one.source == package.source or one.name.startswith(f"{package.name}-")]
        if not any(_in_folders(path, _OWN) and self._is_regular(path) for path in files):
            kin += [one for one in needed if one.name in package.depends]
        with self._told():
            self._choices(files, origin)
            for one in kin:
                self._try(partial(self.package, one.name, origin))
            for one in needed:
                self._parts([one], origin, (), _MODULES)

    def _choices(self, files: Sequence[HostPath], origin: str) -> None:
        """Take the names that alternatives give the programs among ``files``."""
        ends = {found.path for path in files if "bin" in path.split("/") and (found := self._find(path))}
        for link, end in self._packages.choices(self._sources) if ends else ():
            if end in ends:
                self._program(link, origin)

    def _program(self, path: HostPath, origin: str) -> None:
        found = self._find(path)
        if found is None or not found.is_file or not found.info.st_mode & 0o111 or not self._is_open(found):
            return
        self._try(lambda: self._content(self._taking.take(path, origin), origin, (), language=True))

    def _find(self, path: HostPath) -> Found | None:
        return next(iter(self._try(lambda: [self._sources.find(path)])), None)

    def _is_open(self, found: Found) -> bool:
        """True for what everybody on the host may read, and enter if it is a directory; all above can be passed."""
        wanted = _EVERYBODY if found.is_dir else 0o004
        return found.info.st_mode & wanted == wanted and all(map(self._is_passable, found.dirs))

    def _is_passable(self, path: HostPath) -> bool:
        if path not in self._passable:
            info = self._sources.lstat(path)
            self._passable[path] = info is not None and bool(info.st_mode & stat.S_IXOTH)
        return self._passable[path]

    def _is_regular(self, path: HostPath) -> bool:
        info = self._sources.lstat(path)
        return info is not None and stat.S_ISREG(info.st_mode)

    def _found(self, patterns: Sequence[str], at: _Place) -> list[HostPath]:
        out: list[HostPath] = []
        for pattern in patterns:
            out += self._try(partial(self._sources.glob, at.fill(pattern)))
        return list(dict.fromkeys(out))

    def _parts(self, packages: Iterable[Package], why: str, leave: Sequence[str], folders: Sequence[str] = ()) -> None:
        """Take the files of packages that their programs open; ``folders``: only what lies below one of these."""
        taken: list[Found] = []
        for package in packages:
            if not self._is_new("parts", *package.listed, *(folders if folders else ())):
                continue
            for path in self._packages.files(package, self._sources):
                below = _below(path, folders) if folders else self._part(path)
                if below is not None and not _is_left(below, leave):
                    taken += self._try(partial(self._one, path, why))
        self._contents([found for found in taken if found.is_file], why)

    def _part(self, path: HostPath) -> HostPath | None:
        if path.startswith("/usr/share/locale/"):
            return path if path.split("/")[4] in self._languages() else None
        return path if is_part(path) else None

    def _languages(self) -> tuple[str, ...]:
        name = re.split(r"[.@]", configured_locale(self._sources))[0]
        return (name, name.partition("_")[0])

    def _tree(self, top: HostPath, why: str, leave: Sequence[str]) -> None:
        """Take a file, or a directory with all below it and behind its links that everybody may read."""
        files: list[Found] = []
        todo = [(top, top)]
        while todo:
            path, base = todo.pop()
            found = self._find(path)
            if found is None or not self._is_open(found):
                continue
            self._taking.take(path, why)
            if not self._is_new("tree", found.path, *leave):
                continue
            if found.is_file:
                files.append(found)
            elif found.is_dir:
                base = found.path if path == base else base
                for name in self._sources.listdir(found.path):
                    child = joined(found.path, name)
                    if not _is_left(child.removeprefix(base), leave):
                        files += self._try(partial(self._child, child, base, todo, why))
        self._contents(files, why)

    def _child(
        self, path: HostPath, base: HostPath, todo: list[tuple[HostPath, HostPath]], why: str
    ) -> Iterator[Found]:
        for found in self._one(path, why):
            if found.is_file:
                yield found
            elif found.path == path:
                todo.append((path, base))
            elif found.path.count("/") > 2 and self._part(found.path):
                todo.append((found.path, found.path))

    def _one(self, path: HostPath, why: str) -> Iterator[Found]:
        """Take one path and yield what is at its end, unless it is nothing, not for everybody, or taken before."""
        found = self._sources.find(path)
        if found is None or path in self._files or not (found.is_file or found.is_dir):
            return
        if self._is_open(found):
            self._files.update([path] if found.is_file else ())
            self._taking.take(path, why)
            yield found

    def _contents(self, files: Sequence[Found], why: str) -> None:
        names = {os.path.basename(found.path) for found in files}
        for found in files:
            self._try(partial(self._content, found, why, names))

    def _content(self, found: Found, why: str, names: Iterable[str], *, language: bool = False) -> None:
        """Take what a file needs; a script its shell, and all of its language only if ``language``.

        What cannot be loaded is data for those who know how, with a note: ``names`` are files beside it, which whoever
        loads it loads first.
        """
        try:
            if language:
                self.closure.file(found, why)
            elif self._sources.elf(found):
                self.closure.object(found, why)
            elif found.info.st_mode & 0o111 and _wants_shell(self._sources.head(found)):
                self.closure.file(found, why)
        except SourceChangedError:
            raise
        except JailsshError as error:
            for one in parts(error):
                if isinstance(one, UnsafeModeError | TooManyError):
                    raise
                if not isinstance(one, MissingLibraryError) or one.library not in names:
                    self._taking.note(f"{one}; it is taken as it is, as data")

    def _try(self, act: Callable[[], Iterable[_T] | None]) -> list[_T]:
        """Do one of many and return what it gives; what not only root can write is left out, with a note."""
        try:
            return list(act() or ())
        except (SourceChangedError, TooManyError):
            raise
        except UnsafeModeError as error:
            self._taking.note(f"left out, as not only root can write it: {error}")
        except JailsshError as error:
            self._errors += parts(error)
        return []


@dataclass(frozen=True)
class _Place:
    """A program with what stands for ``{prefix}`` and ``{version}`` in the patterns of its row."""

    program: str
    prefix: str
    version: str

    def fill(self, pattern: str) -> str:
        """Return a pattern with both put in."""
        return pattern.replace("{prefix}", self.prefix.rstrip("/")).replace("{version}", self.version or "*")


def _prefix_of(program: str) -> str:
    """Return the directory above that of a program; above lib and libexec, where one is started by others."""
    prefix = os.path.dirname(os.path.dirname(program))
    return os.path.dirname(prefix) if os.path.basename(prefix) in ("lib", "libexec") else prefix


_MODULES = (
    "/usr/lib/python3/dist-packages", "/usr/share/perl5", "/usr/lib/ruby", "/usr/share/rubygems-integration",
    "/var/lib/gems", "/usr/share/nodejs", "/usr/lib/nodejs", "/usr/share/php", "/usr/share/pear",
)  # fmt: skip


def _setting(text: str, name: str) -> str:
    """Return a value of pyvenv.cfg, "" where it is not set."""
    match = re.search(rf"^{re.escape(name)}\s*=[ \t]*(\S*)", text, re.MULTILINE)
    return match[1] if match else ""


def _pages_of(name: str, section: str, names: Sequence[str]) -> Iterator[str]:
    """Yield which of the sorted ``names`` are pages of ``name``; with ``*`` at its end, of all that begin with it."""
    start = name[:-1] if name.endswith("*") else f"{name}."
    for at in range(bisect_left(names, start), len(names)):
        page = names[at]
        if not page.startswith(start):
            return
        title, _, kind = page.removesuffix(".gz").rpartition(".")
        if kind.startswith(section) and (title == name or start != f"{name}."):
            yield page


def _in_folders(path: str, folders: Iterable[str]) -> bool:
    return any(is_below(path, folder) for folder in folders)


def _below(path: str, folders: Iterable[str]) -> str | None:
    return next((path.removeprefix(folder) for folder in folders if is_below(path, folder)), None)


def _is_left(below: str, leave: Sequence[str]) -> bool:
    return _left(tuple(leave)).search(f"/{below.lstrip('/')}") is not None


@cache
def _left(leave: tuple[str, ...]) -> re.Pattern[str]:
    """Return what finds a name that is to be left out in a path that begins where the walk does."""
    names = (re.escape(pattern).replace(r"\*", "[^/]*") for pattern in (*_LEAVE, *leave))
    return re.compile("|".join(rf"\A{name}(?:/|\Z)" if name.startswith("/") else rf"/{name}(?:/|\Z)" for name in names))


def _wants_shell(head: bytes) -> bool:
    words = head[2:].split(b"\n", 1)[0].split() if head.startswith(b"#!") else []
    names = [os.path.basename(os.fsdecode(word)) for word in words[:2]]
    return bool(names) and (names[0] in _SHELLS or (names[0] == "env" and names[1:] != [] and names[1] in _SHELLS))
