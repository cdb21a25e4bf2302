"""The files of local accounts, changed for many accounts at once: one lock and one rewrite of each file.

The protocol is the one of shadow's own programs (commonio.c of shadow-utils), so that these and passwd(1) wait for us
and we for them: lckpwdf(3), then ``FILE.lock``, a hard link to a file with the process id of its holder, which is
taken over from a process that has ended; the old content goes to ``FILE-``, the new one to ``FILE+``, which is renamed.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, dataclass

from jailssh.core.errors import HostError, JailsshError
from jailssh.files import fs
from jailssh.host import process

FOLDER = "/etc"
FILES = ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")
"""In the order in which useradd(8) locks them."""

PATIENCE = 15.0
"""Seconds until a lock counts as held for good; as long as shadow's programs wait."""

_LIMIT = 64 << 20
_PAUSE = 0.1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class NewAccount:
    """An account to add, with no password that fits; ``expires`` in days since 1970.

    ``own_group``: its primary group is one of its own, which is made too.
    """

    name: str
    uid: int
    gid: int
    _: KW_ONLY
    home: str
    shell: str
    gecos: str = ""
    expires: int | None = None
    own_group: bool = True


class _File:
    """One file: its lines by the name in their first field; lines that have none (``+`` of NIS, comments) stay."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.present = os.path.lexists(path)
        data = fs.read_trusted(path, _LIMIT) if self.present else b""
        self.before = data
        # The first of several lines of one name counts (getpwnam(3)); the others keep their places.
        self.rows: list[list[str] | None] = []
        self.at: dict[str, int] = {}
        # Not str.splitlines: by chfn(1) anybody can have U+2028 and the like in their line.
        for line in data.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n") if data else ():
            self.put(line.split(":"))

    def put(self, row: list[str]) -> None:
        """Add a line at the end."""
        self.at.setdefault(row[0], len(self.rows))
        self.rows.append(row)

    def row(self, name: str) -> list[str] | None:
        """Return the fields of ``name``, to be changed in place; None without a line."""
        at = self.at.get(name)
        return None if at is None else self.rows[at]

    def drop(self, name: str) -> None:
        """Remove the line of ``name``."""
        at = self.at.pop(name, None)
        if at is not None:
            self.rows[at] = None

    def rename(self, old: str, new: str) -> None:
        """Give every line of ``old`` the name ``new`` in its place, unless that has lines."""
        if old not in self.at or new in self.at:
            return
        self.at[new] = self.at.pop(old)
        for row in self.rows:
            if row is not None and row[0] == old:
                row[0] = new

    def drop_all(self, names: Collection[str]) -> None:
        """Remove every line of these names: of subuid(5) an account has several."""
        self.rows = [None if row is not None and row[0] in names else row for row in self.rows]

    def text(self) -> bytes:
        """Return the content."""
        return "".join(f"{':'.join(row)}\n" for row in self.rows if row is not None).encode("utf-8", "surrogateescape")


class AccountFiles:
    """What the files say; changes are written when the block of :func:`opened` ends."""

    def __init__(self, folder: str) -> None:
        self._files = {name: _File(f"{folder}/{name}") for name in FILES}
        self._passwd, self._shadow, self._group, self._gshadow, *self._subs = (self._files[name] for name in FILES)
        self._shrinks = False
        self._ages: list[str] = []
        if not self._passwd.present or not self._group.present:
            raise HostError(f"{folder}/passwd or {folder}/group", "does not exist")
        self._uids = _numbers(self._passwd, 2)
        self._gids = _numbers(self._group, 2) | _numbers(self._passwd, 3)

    def has_account(self, name: str) -> bool:
        """True if there is a local account ``name``."""
        return self._passwd.row(name) is not None

    def add(self, new: NewAccount) -> None:
        """Add an account and its group.  Lines without an account, which an interrupted command left, are replaced."""
        name = new.name
        if self.has_account(name):
            raise JailsshError(f"account {name}", "was created by another command meanwhile")
        for file in (self._shadow, *((self._group, self._gshadow) if new.own_group else ())):
            file.drop(name)
        if new.uid in self._uids or (new.own_group and new.gid in self._gids):
            number = new.uid if new.uid in self._uids else new.gid
            raise JailsshError(f"account {name}", f"number {number} was given to another account or group meanwhile")
        self._uids.add(new.uid)
        self._gids.add(new.gid)
        self._passwd.put(
            [name, "x" if self._shadow.present else "*", str(new.uid), str(new.gid), new.gecos, new.home, new.shell]
        )
        if self._shadow.present:
            today = str(int(time.time()) // 86400)
            expires = "" if new.expires is None else str(new.expires)
            least, most, warn = self._ages = self._ages or [login_defs(key, default) for key, default in _AGES]
            self._shadow.put([name, "*", today, least, most, warn, "", expires, ""])
        if new.own_group:
            self.add_group(name, new.gid)

    def add_group(self, name: str, gid: int) -> None:
        """Add a group without members."""
        self._gids.add(gid)
        self._group.put([name, "x" if self._gshadow.present else "!", str(gid), ""])
        if self._gshadow.present:
            self._gshadow.put([name, "!", "", ""])

    def add_members(self, names: Iterable[str], group: str) -> None:
        """Add ``names`` to the member list of a local group."""
        wanted = list(names)
        for file in (self._group, self._gshadow):
            row = file.row(group)
            if row is None or len(row) < 4:
                if file is self._group:
                    raise JailsshError(f"group {group}", "is not a line of /etc/group")
                continue
            row[3] = ",".join(dict.fromkeys([*filter(None, row[3].split(",")), *wanted]))

    def drop_members(self, names: Collection[str], groups: Collection[str] | None = None) -> None:
        """Take ``names`` off the lists of members and of administrators of these groups, or of all."""
        gone = set(names)
        for file in (self._group, self._gshadow):
            for row in file.rows:
                if row is None or (groups is not None and row[0] not in groups):
                    continue
                for at in range(2 if file is self._gshadow else 3, min(4, len(row))):
                    if not gone.isdisjoint(row[at].split(",")):
                        row[at] = ",".join(each for each in row[at].split(",") if each not in gone)

    def remove(self, names: Collection[str]) -> None:
        """Remove accounts as userdel(8) does: their lines, memberships, subordinate ids, and own groups."""
        self._shrinks = True
        primary = {row[3] for row in self._passwd.rows if row and len(row) > 3 and row[0] not in names}
        for name in names:
            self._passwd.drop(name)
            self._shadow.drop(name)
            own = self._group.row(name)
            if own is not None and len(own) > 3 and own[2] not in primary and own[3] in ("", name):
                self._group.drop(name)
                self._gshadow.drop(name)
        self.drop_members(names)
        for file in self._subs:
            file.drop_all(names)

    def trace_of(self, name: str) -> str:
        """Return a file with a line or a member of this name, of an account or of a group; "" for none."""
        found = [file.path for file in self._files.values() if file.row(name) is not None]
        for file in (self._group, self._gshadow):
            found += [file.path for row in file.rows if row and any(name in part.split(",") for part in row[2:4])]
        return next(iter(found), "")

    def join_as(self, old: str, new: str) -> None:
        """Make ``new`` a member of whatever ``old`` is a member or an administrator of, in the place behind it."""
        self._in_lists(old, [old, new])

    def leave_as(self, old: str, new: str) -> None:
        """Have ``new`` alone in all lists in which ``old`` is."""
        self._in_lists(old, [new])

    def rename(self, old: str, new: str, gid: int | None, *, passwd_last: bool) -> None:
        """Give an account's lines another name; likewise its group's if that has its name and is ``gid``.

        What has the new name already stays: of two files one may have been written before an interruption.
        """
        self._shrinks = not passwd_last
        for file in (self._passwd, self._shadow, *self._subs):
            file.rename(old, new)
        own = self._group.row(old)
        if gid is not None and own is not None and len(own) > 2 and own[2] == str(gid):
            self._group.rename(old, new)
        if gid is not None and self._group.row(new) is not None:
            self._gshadow.rename(old, new)

    def _in_lists(self, name: str, names: list[str]) -> None:
        for file in (self._group, self._gshadow):
            for row in file.rows:
                for at in range(2 if file is self._gshadow else 3, min(4, len(row or ()))):
                    members = row[at].split(",") if row else []
                    if row and name in members:
                        changed = [each for old in members for each in (names if old == name else [old])]
                        row[at] = ",".join(dict.fromkeys(changed))

    def uid_of(self, name: str) -> int | None:
        """Return the uid of a local account, None without one."""
        row = self._passwd.row(name)
        return int(row[2]) if row is not None and len(row) > 2 and row[2].isdigit() else None

    def set_shell(self, name: str, shell: str) -> None:
        """Make ``shell`` the login shell of a local account."""
        self._account(name)[6] = shell

    def set_home(self, name: str, home: str) -> None:
        """Make ``home`` the home directory of a local account."""
        self._account(name)[5] = home

    def set_password(self, name: str, hashed: str, *, dated: bool = True) -> None:
        """Make ``hashed`` the password's hash of a local account, changed today, or not ``dated``, as it was before."""
        row = self._shadow.row(name)
        if row is None or len(row) < 3:
            raise JailsshError(f"account {name}", "is not a line of /etc/shadow")
        row[1:3] = [hashed, str(int(time.time()) // 86400) if dated else row[2]]

    def set_expiry(self, name: str, day: int | None) -> None:
        """Make ``day``, counted from 1970, the one from which on a local account has expired; None is never."""
        row = self._shadow.row(name)
        if row is None or len(row) < 8:
            raise JailsshError(f"account {name}", "is not a line of /etc/shadow")
        row[7] = "" if day is None else str(day)

    def _account(self, name: str) -> list[str]:
        row = self._passwd.row(name)
        if row is None or len(row) < 7:
            raise JailsshError(f"account {name}", "is not a line of /etc/passwd")
        return row

    def write(self) -> None:
        """Write the files that changed; what an account needs comes before it, and goes after it."""
        # What a killed command left is found by group(5): it comes before gshadow(5), and goes last.
        before = ("subuid", "subgid", "group", "gshadow", "shadow", "passwd")
        after = ("passwd", "shadow", "subuid", "subgid", "gshadow", "group")
        for name in after if self._shrinks else before:
            file = self._files[name]
            if file.present and (data := file.text()) != file.before:
                _replace(file.path, file.before, data)


def set_password(name: str, hashed: str, *, dated: bool = True) -> None:
    """Make ``hashed`` the password's hash of one account; ``dated``: see :meth:`AccountFiles.set_password`."""
    with opened() as files:
        files.set_password(name, hashed, dated=dated)


def set_home(name: str, home: str) -> None:
    """Make ``home`` the home directory of one account, also while it has processes; nothing is moved."""
    with opened() as files:
        files.set_home(name, home)


def give_name(old: str, new: str, uid: int, gid: int | None, *, back: bool = False) -> None:
    """Give the local account ``uid`` the name ``new``, and its own group ``gid``; None where it has none.

    ``back``: to the name that it had, from wherever an interruption left it.  passwd(5) tells how far that came: there
    the name changes first, and back last.  Meanwhile the account is a member by both names, so that never is there
    one that is not in its groups.  An account that is another one by now keeps its name.
    """
    if back and not AccountFiles(FOLDER).trace_of(old):
        return
    with opened() as files:
        if not back and (place := files.trace_of(new)):
            raise JailsshError(f"account {new}", f"{place} has this name already")
        if uid not in (files.uid_of(old), files.uid_of(new)):
            return
        files.join_as(old, new)
    with opened() as files:
        if files.uid_of(old) == uid:
            files.rename(old, new, gid, passwd_last=back)
    with opened() as files:
        files.leave_as(old, new)


def set_expiry(name: str, day: int | None) -> None:
    """Make ``day`` the one from which on one account has expired."""
    with opened() as files:
        files.set_expiry(name, day)


_AGES = (("PASS_MIN_DAYS", "0"), ("PASS_MAX_DAYS", "99999"), ("PASS_WARN_AGE", "7"))


def _numbers(file: _File, column: int) -> set[int]:
    return {int(row[column]) for row in file.rows if row and len(row) > column and row[column].isdigit()}


def login_defs(key: str, default: str) -> str:
    """Return a value of login.defs(5)."""
    with suppress(OSError), open(f"{FOLDER}/login.defs", encoding="utf-8", errors="replace") as stream:
        for line in stream:
            words = line.split("#", 1)[0].split()
            if len(words) > 1 and words[0] == key:
                default = words[1]
    return default


@contextmanager
def opened(folder: str = FOLDER, patience: float = PATIENCE) -> Iterator[AccountFiles]:
    """Lock the files, yield what they say, and write what the block changed; an error in it leaves all as it was.

    Raises :class:`HostError` where another process holds a lock for more than ``patience`` seconds, or where the
    files cannot be written.
    """
    if _with_alarm_kept(folder) != 0:
        raise _busy("/etc/.pwd.lock", "another program")
    held: list[str] = []
    try:
        until = time.monotonic() + patience
        for name in FILES:
            if os.path.lexists(f"{folder}/{name}"):
                _take(f"{folder}/{name}", until)
                held.append(f"{folder}/{name}.lock")
        files = AccountFiles(folder)
        yield files
        files.write()
    finally:
        for path in reversed(held):
            with suppress(FileNotFoundError):
                os.unlink(path)
        _libc.ulckpwdf()
    _flush()


def _with_alarm_kept(folder: str) -> int:
    """Call lckpwdf(3), which waits for up to 15 seconds by an alarm of its own; only for the running host's files."""
    return int(_libc.lckpwdf()) if folder == FOLDER else 0


def _take(path: str, until: float) -> None:
    """Make ``path.lock``: a hard link, since two cannot make the same one (commonio.c: do_lock_file)."""
    own = f"{path}.{os.getpid()}"
    try:
        fd = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise fs.failed("lock", path, error) from error
    try:
        try:
            fs.write_all(fd, b"%d\0" % os.getpid())
        finally:
            os.close(fd)
        while not _linked(own, f"{path}.lock"):
            if time.monotonic() > until:
                raise _busy(path, f"process {_holder(f'{path}.lock') or '?'}")
            time.sleep(_PAUSE)
    except OSError as error:
        raise fs.failed("lock", path, error) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(own)


def _linked(own: str, lock: str) -> bool:
    try:
        os.link(own, lock)
        return True
    except FileExistsError:
        pass
    holder = _holder(lock)
    if holder is not None and not _lives(holder):
        # Under lckpwdf nobody else is between these two lines.
        with suppress(FileNotFoundError):
            os.unlink(lock)
    return False


def _holder(lock: str) -> int | None:
    """Return the process id that a lock file names; None for one that names none, which nobody takes over."""
    try:
        with open(lock, "rb") as stream:
            text = stream.read(32).rstrip(b"\0\n ")
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) > 0 else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    return True


def _busy(path: str, who: str) -> HostError:
    hint = "repeat the command when that has ended (fuser -v /etc/.pwd.lock)"
    return HostError(f"cannot lock {path}", f"held by {who}; nothing changed", hint=hint)


def _replace(path: str, before: bytes, data: bytes) -> None:
    """Keep the old content as ``path-`` and rename the new one, both with owner and mode of the file."""
    info = os.stat(path)
    try:
        for name, content in ((f"{path}-", before), (f"{path}+", data)):
            with suppress(FileNotFoundError):
                os.unlink(name)
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.fchown(fd, info.st_uid, info.st_gid)
                os.fchmod(fd, info.st_mode & 0o7777)
                fs.write_all(fd, content)
                os.fsync(fd)
            finally:
                os.close(fd)
        os.utime(f"{path}-", ns=(info.st_atime_ns, info.st_mtime_ns))
        os.rename(f"{path}+", path)
        folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            os.unlink(f"{path}+")
        raise fs.failed("write", path, error) from error


def _flush() -> None:
    """Have the caches of names forget, as shadow's programs do; one that does not run has nothing to forget."""
    for argv in (("nscd", "-i", "passwd"), ("nscd", "-i", "group"), ("sss_cache", "-U", "-G")):
        if process.find_program(argv[0]) is not None:
            process.run(argv, check=False, timeout=30)
