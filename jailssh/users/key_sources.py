"""The keys by which another account logs in, to be given to one more."""

from __future__ import annotations

from jailssh.config import home_keys
from jailssh.config.home_keys import HomeKey
from jailssh.config.keys import Key
from jailssh.core.errors import UsageError
from jailssh.host import accounts
from jailssh.host.paths import Layout
from jailssh.jail import authorized_keys
from jailssh.services import sshd
from jailssh.users import home_keys as homes


def keys_of(layout: Layout, name: str) -> list[Key]:
    """Return the keys that sshd takes for the account ``name``: root's file, and those in its home where it reads them.

    The home is read with the account's own rights.  A key that is limited to something is an error, since the limit
    would be lost, and so is an account without keys.
    """
    entry = accounts.get(name)
    paths = homes.paths_of(sshd.effective(name, sshd.main_config(layout)), entry, layout)
    found = list(homes.look(entry, paths).keys)
    path = authorized_keys.keys_file(layout, name)
    found += home_keys.read(authorized_keys.encoded(authorized_keys.present(layout, name)), path).keys
    own = f"command={layout.login_program}"
    for key in found:
        if limits := [*key.options, *(each for each in key.commands if each.replace('"', "") != own)]:
            why = f"is limited ({', '.join(limits)}); the copy loses the limit"
            raise UsageError(key.origin, why, hint="give the keys in a file: --key FILE")
    if not found:
        raise UsageError(f"account {name}", "has no keys to copy")
    return _distinct(found)


def _distinct(found: list[HomeKey]) -> list[Key]:
    return list({key.key.blob: key.key for key in found}.values())
