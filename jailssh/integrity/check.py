"""What a check is: a collector of facts, a pure judgement of them, and the kinds of findings that may come of it.

A check of a third party is an entry point of the group ``jailssh.checks`` that gives a :class:`Check`; as with plugins
it is not even imported unless ``third_party_checks`` names it.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import KW_ONLY, dataclass, field
from types import MappingProxyType
from typing import Any

from jailssh.core.errors import ConfigError, JailsshError
from jailssh.integrity.finding import Finding, Kind
from jailssh.integrity.scene import Scene

GROUP = "jailssh.checks"

Begin = Callable[[Scene], AbstractContextManager[object]]
"""Starts what answers by itself, in another process, while other checks look; the context ends what is left of it."""

Fix = Callable[[Scene, Sequence[Finding]], list[str]]
"""Mends the findings of one kind, each step with its inverse in the undo journal; returns lines saying what it did."""


@dataclass(frozen=True)
class Check:
    """One check.

    ``collect`` looks at the host and returns facts; ``judge`` is a pure function of them.  What cannot be looked at is
    raised, or noted with :meth:`Scene.unseen` where the rest can still be judged.  ``fixes``: by id, those kinds that
    can be mended without asking.  ``begin`` is entered before the first check looks, and left after the last.
    """

    name: str
    about: str
    kinds: tuple[Kind, ...]
    collect: Callable[[Scene], Any]
    judge: Callable[[Any], Iterable[Finding]]
    _: KW_ONLY
    begin: Begin | None = None
    fixes: Mapping[str, Fix] = field(default_factory=lambda: MappingProxyType({}))


def third_party(names: Collection[str]) -> tuple[list[Check], list[JailsshError]]:
    """Return the checks of others that ``names`` allows, and why those that cannot be used cannot."""
    checks: list[Check] = []
    errors: list[JailsshError] = []
    if not names:
        return checks, errors
    found = {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}
    for name in names:
        what = f"check {name}"
        if name not in found:
            errors.append(ConfigError(what, "is not installed", hint="third_party_checks in jailssh.conf names it"))
            continue
        try:
            check = found[name].load()
        # A third party's module may raise anything, even end the program, and must not take the others down.
        except (Exception, SystemExit) as error:
            errors.append(ConfigError(what, f"cannot be loaded: {type(error).__name__}"))
            continue
        if not isinstance(check, Check) or any(kind.id.startswith("JSH-") for kind in check.kinds):
            why = "is not a check" if not isinstance(check, Check) else "uses ids that begin with JSH-"
            errors.append(ConfigError(what, why, hint="the check is at fault: do not use it"))
            continue
        checks.append(check)
    return checks, errors
