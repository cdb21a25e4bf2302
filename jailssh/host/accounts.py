"""Accounts: facts through NSS, changes through shadow's own programs.

Facts come from getpwnam(3), getgrnam(3) and getgrouplist(3), so accounts of a directory service (LDAP, SSSD,
systemd-userdb) look like local ones; :func:`is_local` tells them apart.  Whatever asks raises
:class:`UnansweredError` where the name service cannot say, or does not in time; absent is another answer.  Changes go
through useradd(8), usermod(8), userdel(8), groupadd(8), groupdel(8) and gpasswd(1), which hold the locks of
``/etc/passwd`` and its companions and keep the shadow files in step.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import KW_ONLY, dataclass

from jailssh.core.errors import JailsshError, UsageError
from jailssh.core.names import is_number
from jailssh.files import homes
from jailssh.host import nss, process
from jailssh.host.nss import UnansweredError as UnansweredError  # what those who ask may meet

NOLOGIN = "/usr/sbin/nologin"
_USERS_FILE = "/etc/passwd"
_AGES_FILE = "/etc/shadow"
_GROUPS_FILE = "/etc/group"
_USERDEL_BUSY = 8
_MOST_ABOVE = 64


@dataclass(frozen=True)
class AccountEntry:
    """What NSS says about one account; ``groups`` are ``(name, gid)`` of all groups, the primary one included."""

    name: str
    uid: int
    gid: int
    _: KW_ONLY
    group: str
    home: str
    shell: str
    gecos: str
    groups: tuple[tuple[str, int], ...]


def find(name: str) -> AccountEntry | None:
    """Return the account called ``name``, or None."""
    return _entry(nss.ask("user", name))


def find_uid(uid: int) -> AccountEntry | None:
    """Return the account with this uid, or None."""
    return _entry(nss.ask("uid", str(uid)))


def get(name: str) -> AccountEntry:
    """Return the account called ``name``; :class:`UsageError` if there is none."""
    entry = find(name)
    if entry is None:
        raise UsageError(f"account {name}", "does not exist on this host")
    return entry


def _entry(row: list[str] | None) -> AccountEntry | None:
    if row is None:
        return None
    name, uid, gid, gecos, home, shell, _, group, *others = row
    groups = tuple((other, int(number)) for number, other in zip(others[::2], others[1::2], strict=True))
    return AccountEntry(name, int(uid), int(gid), group=group, home=home, shell=shell, gecos=gecos, groups=groups)


def group_name(gid: int) -> str:
    """Return the name of the group ``gid``, its number as text where it has none."""
    row = nss.ask("gid", str(gid))
    return str(gid) if row is None else row[0]


def group_exists(name: str) -> bool:
    """True if NSS knows a group called ``name``."""
    return group_id(name) is not None


def group_names() -> list[str]:
    """Return the groups that NSS lists, sorted; a directory service need not list any."""
    return nss.ask("groups") or []


def group_id(name: str) -> int | None:
    """Return the gid of the group called ``name``, or None."""
    row = nss.ask("group", name)
    return None if row is None else int(row[1])


def is_listed_member(name: str, group: str) -> bool:
    """True if ``name`` stands in the member list of ``group`` (a primary group does not list its members)."""
    row = nss.ask("group", group)
    return row is not None and name in row[2:]


def listed(field: str) -> list[str]:
    """Return the members in the last field of a line of group(5): the C library passes over blanks before a name."""
    return [name for each in field.split(",") if (name := each.lstrip(" \t\v\f\r"))]


def listed_in(prefix: str) -> dict[str, list[str]]:
    """Return the local groups whose names begin with ``prefix``, sorted, by whom they list as a member."""
    found: dict[str, set[str]] = {}
    for fields in _rows(_GROUPS_FILE):
        if len(fields) > 3 and fields[0].startswith(prefix):
            for name in listed(fields[3]):
                found.setdefault(name, set()).add(fields[0])
    return {name: sorted(groups) for name, groups in found.items()}


def listed_groups(name: str, prefix: str) -> list[str]:
    """Return what :func:`listed_in` says of one account; for many that is asked once."""
    return listed_in(prefix).get(name, [])


def groups_called(prefix: str) -> list[str]:
    """Return the local groups whose names begin with ``prefix``, sorted."""
    return sorted({fields[0] for fields in _rows(_GROUPS_FILE) if fields[0].startswith(prefix)})


def members(group: str) -> list[str]:
    """Return the accounts in ``group``, sorted: those it lists and the local ones whose primary group it is."""
    row = nss.ask("group", group)
    if row is None:
        return []
    primary = [fields[0] for fields in _rows(_USERS_FILE) if len(fields) > 3 and fields[3] == row[1]]
    return sorted({*row[2:], *primary})


def is_local(name: str) -> bool:
    """True if the account is a line of /etc/passwd, so that shadow's programs can change it."""
    return any(fields[0] == name for fields in _rows(_USERS_FILE))


def local_uids() -> dict[str, int]:
    """Return the uid of each account in /etc/passwd; of several lines with one name the first counts."""
    rows = [fields for fields in _rows(_USERS_FILE) if len(fields) > 2 and is_number(fields[2])]
    return {fields[0]: int(fields[2]) for fields in reversed(rows)}


def local_lines() -> dict[str, tuple[int, int, str, str]]:
    """Return uid, gid, home and shell of each account in /etc/passwd, as :func:`local_uids` does."""
    rows = [row for row in _rows(_USERS_FILE) if len(row) > 6 and is_number(row[2]) and is_number(row[3])]
    return {row[0]: (int(row[2]), int(row[3]), row[5], row[6]) for row in reversed(rows)}


def local_homes() -> list[str]:
    """Return the home of each line of /etc/passwd."""
    return [fields[5] for fields in _rows(_USERS_FILE) if len(fields) > 5]


def local_groups() -> dict[str, int]:
    """Return the gid of each group in /etc/group; of several lines with one name the first counts."""
    rows = [fields for fields in _rows(_GROUPS_FILE) if len(fields) > 2 and is_number(fields[2])]
    return {fields[0]: int(fields[2]) for fields in reversed(rows)}


def subordinate_ranges(path: str) -> dict[str, list[tuple[int, int]]]:
    """Return the ranges that /etc/subuid or /etc/subgid has by name or uid as text: first number and count."""
    found: dict[str, list[tuple[int, int]]] = {}
    for fields in _rows(path):
        if len(fields) == 3 and is_number(fields[1]) and is_number(fields[2]):
            found.setdefault(fields[0], []).append((int(fields[1]), int(fields[2])))
    return found


def local_gids() -> set[int]:
    """Return the gid of each group in /etc/group."""
    return {int(fields[2]) for fields in _rows(_GROUPS_FILE) if len(fields) > 2 and fields[2].isdigit()}


def local_uid(name: str) -> int | None:
    """Return the uid of the line of /etc/passwd with this name: known also while a directory service is away."""
    return local_uids().get(name)


def names_of_uid(uid: int) -> list[str]:
    """Return all names with this uid: the local ones and the one that NSS gives, sorted."""
    names = {fields[0] for fields in _rows(_USERS_FILE) if len(fields) > 2 and fields[2] == str(uid)}
    entry = find_uid(uid)
    return sorted(names | ({entry.name} if entry else set()))


def must_change_password(name: str) -> bool:
    """True if sshd would run passwd(1) at the next login, outside every jail (shadow(5): last change is day 0)."""
    return any(fields[0] == name and len(fields) > 2 and fields[2] == "0" for fields in _rows(_AGES_FILE))


LOCKED = 1
"""The day of expiry that ``jailssh lock`` sets; usermod(8) names it for accounts that nobody shall use."""

GATED = 2
"""The day of expiry of accounts that sshd forwards for: by pam_jailssh alone they get in, whose login has a network of
its own by then.  For sshd without PAM and a stack without the module they have expired."""


def end_of(expires: int | None) -> int | None:
    """Return the day from which on nobody logs in, of what shadow(5) says of that; :data:`GATED` ends no account."""
    return None if expires == GATED else expires


@dataclass(frozen=True)
class PasswordAges:
    """A line of shadow(5): days since 1970, or of days, None where the field is empty; ``locked``: it begins with !."""

    locked: bool
    changed: int | None
    most: int | None
    inactive: int | None
    expires: int | None

    @property
    def end(self) -> int | None:
        """The day from which on nobody logs in, None for none (:func:`end_of`)."""
        return end_of(self.expires)


def password_ages(name: str) -> PasswordAges | None:
    """Return what /etc/shadow says of the local account's password, None where it has no line there."""
    return next((_ages(fields) for fields in _rows(_AGES_FILE) if fields[0] == name and len(fields) >= 8), None)


def all_passwords() -> dict[str, tuple[str, PasswordAges]]:
    """Return hash and ages of each whole line of /etc/shadow, by name: for whoever asks about many accounts."""
    rows = [fields for fields in _rows(_AGES_FILE) if len(fields) >= 8]
    return {fields[0]: (fields[1], _ages(fields)) for fields in reversed(rows)}


def _ages(row: list[str]) -> PasswordAges:
    changed, most, inactive, expires = (int(row[at]) if is_number(row[at]) else None for at in (2, 4, 6, 7))
    return PasswordAges(row[1].startswith("!"), changed, most, inactive, expires)


def password_hash(name: str) -> str | None:
    """Return the second field of the local account's line of shadow(5), None without a line."""
    return next((fields[1] for fields in _rows(_AGES_FILE) if fields[0] == name and len(fields) > 1), None)


def has_password(name: str) -> bool:
    """True if some password lets the local account in (shadow(5): neither empty, ``*`` nor ``!…`` is one that fits)."""
    return any(
        fields[0] == name and len(fields) > 1 and fields[1][:1] not in ("*", "!") for fields in _rows(_AGES_FILE)
    )


def is_expired(name: str) -> bool:
    """True if the local account has expired (shadow(5): the day, counted from 1970, from which on nobody logs in)."""
    ages = password_ages(name)
    return ages is not None and ages.end is not None and ages.end <= int(time.time()) // 86400


def is_locked(name: str) -> bool:
    """True if the password of the local account is locked (shadow(5): it begins with ``!``)."""
    return any(fields[0] == name and len(fields) > 1 and fields[1][:1] == "!" for fields in _rows(_AGES_FILE))


def _rows(path: str) -> list[list[str]]:
    """Return the lines of a passwd-like file, split at colons; none where the file is absent."""
    try:
        # A line ends at a newline alone, as for the C library: chfn(1) let people put in more (CVE-2023-29383).
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as stream:
            return [line.rstrip("\n").split(":") for line in stream]
    except FileNotFoundError:
        return []


def processes_of(uid: int, *, zombies: bool = False) -> list[int]:
    """Return the ids of the processes with this real uid, sorted (proc(5): status, Uid).

    ``zombies``: also those that have ended, and whose parents have not waited for them.
    """
    found = []
    for name in os.listdir("/proc"):
        if not is_number(name):
            continue
        try:
            with open(f"/proc/{name}/status", "rb") as stream:
                status = stream.read()
        except (FileNotFoundError, ProcessLookupError):
            continue  # It ended while we looked.
        if f"\nUid:\t{uid}\t".encode() in status and (zombies or not process.is_zombie(status)):
            found.append(int(name))
    return sorted(found)


def invoking_uids() -> set[int]:
    """Return the uids of who runs this: the one that the login session began with (proc(5): loginuid), sudo(8)'s, and
    those of the processes that started this one, as su(1) and a login by ssh leave them."""
    found = {int(uid) for uid in [os.environ.get("SUDO_UID", "")] if uid.isdecimal()}
    try:
        with open("/proc/self/loginuid", encoding="ascii") as stream:
            found.add(int(stream.read()))
    except (OSError, ValueError):
        pass
    return (found | _uids_above()) - {0, 2**32 - 1}


def _uids_above() -> set[int]:
    found: set[int] = set()
    pid = os.getppid()
    for _ in range(_MOST_ABOVE):
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as stream:
                fields = dict(line.split(":", 1) for line in stream if ":" in line)
            pid = int(fields["PPid"])
            found.add(int(fields["Uid"].split()[0]))
        except (OSError, ValueError, KeyError):
            break
    return found


def create_account(
    name: str,
    home: str,
    shell: str,
    groups: Iterable[str],
    *,
    uid: int | None = None,
    gecos: str = "",
    expires: int | None = None,
) -> None:
    """Create a local account with a private home and a group of its own; no password fits, keys do.

    ``uid``: None is the next free one.  ``expires``: the day, counted from 1970, from which on nobody logs in.

    ``*`` instead of useradd's ``!``: without PAM, sshd takes ``!`` for a locked account and refuses keys too.  No
    subordinate ids (subuid(5)), which nothing in a jail could use.
    """
    argv = ["useradd", "--create-home", "--home-dir", home, "--shell", shell, "--user-group", "--password", "*"]
    argv += ["-K", "SUB_UID_COUNT=0", "-K", "SUB_GID_COUNT=0"]
    argv += [] if uid is None else ["--uid", str(uid)]
    argv += ["--comment", gecos] if gecos else []
    argv += [] if expires is None else ["--expiredate", time.strftime("%Y-%m-%d", time.gmtime(expires * 86400))]
    _change([*argv, "--groups", ",".join(groups), "-K", "HOME_MODE=0700", "--", name], f"cannot create account {name}")


def delete_account(name: str, *, remove_home: bool) -> None:
    """Delete a local account, before it with ``remove_home`` its home and mail; userdel(8) would go into mounts."""
    entry = find(name)
    if remove_home and entry is not None:
        homes.remove_home(entry.home, entry.uid)
    result = process.run(["userdel", "--", name], check=False, timeout=120)
    if result.code == _USERDEL_BUSY:
        raise JailsshError(
            f"cannot delete account {name}", "has running processes", hint=f"jailssh deluser {name} --now"
        )
    if find(name) is not None and is_local(name):
        raise JailsshError(f"cannot delete account {name}", process.last_line(result.stderr))
    if remove_home and entry is not None:
        homes.remove_mail(name, entry.uid)


def set_shell(name: str, shell: str) -> None:
    """Make ``shell`` the login shell of a local account."""
    _change(["usermod", "--shell", shell, "--", name], f"cannot set the login shell of {name}")


def set_home(name: str, home: str) -> None:
    """Make ``home`` the home directory of a local account; nothing is moved."""
    _change(["usermod", "--home", home, "--", name], f"cannot set the home directory of {name}")


def add_member(name: str, group: str) -> None:
    """Add ``name`` to the member list of the local group ``group``; works for accounts of a directory too."""
    _change(["gpasswd", "--add", name, group], f"cannot add {name} to group {group}")


def remove_member(name: str, group: str) -> None:
    """Take ``name`` off the member list of ``group``."""
    _change(["gpasswd", "--delete", name, group], f"cannot remove {name} from group {group}")


def create_group(name: str) -> None:
    """Create a system group."""
    _change(["groupadd", "--system", "--", name], f"cannot create group {name}")


def delete_group(name: str) -> None:
    """Delete a local group."""
    _change(["groupdel", "--", name], f"cannot delete group {name}")


def _change(argv: list[str], what: str) -> None:
    result = process.run(argv, check=False, timeout=120)
    if result.code != 0:
        raise JailsshError(what, process.last_line(result.stderr) or "no reason given")
