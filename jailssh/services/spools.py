"""What cron(8), at(1), systemd-logind(8) and sudo(8) keep about an account; set aside by a new name beside the old.

The new name begins with a dot, which neither cron nor atd take for a job.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from contextlib import suppress

from jailssh.core.errors import HostError
from jailssh.files import fs
from jailssh.host import install, process

CRONTABS = ("/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/var/spool/cron")
AT_JOBS = ("/var/spool/cron/atjobs", "/var/spool/at", "/var/spool/atjobs")
LINGER = "/var/lib/systemd/linger"
GENERATORS = (
    "/usr/lib/systemd/system-generators/systemd-crontab-generator",
    "/lib/systemd/system-generators/systemd-crontab-generator",
)
"""Of systemd-cron, whose units have User= and do not ask PAM."""
SUDOERS = ("/etc/sudoers", "/etc/sudoers.d/*")
ASIDE = ".jailssh-off-"
_SWITCH = "/etc/nsswitch.conf"
_SUDO_INCLUDE = re.compile(
    r'^[ \t]*[@#]include(?P<dir>dir)?[ \t]+(?:"(?P<quoted>[^"\n]+)"|(?P<plain>(?:\\.|[^\s\\])+))', re.MULTILINE
)
_NETGROUP = re.compile(r"(?:^|[,=!])[ \t]*\+\w", re.MULTILINE)
_MOST_SUDOERS = 1000


def crontab_folder() -> str | None:
    """Return the directory in which crontab(1) of this host keeps its files, None without cron."""
    return next((folder for folder in CRONTABS if os.path.isdir(folder)), None)


def skips_pam() -> bool:
    """True if crontabs of this host are run by what does not ask PAM."""
    return any(map(os.path.exists, GENERATORS))


def crontabs(name: str) -> list[str]:
    """Return the account's crontabs."""
    return [path for path in (f"{folder}/{name}" for folder in CRONTABS) if os.path.isfile(path)]


def at_jobs(uid: int) -> list[str]:
    """Return the account's jobs for at(1), sorted."""
    found = []
    for folder in AT_JOBS:
        with suppress(OSError), os.scandir(folder) as entries:
            for each in entries:
                owned = False
                with suppress(FileNotFoundError):  # one that has just run: the others are still there
                    owned = each.stat(follow_symlinks=False).st_uid == uid
                if owned and each.is_file(follow_symlinks=False) and not each.name.startswith("."):
                    found.append(each.path)
    return sorted(found)


def linger(name: str) -> list[str]:
    """Return the file that makes the account's user manager start without a login."""
    path = f"{LINGER}/{name}"
    return [path] if os.path.lexists(path) else []


def sudoers() -> dict[str, str]:
    """Return the texts that say who may use sudo by their paths, those of files that others include among them."""
    found: dict[str, str] = {}
    todo = [path for pattern in SUDOERS for path in sorted(glob.glob(pattern))]
    while todo and len(found) < _MOST_SUDOERS:
        path = todo.pop(0)
        if path in found:
            continue
        found[path] = ""
        with suppress(HostError):
            found[path] = (install.read_followed(path) or b"").decode("utf-8", "replace")
        for match in _SUDO_INCLUDE.finditer(found[path]):
            name = match["quoted"] or re.sub(r"\\(.)", r"\1", match["plain"])
            place = os.path.join(os.path.dirname(path), name.replace("%h", os.uname().nodename.partition(".")[0]))
            todo += sorted(glob.glob(f"{glob.escape(place)}/*")) if match["dir"] else [place]
    return found


def sudo_asks_others(texts: Iterable[str]) -> bool:
    """True if others than these files say who may use sudo: a directory service, or the members of a netgroup."""
    switch = b""
    with suppress(HostError):
        switch = install.read_followed(_SWITCH) or b""
    for line in switch.decode("utf-8", "replace").splitlines():
        database, _, sources = line.partition("#")[0].partition(":")
        if database.strip() == "sudoers" and set(sources.split()) - {"files"}:
            return True
    return any(_NETGROUP.search(text) for text in texts)


def aside(path: str) -> str:
    """Return where a file goes that is set aside."""
    head, name = os.path.split(path)
    return f"{head}/{ASIDE}{name}"


def set_aside(path: str) -> None:
    """Give a file of a spool directory a name that nothing runs."""
    head, name = os.path.split(path)
    _rename(head, name, f"{ASIDE}{name}")


def bring_back(path: str) -> None:
    """Give it its name again, unless there is a newer one or it is gone."""
    head, name = os.path.split(path)
    if not os.path.lexists(path) and os.path.lexists(f"{head}/{ASIDE}{name}"):
        _rename(head, f"{ASIDE}{name}", name)


def _rename(folder: str, old: str, new: str) -> None:
    # Spool directories belong to their daemons; no component may be a link all the same.
    dirfd = fs.open_dir(folder, trusted_root=folder)
    try:
        os.rename(old, new, src_dir_fd=dirfd, dst_dir_fd=dirfd)
        # cron looks at a spool directory only when its time has changed.
        os.fsync(dirfd)
    except OSError as error:
        raise fs.failed("rename", f"{folder}/{old}", error) from error
    finally:
        os.close(dirfd)


def set_linger(name: str, on: bool) -> None:
    """Switch lingering, by logind where it runs: it starts or stops the user manager too."""
    if process.has_systemd() and process.find_program("loginctl"):
        verb = "enable-linger" if on else "disable-linger"
        process.run(["loginctl", verb, name], timeout=60)
    elif on:
        fs.atomic_write(f"{LINGER}/{name}", b"")
    else:
        fs.remove_file(f"{LINGER}/{name}")
