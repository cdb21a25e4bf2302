"""What an import would do on this host, found before it does anything: changes, differences, reasons against it."""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from jailssh.carrying.archive import MAX_FILE, Archive, CarriedAccount, CarriedFile, account_lines
from jailssh.carrying.collect import MODES, PERSONAL, is_secret, owner_of
from jailssh.config.keys import read_keyring
from jailssh.core.errors import ConfigError, JailsshError, parts
from jailssh.core.names import escape
from jailssh.files import fs
from jailssh.host import install
from jailssh.host.paths import Layout
from jailssh.jail.configuration import is_of_a_ring
from jailssh.jail.owners import read_optional

_LOGIN = re.compile(r'command="/[A-Za-z0-9/._+-]*/libexec/jailssh/jailssh-login"')
_PLACES = {"users": 2, "keys": 2, "keys.d": 3}


@dataclass
class Comparison:
    """``files``: what is written, by path below /etc/jailssh; ``diffs``: how each differs, in lines.

    ``removed``: files that a description had and has no more.

    ``created``, ``joining``: accounts that are made, and that are here already and come into a jail; ``passwords``:
    accounts of ours without one that get it.  ``groups``: those that are made, with their gids; ``members``: the groups
    that a made account comes into, by its name.
    """

    files: dict[str, CarriedFile] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    diffs: dict[str, list[str]] = field(default_factory=dict)
    created: list[CarriedAccount] = field(default_factory=list)
    joining: list[CarriedAccount] = field(default_factory=list)
    passwords: list[CarriedAccount] = field(default_factory=list)
    groups: dict[str, int] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    errors: list[JailsshError] = field(default_factory=list)

    @property
    def changes(self) -> int:
        """How many files, groups and accounts are not as the archive has them."""
        accounts = len(self.created) + len(self.joining) + len(self.passwords)
        return len(self.files) + len(self.removed) + len(self.groups) + accounts

    def lines(self) -> list[str]:
        """Return it for people."""
        found = [line for path in sorted(self.diffs) for line in self.diffs[path]]
        found += [f"+ group {name}, gid {gid}" for name, gid in sorted(self.groups.items())]
        for sign, several in (("+ account", self.created), ("+ into a jail:", self.joining)):
            for account in several:
                shown = [line for line in account_lines(account) if not line.startswith("password")]
                found += [f"{sign} {account.name}", *(f"+   {line}" for line in map(escape, shown))]
        found += [f"+ password of {account.name}" for account in self.passwords]
        return [*found, *(f"note: {line}" for line in self.notes)]

    def facts(self) -> dict[str, object]:
        """Return it for programs."""
        names = {"created": self.created, "joining": self.joining, "passwords": self.passwords}
        return {
            "changes": self.changes,
            "files": [
                {"path": path, "written": path in self.files, "diff": self.diffs[path]} for path in sorted(self.diffs)
            ],
            "removed": sorted(self.removed),
            "groups": self.groups,
            **{key: [account.name for account in several] for key, several in names.items()},
            "notes": self.notes,
            "errors": [str(error) for error in self.errors],
        }


def compare_files(
    layout: Layout,
    archive: Archive,
    *,
    replace: bool = False,
    keep: bool = False,
    before: Mapping[str, CarriedFile] | None = None,
) -> Comparison:
    """Return what the archive changes below /etc/jailssh; :mod:`jailssh.carrying.people` adds the accounts.

    ``replace``, ``keep``: what becomes of files that are others here.  ``before``: the files of the description that
    this one follows.  Where it has changed since, and the host has not, it is written without that; where the host
    alone has changed, it stays (unless ``replace``), so a key that was taken away by hand does not come back; a file
    that it has no more goes in any case, since what takes rights away waits for nothing.
    """
    found = Comparison()
    former = {path: on_this_host(layout, path, each) for path, each in (before or {}).items()}
    for path, there in archive.files.items():
        carried = on_this_host(layout, path, there)
        try:
            _place(path, archive.accounts)
            if former.get(path) == carried and not replace:
                _note_own_change(layout, path, carried, found)
            else:
                _compare_file(layout, path, carried, found, replace=replace, keep=keep, former=former.get(path))
        except JailsshError as error:
            found.errors += parts(error)
    for path in sorted(former.keys() - archive.files.keys()):
        if (here := present_file(layout, path)) is not None:
            found.removed.append(path)
            found.diffs[path] = diff(f"{layout.etc}/{path}", here, None, hidden=is_secret(path, here))
    return found


def on_this_host(layout: Layout, path: str, carried: CarriedFile) -> CarriedFile:
    """Return a file of keys with the login program where this host has it: another one may be installed elsewhere."""
    if not path.startswith("keys/"):
        return carried
    return replace(carried, text=_LOGIN.sub(f'command="{layout.login_program}"', carried.text))


def _place(path: str, known: Mapping[str, CarriedAccount]) -> None:
    """Raise for a file of an account that the archive does not have, or where no file of one is looked for."""
    words = path.split("/")
    if words[0] not in PERSONAL:
        return
    ending = {"users": ".conf", "keys.d": ".pub"}.get(words[0], "")
    if len(words) != _PLACES[words[0]] or not path.endswith(ending) or not is_of_a_ring(words[-1]):
        raise ConfigError(f"file {path} of the archive", "is no place for a file of an account")
    if owner_of(path) not in known:
        raise ConfigError(f"file {path} of the archive", "is for an account that the archive does not have")


def present_file(layout: Layout, path: str) -> CarriedFile | None:
    """Return the file that is here; what export does not carry of a mode is no difference."""
    whole = f"{layout.etc}/{path}"
    _check_above(layout, path)
    data = read_optional(layout, whole, MAX_FILE)
    if data is None:
        return None
    return CarriedFile(stat.S_IMODE(os.lstat(whole).st_mode) & MODES, data.decode("utf-8", "surrogateescape"))


def _note_own_change(layout: Layout, path: str, carried: CarriedFile, found: Comparison) -> None:
    here = present_file(layout, path)
    if here != carried:
        what = "was removed" if here is None else "was changed"
        found.notes.append(f"{layout.etc}/{path} {what} on this host since, and stays so without --replace")


def _compare_file(
    layout: Layout,
    path: str,
    carried: CarriedFile,
    found: Comparison,
    *,
    replace: bool,
    keep: bool,
    former: CarriedFile | None = None,
) -> None:
    whole = f"{layout.etc}/{path}"
    here = present_file(layout, path)
    if here is None:
        found.files[path] = carried
        found.diffs[path] = diff(whole, None, carried, hidden=is_secret(path, carried))
        return
    if here == carried:
        if path.startswith("keys.d/"):  # of an account of which nothing is written, the trial has no file
            read_keyring({whole: carried.text.encode()}, ())
        return
    found.diffs[path] = diff(whole, here, carried, hidden=is_secret(path, carried) or is_secret(path, here))
    if keep:
        found.notes.append(f"{whole} differs and stays as it is")
    elif replace or here == former:
        found.files[path] = carried
    else:
        hint = "to write the archive's: --replace; to leave this host's: --keep"
        found.errors.append(ConfigError(whole, "is here already and differs", hint=hint))


def _check_above(layout: Layout, path: str) -> None:
    """Raise where a directory that a file goes into is something else here, or not root's alone."""
    above = os.path.dirname(path)
    while above and not os.path.lexists(f"{layout.etc}/{above}"):
        above = os.path.dirname(above)
    os.close(fs.open_dir(f"{layout.etc}/{above}".rstrip("/"), trusted_root=layout.root or None))


def diff(whole: str, here: CarriedFile | None, carried: CarriedFile | None, *, hidden: bool = False) -> list[str]:
    """Return the difference as diff -u has it, nothing in it for the terminal; ``hidden``: not what it consists of."""
    before, after = (each.text.splitlines() if each else [] for each in (here, carried))
    names = (whole if here else "/dev/null", whole if carried else "/dev/null")
    lines = list(difflib.unified_diff(before, after, *names, lineterm="", n=2))
    if lines and hidden:
        lines = [*lines[:2], "content not shown: only root may read it"]
    if carried is None:
        return [escape(line) for line in lines or [f"--- {whole}"]]
    if not lines:
        lines = [f"+++ {whole}"]
    if here and here.mode != carried.mode:
        lines.append(f"mode {here.mode:04o} -> {carried.mode:04o}")
    elif len(lines) == 1:
        lines.append("empty" if not carried.text else "ends of lines differ")
    return [escape(line) for line in lines]


def texts_after(layout: Layout, found: Comparison) -> dict[str, str]:
    """Return the files of the configuration as they would be, by path below /etc/jailssh.

    Those of accounts that the archive does not have are not looked at.
    """
    names = {owner_of(path) for path in (*found.files, *found.removed)}
    texts: dict[str, str] = {}
    for folder, below, files in os.walk(layout.etc):
        below[:] = [name for name in below if not name.startswith(".")]
        for file in files:
            path = f"{folder}/{file}".removeprefix(f"{layout.etc}/")
            if path.split("/")[0] in PERSONAL and owner_of(path) not in names:
                continue
            left = path in found.removed or os.path.islink(f"{layout.etc}/{path}")
            if left or file.startswith(".") or file.endswith("~"):
                continue
            data = install.read_optional(f"{layout.etc}/{path}", MAX_FILE)
            texts[path] = (data or b"").decode("utf-8", "surrogateescape")
    return texts | {path: carried.text for path, carried in found.files.items()}
