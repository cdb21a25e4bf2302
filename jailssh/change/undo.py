"""How to take changes back: inverses, written down as data before a change is made.

An inverse is an operation, a key that names the object, and arguments: what the object was, and where another may stand
in its place by then, by what to know it.  Each is idempotent and does nothing where the change that it undoes never
happened, or where somebody else has changed the object since.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from jailssh.change import home_move
from jailssh.core.closed import Word
from jailssh.core.errors import JailsshError
from jailssh.files import fs, homes, moving
from jailssh.host import accounts, as_user, install
from jailssh.host.paths import Layout
from jailssh.jail import authorized_keys
from jailssh.publish import plan_files, quotas, relayed, trial_keys
from jailssh.services import pam, shadow, spools, sshd

LIMIT = 16 << 20
_NO_HOME = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


class Operation(Word):
    """What is taken back; see :data:`OPERATIONS`."""

    FILE = "file"
    PLAN = "plan"
    ACCESS = "access"
    DIR = "dir"
    SHELL = "shell"
    MEMBER = "member"
    HASH = "hash"
    EXPIRY = "expiry"
    ACCOUNT = "account"
    GROUP = "group"
    RELOAD = "reload"
    PAM = "pam"
    SPOOL = "spool"
    LINGER = "linger"
    HOME = "home"
    HOME_PATH = "home-path"
    HOME_MOVE = "home-move"
    LINK = "link"
    MOVED = "moved"
    NAME = "name"
    TRIAL_KEY = "trial-key"
    TRIAL_FILES = "trial-files"
    TRIAL_ACCOUNT = "trial-account"


@dataclass(frozen=True)
class UndoAction:
    """How to take one change back: ``key`` is the object, ``args`` JSON values.

    ``confines`` and ``point``: see :meth:`jailssh.change.transaction.Journal.step`.
    """

    op: Operation
    key: str
    args: tuple[Any, ...] = ()
    confines: bool = False
    point: str = ""


def put_file_back(path: str, written: bytes | None = None) -> UndoAction:
    """Return the inverse that gives ``path`` its present content and mode again, or removes it if it is absent now.

    ``written``: what the change will write.  Found to be neither before nor after when the change is rolled back, it
    is somebody else's work, such as a right that was taken away by hand, and stays.
    """
    data = install.read_optional(path, LIMIT)
    before = (None, 0) if data is None else (base64.b64encode(data).decode("ascii"), install.access_of(path)[0])
    return UndoAction(Operation.FILE, path, before if written is None else (*before, _digest(written)))


def _digest(data: bytes | None) -> str:
    return "" if data is None else hashlib.sha256(data).hexdigest()


def _undo_file(path: str, content: str | None, mode: int, written: str = "") -> None:
    before = None if content is None else base64.b64decode(content)
    if written and _digest(install.read_optional(path, LIMIT)) not in (written, _digest(before)):
        return
    if content is None:
        if os.path.lexists(path):  # On a file system that is read-only even the removal of nothing fails.
            fs.remove_file(path)
    else:
        fs.atomic_write(path, base64.b64decode(content), mode=mode)


def put_keys_back(layout: Layout, name: str, text: str) -> UndoAction:
    """Return the inverse of :func:`jailssh.jail.authorized_keys.write`, which will write ``text``."""
    return put_file_back(authorized_keys.keys_file(layout, name), authorized_keys.encoded(text))


def put_plan_back(path: str) -> UndoAction:
    """Return the inverse that gives the account's plan at ``path`` its present content again, or removes it.

    The quotas that publishing it may set are taken back too.
    """
    inverse = put_file_back(path)
    held = quotas.recorded(Layout(), int(os.path.basename(path))) if os.path.dirname(path) == Layout().plans else {}
    return UndoAction(Operation.PLAN, inverse.key, (*inverse.args, False, held))


def _undo_plan(
    path: str, content: str | None, mode: int, withdraw: bool = False, held: quotas.Record | None = None
) -> None:
    try:
        if held is not None and os.path.dirname(path) == Layout().plans:
            quotas.put_back(Layout(), int(os.path.basename(path)), held)
    finally:
        # Whatever becomes of a quota, a plan that lets somebody in goes.
        _put_plan_back(path, content, mode, withdraw)


def _put_plan_back(path: str, content: str | None, mode: int, withdraw: bool) -> None:
    if is_as_before(path, content):
        plan_files.tidy(path)
        return
    # One that is old by now, or whose image is gone, is not put back: the next login, or apply, makes it anew.
    plan_files.put_back(path, None if withdraw or content is None else base64.b64decode(content), mode)
    if os.path.dirname(path) == Layout().plans:
        relayed.follow(Layout(), int(os.path.basename(path)))


def is_as_before(path: str, content: str | None) -> bool:
    """True if a file has the content that its inverse (:func:`put_file_back`) gives it; None: it is absent."""
    return install.read_optional(path, LIMIT) == (None if content is None else base64.b64decode(content))


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


def _undo_home_path(name: str, uid: int, old: str, new: str) -> None:
    # Likewise.
    entry = accounts.find(name)
    if entry and entry.uid == uid and entry.home == new:
        accounts.set_home(name, old)


def _undo_home_move(key: str, uid: int, source: str, target: str) -> None:
    entry = accounts.find(key.partition("/")[0])
    if entry and entry.uid == uid:
        home_move.back(entry, source, target)


def _undo_member(name: str, group: str) -> None:
    if accounts.is_listed_member(name, group):
        accounts.remove_member(name, group)


def put_password_back(name: str, uid: int, hashed: str, *, new: bool = False, dated: bool = True) -> UndoAction:
    """Return the inverse of giving an account the password ``hashed``, of which only a digest is kept.

    ``new``: the account was made by this command, so it has none yet.  ``dated``: as it is given.
    """
    before = "*" if new else accounts.password_hash(name) or "*"
    return UndoAction(Operation.HASH, name, (uid, before, _digest(hashed.encode()), *(() if dated else (False,))))


def _undo_password(name: str, uid: int, old: str, written: str, dated: bool = True) -> None:
    # Another hash than ours means that somebody changed it since.
    entry = accounts.find(name)
    if entry and entry.uid == uid and _digest((accounts.password_hash(name) or "").encode()) == written:
        shadow.set_password(name, old, dated=dated)


def put_expiry_back(name: str, uid: int, before: int | None, written: int) -> UndoAction:
    """Return the inverse of giving an account another day of expiry (shadow(5))."""
    return UndoAction(Operation.EXPIRY, name, (uid, before, written))


def _undo_expiry(name: str, uid: int, before: int | None, written: int) -> None:
    entry, ages = accounts.find(name), accounts.password_ages(name)
    if entry and entry.uid == uid and ages is not None and ages.expires == written:
        shadow.set_expiry(name, before)


def move_home_back(entry: accounts.AccountEntry, target: str) -> UndoAction:
    """Return the inverse of bringing the home to ``target``.  Each place has its own: a home may move on and on."""
    return UndoAction(Operation.HOME_MOVE, f"{entry.name}/{target}", (entry.uid, entry.home, target))


def created(name: str, login_program: str, group: str) -> UndoAction:
    """Return the inverse of creating an account, before it is there; see :func:`as_created`."""
    return UndoAction(Operation.ACCOUNT, name, (None, 0, 0, login_program, group))


def as_created(before: UndoAction, entry: accounts.AccountEntry | None = None) -> UndoAction:
    """Return the inverse of creating an account that is there now: by its uid and by its home's inode it is known.

    ``entry``: the account, where it is known.
    """
    _, _, _, login_program, group = before.args
    entry = entry or accounts.get(before.key)
    home = os.lstat(entry.home)
    return replace(before, args=(entry.uid, home.st_dev, home.st_ino, login_program, group))


def _undo_account(name: str, uid: int | None = None, dev: int = 0, ino: int = 0, *marks: str) -> None:
    """Delete an account that was created a moment ago, unless somebody has used it or it is another one."""
    entry = accounts.find(name)
    if entry is not None and accounts.is_local(name):
        if is_in_use(UndoAction(Operation.ACCOUNT, name, (uid, dev, ino, *marks))):
            why = "was used since its creation, so it is kept; it is not in a jail and cannot log in"
            raise JailsshError(
                f"account {name}", why, hint=f"jailssh adduser {name} --jail …, or jailssh deluser {name}"
            )
        accounts.delete_account(name, remove_home=True)
    # Its own group was not there before either.
    if accounts.group_exists(name) and not accounts.members(name):
        accounts.delete_group(name)
    if entry is None:
        sweep(name, *marks[1:])


def is_in_use(step: UndoAction) -> bool:
    """True if an account that was created is one that must be kept: somebody has used it, or it is another one."""
    uid, dev, ino, *marks = step.args or (None, 0, 0)
    entry = accounts.find(step.key)
    if entry is None or not accounts.is_local(step.key):
        return False
    ours = entry.uid == uid if uid is not None else _is_marked(entry, *marks)
    return not ours or not _is_unused(entry, dev, ino)


def is_in_way(step: UndoAction) -> bool:
    """True if the step made a group that accounts are in by now, so that it must be kept."""
    return step.op == Operation.GROUP and bool(accounts.members(step.key))


def sweep(name: str, group: str = "") -> None:
    """Remove what there is of a local account beside its line of /etc/passwd: written before it, removed after it."""
    listed = bool(group) and accounts.is_listed_member(name, group)
    if listed or accounts.password_hash(name) is not None or accounts.group_exists(name):
        with shadow.opened() as files:
            if not files.has_account(name):
                files.remove([name])


def _is_marked(entry: accounts.AccountEntry, login_program: str = "", group: str = "") -> bool:
    """True if the account looks as one does that was created into a jail: nobody makes that one by hand."""
    return entry.shell == login_program and accounts.is_listed_member(entry.name, group)


def _is_unused(entry: accounts.AccountEntry, dev: int, ino: int) -> bool:
    """True if the account has no password, no process, and a home as useradd(8) has made it, or none."""
    if accounts.has_password(entry.name) or accounts.processes_of(entry.uid):
        return False
    try:
        info = os.lstat(entry.home)
    except OSError as error:
        if error.errno in _NO_HOME:
            return True
        raise
    return (not ino or (info.st_dev, info.st_ino) == (dev, ino)) and homes.is_as_skeleton(entry.home)


def _undo_group(name: str) -> None:
    if accounts.group_exists(name) and not install.is_named_to_dpkg(name):
        accounts.delete_group(name)


def _undo_reload(owed: str) -> None:
    sshd.reload()
    if owed.startswith("/"):  # Versions before wrote "sshd".
        fs.remove_file(owed)


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


def _undo_home(key: str, uid: int, files: list[str]) -> None:
    name = key.partition("/")[0]
    if (entry := accounts.find(name)) and entry.uid == uid:
        as_user.rename_in(entry, entry.home, [(f"{spools.ASIDE}{file}", file) for file in files])


def _undo_trial_key(name: str, root: str, uid: int, blobs: list[str]) -> None:
    trial_keys.shut_out(Layout(root=root), name, uid, blobs)


def _undo_trial_files(path: str, name: str, uid: int) -> None:
    entry = accounts.find(name)
    if entry is None or entry.uid != uid:
        return
    folder, last = os.path.split(path)
    if why := as_user.remove_tree(entry, folder, last):
        raise JailsshError(path, f"cannot be removed as {name}: {why}", hint=f"inspect it, then: rm -r {path}")


def _undo_link(path: str, target: str) -> None:
    # Another target, or a file, is somebody else's work.
    if os.path.islink(path) and os.readlink(path) == target:
        fs.remove_file(path)


def _undo_moved(path: str, name: str) -> None:
    moving.rename_beside(f"{os.path.dirname(path)}/{name}", os.path.basename(path))


def _undo_name(old: str, uid: int, gid: int | None, new: str) -> None:
    shadow.give_name(new, old, uid, gid, back=True)


def _undo_trial_account(name: str) -> None:
    # Who made it takes it out of its jail first; nobody else forgets it.
    if accounts.find(name) is not None:
        hint = f"jailssh recover {name}"
        raise JailsshError(f"account {name}", "a selftest made it and it is still there", hint=hint)


OPERATIONS: dict[Operation, Callable[..., None]] = {
    Operation.FILE: _undo_file,
    Operation.PLAN: _undo_plan,
    Operation.ACCESS: _undo_access,
    Operation.DIR: _undo_dir,
    Operation.SHELL: _undo_shell,
    Operation.MEMBER: _undo_member,
    Operation.HASH: _undo_password,
    Operation.EXPIRY: _undo_expiry,
    Operation.ACCOUNT: _undo_account,
    Operation.GROUP: _undo_group,
    Operation.RELOAD: _undo_reload,
    Operation.PAM: _undo_pam,
    Operation.SPOOL: _undo_spool,
    Operation.LINGER: _undo_linger,
    Operation.HOME: _undo_home,
    Operation.HOME_PATH: _undo_home_path,
    Operation.HOME_MOVE: _undo_home_move,
    Operation.LINK: _undo_link,
    Operation.MOVED: _undo_moved,
    Operation.NAME: _undo_name,
    Operation.TRIAL_KEY: _undo_trial_key,
    Operation.TRIAL_FILES: _undo_trial_files,
    Operation.TRIAL_ACCOUNT: _undo_trial_account,
}


def take_back(inverses: Iterable[UndoAction]) -> None:
    """Run ``inverses`` from the last to the first."""
    for inverse in reversed(list(inverses)):
        OPERATIONS[inverse.op](inverse.key, *inverse.args)


def renamed(step: UndoAction, old: str, new: str, moved: Mapping[str, str]) -> UndoAction:
    """Return the inverse of a change of the account ``old`` for when it is called ``new``; ``moved``: paths by then."""
    key = new if step.key == old else moved.get(step.key, step.key)
    if step.key.startswith(f"{old}/"):
        key = new + step.key.removeprefix(old)
    for path, now in moved.items():
        if step.key.startswith(f"{path}/"):
            key = now + step.key.removeprefix(path)
    of_name = step.op in (Operation.SPOOL, Operation.TRIAL_FILES) and step.args[:1] == (old,)
    return replace(step, key=key, args=(new, *step.args[1:]) if of_name else step.args)


def narrowing(step: UndoAction) -> UndoAction:
    """Return ``step`` as it is taken back long after: a plan of then may say what is not true any more, so it goes."""
    return replace(step, args=(*step.args[:2], True, *step.args[3:])) if step.op == Operation.PLAN else step


def for_good(step: UndoAction) -> UndoAction | None:
    """Return how to take back, one day, a change that was interrupted and holds; None if it never happened."""
    if step.op == Operation.ACCOUNT:
        return _created_for_good(step)
    if step.op == Operation.SHELL and len(step.args) == 3:
        uid, _, new = step.args
        entry = accounts.find(step.key)
        return step if entry is not None and (entry.uid, entry.shell) == (uid, new) else None
    if step.op == Operation.EXPIRY:
        ages = accounts.password_ages(step.key)
        return step if ages is not None and ages.expires == step.args[2] else None
    if step.op == Operation.HOME_MOVE:
        uid, source, target = step.args
        entry = accounts.find(step.key.partition("/")[0])
        there = entry is not None and entry.uid == uid and home_move.complete(entry, source, target)
        return step if there else None
    if step.op == Operation.MEMBER:
        return step if accounts.is_listed_member(step.key, step.args[0]) else None
    return step


def _created_for_good(step: UndoAction) -> UndoAction | None:
    entry = accounts.find(step.key)
    uid, _, _, *marks = step.args or (None, 0, 0)
    if entry is None:
        _undo_account(step.key, *step.args)
        return None
    if entry.uid != uid if uid is not None else not _is_marked(entry, *marks):
        return None
    if not os.path.lexists(entry.home) and _is_unused(entry, 0, 0):
        # The machine stopped before its home was made: the next try begins from nothing.
        accounts.delete_account(step.key, remove_home=False)
        return None
    return as_created(step) if marks else step
