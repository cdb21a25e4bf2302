"""What accounts set with crontab(1) inside of their jails, taken over to where cron reads it, and taken away again.

The file is in the home, and is read with the account's own rights.  What is in it is the account's to say, as in every
crontab; that its jobs run in the jail is PAM's part.  A note for each such account says where its file is and what was
taken over last: a crontab that is neither stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass

from jailssh.config.files import read_main
from jailssh.core.errors import ConfigError, HostError, JailsshError
from jailssh.files import fs
from jailssh.host import accounts, as_user, install
from jailssh.host.paths import Layout
from jailssh.jail import crontab
from jailssh.jail.owners import read_optional
from jailssh.plan import codec
from jailssh.services import pam_account, spools

_LIMIT = 1 << 16
_LIMIT_NOTE = 1 << 13


@dataclass(frozen=True)
class _Note:
    """``path``: the file in the home, "" for an account that has no such jail any more; ``digests``: taken over."""

    name: str
    path: str
    digests: tuple[str, ...] = ()


def follow(layout: Layout, plan: codec.Plan) -> None:
    """Note where the crontab of an account is, as its plan has it; without one it is withdrawn."""
    if layout.root:
        return  # cron is this host's
    place = spools.crontab_folder()
    own = next((each.args[0] for each in plan.records if each.verb == "bind" and each.args[1] == place), None)
    if own is None:
        withdraw(layout, plan.uid)
    else:
        _follow(layout, plan.uid, _Note(plan.name, f"{own}/{plan.name}"))


def _follow(layout: Layout, uid: int, wanted: _Note) -> None:
    known = _read(layout, uid)
    if known and known.name != wanted.name:
        folder = spools.crontab_folder()
        # What `jailssh rename` has given the new name is still the jail's; another's file is not.
        digests = known.digests if _digest(folder, wanted.name) in known.digests else ()
        _give_name(known, wanted)
        withdraw(layout, uid)
        known = _Note(wanted.name, "", digests)
    if known is None or known.path != wanted.path:
        fs.ensure_dir(layout.crontabs, 0o700, trusted_root=layout.root or None)
        _write(layout, uid, _Note(wanted.name, wanted.path, known.digests if known else ()))


def _give_name(known: _Note, wanted: _Note) -> None:
    """Have crontab(1) in the jail find what the account has set under its old name, as far as the account can."""
    entry = accounts.find(wanted.name)
    (folder, old), (place, new) = os.path.split(known.path), os.path.split(wanted.path)
    if entry is not None and known.path and folder == place:
        with suppress(HostError):
            as_user.rename_in(entry, folder, [(old, new)])


def withdraw(layout: Layout, uid: int) -> None:
    """Take away what was taken over from ``uid``, if it is still that; what cannot be, at the next :func:`take_over`.

    Nothing for an account without.
    """
    note = None if layout.root else _read(layout, uid)
    if note is not None:
        note = _Note(note.name, "", note.digests)
        _write(layout, uid, note)
        # Where the spool is read-only for who withdraws the plan, as for jailssh-gone.service.
        with suppress(HostError):
            _settle(layout, uid, note)


def take_over(layout: Layout, errors: list[JailsshError]) -> list[tuple[str, str]]:
    """Have cron's files as accounts have set them in their jails; return what changed, as (account, what).

    What fails for one account, which keeps what it had, is added to ``errors``.  Where jobs would run outside of the
    jails, all are taken away until they do not.
    """
    changed = []
    why = why_outside(layout)
    if why and _noted(layout):
        hint = "crontabs set in jails do not run meanwhile; jailssh check"
        errors.append(HostError("crontabs of jails", why, hint=hint))
    for uid in _noted(layout):
        try:
            note = _read(layout, uid)
            if note is not None and (line := _settle(layout, uid, note, stopped=bool(why))):
                changed.append((note.name, line))
        except JailsshError as error:
            errors.append(error)
    return changed


def taken(layout: Layout) -> frozenset[str]:
    """Return the crontabs that come from jails, by their paths."""
    folder = spools.crontab_folder()
    notes = [_read(layout, uid) for uid in _noted(layout)]
    names = {note.name: note.digests for note in notes if note}
    return frozenset(f"{folder}/{name}" for name, digests in names.items() if _digest(folder, name) in digests)


def why_outside(layout: Layout) -> str:
    """Return why cron would run jobs of accounts outside of their jails, "" where they run inside."""
    main = read_main(install.read_optional(layout.config_file) or b"", layout.config_file)
    services = crontab.services(main)
    if not services:
        return "pam_inside does not name cron"
    if spools.skips_pam():
        return "systemd-cron does not ask PAM"
    asked = [name for name in sorted(services) if pam_account.service_file(name)]
    for name in asked:
        lines = pam_account.stack(name)
        for phase in ("account", "session"):
            if not any(line.phase == phase and line.module == layout.pam_module for line in lines):
                return f"the {phase} phase of the PAM service {name} does not ask pam_jailssh"
    return "" if asked else "PAM has no service of cron's"


def _settle(layout: Layout, uid: int, note: _Note, *, stopped: bool = False) -> str:
    folder = spools.crontab_folder()
    if folder is None:
        return ""
    wanted = None if stopped else _wanted(uid, note)
    target, present = f"{folder}/{note.name}", _present(folder, note.name)
    is_ours = present is None or _sum(present) in note.digests
    if wanted is not None and not is_ours and wanted != present:
        why = "was not made in the jail, and is kept; what the account has set does not run"
        raise ConfigError(target, why, hint=f"crontab -u {note.name} -r")
    line = ""
    if wanted is not None and wanted != present:
        # Before the file, so that it is known for ours wherever this is interrupted.
        _write(layout, uid, _Note(note.name, note.path, (_sum(wanted), *note.digests[:1])))
        info = os.stat(folder)
        fs.atomic_write(target, wanted, mode=0o600, uid=uid, gid=info.st_gid)
        line = f"crontab of the jail taken over, {len(wanted)} bytes"
    elif wanted is None and present is not None and is_ours:
        fs.remove_file(target)
        line = "crontab of the jail removed"
    if not note.path:
        fs.remove_file(_path(layout, uid))
        install.remove_empty_dir(layout.crontabs)
    return line


def _wanted(uid: int, note: _Note) -> bytes | None:
    """Return what the account has set, None for nothing."""
    entry = accounts.find(note.name) if note.path else None
    if entry is None or entry.uid != uid:
        return None
    try:
        (data,) = as_user.read_files(entry, [note.path], _LIMIT, own=True)
    except HostError as error:
        why = f"cannot be read as the account, or is larger than {_LIMIT} bytes"
        raise HostError(note.path, why, hint="what was taken over before stays") from error
    return data or None


def _present(folder: str, name: str) -> bytes | None:
    path = f"{folder}/{name}"
    try:
        with open(fs.open_plain(path), "rb") as file:
            return file.read(_LIMIT + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise fs.failed("read", path, error) from error


def _digest(folder: str | None, name: str) -> str:
    with suppress(HostError):
        present = _present(folder, name) if folder else None
        return "" if present is None else _sum(present)
    return ""


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _noted(layout: Layout) -> list[int]:
    with suppress(FileNotFoundError):
        return sorted(int(name) for name in os.listdir(layout.crontabs) if name.isascii() and name.isdecimal())
    return []


def _path(layout: Layout, uid: int) -> str:
    return f"{layout.crontabs}/{uid}"


def _read(layout: Layout, uid: int) -> _Note | None:
    data = read_optional(layout, _path(layout, uid), _LIMIT_NOTE)
    if data is None:
        return None
    try:
        name, path, *digests = json.loads(data)
        return _Note(str(name), str(path), tuple(map(str, digests)))
    except ValueError as error:
        why = "is not a note about a crontab"
        raise ConfigError(_path(layout, uid), why, hint=f"rm {_path(layout, uid)} && jailssh apply") from error


def _write(layout: Layout, uid: int, note: _Note) -> None:
    text = json.dumps([note.name, note.path, *note.digests])
    fs.atomic_write(_path(layout, uid), text.encode(), mode=0o600)
