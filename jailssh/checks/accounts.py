"""Accounts in jails: shell, uid, groups, sudo and polkit, subordinate ids, password and expiry, the plan."""

from __future__ import annotations

import glob
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, replace
from itertools import accumulate

from jailssh.core.errors import HostError, JailsshError
from jailssh.core.names import escape, is_number
from jailssh.files import fs
from jailssh.host.accounts import AccountEntry, end_of
from jailssh.integrity import looked
from jailssh.integrity.census import Person, names_elsewhere, uids_elsewhere
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.kept import digest, stamp_of
from jailssh.integrity.scene import Scene
from jailssh.jail.configuration import load_configuration
from jailssh.publish import entered, plan_files
from jailssh.setup import doors, looks

_APPLY = "jailssh apply"

SHELL = Kind(
    "JSH-201", Severity.HIGH, "account in a jail with another login shell",
    "su, cron and whatever else starts the login shell give it one outside of the jail.", _APPLY,
)  # fmt: skip
SHELL_ALONE = Kind(
    "JSH-202", Severity.MEDIUM, "login program as shell of an account that is in no jail",
    "It can no longer log in, or nobody knows what it was meant to be.",
    "jailssh adduser NAME --jail JAIL, or give it another shell: usermod --shell",
)  # fmt: skip
SHARED_UID = Kind(
    "JSH-203", Severity.HIGH, "several accounts have the uid of one in a jail",
    "The plan is chosen by the uid: the other name logs in to the same jail, or outside of it.",
    "give one of them another uid: usermod --uid",
)  # fmt: skip
OTHER_NAME = Kind(
    "JSH-204", Severity.HIGH, "plan for another account of this uid",
    "Who has the uid now would get what was meant for the one before.", "jailssh apply --gone",
)  # fmt: skip
NO_PLAN = Kind(
    "JSH-205", Severity.LOW, "account in a jail without a plan",
    "Its first login waits until jailsshd has made one.", _APPLY,
)  # fmt: skip
BAD_PLAN = Kind(
    "JSH-206", Severity.HIGH, "damaged plan",
    "Every login of the account is refused, and a plan is root's alone to change.", _APPLY,
)  # fmt: skip
STALE_PLAN = Kind(
    "JSH-207", Severity.MEDIUM, "plan is older than the configuration",
    "What was changed in the configuration is not in force yet.", _APPLY,
)  # fmt: skip
LEFT_PLAN = Kind(
    "JSH-208", Severity.MEDIUM, "plan of an account that is in no jail, or gone, or not to enter this one any more",
    "Who gets the uid next would get the jail with it.", _APPLY,
)  # fmt: skip
TWICE = Kind(
    "JSH-209", Severity.MEDIUM, "name of an account in a jail that another source of accounts knows with another uid",
    "Groups, keys and rules by name are of both, and nsswitch.conf alone says who of them logs in.",
    "rename one of them: usermod --login",
)  # fmt: skip
STRONG = Kind(
    "JSH-211", Severity.HIGH, "member of a group that is root in disguise",
    "A process with this group reads disks, starts containers or becomes root.", "gpasswd --delete",
)  # fmt: skip
SUDO = Kind(
    "JSH-212", Severity.HIGH, "account in a jail that sudo lets run commands as others",
    "Whatever runs it outside of the jail, a job or another service, becomes somebody else.",
    "remove it from /etc/sudoers and /etc/sudoers.d: visudo",
)  # fmt: skip
POLKIT = Kind(
    "JSH-213", Severity.MEDIUM, "polkit rule that names an account in a jail",
    "It lets the account ask services of root's for what others may not.",
    "remove it from the rules: /etc/polkit-1/rules.d",
)  # fmt: skip
SUBORDINATE = Kind(
    "JSH-214", Severity.HIGH, "uid within the subordinate ids of another account",
    "That account can become this one in a user namespace.", "move the range: usermod --del-subuids, --add-subuids",
)  # fmt: skip
HAS_SUBORDINATE = Kind(
    "JSH-215", Severity.LOW, "account in a jail with subordinate ids",
    "A jail never uses them; what runs as the account outside of it could make user namespaces of several ids.",
    "usermod --del-subuids and --del-subgids",
)  # fmt: skip
PASSWORD = Kind(
    "JSH-216", Severity.LOW, "account in a jail with a password",
    "Somebody who guesses it logs in: sshd asks for it unless PasswordAuthentication is off, and so do su and FTP.",
    "usermod --password '*'",
)  # fmt: skip
EMPTY = Kind(
    "JSH-217", Severity.HIGH, "account in a jail with an empty password",
    "Whoever knows the name is let in by every service that accepts one.", "usermod --password '*'",
)  # fmt: skip
MUST_CHANGE = Kind(
    "JSH-218", Severity.MEDIUM, "password that must be changed at the next login",
    "sshd would run passwd outside of every jail, so PAM or the login program refuses the login.",
    "chage --lastday -1",
)  # fmt: skip
LOCKED = Kind(
    "JSH-219", Severity.LOW, "account in a jail that is expired",
    "Nobody can log in to it; if it is no longer needed it can be taken away.",
    "chage --expiredate -1, or jailssh deluser",
)  # fmt: skip

_DAY = 86400.0
_POLKIT = ("/etc/polkit-1/rules.d/*.rules", "/usr/local/share/polkit-1/rules.d/*.rules",
           "/etc/polkit-1/localauthority/*/*.pkla", "/var/lib/polkit-1/localauthority/*/*.pkla")  # fmt: skip
_SUBORDINATE = ("/etc/subuid", "/etc/subgid")
_NAMED = re.compile(
    r"unix-(?P<kind>user|group):(?P<name>[^;,\s\"']+)|(?P<call>isInGroup\(|user\s*===?\s*)[\"'](?P<quoted>[^\"']+)"
)
_LIMIT = 1 << 20


@dataclass(frozen=True)
class Facts:
    """One account, as far as this check judges it.  ``plan``: absent, right, stale, damaged; ``kept_for``: its name."""

    name: str
    uid: int
    _: KW_ONLY
    jail: str = ""
    jailed: bool = True
    shell: str = ""
    login_program: str = ""
    local: bool = True
    others: tuple[str, ...] = ()
    other_uids: tuple[int, ...] = ()
    strong: tuple[str, ...] = ()
    sudo: str = ""
    polkit: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    ranges: bool = False
    password: str | None = None
    last_change: str = ""
    expires: int | None = None
    today: int = 0
    plan: str = ""
    why: str = ""
    plan_name: str = ""


class Ranges:
    """Subordinate ids: rows of name, first and count, found by an id that lies in them."""

    def __init__(self, rows: Iterable[tuple[str, int, int]]) -> None:
        self._rows = sorted((first, first + count, name) for name, first, count in rows)
        self._ends = list(accumulate((end for _, end, _ in self._rows), max))
        self.names = frozenset(name for _, _, name in self._rows)

    def around(self, number: int) -> list[str]:
        """Return whose ranges ``number`` lies in, each once, sorted."""
        at = bisect_right(self._rows, number, key=lambda row: row[0]) - 1
        found = set()
        # No range before one up to which all have ended can hold it.
        while at >= 0 and self._ends[at] > number:
            _, end, name = self._rows[at]
            found |= {name} if end > number else set()
            at -= 1
        return sorted(found)


@dataclass(frozen=True)
class _Files:
    """What files of the host say of accounts, each read once."""

    sudo: looks.SudoFiles
    sudo_stamp: str
    polkit: dict[tuple[str, str], list[str]]
    ranges: dict[str, Ranges]


def collect(scene: Scene) -> list[Facts]:
    """Look at every account in a jail, at those that have the login program alone, and at plans of nobody."""
    files = _files()
    census, plans = scene.census, set(plan_files.planned_uids(scene.layout))
    elsewhere, twice = _elsewhere(scene), _twice(scene)
    found = [
        replace(_about(scene, person, files, elsewhere.get(person.entry.uid, ())), other_uids=twice.get(name, ()))
        for name, person in scene.jailed.items()
    ]
    if scene.narrow:
        return found
    login = scene.layout.login_program
    jailed = {person.entry.uid for person in scene.jailed.values()}
    for name, entry in census.entries.items():
        if entry.shell == login and name not in scene.jailed:
            found.append(Facts(name, entry.uid, jailed=False, shell=login, login_program=login))
    for uid in sorted(plans - jailed):
        name, why = _plan_head(scene, uid)
        now = census.names_of.get(uid, ())
        said = f"uid {uid}" + (f", now {now[0]}" if now else "")
        found.append(Facts(name or said, uid, jailed=False, plan="left", why=why or said, plan_name=name))
    # What cannot be looked up is no finding: apply says it.
    for change in entered.withdraw_unlisted(scene.configuration, [], act=False):
        name, why = (
            change.name or f"uid {change.uid}",
            f"jail {change.jail} does not list it in enter any more",
        )
        found.append(Facts(name, change.uid, jailed=False, plan="left", why=why, plan_name=change.name))
    return found


def _elsewhere(scene: Scene) -> dict[int, list[str]]:
    try:
        return names_elsewhere(scene.census, [person.entry.uid for person in scene.jailed.values()])
    except JailsshError as error:
        scene.unseen(HostError("names of uids in other sources of accounts", error.why))
        return {}


def _twice(scene: Scene) -> dict[str, tuple[int, ...]]:
    """Return the other uids of names that the host's own files know, and a source beside them too."""
    entries, found = scene.census.entries, {}
    try:
        uids = uids_elsewhere(scene.census, [name for name in scene.jailed if name in entries])
    except JailsshError as error:
        scene.unseen(HostError("uids of names in other sources of accounts", error.why))
        return {}
    for name, others in uids.items():
        known = {entries[name].uid, *others} - {scene.jailed[name].entry.uid}
        found[name] = tuple(sorted(known))
    return found


def _about(scene: Scene, person: Person, files: _Files, elsewhere: Sequence[str]) -> Facts:
    entry, census = person.entry, scene.census
    row = census.shadow.get(entry.name)
    names = (entry.name, *(name for name, _ in entry.groups))
    kinds = ("user", *("group" for _ in entry.groups))
    polkit = [path for pair in zip(kinds, names, strict=True) for path in files.polkit.get(pair, ())]
    seen = looked.of(scene).get(entry.name)
    return Facts(
        entry.name,
        entry.uid,
        jail=person.jail,
        shell=entry.shell,
        login_program=scene.layout.login_program,
        local=person.local,
        others=tuple(
            name for name in dict.fromkeys((*census.names_of.get(entry.uid, ()), *elsewhere)) if name != entry.name
        ),
        strong=tuple(looks.strong_groups(entry, scene.configuration.main.deny_groups)),
        sudo=_sudo(scene, entry, files),
        polkit=tuple(dict.fromkeys(polkit)),
        within=tuple(
            f"{path}: {name}"
            for path, number in zip(_SUBORDINATE, (entry.uid, entry.gid), strict=True)
            for name in files.ranges[path].around(number)
            if name != entry.name
        ),
        ranges=any({entry.name, str(entry.uid)} & ranges.names for ranges in files.ranges.values()),
        password=census.hashes.get(entry.name),
        last_change=row[2] if row else "",
        expires=end_of(int(row[7])) if row and is_number(row[7]) else None,
        today=int(scene.now // _DAY),
        plan=seen.plan if seen else "",
        why=seen.why if seen else "",
        plan_name=seen.plan_name if seen else "",
    )  # fmt: skip


def _sudo(scene: Scene, entry: AccountEntry, files: _Files) -> str:
    """Return what sudo lets the account run; where it does not answer that is noted, and asked again next time."""
    if not files.sudo.may_mean(entry):
        return ""
    # What others say of the account may change without a file.
    stamp = digest((files.sudo_stamp, entry.name, entry.uid, entry.groups, scene.now if files.sudo.others else 0))
    try:
        found: str = scene.kept.get("sudo", entry.name, stamp, lambda: looks.ask_sudo(entry, files.sudo))
    except JailsshError as error:
        scene.unseen(HostError(f"sudo for {entry.name}", error.why))
        return ""
    return found


def _plan_head(scene: Scene, uid: int) -> tuple[str, str]:
    try:
        plan = plan_files.read_plan(scene.layout, uid)
        return (plan.name if plan else ""), ""
    except JailsshError as error:
        return "", str(error)


def _files() -> _Files:
    sudo = looks.SudoFiles()
    polkit: dict[tuple[str, str], list[str]] = {}
    for pattern in _POLKIT:
        for path in sorted(glob.glob(pattern)):
            # The directory is polkitd's own; what is read decides about nothing.
            with suppress(HostError, OSError):
                with open(fs.open_plain(path), "rb") as stream:
                    text = stream.read(_LIMIT).decode("utf-8", "replace")
                for match in _NAMED.finditer(re.sub(r"^\s*(//|#).*$", "", text, flags=re.MULTILINE)):
                    kind = match["kind"] or ("group" if str(match["call"]).startswith("is") else "user")
                    polkit.setdefault((kind, match["name"] or match["quoted"]), []).append(path)
    return _Files(sudo, stamp_of(sudo.texts), polkit, {path: Ranges(_rows_of(path)) for path in _SUBORDINATE})


def _rows_of(path: str) -> Iterable[tuple[str, int, int]]:
    with suppress(OSError), open(path, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            row = line.strip().split(":")
            if len(row) == 3 and is_number(row[1]) and is_number(row[2]):
                yield row[0], int(row[1]), int(row[2])


def judge(facts: Iterable[Facts]) -> Iterable[Finding]:
    """Return what is wrong with each account."""
    for each in facts:
        if each.jailed:
            yield from _inside(each)
        elif each.plan == "left":
            yield Finding(LEFT_PLAN, f"plan of {each.name}", each.why, detail=str(each.uid))
        else:
            why = f"login shell is {each.shell}, and no jail is for it"
            yield Finding(SHELL_ALONE, f"account {each.name}", why, account=each.name)


def _inside(each: Facts) -> Iterable[Finding]:
    for kind, why, more in (*_identity(each), *_power(each), *_entry(each), *_about_plan(each)):
        yield Finding(kind, f"account {each.name}", why, account=each.name, jail=each.jail, **more)


_Row = tuple[Kind, str, dict[str, str]]
"""A kind, what is wrong, and what else the finding has."""


def _identity(each: Facts) -> Iterable[_Row]:
    if each.shell != each.login_program:
        why, cure = doors.wrong_shell(each.shell, each.login_program, local=each.local)
        yield SHELL, why, {"cure": cure}
    if each.other_uids:
        numbers = ", ".join(map(str, each.other_uids))
        yield TWICE, f"has uid {each.uid}, and in another source of accounts (nsswitch.conf) uid {numbers}", {}
    if each.others:
        yield SHARED_UID, f"uid {each.uid} also belongs to {', '.join(each.others)}", {}


def _power(each: Facts) -> Iterable[_Row]:
    for group in each.strong:
        yield STRONG, f"member of group {group!r}", {"cure": f"gpasswd --delete {each.name} {group}", "detail": group}
    if each.sudo:
        yield SUDO, f"sudo allows it to run commands as others: {each.sudo}", {}
    for path in each.polkit:
        yield POLKIT, f"{escape(path)} names it or a group of it", {"path": path}
    for who in each.within:
        yield SUBORDINATE, f"uid {each.uid} lies in a range of {who}", {"detail": who}
    if each.ranges:
        cure = f"remove the lines of {each.name} from /etc/subuid and /etc/subgid"
        yield HAS_SUBORDINATE, "has ranges in /etc/subuid or /etc/subgid", {"cure": cure}


def _entry(each: Facts) -> Iterable[_Row]:
    if each.password is not None:
        if not each.password:
            yield EMPTY, "its password is empty", {"cure": f"usermod --password '*' {each.name}"}
        elif each.password[0] not in "*!":
            yield PASSWORD, "has a password", {"cure": f"usermod --password '*' {each.name}"}
    if each.last_change == "0":
        yield MUST_CHANGE, "its password must be changed at the next login", {"cure": f"chage --lastday -1 {each.name}"}
    if each.expires is not None and each.expires <= each.today:
        cure = f"chage --expiredate -1 {each.name}, or jailssh deluser {each.name}"
        yield LOCKED, f"expired {each.today - each.expires} days ago", {"cure": cure}


def _about_plan(each: Facts) -> Iterable[_Row]:
    if each.plan_name and each.plan_name != each.name:
        yield OTHER_NAME, f"the plan of uid {each.uid} is for {each.plan_name!r}", {}
    elif each.plan == "absent" and each.local:
        yield NO_PLAN, "has no plan yet", {}
    elif each.plan == "damaged":
        yield BAD_PLAN, each.why, {}
    elif each.plan == "stale":
        yield STALE_PLAN, f"would change: {each.why}", {}


def set_shells(scene: Scene, _findings: Sequence[Finding]) -> list[str]:
    """Make the login program the shell of those who are in a jail, as ``apply`` does."""
    with fs.lock(scene.layout.lock):
        return doors.set_shells(scene.layout, load_configuration(scene.layout), act=True)


CHECK = Check(
    "accounts",
    "accounts in jails: shell, uid, groups, sudo, password, plan",
    (SHELL, SHELL_ALONE, SHARED_UID, OTHER_NAME, NO_PLAN, BAD_PLAN, STALE_PLAN, LEFT_PLAN, TWICE, STRONG, SUDO, POLKIT,
     SUBORDINATE, HAS_SUBORDINATE, PASSWORD, EMPTY, MUST_CHANGE, LOCKED),
    collect,
    judge,
    fixes={SHELL.id: set_shells},
)  # fmt: skip
