"""Asks the name service (nss(5)) about accounts and groups; a process of its own, started by :mod:`jailssh.host.nss`.

A service may hang, and while it does its caller can do nothing else; whoever waits for this process can stop waiting.
Only what Python itself has is imported, since the start counts.

Standard input is a socket.  Each message on it is four bytes of length and then tokens with NUL between: a request is
the seconds that it may take, a word of ``_KINDS`` and a name or number; the answer is ``found`` and what was found,
``absent``, or ``unknown`` and why.  The C library tells the last two apart only where the service that was asked last
is the one that is away, and Python not even then; so all services but the files are asked once more, each by itself.
"""

from __future__ import annotations

import grp
import os
import pwd
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any  # a fifth of the start

SWITCH = "/etc/nsswitch.conf"
ACCOUNTS = "/etc/passwd"
GROUPS = "/etc/group"
FEW = 8
"""After so many questions about the same files they are read as a whole: the C library begins anew for each."""
_TRY_AGAIN, _UNAVAILABLE = -2, -1
_ERANGE, _ESRCH = 34, 3
_LARGEST = 1 << 22
_KEPT = 5.0
_SETTLED_NS = 50_000_000
_FOUND = 1
_MERGED = "[success=merge]"
_WORDS = {_TRY_AGAIN: "is busy or does not answer", _UNAVAILABLE: "is unavailable"}
_SSSD = ("/etc/sssd/sssd.conf", "/var/lib/sss/pipes/nss")


class UnknownError(Exception):
    """The name service cannot say; the text says why."""


class Files:
    """What /etc/passwd and /etc/group say, by name and by number; of several lines the first counts.

    ``users``: name, uid, gid, gecos, home and shell.  ``groups``: name, gid and members.  ``inside``: the gids of the
    groups that list a name.
    """

    def __init__(self, passwd: list[list[str]], group: list[list[str]]) -> None:
        users = [[row[0], str(int(row[2])), str(int(row[3])), *row[4:]] for row in reversed(passwd)]
        groups = [[row[0], str(int(row[2])), *filter(None, row[3].split(","))] for row in reversed(group)]
        self.users: dict[str | int, list[str]] = {row[0]: row for row in users}
        self.users.update({int(row[1]): row for row in users})
        self.groups: dict[str | int, list[str]] = {row[0]: row for row in groups}
        self.groups.update({int(row[1]): row for row in groups})
        self.inside: dict[str, set[int]] = {}
        for _, gid, *members in groups:
            for name in members:
                self.inside.setdefault(name, set()).add(int(gid))


def read_files() -> Files | None:
    """Return the files, None where a line has anything that only the C library shall understand.

    None too where they changed a moment ago: another change could leave the same stamp.
    """
    found = []
    for path, fields, numbers in ((ACCOUNTS, 7, (2, 3)), (GROUPS, 4, (2,))):
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
            if time.time_ns() - os.fstat(stream.fileno()).st_ctime_ns < _SETTLED_NS:
                return None
            lines = [line for line in stream.read().split("\n") if line and line[0] != "#"]
        rows = [line.split(":") for line in lines]
        for line, row in zip(lines, rows, strict=True):
            plain = len(row) == fields and row[0] and row[0][0] not in "+-" and line == line.strip()
            if not plain or "\0" in line or "\r" in line or (fields == 4 and len(line.split()) > 1):
                return None
            if not all(row[at].isascii() and row[at].isdecimal() and int(row[at]) < 1 << 32 for at in numbers):
                return None
        found.append(rows)
    return Files(*found)


class Services:
    """The services of nsswitch.conf(5) beside the files, loaded as the C library loads them."""

    def __init__(self) -> None:
        self._stamp: object = None
        self._files_stamp: object = None
        self._files: Files | None = None
        self._asked = 0
        self._plain: dict[str, bool] = {}
        self.merges = False
        """True if the members of one group may be said by several services."""
        self._lines: dict[str, list[str]] = {}
        self._loaded: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._names_of: object = None
        self._group_stamp: object = None
        self._group_names: dict[int, str] = {}

    def names_of_groups(self) -> dict[int, str]:
        """Return the names of groups that were found lately, to be added to.

        To learn the name of a group with thousands of members costs more than all else of an answer.
        """
        now = (_stamp_of("/etc/group"), _stamp_of(SWITCH), time.monotonic() // _KEPT)
        if now != self._names_of:
            self._names, self._names_of = {}, now
        return self._names

    def local_group(self, gid: int) -> str | None:
        """Return the name of a group of /etc/group, None where that does not say, or is not asked first.

        The C library reads all members of a group to tell its name, which are thousands in ours.
        """
        self.named("group")
        if self._lines.get("group", [])[:1] != ["files"]:
            return None
        if _stamp(os.stat(GROUPS)) != self._group_stamp:
            with open(GROUPS, encoding="utf-8", errors="surrogateescape") as stream:
                stamp = _stamp(os.fstat(stream.fileno()))
                rows = [line.split(":", 3) for line in stream if line[0] not in "+-#"]
            names = [(row[2], row[0]) for row in reversed(rows) if len(row) == 4 and row[0]]
            self._group_names = {int(gid): name for gid, name in names if gid.isascii() and gid.isdecimal()}
            self._group_stamp = stamp
        return self._group_names.get(gid)

    def files(self) -> Files | None:
        """Return the files as they are now, where they are asked first, and for more than a few questions.

        None: the C library has to be asked.
        """
        self.named("passwd")
        if not self._plain.get("passwd") or not self._plain.get("group") or "initgroups" in self._lines:
            return None
        stamp = (self._stamp, _stamp_of(ACCOUNTS), _stamp_of(GROUPS))
        if stamp != self._files_stamp:
            self._files_stamp, self._files, self._asked = stamp, None, 0
        self._asked += 1
        if self._files is None and self._asked > FEW and (found := read_files()) is not None:
            if stamp == (self._stamp, _stamp_of(ACCOUNTS), _stamp_of(GROUPS)):
                self._files = found
        elif self._files is None and self._asked > FEW:
            self._asked = 0  # It may be so for long, and to find that out takes time as well.
        return self._files

    def named(self, database: str) -> list[str]:
        """Return the services of a database that can be loaded, in order; what is not installed is asked by nobody."""
        try:
            stamp = _stamp_of(SWITCH)
            if stamp != self._stamp:
                with open(SWITCH, encoding="utf-8", errors="replace") as stream:
                    rows = [line.partition("#")[0].partition(":") for line in stream]
                self._lines = {name.strip(): _words(rest) for name, colon, rest in rows if colon}
                self._plain = {name.strip(): _is_plain(name, rest) for name, colon, rest in rows if colon}
                self.merges = any("[" in rest for name, _, rest in rows if name.strip() == "group")
                self._stamp = stamp
        except FileNotFoundError:
            return []
        names = self._lines.get(database, [])
        return [name for name in names if name != "files" and self.library(name) is not None]

    def has(self, database: str) -> bool:
        """True if nsswitch.conf has a line for ``database``."""
        self.named(database)
        return database in self._lines

    def library(self, name: str) -> Any:
        """Return the loaded service, None where it is not installed."""
        if name not in self._loaded:
            import ctypes  # takes longer than all else, and many hosts have nothing but files

            try:
                self._loaded[name] = ctypes.CDLL(f"libnss_{name}.so.2")
            except OSError:
                self._loaded[name] = None
        return self._loaded[name]


def _stamp_of(path: str) -> tuple[int, ...]:
    try:
        return _stamp(os.stat(path))
    except FileNotFoundError:
        return ()


def _stamp(info: os.stat_result) -> tuple[int, int, int, int]:
    return info.st_ino, info.st_mtime_ns, info.st_ctime_ns, info.st_size


def _words(text: str) -> list[str]:
    """Return the services of a line without the actions in brackets, which only say who is asked next."""
    while "[" in text:
        head, _, rest = text.partition("[")
        text = f"{head} {rest.partition(']')[2]}"
    return text.split()


def _is_plain(name: str, text: str) -> bool:
    """True if the files are asked first and what they have is the answer, of groups a part of it."""
    plain = text.lower().replace(_MERGED, "") if name.strip() == "group" else text
    return _words(text)[:1] == ["files"] and "[" not in plain


def must_answer(services: Services, database: str, function: str, key: object) -> bool:
    """Return if a service beside the files has ``key``; :class:`UnknownError` unless each could say that.

    ``function`` is ``getpwnam_r`` or one of its kin.
    """
    _must_read(ACCOUNTS if database == "passwd" else GROUPS)
    found = False
    for name in services.named(database):
        status = _ask(services.library(name), f"_nss_{name}_{function}", key)
        _judge(name, status)
        found = found or status == _FOUND
    return found


def must_know_groups(services: Services, name: str, gid: int) -> set[int] | None:
    """Return the groups of the account by services beside the files; :class:`UnknownError` unless each could say them.

    None where one has no other way to say them than by all its groups.
    """
    _must_read(GROUPS)
    found: set[int] | None = set()
    for service in services.named("initgroups" if services.has("initgroups") else "group"):
        library = services.library(service)
        function = f"_nss_{service}_initgroups_dyn"
        if hasattr(library, function):
            status, gids = _init_groups(getattr(library, function), name, gid)
            _judge(service, status)
            found = None if found is None else {*found, *gids}
        else:
            _judge(service, _ask(library, f"_nss_{service}_getgrgid_r", gid))
            found = None
    return found


def _must_read(path: str) -> None:
    try:
        with open(path, "rb") as stream:
            stream.read(1)
    except OSError as error:
        raise UnknownError(f"{path}: {os.strerror(error.errno or 0)}") from error


def _judge(service: str, status: int) -> None:
    if status in _WORDS:
        raise UnknownError(f"{service} {_WORDS[status]}")
    # Some builds of SSSD's module say that there is no such account where its daemon cannot be reached.
    if service == "sss" and os.path.exists(_SSSD[0]) and not _listens(_SSSD[1]):
        raise UnknownError("sss is unavailable: sssd does not listen")


def _listens(path: str) -> bool:
    import socket

    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def _ask(library: Any, function: str, key: object) -> int:
    """Return the status that a service gives for ``key``: enum nss_status of nss.h."""
    import ctypes

    call = getattr(library, function, None)
    if call is None:
        return 0
    size = 1 << 14
    while True:
        row, room, error = ctypes.create_string_buffer(256), ctypes.create_string_buffer(size), ctypes.c_int(0)
        value = key.encode("utf-8", "surrogateescape") if isinstance(key, str) else ctypes.c_uint(int(str(key)))
        status = int(call(value, row, room, ctypes.c_size_t(size), ctypes.byref(error)))
        if status != _TRY_AGAIN or error.value != _ERANGE or size > _LARGEST:
            return _said(status, error.value)
        size *= 4


def _init_groups(call: Any, name: str, gid: int) -> tuple[int, list[int]]:
    import ctypes

    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    start, size, error = ctypes.c_long(0), ctypes.c_long(64), ctypes.c_int(0)
    # The service makes it larger with realloc(3).
    groups = ctypes.c_void_p(libc.malloc(64 * ctypes.sizeof(ctypes.c_uint)))
    if not groups:
        return _TRY_AGAIN, []
    pointers = [ctypes.byref(each) for each in (start, size, groups)]
    user = name.encode("utf-8", "surrogateescape")
    status = int(call(user, ctypes.c_uint(gid), *pointers, ctypes.c_long(-1), ctypes.byref(error)))
    gids = ctypes.cast(groups, ctypes.POINTER(ctypes.c_uint))[: start.value] if status == _FOUND else []
    libc.free(groups)
    return _said(status, error.value), gids


def _said(status: int, error: int) -> int:
    # nss-systemd is "unavailable: no such process" where nothing of systemd offers accounts; see getpwnam_r(3).
    return 0 if status == _UNAVAILABLE and error == _ESRCH else status


def account(services: Services, key: str | int) -> list[str] | None:
    """Return name, uid, gid, gecos, home, shell, and gid and name of each group, the first the primary one."""
    if files := services.files():
        found = files.users.get(key)
        function = "getpwuid_r" if isinstance(key, int) else "getpwnam_r"
        if found is None and not must_answer(services, "passwd", function, key):
            return None
        if found is not None and (more := must_know_groups(services, found[0], int(found[2]))) is not None:
            return _with_groups(services, found, {int(found[2]), *files.inside.get(found[0], ()), *more})
    try:
        row = pwd.getpwuid(key) if isinstance(key, int) else pwd.getpwnam(key)
    except (KeyError, OverflowError):
        must_answer(services, "passwd", "getpwuid_r" if isinstance(key, int) else "getpwnam_r", key)
        return None
    gids = os.getgrouplist(row.pw_name, row.pw_gid)
    must_know_groups(services, row.pw_name, row.pw_gid)
    found = [row.pw_name, str(row.pw_uid), str(row.pw_gid), row.pw_gecos, row.pw_dir, row.pw_shell]
    return _with_groups(services, found, gids)


def _with_groups(services: Services, user: list[str], gids: Iterable[int]) -> list[str]:
    found = list(user)
    for gid in (int(user[2]), *sorted(gids)):
        found += [str(gid), _group_name(services, gid)]
    return found


def _group_name(services: Services, gid: int) -> str:
    if (name := services.local_group(gid)) is not None:
        return name
    names = services.names_of_groups()
    if gid not in names:
        row = group(services, gid)
        names[gid] = str(gid) if row is None else row[0]
    return names[gid]


def group(services: Services, key: str | int) -> list[str] | None:
    """Return the name, the gid and the listed members of a group."""
    if files := services.files():
        found = files.groups.get(key)
        function = "getgrgid_r" if isinstance(key, int) else "getgrnam_r"
        if found is None and not must_answer(services, "group", function, key):
            return None
        if found is not None and not services.merges:
            return found
    try:
        row = grp.getgrgid(key) if isinstance(key, int) else grp.getgrnam(key)
    except (KeyError, OverflowError):
        must_answer(services, "group", "getgrgid_r" if isinstance(key, int) else "getgrnam_r", key)
        return None
    return [row.gr_name, str(row.gr_gid), *row.gr_mem]


def groups(_services: Services, _key: str) -> list[str]:
    """Return the names of the groups that the services list."""
    return sorted({row.gr_name for row in grp.getgrall()})


_KINDS = {
    "user": account,
    "uid": lambda services, key: account(services, int(key)),
    "group": group,
    "gid": lambda services, key: group(services, int(key)),
    "groups": groups,
}


def answer(services: Services, kind: str, key: str) -> list[str]:
    """Return the answer's tokens."""
    try:
        found = _KINDS[kind](services, key)
    except (UnknownError, OSError, ImportError, ValueError) as error:
        return ["unknown", str(error)]
    return ["absent"] if found is None else ["found", *found]


def read_exactly(fd: int, size: int) -> bytes:
    """Return ``size`` bytes of ``fd``; fewer at its end."""
    data = b""
    while len(data) < size and (more := os.read(fd, size - len(data))):
        data += more
    return data


def main() -> None:
    """Answer until the other end is gone; a request that takes too long ends the process (alarm(2))."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    services = Services()
    for database in ("passwd", "group"):  # loaded while the caller does something else, where it has begun early
        services.named(database)
    while len(head := read_exactly(0, 4)) == 4:
        request = read_exactly(0, int.from_bytes(head, "big")).decode("utf-8", "surrogateescape")
        seconds, kind, key = request.split("\0")
        signal.setitimer(signal.ITIMER_REAL, float(seconds))
        data = "\0".join(answer(services, kind, key)).encode("utf-8", "surrogateescape")
        signal.setitimer(signal.ITIMER_REAL, 0)
        data = len(data).to_bytes(4, "big") + data
        while data:
            data = data[os.write(0, data) :]


if __name__ == "__main__":
    main()
