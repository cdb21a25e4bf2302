"""A change of several steps that is made whole or not at all, and what becomes of one that was interrupted.

A journal a subject (``account-NAME``, ``keys-NAME``, ``setup``) under ``Layout.undo``, root-only, replaced atomically:

``owner``     who began the change that is under way: its verb, process, boot, time; and what ends it
``uid``       of the account that the subject is about, since a name may be another account's later
``steps``     inverses of the change under way; not empty means that it was interrupted
``original``  inverses back to the state before jailssh first touched the subject; what ``deluser`` and
              ``setup --undo`` run

A command that fails or gets a signal between two steps rolls all of them back.  One that is killed cannot: the next
command about the same subject, or ``jailssh recover``, settles what is left.  By then the subject may have
been used or changed by hand, so settling narrows access and destroys nothing: a step that confines holds from then on,
as if it had been committed; one that opens is taken back.  Nobody settles what belongs to another subject.

A change of many subjects that is made whole or not at all has a leader, a journal of its own that the others name.
While the leader has not decided, all of them are taken back; from then on all are committed.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import KW_ONLY, asdict, dataclass, replace
from typing import Any

from jailssh.change.owner import Owner, owner
from jailssh.change.signals import held_signals
from jailssh.change.undo import LIMIT, Operation, UndoAction, for_good, is_in_use, is_in_way, narrowing, take_back
from jailssh.core.errors import ConfigError, JailsshError
from jailssh.core.names import escape, pluralize
from jailssh.files import fs
from jailssh.host.paths import Layout

Fault = Callable[[str], None]
"""Called with the name of each point between two steps; a test kills the process there."""

SUFFIX = ".json"
IMPORT = "import"
"""The subject that leads what is brought in from an archive or a bundle; who publishes settles that first."""
# So that of thousands of journals those are found quickly whose change is under way; older versions wrote 0600 for all.
_UNDER_WAY, _ENDED = 0o600, 0o400
_VERSION = 2
# Journals of version 1 do not say which steps confine.
_CONFINING = (
    Operation.ACCESS, Operation.ACCOUNT, Operation.GROUP, Operation.HOME, Operation.LINGER, Operation.MEMBER,
    Operation.PAM, Operation.RELOAD, Operation.SHELL, Operation.SPOOL,
)  # fmt: skip


def no_fault(point: str) -> None:
    """Pass through every fault point."""


class Journal:
    """One subject's journal, to be used under the lock of the set-up.

    ``step`` for each change within ``changing``, which ends with ``commit`` or ``finish``.
    """

    def __init__(self, layout: Layout, subject: str, fault: Fault = no_fault) -> None:
        self.path = f"{layout.undo}/{subject}{SUFFIX}"
        self._layout = layout
        self._fault = fault
        self._look: Callable[[], None] = _nothing
        found = _read(layout, subject)
        self.original, self.steps, self.owner, self.uid = found.original, found.steps, found.owner, found.uid
        self.leader, self.decided = found.leader, found.decided

    @contextmanager
    def changing(self, what: str, again: str = "") -> Iterator[None]:
        """Make a change: signals wait for the end of a step, an error or a signal takes back all steps.

        ``what`` and ``again``: see :class:`Owner`.
        """
        self.settle()
        self.owner = owner(what, again)
        with held_signals() as look:
            self._look = look
            try:
                yield
            except BaseException as error:
                self._look = _nothing
                try:
                    self.rollback()
                except (JailsshError, OSError) as second:
                    why = f"{error}; the rollback failed too: {second}"
                    raise JailsshError(what, why, hint=f"jailssh recover {self.subject}") from error
                raise
            finally:
                self._look = _nothing

    def open(self, what: str, again: str, leader: str = "") -> None:
        """Begin a change of which :meth:`note` writes down all; whoever makes many at once takes them back together.

        ``leader``: the subject whose journal decides what becomes of it.
        """
        self.settle()
        self.owner, self.leader = owner(what, again), leader

    def lead(self) -> None:
        """Be the leader of changes that are opened from now on; see above."""
        self.decided = False
        self._write()

    def decide(self) -> None:
        """As a leader: from here on the whole change holds, and whoever comes next completes it."""
        self._look()
        self._look = _nothing
        self.steps, self.decided = [], True
        self._write()
        self._fault("decided: done")

    def note(self, steps: Iterable[UndoAction]) -> None:
        """Write down inverses, with their points, of all that is about to be done."""
        self.steps += steps
        self._write()

    def begin(self, what: str, again: str) -> None:
        """Note that a change of single steps, each sound by itself, is under way; :meth:`forget` ends it."""
        self.owner = owner(what, again)
        self._write()

    @property
    def subject(self) -> str:
        """The name of the journal."""
        return os.path.basename(self.path).removesuffix(SUFFIX)

    def step(self, point: str, inverse: UndoAction, act: Callable[[], object], *, confines: bool = False) -> None:
        """Write ``inverse`` down for good, then ``act``.  ``point`` names the step for people and fault injection.

        ``confines``: nobody can do more for it, so it stays where the change is interrupted.
        """
        self._look()
        self.steps.append(replace(inverse, point=point, confines=confines))
        self._write()
        self._fault(f"{point}: noted")
        act()
        self._fault(f"{point}: done")

    def heed(self) -> None:
        """Raise :class:`SignalledError` if a signal has come: for what takes long between two steps."""
        self._look()

    def amend(self, inverse: UndoAction) -> None:
        """Put what is known about the object of the last step, now that it is there, in the place of its inverse."""
        last = self.steps[-1]
        self.steps[-1] = replace(inverse, point=last.point, confines=last.confines)
        self._write()

    def commit(self, *, exact: bool = False) -> None:
        """Make the change final; what it undoes is remembered where nothing older about the same object is.

        ``exact``: a file that somebody changes later is not taken back.
        """
        self._remember(self.steps, exact=exact)
        self._end()
        self._fault("commit: done")

    def finish(self) -> None:
        """Make the change final and remember nothing of it: another command takes it back."""
        self._end()
        self._fault("finish: done")

    def end_as_decided(self) -> None:
        """As a leader whose parts are settled: take back its own steps unless it has decided."""
        if not self.decided:
            self._take_back_all()
        self._end()

    def _take_back_all(self) -> None:
        """Take back a leader's own steps; an account that is in use by now, and its groups, are kept."""
        take_back(step for step in self.steps if step.op == Operation.HASH)
        kept = {step.key for step in self.steps if step.op == Operation.ACCOUNT and is_in_use(step)}
        groups = [step for step in self.steps if step.op == Operation.GROUP]
        take_back(
            step
            for step in self.steps
            if step.op != Operation.GROUP and not (step.op == Operation.ACCOUNT and step.key in kept)
        )
        take_back(step for step in groups if not is_in_way(step))

    def rollback(self) -> None:
        """Take back the steps of a change that was not committed; of one whose leader has decided, commit them."""
        if self.decided is not None:
            # What is left of one that was decided is completed by recover().
            if not self.decided:
                if left := _led(self._layout, self.subject):
                    raise JailsshError(f"{pluralize(len(left), 'part')} of it", "cannot be rolled back")
                self.end_as_decided()
            return
        if self.leader and _read(self._layout, self.leader).decided:
            self.commit()
            return
        take_back(self.steps)
        self._end()

    def settle(self) -> bool:
        """Settle a change that was interrupted, see above; False where there is none.  What fails is tried again."""
        if not self.steps:
            return False
        leader = _read(self._layout, self.leader) if self.leader else None
        if leader is not None and leader.decided:
            self.commit()
            return True
        if leader is not None and leader.owner is not None and self._give_up():
            return True
        kept = [done for step in self.steps if step.confines and (done := for_good(step))]
        # Plans last: until then nobody is given a new one by what has not been taken back yet.
        opened = [step for step in self.steps if not step.confines]
        take_back(narrowing(step) for step in sorted(opened, key=lambda step: step.op != Operation.PLAN))
        self._remember(kept)
        self._end()
        return True

    def _give_up(self) -> bool:
        """Take everything back, as a part of a change that was not decided; False where an account is in use by now.

        That one stays where it is, confined.
        """
        take_back(step for step in self.steps if step.op in (Operation.FILE, Operation.HASH) and not step.confines)
        if any(step.op == Operation.ACCOUNT and is_in_use(step) for step in self.steps):
            return False
        take_back(map(narrowing, self.steps))
        self._end()
        return True

    def forget(self) -> None:
        """Drop the journal: the subject is as it was before jailssh touched it."""
        self.original = []
        self._end()

    def _remember(self, steps: Iterable[UndoAction], *, exact: bool = False) -> None:
        known = {(inverse.op, inverse.key) for inverse in self.original}
        self.original += [step if exact else _for_good(step) for step in steps if (step.op, step.key) not in known]

    def _end(self) -> None:
        self.steps, self.owner, self.leader, self.decided = [], None, "", None
        self._write()

    def content(self) -> bytes | None:
        """Return what the journal's file has to hold, None for no file."""
        if not self.steps and not self.original and self.owner is None:
            return None
        document = {
            "version": _VERSION,
            "owner": asdict(self.owner) if self.owner else None,
            "uid": self.uid,
            **({"leader": self.leader} if self.leader else {}),
            **({} if self.decided is None else {"decided": self.decided}),
            "steps": [asdict(step) for step in self.steps],
            "original": [asdict(step) for step in self.original],
        }
        data = json.dumps(document, indent=1).encode("ascii")
        if len(data) > LIMIT:
            why = f"change is too large to be rolled back: its journal has more than {LIMIT} bytes"
            raise JailsshError(self.path, why, hint="make it in several parts")
        return data

    def _write(self) -> None:
        content = self.content()
        if content is None:
            fs.remove_file(self.path)
        else:
            under_way = self.steps or self.owner is not None
            fs.atomic_write(self.path, content, mode=_UNDER_WAY if under_way else _ENDED)


def _nothing() -> None:
    pass


def _for_good(step: UndoAction) -> UndoAction:
    """Return ``step`` as it is remembered for :mod:`jailssh.users.deluser`: later edits go with the account."""
    return replace(step, args=step.args[:2]) if step.op == Operation.FILE else step


@dataclass(frozen=True)
class _Content:
    original: list[UndoAction]
    steps: list[UndoAction]
    owner: Owner | None
    uid: int | None
    leader: str = ""
    decided: bool | None = None


def _read(layout: Layout, subject: str) -> _Content:
    path = f"{layout.undo}/{subject}{SUFFIX}"
    if not os.path.lexists(path):
        return _Content([], [], None, None)
    data = fs.read_trusted(path, LIMIT, trusted_root=layout.root or None)
    try:
        document = json.loads(data)
        old = document["version"] == 1
        original, steps = ([_inverse(row, path, old=old) for row in document[name]] for name in ("original", "steps"))
        who = Owner(**document["owner"]) if document.get("owner") else None
        uid, leader, decided = document.get("uid"), document.get("leader", ""), document.get("decided")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(path, f"is damaged: {escape(str(error))}", hint=f"jailssh recover {subject}") from error
    if document["version"] not in (1, _VERSION):
        raise _of_another_version(path)
    return _Content(original, steps, who, uid if isinstance(uid, int) else None, str(leader), decided)


def _inverse(row: Any, path: str, *, old: bool) -> UndoAction:
    if old:
        op, key, args = row
        return UndoAction(_operation(op, path), key, tuple(args), confines=op in _CONFINING)
    return UndoAction(**{**row, "op": _operation(row["op"], path), "args": tuple(row["args"])})


def _operation(word: str, path: str) -> Operation:
    try:
        return Operation(word)
    except ValueError:
        raise _of_another_version(path) from None


def _of_another_version(path: str) -> ConfigError:
    return ConfigError(path, "has the format of another version of jailssh")


@dataclass(frozen=True)
class Unfinished:
    """A change that was begun and not ended; ``what``, ``again``: see :class:`Owner`.

    ``stays`` and ``goes``: its steps, those that hold from then on and those that are taken back when it is settled.
    ``damaged``: why its journal cannot be read, else "".  ``parts``: the subjects that it leads.
    """

    subject: str
    _: KW_ONLY
    what: str = ""
    again: str = ""
    since: int = 0
    alive: bool = False
    stays: tuple[str, ...] = ()
    goes: tuple[str, ...] = ()
    damaged: str = ""
    parts: tuple[str, ...] = ()

    def line(self) -> str:
        """Return it in one line for people."""
        if self.damaged:
            return f"{self.subject}: {self.damaged}"
        when = time.strftime(" of %Y-%m-%d %H:%M", time.localtime(self.since)) if self.since else ""
        return f"{self.what}{when} {'is in progress' if self.alive else 'was interrupted'}"

    def hint(self) -> str:
        """Return what ends it, "" while it is under way."""
        if self.alive:
            return ""
        return f"jailssh recover {self.subject}" if self.stays or self.goes or self.damaged else self.again


def unfinished(layout: Layout, *, quick: bool = False) -> list[Unfinished]:
    """Return the changes that were begun and not ended, by subject; reads only, and needs no lock.

    ``quick``: journals that say by their mode that their change ended are not read, so damage of them is not seen.
    """
    found = []
    begun: dict[str, _Content] = {}
    for subject in subjects(layout):
        if quick and _has_ended(f"{layout.undo}/{subject}{SUFFIX}"):
            continue
        try:
            content = _read(layout, subject)
        except JailsshError as error:
            found.append(Unfinished(subject, damaged=str(error)))
            continue
        if content.steps or content.owner:
            begun[subject] = content
    led: dict[str, list[str]] = {}
    for subject, content in begun.items():
        if content.leader in begun:
            led.setdefault(content.leader, []).append(subject)
    for subject, content in begun.items():
        if content.leader not in begun:
            found.append(_unfinished(subject, content, led.get(subject, [])))
    return sorted(found, key=lambda each: each.subject)


def _has_ended(path: str) -> bool:
    try:
        return stat.S_IMODE(os.lstat(path).st_mode) == _ENDED
    except FileNotFoundError:
        return True


def _unfinished(subject: str, content: _Content, led: list[str]) -> Unfinished:
    parts = tuple(sorted(led))
    if content.decided is not None:
        who = content.owner
        assert who
        points = (*dict.fromkeys(step.point or step.op for step in content.steps), *parts) or ("nothing",)
        stays, goes = (points, ()) if content.decided else ((), points)
        return Unfinished(
            subject, what=who.what, again=who.again, since=who.time, alive=who.is_alive(), stays=stays, goes=goes,
            parts=parts,
        )  # fmt: skip
    stays, goes = (
        tuple(step.point or step.op for step in content.steps if step.confines is confines)
        for confines in (True, False)
    )
    who = content.owner
    if who is None:
        return Unfinished(subject, what=f"a change of {subject}", stays=stays, goes=goes)
    return Unfinished(
        subject, what=who.what, again=who.again, since=who.time, alive=who.is_alive(), stays=stays, goes=goes
    )


def subjects(layout: Layout) -> list[str]:
    """Return the subjects that have a journal, sorted."""
    try:
        names = os.listdir(layout.undo)
    except FileNotFoundError:
        return []
    return sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))


def recover(layout: Layout, subject: str) -> list[str]:
    """Settle the interrupted change of ``subject`` alone; return a line about it.  Call under the lock.

    One that has a leader, or is one, is settled with all its parts.
    """
    journal = Journal(layout, subject)
    leader = Journal(layout, journal.leader) if journal.leader else journal
    if leader.decided is not None:
        return _recover_all(leader, _led(layout, leader.subject))
    try:
        return [f"settled an interrupted change: {subject}"] if journal.settle() else []
    except JailsshError as error:
        raise JailsshError(f"cannot settle {journal.path}", str(error), hint=error.hint) from error


def rewritten(layout: Layout, subject: str, change: Callable[[UndoAction], UndoAction]) -> bytes | None:
    """Return the content of a journal with each inverse as ``change`` makes it; None where there is no journal."""
    journal = Journal(layout, subject)
    journal.original, journal.steps = [*map(change, journal.original)], [*map(change, journal.steps)]
    return journal.content()


def _led(layout: Layout, leader: str) -> list[Journal]:
    """Return the unfinished journals that ``leader`` decides about; one that cannot be read is told by itself."""
    found = []
    for subject in subjects(layout):
        with suppress(JailsshError):
            if _read(layout, subject).leader == leader:
                found.append(Journal(layout, subject))
    return found


def _recover_all(leader: Journal, parts: list[Journal]) -> list[str]:
    decided = leader.decided
    failed: list[str] = []
    for journal in parts:
        try:
            journal.settle()
        except (JailsshError, OSError) as error:
            failed.append(f"{journal.subject}: {error}")
    if failed:
        # The leader stays, so that what is left is settled in the same way.
        raise JailsshError(
            f"cannot settle {leader.path}", "; ".join(failed[:5]), hint=f"jailssh recover {leader.subject}"
        )
    # What the parts rest on goes last.
    leader.end_as_decided()
    return [f"{'completed' if decided else 'rolled back'} an interrupted change: {leader.subject}"]


def put_aside(layout: Layout, subject: str) -> str:
    """Move a journal that cannot be read out of the way; return where it is.  Call under the lock."""
    path = f"{layout.undo}/{subject}{SUFFIX}"
    data = fs.read_trusted(path, LIMIT, trusted_root=layout.root or None)
    aside = f"{path}.damaged-{int(time.time())}"
    fs.atomic_write(aside, data, mode=0o600)
    fs.remove_file(path)
    return aside


def others(layout: Layout, subject: str) -> list[str]:
    """Return a note for each unfinished change of another subject; a command about this one leaves them alone."""
    with suppress(OSError):
        return [
            f"note: {each.line()}; to end it: {each.hint()}"
            for each in unfinished(layout, quick=True)
            if each.subject != subject and not each.alive
        ]
    return []
