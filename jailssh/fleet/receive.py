"""Take a bundle on a host: verify it, find this host's part, compare, make it whole or not at all, keep it.

What is kept, below /var/lib/jailssh/bundle and root's alone: ``last``, the bundle that this host goes by, with its
signature; ``previous``, the one before; ``begun``, one whose change was begun and that is not ``last`` yet: what of it
is here came by a bundle too; and ``newest``, the serial below which none is taken, written before the change begins,
so that a bundle that was begun once makes older ones old whatever becomes of it, and when that was signed, for
``jailssh check``.

What is for an account that is not here is left alone, and the rest is made: an account that has gone on one host keeps
nothing from it.  ``skipped`` names such accounts, with the files of the description that they had before, so that they
are compared with those when the account is here again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from jailssh.carrying import bring
from jailssh.carrying.archive import Archive, CarriedAccount, CarriedFile
from jailssh.carrying.archive import read as read_archive
from jailssh.carrying.archive import write as write_archive
from jailssh.carrying.collect import day, owner_of
from jailssh.carrying.compare import Comparison, on_this_host, present_file
from jailssh.change.transaction import Fault, no_fault
from jailssh.config.files import read_user
from jailssh.core.errors import ConfigError, DeniedError, JailsshError, UsageError, parts, raise_all
from jailssh.core.names import check_account_name, escape
from jailssh.files import fs
from jailssh.fleet import bundle as bundles
from jailssh.fleet.bundle import ACCOUNTS, account_of
from jailssh.fleet.signing import verify
from jailssh.host import accounts
from jailssh.host.paths import Layout
from jailssh.publish.publish import withdraw_plan
from jailssh.users import adduser
from jailssh.users.adduser import Publishing

_LAST, _PREVIOUS, _BEGUN, _NEWEST, _SKIPPED = "last", "previous", "begun", "newest", "skipped"
_NAMES = "names"


@dataclass(frozen=True)
class Taken:
    """What a bundle was and did; ``lines``: about interrupted changes that were settled, and covers.

    ``skipped``: an error for each account that is not here, for which nothing was done.
    """

    serial: int
    signer: str
    found: Comparison
    lines: tuple[str, ...] = ()
    skipped: tuple[JailsshError, ...] = ()


def host_name() -> str:
    """Return the name that this host goes by in a bundle, which ``uname -n`` prints."""
    return os.uname().nodename


def take(
    layout: Layout,
    data: bytes,
    source: str,
    publisher_of: Callable[[], Publishing],
    *,
    act: bool,
    how: bring.How,
    older: bool = False,
    fault: Fault = no_fault,
) -> Taken:
    """Make this host what a bundle says, or with ``act`` not set find what that would change.

    All reasons against it are raised before anything changes; ``older``: that it is older is none.
    """
    adduser.require_setup(layout, publisher_of().groups)
    with fs.lock(layout.lock):
        body, signature = bundles.split(data, source)
        signer = verify(layout, body, signature, source)
        bundle = bundles.read(body, source)
        host = host_name()
        if host not in bundle.fleet.hosts:
            hint = "it must be among hosts in fleet.conf, as uname -n prints it here"
            raise DeniedError(source, f"is for other hosts, and not for {escape(host, 80)}", hint=hint)
        digest = bundles.description_digest(bundle)
        is_older = _is_older(layout, bundle.serial, digest, source)
        if is_older and not older:
            hint = "sign a newer one; to go back to this one here: --older"
            raise DeniedError(source, f"is older than one that this host has had: serial {bundle.serial}", hint=hint)
        part = bundle.part(host)
        lines = bring.settle(layout, sorted({owner_of(path) for path in part} - {""})) if act else []
        last = _kept(layout, _LAST)
        was, begun = _was(layout, host), _kept_files(layout, _BEGUN, host)
        archive, missing = archive_here(part)
        former = _former(layout, was, begun)
        left = {path: each for path, each in former.items() if owner_of(path) in missing}
        how = replace(how, before={path: each for path, each in former.items() if path not in left})
        found = bring.judge(layout, archive, how)
        skipped = tuple(missing.values())
        if not act:
            return Taken(bundle.serial, signer, found, (), skipped)
        raise_all(found.errors)
        fs.ensure_dir(layout.bundles, 0o700)
        fault("bundle: begins")
        if not is_older:
            _write_newest(layout, bundle, digest)
        fault("bundle: serial kept")
        if last != data:
            fs.atomic_write(f"{layout.bundles}/{_BEGUN}", data, mode=0o600)
        fault("bundle: begun kept")
        if found.changes:
            lines += bring.make(layout, archive, found, how, publisher_of, fault)
        _end_what_runs(layout, {**was, **(begun or {})}, archive)
        _write_skipped(layout, missing, left)
        fault("bundle: skipped kept")
        if last != data:
            _keep(layout, data, None if last is None or _described(last, source) == digest else last, fault)
        fs.remove_file(f"{layout.bundles}/{_BEGUN}")
    return Taken(bundle.serial, signer, found, tuple(lines), skipped)


def _end_what_runs(layout: Layout, before: Mapping[str, CarriedFile], archive: Archive) -> None:
    """End what lingers of accounts without a file of their own by now; whoever was killed before begins here again."""
    for path in sorted(before.keys() - archive.files.keys()):
        if path.startswith("users/") and (entry := accounts.find(owner_of(path))) is not None:
            withdraw_plan(layout, entry.uid)


def _files(part: dict[str, CarriedFile]) -> dict[str, CarriedFile]:
    """Return what of a host's part is a file below /etc/jailssh: descriptions of accounts are none."""
    return {path: each for path, each in part.items() if not path.startswith(f"{ACCOUNTS}/")}


def _former(
    layout: Layout, was: Mapping[str, CarriedFile], begun: Mapping[str, CarriedFile] | None
) -> dict[str, CarriedFile]:
    """Return the files by which this host goes: those of the last bundle, and what is here of one begun after it.

    That one may be whole here without being the last one: it was interrupted in the very end.
    """
    former = dict(was)
    if begun is None:
        return former
    for path in sorted({*was, *begun}):
        there = begun.get(path)
        if present_file(layout, path) == (there and on_this_host(layout, path, there)):
            former.pop(path, None)
            if there:
                former[path] = there
    return former


def _kept_files(layout: Layout, name: str, host: str) -> dict[str, CarriedFile] | None:
    """Return this host's files of a bundle that is kept, None without one; who has signed it may sign no more."""
    data, source = _kept(layout, name), f"{layout.bundles}/{name}"
    if data is None:
        return None
    try:
        return _files(bundles.read(bundles.split(data, source)[0], source).part(host))
    except JailsshError as error:
        hint = f"move it away, and give --replace: rm {source}"
        raise ConfigError(source, f"is damaged: {error}", hint=hint) from error


def _was(layout: Layout, host: str) -> dict[str, CarriedFile]:
    """Return the files of the last bundle; of accounts that were skipped then, those of the one before."""
    files = _kept_files(layout, _LAST, host) or {}
    data, source = _kept(layout, _SKIPPED), f"{layout.bundles}/{_SKIPPED}"
    if data is None:
        return files
    kept = dict(read_archive(data, source).files)
    names = kept.pop(_NAMES, CarriedFile(0o644, "")).text.split()
    # What was set aside with its account has not been taken away by hand: it is made again for who is here again.
    aside = {name for name in names if present_file(layout, f"users/{check_account_name(name)}.conf") is None}
    kept = {path: each for path, each in kept.items() if owner_of(path) not in aside}
    return {path: each for path, each in files.items() if owner_of(path) not in names} | kept


def _write_skipped(layout: Layout, missing: Mapping[str, JailsshError], left: Mapping[str, CarriedFile]) -> None:
    path = f"{layout.bundles}/{_SKIPPED}"
    if missing:
        names = "".join(f"{name}\n" for name in missing)
        fs.atomic_write(path, write_archive(Archive({**left, _NAMES: CarriedFile(0o644, names)})), mode=0o600)
    else:
        fs.remove_file(path)


def archive_here(part: dict[str, CarriedFile]) -> tuple[Archive, dict[str, JailsshError]]:
    """Return a host's part as an archive, with the accounts as the part describes them, or else as this host has them.

    What is for an account that neither knows is not in it; the second value says so, by its name.
    """
    files = _files(part)
    described = {path: each for path, each in part.items() if path not in files}
    people: dict[str, CarriedAccount] = {}
    errors: list[JailsshError] = []
    missing: dict[str, JailsshError] = {}
    passwords = accounts.all_passwords()
    for path, each in described.items():
        account = account_of(path, each.text)
        people[account.name] = account
    for name in sorted({owner_of(path) for path in files} - {""} | people.keys()):
        path = f"users/{check_account_name(name)}.conf"
        try:
            jails = tuple(sorted(read_user(files[path].text, path, name).jails)) if path in files else ()
            if name not in people:
                ages = passwords.get(name, ("", None))[1]
                people[name] = _as_here(name, day(ages.expires) if ages else None)
            people[name] = replace(people[name], jails=people[name].jails or jails)
        except _MissingError as error:
            missing[name] = error
        except JailsshError as error:
            errors += parts(error)
    raise_all(errors)
    here = {path: each for path, each in files.items() if owner_of(path) not in missing}
    return Archive(here, {}, people), missing


class _MissingError(UsageError):
    """An account is neither on this host nor described."""


def _as_here(name: str, expires: int | None) -> CarriedAccount:
    entry = accounts.find(name)
    if entry is None:
        hint = f"make it: jailssh adduser {name} …; or describe it in {ACCOUNTS}/{name}.conf of the bundle"
        raise _MissingError(f"account {name}", "does not exist on this host; its files were left alone", hint=hint)
    home = entry.home.rstrip("/") or "/"
    return CarriedAccount(name, entry.uid, entry.gid, group=entry.group, home=home, expires=expires)


def _kept(layout: Layout, name: str) -> bytes | None:
    path = f"{layout.bundles}/{name}"
    return fs.read_trusted(path, bundles.MAX_BUNDLE) if os.path.lexists(path) else None


def _is_older(layout: Layout, serial: int, digest: str, source: str) -> bool:
    """True for a bundle that is older than one that was begun here; raises for another one with the same serial."""
    data = _kept(layout, _NEWEST)
    if data is None:
        return False
    path = f"{layout.bundles}/{_NEWEST}"
    try:
        known = json.loads(data)
        newest, sha256 = int(known["serial"]), str(known["sha256"])
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise ValueError(sha256)
    except (ValueError, KeyError, TypeError) as error:
        hint = f"remove it only if this bundle is certainly the newest: rm {path}"
        raise ConfigError(path, "is damaged", hint=hint) from error
    if serial == newest and digest != sha256:
        why = f"has serial {serial}, as another bundle that this host has had"
        raise DeniedError(source, why, hint="two people have signed at once: sign one of both, with a higher --serial")
    return serial < newest


def _keep(layout: Layout, data: bytes, before: bytes | None, fault: Fault) -> None:
    """Have ``data`` be the last bundle, and ``before`` the previous one, if it is another description."""
    if before is not None:
        fs.atomic_write(f"{layout.bundles}/{_PREVIOUS}", before, mode=0o600)
    fault("bundle: previous kept")
    fs.atomic_write(f"{layout.bundles}/{_LAST}", data, mode=0o600)
    fault("bundle: kept")


def _described(data: bytes, source: str) -> str:
    return bundles.description_digest(bundles.read(bundles.split(data, source)[0], source))


def _write_newest(layout: Layout, bundle: bundles.Bundle, digest: str) -> None:
    text = json.dumps({"serial": bundle.serial, "sha256": digest, "time": bundle.time})
    fs.atomic_write(f"{layout.bundles}/{_NEWEST}", text.encode(), mode=0o600)
