"""What dpkg(1) knows of this host's packages, from its own files: whose a file is, what a package has and needs.

Nothing is run.  A list of files is read through :class:`Sources`, so that a manifest rests on it: it changes whenever
its package does.  The rest is read as it is at the moment: it can only mean something else when a list changes too.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from jailssh.closure.errors import ImageError
from jailssh.closure.sources import Sources
from jailssh.core.errors import HostError
from jailssh.core.names import HostPath, escape
from jailssh.files import fs

DPKG = "/var/lib/dpkg"
NOT_INSTALLED = "not installed"
"""Why a package gives nothing."""
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*(:[a-z0-9-]+)?\Z")
_FIELDS = re.compile(
    r"^(Package|Status|Architecture|Multi-Arch|Source|Depends|Pre-Depends|Provides): *(.*(?:\n[ \t].*)*)", re.MULTILINE
)
# "name:arch (>= 1) [arch]": only the name counts, since what is installed satisfies it.
_WORD = re.compile(r"\s*([a-z0-9][a-z0-9+.-]*)")
_MAX_STATUS = 64 << 20
_MAX_LIST = 64 << 20
_MAX_CHOICE = 1 << 20
_PROGRAM_DIRS = ("bin", "sbin", "games")
# Where the parts of packages lie that programs open; documentation and what only the host's services read is left out.
_PARTS = frozenset((
    "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libexec", "/usr/include", "/usr/share", "/lib", "/lib32", "/lib64",
    "/etc", "/opt", "/var/lib/gems",
))  # fmt: skip
_NOT_PARTS = frozenset((
    *(f"/usr/share/{name}" for name in (
        "appdata", "applications", "apport", "bash-completion", "binfmts", "bug", "dbus-1", "doc", "doc-base",
        "gtk-doc", "help", "icons", "info", "lintian", "locale", "man", "menu", "metainfo", "mime", "mime-info",
        "mimelnk", "omf", "pixmaps", "reportbug")),
    *(f"/usr/lib/{name}" for name in ("debug", "mime", "systemd", "sysusers.d", "tmpfiles.d", "udev", "valgrind")),
    *(f"/lib/{name}" for name in ("systemd", "udev")),
    *(f"/etc/{name}" for name in (
        "X11", "apparmor.d", "apport", "apt", "cron.d", "cron.daily", "cron.hourly", "cron.monthly", "cron.weekly",
        "dbus-1", "default", "init.d", "insserv.conf.d", "kernel", "logcheck", "logrotate.d", "pam.d", "skel",
        "security", "ssh", "ssl/private", "sudoers.d", "sysctl.d", "systemd", "udev", "ufw", "update-motd.d", "xdg")),
))  # fmt: skip
_DEEPEST = 3  # names, of those above


@dataclass(frozen=True, kw_only=True)
class Package:
    """One installed package.

    ``source``   the source package that it was built from.  ``listed``: the names that its list of files may have.
    ``depends``  the names of what it depends on, all alternatives of each.  ``provides``: what it stands for, too.
    """

    name: str
    source: str
    listed: tuple[str, ...]
    depends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()


@dataclass
class Packages:
    """The installed packages by name; none where this host has no dpkg."""

    folder: str
    trusted_root: str | None = None
    by_name: Mapping[str, Package] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._owners: dict[str, str | None] = {}
        self._provided: dict[str, list[str]] = {}
        for package in self.by_name.values():
            for name in package.provides:
                self._provided.setdefault(name, []).append(package.name)

    def must_have(self, name: str) -> Package:
        """Return an installed package; :class:`ImageError` if it is not, or this is no name of one."""
        if not _NAME.match(name):
            raise ImageError(f"package {escape(name)}", "not a name of a Debian package")
        package = self.by_name.get(name)
        if package is None:
            raise ImageError(f"package {escape(name)}", NOT_INSTALLED, hint=f"apt-get install {name}")
        return package

    def matching(self, pattern: str) -> list[Package]:
        """Return the installed packages whose names are like a glob(7) pattern."""
        return [each for name, each in self.by_name.items() if fnmatch.fnmatchcase(name, pattern) and ":" not in name]

    def files(self, package: Package, sources: Sources) -> list[HostPath]:
        """Return the paths that a package brought, directories too; :class:`ImageError` if dpkg's list is missing."""
        for name in package.listed:
            text = sources.read_text(HostPath(f"{self.folder}/info/{name}"), _MAX_LIST)
            if text is not None:
                return [HostPath(line) for line in text.split("\n") if line.startswith("/") and line != "/."]
        hint = f"apt-get install --reinstall {package.name}"
        raise ImageError(f"package {package.name}", "its list of files is missing", hint=hint)

    def needed(self, first: Iterable[Package]) -> list[Package]:
        """Return packages with all that they depend on, as far as it is installed; the first ones first."""
        todo = list(first)
        known = {package.name: package for package in todo}
        while todo:
            for name in todo.pop().depends:
                for real in (name, *self._provided.get(name, ())):
                    package = self.by_name.get(real)
                    if package and package.name not in known:
                        known[package.name] = package
                        todo.append(package)
        return list(known.values())

    def of_one_source(self, first: Iterable[Package]) -> list[Package]:
        """Return packages with those of their dependencies that were built from the same source."""
        first = list(first)
        sources = {package.source for package in first}
        return [package for package in self.needed(first) if package.source in sources]

    def owner(self, path: str) -> Package | None:
        """Return the package that brought the file ``path`` (free of links); None for no package's file."""
        if not self.by_name:
            return None
        if path not in self._owners:
            self._owners[path] = self._find_owner(path)
        found = self._owners[path]
        return self.by_name.get(found) if found else None

    def _find_owner(self, path: str) -> str | None:
        # On a host with a merged /usr a package may have it by either name.
        wanted = [os.fsencode(f"\n{name}\n") for name in dict.fromkeys((path, path.removeprefix("/usr")))]
        folder = fs.open_dir(f"{self.folder}/info", trusted_root=self.trusted_root)
        try:
            for name in sorted(os.listdir(folder)):
                if not name.endswith(".list"):
                    continue
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                with open(fd, "rb", buffering=0) as file:
                    data = file.read()
                if any(line in data for line in wanted):
                    full = name.removesuffix(".list")
                    return full if full in self.by_name else full.partition(":")[0]
        finally:
            os.close(folder)
        return None

    def choices(self, sources: Sources) -> Iterator[tuple[HostPath, HostPath]]:
        """Yield (link, path): the names that update-alternatives(1) gives programs, and where each leads now."""
        for name in _names(f"{self.folder}/alternatives", self.trusted_root) if self.by_name else ():
            lines = _text(f"{self.folder}/alternatives/{name}", _MAX_CHOICE, self.trusted_root).split("\n")
            # mode, link, then name and link of each that follows, up to a blank line: update-alternatives(1).
            links = [*lines[1:2], *lines[3 : lines.index("", 1) if "" in lines[1:] else None : 2]]
            for link in map(HostPath, links):
                is_program = link.startswith("/") and os.path.basename(os.path.dirname(link)) in _PROGRAM_DIRS
                found = sources.find(link) if is_program else None
                if found and found.is_file:
                    yield link, found.path


def _names(folder: str, trusted_root: str | None) -> list[str]:
    try:
        fd = fs.open_dir(folder, trusted_root=trusted_root)
    except HostError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return []
        raise
    try:
        return sorted(os.listdir(fd))
    finally:
        os.close(fd)


def _text(path: str, limit: int, trusted_root: str | None) -> str:
    return fs.read_trusted(path, limit, trusted_root=trusted_root).decode("utf-8", "surrogateescape")


def installed(folder: str = DPKG, trusted_root: str | None = None) -> Packages:
    """Return this host's packages as dpkg's status file says now, which is read once as long as it stays the same."""
    try:
        info = os.stat(f"{folder}/status")
    except (FileNotFoundError, NotADirectoryError):
        return Packages(folder)
    return _installed(folder, trusted_root, (info.st_ino, info.st_mtime_ns, info.st_size))


@lru_cache(maxsize=1)
def _installed(folder: str, trusted_root: str | None, _stamp: tuple[int, ...]) -> Packages:
    own = ""
    found: dict[tuple[str, str], Package] = {}
    for text in _text(f"{folder}/status", _MAX_STATUS, trusted_root).split("\n\n"):
        row = dict(_FIELDS.findall(text))
        if not row.get("Status", "").endswith(" installed"):
            continue
        name, machine = row["Package"], row.get("Architecture", "")
        own = machine if name == "dpkg" else own
        found[name, machine] = Package(
            name=name,
            source=(row.get("Source", "").split() or [name])[0],
            listed=(f"{name}:{machine}.list", f"{name}.list"),
            depends=tuple(_words(f"{row.get('Pre-Depends', '')},{row.get('Depends', '')}")),
            provides=tuple(_words(row.get("Provides", ""))),
        )
    by_name: dict[str, Package] = {}
    for (name, machine), package in found.items():
        by_name[f"{name}:{machine}"] = package
        if machine in (own, "all") or name not in by_name:
            by_name[name] = package
    return Packages(folder, trusted_root, by_name)


def _words(text: str) -> Iterator[str]:
    for part in re.split(r"[,|]", text):
        if match := _WORD.match(part):
            yield match[1]


def is_part(path: str) -> bool:
    """True for a path of a package that its programs open, and neither documentation nor settings of services."""
    names = path.split("/", _DEEPEST + 1)
    above = ["/".join(names[:end]) for end in range(2, min(len(names), _DEEPEST + 1) + 1)]
    return not _PARTS.isdisjoint(above) and _NOT_PARTS.isdisjoint(above)
