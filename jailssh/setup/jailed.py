"""Whose members are in a jail: the one list that sshd's drop-in, the PAM profile and the user manager's condition get.

An account is in a jail by name, as a member of the group ``jailssh``, or as a member of a group that a jail names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from jailssh.core.errors import ConfigError

GROUP = "jailssh"
_GROUP_NAME = re.compile(r"[A-Za-z0-9_.@+-]+\Z")


def groups(named: Sequence[str]) -> list[str]:
    """Return the groups whose members are in a jail, ours first, each once; ``named``: those that jails name.

    :class:`ConfigError` for a name that means something else in one of the files that it is written into.
    """
    return [GROUP, *checked(set(named) - {GROUP})]


def checked(named: Sequence[str] | set[str]) -> list[str]:
    """Return the groups sorted, each once; raises as :func:`groups` does."""
    for group in named:
        if not _GROUP_NAME.match(group):
            raise ConfigError(f"group {group!r}", "contains a character with a special meaning in files of sshd or PAM")
    return sorted(set(named))


def listing(named: Sequence[str]) -> str:
    """Return the content of the list for programs that cannot read the configuration: one group a line."""
    return "".join(f"{group}\n" for group in groups(named))
