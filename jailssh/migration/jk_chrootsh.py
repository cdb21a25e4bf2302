"""Jailkit's shell as an entry, and what crontabs start by it.

sshd refuses accounts whose shell is gone (sshd(8), LOGIN PROCESS), so where Jailkit's package was removed its shell
becomes a link to the login program: whoever has a jail gets it under that name, and nobody else gets in.  Where PAM's
profile is in force it lets an account of a jail in with the login program's own name alone, since a package may put
Jailkit's shell back in the place of the link; ``jailssh apply`` sets the shell of such an account.

A crontab with ``SHELL=/usr/sbin/jk_chrootsh`` runs its jobs in Jailkit's jail, which an account has left that was
brought in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from jailssh.change import undo
from jailssh.change.transaction import Journal
from jailssh.core.errors import JailsshError
from jailssh.core.names import escape, is_clean_absolute
from jailssh.files import fs
from jailssh.host import install
from jailssh.host.paths import Layout
from jailssh.sources.found import Host

PROGRAM = "jk_chrootsh"
SYSTEM = ("/etc/crontab", "/etc/cron.d/*")
SPOOLS = ("/var/spool/cron/crontabs/*", "/var/spool/cron/tabs/*")
_SHELL = re.compile(r"(\s*SHELL\s*=\s*)(['\"]?)(/[^'\"\s]*/" + PROGRAM + r")\2\s*\Z")
_ASSIGNMENT = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_]*\s*=")
_FIELDS = 5
_MOST = 1 << 20


@dataclass(frozen=True)
class ShellLine:
    """A line ``SHELL=`` of a crontab that names Jailkit's shell, and whose jobs it runs.

    ``written``: the line can be rewritten; else ``why`` not.
    """

    path: str
    number: int
    accounts: tuple[str, ...]
    written: bool
    why: str = ""

    def line(self, program: str) -> str:
        """Return what becomes of it, for people."""
        where = f"{self.path}:{self.number}"
        if self.written:
            return f"~ {where}: SHELL={program}"
        return f"note: {where}: SHELL= names Jailkit's shell and stays: {self.why}"


def shell_lines(host: Host, people: Collection[str]) -> list[ShellLine]:
    """Return the lines by which jobs of ``people``, accounts that are brought in, run in Jailkit's jail.

    Crontabs of root's can be rewritten where all jobs behind the line are theirs; an account's own is told only.
    """
    found: list[ShellLine] = []
    for path in _paths(host, SYSTEM):
        try:
            lines = (host.read(path) or "").split("\n")
        except JailsshError as error:
            found += _unread(host, path, people, str(error))
            continue
        for number, names in _blocks(lines):
            if mine := tuple(name for name in names if name in people):
                others = [name for name in names if name not in people]
                why = f"it is for {', '.join(others[:5])} as well" if others else ""
                found.append(ShellLine(path, number, mine, not others, why))
    for path in _paths(host, SPOOLS):
        name = path.rpartition("/")[2]
        if name in people:
            lines = (host.peek(path) or "").split("\n")
            why = f"it is the crontab of {name}; crontab -u {name} -e changes it"
            found += [ShellLine(path, number, (name,), False, why) for number, _ in _blocks(lines)]
    return found


def _paths(host: Host, patterns: Sequence[str]) -> Iterator[str]:
    for pattern in patterns:
        yield from (path for path in host.glob(pattern) if host.kind(path) == "file")


def _unread(host: Host, path: str, people: Collection[str], error: str) -> Iterator[ShellLine]:
    """Yield the lines of a file that root does not trust: they are told."""
    for number, names in _blocks((host.peek(path) or "").split("\n")):
        if mine := tuple(name for name in names if name in people):
            yield ShellLine(path, number, mine, False, error)


def _blocks(lines: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Return each line that sets the shell to Jailkit's, with the users of the jobs up to the next such line."""
    found: list[tuple[int, list[str]]] = []
    inside = False
    for number, line in enumerate(lines, 1):
        if _ASSIGNMENT.match(line):
            if line.lstrip().startswith("SHELL"):
                inside = bool(_SHELL.match(line))
                if inside:
                    found.append((number, []))
        elif inside and line.strip() and not line.lstrip().startswith("#"):
            words = line.split()
            place = 1 if words[0].startswith("@") else _FIELDS
            if len(words) > place and words[place] not in found[-1][1]:
                found[-1][1].append(words[place])
    return found


def settle(layout: Layout, journal: Journal, host: Host, people: Collection[str], shells: Collection[str]) -> list[str]:
    """Put links where Jailkit's shell is gone and rewrite crontabs; return lines about that.

    For a change that is under way: each step has its inverse in ``journal``.  ``people``: accounts that are brought in;
    ``shells``: the login shells of all accounts, of which those are looked at that are Jailkit's.
    """
    program = layout.login_program
    lines = []
    for path in missing(shells):
        _step(journal, path, undo.UndoAction(undo.Operation.LINK, path, (program,)), lambda: _link(path, program))  # noqa: B023
        lines.append(f"+ {path} -> {program}, since Jailkit's is gone")
    found = shell_lines(host, people)
    for path in dict.fromkeys(each.path for each in found if each.written):
        numbers = {each.number for each in found if each.path == path and each.written}
        _rewrite(journal, path, numbers, program)
    return [*lines, *(escape(each.line(program), 400) for each in found)]


def missing(shells: Collection[str]) -> list[str]:
    """Return the paths of Jailkit's shell that accounts have and that are not there, sorted."""
    return sorted(
        path
        for path in set(shells)
        if path.rpartition("/")[2] == PROGRAM
        and is_clean_absolute(path)
        and os.path.isdir(os.path.dirname(path))
        and not os.path.lexists(path)
    )


def _step(journal: Journal, path: str, inverse: undo.UndoAction, act: Callable[[], object]) -> None:
    journal.step(path, inverse, act)


def _link(path: str, target: str) -> None:
    folder, name = os.path.split(path)
    dirfd = fs.open_dir(os.path.realpath(folder))
    try:
        # Not in the place of a file that has come meanwhile.
        os.stat(name, dir_fd=dirfd, follow_symlinks=False)
    except FileNotFoundError:
        fs.atomic_symlink_at(dirfd, name, target)
    finally:
        os.close(dirfd)


def _rewrite(journal: Journal, path: str, numbers: Collection[int], program: str) -> None:
    mode = install.access_of(path)[0]
    lines = (install.read_optional(path, _MOST) or b"").decode("utf-8", "surrogateescape").split("\n")
    for number in numbers:
        if match := _SHELL.match(lines[number - 1]) if number <= len(lines) else None:
            lines[number - 1] = f"{match[1]}{match[2]}{program}{match[2]}"
    data = "\n".join(lines).encode("utf-8", "surrogateescape")
    _step(journal, path, undo.put_file_back(path, data), lambda: fs.atomic_write(path, data, mode=mode))
