"""jk_jailuser, jk_addjailuser and jk_list: accounts."""

from __future__ import annotations

import os

from jailssh.compat import call
from jailssh.compat.call import Failed
from jailssh.compat.options import Given
from jailssh.compat.words import tell
from jailssh.core.errors import EXIT_OK
from jailssh.core.names import is_below, is_clean_absolute
from jailssh.files import fs
from jailssh.host import accounts, install
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout

_FILTER = "/usr/sbin/jk_lsh"
_SHELL_JAIL = "shell"
_SHELLS = ("sh", "bash", "dash")
"""Those that stand for the profile shell; others need a jail that names them."""
_TAKEN = "jvsdceum"
"""Options of jk_addjailuser that mean something for adduser."""
NOT_HERE = "an error: useradd has it"


def jk_jailuser(given: Given) -> int:
    """Put accounts that exist into the jail nearest to the directory and the shell."""
    if not given.rest:
        raise Failed(2, "aborted, no username specified")
    jail = given.value("j").rstrip("/")
    if not jail:
        raise Failed(33, "-j is required: nothing is asked")
    name = _jail_of(jail, given.value("s") or _FILTER)
    if unknown := [user for user in given.rest if accounts.find(user) is None]:
        raise Failed(2, f"user {unknown[0]} does not exist")
    # What follows in scripts of panels: usermod -d DIR/./HOME -s /usr/sbin/jk_chrootsh.
    told = "PAM refuses these accounts with another login shell, and a home with /./ is none; to set both again"
    tell(
        [
            f"jk_jailuser: {told}: usermod --home HOME NAME, then jailssh apply",
            "jk_jailuser: keys that are put into a home from now on count where the jail has home_keys = yes",
        ]
    )
    code = EXIT_OK
    for user in given.rest:
        made = _make_home(accounts.get(user))
        argv = ["adduser", user, "--jail", name, "--yes", *(_moving(user, jail) if given.has("m") else ())]
        try:
            code = max(code, call.verb("jk_jailuser", argv, jail))
        except Failed:
            if made:
                install.remove_empty_dir(made)
            raise
    return code


def _moving(user: str, jail: str) -> list[str]:
    """Return what moves a home to its own path below the directory of the jail, nothing where it is there already."""
    home = accounts.get(user).home
    return [] if is_below(home, jail) else ["--home", f"{jail}{home}", "--home-move"]


def _make_home(entry: AccountEntry) -> str:
    """Make an empty home where there is none, since panels do so only afterwards; return its path, "" for none made.

    Jailkit left the account with none, which then could not log in.
    """
    if not is_clean_absolute(entry.home) or os.path.lexists(entry.home):
        return ""
    above = os.path.dirname(entry.home)
    missing = []
    while not os.path.lexists(above):
        missing.append(above)
        above = os.path.dirname(above)
    os.close(fs.open_dir(above))
    for path in reversed(missing):
        fs.ensure_dir(path, 0o755)
    fs.ensure_dir(entry.home, 0o700, entry.uid, entry.gid)
    tell([f"jk_jailuser: made the home {entry.home}"])
    return entry.home


def jk_addjailuser(given: Given) -> int:
    """Create an account in the jail nearest to the directory and the shell."""
    if other := [letter for letter, _ in given.options if letter not in _TAKEN]:
        raise Failed(1, f"-{other[0]} is not supported; use useradd and then: jailssh adduser NAME --jail JAIL")
    jail, rest = given.jail_and_rest()
    if rest and not given.has("j") and not os.path.isdir(jail) and os.path.isdir(rest[0]):
        jail, rest = rest[0].rstrip("/"), (jail, *rest[1:])  # it took both orders
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
    if os.path.basename(shell) in _SHELLS:
        return _SHELL_JAIL
    if os.path.basename(shell) != os.path.basename(_FILTER):
        file = f"{Layout().jails}/{name}.conf"
        raise Failed(33, f"there is no jail {name} for the shell {shell}; write {file}, and repeat it")
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
    if given.has("j"):
        raise Failed(
            1, "-j is not supported: leave it away, all jails are listed; processes of one account: ps -u NAME"
        )
    tell(["jk_list: accounts are listed and not processes; for those of one account: ps -u NAME"])
    return call.verb("jk_list", ["list"])
