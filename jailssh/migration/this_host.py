"""What the readers of other programs' set-ups ask of this host."""

from __future__ import annotations

import glob
import grp
import os
import pwd
import stat
from collections.abc import Mapping, Sequence
from functools import cached_property

from jailssh.core.errors import HostError
from jailssh.files import fs
from jailssh.host import accounts, as_user
from jailssh.host.paths import Layout
from jailssh.services import sshd, sshd_matches
from jailssh.sources.found import Person

LIMIT = 8 << 20


class RealHost:
    """Answers for the host that we run on, each question asked once."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._sshd: dict[tuple[object, ...], Mapping[str, str]] = {}

    @cached_property
    def _people(self) -> dict[str, Person]:
        local = accounts.local_uids()
        found: dict[str, Person] = {}
        named = self._groups
        for row in pwd.getpwall():
            groups = named.get(row.pw_name, [])
            primary = self._names.get(row.pw_gid, str(row.pw_gid))
            found.setdefault(
                row.pw_name,
                Person(
                    row.pw_name,
                    row.pw_uid,
                    row.pw_gid,
                    group=primary,
                    home=row.pw_dir,
                    shell=row.pw_shell,
                    groups=tuple(sorted({primary, *groups})),
                    local=local.get(row.pw_name) == row.pw_uid,
                ),
            )
        return found

    @cached_property
    def _names(self) -> dict[int, str]:
        return {row.gr_gid: row.gr_name for row in reversed(grp.getgrall())}

    @cached_property
    def _groups(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for row in grp.getgrall():
            for name in row.gr_mem:
                found.setdefault(name, []).append(row.gr_name)
        return found

    def people(self) -> Sequence[Person]:
        """Return all accounts that the name service lists."""
        return list(self._people.values())

    def read(self, path: str) -> str | None:
        """Return a file of root's as text; None where there is none.  Raises where it is not root's alone."""
        try:
            return fs.read_trusted(path, LIMIT).decode("utf-8", "surrogateescape")
        except HostError as error:
            if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
                return None
            raise

    def read_of(self, person: Person, path: str) -> str | None:
        """Return a file below somebody's home, read with the account's rights; None where there is none for it."""
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None  # most have none, and that needs no process of the account's
        except OSError:
            pass  # where root may not look
        (data,) = as_user.read_files(accounts.get(person.name), [path], LIMIT)
        return None if data is None else data.decode("utf-8", "surrogateescape")

    def peek(self, path: str) -> str | None:
        """Return a regular file of anybody's as text, for what is only told; None where there is none."""
        if self.kind(path) != "file":
            return None
        try:
            fd = fs.open_plain(path)
        except OSError as error:
            raise fs.failed("read", path, error) from error
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode) or os.fstat(fd).st_size > LIMIT:
                raise HostError(path, "is no file that can be read")
            with os.fdopen(os.dup(fd), "rb") as stream:
                return stream.read(LIMIT).decode("utf-8", "surrogateescape")
        finally:
            os.close(fd)

    def find_of(self, person: Person, path: str, ending: str) -> Sequence[str]:
        """Return the paths below a directory whose names end so, as the person can see them."""
        return as_user.find_below(accounts.get(person.name), path, ending)

    def glob(self, pattern: str) -> Sequence[str]:
        """Return the paths that fit a shell pattern, sorted."""
        return sorted(glob.glob(pattern))

    def kind(self, path: str) -> str:
        """Return ``file``, ``dir``, ``link``, ``other``, or ``""`` where there is nothing."""
        info = self.status(path)
        if info is None:
            return ""
        kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "link"}
        return kinds.get(stat.S_IFMT(info[0]), "other")

    def status(self, path: str) -> tuple[int, int, int] | None:
        """Return (mode, uid, gid) of what is there; None where there is nothing."""
        try:
            info = os.lstat(path)
        except OSError:
            return None
        return info.st_mode, info.st_uid, info.st_gid

    def link(self, path: str) -> str:
        """Return where a link points, "" for what is none."""
        try:
            return os.readlink(path)
        except OSError:
            return ""

    def sshd(self, name: str) -> Mapping[str, str]:
        """Return sshd's settings for an account, asked once for all that its Match lines do not tell apart."""
        person = self._people.get(name)
        groups = person.groups if person else ()
        case = sshd_matches.case_of(name, groups, self._matches)
        if case not in self._sshd:
            values = sshd.effective(name, sshd.main_config(self._layout))
            self._sshd[case] = {key: " ".join(each) for key, each in values.items()}
        return self._sshd[case]

    @cached_property
    def _matches(self) -> list[sshd_matches.MatchLine]:
        return sshd_matches.lines(self._layout)

    def sshd_lines(self) -> Sequence[tuple[str, int, str]]:
        """Return sshd's configuration as (file, line, text), each Include in its place."""
        return sshd_matches.all_lines(self._layout)
