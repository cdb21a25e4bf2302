"""What an existing account has outside of any jail, before it is put into one.

cron, at, a user manager that lingers, files in its home that programs of the host act on, rights by sudo.  Found, told,
and with ``--disable`` set aside so that ``deluser`` can bring it back.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase

from jailssh.core.closed import Word
from jailssh.core.errors import JailsshError
from jailssh.core.home_readers import HOME_READERS, Closed, HomeReader
from jailssh.core.names import escape
from jailssh.host import as_user, process
from jailssh.host.accounts import AccountEntry
from jailssh.services import spools

_MANAGERS = (".config/systemd", ".local/share/systemd")
_MOST = 10_000
"""So many names of a home are looked at."""
_EVERYBODY = "ALL"
_SUDO_WORD = re.compile(r"[\s,=!:()\"\\]+")
_SUDO_ALIAS = re.compile(r"\s*User_Alias\b")
_SUDO_OTHER = re.compile(r"\s*(Defaults|Host_Alias|Runas_Alias|Cmnd_Alias|Cmd_Alias)\b")
_SUDO_NAME = r"(?:\\.|[^\s,\\])+"
_SUDO_USERS = re.compile(rf"[\s!]*{_SUDO_NAME}(?:\s*,[\s!]*{_SUDO_NAME})*")
"""The users that a rule begins with: names with commas between, in which characters may be escaped."""


class Outside(Word):
    """What sort of thing it is; ``other`` cannot be set aside."""

    SPOOL = "spool"
    LINGER = "linger"
    HOME = "home"
    OTHER = "other"


@dataclass(frozen=True)
class OutsideJail:
    """One thing found; ``place``: its path.

    ``says``: what it is and what becomes of it, for people.
    """

    kind: Outside
    place: str
    says: str


def look(entry: AccountEntry, inside: Collection[str]) -> list[OutsideJail]:
    """Return what stands outside of any jail; ``inside``: the PAM services whose commands run in it from now on."""
    refused = "PAM refuses it while the account is in a jail"
    led = "it runs in the jail while the account is in one"
    found = [
        OutsideJail(Outside.SPOOL, path, f"crontab {path}: {led if 'cron' in inside else refused}")
        for path in spools.crontabs(entry.name)
    ]
    found += [
        OutsideJail(Outside.SPOOL, path, f"at job {path}: {led if 'atd' in inside else refused}")
        for path in spools.at_jobs(entry.uid)
    ]
    found += [OutsideJail(Outside.LINGER, path, f"lingering ({path}): {refused}") for path in spools.linger(entry.name)]
    try:
        found += _in_home(entry)
    except JailsshError as error:
        found.append(
            OutsideJail(Outside.OTHER, entry.home, f"{error}; which files programs of the host read is unknown")
        )
    if commands := sudo_rights(entry, SudoFiles()):
        found.append(OutsideJail(Outside.OTHER, "sudo", f"sudo allows it to run commands as others: {commands}"))
    return found


def _in_home(entry: AccountEntry) -> list[OutsideJail]:
    rows = [row for row in HOME_READERS if row.path != ".ssh" and (row.closed != Closed.PAM or row.path in _MANAGERS)]
    plain = [row.path for row in rows if "*" not in row.path]

    def question() -> bytes:
        names = [path for path in plain if os.path.lexists(f"{entry.home}/{path}")]
        with os.scandir(entry.home) as listing:
            for _, each in zip(range(_MOST), listing, strict=False):
                if any(fnmatchcase(each.name, row.path) for row in rows if "*" in row.path):
                    names.append(each.name)
        return b"\0".join(os.fsencode(name) for name in names)

    answer = as_user.ask(entry, question)
    found = []
    for name in (os.fsdecode(part) for part in answer.split(b"\0") if part):
        row = next((row for row in rows if fnmatchcase(name, row.path)), None)
        if row is not None and "/" not in name.replace(row.path, ""):
            found.append(
                OutsideJail(
                    Outside.OTHER if row.closed == Closed.PAM or "/" in name else Outside.HOME, name, _about(row, name)
                )
            )
    return found


def _about(row: HomeReader, name: str) -> str:
    after = "PAM refuses it while the account is in a jail" if row.closed == Closed.PAM else "left unchanged"
    if row.closed == Closed.TOLD:
        after = "nothing blocks it"
    # A pattern's name is the account's, and is shown to who is asked.
    return f"~/{escape(name, 200)} (read by {', '.join(row.programs)}): {row.why}; {after}"


class SudoFiles:
    """Whom sudo's files may mean, read once: sudo itself is slow to ask.

    ``others``: somebody else says who may use it, too.
    """

    def __init__(self) -> None:
        self.texts = spools.sudoers()
        self.others = spools.sudo_asks_others(self.texts.values())
        self._words = sudo_words(self.texts.values())

    def may_mean(self, entry: AccountEntry) -> bool:
        """True if they, or somebody else, may allow the account something."""
        return self.others or not sudo_names(entry).isdisjoint(self._words)


def sudo_rights(entry: AccountEntry, files: SudoFiles) -> str:
    """Return what sudo lets the account run, in short; "" for nothing, without sudo, or where it does not answer."""
    with suppress(JailsshError):
        return ask_sudo(entry, files)
    return ""


def ask_sudo(entry: AccountEntry, files: SudoFiles) -> str:
    """Do as :func:`sudo_rights`; :class:`HostError` where sudo does not answer."""
    if process.find_program("sudo") is None or not files.may_mean(entry):
        return ""
    done = process.run(["sudo", "-n", "-l", "-U", entry.name], check=False, timeout=10)
    if done.code == 0 and (at := done.stdout.find("may run the following")) >= 0:
        rights = [line.strip() for line in done.stdout[at:].splitlines()[1:] if line.strip()]
        return "; ".join(rights[:3])
    return ""


def sudo_words(texts: Iterable[str]) -> frozenset[str]:
    """Return the words of sudo's files that may be names, in lower case: sudo compares names without case.

    And "ALL", which nearly every line has, where it means users.
    """
    texts = list(texts)
    found = (word for text in texts for word in _SUDO_WORD.split(text))
    words = frozenset(word if word == _EVERYBODY else word.lower() for word in found)
    return words if any(_means_everybody(text) for text in texts) else words.difference([_EVERYBODY])


def _means_everybody(text: str) -> bool:
    """True if "ALL" is in a list of users, which a rule begins with, or in an alias of users (sudoers(5))."""
    for line in text.replace("\\\n", " ").splitlines():
        if _SUDO_OTHER.match(line):
            continue
        # A quoted name may hold anything, quotes too: such a line is not taken apart.
        users = None if '"' in line or _SUDO_ALIAS.match(line) else _SUDO_USERS.match(line)
        if _EVERYBODY in _SUDO_WORD.split(users[0] if users else line):
            return True
    return False


def sudo_names(entry: AccountEntry) -> frozenset[str]:
    """Return the words by which sudo's files can mean the account (sudoers(5)), names in lower case."""
    groups = {word for name, gid in entry.groups for word in (f"%{name.lower()}", f"%#{gid}")}
    return frozenset({entry.name.lower(), f"#{entry.uid}", f"%#{entry.gid}", _EVERYBODY, *groups})


def strong_groups(entry: AccountEntry, deny_groups: Collection[str]) -> list[str]:
    """Return the account's groups that are root in disguise."""
    return sorted({name for name, _ in entry.groups} & set(deny_groups))


def lines(found: Sequence[OutsideJail], *, aside: bool) -> list[str]:
    """Return what to say of them after the account went into its jail."""
    out = []
    for each in found:
        moved = aside and each.kind != Outside.OTHER
        out.append(f"note: set aside until deluser: {escape(each.place, 200)}" if moved else f"note: {each.says}")
    if not aside and any(each.kind != Outside.OTHER for each in found):
        out.append("note: to set these aside until deluser: jailssh adduser … --disable")
    return out
