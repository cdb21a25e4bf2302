"""Accounts that sshd_config confines: ``ForceCommand`` and ``ChrootDirectory``, mostly in ``Match`` blocks.

sshd says what holds for each account.  In a chroot the client sees paths that begin there; a jail shows one directory
of the account, its home, at a path of our choice.  Where the chroot holds one directory alone, which is the account's,
or such ones of others too, that becomes its home, at the path that it has in the chroot.  Any other one that holds
directories and nothing else becomes the home, and they are at the top of the jail.  Else the whole chroot becomes the
home, and paths change.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from jailssh.core.names import escape, is_below, is_clean_absolute
from jailssh.sources import forced, sshd_match
from jailssh.sources.authorized_keys import MIN_UID, expand, unfit
from jailssh.sources.forced import Context, Forced, Left, Refuses, home_of
from jailssh.sources.found import Effect, Fate, Found, Host, Person, Remark, Settings
from jailssh.sources.shell_words import NO_SHELLS
from jailssh.sources.sshd_match import Fits, Said

NAME = "sshd_config"
TITLE = "ForceCommand and ChrootDirectory of sshd_config"
SYSTEM = frozenset({"boot", "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "root", "run", "sbin",
                    "sys", "tmp", "usr"})  # fmt: skip
"""Directories at the top of a jail that are its own."""
_MAIN = "/etc/ssh/sshd_config"
_OURS = "jailssh-login"
_NOBODY = 65534
_MOST_AT_TOP = 50
_MOST = 200
"""Directories of one chroot that are looked at."""


def find(host: Host) -> list[Found]:
    """Return the accounts for which sshd has a forced command or a chroot."""
    lines = list(host.sshd_lines())
    gids = _gids(host)
    found = []
    for person in host.people():
        one = _account(person, host, lines, gids)
        if one:
            found.append(one)
    return found


@dataclass(frozen=True)
class _Tree:
    """A chroot: where it is, what stands in it, with a dot or not, and where in it the account can write.

    ``certain``: nothing of it is doubtful; ``groups``: those by which the account may do something in it.
    """

    root: str
    shown: tuple[str, ...]
    dotted: tuple[str, ...]
    writable: tuple[str, ...]
    certain: bool
    groups: tuple[str, ...]


@dataclass
class _Case:
    person: Person
    host: Host
    where: str
    remarks: list[Remark] = field(default_factory=list)

    def say(self, effect: Effect, text: str, where: str = "") -> None:
        remark = Remark(effect, where or self.where, text)
        if remark not in self.remarks:
            self.remarks.append(remark)

    def found(self, fate: Fate, why: str = "") -> Found:
        if why:
            self.say(Effect.NOTE, why)
        return Found(self.person.name, NAME, self.where, fate=fate, remarks=tuple(self.remarks))


def _account(person: Person, host: Host, lines: list[tuple[str, int, str]], gids: Mapping[int, str]) -> Found | None:
    settings = host.sshd(person.name)
    command, chroot = _value(settings, "forcecommand"), _value(settings, "chrootdirectory")
    of_chroot, of_command = (sshd_match.lines_for(person, name, lines) for name in ("chrootdirectory", "forcecommand"))
    sometimes = [*_unsure(of_chroot, chroot), *_unsure(of_command, command)]
    if _OURS in command or not (command or chroot or sometimes):
        return None
    deciding = [*_origin(of_chroot, chroot), *_origin(of_command, command), *sometimes]
    if (person.uid < MIN_UID or person.uid == _NOBODY) and not any(each.named for each in deciding):
        return None  # a system account that no line means
    case = _Case(person, host, deciding[0].where if deciding else _MAIN)
    for where, why in unfit(person):
        case.say(Effect.NOTE, why, where)
    for each in sometimes:
        what = f"Match {escape(each.block, 80)}: {escape(each.value, 80)} holds for some connections only"
        case.say(Effect.NOTE, f"{what}, and a jail for all", each.where)
    if case.remarks:
        return case.found(Fate.LEAVE)
    if settings.get("allowtcpforwarding", "yes").lower() != "no" and settings.get("disableforwarding") != "yes":
        case.say(Effect.CLOSED, "ports can be forwarded (AllowTcpForwarding); a jail forwards nothing")
    try:
        return _confined(case, command, chroot, settings, gids)
    except Left as error:
        return case.found(Fate.LEAVE, f"left: {error}")
    except Refuses as error:
        return case.found(Fate.REFUSED, f"refused today: {error}")


def _value(settings: Mapping[str, str], name: str) -> str:
    value = settings.get(name, "")
    return "" if value.lower() == "none" else value


def _unsure(rows: list[Said], value: str) -> Iterator[Said]:
    """Yield the lines that hold for some connections, and say something else than what holds without them."""
    for row in rows:
        if row.fits is Fits.YES:
            return
        if (value or "none") != row.value:
            yield row


def _origin(rows: list[Said], value: str) -> list[Said]:
    return [row for row in rows if value and row.fits is Fits.YES][:1]


def _confined(case: _Case, command: str, chroot: str, settings: Mapping[str, str], gids: Mapping[int, str]) -> Found:
    root = _root(case, chroot) if chroot else "/"
    if root == "/":
        if not command:
            raise Left("the chroot is /, so nothing is confined")
        return _commanded(case, forced.judge(command, case.person, case.host))
    if command and not forced.is_internal(command):
        raise Left(f"{escape(command, 80)} is a program of the chroot at {root}, which has what its maker put there")
    words = command.split(" ")[1:] if command else _subsystem(case, root, settings)
    if root.split("/")[1] in SYSTEM:
        raise Left(f"{root} is below /{root.split('/')[1]}, which a jail has for itself: move the directory")
    return _transfers(case, command, words, _look(case, root, gids))


def _commanded(case: _Case, what: Forced) -> Found:
    for effect, text in what.notes:
        case.say(effect, text)
    if what.fate is Fate.LEAVE:
        raise Left(what.why)
    if what.fate is Fate.REFUSED:
        raise Refuses(what.why)
    # What sshd forces goes before the commands of keys.
    return replace(
        case.found(Fate.MIGRATE),
        settings=what.settings,
        commands=True,
        called=_called(what.called, what.settings),
        uses=what.uses,
    )


def _called(name: str, settings: Settings) -> str:
    return f"sshd-{name}" if name in settings or "directories" in settings else name


def _subsystem(case: _Case, root: str, settings: Mapping[str, str]) -> list[str]:
    """Return the flags of sshd's own sftp server where a chroot without a forced command leaves nothing else."""
    words = settings.get("subsystem", "").split()
    shell = case.person.shell or "/bin/sh"
    nothing = shell.rsplit("/", 1)[-1] in NO_SHELLS or not case.host.kind(f"{root}{shell}")
    if words[:1] != ["sftp"] or words[1:2] != [forced.INTERNAL] or not nothing:
        raise Left(
            f"the chroot at {root} has programs of its own, or a shell: make a jail with the plugins that it needs"
        )
    return words[2:]


def _root(case: _Case, chroot: str) -> str:
    """Return the chroot as a path of this host without links; raises for one that sshd refuses (safely_chroot)."""
    path = expand(chroot, case.person)
    if not path.startswith("/"):
        raise Refuses(f"the chroot {path} is not an absolute path")
    parts, done, links = path.split("/"), "", 0
    while parts:
        part = parts.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            done = done.rpartition("/")[0]
            continue
        place = f"{done}/{part}"
        if target := case.host.link(place):
            links += 1
            if links > 40:
                raise Refuses(f"{path} has too many links")
            done = "" if target.startswith("/") else done
            parts = [*target.split("/"), *parts]
            continue
        status = case.host.status(place)
        if status is None or not stat.S_ISDIR(status[0]):
            raise Refuses(f"{place} is no directory")
        if status[1] != 0 or status[0] & 0o022:
            raise Refuses(f"{place} belongs to somebody else, or others can write to it, and sshd wants root alone")
        done = place
    if done and not is_clean_absolute(done):
        raise Left(f"{escape(done, 80)} is not a path that a jail can have")
    return done or "/"


def _gids(host: Host) -> dict[int, str]:
    """Return the groups of /etc/group by number."""
    rows = [line.split(":") for line in (host.read("/etc/group") or "").split("\n")]
    return {int(row[2]): row[0] for row in reversed(rows) if len(row) > 2 and re.match(r"[0-9]{1,10}\Z", row[2])}


def _look(case: _Case, root: str, gids: Mapping[int, str]) -> _Tree:
    """Return what stands in a chroot, down to the second level."""
    host, person = case.host, case.person
    pattern = re.sub(r"([*?\[])", r"[\1]", root)
    top, below = list(host.glob(f"{pattern}/*")), list(host.glob(f"{pattern}/*/*"))
    certain = len(top) + len(below) <= _MOST
    writable: list[str] = []
    groups: set[str] = set()
    for path in [*top, *below][:_MOST]:
        status = host.status(path)
        if status is None or not stat.S_ISDIR(status[0]) or any(is_below(path, other) for other in writable):
            continue
        mode, uid, gid = status
        name = gids.get(gid, "")
        member = gid == person.gid or name in person.groups
        if uid != person.uid and member and mode & 0o070 and gid != person.gid:
            groups.add(name)
        certain = certain and (uid == person.uid or member or bool(name) or not mode & 0o020)
        if mode & (0o200 if uid == person.uid else 0o020 if member else 0o002):
            writable.append(path)
    dotted = tuple(path for path in host.glob(f"{pattern}/.*") if path.rsplit("/", 1)[1] not in (".", ".."))
    return _Tree(root, tuple(top), dotted, tuple(writable), certain, tuple(sorted(groups)))


def _transfers(case: _Case, command: str, words: list[str], tree: _Tree) -> Found:
    """Return the account in a jail for sftp that shows what the chroot does."""
    home = _own_directory(case, tree)
    # Directories of others are no part of the home of one who has a directory of its own.
    alone = home and (all(is_below(home, path) for path in tree.shown) or _has_others(case, tree))
    at_top = _fits_top(case, tree) and not alone
    home = "" if at_top else home
    if not home and tree.root.count("/") == 1:
        raise Left(f"{tree.root} holds more than the account may see, and no directory in it is its alone")
    inside = home[len(tree.root) :] if home else ""
    context = Context(case.person, case.host, home_of(case.person))
    first = home_of(case.person)
    begins = first if case.host.kind(f"{tree.root}{first}") == "dir" else "/"
    asked: list[str] = []

    def start(path: str) -> str:
        asked.append(path)
        place = path if path.startswith("/") else f"{begins}/{path}"
        place = "/" + "/".join(part for part in place.split("/") if part not in ("", "."))
        if ".." in place.split("/") or (place != "/" and case.host.kind(f"{tree.root}{place}") != "dir"):
            context.say(Effect.NOTE, f"{path} is no directory of the chroot, so a session begins in {begins}")
            place = begins
        return there(place)

    def there(place: str) -> str:
        return place.removeprefix("/") and place if at_top else _place(place, inside, context)

    settings, uses, called = forced.sftp(words, context, start=start)
    if at_top:
        settings["directories"] = {"write": "~ as /"}
    if not asked and (place := there(begins)):
        settings["sftp"] = {**settings.get("sftp", {}), "start": place}
    for effect, text in context.notes:
        case.say(effect, text)
    if tree.groups:
        settings[""]["supplementary_groups"] = tree.groups
    if home:
        case.say(Effect.NOTE, f"the jail shows {home} at {inside}; / has directories of the jail itself, too")
        if gone := [path[len(tree.root) :] for path in tree.shown if not is_below(home, path)]:
            more = f" and {len(gone) - 5} more" if len(gone) > 5 else ""
            case.say(Effect.LOST, f"not in the jail: {', '.join(escape(path, 60) for path in gone[:5])}{more}")
    else:
        if at_top:
            case.say(Effect.NOTE, f"what is made at the top of {tree.root} later is seen after jailssh apply")
            if files := [path[len(tree.root) :] for path in tree.dotted if case.host.kind(path) != "dir"]:
                case.say(Effect.LOST, f"not in the jail: {', '.join(escape(path, 60) for path in files[:5])}")
        else:
            case.say(Effect.CHANGED, f"a session begins in {tree.root}, and what was /x is {tree.root}/x")
        if tree.root != home_of(case.person):
            case.say(Effect.NOTE, f"the home of the account is {tree.root} from then on, not {case.person.home}")
    home = home or tree.root
    return replace(
        case.found(Fate.MIGRATE),
        settings=settings,
        commands=bool(command),
        called=_called(called, settings),
        uses=uses,
        home="" if home == case.person.home else home,
        inside=inside,
    )


def _place(place: str, inside: str, context: Context) -> str:
    """Return a directory of the chroot as the jail's settings name it, "" for the home."""
    if not inside:
        return "" if place == "/" else f"~{place}"
    if is_below(place, inside):
        return f"~{place[len(inside) :]}" if place != inside else ""
    if not is_below(inside, place):
        context.say(Effect.CHANGED, f"a session begins in /, since the jail does not have {place}")
        return "/"
    return place


def _fits_top(case: _Case, tree: _Tree) -> bool:
    """True if a jail can show all that stands in the chroot at the same paths: directories alone, none of its own."""
    own = {*SYSTEM, tree.root.split("/")[1]}
    names = [path[len(tree.root) + 1 :] for path in tree.shown]
    fits = all(name not in own and name.isprintable() and is_clean_absolute(f"/{name}") for name in names)
    few = tree.root.count("/") > 1 and 0 < len(names) <= _MOST_AT_TOP
    return few and fits and all(case.host.kind(path) == "dir" for path in tree.shown)


def _has_others(case: _Case, tree: _Tree) -> bool:
    """True if something at the top of a chroot belongs to another account."""
    statuses = map(case.host.status, tree.shown)
    return any(status is not None and status[1] not in (0, case.person.uid) for status in statuses)


def _own_directory(case: _Case, tree: _Tree) -> str:
    """Return the only directory of a chroot that the account can write to, "" where that cannot be its home."""
    if not tree.certain or len(tree.writable) != 1:
        return ""
    (path,) = tree.writable
    status = case.host.status(path)
    inside = path[len(tree.root) :]
    if status is None or status[1] != case.person.uid or status[0] & 0o022 or inside.split("/")[1] in SYSTEM:
        return ""
    return path if is_clean_absolute(path) else ""
