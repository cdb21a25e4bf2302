"""Whether an account can write to a directory of the host with what its jail leaves it, and how it comes to be able."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

from jailssh.config.jails import JailConfig
from jailssh.core.errors import HostError
from jailssh.files.beneath import open_beneath
from jailssh.plugin.api import Account
from jailssh.services.answers import Answers

_UNSEEN = (0, 0, 0o777)
_ACL = "system.posix_acl_access"
_DEFAULT_ACL = "system.posix_acl_default"
_MOST_CHILDREN = 256
_FEW = 5
_OBJECTS = ("objects", ".git/objects")
"""Where a repository without and with a working tree keeps what is pushed to it."""


class Directories:
    """The directories of this host; each is looked at once, for a bounded time.

    ``silent``: why those that gave no answer are not known; they are taken for what cannot be seen.  ``kept``: what
    others have found out about directories in the same run.
    """

    def __init__(self) -> None:
        self.silent: dict[str, HostError] = {}
        self.kept: dict[tuple[str, ...], Any] = {}
        self._answers = Answers(_looked_at)
        self.names: Callable[[str], tuple[str, ...]] = cache(lambda path: tuple(self._ask("names", path, ())))
        self._owned: Callable[[str], tuple[int, int, int] | None] = cache(self._owner_of)
        self._pushed: Callable[[str], str] = cache(lambda path: str(self._ask("pushed", path, path)))

    def _owner_of(self, path: str) -> tuple[int, int, int] | None:
        found = self._ask("owned", path, _UNSEEN)
        return None if found is None else (found[0], found[1], found[2])

    def _ask(self, what: str, path: str, otherwise: Any) -> Any:
        if path in self.silent:
            return otherwise
        try:
            return json.loads(self._answers.ask(path, what))
        except HostError as error:
            self.silent[path] = error
            return otherwise

    def is_absent(self, path: str) -> bool:
        """True if there is surely no directory ``path``."""
        return self._owned(path) is None

    def can_write(self, writer: Writer, path: str) -> bool:
        """True unless the mode of the directory keeps this account from making files in it.

        What cannot be seen, or has access lists (acl(5)), is taken to be writable; what is absent is not.
        """
        owned = self._owned(path)
        if owned is None:
            return False
        uid, gid, mode = owned
        shift = 6 if uid == writer.uid else 3 if gid in writer.groups else 0
        return mode >> shift & 0o3 == 0o3

    def can_push_to(self, writer: Writer, repository: str) -> bool:
        """True unless the modes keep this account from adding objects to the repository."""
        return self.can_write(writer, self._pushed(repository))


@dataclass(frozen=True)
class Writer:
    """An account as it is in its jail: ``groups`` are the ids of all groups that it has there."""

    name: str
    group: str
    uid: int
    groups: frozenset[int]

    @classmethod
    def of(cls, account: Account, config: JailConfig) -> Writer:
        """Return it; only groups that the jail lists in ``supplementary_groups`` are kept."""
        kept = {gid for name, gid in account.groups if name in config.supplementary_groups}
        return cls(account.name, account.group, account.uid, frozenset({account.gid, *kept}))


def _names_in(path: str) -> tuple[str, ...]:
    """Return the names of the directories in ``path``, links to directories left out; none where it is absent."""
    try:
        with os.scandir(path) as entries:
            return tuple(sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False)))
    except OSError:
        return ()


def _owned(path: str) -> tuple[int, int, int] | None:
    """Return owner, group and mode of the directory, None if it is absent; mode 777 where modes do not tell."""
    try:
        info = os.stat(path)
        if not stat.S_ISDIR(info.st_mode):
            return None
        return info.st_uid, info.st_gid, 0o777 if _ACL in os.listxattr(path) else info.st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return _UNSEEN


def _looked_at(path: str, what: str) -> bytes:
    """Return what is asked about a directory, as JSON."""
    asked: dict[str, Callable[[str], object]] = {"owned": _owned, "names": _names_in, "pushed": _pushed}
    return json.dumps(asked[what](path)).encode()


def default_acls(path: str) -> tuple[str, ...]:
    """Return what of the directory and the first directories in it has a default ACL; what cannot be seen has none.

    By descriptor, since what is below may be an account's.
    """
    found = []
    try:
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return ()
    try:
        with os.scandir(top) as entries:
            inside = (entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
            names = sorted(islice(inside, _MOST_CHILDREN))
        found = [f"{path}/{name}".rstrip("/") for name in ("", *names) if _has_default_acl(top, name)]
    except OSError:
        pass
    finally:
        os.close(top)
    return tuple(found)


def _has_default_acl(top: int, name: str) -> bool:
    try:
        fd = open_beneath(top, name)
    except OSError:
        return False
    try:
        return _DEFAULT_ACL in os.listxattr(fd)
    except OSError:
        return False
    finally:
        os.close(fd)


def _pushed(repository: str) -> str:
    places = (f"{repository}/{inside}" for inside in _OBJECTS)
    return next((path for path in places if os.path.isdir(path)), repository)


def mkdir_hint(path: str, writers: Sequence[Writer]) -> str:
    """Return the command that makes the directory so that all ``writers`` can write to it."""
    if len(writers) == 1:
        return f"install -d -o {writers[0].name} -g {writers[0].group} -m 755 {path}"
    return f"install -d -g GROUP -m 2775 {path}; GROUP has {_names(writers)} and is in the jail's supplementary_groups"


def chown_hint(path: str, writers: Sequence[Writer], deep: str = "") -> str:
    """Return the command that lets ``writers`` write to the directory; ``deep`` is ``-R`` for all that is in it."""
    command = f"chown {deep} {writers[0].name}:{writers[0].group} {path}".replace("  ", " ")
    if len(writers) == 1:
        return f"{command}; or a group of {writers[0].name} in the jail's supplementary_groups"
    return f"give a group of {_names(writers)} write access, and add it to the jail's supplementary_groups"


def _names(writers: Sequence[Writer]) -> str:
    return ", ".join(writer.name for writer in writers[:_FEW]) + (" and others" if writers[_FEW:] else "")
