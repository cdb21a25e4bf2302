"""Images follow the host: new generations where something changed, nothing at all where nothing did.

A running session keeps the generation that it has.  A jail whose update fails keeps its old generation, the journal
says why, and a mark stays for ``jailssh image list``.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jailssh.closure.sources import unchanged
from jailssh.core import journal_fields as fields
from jailssh.core.closed import Word
from jailssh.core.errors import ConfigError, HostError, JailsshError, ManyErrors
from jailssh.core.journal_fields import Event
from jailssh.core.names import HostPath
from jailssh.files import fs
from jailssh.host import journal
from jailssh.host.paths import Layout
from jailssh.image import pool
from jailssh.image.history import clear_failed, mark_failed, read_history
from jailssh.image.store import current_image, new_host
from jailssh.jail.configuration import Configuration, NotJailedError
from jailssh.jail.definition import JailDefinition
from jailssh.plan.codec import Plan
from jailssh.publish import entered, plan_files
from jailssh.publish.images import Images, prune_images
from jailssh.publish.plan_files import plans_by_image
from jailssh.publish.publish import PlanChange, publish_and_tidy

_FORMAT = 1
_LIMIT = 256 << 20
# One run looks at each set of needs once.
_TRUST = 3600.0


class State(Word):
    """What became of a jail; ``held``: an administrator went back to this generation; ``gone``: there is none now."""

    CURRENT = "current"
    UPDATED = "updated"
    HELD = "held"
    GONE = "gone"
    FAILED = "failed"


@dataclass(frozen=True)
class Updated:
    """What became of one jail.

    ``lines`` say why; ``plans`` were published anew.
    """

    jail: str
    state: State
    generation: str = ""
    lines: tuple[str, ...] = ()
    plans: int = 0


def update(configuration: Configuration, names: Sequence[str] | None = None) -> list[Updated]:
    """Bring the images of the jails ``names`` up to date with this host, of all that have one for None.

    A jail that is named is no longer held at an older generation.  Raises :class:`ConfigError` for a name that is no
    jail; what fails otherwise is in the result and does not stop the others.
    """
    layout = configuration.layout
    for jail in names or ():
        if not is_known(configuration, jail):
            configuration.definition(jail.split("+"))
    images = Images(layout, _TRUST, new_host(layout))
    fs.ensure_dir(layout.images, 0o755)
    with fs.lock(f"{layout.images}/.update.lock"):
        jails = [jail for jail in pool.jails_with_images(layout) if pool.current_generation(layout, jail)]
        jails = jails if names is None else list(dict.fromkeys(names))
        if names is None and _nothing_changed(configuration, images, jails):
            return [_idle(layout, jail) for jail in jails]
        results = [_update(configuration, images, jail, named=names is not None) for jail in jails]
        results = _publish_plans(configuration, images, results)
        for result in results:
            _note(layout, result)
        prune_images(configuration)
        if names is None and not any(result.state in (State.FAILED, State.GONE) for result in results):
            _save(configuration, images, results)
    return results


def _idle(layout: Layout, jail: str) -> Updated:
    generation = pool.current_generation(layout, jail) or ""
    return Updated(jail, State.HELD if read_history(layout, jail).pinned else State.CURRENT, generation)


def is_known(configuration: Configuration, jail: str) -> bool:
    """True if ``jail`` is one, or the union of several, whatever else is wrong with them."""
    known = {*configuration.documents, *configuration.registry.plugins, *configuration.registry.broken}
    return known.issuperset(jail.split("+"))


def _definition(configuration: Configuration, jail: str) -> JailDefinition | None:
    """Return the definition of a jail or of the union that its name stands for; None if a part is no jail any more."""
    return configuration.definition(jail.split("+")) if is_known(configuration, jail) else None


def _update(configuration: Configuration, images: Images, jail: str, *, named: bool) -> Updated:
    layout = configuration.layout
    begun = time.monotonic()
    try:
        old = pool.current_generation(layout, jail) or ""
        definition = _definition(configuration, jail)
        if definition is None:
            return Updated(jail, State.GONE, old, ("jail no longer exists; to remove its images: jailssh image gc",))
        if read_history(layout, jail).pinned and not named:
            return Updated(jail, State.HELD, old)
        result = images.ensure(definition, unpin=named)
    except ConfigError as error:
        if not named and _is_left_over(layout, jail):
            return Updated(
                jail, State.GONE, old, (f"unused and unusable: {error}; to remove its images: jailssh image gc",)
            )
        return Updated(jail, State.FAILED, old, tuple(_reasons(error)))
    except JailsshError as error:
        return Updated(jail, State.FAILED, old, tuple(_reasons(error)))
    if result.generation == old:
        return Updated(jail, State.CURRENT, old)
    journal.record(
        Event.IMAGE_BUILT,
        f"image {result.generation} of jail {jail} built",
        {
            fields.JAIL: jail,
            fields.IMAGE: result.generation,
            fields.DURATION: str(int((time.monotonic() - begun) * 1e6)),
        },
    )
    return Updated(jail, State.UPDATED, result.generation)


def is_gone(configuration: Configuration, jail: str) -> bool:
    """True if only its image knows of a jail that no account has: it, or a union of several, cannot be any more."""
    if not is_known(configuration, jail):
        return True
    try:
        configuration.definition(jail.split("+"))
    except ConfigError:
        return "+" in jail
    return False


def _is_left_over(layout: Layout, jail: str) -> bool:
    """True if ``jail`` is a union of several that no account has: only its image knows of it."""
    if "+" not in jail:
        return False
    return not any(plan.first("jail") == (jail,) for plans in plans_by_image(layout).values() for plan in plans)


def _publish_plans(configuration: Configuration, images: Images, results: list[Updated]) -> list[Updated]:
    """Give every plan of these jails the current image."""
    plans: dict[str, list[Plan]] = {}
    for plan in (plan for rows in plans_by_image(configuration.layout).values() for plan in rows):
        plans.setdefault((plan.first("jail") or ("",))[0], []).append(plan)
    done = []
    for result in results:
        if result.state in (State.CURRENT, State.UPDATED):
            count, lines = _publish(configuration, images, plans.get(result.jail, []))
            result = replace(result, plans=count, lines=tuple(lines), state=State.FAILED if lines else result.state)
        done.append(result)
    return done


def _publish(configuration: Configuration, images: Images, plans: Sequence[Plan]) -> tuple[int, list[str]]:
    """Publish those of ``plans`` that use another image than their jail's; return their number and what went wrong."""
    count, lines = 0, []
    # A shared account has several plans, which are published together.
    behind = dict.fromkeys(plan.uid for plan in plans if _is_behind(configuration, plan))
    for uid in behind:
        try:
            account = configuration.host.find_account(uid)
            if account is not None:
                publish_and_tidy(configuration, account, images)
                count += 1
        except NotJailedError:
            continue  # jailssh apply withdraws the plan; until then the old one holds.
        except JailsshError as error:
            lines += _reasons(error)
    entries: list[PlanChange] = []
    if any(uid in behind for uid, _ in plan_files.entries(configuration.layout)):
        for failed in entered.publish_entries(configuration, entries, images, behind):
            lines += _reasons(failed)
    return count + len(entries), lines


def _is_behind(configuration: Configuration, plan: Plan) -> bool:
    (jail,), (image,) = plan.first("jail") or ("",), plan.first("image") or ("",)
    return image != current_image(configuration.layout, jail)


def _reasons(error: JailsshError) -> list[str]:
    return [str(each) for each in (error.errors if isinstance(error, ManyErrors) else [error])]


def publish_plans(configuration: Configuration, jail: str) -> tuple[int, list[str]]:
    """Give every plan of the jail its current image; return how many were published and what went wrong."""
    plans = [plan for rows in plans_by_image(configuration.layout).values() for plan in rows]
    mine = [plan for plan in plans if plan.first("jail") == (jail,)]
    return _publish(configuration, Images(configuration.layout, _TRUST), mine)


def _note(layout: Layout, result: Updated) -> None:
    if result.state != State.FAILED:
        clear_failed(layout, result.jail)
        return
    mark_failed(layout, result.jail, list(result.lines))
    journal.record(
        Event.IMAGE_FAILED,
        f"jail {result.jail} keeps image {result.generation or 'none'}: {'; '.join(result.lines)}",
        {fields.JAIL: result.jail, fields.IMAGE: result.generation, fields.REASON: "build-failed"},
    )


def _state_path(layout: Layout) -> str:
    return f"{layout.images}/.update.json"


def _inputs(configuration: Configuration, images: Images, jails: Sequence[str]) -> dict[str, list[str]] | None:
    """Return needs and generation of every jail that is updated; None if that cannot be said."""
    found: dict[str, list[str]] = {}
    for jail in jails:
        if read_history(configuration.layout, jail).pinned:
            continue
        try:
            definition = _definition(configuration, jail)
            if definition:
                generation = pool.current_generation(configuration.layout, jail) or ""
                found[jail] = [images.wanted(definition).inputs, generation]
        except JailsshError:
            return None
    return found


def _nothing_changed(configuration: Configuration, images: Images, jails: Sequence[str]) -> bool:
    """True if needs, generations and host are as the last run that did all left them."""
    layout = configuration.layout
    try:
        data: dict[str, Any] = json.loads(
            fs.read_trusted(_state_path(layout), _LIMIT, trusted_root=layout.root or None)
        )
        if data["format"] != _FORMAT or data["jails"] != _inputs(configuration, images, jails):
            return False
        watch = {path: None if old is None else tuple(old) for path, old in data["watch"].items()}
    except (HostError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    return unchanged(watch) and not any(os.path.exists(f"{layout.images}/{jail}/failed.json") for jail in jails)


def _save(configuration: Configuration, images: Images, results: Sequence[Updated]) -> None:
    """Remember what all images rest on, each path once, so that the next run can tell in one look."""
    layout = configuration.layout
    jails = _inputs(configuration, images, [result.jail for result in results])
    watch: dict[HostPath, Any] = {}
    for inputs, generation in {(row[0], row[1]) for row in (jails or {}).values()}:
        known = pool.read_summary(layout, generation, inputs)
        if known is None or not _agree(watch, known.watch):
            return
        # Of two answers about a directory, the longer one was about what it lists too.
        watch.update({path: now for path, now in known.watch.items() if len(now or ()) >= len(watch.get(path) or ())})
    data = json.dumps({"format": _FORMAT, "jails": jails, "watch": watch}, separators=(",", ":"))
    fs.atomic_write(_state_path(layout), data.encode(), 0o600)


def _agree(first: Mapping[HostPath, Any], second: Mapping[HostPath, Any]) -> bool:
    """True if no path has two answers; one that says more about the same object is no contradiction."""
    shared = first.keys() & second.keys()
    return all(_start(first[path], second[path]) for path in shared)


def _start(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    size = min(len(one), len(other))
    return bool(one[:size] == other[:size])
