"""Whether an account can write to a directory of the host with what its jail leaves it, and how it comes to be able."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from jailssh.config.jails import JailConfig
from jailssh.plugin.api import Account

_ACL = "system.posix_acl_access"
_OBJECTS = ("objects", ".git/objects")
"""Where a repository without and with a working tree keeps what is pushed to it."""


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

    def can_write(self, path: str) -> bool:
        """True unless the mode of the directory keeps this account from making files in it.

        What cannot be seen, or has access lists (acl(5)), is taken to be writable; what is absent is not.
        """
        try:
            info = os.stat(path)
            if _ACL in os.listxattr(path):
                return True
        except OSError as error:
            return not isinstance(error, FileNotFoundError | NotADirectoryError)
        shift = 6 if info.st_uid == self.uid else 3 if info.st_gid in self.groups else 0
        return stat.S_ISDIR(info.st_mode) and info.st_mode >> shift & 0o3 == 0o3

    def can_push_to(self, repository: str) -> bool:
        """True unless the modes keep this account from adding objects to the repository."""
        places = [f"{repository}/{inside}" for inside in _OBJECTS if os.path.isdir(f"{repository}/{inside}")]
        return self.can_write(places[0] if places else repository)


def is_absent(path: str) -> bool:
    """True if there is surely no directory ``path``."""
    try:
        return not stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False


def to_make(path: str, writers: Sequence[Writer]) -> str:
    """Return the command that makes the directory so that all ``writers`` can write to it."""
    if len(writers) == 1:
        return f"install -d -o {writers[0].name} -g {writers[0].group} -m 755 {path}"
    return f"install -d -g GROUP -m 2775 {path}, with a group of {_names(writers)} that the jail keeps"


def to_give(path: str, writers: Sequence[Writer], deep: str = "") -> str:
    """Return the command that lets ``writers`` write to the directory; ``deep`` is ``-R`` for all that is in it."""
    command = f"chown {deep} {writers[0].name}:{writers[0].group} {path}".replace("  ", " ")
    if len(writers) == 1:
        return f"{command}; or a group of {writers[0].name} with supplementary_groups in the jail"
    return f"a group of {_names(writers)} that may write to it, and supplementary_groups with it in the jail"


def _names(writers: Sequence[Writer]) -> str:
    return ", ".join(writer.name for writer in writers)
