"""A directory that is a jail of Jailkit's: what jk_chrootsh looks at in it, by the numbers of its exit codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from jailssh.core.errors import JailsshError
from jailssh.core.names import is_clean_absolute
from jailssh.sources.found import Host, Person

SEPARATOR = "/./"
PROGRAM_DIRS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_CHECKED = ("dev", "etc", "lib", "usr", "bin", "sbin")
_SYSTEM = ("etc", "usr", "lib", "lib64", "bin", "sbin", "opt", "var", "srv")
_BELOW = ("*", "*/*")
_MOST_LINKS = 20
_MOST_PATH = 1023
_SET_ID, _OTHERS_WRITE, _GROUP_WRITE = 0o6000, 0o002, 0o020
_LOOSE = _SET_ID | _OTHERS_WRITE | _GROUP_WRITE
_TYPE, _LINK, _DIRECTORY = 0o170000, 0o120000, 0o040000


class Refused(Exception):
    """jk_chrootsh ends; ``code`` is its exit code, the text says why."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Unsafe(Exception):
    """What the reader needs cannot be read; the text says why."""


@dataclass(frozen=True)
class Entry:
    """A line of a jail's passwd."""

    name: str
    uid: int
    home: str
    shell: str


@dataclass
class Jail:
    """A jail: answers are kept, since many accounts share one.  ``accounts``: names of those whose home is in it."""

    path: str
    host: Host
    accounts: list[str] = field(default_factory=list)
    _texts: dict[str, str | None] = field(default_factory=dict)
    _safe: list[Refused | None] = field(default_factory=list)
    _programs: dict[str, tuple[str, int]] | None = None
    _users: dict[str, Entry] | None = None
    _groups: dict[int, str] | None = None
    _missing: frozenset[str] | None = None
    _users_data: list[tuple[str, int]] | None = None

    def read(self, name: str) -> str | None:
        """Return a file of the jail's, as ``/etc/passwd``; :class:`Unsafe` where others than root can change it."""
        if name not in self._texts:
            try:
                self._texts[name] = self.host.read(self.path + name)
            except JailsshError as error:
                raise Unsafe(str(error)) from error
        return self._texts[name]

    def check(self) -> None:
        """Raise :class:`Refused` where jk_chrootsh does not enter the jail at all."""
        if not self._safe:
            try:
                self._check()
            except Refused as refused:
                self._safe.append(refused)
            else:
                self._safe.append(None)
        if self._safe[0] is not None:
            raise self._safe[0]

    def _check(self) -> None:
        what = self.host.kind(self.path)
        if what not in ("dir", "link"):
            raise Refused(19, f"there is no directory {self.path}")
        parts = self.path.split("/")
        above = ["/".join(parts[:number]) for number in range(2, len(parts) + 1)]
        if not is_clean_absolute(self.path) or any(self.host.kind(path) == "link" for path in above):
            raise Refused(21, f"{self.path} is not the path that the kernel gives for the directory")
        if len(self.path) > _MOST_PATH:
            raise Refused(21, "the path of the jail is too long")
        for path in (self.path, *(f"{self.path}/{name}" for name in _CHECKED)):
            if path == self.path or self.host.kind(path):
                self._check_directory(path)

    def _check_directory(self, path: str) -> None:
        status = self.host.status(path if path == self.path else followed(self.host, path))
        if status is None or status[0] & _TYPE != _DIRECTORY:
            raise Refused(53, f"{path} is not a directory")
        if status[1:] != (0, 0):
            raise Refused(53, f"{path} does not belong to root")
        if status[0] & _LOOSE:
            raise Refused(53, f"{path} has mode {status[0] & 0o7777:o}")

    def user(self, name: str) -> Entry | None:
        """Return what the jail's passwd says of an account: its first line with the name counts."""
        if self._users is None:
            self._users = {}
            for line in (self.read("/etc/passwd") or "").splitlines():
                parts = line.split(":")
                if len(parts) >= 7 and parts[2].isdecimal():
                    self._users.setdefault(parts[0], Entry(parts[0], int(parts[2]), parts[5], parts[6]))
        return self._users.get(name)

    def group(self, gid: int) -> str | None:
        """Return the name that the jail has for a gid."""
        if self._groups is None:
            self._groups = {}
            for line in (self.read("/etc/group") or "").splitlines():
                parts = line.split(":")
                if len(parts) >= 3 and parts[2].isdecimal():
                    self._groups.setdefault(int(parts[2]), parts[0])
        return self._groups.get(gid)

    def missing(self) -> frozenset[str]:
        """Return the programs of the jail, by name, that this host does not have."""
        if self._missing is None:
            self._missing = frozenset(name for name in self.programs() if not on_host(self.host, name))
        return self._missing

    def inside(self, path: str) -> str:
        """Return where a path of the jail leads in it, links followed with the jail as root; "" where to nothing."""
        todo, at, links = [part for part in path.split("/") if part], "", 0
        while todo:
            part = todo.pop(0)
            if part == "..":
                at = at.rpartition("/")[0]
            elif part != ".":
                what = self.host.kind(f"{self.path}{at}/{part}")
                if what == "link":
                    links += 1
                    target = self.host.link(f"{self.path}{at}/{part}")
                    if links > _MOST_LINKS or not target:
                        return ""
                    at = "" if target.startswith("/") else at
                    todo = [*(each for each in target.split("/") if each), *todo]
                elif not what:
                    return ""
                else:
                    at = f"{at}/{part}"
        return at

    def has(self, path: str) -> bool:
        """True if there is a file at a path of the jail."""
        at = self.inside(path)
        return bool(at) and self.host.kind(self.path + at) == "file"

    def programs(self) -> dict[str, tuple[str, int]]:
        """Return path in the jail and mode of what is in its directories of programs, by name."""
        if self._programs is None:
            self._programs = {}
            for folder in PROGRAM_DIRS:
                if self.host.kind(self.path + folder) != "dir":
                    continue
                for path in self.host.glob(f"{self.path}{folder}/*"):
                    name = path.rpartition("/")[2]
                    at = self.inside(f"{folder}/{name}")
                    status = self.host.status(self.path + at) if at else None
                    if status and status[0] & 0o111 and status[0] & _TYPE != _DIRECTORY:
                        self._programs.setdefault(name, (f"{folder}/{name}", status[0]))
        return self._programs

    def users_data(self) -> list[tuple[str, int]]:
        """Return (path in the jail, uid) of what does not belong to root in directories of the system."""
        if self._users_data is None:
            self._users_data = []
            for folder in _SYSTEM:
                if self.host.kind(f"{self.path}/{folder}") != "dir":
                    continue
                for below in _BELOW:
                    for path in self.host.glob(f"{self.path}/{folder}/{below}"):
                        status = self.host.status(path)
                        if status and status[1] != 0:
                            self._users_data.append((path[len(self.path) :], status[1]))
        return self._users_data

    def beside(self, home: str) -> list[str]:
        """Return the directories at the top of the jail that are no system's and hold no home: data that is shown."""
        known = {*_SYSTEM, "dev", "proc", "sys", "run", "tmp", "root", "home", home.split("/")[1] if home else ""}
        return [
            path[len(self.path) :]
            for path in self.host.glob(f"{self.path}/*")
            if self.host.kind(path) == "dir" and path.rpartition("/")[2] not in known
        ]


def on_host(host: Host, name: str) -> bool:
    """True if this host has a program, by its name or its path."""
    paths = (name,) if name.startswith("/") else tuple(f"{folder}/{name}" for folder in PROGRAM_DIRS)
    return any(host.kind(path) in ("file", "link") for path in paths)


def path_on_host(host: Host, name: str) -> str:
    """Return where this host has the program of a name, "" where it has none."""
    paths = (f"{folder}/{name}" for folder in PROGRAM_DIRS)
    return next((path for path in paths if host.kind(path) in ("file", "link")), "")


def followed(host: Host, path: str) -> str:
    """Return where a path leads on the host when its last component is a link."""
    for _ in range(_MOST_LINKS):
        target = host.link(path)
        if not target:
            break
        path = target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"
    return path


def split_home(home: str) -> tuple[str, str]:
    """Return (jail, home in it) as jk_chrootsh takes them from a home; :class:`Refused` where it takes none."""
    if not home:
        raise Refused(16, "the account has no home")
    jail, mark, rest = home.rpartition(SEPARATOR)
    if not mark:
        raise Refused(17, f"its home {home} has no /./")
    jail = jail.removesuffix("/")
    if not jail:
        raise Refused(17, f"its home {home} would make / the jail")
    return jail, f"/{rest}"


def check_home(host: Host, path: str, person: Person, relaxed: Sequence[str]) -> None:
    """Raise :class:`Refused` for a home that jk_chrootsh does not take; ``relaxed``: keys of its file that are set."""
    status = host.status(path)
    if status is None or status[0] & _TYPE == _LINK:
        raise Refused(53, f"its home {path} is not a directory")
    mode, uid, gid = status
    if uid != person.uid and "relax_home_owner" not in relaxed:
        raise Refused(53, f"its home {path} belongs to uid {uid}")
    if gid != person.gid and "relax_home_group" not in relaxed:
        raise Refused(53, f"its home {path} has group {gid}")
    if mode & _GROUP_WRITE and "relax_home_group_permissions" not in relaxed:
        raise Refused(53, f"its home {path} is writable for its group")
    if mode & _OTHERS_WRITE and "relax_home_other_permissions" not in relaxed:
        raise Refused(53, f"its home {path} is writable for all")
    if mode & _TYPE != _DIRECTORY:
        raise Refused(41, f"its home {path} is not a directory")
