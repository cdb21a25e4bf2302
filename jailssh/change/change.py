"""One change of the set-up, and the templates that it is made from."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources

from jailssh.change.undo import UndoAction
from jailssh.files import fs
from jailssh.host.paths import Layout

LIMIT = 1 << 20


@dataclass(frozen=True)
class Change:
    """One thing that is not as it should be: ``lines`` show it to people, ``act`` mends it, ``inverse`` goes back.

    ``confines``: nobody can do more for it; see :meth:`jailssh.change.transaction.Journal.step`.
    """

    point: str
    lines: tuple[str, ...]
    inverse: UndoAction
    act: Callable[[], object]
    confines: bool = True


def place_of_template(layout: Layout, name: str, folder: str) -> str:
    """Return where a template is: installed below the prefix, or in ``folder`` of the source tree."""
    installed = f"{layout.prefix}/share/jailssh/{name}"
    if os.path.exists(installed):
        return installed
    return os.path.join(os.path.dirname(str(resources.files("jailssh"))), folder, name)


def read_template(layout: Layout, name: str, folder: str) -> str:
    """Return the text of a template; it must be root's."""
    return fs.read_trusted(place_of_template(layout, name, folder), LIMIT).decode("utf-8")
