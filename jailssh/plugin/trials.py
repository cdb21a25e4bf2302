"""What a plugin announces for ``jailssh selftest``: uses that must work, and attacks of its class that must not.

A plugin that has them offers a method beside those of :class:`jailssh.plugin.api.Plugin`::

    def trials(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> tuple[Trial, ...]:

It is pure as they are: a trial is data, and who runs it is a real login.  It does no harm to what the account has:
whatever is written lies in a throw-away directory, and nothing that is there is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Protocol, runtime_checkable

from jailssh.core.closed import Word
from jailssh.core.errors import LOGIN_DENIED
from jailssh.plugin.api import Account, Jail, Value

PLACE = "@selftest-place@"
"""Stands in every text of a trial for the path of its throw-away directory."""
TOKEN = "@selftest-token@"  # noqa: S105 - it is no secret
"""Stands in every text of a trial for a name that nothing else has."""

DENIED = (LOGIN_DENIED,)
"""The exit status of what no rule allows."""


class FileOp(Word):
    """One request of the SFTP protocol, as :class:`FileStep` has it."""

    PUT = "put"
    OVERWRITE = "overwrite"
    GET = "get"
    LIST = "list"
    OTHERS = "others"
    STAT = "stat"
    MKDIR = "mkdir"
    RMDIR = "rmdir"
    REMOVE = "remove"
    RENAME = "rename"
    SYMLINK = "symlink"
    CHMOD = "chmod"
    CHOWN = "chown"


@dataclass(frozen=True)
class FileStep:
    """One request to an sftp server; ``fails``: it must be refused.

    ``more`` is what the request takes besides its path: the content of ``put`` (a new file) and ``overwrite``, what
    ``get`` must return, the one name that ``others`` (a listing with more than that) knows, the new name of ``rename``,
    the target of ``symlink``, the octal mode of ``chmod``, the uid of ``chown``.
    """

    op: FileOp
    path: str
    more: str = ""
    fails: bool = False


@dataclass(frozen=True)
class Trial:
    """One thing to try in a login of its own: a command line, or requests to the sftp subsystem.

    ``id``       names it for ever, as in ``git.fetch``; ``what`` says it to people.
    ``attack``   it must not succeed.  A command then ends with one of ``exits`` and, where that is :data:`DENIED`,
                 without output; of file steps those with ``fails`` must be refused, whatever becomes of the others.
    ``command``  the command line; ``input`` is sent to it, then the end.
    ``exits``    the exit statuses that are right; empty: any but 0; None: whatever it is.
    ``shows``    must be in its output, ``hides`` must not be there.
    ``steps``    file steps, in the place of a command.
    ``place``    a directory that the account can write to: there the throw-away directory is made, by the account.
                 ``visible``: the name of that directory does not begin with a dot.
    ``files``    what lies in it before, as (name, content); a name that ends with ``/`` is a directory.
    ``needs``    paths of which one must be there for this to be tried.
    """

    id: str
    what: str
    _: KW_ONLY
    attack: bool = False
    command: str = ""
    input: bytes = b""
    exits: tuple[int, ...] | None = (0,)
    shows: str = ""
    hides: str = ""
    steps: tuple[FileStep, ...] = ()
    place: str = ""
    visible: bool = False
    files: tuple[tuple[str, str], ...] = ()
    needs: tuple[str, ...] = ()


@runtime_checkable
class Tried(Protocol):
    """A plugin that announces what can be tried."""

    def trials(self, jail: Jail, account: Account, settings: Mapping[str, Value]) -> tuple[Trial, ...]:
        """Return the uses and the attacks for one account."""


def denied(id: str, what: str, *commands: str) -> tuple[Trial, ...]:
    """Return an attack for each of the command lines, none of which a rule may allow."""
    return tuple(
        Trial(id if number == 1 else f"{id}.{number}", what, attack=True, command=command, exits=DENIED)
        for number, command in enumerate(commands, 1)
    )


def quoted(text: str) -> str:
    """Return ``text`` as one word of a command line."""
    return "'" + text.replace("'", "'\\''") + "'"
