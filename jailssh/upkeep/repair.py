"""Damaged images made right again, without a session noticing.

A file gets its content from wherever the host still has it, by its digest: the pool, another tree, the file that it was
copied from.  It is made beside the damaged one and takes its name by rename, first in the store, so that new trees
take the good one, then in every tree (:mod:`jailssh.upkeep.mend`).  Programs that run keep the file that they have
open.
A tree for whose content the host has no source any more is replaced by a new image of its jails.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from jailssh.core.errors import JailsshError, ManyErrors
from jailssh.files import beneath, fs, tree
from jailssh.host.paths import Layout
from jailssh.image import pool, store
from jailssh.image.history import read_history
from jailssh.jail.configuration import Configuration
from jailssh.publish.images import Images, prune_images
from jailssh.publish.plan_files import plans_by_image
from jailssh.upkeep.audit import Audit, Damage, DamageKind, audit, audit_tree
from jailssh.upkeep.mend import Mender
from jailssh.upkeep.update import publish_plans

_ROOM = ".repair"
_TRUST = 3600.0


@dataclass
class Repaired:
    """What a repair did.

    ``left``: what is still not right.  ``rebuilt``: jails that got another image.  ``retired``: generations that no
    jail has or goes back to any more; those of sessions that run stay until these end.  ``errors``: why not.
    """

    left: list[Damage] = field(default_factory=list)
    rebuilt: list[str] = field(default_factory=list)
    retired: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def repair(layout: Layout, damage: Collection[Damage]) -> Repaired:
    """Make right what can be made right from what this host has, and look at it again.

    Raises :class:`HostError` where the file system refuses; what was done until then is good.
    """
    with pool.opened(layout) as trees, _room(layout, trees) as room:
        try:
            mender = Mender(layout, trees, room, damage)
            mender.run()
            beneath.sync_file_system(trees)
            found = Audit()
            for generation in sorted(mender.touched):
                audit_tree(layout, trees, generation, found)
            left = [*found.damage, *mender.faults(), *(one for one in damage if one.kind == DamageKind.IMAGE)]
        except OSError as error:
            raise fs.failed("repair", pool.pool_dir(layout), error) from error
    return Repaired(left, errors=mender.errors)


def rebuild(configuration: Configuration, done: Repaired) -> Repaired:
    """Give other images to the jails whose own could not be repaired, and let go of these.

    A jail that an administrator holds at such a generation keeps it: only ``jailssh update JAIL`` changes that.
    """
    layout = configuration.layout
    bad = {one.where for one in done.left} & set(pool.generations(layout))
    images = Images(layout, _TRUST, store.new_host(layout))
    without = {one.where.removeprefix("jail ") for one in done.left if one.kind == DamageKind.IMAGE}
    for jail in sorted(_affected(layout, bad) | without):
        if read_history(layout, jail).pinned and pool.current_generation(layout, jail):
            done.errors.append(f"jail {jail} is held at an image that cannot be repaired: jailssh update {jail}")
            continue
        try:
            images.ensure(configuration.definition(jail.split("+")))
            errors = publish_plans(configuration, jail)[1]
        except ManyErrors as several:
            errors = [str(error) for error in several.errors]
        except JailsshError as error:
            errors = [str(error)]
        done.errors += [f"jail {jail}: {error}" for error in errors]
        done.rebuilt += [] if errors else [jail]
    _retire(configuration, done, bad)
    return done


def _affected(layout: Layout, bad: Collection[str]) -> set[str]:
    """Return the jails that have one of these generations now, or whose plans do."""
    found = {jail for jail in pool.jails_with_images(layout) if pool.current_generation(layout, jail) in bad}
    for image, users in plans_by_image(layout).items():
        if os.path.basename(image) in bad:
            found |= {(plan.first("jail") or ("",))[0] for plan in users}
    return found


def _retire(configuration: Configuration, done: Repaired, bad: Collection[str]) -> None:
    """Take damaged generations that nobody needs out of the histories, and look at what is left."""
    layout = configuration.layout
    still: list[Damage] = []
    for generation in sorted(bad):
        found = audit(layout, [generation]).damage if generation in pool.generations(layout) else []
        if found and not _affected(layout, [generation]):
            store.drop(layout, generation)
            done.retired.append(generation)
        elif found:
            # Its manifest may have come back just now, and says what belongs there.
            still += repair(layout, found).left
    rebuilt = {f"jail {jail}" for jail in done.rebuilt}
    done.left = [*still, *(one for one in done.left if one.where not in bad and one.where not in rebuilt)]
    prune_images(configuration)


@contextmanager
def _room(layout: Layout, trees: int) -> Iterator[int]:
    """Give a directory in the pool for files that have no other name yet, of one repair at a time."""
    with fs.lock(f"{pool.pool_dir(layout)}/.repair.lock"):
        try:
            fs.remove_tree(trees, _ROOM)
            fd = tree.make_staging(trees, _ROOM)
        except OSError as error:
            raise fs.failed("make", f"{pool.pool_dir(layout)}/{_ROOM}", error) from error
        try:
            yield fd
        finally:
            os.close(fd)
            with suppress(OSError):  # The next repair removes it.
                fs.remove_tree(trees, _ROOM)
