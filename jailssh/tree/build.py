"""``build``: from a merged spec to a stand-alone tree, or to what would have to be done for it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from jailssh.closure.elf_cache import ElfCache
from jailssh.closure.errors import ImageError, SourceChangedError
from jailssh.closure.manifest import Entry, EntryMap, Manifest, dir_entry, inputs_digest
from jailssh.closure.sources import Sources
from jailssh.core.names import HostPath, JailPath, below, directory_of, escape
from jailssh.files import fs
from jailssh.jailspec.errors import raise_all
from jailssh.jailspec.merge import Spec
from jailssh.tree import target as targets
from jailssh.tree.remembered import State, look, mark, with_more
from jailssh.tree.target import Action, Target, TreeChange, TreePlan

if TYPE_CHECKING:  # What a plugin may say takes as long to import as all else.
    from jailssh.files.editor import TreeEditor
    from jailssh.plugin.api import ImageNeeds
    from jailssh.tree.statements import Choices

_RETRIES = 3
_LD_CONF = JailPath("/etc/ld.so.conf")
_LD_CACHE = JailPath("/etc/ld.so.cache")


@dataclass(frozen=True)
class Options:
    """What the command line says beside specs and target; see ``jailssh build --help``."""

    allow_missing: bool = False
    skip_devices: bool = False
    insecure: bool = False
    prune: bool = False
    reflink: bool = False
    dry_run: bool = False
    quiet_runs: bool = False


@dataclass(frozen=True)
class Built:
    """What a build did, or would do.

    ``changes``: those that do something; ``left`` what earlier builds put there and the spec no longer has;
    ``kept`` those of them that were changed since or are not empty, and so were not pruned.  ``runs``: the commands.
    """

    changes: TreePlan | tuple[()] = ()
    left: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    count: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Listeners:
    """``waiting`` is told the process id of another builder, ``planned`` how much there is to do, ``told`` of each."""

    waiting: Callable[[int], None] | None = None
    planned: Callable[[int], None] | None = None
    told: Callable[[TreeChange], None] | None = None
    running: Callable[[str], None] | None = None


def build(
    spec: Spec,
    target: Target,
    options: Options,
    *,
    profiles: Mapping[str, Sequence[tuple[str, ImageNeeds]]] | None = None,
    facts: ElfCache | None = None,
    listeners: Listeners | None = None,
) -> Built:
    """Make the tree at ``target`` what ``spec`` says, and tell what that took.

    A new tree grows beside its place and appears whole; one that is there is changed file by file, new beside old.
    Errors of the spec, of the host and of what is in the way are raised before anything is written.
    """
    return _Build(spec, target, options, profiles or {}, facts or ElfCache(), listeners or Listeners()).run()


class _Build:
    def __init__(
        self,
        spec: Spec,
        target: Target,
        options: Options,
        profiles: Mapping[str, Sequence[tuple[str, ImageNeeds]]],
        facts: ElfCache,
        listeners: Listeners,
    ) -> None:
        self._spec = spec
        self._target = target
        self._options = options
        self._facts = facts
        self._listeners = listeners
        self._profiles = profiles
        self._runs = tuple(run.command for run in spec.runs)
        self._inputs = inputs_digest(
            [spec.statements, self._runs, options.allow_missing, options.skip_devices, options.insecure, profiles]
        )
        self._owned = os.geteuid() == 0
        self._state: State | None = None
        self._left = EntryMap()

    def run(self) -> Built:
        """Do it."""
        if self._spec.errors:
            self._tell_all()
        self._target.check()
        if self._options.dry_run:
            return self._run()
        with self._target.locked(self._listeners.waiting):
            done = self._run()
        self._facts.save()
        return done

    def _tell_all(self) -> None:
        """Raise the errors of the spec with those that the host has for the rest of it."""
        from jailssh.tree.statements import resolve_statements

        try:
            resolve_statements(self._spec.statements, self._sources(), self._choices(), self._spec.errors)
        except SourceChangedError:
            raise_all(self._spec.errors)

    def _sources(self) -> Sources:
        return Sources(facts=self._facts, insecure=self._options.insecure)

    def _choices(self) -> Choices:
        from jailssh.tree.statements import Choices

        options = self._options
        return Choices(options.allow_missing, options.skip_devices, options.insecure, self._profiles)

    def _run(self) -> Built:
        exists = os.path.lexists(self._target.path)
        self._state = self._target.state() if exists else None
        if self._state and self._is_done(self._state):
            return Built(notes=self._state.notes, count=self._state.count, bytes=self._state.bytes)
        for _ in range(_RETRIES):
            with suppress(SourceChangedError):
                return self._once(exists)
        return self._once(exists)

    def _is_done(self, state: State) -> bool:
        nothing_left = not (state.left and self._options.prune)
        return nothing_left and self._target.is_current(state, self._inputs)

    def _once(self, exists: bool) -> Built:
        # Imported here and below: they take longer than a whole run that finds nothing to do.
        from jailssh.files.editor import TreeEditor
        from jailssh.tree.statements import resolve_statements

        manifest = resolve_statements(self._spec.statements, self._sources(), self._choices())

        def is_another(entry: Entry) -> bool:
            now = manifest.get(entry.path)
            return now is None or now.identity != entry.identity

        known = self._target.manifest(is_another) if exists else None
        old = known if known is not None else EntryMap()
        if not exists and self._options.dry_run:
            return self._result(manifest, _all_new(manifest), self._runs)
        with self._tree(exists) as (root, path):
            editor = TreeEditor(root, owned=self._owned, fresh=not exists, reflink=self._options.reflink)
            try:
                if known is not None and self._state is None and not self._options.dry_run:
                    targets.clean_up(editor, manifest.entries, old)
                plan = _all_new(manifest)
                if exists:
                    prune = self._options.prune
                    plan = targets.compare(
                        editor,
                        manifest,
                        old,
                        self._untouched(known),
                        owned=self._owned,
                        prune=prune,
                        is_implied=partial(_is_implied, manifest),
                        unfinished=known is not None and self._state is None,
                    )
                runs = self._due(plan, exists)
                if self._options.dry_run:
                    return self._result(manifest, plan, runs)
                self._change(editor, root, path, manifest, plan, old, runs, exists)
            finally:
                editor.close()
        self._remember(manifest, plan)
        return self._result(manifest, plan, runs)

    def _untouched(self, known: EntryMap | None) -> targets.Untouched:
        """Return what tells of a path that a run put there whether it looks as then; of others it says no."""
        seen = self._target.seen() if self._state and known is not None else None
        if seen is None:
            return lambda _: False

        def untouched(path: JailPath) -> bool:
            before = seen.get(path)
            now = look(below(self._target.path, path)) if before else None
            return now is not None and before == mark(now)

        return untouched

    def _due(self, plan: TreePlan, exists: bool) -> tuple[str, ...]:
        """Return the commands to run: all of them after any change, none when nothing has changed."""
        changed = len(plan) or not exists or self._state is None or self._state.runs != self._runs
        return self._runs if changed else ()

    @contextmanager
    def _tree(self, exists: bool) -> Iterator[tuple[int, HostPath]]:
        """Open the tree to work on; a new one gets its name at the end and vanishes on an error."""
        from jailssh.files import tree

        if exists:
            with self._target.root(self._target.path) as root:
                yield root, self._target.path
            return
        head, name = directory_of(self._target.path), os.path.basename(self._target.path)
        with self._target.root(self._target.beside) as beside, self._target.root(head) as above:
            fs.remove_tree(beside, "tree")
            try:
                root = tree.make_staging(beside, "tree")
                try:
                    yield root, self._target.staging
                finally:
                    os.close(root)
                tree.publish(beside, "tree", name, above)
            except OSError as error:
                raise fs.failed("build", self._target.path, error) from error
            finally:
                fs.remove_tree(beside, "tree")

    def _change(
        self,
        editor: TreeEditor,
        root: int,
        path: HostPath,
        manifest: Manifest,
        plan: TreePlan,
        old: EntryMap,
        runs: Sequence[str],
        exists: bool,
    ) -> None:
        from jailssh.files import beneath
        from jailssh.image.build import make_cache

        if self._listeners.planned:
            self._listeners.planned(len(plan))
        self._left = EntryMap(entry for entry in old if manifest.get(entry.path) is None)
        if exists:
            self._target.begin(_mapped(manifest), self._left)
        targets.apply(editor, plan, self._listeners.told)
        self._run_all(runs, path)
        if len(plan) and self._owned and manifest.get(_LD_CONF):
            make_cache(root, path)
        if not exists:
            # Nobody asks whose everything is in a tree that has no name yet.
            with _while_syncing(root):
                self._target.begin(_mapped(manifest), self._left)
        elif len(plan) or runs:
            beneath.sync_file_system(root)

    def _run_all(self, runs: Sequence[str], path: HostPath) -> None:
        from jailssh.host import shell

        for run, command in zip(self._spec.runs, runs, strict=False):
            if self._listeners.running:
                self._listeners.running(command)
            code = shell.run_command(command, path, {"JAIL": path}, quiet=self._options.quiet_runs)
            if code:
                raise ImageError(run.origin.place, f"status {code} of: {escape(command, 200)}")

    def _remember(self, manifest: Manifest, plan: TreePlan) -> None:
        # What is left now is of what was left when the run began.
        if len(plan.left) != len(self._left):
            self._target.begin(_mapped(manifest), plan.left)
        cache = [_LD_CACHE] if manifest.get(_LD_CONF) and manifest.get(_LD_CACHE) is None else []
        numbers = (len(manifest.entries), manifest.bytes, len(plan.left))
        state = State(self._inputs, manifest.notes, self._runs, *numbers)
        self._target.finish(state, manifest.watch, with_more(_mapped(manifest), cache))

    def _result(self, manifest: Manifest, plan: TreePlan, runs: Sequence[str]) -> Built:
        left = tuple(sorted(entry.path for entry in plan.left))
        count, size = len(manifest.entries), manifest.bytes
        said = [
            f"{escape(path)} stays whose and as it is in the tree: the spec says nothing about it"
            for path in plan.others
        ]
        notes = (*manifest.notes, *said)
        return Built(plan, left, tuple(sorted(plan.kept)), notes, tuple(runs), count, size)


@contextmanager
def _while_syncing(root: int) -> Iterator[None]:
    """Write the file system of ``root`` to disk while the block runs."""
    from jailssh.files import beneath

    errors: list[OSError] = []

    def sync() -> None:
        try:
            beneath.sync_file_system(root)
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=sync)
    try:
        thread.start()
    except RuntimeError:  # There may be no more of them.
        sync()
    try:
        yield
    finally:
        if thread.ident is not None:
            thread.join()
    if errors:
        raise errors[0]


def _is_implied(manifest: Manifest, path: JailPath) -> bool:
    """True for a directory that only what is in it needs, of which nothing else is said."""
    from jailssh.tree.layout import IMPLIED

    if not isinstance(manifest.entries, EntryMap):
        return False
    entry, weight = manifest.entries.pair(path)
    return entry is not None and weight == IMPLIED and entry.identity == dir_entry(path, "").identity


def _mapped(manifest: Manifest) -> EntryMap:
    return manifest.entries if isinstance(manifest.entries, EntryMap) else EntryMap(manifest.entries)


def _all_new(manifest: Manifest) -> TreePlan:
    plan = TreePlan(manifest.entries)
    plan.add(Action.CREATE, len(manifest.entries))
    return plan
