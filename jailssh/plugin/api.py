"""What a plugin is.

A plugin gives a jail one capability (sftp, git, a shell …).  It only *returns data*: what the image must hold,
which commands are allowed with which arguments, which mounts are needed.  It never touches the system, never sees
a login, and is not loaded on the login path.

A plugin is an object with the attributes of :class:`Plugin`, announced by an entry point of the group
``jailssh.plugins`` whose name is the plugin's name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Protocol, runtime_checkable

from jailssh.core.closed import Word
from jailssh.core.ports import Ports as Ports
from jailssh.policy.rules import Rule as Rule

API_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Directory:
    """An entry of a section ``[directories]`` as it is written: ``path`` of the host, ``place`` where it is seen.

    ``place`` is "" for the same path, and ``/`` for a home whose directories are shown at the top.  ``who`` are roles
    (see :class:`Account`), none for everybody.  What is made there gets ``mode`` (-1: as it is made) and ``group``
    ("": the maker's).  ``origin`` is file, line and section.
    """

    path: str
    place: str
    writable: bool
    who: tuple[str, ...]
    mode: int
    group: str
    origin: str


@dataclass(frozen=True)
class Account:
    """The account that a plan is for, as NSS knows it.  ``home`` is where the jail shows its home.

    ``host_home`` is the same directory on the host, "" where that is the same path; see :meth:`on_host`.

    ``roles`` are the names by which rights are given, each to itself: the account's name and ``@group`` for its Unix
    groups; in a shared account the key's name and ``@group`` for the groups of keys that it is in.  ``@all`` is always
    one of them.

    ``directories`` are those of its own file, beside the jail's.
    """

    name: str
    uid: int
    gid: int
    group: str
    home: str
    _: KW_ONLY
    gecos: str = ""
    groups: tuple[tuple[str, int], ...] = ()
    roles: frozenset[str] = frozenset(("@all",))
    host_home: str = ""
    directories: tuple[Directory, ...] = ()

    def on_host(self, path: str) -> str:
        """Return where the host has what the jail shows at ``path``: another place only for the home."""
        if not self.host_home or not (path == self.home or path.startswith(f"{self.home}/")):
            return path
        return self.host_home + path[len(self.home) :]

    def source_of(self, bind: Bind) -> str:
        """Return the directory of the host that ``bind`` shows."""
        return bind.source or self.on_host(bind.path)


class Grant(Word):
    """What a line of a table of rights gives; each includes those before it."""

    READ = "read"
    WRITE = "write"
    CREATE = "create"


class RefRight(Word):
    """What a line of a table of rights lets somebody do to references of a repository; ``DENY`` takes away."""

    PUSH = "push"
    REWIND = "rewind"  # which includes PUSH
    CREATE = "create"
    DELETE = "delete"
    DENY = "deny"


REFS = "refs/"
"""What names of references begin with, and no name of somebody does: lines for references are told by it."""


@dataclass(frozen=True)
class Right:
    """One line of a table of rights.

    ``pattern`` is as written, absolute or relative, and clean; ``who`` are roles (see :class:`Account`).  A line for
    references has ``ref``, a pattern for them, and ``on_ref``; who may push some can write to the repository, so
    ``right`` is that then, and it is to read for a line that only takes away, which gives nothing.
    """

    right: Grant
    pattern: str
    who: tuple[str, ...]
    _: KW_ONLY
    ref: str = ""
    on_ref: RefRight | None = None

    @classmethod
    def of(cls, line: str) -> Right:
        """Return the right in ``line``, which the reader of the configuration has checked."""
        right, pattern, *who = line.split()
        if not who[0].startswith(REFS):
            return cls(Grant(right), pattern, tuple(who))
        on_ref = RefRight(right)
        gives = Grant.READ if on_ref is RefRight.DENY else Grant.WRITE
        return cls(gives, pattern, tuple(who[1:]), ref=who[0], on_ref=on_ref)


@dataclass(frozen=True)
class ImageNeeds:
    """What a plugin needs in the image.  Paths are host paths; they keep their place in the jail.

    ``programs``  executables, with their closure (libraries, interpreter) and what their language loads by name; a
                  bare name is looked up in the system's standard directories.  ``optional_programs``: the same,
                  silently left out where absent.  ``bare_programs``: the closure alone, for programs that are held to a
                  narrow use: git brings no helpers and no shell then.
    ``packages``  names of installed packages of the distribution: their programs, libraries and modules.
    ``files``     single files or whole trees, copied as they are.  ``optional_files``: left out where absent.
    ``dirs``      empty directories.
    ``links``     ``(path, target)`` symbolic links.
    ``texts``     ``(path, content)`` small generated files, mode 0644.
    ``data``      names of data sets that ELF cannot show: ``nss``, ``locale``, ``terminfo``, ``zoneinfo``,
                  ``ca-certificates``, ``gconv``.
    """

    _: KW_ONLY
    programs: tuple[str, ...] = ()
    optional_programs: tuple[str, ...] = ()
    bare_programs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    optional_files: tuple[str, ...] = ()
    dirs: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bind:
    """A host directory that the jail shows at the same path.  ``optional``: left out where absent at login.

    ``source``: the directory of the host where that has another path than in the jail; plugins leave it empty.
    """

    path: str
    writable: bool = False
    optional: bool = False
    source: str = ""


@dataclass(frozen=True)
class Reach:
    """What a plugin's program does to the directories of the jail: with it, plugins that cannot share one are found.

    ``trusts``   what lies there gives the program orders (hooks, settings that run something).
    ``writes``   there it makes files as the client wants them; ``/``: wherever the jail shows something writable.
    ``changes``  there it may overwrite, move or remove what is there; without it, everything in ``writes``.
    ``keeps``    there the plugin promises that nothing that is there is changed or removed.
    """

    trusts: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    changes: tuple[str, ...] | None = None
    keeps: tuple[str, ...] = ()


@dataclass(frozen=True)
class PluginResult:
    """What one plugin gives to one account's plan.

    ``home`` says how the plugin wants the home: ``rw``, ``ro`` or ``none``; the strongest wish of all plugins wins.
    ``capability`` is the word shown to a denied user ("this account allows: sftp, scp").
    ``reach`` says what its program believes and changes; without one it trusts nothing, and writes wherever the
    plugin itself has something shown writable.
    ``ports`` are what sshd forwards in the host's network for accounts in the jail, in the place of any session: the
    same for all of them, no other plugin is in the jail, and the rules only say so.
    ``asks``: the jail shows the socket by which its accounts ask for changes of themselves (``jailssh.core.asking``).
    ``logs``: what it does for the administrator is told to the journal, so the jail must say ``log = yes``.
    """

    rules: tuple[Rule, ...]
    capability: str
    _: KW_ONLY
    binds: tuple[Bind, ...] = ()
    home: str = "rw"
    env: tuple[tuple[str, str], ...] = ()
    pty: bool = False
    proc: bool = False
    executable_home: bool = False
    reach: Reach | None = None
    ports: Ports | None = None
    asks: bool = False
    logs: bool = False


class Listed(Word):
    """What ``[directories]`` has to do with an option: it stands for directories of it, or lies in one.

    ``ALL``: all of them.  ``READ``: those that are only read.  ``WRITABLE``: those that can be written to.  ``ONE``:
    the only one of these.  ``INSTEAD``: nothing of it is meant where this is set.  ``INSIDE``: the value is a directory
    in one that the jail shows, or ``/``.
    """

    ALL = "all"
    READ = "read"
    WRITABLE = "writable"
    ONE = "one"
    INSTEAD = "instead"
    INSIDE = "inside"


@dataclass(frozen=True)
class Option:
    """One setting in the plugin's section of a jail file.

    ``kind`` is one of ``bool``, ``word``, ``text``, ``path`` (absolute, or ``~/…`` below the home), ``paths``,
    ``words``, ``texts`` (separated by commas), ``int``, ``size?`` (bytes, -1 where empty), ``octal``, ``enum:a,b``,
    ``rights`` (the absolute path of a root-owned file of lines ``RIGHT PATTERN WHO…``, or the lines themselves,
    separated by commas; the value is a tuple of lines for :meth:`Right.of`); ``default`` is written as in the file.

    ``listed`` says what of the jail's ``[directories]`` is meant where the plugin's section names no directory, or how
    the value has to do with it.
    """

    name: str
    kind: str
    default: str
    help: str
    _: KW_ONLY
    listed: Listed | None = None


Value = bool | int | str | tuple[str, ...]


@dataclass(frozen=True)
class Jail:
    """The facts about the jail that a plugin may look at.

    ``find_program`` looks a program up on this host: bare name to canonical host path, or None.  ``version_of`` says
    what the program at a path prints when it is asked for its ``--version``, "" where that fails, None where there is
    no such program; without one nobody can be asked.
    """

    name: str
    plugins: tuple[str, ...]
    find_program: Callable[[str], str | None] = field(repr=False)
    version_of: Callable[[str], str | None] | None = field(default=None, repr=False)


@runtime_checkable
class Plugin(Protocol):
    """The interface.  All methods are pure: same input, same output, nothing read but the arguments."""

    api_version: int
    name: str
    summary: str

    # Read alone, so a tuple of a certain length is one too.
    @property
    def options(self) -> tuple[Option, ...]:
        """The settings of its section in a jail file."""

    def image(self, jail: Jail, settings: Mapping[str, Value]) -> ImageNeeds:
        """Return what the image needs; independent of the account, since the image is shared."""

    def account(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> PluginResult:
        """Return rules and mounts for one account.  Raise ``ConfigError`` for settings that cannot work."""
