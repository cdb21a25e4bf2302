"""Whose what is kept under a name is: the users file says the uid, and a note of ours where there is none.

Keys files and key rings have names alone, since sshd and administrators look for them by name.  The note is written
when the account's plan is published, or its keys change; who has the name then is the one that they are for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from jailssh.config.files import read_user
from jailssh.core.errors import ConfigError, HostError
from jailssh.core.identity import Identity, Named, is_same
from jailssh.files import fs
from jailssh.host import install
from jailssh.host.paths import Layout

_LIMIT = 64
_LIMIT_USER = 1 << 18


def owner(layout: Layout, name: str) -> Identity | None:
    """Return the account that what is kept under ``name`` is for; None where nothing says so.

    The users file is what the administrator says and comes first; where it cannot be read, the note decides.
    """
    path = f"{layout.users}/{name}.conf"
    try:
        data = read_optional(layout, path, _LIMIT_USER)
        if data is not None:
            return Identity(name, read_user(data, path, name).uid)
    except (ConfigError, HostError):
        if (found := noted(layout, name)) is not None:
            return found
        raise
    return noted(layout, name)


def noted(layout: Layout, name: str) -> Identity | None:
    """Return the account that the note names, None without one."""
    path = _path(layout, name)
    data = read_optional(layout, path, _LIMIT)
    if data is None:
        return None
    if not data.strip().isdigit():
        raise ConfigError(path, "is not a uid", hint=f"rm {path} && jailssh apply")
    return Identity(name, int(data))


def note(layout: Layout, account: Named) -> None:
    """Write down that ``account`` is the one; nothing is written where that stands there already."""
    if not _is_noted(layout, account):
        with _new_note(layout, account) as put:
            put()


@contextmanager
def noting(layout: Layout, account: Named, *, settle: bool = True) -> Iterator[Callable[[], None]]:
    """Do what waits for the disk of :func:`note`, and yield what does the rest, for which alone a lock is needed.

    Not ``settle``: see :func:`jailssh.files.several.settle`.
    """
    if _is_noted(layout, account):
        yield partial(note, layout, account)  # which looks again
    else:
        with _new_note(layout, account, settle=settle) as put:
            yield put


def _new_note(layout: Layout, account: Named, *, settle: bool = True) -> AbstractContextManager[Callable[[], None]]:
    fs.ensure_dir(layout.owners, 0o700, trusted_root=layout.root or None)
    return fs.new_file(_path(layout, account.name), (b"%d\n" % account.uid,), 0o600, settle=settle)


def _is_noted(layout: Layout, account: Named) -> bool:
    known = noted(layout, account.name)
    return known is not None and is_same(known, account)


def forget(layout: Layout, name: str) -> None:
    """Remove the note; absent is fine."""
    if os.path.lexists(_path(layout, name)):
        fs.remove_file(_path(layout, name))
        install.remove_empty_dir(layout.owners)


def must_be_for(layout: Layout, account: Named, uid: int | None) -> None:
    """Raise :class:`ConfigError` if what is kept under the account's name is for another; ``uid``: the users file's."""
    kept_for = noted(layout, account.name) if uid is None else Identity(account.name, uid)
    if kept_for is not None and not is_same(kept_for, account):
        path = _path(layout, account.name) if uid is None else f"{layout.users}/{account.name}.conf"
        why = f"is for uid {kept_for.uid}, the account has uid {account.uid}"
        hint = "another account has the name now: jailssh apply --gone"
        hint += "" if uid is None else f" && jailssh adduser {account.name} --jail JAIL"
        raise ConfigError(path, why, hint=hint)


def _path(layout: Layout, name: str) -> str:
    return f"{layout.owners}/{name}"


def read_optional(layout: Layout, path: str, limit: int) -> bytes | None:
    """Return the content of a trusted file, None where there is none."""
    try:
        return fs.read_trusted(path, limit, trusted_root=layout.root or None)
    except HostError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
