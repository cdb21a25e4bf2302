"""Facts about generations for people: which there are, who uses them, what changed between two."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from jailssh.closure.manifest import Entry, Manifest
from jailssh.core.errors import UsageError
from jailssh.core.names import JailPath, escape, same_source
from jailssh.host import packages
from jailssh.host.paths import Layout
from jailssh.image import pool
from jailssh.image.history import Failure, failed_update, read_history
from jailssh.plan.codec import Plan
from jailssh.publish.plan_files import plans_by_image


@dataclass(frozen=True)
class Generation:
    """One generation of one jail.

    ``time``: when it became the jail's (seconds since 1970; 0 is unknown); ``bytes``: of all its files, shared or not.
    ``plans``: accounts whose plans use it.  ``sessions``: process ids, one for each session of this jail's plans or of
    plans that are no more.  ``held``: the jail stays with it until ``jailssh update JAIL``; ``pulled``: since it is one
    that another host has made.
    """

    jail: str
    generation: str
    _: KW_ONLY
    time: int
    bytes: int
    entries: int
    current: bool
    held: bool
    pulled: bool
    plans: tuple[str, ...]
    sessions: tuple[int, ...]
    failure: Failure | None = None


def generations_of(layout: Layout, jail: str | None = None) -> list[Generation]:
    """Return the generations of all jails, or of one, that are still there: the current one first, then by age."""
    users = pool.mounted(layout)
    plans = plans_by_image(layout)
    there = set(pool.generations(layout))
    found: list[Generation] = []
    for name in pool.jails_with_images(layout) if jail is None else [jail]:
        history = read_history(layout, name)
        current = pool.current_generation(layout, name)
        order = [current] if current else []
        order += [each for each in history.generations() if each != current and each in there]
        used = {
            os.path.basename(image) for image, rows in plans.items() if any(_jail_of(plan) == name for plan in rows)
        }
        order += sorted((used & there) - set(order))
        for generation in order:
            rows = [plan for plan in plans.get(pool.tree_path(layout, generation), []) if _jail_of(plan) == name]
            uids = {plan.uid: _jail_of(plan) for each in plans.values() for plan in each}
            sessions = [user.pid for user in users.get(generation, ()) if uids.get(user.uid, name) == name]
            manifest = pool.read_manifest(layout, generation)
            when = [step.time for step in history.steps if step.generation == generation]
            found.append(
                Generation(
                    name,
                    generation,
                    time=when[-1] if when else 0,
                    bytes=manifest.bytes if manifest else 0,
                    entries=len(manifest.entries) if manifest else 0,
                    current=generation == current,
                    held=generation == current and history.pinned,
                    pulled=generation == current and history.pulled,
                    plans=tuple(dict.fromkeys(plan.name for plan in rows)),
                    sessions=tuple(sessions),
                    failure=failed_update(layout, name) if generation == current else None,
                )
            )
    return found


def _jail_of(plan: Plan) -> str:
    return (plan.first("jail") or ("",))[0]


def pick(layout: Layout, jail: str, generation: str | None) -> str:
    """Return the generation of the jail that ``generation`` names or begins, the current one for None."""
    there = [row.generation for row in generations_of(layout, jail)]
    if generation is None:
        current = pool.current_generation(layout, jail)
        if current is None:
            raise UsageError(f"jail {jail}", "has no image", hint="jailssh image list")
        return current
    known = there if any(name.startswith(generation) for name in there) else pool.generations(layout)
    matching = [name for name in known if generation and name.startswith(generation)]
    if len(matching) != 1:
        why = "matches several" if matching else "does not exist"
        raise UsageError(f"generation {escape(generation)}", why, hint=", ".join(matching or there))
    return matching[0]


def manifest_of(layout: Layout, generation: str) -> Manifest:
    """Return a generation's manifest; :class:`UsageError` if it is not there any more."""
    manifest = pool.read_manifest(layout, generation)
    if manifest is None:
        raise UsageError(f"generation {generation}", "manifest is missing", hint="jailssh update")
    return manifest


@dataclass(frozen=True)
class Difference:
    """One path that two generations do not share; ``sign`` is ``+``, ``-`` or ``~``; ``package`` may be ""."""

    sign: str
    path: str
    package: str
    what: str


def difference(old: Manifest, new: Manifest) -> list[Difference]:
    """Return what changed from ``old`` to ``new``, by path, with the package that has the file on this host."""
    before, after = ({entry.path: entry for entry in each.entries} for each in (old, new))
    changed = sorted(
        path
        for path in before.keys() | after.keys()
        if path not in before or path not in after or before[path].identity != after[path].identity
    )
    sources = {path: (after.get(path) or before[path]).source or same_source(path) for path in changed}
    owners = packages.owners(sources.values())
    return [
        Difference(
            "+" if path not in before else "-" if path not in after else "~",
            path,
            owners.get(sources[path], ""),
            _what(before, after, path),
        )
        for path in changed
    ]


def _what(before: Mapping[JailPath, Entry], after: Mapping[JailPath, Entry], path: JailPath) -> str:
    if path not in before or path not in after:
        return ""
    old, new = before[path], after[path]
    if old.kind != new.kind:
        return f"{old.kind} → {new.kind}"
    if old.target != new.target:
        return f"{escape(old.target)} → {escape(new.target)}"
    if old.mode != new.mode:
        return f"mode {old.mode:04o} → {new.mode:04o}"
    return f"{old.size} → {new.size} bytes" if old.size != new.size else "other content"
