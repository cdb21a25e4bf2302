"""What lies in the homes of accounts in jails that programs of the host act on, outside of every jail.

All homes are looked at in one pass, each with its account's own rights, by names and attributes alone: nothing in them
is opened but directories.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import chain, islice

from jailssh.checks import pam, setting_aside
from jailssh.core.errors import HostError
from jailssh.core.home_readers import HOME_READERS, Closed, HomeReader
from jailssh.files import fs
from jailssh.files.beneath import open_beneath
from jailssh.host import as_each, as_user, install, process
from jailssh.host.accounts import AccountEntry
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.scene import Scene
from jailssh.services import pam_account, spools
from jailssh.setup.looks import Outside, OutsideJail

OPEN = Kind(
    "JSH-511", Severity.MEDIUM, "file in the home that a program of the host acts on",
    "Nothing hides it from the jail, so the account can write what the program then does.",
    "jailssh check --fix sets it aside until deluser",
)  # fmt: skip
STANDING = Kind(
    "JSH-512", Severity.MEDIUM, "file in the home from before the jail that a program of the host acts on",
    "No session can change it, and what it says is still done, outside of the jail.",
    "jailssh check --fix sets it aside until deluser",
)  # fmt: skip
LETS_IN = Kind(
    "JSH-513", Severity.MEDIUM, "file in the home that says who else may log in",
    "Keys are managed outside of the home so that the account cannot admit others; this is another way to do it.",
    "jailssh check --fix sets it aside until deluser",
)  # fmt: skip
UNITS = Kind(
    "JSH-514", Severity.MEDIUM, "units in the home, and PAM does not refuse user managers",
    "systemd --user starts them outside of the jail.", "jailssh setup",
)  # fmt: skip
SSH = Kind(
    "JSH-515", Severity.LOW, "file in the home that sshd would act on with other settings",
    "sshd does not read it for an account in a jail as long as the drop-in is in force.", "remove the file",
)  # fmt: skip
EQUIVALENT = Kind(
    "JSH-516", Severity.MEDIUM, "hosts whose users are trusted by name",
    "Whoever controls such a host logs in as any account of the same name, where host-based authentication is on or "
    "an old remote shell server runs.",
    "remove the file",
)  # fmt: skip
CROWDED = Kind(
    "JSH-517", Severity.LOW, "home with so many names that not all were looked at",
    "A name that a mail server acts on may be among them.", "have the account put its files into directories",
)  # fmt: skip

CLOSED = Kind(
    "JSH-518", Severity.MEDIUM, "part of a home that could not be looked into",
    "Something that programs of the host act on may be there, and be shown to them when the account opens it again.",
    "look at it as root: a link to a directory without rights, or a file server that refuses root",
)  # fmt: skip

MOST = 20_000
"""So many names of a home are looked at."""
MOST_ALIKE = 100
"""So many of them that a pattern of the table fits, such as ``.forward+*``, are told."""
_SSH_FOLDER = ".ssh"
_IN_SSH = ("rc", "environment")
_LETS_IN = (".k5login", ".k5users", ".k5identity", ".rhosts", ".shosts")
_ENVIRONMENT = ".pam_environment"
_MANAGERS = ("systemd --user", "systemd --user with podman")
_MORE = (".ssh/rc", ".ssh/environment", ".k5identity")
_HOSTS = ("/etc/hosts.equiv", "/etc/ssh/shosts.equiv", "/etc/shosts.equiv")
_READERS: dict[str, tuple[str, ...]] = {
    ".forward+*": ("postfix", "sendmail"), ".forward.*": ("postfix", "sendmail"), ".qmail-*": ("qmail-send",),
    ".courier-*": ("courier", "courierctl"), ".rhosts": ("in.rshd", "in.rlogind", "rshd", "rlogind"),
}  # fmt: skip
"""Rows that matter only where one of these programs is there."""
_SWITCHES = {
    "public_html": ("/etc/apache2/mods-enabled/userdir.load", "/etc/httpd/conf.d/userdir.conf",
                    "/etc/lighttpd/conf-enabled/10-userdir.conf"),
}  # fmt: skip
"""Rows that matter only where one of these files switches it on."""
_MODULES = {
    ".pam_mount.conf.xml": "pam_mount.so", ".google_authenticator": "pam_google_authenticator.so",
    ".yubico": "pam_yubico.so", ".config/Yubico": "pam_u2f.so",
}  # fmt: skip
"""Rows that matter only where this PAM module is there."""
_LEFT = {
    "public_html": "a2dismod userdir, or what else serves it, unless the account is to publish what it likes",
    ".google_authenticator": "keep secrets where root alone writes: pam_google_authenticator.so user=root"
    " secret=/var/lib/google-authenticator/${USER}",
}
"""Not set aside, with what to do: a web site would be gone, or who has a second factor could no longer log in."""


@dataclass(frozen=True)
class Home:
    """A home: the paths below it that are there, each with whether there is anything in it; ``crowded``: too many.

    ``closed``: paths at which nobody could look; ``more``: so many names that fit a pattern are left out.
    """

    account: str
    jail: str
    home: str
    found: tuple[tuple[str, bool], ...]
    crowded: bool = False
    closed: tuple[str, ...] = ()
    more: int = 0


@dataclass(frozen=True)
class Facts:
    """The homes, files of the host that trust other hosts, and whether user managers are refused."""

    homes: tuple[Home, ...]
    hosts: tuple[str, ...] = ()
    managers: bool = False
    readers: frozenset[str] = frozenset()


def collect(scene: Scene) -> Facts:
    """Look into every home once."""
    with _looks(scene) as (blank, answers):
        jails = {name: person.jail for name, person in scene.jailed.items()}
        homes = []
        for entry, answer in answers:
            if isinstance(answer, HostError):
                scene.unseen(answer)
                continue
            rows = [line for line in answer.split(b"\0") if line]
            if any(row[:1] == _DENIED for row in rows):
                rows = _looked_into(scene, entry, _wanted(blank), rows)
            found = tuple((os.fsdecode(row[1:]), row[:1] == _FULL) for row in rows if row[:1] in (_FULL, _EMPTY))
            closed = tuple(os.fsdecode(row[1:]) for row in rows if row[:1] == _DENIED)
            more = sum(int(row[1:]) for row in rows if row[:1] == _MORE_ALIKE)
            homes.append(Home(entry.name, jails[entry.name], entry.home, found, _CROWDED in rows, closed, more))
        return replace(blank, homes=tuple(homes))


_Looks = tuple[Facts, Iterator[tuple[AccountEntry, bytes | HostError]]]


@contextmanager
def begin(scene: Scene) -> Iterator[None]:
    """Have another process look into homes while other checks look elsewhere; what it says waits in its pipe."""
    with _looks(scene) as looks:
        scene.begun[CHECK.name] = looks
        yield


@contextmanager
def _looks(scene: Scene) -> Iterator[_Looks]:
    """Give what is known without the homes, and the answers of the homes, of which the first is there."""
    if CHECK.name in scene.begun:
        yield scene.begun[CHECK.name]
        return
    entries = [person.entry for person in scene.jailed.values()]
    blank = Facts((), tuple(_hosts()), entries != [] and not pam.refuses_managers(scene), frozenset(_present()))
    with closing(as_each.ask_each(entries, _wanted(blank).look)) as answers:
        first = list(islice(answers, 1))
        yield blank, chain(first, answers)


def _wanted(blank: Facts) -> Wanted:
    """Return what is looked for; what would not be told is not: most homes have files of shells."""
    return Wanted(frozenset(path for path in _PLAIN if _about(path, blank)[0] is not None))


def _looked_into(scene: Scene, entry: AccountEntry, wanted: Wanted, rows: Sequence[bytes]) -> list[bytes]:
    """Return the rows of a home that its account has closed to itself, as root sees it."""
    try:
        answer = as_user.ask_below(entry, wanted.look_below)
    except HostError as error:
        scene.unseen(error)
        return list(rows)
    seen = {row[1:]: row for row in answer.split(b"\0") if row}
    # What lies behind a link of the account's counts as it sees it itself.
    told = {row[1:]: row for row in rows if row[:1] in (_FULL, _EMPTY)}
    return list({**seen, **told}.values())


_FULL, _EMPTY, _CROWDED, _DENIED, _MORE_ALIKE = b"+", b"-", b"!", b"?", b"#"
_PLAIN = frozenset([*_MORE, *(row.path for row in HOME_READERS if "*" not in row.path and row.path != _SSH_FOLDER)])
_PATTERNS = tuple(row.path for row in HOME_READERS if "*" in row.path)
_STARTS = tuple({pattern[:6] for pattern in _PATTERNS})


@dataclass(frozen=True)
class Wanted:
    """What is looked for in homes: ``paths`` below them, and the names at the top that a pattern of the table fits."""

    paths: frozenset[str]

    @cached_property
    def tops(self) -> frozenset[str]:
        """The first names of the paths."""
        return frozenset(path.partition("/")[0] for path in self.paths)

    def look(self, entry: AccountEntry) -> bytes:
        """Return what of that is in the home; runs with the account's rights, and reads names and attributes alone."""
        try:
            return self._search(entry.home, lambda path: _has_content(f"{entry.home}/{path}"))
        except (FileNotFoundError, NotADirectoryError):
            return b""
        except PermissionError:
            return _DENIED

    def look_below(self, home: int) -> bytes:
        """Do the same by a descriptor of the home, following and crossing nothing; for what the account has closed."""
        top = fs.open_dir_at(home, "")
        return self._search(top, lambda path: _has_content_at(top, path))

    def _search(self, home: str | int, has_content: Callable[[str], bool]) -> bytes:
        found: list[bytes] = []
        tops, others = set(), []
        with os.scandir(home) as listing:
            for number, each in enumerate(listing):
                if number == MOST:
                    found.append(_CROWDED)
                    break
                name = each.name
                if name in self.tops:
                    tops.add(name)
                elif name.startswith(_STARTS) and any(fnmatchcase(name, pattern) for pattern in _PATTERNS):
                    others.append(name)
        if len(others) > MOST_ALIKE:
            found.append(_MORE_ALIKE + b"%d" % (len(others) - MOST_ALIKE))
            others = sorted(others)[:MOST_ALIKE]
        # What is beyond the bound is asked for by name.
        names = (
            self.paths
            if _CROWDED in found
            else [path for path in self.paths if path.partition("/")[0] in tops]
            if tops
            else ()
        )
        for path in (*sorted(names), *others):
            try:
                mark = _FULL if has_content(path) else _EMPTY
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                mark = _DENIED
            found.append(mark + os.fsencode(path))
        return b"\0".join(found)


def _has_content(path: str) -> bool:
    """True unless it is an empty file or directory; raises where there is nothing.  Follows no link at its end."""
    info = os.lstat(path)
    if not stat.S_ISDIR(info.st_mode):
        return info.st_size > 0 or not stat.S_ISREG(info.st_mode)
    with os.scandir(path) as listing:
        return next(listing, None) is not None


def _has_content_at(top: int, path: str) -> bool:
    """Say the same below a directory, and follow no link on the way; one on the way is an error of its own."""
    above, name = os.path.split(path)
    folder = _open_below(top, above)
    try:
        info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISDIR(info.st_mode):
            return info.st_size > 0 or not stat.S_ISREG(info.st_mode)
        inside = open_beneath(folder, name)
    finally:
        os.close(folder)
    try:
        with os.scandir(inside) as listing:
            return next(listing, None) is not None
    finally:
        os.close(inside)


def _open_below(top: int, path: str) -> int:
    try:
        return open_beneath(top, path)
    except NotADirectoryError:
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            # Where a link leads is looked at with the account's rights alone.
            if stat.S_ISLNK(os.stat("/".join(parts[:depth]), dir_fd=top, follow_symlinks=False).st_mode):
                raise PermissionError(path) from None
        raise


def _hosts() -> Iterator[str]:
    for path in _HOSTS:
        try:
            lines = (install.read_followed(path) or b"").decode("utf-8", "replace").splitlines()
        except HostError:
            yield path  # Whoever can write it names hosts when it likes.
            continue
        if any(line.strip() and not line.lstrip().startswith("#") for line in lines):
            yield path


def _present() -> Iterator[str]:
    for path, programs in _READERS.items():
        if any(map(process.find_program, programs)):
            yield path
    yield from (path for path, module in _MODULES.items() if pam_account.has_module(module))
    yield from (path for path, switches in _SWITCHES.items() if any(map(os.path.exists, switches)))


def judge(facts: Facts) -> Iterable[Finding]:
    """Return what programs of the host act on."""
    for path in facts.hosts:
        yield Finding(EQUIVALENT, f"file {path}", "names hosts, or others can write it", path=path)
    for home in facts.homes:
        what = f"account {home.account}"
        if home.crowded:
            why = f"more than {MOST} names in {home.home}"
            yield Finding(CROWDED, what, why, path=home.home, account=home.account, jail=home.jail)
        if home.more:
            why = f"{home.more} more names like ~/.forward+NAME in {home.home}"
            yield Finding(CROWDED, what, why, path=home.home, detail="alike", account=home.account, jail=home.jail)
        for path in home.closed:
            why, place = f"~/{path} cannot be looked at", f"{home.home}/{path}".rstrip("/")
            yield Finding(CLOSED, what, why, path=place, account=home.account, jail=home.jail)
        for path, full in home.found:
            kind, why = _about(path, facts) if full else (None, "")
            if kind is not None:
                place = f"{home.home}/{path}"
                cure = _LEFT.get(path, "")
                yield Finding(kind, what, why, cure=cure, path=place, account=home.account, jail=home.jail)


def _about(path: str, facts: Facts) -> tuple[Kind | None, str]:
    """Return what is wrong with something of this name, None for nothing."""
    if path.startswith(f"{_SSH_FOLDER}/"):
        return SSH, f"~/{path} (read by sshd)"
    row = _row(path)
    if row is None:
        return LETS_IN, f"~/{path} (read by Kerberos)"
    why = f"~/{path} (read by {', '.join(row.programs)}): {row.why}"
    if row.closed == Closed.PAM:
        managed = facts.managers and any(program in _MANAGERS for program in row.programs)
        return (UNITS, why) if managed else (None, "")
    if row.closed == Closed.SSHD and ".rhosts" not in facts.readers:
        return SSH, why
    if path in _LETS_IN:
        return LETS_IN, why
    if row.closed == Closed.TOLD:
        needed = row.path in (*_READERS, *_MODULES, *_SWITCHES)
        return (OPEN, why) if not needed or row.path in facts.readers else (None, "")
    return STANDING, why


def _row(path: str) -> HomeReader | None:
    """Return the row about this path; one with a pattern is about names at the top alone."""
    rows = (row for row in HOME_READERS if row.path == path)
    patterns = (row for row in HOME_READERS if "*" in row.path and "/" not in path and fnmatchcase(path, row.path))
    return next(rows, None) or next(patterns, None)


def set_aside(scene: Scene, findings: Sequence[Finding]) -> list[str]:
    """Give files at the top of homes names that nothing reads, as the account; ``deluser`` brings them back."""
    lines = []
    for name in dict.fromkeys(each.account for each in findings):
        entry = scene.jailed[name].entry
        places = [each.path.removeprefix(f"{entry.home}/") for each in findings if each.account == name]
        found = [OutsideJail(Outside.HOME, place, "") for place in places if "/" not in place and place not in _LEFT]
        names = {each.place: spools.aside(f"{entry.home}/{each.place}") for each in found}
        taken = {place: new for place, new in names.items() if as_user.lstat(entry, new) is not None}
        lines += setting_aside.set_aside(scene, name, found, taken, f"{entry.home}/")
    return lines


CHECK = Check(
    "homes",
    "what programs of the host act on in homes of accounts in jails",
    (OPEN, STANDING, LETS_IN, UNITS, SSH, EQUIVALENT, CROWDED, CLOSED),
    collect,
    judge,
    begin=begin,
    fixes={OPEN.id: set_aside, STANDING.id: set_aside, LETS_IN.id: set_aside},
)
