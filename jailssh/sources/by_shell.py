"""Accounts that their login shell confines: what the readers of such shells have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from jailssh.core.names import escape, is_below, is_clean_absolute
from jailssh.sources.authorized_keys import unfit
from jailssh.sources.forced import Context, Left, Refuses, home_of
from jailssh.sources.found import Effect, Fate, Found, Host, Person, Remark, Settings

Rows = dict[str, dict[str, str | tuple[str, ...]]]
"""Settings of a jail while they are made, by section and key."""
SYSTEM = frozenset({"", "boot", "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "root", "run", "sbin",
                    "sys", "tmp", "usr"})  # fmt: skip
"""Directories at the top of a jail that are its own."""
OUTSIDE = "files outside of the home, which nothing but their modes kept from it"
SCP_ONLY = "scp of OpenSSH 9 and later works by SFTP, with which a client can also list, rename and remove"


@dataclass
class Case:
    """An account with such a shell, and what is said of it so far."""

    person: Person
    host: Host
    source: str
    where: str
    remarks: list[Remark] = field(default_factory=list)

    def say(self, effect: Effect, text: str, where: str = "") -> None:
        """Note something, at the place that decides for the account unless ``where`` names another."""
        remark = Remark(effect, where or self.where, text)
        if remark not in self.remarks:
            self.remarks.append(remark)

    def path(self, text: str) -> str:
        """Return a path of this host as a jail's settings write it; raises :class:`Left` for what is none."""
        return Context(self.person, self.host, home_of(self.person)).path(text)

    def found(self, fate: Fate, why: str = "") -> Found:
        """Return the account as one that is left, or refused today; ``why`` says so."""
        if why:
            self.say(Effect.NOTE, why)
        return Found(self.person.name, self.source, self.where, fate=fate, remarks=tuple(self.remarks))

    def migrates(
        self, settings: Settings, uses: Sequence[str], called: str, home: tuple[str, str] = ("", ""),
        own: Mapping[str, str] | None = None,
    ) -> Found:  # fmt: skip
        """Return the account with the jail nearest to what it has; ``home`` is where it is and where it is shown."""
        return Found(
            self.person.name, self.source, self.where, settings=settings, called=called, home=home[0], inside=home[1],
            own=own or {}, uses=tuple(uses), remarks=tuple(self.remarks),
        )  # fmt: skip


def cases(host: Host, source: str, names: Sequence[str], where: str) -> Iterator[Case]:
    """Yield the accounts whose login shell is one of ``names``, by the last component of its path."""
    for person in host.people():
        if person.shell.rsplit("/", 1)[-1] in names:
            yield Case(person, host, source, where)


def judged(case: Case) -> Found | None:
    """Return the account where nothing can be done about it, whatever its shell lets it do."""
    reasons = unfit(case.person)
    settings = case.host.sshd(case.person.name)
    for name in ("forcecommand", "chrootdirectory"):
        value = settings.get(name, "none")
        if value.lower() not in ("", "none"):
            text = f"sshd has {name} = {escape(value, 80)} for it, which decides before its login shell does"
            reasons.append((case.person.name, text))
    for where, why in reasons:
        case.say(Effect.NOTE, why, where)
    return case.found(Fate.LEAVE) if reasons else None


def settled(case: Case, make: Callable[[Case], Found]) -> Found:
    """Return what ``make`` makes of the case; what no jail comes near to is left, what fails today is refused."""
    try:
        return make(case)
    except Left as error:
        return case.found(Fate.LEAVE, f"left: {error}")
    except Refuses as error:
        return case.found(Fate.REFUSED, f"refused today: {error}")


def with_sh(person: Person) -> Person:
    """Return the account as one whose login shell is sh, for a command that its own one runs itself."""
    return replace(person, shell="/bin/sh")  # noqa: S604 (a field, nothing runs)


def root_of(text: str) -> str:
    """Return a chroot's path without needless slashes; raises :class:`Left` for what a jail's settings cannot name."""
    path = "/" + "/".join(part for part in text.split("/") if part not in ("", "."))
    if not text.startswith("/") or not is_clean_absolute(path) or not path.isprintable():
        raise Left(f"the chroot {escape(text, 80)!r} is not an absolute path")
    return path


def in_chroot(case: Case, root: str) -> tuple[str, str]:
    """Return where the home of a chrooted account is on this host, and where the jail shows it ("" for there).

    ``root`` is the chroot.  What the chroot has besides the home is said to be lost.
    """
    home = home_of(case.person)
    if root == "/":
        return "", ""
    case.say(Effect.LOST, f"what {root} has besides the home: a jail shows the home alone")
    if home == root:
        case.say(Effect.CHANGED, f"paths begin at the home: what was /x is {home}/x")
        return "", ""
    if is_below(home, root):
        return (home if home != case.person.home else ""), shown(home[len(root) :])
    there = root + home
    status = case.host.status(there)
    if case.host.kind(there) != "dir" or status is None or status[1] != case.person.uid:
        raise Left(f"its home {home} is not in its chroot {root}, so which files there are its own is not known")
    case.say(Effect.CHANGED, f"a session begins in {home}, not at the top of the chroot")
    return there, shown(home)


def shown(path: str) -> str:
    """Return the path at which a jail shows a home; raises :class:`Left` where the jail has something of its own."""
    if path.split("/")[1] in SYSTEM:
        raise Left(f"{path} is a directory that a jail has for itself")
    return path


def transfers(kinds: set[str], called: str) -> tuple[Rows, tuple[str, ...], str]:
    """Return settings, uses and a name for the jail of the transfers ``sftp``, ``scp`` and ``rsync``."""
    names = [name for name in ("sftp", "scp", "rsync") if name in kinds]
    rows: Rows = {"": {"plugins": " ".join(names)}}
    if "rsync" in kinds:
        rows["rsync"] = {"read": ("~",), "write": ("~",)}
    uses = [use for use in ("sftp", "scp", "scp-old", "rsync") if use in _uses(kinds)]
    return rows, tuple(uses), f"{called}-{'-'.join(names)}"


def _uses(kinds: set[str]) -> set[str]:
    each = {"sftp": {"sftp", "scp"}, "scp": {"scp-old"}, "rsync": {"rsync"}}
    return set().union(*(each[kind] for kind in kinds))


def lines_of(text: str) -> list[str]:
    """Return the lines of a file as C programs read them: a newline ends one, and nothing else does."""
    lines = text.split("\n")
    return lines[:-1] if not lines[-1] else lines
