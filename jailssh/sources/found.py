"""What a reader of another program's set-up finds: an account, what confines it now, and the jail nearest to that.

A source is a module with a function ``find`` that gets the host as :class:`Host` and returns what it has found.  It
changes nothing, asks nothing else of the host, and reads files as the program itself does, not as their text seems to
say.  What the program would refuse or skip is found and said; a file that cannot be read raises, since nobody must be
left out in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Protocol

from jailssh.config.keys import Key
from jailssh.core.closed import Word

Settings = Mapping[str, Mapping[str, str | tuple[str, ...]]]
"""Settings of a jail file by section (``""`` is its top, which has ``plugins``) and key; a tuple is a list."""


class Effect(Word):
    """What a remark says to whoever uses the account."""

    LOST = "lost"  # works today and will not
    CLOSED = "closed"  # the other program let it slip, a jail does not
    CHANGED = "changed"  # works, but not as before
    NOTE = "note"  # no difference for the user


class Fate(Word):
    """What ``migrate --apply`` does with what was found."""

    MIGRATE = "migrate"
    LEAVE = "leave"  # shown, and nothing is done about it: why stands in a remark
    REFUSED = "refused"  # today's program refuses its logins; it is left unless the administrator names it


@dataclass(frozen=True)
class Remark:
    """One difference or doubt: ``where`` is a file with a line, as in ``/etc/rssh.conf:12``, or a path."""

    effect: Effect
    where: str
    text: str


@dataclass(frozen=True)
class Found:
    """One account of another program's.

    ``source``    name of the source, as given to ``migrate FROM``: ``jailkit``, ``rssh``.
    ``where``     the file and line that confine the account today.
    ``settings``  of the jail nearest to what it has now; two accounts with the same share a jail.
    ``called``    a good name for that jail where it is none of the shipped ones: ``jailkit-default``, ``rssh-sftp``.
    ``home``      home directory on the host from then on; "" is the present one.
    ``inside``    path at which the jail shows the home, where that is another.
    ``own``       settings of the account's own file: ``addresses``, ``hours``, ``expires``, ``max_sessions``.
    ``keys``      keys by which it logs in and that no file of its home or sshd holds, or that the source limits.
    ``options``   of its keys today, as in ``command="…",restrict`` (sshd(8)); logins are tried with them.
    ``commands``  the settings stand for the commands of keys in its own files: these are taken over without them.
    ``named``     keys of a shared account by the name of their owner; ``groups`` of these names.
    ``by_key``    sections of the account's file for each of ``named``, with their brackets, and their settings.
    ``files``     files of ours that the settings name, by path: a table of rights.  Written with the jail.
    ``uses``      what the account can do today, in words of :data:`USES`; the matrix of logins compares these.
    ``gone``      files or lines that must not act any more, as (path, line number or 0, why); ``migrate`` reports
                  those that it does not handle itself.
    """

    account: str
    source: str
    where: str
    _: KW_ONLY
    fate: Fate = Fate.MIGRATE
    settings: Settings = field(default_factory=dict)
    called: str = ""
    home: str = ""
    inside: str = ""
    own: Mapping[str, str] = field(default_factory=dict)
    keys: tuple[Key, ...] = ()
    options: str = ""
    commands: bool = False
    named: Mapping[str, tuple[Key, ...]] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    by_key: Mapping[str, Mapping[str, Mapping[str, tuple[str, ...]]]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    uses: tuple[str, ...] = ()
    gone: tuple[tuple[str, int, str], ...] = ()
    remarks: tuple[Remark, ...] = ()


USES = ("command", "shell", "sftp", "scp", "scp-old", "rsync", "git", "svn", "cvs", "hg", "borg", "restic")
"""What the matrix of logins knows to try: ``scp-old`` is scp's protocol of before OpenSSH 9 (``scp -O``)."""


@dataclass(frozen=True)
class Person:
    """An account as a source sees it; ``local``: it is a line of /etc/passwd."""

    name: str
    uid: int
    gid: int
    _: KW_ONLY
    group: str
    home: str
    shell: str
    groups: tuple[str, ...] = ()
    local: bool = True


class Host(Protocol):
    """What sources may ask.  All paths are absolute; a file of a user's is read with the user's rights."""

    def people(self) -> Sequence[Person]:
        """Return all accounts that the name service lists, the local ones in the order of their file."""

    def read(self, path: str) -> str | None:
        """Return a file of root's as text (bytes that are no UTF-8 as surrogates); None where there is none.

        Raises where it cannot be read, is no regular file, is larger than 8 MiB, or somebody else can write to it.
        """

    def read_of(self, person: Person, path: str) -> str | None:
        """Return a file below the person's home, read with the person's rights and following no link; else as above."""

    def peek(self, path: str) -> str | None:
        """Return a regular file of anybody's as text, for what is only told; None where there is none.  As above."""

    def find_of(self, person: Person, path: str, ending: str) -> Sequence[str]:
        """Return the paths below a directory whose names end so, sorted, as the person can see them.

        No link is followed, and what is found is not gone into.  Raises for more than 100,000 names on the way.
        """

    def glob(self, pattern: str) -> Sequence[str]:
        """Return the paths that fit a shell pattern, sorted; only below directories of root's."""

    def kind(self, path: str) -> str:
        """Return ``file``, ``dir``, ``link``, ``other``, or ``""`` where there is nothing."""

    def status(self, path: str) -> tuple[int, int, int] | None:
        """Return (mode, uid, gid) of what is there, of a link itself; None where there is nothing."""

    def link(self, path: str) -> str:
        """Return where a link points, "" for what is none."""

    def sshd(self, name: str) -> Mapping[str, str]:
        """Return sshd's settings for an account, as ``sshd -T -C user=NAME`` says them, by lower-case name."""

    def sshd_lines(self) -> Sequence[tuple[str, int, str]]:
        """Return sshd's configuration as (file, line, text), each Include in its place."""


class Source(Protocol):
    """A module of this room."""

    NAME: str
    """As given to ``jailssh migrate``."""
    TITLE: str
    """The program, as in "Jailkit"."""

    def find(self, host: Host) -> list[Found]:
        """Return every account that the program confines, or would."""
