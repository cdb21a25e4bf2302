"""jk_jailuser, jk_addjailuser and jk_list: accounts."""

from __future__ import annotations

import os

from jailssh.compat import call
from jailssh.compat.call import Failed
from jailssh.compat.options import Given
from jailssh.compat.words import tell
from jailssh.core.errors import EXIT_OK
from jailssh.core.names import is_below
from jailssh.host import accounts
from jailssh.host.paths import Layout

_FILTER = "/usr/sbin/jk_lsh"
_SHELL_JAIL = "shell"
_TAKEN = "jvsdceumn"
"""Options of jk_addjailuser that mean something for adduser."""


def jk_jailuser(given: Given) -> int:
    """Put accounts that exist into the jail nearest to the directory and the shell."""
    if not given.rest:
        raise Failed(2, "aborted, no username specified")
    jail = given.value("j").rstrip("/")
    if not jail:
        raise Failed(33, "-j is required")
    name = _jail_of(jail, given.value("s") or _FILTER)
    if unknown := [user for user in given.rest if accounts.find(user) is None]:
        raise Failed(2, f"user {unknown[0]} does not exist")
    # What follows in scripts of panels: usermod -s /usr/sbin/jk_chrootsh.
    tell(["jk_jailuser: PAM refuses these accounts with another login shell; to set it again: jailssh apply"])
    code = EXIT_OK
    for user in given.rest:
        argv = ["adduser", user, "--jail", name, "--yes", *(_moving(user, jail) if given.has("m") else ())]
        code = max(code, call.verb("jk_jailuser", argv, jail))
    return code


def _moving(user: str, jail: str) -> list[str]:
    """Return what moves a home to its own path below the directory of the jail, nothing where it is there already."""
    home = accounts.get(user).home
    return [] if is_below(home, jail) else ["--home", f"{jail}{home}", "--home-move"]


def jk_addjailuser(given: Given) -> int:
    """Create an account in the jail nearest to the directory and the shell."""
    if other := [letter for letter, _ in given.options if letter not in _TAKEN]:
        raise Failed(1, f"-{other[0]} is not supported; use useradd and then: jailssh adduser NAME --jail JAIL")
    jail, rest = given.jail_and_rest()
    if not jail or len(rest) != 1:
        raise Failed(2, "need a jail directory and one username")
    (user,) = rest
    if accounts.find(user) is not None:
        raise Failed(9, f"user {user} exists")
    argv = ["adduser", user, "--jail", _jail_of(jail, given.value("s") or _FILTER), "--yes"]
    for letter, option in (("d", "--home"), ("c", "--gecos"), ("e", "--expires"), ("u", "--uid")):
        argv += [option, given.value(letter)] if given.has(letter) else []
    return call.verb("jk_addjailuser", argv, jail)


def _jail_of(directory: str, shell: str) -> str:
    """Return the jail for a directory of Jailkit's: the one with its name, or for a real shell the profile shell."""
    if not os.path.isdir(directory):
        raise Failed(33, f"invalid jail directory {directory}")
    name = os.path.basename(directory)
    if os.path.exists(f"{Layout().jails}/{name}.conf"):
        return name
    if os.path.basename(shell) != os.path.basename(_FILTER):
        return _SHELL_JAIL
    ini = f"{directory}/etc/jailkit/jk_lsh.ini"
    raise Failed(
        33,
        f"there is no jail {name} for what jk_lsh allows; to write it: jailssh config import {ini} --user USER "
        f"> {Layout().jails}/{name}.conf",
    )


def jk_list(given: Given) -> int:
    """List jails and accounts; Jailkit listed processes, for which there is no verb."""
    if given.rest:
        raise Failed(1, f"unexpected argument {given.rest[0]}")
    return call.verb("jk_list", ["list"])
