"""The images of jails, for one run: found or built, each looked for once, and those that nothing needs removed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace

from jailssh.closure.sources import HostSources
from jailssh.core.names import HostPath, JailPath
from jailssh.host.paths import Layout
from jailssh.image import pool
from jailssh.image.history import read_history
from jailssh.image.store import BuildResult, Wanted, adopt, current_image, ensure_image
from jailssh.jail.configuration import Configuration
from jailssh.jail.definition import JailDefinition
from jailssh.plan.view import RESERVED
from jailssh.publish import plan_files

STANDARD_TOPS = tuple(map(JailPath, ("/home", "/mnt", "/opt", "/srv", "/var")))
"""First components that every image has as mount points; others are added when the first account needs them."""


class Images:
    """Finds and builds images.  What was found is believed for ``trust`` seconds without a look at the host's files.

    Jails whose images need the same get the same tree; with trust it is looked for once.  ``host``: what is read for
    one image serves the next as well, for one run that takes seconds.  ``hold_later``: whoever publishes calls
    :func:`hold` afterwards, where others do not wait for it.
    """

    def __init__(
        self, layout: Layout, trust: float = 0.0, host: HostSources | None = None, *, hold_later: bool = False
    ) -> None:
        self._layout = layout
        self.hold_later = hold_later
        self._trust = trust
        self._host = host
        self._seen: dict[str, tuple[str, float, BuildResult]] = {}
        self._made: dict[tuple[str, tuple[str, ...]], tuple[float, BuildResult]] = {}

    def wanted(self, definition: JailDefinition, tops: Sequence[JailPath] = ()) -> Wanted:
        """Return what the jail's image shall hold: all that it needs and a mount point for each of ``tops``."""
        # An image keeps the mount points that accounts needed before, so that they do not build it in turns.
        kept = _mount_points(current_image(self._layout, definition.name))
        return Wanted(definition.needs(), tuple(sorted({*STANDARD_TOPS, *tops, *kept})))

    def ensure(self, definition: JailDefinition, tops: Sequence[JailPath] = (), *, unpin: bool = False) -> BuildResult:
        """Return the jail's image with all that it needs, built if needed.  ``unpin``: see :func:`ensure_image`."""
        now, jail = time.monotonic(), definition.name
        wanted = self.wanted(definition, tops)
        inputs = wanted.inputs
        known = self._seen.get(jail)
        current = current_image(self._layout, jail)
        if known and known[0] == inputs and known[1] > now and known[2].path == current and not unpin:
            return known[2]
        result = self._take(definition, wanted, inputs, unpin)
        # Its mount points are among the needs from now on.
        after = self.wanted(definition, tops).inputs
        self._seen[jail] = (after, now + self._trust, replace(result, changed=False))
        return result

    def _take(self, definition: JailDefinition, wanted: Wanted, inputs: str, unpin: bool) -> BuildResult:
        now, jail = time.monotonic(), definition.name
        pinned = read_history(self._layout, jail).pinned and not unpin
        # Rules that run the same programs need not be verified twice.
        key = (inputs, definition.programs())
        made = self._made.get(key)
        if made and made[0] > now and not pinned and (result := adopt(self._layout, jail, made[1])):
            return result
        result = ensure_image(
            self._layout,
            jail,
            wanted.needs,
            extra_dirs=wanted.extra_dirs,
            verify=definition.verify,
            unpin=unpin,
            host=self._host,
        )
        if not pinned:
            self._made[key] = (now + self._trust, result)
        return result


def prune_images(configuration: Configuration, only: Sequence[str] | None = None) -> pool.Pruned:
    """Remove the generations that nothing needs, or those of ``only``; see :func:`jailssh.image.pool.prune`."""
    layout = configuration.layout
    # No plan may come to use a generation between the look and its removal.
    with plan_files.locked(layout):
        return pool.prune(layout, plan_files.images_in_use(layout), configuration.main.keep_generations, only)


def _mount_points(image: HostPath | None) -> list[JailPath]:
    """Return the directories in the root of an image that may have been put there as mount points."""
    if image is None:
        return []
    with os.scandir(image) as entries:
        names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return [JailPath(f"/{name}") for name in names if name not in RESERVED]
