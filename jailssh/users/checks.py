"""May this account be put into a jail?  Every reason against it, found before anything is changed.

:func:`look` gathers the facts, :func:`refusals` judges them and touches nothing, so that its rules can be read as a
table and tested as one.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass

from jailssh.core.errors import DeniedError, HostError, JailsshError, UsageError
from jailssh.core.names import MAX_UID, is_clean_absolute, pluralize
from jailssh.files import fs
from jailssh.host import accounts, as_user
from jailssh.host.accounts import AccountEntry
from jailssh.jail.this_host import THIS_HOST, ThisHost


@dataclass(frozen=True)
class AccountFacts:
    """What there is to know about an existing account before it goes into a jail.

    ``home`` and ``ssh`` (its ``.ssh``) are lstat(2) results, None where absent; ``jailed``: it is in a jail already;
    ``invoking``: it is the account that runs this.  ``last_of``: the group of administrators without others in it.
    """

    entry: AccountEntry
    _: KW_ONLY
    local: bool
    same_uid: tuple[str, ...]
    processes: int
    home: os.stat_result | None
    home_path: str
    ssh: os.stat_result | None
    jailed: bool
    invoking: bool
    last_of: str = ""


ADMINISTRATORS = ("sudo", "wheel", "admin")
"""The groups whose members become root by sudo(8), in the distributions' own sudoers."""


def look(entry: AccountEntry, *, login_program: str, users_file: str) -> AccountFacts:
    """Return the facts about ``entry``; reads NSS, /proc and the two directories' own attributes, as the account where
    root may not look."""
    jailed = os.path.exists(users_file) and (entry.shell == login_program or not accounts.is_local(entry.name))
    return AccountFacts(
        entry=entry,
        local=accounts.is_local(entry.name),
        same_uid=tuple(name for name in accounts.names_of_uid(entry.uid) if name != entry.name),
        processes=len(accounts.processes_of(entry.uid)),
        home=_lstat(entry, entry.home),
        home_path=os.path.realpath(entry.home),
        ssh=_lstat(entry, f"{entry.home}/.ssh"),
        jailed=jailed,
        invoking=entry.uid in accounts.invoking_uids(),
        last_of=last_of(entry),
    )


def last_of(entry: AccountEntry) -> str:
    """Return the group of administrators in which no other account is that could become root, or ""."""
    for group in ADMINISTRATORS:
        if any(name == group for name, _ in entry.groups) and not set(accounts.members(group)) - {entry.name, "root"}:
            return group
    return ""


def _lstat(entry: AccountEntry, path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError:
        # A home where root may not look, such as NFS with root_squash or FUSE without allow_other.
        return as_user.lstat(entry, path)


def refusals(
    facts: AccountFacts,
    *,
    min_uid: int,
    deny_groups: Collection[str],
    login_program: str,
    force: bool,
    now: bool,
    of_root: bool = False,
) -> list[JailsshError]:
    """Return every reason not to put the account into a jail; ``force`` and ``now`` as on the command line.

    ``of_root``: its home may be root's, as sshd wants a ChrootDirectory; so it stays for one that is in a jail.
    """
    entry = facts.entry
    what = f"account {entry.name}"
    if entry.uid == 0 or entry.gid == 0:
        return [DeniedError(what, "root cannot be put into a jail")]
    found: list[JailsshError] = []
    if entry.uid > MAX_UID:
        found.append(DeniedError(what, f"uid {entry.uid} is above {MAX_UID}", hint=f"usermod --uid UID {entry.name}"))
    if facts.same_uid:
        why = f"uid {entry.uid} is also the uid of {', '.join(facts.same_uid)}, and the uid selects the jail"
        found.append(DeniedError(what, why, hint="give each account a uid of its own"))
    if facts.last_of:
        why = f"is the last member of group {facts.last_of!r}: nobody else could become root"
        found.append(DeniedError(what, why, hint=f"add another one first: gpasswd --add NAME {facts.last_of}"))
    if not force:
        found += _needs_force(facts, what, min_uid, deny_groups, login_program)
    if facts.processes and not facts.jailed and not now:
        found.append(
            DeniedError(
                what,
                f"account is logged in ({pluralize(facts.processes, 'process', 'es')} outside a jail)",
                hint="end its sessions, or use --now (running processes stay unconfined)",
            )
        )
    return found + _home_refusals(facts, (0, entry.uid) if of_root or facts.jailed else (entry.uid,))


def _needs_force(
    facts: AccountFacts, what: str, min_uid: int, deny_groups: Collection[str], login_program: str
) -> list[JailsshError]:
    entry = facts.entry
    hint = "use --force to put it into a jail anyway"
    found: list[JailsshError] = []
    if entry.uid < min_uid:
        found.append(DeniedError(what, f"uid {entry.uid} is a system uid (min_uid is {min_uid})", hint=hint))
    strong = sorted({name for name, _ in entry.groups} & set(deny_groups))
    if strong:
        why = f"member of group {', '.join(map(repr, strong))}, which can escape any jail"
        found.append(DeniedError(what, why, hint=f"gpasswd --delete {entry.name} {strong[0]}, or use --force"))
    if facts.invoking:
        found.append(DeniedError(what, "you are logged in with this account", hint=hint))
    if not facts.local and entry.shell != login_program:
        found.append(
            DeniedError(
                what,
                f"login shell {entry.shell!r} comes from a directory service; PAM refuses such logins, because a shell "
                "can read the user's files before the jail starts",
                hint=f"set its login shell in the directory service to {login_program} (SSSD: override_shell); then it "
                "needs no adduser if a jail has one of its groups (groups = GROUP in the jail's file)",
            )
        )
    return found


def _home_refusals(facts: AccountFacts, owners: Collection[int]) -> list[JailsshError]:
    entry = facts.entry
    what = f"home {entry.home!r} of {entry.name}"
    if entry.home == "/" or not is_clean_absolute(entry.home):
        plain = os.path.normpath(entry.home) if "/./" in entry.home else "DIR"  # as Jailkit's have it
        return [UsageError(what, "is not a home directory", hint=f"usermod --home {plain} {entry.name}")]
    if facts.home is None:
        return [
            UsageError(what, "does not exist", hint=f"install -d -m 0700 -o {entry.name} -g {entry.gid} {entry.home}")
        ]
    if facts.home_path != entry.home:
        hint = f"usermod --home {facts.home_path} {entry.name}"
        return [UsageError(what, "path contains a symbolic link", hint=hint)]
    if not stat.S_ISDIR(facts.home.st_mode):
        return [UsageError(what, "is not a directory")]
    found: list[JailsshError] = []
    if facts.home.st_uid not in owners:
        why = f"belongs to uid {facts.home.st_uid}, expected {entry.uid}"
        found.append(UsageError(what, why, hint=f"chown {entry.name} {entry.home}"))
    if facts.home.st_mode & 0o022:
        mode = stat.S_IMODE(facts.home.st_mode)
        found.append(UsageError(what, f"is writable by others (mode {mode:04o})", hint=f"chmod go-w {entry.home}"))
    if facts.ssh is not None and not stat.S_ISDIR(facts.ssh.st_mode):
        kind = "a symbolic link" if stat.S_ISLNK(facts.ssh.st_mode) else "not a directory"
        found.append(UsageError(f"{entry.home}/.ssh", f"is {kind}", hint="replace it by a directory"))
    return found


def differences(
    entry: AccountEntry, *, uid: int | None, gecos: str, password: str, expires: int | None, ours: bool
) -> list[JailsshError]:
    """Return where an account that exists is not as asked for: it is put into a jail, and otherwise left as it is.

    ``ours``: adduser created it, so it may still lack a password that an interrupted command was to give it.
    """
    ages = accounts.password_ages(entry.name)
    rows = (
        (uid is None or uid == entry.uid, f"uid {uid}", f"account exists with uid {entry.uid}", "usermod --uid"),
        (not gecos or gecos == entry.gecos, "gecos", "account exists with another one", "usermod --comment"),
        (
            not password
            or password == accounts.password_hash(entry.name)
            or (ours and not accounts.has_password(entry.name)),
            "password",
            "account exists, its password stays as it is",
            "chpasswd --encrypted",
        ),
        (
            expires is None or (ages is not None and ages.expires == expires),
            "expires",
            "account exists, its expiry stays as it is",
            "chage --expiredate",
        ),
    )
    return [
        UsageError(f"account {entry.name}: {what}", why, hint=f"leave it out; to change it: {tool}")
        for fits, what, why, tool in rows
        if not fits
    ]


def check_place(home: str) -> None:
    """Raise unless ``home`` can be written down as a home directory."""
    if home.find(":") >= 0:
        raise UsageError(f"--home {home!r}", "contains a colon, which /etc/passwd cannot hold")
    if home == "/" or not is_clean_absolute(home):
        raise UsageError(f"--home {home!r}", "is not a plain absolute path")


MAX_NEW_NAME = 32
"""The longest name that useradd(8) gives, for utmp(5)."""
_MOST_NAME = 255
"""Bytes that a name in a directory can have (NAME_MAX)."""


def check_new(name: str, home: str, *, uid: int | None = None, gecos: str = "", host: ThisHost = THIS_HOST) -> None:
    """Raise unless a local account ``name`` with ``home`` can be created; ``host`` says what is there."""
    if len(name) > MAX_NEW_NAME:
        raise UsageError(f"account name {name!r}", f"has {len(name)} characters (limit {MAX_NEW_NAME})")
    check_place(home)
    if len(os.fsencode(os.path.basename(home))) > _MOST_NAME:
        raise UsageError(f"home {home[:80]}…", f"has a name of more than {_MOST_NAME} bytes")
    if gecos.find(":") >= 0 or not gecos.isprintable():
        raise UsageError(f"gecos of {name}", "contains a colon or a control character")
    if uid is not None and not 0 < uid <= MAX_UID:
        raise UsageError(f"uid {uid} of {name}", f"is not between 1 and {MAX_UID}")
    if uid is not None and (taken := host.find_entry(uid)) is not None:
        raise UsageError(f"uid {uid} of {name}", f"is the uid of {taken.name}")
    if host.group_id(name) is not None:
        hint = f"create the account first: useradd --gid {name} {name}"
        raise UsageError(f"account {name}", "a group with this name already exists", hint=hint)
    if os.path.lexists(home):
        hint = "move it away, or set another one with --home"
        if os.lstat(home).st_uid:  # What is root's is nobody's home of before.
            hint += (
                f"; to give it back to {name}: useradd --password '*' --no-create-home --home-dir {home} {name} && "
                f"chown -hR {name}: {home}, then jailssh adduser {name}"
            )
        raise UsageError(f"home {home}", "already exists", hint=hint)
    above, name_there = os.path.split(home)
    if (real := os.path.realpath(above)) != above:  # No login follows one: /home that leads to another disk, as a rule.
        hint = f"--home {shlex.quote(os.path.join(real, name_there))}"
        raise UsageError(f"home {home}", "path contains a symbolic link", hint=hint)
    try:
        os.close(fs.open_dir(above))
    except HostError as error:
        raise HostError(f"home {home}", str(error), hint="the parent directory must belong to root") from error
