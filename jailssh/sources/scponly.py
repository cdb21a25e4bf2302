"""Accounts whose login shell is scponly or scponlyc (scponly(8)).

There is no file: what it lets through was chosen when it was built, and scponlyc's chroot is in the home: what stands
before its first ``//``, or all of it.
"""

from __future__ import annotations

from jailssh.sources import by_shell
from jailssh.sources.by_shell import Case
from jailssh.sources.forced import Left, Refuses, home_of
from jailssh.sources.found import Effect, Found, Host

NAME = "scponly"
TITLE = "scponly"
_CHROOTED = "scponlyc"
_ACCOUNTS = "/etc/passwd"


def find(host: Host) -> list[Found]:
    """Return the accounts whose login shell is scponly."""
    every = by_shell.cases(host, NAME, (NAME, _CHROOTED), _ACCOUNTS)
    return [by_shell.judged(case) or by_shell.settled(case, _account) for case in every]


def _account(case: Case) -> Found:
    home = ("", "")
    if case.person.shell.rsplit("/", 1)[-1] == _CHROOTED:
        home = _chroot(case)
    else:
        case.say(Effect.CLOSED, by_shell.OUTSIDE)
    text = "what scponly lets through was chosen when it was built and cannot be read: sftp and scp are taken for it"
    case.say(Effect.NOTE, text)
    case.say(Effect.LOST, "rsync, unison, svn, svnserve, passwd and quota, if it was built with them")
    text = "WinSCP's SCP mode and the commands ls, chmod, chown, chgrp, mkdir, rmdir, ln, mv and rm: use SFTP"
    case.say(Effect.LOST, text)
    rows, uses, called = by_shell.transfers({"sftp", "scp"}, NAME)
    return case.migrates(rows, uses, called, home)


def _chroot(case: Case) -> tuple[str, str]:
    passwd = case.person.home
    root, slashes, start = passwd.partition("//")
    if not root.startswith("/"):
        raise Refuses(f"the home {passwd!r} names no chroot")
    root = by_shell.root_of(root)
    status = case.host.status(root)
    if status is None or case.host.kind(root) != "dir":
        raise Refuses(f"its chroot {root} is not a directory")
    mode, uid, _ = status
    if uid != 0 or mode & 0o022:
        raise Refuses(f"its chroot {root} is not root's alone, or can be written to by others")
    start = "/" + "/".join(part for part in start.split("/") if part not in ("", "."))
    if ".." in start.split("/"):
        raise Left(f"the home {passwd!r} has '..' in it")
    if not slashes or start == "/":
        case.say(Effect.CHANGED, f"paths begin at the home: what was /x is {root}/x")
        case.say(Effect.NOTE, f"programs and libraries in {root} are not needed any more")
        return (root if root != passwd else ""), ""
    case.say(Effect.LOST, f"what {root} has besides {start}: a jail shows the home alone")
    return home_of(case.person), by_shell.shown(start)
