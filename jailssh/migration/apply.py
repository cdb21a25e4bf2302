"""Bring in what an inventory has found, and take it back.

The files of new jails come first, as one change.  Then each account is a change of its own, made by
:mod:`jailssh.users.adduser` whole or not at all: one that cannot be brought in stays as it is and stops no other.  A
second run goes on with those that are not there yet.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from jailssh.change import transaction, undo
from jailssh.change.transaction import Fault, Journal, no_fault
from jailssh.config.jails import enter_of, groups_of
from jailssh.config.reader import Document
from jailssh.core.errors import DeniedError, JailsshError, ManyErrors, UsageError, raise_all
from jailssh.core.names import is_below, is_clean_absolute
from jailssh.core.tries import Tries
from jailssh.files import fs
from jailssh.host import accounts, install
from jailssh.host.paths import Layout
from jailssh.jail.configuration import load_configuration
from jailssh.migration import jk_chrootsh, state
from jailssh.migration.state import Brought
from jailssh.migration.wanted import Wanted
from jailssh.setup.home_keys import DROP, LEAVE_OUT, Choice
from jailssh.sources.found import Found, Host
from jailssh.users import adduser, deluser, keyring
from jailssh.users.adduser import AddUserOptions, Publishing
from jailssh.users.deluser import DelUserOptions
from jailssh.users.many import add_many

SUBJECT = "migrate"
SHELL = "migrate-shell"


@dataclass(frozen=True)
class How:
    """``commands``: what becomes of keys in homes that are limited to a command, as for ``adduser``; "" refuses them.

    ``force``, ``now``, ``disable``, ``on_demand``: as for ``adduser``.  ``trial`` is called before an account is
    changed, what it returns afterwards: that returns lines, or raises, and the account is taken back then.
    """

    commands: str = ""
    force: bool = False
    now: bool = False
    disable: bool = False
    on_demand: bool = False
    trial: Callable[[Found], Callable[[], list[str]]] | None = None


@dataclass(frozen=True)
class Result:
    """What became of one account: lines for people, or the error."""

    account: str
    lines: tuple[str, ...] = ()
    error: JailsshError | None = None


def write_jails(layout: Layout, plan: Wanted, publisher: Publishing, fault: Fault = no_fault) -> list[str]:
    """Write the files of new jails and what they name; return lines about them.  All or nothing."""
    adduser.require_setup(layout, publisher.groups)
    files = {path: (text, 0o644) for path, text in plan.files.items()}
    files |= {f"{layout.jails}/{name}.conf": (text, 0o644) for name, text in plan.texts.items()}
    if outside := [path for path in files if not is_clean_absolute(path) or not is_below(path, layout.etc)]:
        raise JailsshError(outside[0], f"is not below {layout.etc}, where all that is written belongs")
    with fs.lock(layout.lock):
        lines = [*transaction.recover(layout, SUBJECT)]
        new = {path: each for path, each in files.items() if install.read_optional(path) != each[0].encode()}
        if clash := sorted(path for path in new if os.path.lexists(path)):
            raise JailsshError(clash[0], "exists and is another one", hint="move it away, or rename it")
        journal = Journal(layout, SUBJECT, fault)
        with journal.changing("migrate: jails", "jailssh migrate --apply"):
            for path, (text, mode) in new.items():
                _write(journal, path, text, mode)
            errors: list[JailsshError] = []
            for name in plan.texts:
                try:
                    publisher.check((name,))
                except JailsshError as error:
                    errors.append(error)
            raise_all(errors)
            # Jails are there for others too, and what is settled in them later is the administrator's work.
            journal.commit(exact=True)
    return [*lines, *(f"+ {path}" for path in new)]


def _write(journal: Journal, path: str, text: str, mode: int) -> None:
    above = os.path.dirname(path)
    if not os.path.isdir(above):
        inverse = undo.UndoAction(undo.Operation.DIR, above, (None,))
        journal.step(f"directory {above}", inverse, lambda: fs.ensure_dir(above, 0o755))
    data = text.encode("utf-8", "surrogateescape")
    journal.step(path, undo.put_file_back(path, data), lambda: fs.atomic_write(path, data, mode=mode))


def bring(layout: Layout, plan: Wanted, publisher: Publishing, how: How, fault: Fault = no_fault) -> Iterator[Result]:
    """Bring in each account; yields what became of it.  Nothing is asked: that was done before.

    Those that nothing is to be done for in between are one change; where that cannot be made, because of one of them,
    each is tried by itself.
    """
    alone = list(plan.found)
    together = [] if how.trial else [found for found in plan.found if not found.named]
    if len(together) > 1:
        try:
            results = _together(layout, together, plan.jails, publisher, how, fault)
        except (ManyErrors, UsageError, DeniedError):
            results = []
        yield from results
        done = {result.account for result in results}
        alone = [found for found in plan.found if found.account not in done]
    for found in alone:
        try:
            yield Result(found.account, tuple(_one(layout, found, plan.jails[found.account], publisher, how, fault)))
        except JailsshError as error:
            yield Result(found.account, error=error)


def _together(
    layout: Layout,
    found: Sequence[Found],
    jails: Mapping[str, str],
    publisher: Publishing,
    how: How,
    fault: Fault,
) -> list[Result]:
    with _noted(layout, {each.account: (each.source, jails[each.account]) for each in found}):
        wishes = [_wish(each, jails[each.account], how) for each in found]
        added = add_many(layout, wishes, publisher, lambda _: True, fault)
    return [Result(each.name, each.outcome.lines) for each in added]


def _one(layout: Layout, found: Found, jail: str, publisher: Publishing, how: How, fault: Fault) -> list[str]:
    compare = how.trial(found) if how.trial else list
    with _noted(layout, {found.account: (found.source, jail)}):
        done = adduser.adduser(layout, _wish(found, jail, how), publisher, lambda _: True, fault)
        try:
            lines = list(done.lines)
            for name, keys in found.named.items():
                groups = tuple(group for group, names in found.groups.items() if name in names)
                lines += keyring.add(
                    layout,
                    keyring.Addition(found.account, name, keys, groups, found.by_key.get(name, {})),
                    publisher,
                    fault,
                )
            lines += compare()
        except JailsshError as error:
            _back(layout, found.account, publisher)
            raise JailsshError(f"account {found.account}", f"{error}; it is as before", hint=error.hint) from error
    return lines


@contextmanager
def _noted(layout: Layout, brought: Mapping[str, tuple[str, str]]) -> Iterator[None]:
    """Write down that accounts, by name with source and jail, are brought in, before it is done."""
    known, now = state.read(layout), int(time.time())
    rows = {name: Brought(accounts.get(name).uid, *said, now) for name, said in brought.items()}
    state.write(layout, known | rows)
    try:
        yield
    except JailsshError:
        state.write(layout, known)
        raise


def _wish(found: Found, jail: str, how: How) -> AddUserOptions:
    shared = bool(found.named)
    commands = DROP if found.commands else how.commands or (LEAVE_OUT if found.keys or shared else "")
    return AddUserOptions(
        found.account,
        (jail,),
        keys=() if shared else found.keys,
        force=how.force,
        now=how.now,
        on_demand=how.on_demand or shared,
        disable=how.disable,
        key_choice=Choice(commands, leave=bool(found.keys) or shared),
        own=({"home": found.inside} if found.inside else {}) | dict(found.own),
        home_path=found.home,
        where=found.where,
    )


def settle_shell(layout: Layout, host: Host, people: Collection[str], fault: Fault = no_fault) -> list[str]:
    """Have Jailkit's shell and crontabs that use it go on for ``people``, who were brought in; return lines."""
    with fs.lock(layout.lock):
        lines = transaction.recover(layout, SHELL)
        journal = Journal(layout, SHELL, fault)
        with journal.changing("migrate: shell", "jailssh migrate --apply"):
            shells = {person.shell for person in host.people()}
            lines += jk_chrootsh.settle(layout, journal, host, people, shells)
            # Crontabs are other people's too: what came into them since stays.
            journal.commit(exact=True)
    return lines


def _undo_shell(layout: Layout) -> list[str]:
    """Take that back once nobody is left who was brought in."""
    if state.read(layout):
        return []
    with fs.lock(layout.lock):
        lines = transaction.recover(layout, SHELL)
        journal = Journal(layout, SHELL)
        steps = list(journal.original)
        undo.take_back(steps)
        journal.forget()
    return [*lines, *map(_restored, steps)]


def _restored(step: undo.UndoAction) -> str:
    if step.op == undo.Operation.FILE and not undo.is_as_before(step.key, step.args[0]):
        return f"note: {step.key} stays, since it was changed: set SHELL= in it by hand"
    return f"restored: {step.key}"


def _back(layout: Layout, name: str, publisher: Publishing) -> list[str]:
    wish = DelUserOptions(name, keep_account=True)
    return deluser.deluser(layout, wish, publisher.withdraw, lambda _: True)


def undo_all(
    layout: Layout, publisher: Publishing, sources: Collection[str] = (), people: Collection[str] = ()
) -> list[str]:
    """Take back what was brought in, of these sources and people alone where some are named; return lines.

    What cannot be taken back is raised at the end; a second run goes on with it.
    """
    known = state.read(layout)
    tries = Tries()
    lines: list[str] = []
    for name, brought in sorted(known.items()):
        if (sources and brought.source not in sources) or (people and name not in people):
            continue

        def back(name: str = name, brought: Brought = brought) -> list[str]:
            done = _undo_one(layout, name, brought, publisher)
            rest = state.read(layout)
            rest.pop(name, None)
            state.write(layout, rest)
            return done

        lines += tries(f"account {name}", back) or []
    lines += tries("shell", lambda: _undo_shell(layout)) or []
    lines += tries("jails", lambda: _undo_jails(layout)) or []
    if tries.errors:
        raise deluser.NotFinishedError(lines, tries.errors)
    return lines


def _undo_one(layout: Layout, name: str, brought: Brought, publisher: Publishing) -> list[str]:
    entry = accounts.find(name)
    if entry is None:
        return [f"{name}: the account is gone"]
    if entry.uid != brought.uid:
        return [f"{name}: is another account by now (uid {entry.uid}, then {brought.uid}); nothing done"]
    journal = Journal(layout, adduser.subject(name))
    if not os.path.lexists(adduser.users_file(layout, name)) and not journal.original and not journal.steps:
        return [f"{name}: was taken out of its jail already"]
    return _back(layout, name, publisher)


def _undo_jails(layout: Layout) -> list[str]:
    """Remove the jails that were written and that nobody is in; those with accounts stay, and are named.

    So do files that were changed since.
    """
    with fs.lock(layout.lock):
        lines = transaction.recover(layout, SUBJECT)
        journal = Journal(layout, SUBJECT)
        if not journal.original:
            return lines
        used = _used(layout)
        stay = [
            step for step in journal.original if step.key.startswith(f"{layout.jails}/") and _jail(step.key) in used
        ]
        if stay:
            named = ", ".join(_jail(step.key) for step in stay)
            return [*lines, f"note: jails stay, since accounts are in them: {named}"]
        there = [step.key for step in journal.original if os.path.lexists(step.key)]
        undo.take_back(journal.original)
        journal.forget()
    for path in there:
        if not os.path.lexists(path):
            lines.append(f"- {path}")
        elif not os.path.isdir(path):
            lines.append(f"note: {path} stays, since it was changed")
    return lines


def _jail(path: str) -> str:
    return os.path.basename(path).removesuffix(".conf")


def _used(layout: Layout) -> set[str]:
    configuration = load_configuration(layout)
    used: set[str] = set()
    for name in configuration.user_names():
        user = configuration.user(name)
        used |= set(user.jails) if user else set()
    documents = {name: each for name, each in configuration.documents.items() if isinstance(each, Document)}
    return used | {name for name, each in documents.items() if groups_of(each) or enter_of(each)}
