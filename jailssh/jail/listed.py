"""Directories of ``[directories]`` as they are on this host: what keeps a login out, and what else is to be said.

Root looks at them by path, without following a link; what lies in the account's home may be out of root's reach, and is
the account's own matter.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice

from jailssh.config.directories import mode_of_directories
from jailssh.config.jails import JailConfig
from jailssh.config.values import UNSET
from jailssh.core.errors import ConfigError
from jailssh.core.names import escape, is_below, pasted
from jailssh.files.beneath import open_beneath
from jailssh.files.mounts import mounts_of
from jailssh.jail.shown import Entry, entries
from jailssh.jail.this_host import SAMPLE_ACCOUNT, ThisHost
from jailssh.jail.writable import Directories, default_acls
from jailssh.plugin.api import Account

_MOST, _MOST_LOOKED = 256, 4096


def faults_of(config: JailConfig, account: Account, host: ThisHost) -> list[ConfigError]:
    """Return why what ``account`` is to see cannot be shown, or would not get its mode and group."""
    every = entries(config, account, host) or ()
    found = list(_of_others(next((entry for entry in every if entry.top), None), account))
    for entry in every:
        if entry.personal and account is SAMPLE_ACCOUNT:
            continue
        try:
            wrong = list(_way(entry)) or list(_modes(entry, host))
        except PermissionError:  # on a server that does not know root
            continue
        except OSError as error:
            wrong = [ConfigError(entry.origin, f"{entry.source}: {error.strerror}")]
        at_home = is_below(entry.source, account.on_host(account.home))
        # What is missing there is made, or told by missing_in_home.
        found += [] if at_home and not os.path.lexists(entry.source) else wrong
    return found


def _of_others(entry: Entry | None, account: Account) -> Iterator[ConfigError]:
    """Yield what is wrong with a home whose directories are shown at the top of the jail, where nobody makes any."""
    if entry is None or account is SAMPLE_ACCOUNT:
        return
    home = account.on_host(account.home)
    try:
        info = os.lstat(home)
    except OSError:
        return
    if info.st_uid or info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        why = f"others than root can change {home}, and what they make at its top is not seen at /"
        hint = f"chown root:root {home} && chmod 755 {home}, with directories in it for the account; or list ~"
        yield ConfigError(entry.origin, why, hint=hint)


def notes_of(config: JailConfig, account: Account, host: ThisHost, looked: Directories) -> list[ConfigError]:
    """Return what else is to be said of it: mounts that are not shown, who can replace it, what has other modes.

    ``looked``: many accounts see the same, so each directory is looked at once in a run.
    """
    found: list[ConfigError] = []
    for entry in entries(config, account, host) or ():
        found += _once(looked, ("mounts", entry.source), partial(_mounts, entry, looked))
        if not is_below(entry.source, account.on_host(account.home)):
            found += _once(looked, ("others", entry.source), partial(_others, entry))
        if entry.group:
            key = ("modes", entry.source, entry.group, str(entry.mode))
            found += _once(looked, key, partial(_different, entry, host))
    return found


def _once(
    looked: Directories, key: tuple[str, ...], look: Callable[[], Iterable[ConfigError]]
) -> Iterable[ConfigError]:
    if key not in looked.kept:
        looked.kept[key] = tuple(look())
    found: tuple[ConfigError, ...] = looked.kept[key]
    return found


def _mounts(entry: Entry, looked: Directories) -> Iterator[ConfigError]:
    if ("points",) not in looked.kept:
        looked.kept["points",] = [mount.point for mount in mounts_of()]
    for point in looked.kept["points",]:
        if point != entry.source and is_below(point, entry.source):
            shown = escape(point, 200)
            why = f"{shown} is mounted in {entry.source}, and the jail shows what is under it"
            yield ConfigError(entry.origin, why, hint=f"list {shown}, or move it")


def _above(path: str) -> Iterator[str]:
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(2, len(parts)))


def _way(entry: Entry) -> Iterator[ConfigError]:
    for path in (*_above(entry.source), entry.source):
        try:
            info = os.lstat(path)
        except FileNotFoundError:
            hint = f"create it, for who shall write there: mkdir -p {entry.source}"
            yield ConfigError(entry.origin, f"{entry.source!r} is not a directory", hint=hint)
            return
        if stat.S_ISLNK(info.st_mode):
            to = f"{os.path.realpath(path)}{entry.source[len(path) :]}"
            yield ConfigError(entry.origin, f"{path} is a link, and no login follows one", hint=f"write {escape(to)}")
            return
        if not stat.S_ISDIR(info.st_mode):
            yield ConfigError(entry.origin, f"{path!r} is not a directory", hint="correct the path")
            return
        if path != entry.source and info.st_mode & stat.S_IWOTH and not info.st_mode & stat.S_ISVTX:
            why = f"everybody on this host can replace {entry.source}: {path} has mode {info.st_mode & 0o7777:04o}"
            yield ConfigError(entry.origin, why, hint=f"chmod o-w {path}")


def _modes(entry: Entry, host: ThisHost) -> Iterator[ConfigError]:
    if not entry.group:
        return
    info = os.lstat(entry.source)
    if info.st_gid != host.group_id(entry.group) or not info.st_mode & stat.S_ISGID:
        why = f"new files in {entry.source} get another group than {entry.group}: it needs that one and set-group-ID"
        hint = f"chgrp {entry.group} {entry.source} && chmod g+rwxs {entry.source}"
        yield ConfigError(entry.origin, why, hint=hint)


def _others(entry: Entry) -> Iterator[ConfigError]:
    for path in _above(entry.source):
        try:
            info = os.lstat(path)
        except OSError:
            return
        if info.st_uid or (info.st_mode & stat.S_IWGRP and info.st_gid and not info.st_mode & stat.S_ISVTX):
            who = f"uid {info.st_uid}" if info.st_uid else f"group {info.st_gid}"
            why = f"{who} can put another directory in the place of {entry.source}: {path} belongs to it"
            yield ConfigError(entry.origin, why, hint=f"chown root:root {path}, unless this is meant")
    try:
        info = os.lstat(entry.source)
    except OSError:
        return
    if info.st_mode & stat.S_IWOTH:
        why = f"everybody on this host can write to {entry.source}: mode {info.st_mode & 0o7777:04o}"
        yield ConfigError(entry.origin, why, hint=f"chmod o-w {entry.source}")


def _different(entry: Entry, host: ThisHost) -> Iterator[ConfigError]:
    """Look at the first entries of the directory and of the first directories in it, by descriptor."""
    if entry.mode != UNSET:
        for path in default_acls(entry.source):
            why = f"{escape(path, 200)} has a default ACL (acl(5)), which changes the mode of new files"
            yield ConfigError(entry.origin, why, hint=f"setfacl -k {pasted(path)}")
    gid, wrong = host.group_id(entry.group), []
    try:
        top = os.open(entry.source, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        with os.scandir(top) as inside:
            names = sorted(islice((each.name for each in inside if each.is_dir(follow_symlinks=False)), _MOST))
        wrong = list(islice(_wrong_in(top, ("", *names), entry, gid), _MOST))
    except OSError:
        pass
    finally:
        os.close(top)
    if wrong:
        many = f"{len(wrong)} files and directories" if wrong[1:] else "a file or directory"
        why = f"{many} in {entry.source}, such as {escape(wrong[0])}: not of group {entry.group}, or of another mode"
        modes = "" if entry.mode == UNSET else f", and mode {_directories(entry):04o}; chmod {entry.mode:04o} of files"
        hint = f"chgrp -R {entry.group} {entry.source}; directories need set-group-ID{modes}"
        yield ConfigError(entry.origin, why, hint=hint)


def _directories(entry: Entry) -> int:
    return mode_of_directories(entry.mode) | stat.S_ISGID


def _wrong_in(top: int, names: Sequence[str], entry: Entry, gid: int | None) -> Iterator[str]:
    left = _MOST_LOOKED
    for name in names:
        try:
            fd = open_beneath(top, name) if name else os.dup(top)
        except OSError:
            continue
        try:
            with os.scandir(fd) as inside:
                for each in islice(inside, min(_MOST, left)):
                    left -= 1
                    info = each.stat(follow_symlinks=False)
                    if _is_wrong(info, entry, gid):
                        yield f"{entry.source}/{name}/{each.name}".replace("//", "/")
        except OSError:
            continue
        finally:
            os.close(fd)


def _is_wrong(info: os.stat_result, entry: Entry, gid: int | None) -> bool:
    if not (stat.S_ISDIR(info.st_mode) or stat.S_ISREG(info.st_mode)):
        return False
    is_directory = stat.S_ISDIR(info.st_mode)
    wanted = _directories(entry) if is_directory else entry.mode
    other = stat.S_IMODE(info.st_mode) != wanted if entry.mode != UNSET else False
    return info.st_gid != gid or other or (is_directory and not info.st_mode & stat.S_ISGID)
