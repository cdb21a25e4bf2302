"""Statements: what a spec says, one frozen value for each thing, with the place that says it.

Two statements that say the same are equal wherever they stand.  Paths in the jail are absolute and canonical in text;
host paths too, except bare program names (``search``) and patterns (``glob``).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from jailssh.core.names import HostPath, JailPath, escape
from jailssh.jailspec.devices import DeviceType

# How much weight a statement has: a stronger one beats a weaker one whatever their order.
REPAIR: Final = 0  # added by jailssh to a section of the administrator's that lacks it
SECTION: Final = 1  # from a section
EXPLICIT: Final = 2  # written in a spec

ROOT_OWNER: Final = ""
KEEP_OWNER: Final = "keep"


@dataclass(frozen=True)
class Origin:
    """Where a statement stands.

    ``line`` and ``column`` count from 1; line 0 is the file as a whole.  ``text`` is the statement as written,
    ``chain`` the places that led to this file or section, outermost first, ``strength`` one of the three above.
    """

    file: str
    line: int = 0
    column: int = 0
    text: str = ""
    chain: tuple[str, ...] = ()
    strength: int = EXPLICIT

    @property
    def place(self) -> str:
        """``file:line:column``, or as much of it as there is."""
        parts = [escape(self.file, 512)] + [str(number) for number in (self.line, self.column) if number]
        return ":".join(parts)

    def at(self, column: int) -> Origin:
        """Return the same origin at another column."""
        return replace(self, column=column)


@dataclass(frozen=True, kw_only=True)
class Statement:
    """Common to all: the origin, which plays no part in comparing."""

    origin: Origin = field(compare=False, repr=False)


@dataclass(frozen=True)
class Copy(Statement):
    """A file of the host, with its closure.

    ``target``  None: the same path.  ``mode`` None: the source's, without set-id bits.
    ``owner``   ``""`` root, ``keep`` the source's, else ``user`` or ``user:group``, names or numbers.
    ``setuid``  the source's set-id bits stay, those of ``mode`` count.
    ``optional``  left out where absent.
    ``glob``    ``source`` is a pattern of fnmatch(3) in each part (``[*]`` is a plain ``*``); a file of exactly that
                name comes first.
    ``search``  ``source`` is a bare name, looked up in the system's program directories.
    ``recursive``  as Jailkit takes ``paths``: a directory with all below it, a device as a device.  Otherwise both are
                an error.
    """

    source: HostPath
    target: JailPath | None = None
    mode: int | None = None
    owner: str = ROOT_OWNER
    setuid: bool = False
    optional: bool = False
    override: bool = False
    glob: bool = False
    search: bool = False
    recursive: bool = False


@dataclass(frozen=True)
class Tree(Statement):
    """A directory of the host with all below it.

    ``excludes`` are patterns: one without ``/`` is compared with each name, one with ``/`` with the path below the
    source.  ``glob``, ``owner``, ``setuid``, ``optional`` as in :class:`Copy`.
    """

    source: HostPath
    target: JailPath | None = None
    excludes: tuple[str, ...] = ()
    owner: str = ROOT_OWNER
    setuid: bool = False
    optional: bool = False
    glob: bool = False


@dataclass(frozen=True)
class Directory(Statement):
    """A directory, made where absent.  ``implied``: only because something lies below it."""

    path: JailPath
    mode: int = 0o755
    owner: str = ROOT_OWNER
    override: bool = False
    implied: bool = False


@dataclass(frozen=True)
class Symlink(Statement):
    """A symbolic link; ``target`` is its text, verbatim."""

    path: JailPath
    target: str
    override: bool = False


@dataclass(frozen=True)
class Hardlink(Statement):
    """A second name for ``existing``, a file of the same jail."""

    path: JailPath
    existing: JailPath
    override: bool = False


@dataclass(frozen=True)
class Device(Statement):
    """A node; see mknod(2)."""

    path: JailPath
    type: DeviceType
    major: int = 0
    minor: int = 0
    mode: int = 0o600
    owner: str = ROOT_OWNER
    override: bool = False


@dataclass(frozen=True)
class HostDevice(Statement):
    """A node with the type, numbers and mode of the host's node at the same path."""

    path: JailPath
    optional: bool = False


@dataclass(frozen=True)
class Content(Statement):
    """A file with this text."""

    path: JailPath
    text: str
    mode: int = 0o644
    owner: str = ROOT_OWNER
    override: bool = False


@dataclass(frozen=True)
class Package(Statement):
    """The files of an installed Debian package, as dpkg lists them; ``excludes`` as in :class:`Tree`, from ``/``."""

    name: str
    excludes: tuple[str, ...] = ()
    optional: bool = False


@dataclass(frozen=True)
class Data(Statement):
    """A named set of data that no program's header shows, such as ``locale``."""

    name: str


@dataclass(frozen=True)
class UserEntry(Statement):
    """The host's account of this name or number in the jail's passwd, without its password."""

    name: str
    optional: bool = False


@dataclass(frozen=True)
class GroupEntry(Statement):
    """The host's group of this name or number in the jail's group file."""

    name: str
    optional: bool = False


@dataclass(frozen=True)
class Need(Statement):
    """Something that a running jail needs besides files: ``logsocket`` or ``proc``."""

    name: str


@dataclass(frozen=True)
class Run(Statement):
    """A command for ``/bin/sh -c``, run on the host as root in the jail's directory after all files are there."""

    command: str


@dataclass(frozen=True)
class Section(Statement):
    """A section by name.  Reading replaces it by what it says; only shipped profiles are left for the resolver."""

    name: str
    optional: bool = False


@dataclass(frozen=True)
class Include(Statement):
    """Another spec file.  Reading replaces it by what that file says."""

    path: str


def claim(statement: Statement) -> tuple[JailPath, str] | None:
    """Return the one path that the statement puts into the jail and its kind in words, or None."""
    match statement:
        case Copy() if not (statement.glob or statement.search or statement.recursive):
            return statement.target or JailPath(statement.source), "file"
        case Content():
            return statement.path, "file"
        case Directory():
            return statement.path, "directory"
        case Symlink():
            return statement.path, "symbolic link"
        case Hardlink():
            return statement.path, "hard link"
        case Device() | HostDevice():
            return statement.path, "device"
    return None
