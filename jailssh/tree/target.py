"""A stand-alone tree: built in the place that the administrator names, changed file by file, remembered beside it.

``/srv/jail`` is described in ``/srv/.jail.jailssh/``: ``manifest.json`` says what the tree is made of, ``state.json``
how it and the host looked when a run was done, ``lock`` is held by the one that builds, ``tree`` is a new tree
before it gets its name.  Nothing of this lies within the tree, where those who live in it could touch it.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from jailssh.closure.errors import ImageError, SourceChangedError
from jailssh.closure.manifest import Entry, Manifest, from_json, tree_order
from jailssh.closure.sources import Watch, open_stamped, stamp_of, unchanged
from jailssh.core.errors import HostError, JailsshError, ManyErrors
from jailssh.core.names import check_absolute, escape
from jailssh.files import fs

if TYPE_CHECKING:
    from jailssh.files.editor import TreeEditor

_FORMAT = 1
_LIMIT = 256 << 20
_SYSTEM = ("bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "opt", "proc", "root", "run")
_SYSTEM_TOO = ("sbin", "srv", "sys", "tmp", "usr", "var", "mnt", "media", "usr/local", "var/lib", "usr/bin", "usr/lib")
SYSTEM_DIRS = frozenset(f"/{name}" for name in (*_SYSTEM, *_SYSTEM_TOO)) | {"/"}

# mode, uid, gid, size, mtime and ctime in nanoseconds, inode
Seen = tuple[int, int, int, int, int, int, int]


@dataclass(frozen=True)
class TreeChange:
    """One thing to do: ``create``, ``replace``, ``attributes`` (of a directory), ``remove`` or ``keep``."""

    action: str
    entry: Entry


@dataclass(frozen=True)
class State:
    """What a finished run left: with the same inputs, the same host and the same tree there is nothing to do.

    ``runs``  the commands that were run.  ``left``: how many entries of earlier runs are still there.
    """

    inputs: str
    watch: Watch
    seen: dict[str, Seen | None]
    notes: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    count: int = 0
    bytes: int = 0
    left: int = 0


@dataclass
class TreePlan:
    """What a build would do: the changes, what stays behind, what is in the way."""

    changes: list[TreeChange]
    left: list[Entry] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)

    @property
    def work(self) -> list[TreeChange]:
        """The changes that do something."""
        return [change for change in self.changes if change.action != "keep"]


class Target:
    """One tree and what is kept beside it.  ``insecure``: others may be able to write to the directories above it."""

    def __init__(self, path: str, *, insecure: bool = False) -> None:
        self.path = check_absolute(path, "target")
        if self.path in SYSTEM_DIRS:
            raise HostError(f"target {self.path}", "a directory of the system", hint="name a directory below it")
        head, name = os.path.split(self.path)
        self._above = head
        self._insecure = insecure
        self.beside = f"{head.rstrip('/')}/.{name}.jailssh"

    @property
    def staging(self) -> str:
        """Where a new tree grows."""
        return f"{self.beside}/tree"

    def check(self) -> None:
        """Refuse a place that others can write to, as sshd does with ChrootDirectory (sshd_config(5))."""
        above = self._above
        while not os.path.lexists(above):
            above = os.path.dirname(above)
        os.close(self._open(above))
        if os.path.lexists(self.path):
            os.close(self._open(self.path))

    @contextmanager
    def locked(self, waiting: Callable[[int], None] | None) -> Iterator[None]:
        """Hold the lock of this tree; ``waiting`` is told who has it."""
        uid, gid = os.geteuid(), os.getegid()
        trusted = self.beside if self._insecure else None
        fs.ensure_dir(self.beside, 0o700, uid, gid, trusted_root=trusted)
        with fs.lock(f"{self.beside}/lock", waiting, trusted_root=trusted):
            yield

    def state(self) -> State | None:
        """Return what the last run left, None if it was not finished or cannot be read."""
        try:
            return _state(json.loads(self._read("state.json")))
        except (HostError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def manifest(self) -> tuple[Manifest, tuple[Entry, ...]] | None:
        """Return the manifest of the last run, finished or not, and what else an earlier one put into the tree."""
        try:
            data = json.loads(self._read("manifest.json"))
            left = from_json(json.dumps(data["left"])).entries
            return from_json(json.dumps(data["manifest"])), left
        except (HostError, ImageError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def _read(self, name: str) -> bytes:
        return fs.read_trusted(f"{self.beside}/{name}", _LIMIT, trusted_root=self.beside if self._insecure else None)

    def _write(self, name: str, text: str) -> None:
        with self.root(self.beside) as beside:
            try:
                fs.atomic_write_at(beside, name, text.encode(), 0o600, os.geteuid(), os.getegid())
            except OSError as error:
                raise fs.failed("write", f"{self.beside}/{name}", error) from error

    def begin(self, manifest: Manifest, left: Sequence[Entry]) -> None:
        """Remember whose everything is before the first change: a run that is killed can then be completed."""
        with self.root(self.beside) as beside:
            fs.remove_tree(beside, "state.json")
        rows = [Manifest(entries).to_json() for entries in (manifest.entries, tuple(left))]
        self._write("manifest.json", f'{{"manifest":{rows[0]},"left":{rows[1]}}}')

    def finish(self, state: State) -> None:
        """Remember that the run is done."""
        row = {
            "format": _FORMAT,
            "inputs": state.inputs,
            "watch": state.watch,
            "seen": state.seen,
            "notes": state.notes,
            "runs": state.runs,
            "numbers": [state.count, state.bytes, state.left],
        }
        self._write("state.json", json.dumps(row, separators=(",", ":")))

    def is_current(self, state: State, inputs: str) -> bool:
        """True if neither what is asked for, nor the host, nor the tree has changed since."""
        return state.inputs == inputs and see(self.path, state.seen) == state.seen and unchanged(state.watch)

    @contextmanager
    def root(self, path: str) -> Iterator[int]:
        """Open the tree."""
        fd = self._open(path)
        try:
            yield fd
        finally:
            os.close(fd)

    def _open(self, path: str) -> int:
        try:
            return fs.open_dir(path, trusted_root=path if self._insecure else None)
        except HostError as error:
            if isinstance(error.__cause__, OSError):
                raise
            hint = "a tree lies where root alone can write; chown and chmod the directory, or use --insecure"
            raise HostError(error.what, error.why, hint=hint) from error


def see(root: str, paths: Any) -> dict[str, Seen | None]:
    """Return the state of each path of a tree as it is now.

    Only compared with what was seen before: a path that somebody has bent shows another inode.
    """
    out: dict[str, Seen | None] = {}
    for path in paths:
        try:
            info = os.lstat(root + path)
        except OSError:
            out[path] = None
            continue
        if stat.S_ISDIR(info.st_mode):
            # What others put into a directory changes its times and says nothing about ours.
            out[path] = (info.st_mode, info.st_uid, info.st_gid, 0, 0, 0, info.st_ino)
        else:
            out[path] = (
                info.st_mode,
                info.st_uid,
                info.st_gid,
                info.st_size,
                info.st_mtime_ns,
                info.st_ctime_ns,
                info.st_ino,
            )
    return out


def _state(data: dict[str, Any]) -> State:
    if data["format"] != _FORMAT:
        raise ValueError(data["format"])
    seen = {path: None if old is None else tuple(old) for path, old in data["seen"].items()}
    watch = {path: None if old is None else tuple(old) for path, old in data["watch"].items()}
    count, size, left = map(int, data["numbers"])
    return State(str(data["inputs"]), watch, seen, tuple(data["notes"]), tuple(data["runs"]), count, size, left)


def compare(
    editor: TreeEditor,
    manifest: Manifest,
    old: Sequence[Entry],
    *,
    owned: bool,
    seen: dict[str, Seen | None] | None = None,
    now: dict[str, Seen | None] | None = None,
    prune: bool = False,
) -> TreePlan:
    """Return what has to be done to the tree; nothing is written.

    ``old``: what earlier runs put there.  ``seen`` and ``now``: the tree after the last run, and at present; what is
    the same in both and in both manifests needs no look inside.  Raises what stands in the way, all together.
    """
    known = {entry.path: entry for entry in old}
    plan = TreePlan([])
    errors: list[JailsshError] = []
    gone: set[str] = set()
    for entry in manifest.entries:
        before = known.get(entry.path)
        if before and before.identity == entry.identity and _untouched(entry.path, seen, now):
            plan.changes.append(TreeChange("keep", entry))
            continue
        try:
            plan.changes.append(TreeChange(_action(editor, entry, gone, owned), entry))
        except OSError as error:
            errors.append(_in_the_way(entry, error))
    wanted = {entry.path for entry in manifest.entries}
    stale = sorted((entry for entry in old if entry.path not in wanted), key=tree_order)
    removed: set[str] = set()
    for entry in reversed(stale):
        if prune and _is_ours(editor, entry, seen, now) and _is_emptied(editor, entry, removed):
            plan.changes.append(TreeChange("remove", entry))
            removed.add(entry.path)
        elif editor.look(entry.path) is not None:
            plan.left.append(entry)
            if prune:
                plan.kept.append(entry.path)
    if len(errors) > 1:
        raise ManyErrors(errors)
    if errors:
        raise errors[0]
    return plan


def _untouched(path: str, seen: dict[str, Seen | None] | None, now: dict[str, Seen | None] | None) -> bool:
    return bool(seen and now and seen.get(path) and seen[path] == now.get(path))


def _in_the_way(entry: Entry, error: OSError) -> JailsshError:
    if error.errno == errno.EXDEV:
        return ImageError(f"{entry.origin}: {escape(entry.path)}", "something is mounted there; the tree ends above it")
    return ImageError(f"{entry.origin}: {escape(entry.path)}", (error.strerror or str(error)).lower())


def _action(editor: TreeEditor, entry: Entry, gone: set[str], owned: bool) -> str:
    """Return what has to be done for one entry; ``gone`` are non-directories that a directory will replace."""
    if any(entry.path.startswith(path + "/") for path in gone):
        return "create"
    info = editor.look(entry.path)
    if info is None:
        return "create"
    if entry.kind == "dir":
        if not stat.S_ISDIR(info.st_mode):
            gone.add(entry.path)
            return "replace"
        return "keep" if _same_attributes(entry, info, owned) else "attributes"
    if stat.S_ISDIR(info.st_mode):
        if editor.names(entry.path):
            raise OSError(errno.ENOTEMPTY, "a directory that is not empty is in the way")
        return "replace"
    return "keep" if _same(editor, entry, info, owned) else "replace"


def _same_attributes(entry: Entry, info: os.stat_result, owned: bool) -> bool:
    owner = (info.st_uid, info.st_gid) == (entry.uid, entry.gid) or not owned
    return stat.S_IMODE(info.st_mode) == entry.mode and owner


def _same(editor: TreeEditor, entry: Entry, info: os.stat_result, owned: bool) -> bool:
    """True if what is there is what the entry says, content included."""
    kind = stat.S_IFMT(info.st_mode)
    if entry.kind == "link":
        return kind == stat.S_IFLNK and editor.read_link(entry.path) == entry.target
    if entry.kind == "hard":
        first = editor.look(entry.target)
        return first is not None and (first.st_dev, first.st_ino) == (info.st_dev, info.st_ino)
    if not _same_attributes(entry, info, owned):
        return False
    if entry.kind in ("file", "text"):
        mtime = entry.stamp[2] if entry.stamp else 0
        plain = kind == stat.S_IFREG and info.st_size == entry.size and info.st_mtime_ns == mtime
        return plain and not _has_attributes(editor, entry.path) and _digest(editor, entry.path) == entry.digest
    kinds = {"char": stat.S_IFCHR, "block": stat.S_IFBLK, "fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK}
    numbers = (os.major(info.st_rdev), os.minor(info.st_rdev))
    return kind == kinds[entry.kind] and (
        kind not in (stat.S_IFCHR, stat.S_IFBLK) or numbers == (entry.major, entry.minor)
    )


def _digest(editor: TreeEditor, path: str) -> str:
    with open(editor.open_file(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _has_attributes(editor: TreeEditor, path: str) -> bool:
    fd = editor.open_file(path)
    try:
        return any(name in ("security.capability", "system.posix_acl_access") for name in os.listxattr(fd))
    except OSError:
        return False
    finally:
        os.close(fd)


def _is_ours(
    editor: TreeEditor, entry: Entry, seen: dict[str, Seen | None] | None, now: dict[str, Seen | None] | None
) -> bool:
    """True if what is there is still what a run put there: then it may be removed."""
    info = editor.look(entry.path)
    if info is None:
        return False
    if entry.kind == "dir":
        return stat.S_ISDIR(info.st_mode)
    if stat.S_ISDIR(info.st_mode):
        return False
    return _untouched(entry.path, seen, now) or _same(
        editor, replace(entry, mode=stat.S_IMODE(info.st_mode)), info, owned=False
    )


def _is_emptied(editor: TreeEditor, entry: Entry, removed: set[str]) -> bool:
    """True unless it is a directory that will still hold something."""
    return entry.kind != "dir" or all(f"{entry.path}/{name}" in removed for name in editor.names(entry.path))


def apply(editor: TreeEditor, plan: TreePlan, told: Callable[[TreeChange], None] | None = None) -> None:
    """Do what the plan says, second names last; :class:`SourceChangedError` when a source is not what it was."""
    for change in sorted(plan.work, key=lambda one: (one.action == "remove", one.entry.kind == "hard")):
        if told:
            told(change)
        try:
            if change.action == "remove":
                if not editor.remove(change.entry.path):
                    plan.left.append(change.entry)
            else:
                _do(editor, change.entry)
        except OSError as error:
            hint = "--skip-devices leaves devices out" if change.entry.kind in ("char", "block") else ""
            why = (error.strerror or str(error)).lower()
            raise ImageError(f"{change.entry.origin}: {escape(change.entry.path)}", why, hint=hint) from error


def _do(editor: TreeEditor, entry: Entry) -> None:
    path, mode, uid, gid = entry.path, entry.mode, entry.uid, entry.gid
    if entry.kind == "dir":
        editor.directory(path, mode, uid, gid)
    elif entry.kind == "link":
        editor.link(path, entry.target)
    elif entry.kind == "hard":
        editor.hard(path, entry.target)
    elif entry.kind == "text":
        editor.text(path, entry.text.encode("utf-8", "surrogateescape"), mode, uid, gid)
    elif entry.kind == "file":
        if entry.stamp is None:
            raise ImageError(escape(path), "the manifest names no source for it")
        source = open_stamped(entry.source, entry.stamp)
        try:
            editor.file(path, source, mode, uid, gid, entry.stamp[2])
            if stamp_of(os.fstat(source)) != entry.stamp:
                raise SourceChangedError(escape(entry.source), "it changed while it was copied")
        finally:
            os.close(source)
    else:
        editor.node(path, entry.kind, entry.major, entry.minor, mode, uid, gid)


def clean_up(editor: TreeEditor, entries: Sequence[Entry]) -> None:
    """Remove what a killed run has left half made."""
    for path in ("", *(entry.path for entry in entries if entry.kind == "dir")):
        editor.sweep(path)
