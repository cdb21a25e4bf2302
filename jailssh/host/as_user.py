"""Looks into somebody's home with that account's own rights, in a process that has given up every other.

A home may be where root may not look (NFS with root_squash, FUSE), and whatever lies on the way is the account's to
change: as the account it cannot lead anywhere that the account may not go itself.  The answer is bytes that the account
could have made up, so it is data to be judged, and bounded in size and time.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress

from jailssh.core.errors import HostError
from jailssh.files import fs
from jailssh.host import bounded
from jailssh.host.accounts import AccountEntry
from jailssh.host.bounded import NoAnswerError as NoAnswerError  # what those who ask may meet

TIMEOUT = 10.0
MOST = 100_000
"""Names in a directory tree that is searched."""
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def ask(entry: AccountEntry, question: Callable[[], bytes], seconds: float = TIMEOUT) -> bytes:
    """Return what ``question`` returns in a process of the account's; :class:`HostError` where it does not end well.

    That is :class:`NoAnswerError` where there is none within ``seconds``.
    """

    def as_account() -> bytes:
        os.setgroups([gid for _, gid in entry.groups])
        os.setresgid(entry.gid, entry.gid, entry.gid)
        os.setresuid(entry.uid, entry.uid, entry.uid)
        return question()

    ended = "permission denied for the account, or the process was killed"
    return bounded.ask(f"home of {entry.name}", as_account, seconds, ended=ended)


def ask_below(entry: AccountEntry, question: Callable[[int], bytes], seconds: float = TIMEOUT) -> bytes:
    """Do the same with root's rights, for what the account has closed to itself.

    ``question`` gets a descriptor of the home as the account itself reaches it.  It must go on by descriptor, follow
    nothing and leave the file system for none.
    """

    def as_root() -> bytes:
        # Real and saved ids stay root's, so that the account cannot signal or trace this process.
        os.setgroups([gid for _, gid in entry.groups])
        os.setegid(entry.gid)
        os.seteuid(entry.uid)
        home = os.open(entry.home, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        os.seteuid(0)
        os.setegid(0)
        os.setgroups([])
        return question(home)

    ended = "permission denied for the account, or the process was killed"
    return bounded.ask(f"home of {entry.name}", as_root, seconds, ended=ended)


def read_files(entry: AccountEntry, paths: Sequence[str], limit: int, *, own: bool = False) -> list[bytes | None]:
    """Return the content of each regular file as the account reads it; None where there is none that it can read.

    ``own``: of the account's files alone, since a link leads to others that its jail does not show.
    """

    def question() -> bytes:
        parts = []
        for path in paths:
            data = _read(path, limit, own=own)
            parts.append(b"-" if data is None else b"+" + data.hex().encode())
        return b" ".join(parts)

    return [None if part == b"-" else bytes.fromhex(part[1:].decode()) for part in ask(entry, question).split()]


def _read(path: str, limit: int, *, own: bool = False) -> bytes | None:
    try:
        fd = os.open(path, _READ)
    except OSError:
        return None
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or (own and info.st_uid != os.geteuid()):
            return None
        data = b""
        while len(data) <= limit and (part := os.read(fd, limit + 1 - len(data))):
            data += part
        if len(data) > limit:
            # To leave it out would lose what is in it.
            raise ValueError(path)
        return data
    except OSError:
        return None
    finally:
        os.close(fd)


def find_below(entry: AccountEntry, path: str, ending: str) -> list[str]:
    """Return the paths below a directory whose names end so, sorted, as the account can see them.

    No link is followed, and what is found is not gone into; :class:`HostError` for more than :data:`MOST` names.
    """

    def question() -> bytes:
        found: list[bytes] = []
        seen = 0
        for top, folders, files in os.walk(os.fsencode(path)):
            seen += len(folders) + len(files)
            if seen > MOST:
                raise ValueError(path)
            here = [name for name in (*folders, *files) if name.endswith(os.fsencode(ending))]
            found += [os.path.join(top, name) for name in here]
            folders[:] = [name for name in folders if name not in here]
        return b"\0".join(sorted(found))

    answer = ask(entry, question)
    return [os.fsdecode(part) for part in answer.split(b"\0") if part]


def lstat(entry: AccountEntry, path: str) -> os.stat_result | None:
    """Return the lstat(2) result that the account gets, None where it gets none."""

    def question() -> bytes:
        try:
            info = os.lstat(path)
        except OSError:
            return b""
        return " ".join(str(int(value)) for value in info[:10]).encode()

    try:
        answer = ask(entry, question).split()
    except HostError:
        return None
    return os.stat_result([int(value) for value in answer]) if len(answer) == 10 else None


def rename_in(entry: AccountEntry, folder: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Rename files in ``folder`` as the account, each old name to its new one; return the old names that were done.

    What is not there, and what would take another file's place, stays as it is.
    """

    def question() -> bytes:
        done = []
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for old, new in pairs:
            with suppress(FileNotFoundError):
                os.stat(old, dir_fd=fd, follow_symlinks=False)
                try:
                    os.stat(new, dir_fd=fd, follow_symlinks=False)
                except FileNotFoundError:
                    os.rename(old, new, src_dir_fd=fd, dst_dir_fd=fd)
                    done.append(old)
        return "\0".join(done).encode("utf-8", "surrogateescape")

    answer = ask(entry, question)
    return [part.decode("utf-8", "surrogateescape") for part in answer.split(b"\0") if part]


def make_empty(entry: AccountEntry, wanted: Sequence[tuple[str, bool]]) -> list[tuple[str, int]]:
    """Make what is missing of ``wanted`` as the account: paths, each an empty file or (True) a directory.

    Returns the paths that could not be made, with errno, where the account could make them some day: not on a file
    system that is read-only, and not in a directory of somebody else's.
    """

    return not_made(ask(entry, lambda: making_empty(wanted)))


def making_empty(wanted: Sequence[tuple[str, bool]]) -> bytes:
    """Do what :func:`make_empty` does, called as the account; :func:`not_made` reads what it returns."""
    failed = [f"{number} {path}" for path, directory in wanted if (number := _make(path, directory=directory))]
    return "\n".join(failed).encode("utf-8", "surrogateescape")


def not_made(answer: bytes) -> list[tuple[str, int]]:
    """Return the paths, with errno, that an answer of :func:`making_empty` names."""
    lines = answer.decode("utf-8", "surrogateescape").splitlines()
    return [(path, int(number)) for number, _, path in (line.partition(" ") for line in lines)]


def _make(path: str, *, directory: bool) -> int:
    try:
        with suppress(FileExistsError):
            if directory:
                os.mkdir(path, 0o700)
            else:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except FileNotFoundError:
        return 0  # No home yet: made at the first login.
    except OSError as error:
        denied = error.errno in (errno.EACCES, errno.EPERM)
        if error.errno != errno.EROFS and not (denied and os.stat(os.path.dirname(path)).st_uid != os.geteuid()):
            return error.errno or errno.EIO
    return 0


def remove_empty(entry: AccountEntry, paths: Sequence[tuple[str, bool]]) -> None:
    """Remove what :func:`make_empty` made, as the account: what holds anything, or is something else, stays."""

    ask(entry, lambda: removing_empty(paths))


def removing_empty(paths: Sequence[tuple[str, bool]]) -> bytes:
    """Do what :func:`remove_empty` does, called as the account."""
    for path, directory in paths:
        with suppress(OSError):
            info = os.lstat(path)
            if directory:
                os.rmdir(path)
            elif stat.S_ISREG(info.st_mode) and info.st_size == 0 and info.st_nlink == 1:
                os.unlink(path)
    return b""


def make_tree(entry: AccountEntry, folder: str, name: str, files: Sequence[tuple[str, bytes]]) -> str:
    """Make the new directory ``name`` in ``folder`` as the account, with ``files`` in it; return why not, "" if made.

    A file's name is relative; one that ends with ``/`` is a directory, and comes before what is in it.
    """

    def question() -> bytes:
        try:
            above = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            os.mkdir(name, 0o700, dir_fd=above)
            top = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
            for path, data in files:
                if path.endswith("/"):
                    os.mkdir(path.rstrip("/"), 0o700, dir_fd=top)
                    continue
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                fd = os.open(path, flags, 0o600, dir_fd=top)
                fs.write_all(fd, data)
                os.close(fd)
        except OSError as error:
            return (error.strerror or str(error)).lower().encode()
        return b""

    return ask(entry, question).decode("utf-8", "replace")


def remove_tree(entry: AccountEntry, folder: str, name: str) -> str:
    """Remove ``name`` in ``folder`` with all that is in it as the account; return why not, "" if it is gone."""

    def question() -> bytes:
        try:
            above = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            info = os.stat(name, dir_fd=above, follow_symlinks=False)
            if stat.S_ISDIR(info.st_mode):
                fs.remove_tree(above, name)
            else:
                os.unlink(name, dir_fd=above)
        except FileNotFoundError:
            return b""
        except OSError as error:
            return (error.strerror or str(error)).lower().encode()
        return b""

    return ask(entry, question).decode("utf-8", "replace")


def first_of(entry: AccountEntry, paths: Sequence[str]) -> str:
    """Return the first of ``paths`` that the account finds, "" for none."""

    def question() -> bytes:
        return os.fsencode(next((path for path in paths if os.path.exists(path)), ""))

    return os.fsdecode(ask(entry, question))
