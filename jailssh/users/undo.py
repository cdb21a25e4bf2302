"""The undo journal: every change is written down with its inverse before it is made.

One file per subject under ``Layout.undo`` (``account-NAME.json``, ``setup.json``), root-only, replaced atomically:

``steps``     inverses of a change under way; not empty means that it was interrupted and must be rolled back
``original``  inverses back to the state before jailssh first touched the subject; what ``deluser`` and
              ``setup --undo`` run

An inverse is data: an operation, a key that names the object, and arguments.  Each is idempotent and does nothing
where the change that it undoes never happened, since it is written first.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from jailssh.core.errors import ConfigError, JailsshError
from jailssh.host import accounts, as_user, fs, install, pam, spools, sshd
from jailssh.host.paths import Layout
from jailssh.image import plans

Fault = Callable[[str], None]
"""Called with the name of each point between two steps; a test kills the process there."""

LIMIT = 16 << 20


def no_fault(point: str) -> None:
    """Pass through every fault point."""


@dataclass(frozen=True)
class Inverse:
    """How to take one change back: ``op`` is a name in :data:`OPERATIONS`, ``key`` the object, ``args`` JSON values."""

    op: str
    key: str
    args: tuple[Any, ...] = ()


def put_file_back(path: str, written: bytes | None = None) -> Inverse:
    """Return the inverse that gives ``path`` its present content and mode again, or removes it if it is absent now.

    ``written``: what the change will write.  Found to be neither before nor after when the change is rolled back, it
    is somebody else's work, such as a right that was taken away by hand, and stays.
    """
    data = install.read_optional(path, LIMIT)
    before = (None, 0) if data is None else (base64.b64encode(data).decode("ascii"), install.access_of(path)[0])
    return Inverse("file", path, before if written is None else (*before, _digest(written)))


def _digest(data: bytes | None) -> str:
    return "" if data is None else hashlib.sha256(data).hexdigest()


def _undo_file(path: str, content: str | None, mode: int, written: str = "") -> None:
    before = None if content is None else base64.b64decode(content)
    if written and _digest(install.read_optional(path, LIMIT)) not in (written, _digest(before)):
        return
    if content is None:
        fs.remove_file(path)
    else:
        fs.atomic_write(path, base64.b64decode(content), mode=mode)


def put_plan_back(path: str) -> Inverse:
    """Return the inverse that gives the account's plan at ``path`` its present content again, or removes it."""
    inverse = put_file_back(path)
    return Inverse("plan", inverse.key, inverse.args)


def _undo_plan(path: str, content: str | None, mode: int) -> None:
    _undo_file(path, content, mode)
    if not plans.is_whole(path):
        # It is the roster of a shared account, and what its keys had is gone: the next login, or apply, makes it anew.
        fs.remove_file(path)
    plans.tidy(path)


def _undo_access(path: str, mode: int, uid: int, gid: int) -> None:
    if os.path.exists(path):
        install.set_access(path, mode, uid, gid)


def _undo_dir(path: str, mode: int | None) -> None:
    if mode is None:
        install.remove_empty_dir(path)
    elif os.path.isdir(path):
        fs.ensure_dir(path, mode)


def _undo_shell(name: str, uid: int, old: str, new: str) -> None:
    # Another shell than ours means that somebody changed it since; another uid that it is another account.
    entry = accounts.find(name)
    if entry and entry.uid == uid and entry.shell == new:
        accounts.set_shell(name, old)


def _undo_member(name: str, group: str) -> None:
    if accounts.is_listed_member(name, group):
        accounts.remove_member(name, group)


def _undo_account(name: str) -> None:
    # Neither its home nor its group were there before it was created.
    if accounts.is_local(name):
        accounts.delete_account(name, remove_home=True)
    if accounts.group_exists(name):
        accounts.delete_group(name)


def _undo_group(name: str) -> None:
    if accounts.group_exists(name):
        accounts.delete_group(name)


def _undo_reload(_service: str) -> None:
    sshd.reload()


def _undo_pam(root: str, text: str | None) -> None:
    layout = Layout(root=root)
    if text is None:
        pam.take_away(layout)
    elif pam.has_tool(layout):
        pam.put(layout, text)


def _undo_spool(path: str, name: str, uid: int) -> None:
    if (entry := accounts.find(name)) and entry.uid == uid:
        spools.bring_back(path)


def _undo_linger(name: str, uid: int) -> None:
    if (entry := accounts.find(name)) and entry.uid == uid:
        spools.set_linger(name, True)


def _undo_home(name: str, uid: int, files: list[str]) -> None:
    if (entry := accounts.find(name)) and entry.uid == uid:
        as_user.rename_in(entry, entry.home, [(f"{spools.ASIDE}{file}", file) for file in files])


OPERATIONS: dict[str, Callable[..., None]] = {
    "file": _undo_file,
    "plan": _undo_plan,
    "access": _undo_access,
    "dir": _undo_dir,
    "shell": _undo_shell,
    "member": _undo_member,
    "account": _undo_account,
    "group": _undo_group,
    "reload": _undo_reload,
    "pam": _undo_pam,
    "spool": _undo_spool,
    "linger": _undo_linger,
    "home": _undo_home,
}


def take_back(inverses: Iterable[Inverse]) -> None:
    """Run ``inverses`` from the last to the first."""
    for inverse in reversed(list(inverses)):
        OPERATIONS[inverse.op](inverse.key, *inverse.args)


class Journal:
    """One subject's journal.  Use under :func:`lock`; ``step`` for each change, then ``commit`` or ``rollback``."""

    def __init__(self, layout: Layout, subject: str, fault: Fault = no_fault) -> None:
        self.path = f"{layout.undo}/{subject}.json"
        self._fault = fault
        self.original, self.steps = _read(self.path)

    def step(self, point: str, inverse: Inverse, act: Callable[[], object]) -> None:
        """Write ``inverse`` down for good, then ``act``.  ``point`` names the step for fault injection."""
        self.steps.append(inverse)
        self._write()
        self._fault(f"{point}: noted")
        act()
        self._fault(f"{point}: done")

    def commit(self) -> None:
        """Make the change final; what it undoes is remembered where nothing older about the same object is."""
        known = {(inverse.op, inverse.key) for inverse in self.original}
        self.original += [_for_good(step) for step in self.steps if (step.op, step.key) not in known]
        self.steps = []
        self._write()
        self._fault("commit: done")

    def finish(self) -> None:
        """Make the change final and remember nothing of it: another command takes it back."""
        self.steps = []
        self._write()
        self._fault("finish: done")

    def rollback(self) -> None:
        """Take back the steps of a change that was not committed."""
        take_back(self.steps)
        self.steps = []
        self._write()

    def forget(self) -> None:
        """Drop the journal: the subject is as it was before jailssh touched it."""
        self.original, self.steps = [], []
        self._write()

    def _write(self) -> None:
        if not self.steps and not self.original:
            fs.remove_file(self.path)
            return
        document = {
            "version": 1,
            "steps": [[step.op, step.key, list(step.args)] for step in self.steps],
            "original": [[step.op, step.key, list(step.args)] for step in self.original],
        }
        fs.atomic_write(self.path, json.dumps(document, indent=1).encode("ascii"), mode=0o600)


def _for_good(step: Inverse) -> Inverse:
    """Return ``step`` as it is remembered for :func:`jailssh.users.deluser`: later edits go with the account."""
    return Inverse(step.op, step.key, step.args[:2]) if step.op == "file" else step


def _read(path: str) -> tuple[list[Inverse], list[Inverse]]:
    data = install.read_optional(path, LIMIT)
    if data is None:
        return [], []
    try:
        document = json.loads(data)
        lists = [[Inverse(op, key, tuple(args)) for op, key, args in document[name]] for name in ("original", "steps")]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(path, f"not an undo journal: {error}") from error
    if document.get("version") != 1 or any(step.op not in OPERATIONS for part in lists for step in part):
        raise ConfigError(path, "written by another version of jailssh")
    return lists[0], lists[1]


def recover(layout: Layout) -> list[str]:
    """Roll back every change that was interrupted; return the subjects, sorted.  Call under :func:`lock`."""
    try:
        names = sorted(os.listdir(layout.undo))
    except FileNotFoundError:
        return []
    done = []
    for name in names:
        if not name.endswith(".json"):
            continue
        journal = Journal(layout, name.removesuffix(".json"))
        if journal.steps:
            try:
                journal.rollback()
            except JailsshError as error:
                raise JailsshError(f"roll back {journal.path}", str(error), hint=error.hint) from error
            done.append(name.removesuffix(".json"))
    return done
