"""Accounts that are gone, or whose name or uid is another's now: what they had is set aside, and lets nobody in.

Without this, whoever gets the name next gets the keys, and whoever gets the uid next the plan.  What lets in goes
first; each step is sound by itself, so an interrupted run is finished by the next one.  Nothing is deleted: it lies
below ``Layout.gone``, root's alone, and the journal says where.  No configuration needs to be right for this.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import cache

from jailssh.core import journal_fields as fields
from jailssh.core.errors import JailsshError, distinct, raise_all
from jailssh.core.identity import Identity, is_same
from jailssh.core.journal_fields import Event
from jailssh.files import fs
from jailssh.host import accounts, install, journal
from jailssh.host.paths import Layout
from jailssh.jail import owners
from jailssh.jail.authorized_keys import MAX_KEYS, keys_file
from jailssh.jail.configuration import names_in
from jailssh.jail.this_host import THIS_HOST, ThisHost
from jailssh.publish import plan_files
from jailssh.publish.publish import PlanChange, withdraw_plan
from jailssh.users import learning, settling


def check(layout: Layout, *, act: bool, host: ThisHost = THIS_HOST) -> tuple[list[PlanChange], list[JailsshError]]:
    """Find the accounts that are gone and, with ``act``, set aside what they had; call under the lock of the set-up.

    Returns what changed, or would, and the errors: an account that cannot be looked up keeps all that it has.
    ``host`` is asked for accounts, once for each.
    """
    if act:
        settling.renames(layout)  # Half renamed, an account would be taken for gone.
    names = _names(layout)
    found: dict[str, PlanChange] = {}
    errors: list[JailsshError] = []
    find = cache(host.find_entry)
    # Most accounts are as they were noted, and local: this is all that is read of them.
    local = [Identity(name, uid) for name, uid in accounts.local_uids().items()]
    as_noted = {each for each in local if each.name in names and _noted(layout, each.name) == each}
    for name in sorted(names - {each.name for each in as_noted}):
        try:
            kept_for = owners.owner(layout, name) or _of_plan(layout, name)
            if kept_for is not None and not is_same(kept_for, find(name)):
                found[name] = set_aside(layout, kept_for, act=act)
        except JailsshError as error:
            errors.append(error)
    for uid in sorted(set(plan_files.planned_uids(layout)) - {each.uid for each in as_noted}):
        plan = plan_files.readable_plan(layout, uid)
        try:
            if plan is not None and plan.name not in found and not is_same(Identity(plan.name, uid), find(plan.name)):
                found[plan.name] = set_aside(layout, Identity(plan.name, uid), act=act)
        except JailsshError as error:
            errors.append(error)
    return list(found.values()), distinct(errors)


def planned_names(layout: Layout) -> dict[str, list[int]]:
    """Return the uids of the plans of each name; for those who ask about many."""
    return plan_files.uids_by_name(layout)


def set_aside_other(
    layout: Layout, name: str, now: accounts.AccountEntry | None, planned: Mapping[str, list[int]] | None = None
) -> list[str]:
    """Set aside what is kept under ``name`` for another account than ``now`` (None: there is none); return lines.

    ``planned``: what :func:`planned_names` returned.
    """
    kept_for = owners.owner(layout, name) or _of_plan(layout, name, planned)
    if kept_for is None or is_same(kept_for, now):
        return []
    change = set_aside(layout, kept_for, act=True)
    return [f"note: {name} was another account (uid {kept_for.uid}): {line.lstrip('- ')}" for line in change.lines]


def set_aside(layout: Layout, kept_for: Identity, *, act: bool) -> PlanChange:
    """Withdraw the plan of ``kept_for`` and put its files aside; return what that is.  Without ``act``, only look.

    What cannot be moved does not stop the rest, and is raised in the end.
    """
    name, uid = kept_for.name, kept_for.uid
    files = _files(layout, name) if _is_kept(layout, kept_for) else {}
    # Who has the uid now keeps what is its own.
    plan = plan_files.readable_plan(layout, uid)
    has_plan = plan is not None and plan.name == name
    folder = f"{layout.gone}/{name}-{uid}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    lines = ["- the plan"] if has_plan else []
    lines += [f"- {', '.join(files.values())}: set aside in {folder}"] if files else []
    if act:
        _act(layout, kept_for, files, folder, has_plan=has_plan)
        text = f"account {name} (uid {uid}) is gone: {'; '.join(line.removeprefix('- ') for line in lines)}"
        journal.record(Event.ACCOUNT_GONE, text, {fields.USER: name, fields.UID: str(uid)})
    return PlanChange(uid, name, "", tuple(lines) or ("- the record of its owner",))


def _act(layout: Layout, kept_for: Identity, files: dict[str, str], folder: str, *, has_plan: bool) -> None:
    errors: list[JailsshError] = []
    if files:
        # The users file is among them, and whose the rest is must be known where the next run goes on.
        owners.note(layout, kept_for)
    for path, kind in files.items():
        try:
            _move(layout, path, f"{folder}/{kind}")
        except JailsshError as error:
            errors.append(error)
    if has_plan:
        withdraw_plan(layout, kept_for.uid)
    if learning.read(layout, kept_for.uid, kept_for.name):
        learning.forget(layout, kept_for.uid)
    raise_all(errors)
    if _is_kept(layout, kept_for):
        install.remove_empty_dir(f"{layout.key_rings}/{kept_for.name}")
        owners.forget(layout, kept_for.name)


def _noted(layout: Layout, name: str) -> Identity | None:
    try:
        return owners.noted(layout, name)
    except JailsshError:
        return None  # Whoever looks closer says what is wrong with it.


def _names(layout: Layout) -> set[str]:
    """Return the names under which something is kept."""
    found = set(names_in(layout, layout.users))
    for folder in (layout.keys, layout.key_rings, layout.owners):
        found.update(names_in(layout, folder, ""))
    return found


def _of_plan(layout: Layout, name: str, planned: Mapping[str, list[int]] | None = None) -> Identity | None:
    """Return whose the one plan with this name is: the only trace of the uid of an account that was never noted."""
    uids = plan_files.uids_of(layout, name) if planned is None else planned.get(name, [])
    return Identity(name, uids[0]) if len(uids) == 1 else None


def _is_kept(layout: Layout, kept_for: Identity) -> bool:
    """True if what is kept under the name is for this account, not for one that has the name besides."""
    return (owners.owner(layout, kept_for.name) or kept_for) == kept_for


def _files(layout: Layout, name: str) -> dict[str, str]:
    """Return what is kept under the name, each path with its name aside: what lets in first, what says whose last.

    The undo journals too: what they would bring back, they would bring to somebody else.
    """
    folder = f"{layout.key_rings}/{name}"
    rings = {f"{folder}/{file}": f"keys.d/{file}" for file in names_in(layout, folder, "")}
    undo = {f"{layout.undo}/{which}-{name}.json": f"undo-{which}.json" for which in ("account", "keys", "lock")}
    found = {keys_file(layout, name): "keys", **rings, **undo, f"{layout.users}/{name}.conf": "users.conf"}
    return {path: kind for path, kind in found.items() if os.path.lexists(path)}


def _move(layout: Layout, path: str, to: str) -> None:
    data = fs.read_trusted(path, MAX_KEYS, trusted_root=layout.root or None)
    for folder in (layout.gone, os.path.dirname(os.path.dirname(to)), os.path.dirname(to)):
        fs.ensure_dir(folder, 0o700, trusted_root=layout.root or None)
    fs.atomic_write(to, data, 0o600)
    fs.remove_file(path)
