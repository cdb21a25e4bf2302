"""One statement for each path, by one rule.

The last wins; what is written in a spec beats what a section says, whatever their order.  Two kinds of thing at one
path are an error unless the later statement says ``override``.  Directories above are implied, 0755 and root's.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from jailssh.core.names import JailPath, escape
from jailssh.jailspec.errors import Note, SpecError, raise_all
from jailssh.jailspec.load import Read, Real, Source, load
from jailssh.jailspec.statements import Directory, Origin, Run, Statement, Symlink, claim

# Nothing lies below these.
_LEAVES = ("file", "hard link", "device")


@dataclass(frozen=True)
class Spec:
    """What all sources say together.

    ``statements`` in the order of the sources, each path at most once.  ``parents``: the implied directories, sorted;
    the weakest of all, since on the host such a path may be a link that the jail keeps.  ``runs`` in order, for the
    end.  ``errors``: of what could not be read; then the statements are good for finding more errors, and no more.
    """

    statements: tuple[Statement, ...]
    parents: tuple[Directory, ...] = ()
    runs: tuple[Run, ...] = ()
    notes: tuple[Note, ...] = ()
    errors: tuple[SpecError, ...] = ()


@dataclass(frozen=True)
class _Claim:
    statement: Statement
    kind: str

    @property
    def override(self) -> bool:
        return bool(getattr(self.statement, "override", False))


def read_spec(
    sources: Sequence[Source],
    read: Read,
    *,
    real: Real = posixpath.normpath,
    jk_init: str | None = None,
    profiles: Collection[str] = (),
    first_wins: bool = False,
    tolerant: bool = False,
) -> Spec:
    """Read and merge; see :func:`jailssh.jailspec.load.load`.

    ``tolerant``: errors are not raised but returned with what could be read.
    ``first_wins``: jailtime's rule: the first statement for a path counts, a later one of whatever kind does not.
    All errors of all files are raised together: :class:`SpecError`, or ManyErrors for several.
    """
    loaded = load(sources, read, real=real, jk_init=jk_init, profiles=profiles)
    merged, errors = merge(loaded.statements, first_wins=first_wins)
    found = (*loaded.errors, *errors)
    if not tolerant:
        raise_all(found)
    return replace(merged, notes=tuple(dict.fromkeys((*loaded.notes, *merged.notes))), errors=found)


def merge(statements: Sequence[Statement], *, first_wins: bool = False) -> tuple[Spec, list[SpecError]]:
    """Return what the statements, in order, say together, and the conflicts in it."""
    merger = _Merger(first_wins)
    for statement in statements:
        merger.add(statement)
    spec = Spec(merger.rest, merger.parents(), tuple(merger.runs), tuple(merger.notes))
    return spec, merger.errors


class _Merger:
    def __init__(self, first_wins: bool) -> None:
        self._first_wins = first_wins
        self._claims: dict[JailPath, _Claim] = {}
        # Everything but runs in order: the key is the claimed path, or the statement itself.
        self._order: dict[object, Statement] = {}
        self.runs: list[Run] = []
        self.notes: list[Note] = []
        self.errors: list[SpecError] = []

    @property
    def rest(self) -> tuple[Statement, ...]:
        return tuple(self._order.values())

    def add(self, statement: Statement) -> None:
        """Take the next statement."""
        if isinstance(statement, Run):
            self.runs.append(statement)
            return
        claimed = claim(statement)
        if claimed is None:
            self._put(statement, statement)
            return
        path, kind = claimed
        new = _Claim(statement, kind)
        old = self._claims.get(path)
        if old and not self._wins(path, old, new):
            return
        self._claims[path] = new
        self._put(path, statement)

    def _put(self, key: object, statement: Statement) -> None:
        """Remember the statement at the end: among patterns and trees too the last counts."""
        old = self._order.pop(key, None)
        weaker = old is not None and old.origin.strength > statement.origin.strength
        self._order[key] = old if old is not None and weaker else statement

    def _wins(self, path: JailPath, old: _Claim, new: _Claim) -> bool:
        """True if the new statement takes the old one's place; tells what happens when they differ."""
        before, after = old.statement.origin, new.statement.origin
        if after.strength != before.strength:
            wins = after.strength > before.strength
        else:
            wins = not self._first_wins or new.override
            if old.kind != new.kind and wins and not new.override:
                why = f"{escape(path)} is a {new.kind} here, but a {old.kind} in {before.place}"
                hint = "take one of them out, or add 'override' to the one that counts"
                self.errors.append(SpecError(after, why, hint=hint))
        if old.statement != new.statement:
            self._overridden(path, *((before, after) if wins else (after, before)))
        return wins

    def _overridden(self, path: JailPath, loser: Origin, winner: Origin) -> None:
        self.notes.append(Note(winner, f"{escape(path)}: counts instead of {loser.place}", verbose=True))

    def parents(self) -> tuple[Directory, ...]:
        """Return the implied directories; something below what is no directory is an error."""
        found: dict[JailPath, Directory] = {}
        for path, held in self._claims.items():
            for above in _above(path):
                top = self._claims.get(above)
                if top and top.kind in _LEAVES:
                    why = f"{escape(path)} cannot lie below {escape(above)}"
                    where = f"{escape(above)} is a {top.kind} in {top.statement.origin.place}"
                    self.errors.append(SpecError(held.statement.origin, why, hint=where))
                elif not top and above not in found:
                    found[above] = Directory(above, implied=True, origin=held.statement.origin)
                if top and isinstance(top.statement, Symlink):
                    break
        return tuple(found[path] for path in sorted(found))


def _above(path: str) -> list[JailPath]:
    """Return the directories above a path without ``/``, the nearest first."""
    parts = path.split("/")
    return [JailPath("/".join(parts[:end])) for end in range(len(parts) - 1, 1, -1)]
