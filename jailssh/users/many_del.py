"""Take many accounts out of their jails: the access of all goes first, then what confines them, then the accounts.

Each step is sound by itself and the same command again goes on, as with one account; the files of local accounts are
rewritten once for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from jailssh.core.errors import JailsshError, UsageError, parts, raise_all
from jailssh.core.names import check_account_name, pluralize
from jailssh.core.tries import Tries
from jailssh.files import homes, narrow
from jailssh.host import accounts
from jailssh.host.paths import Layout
from jailssh.publish import plan_files
from jailssh.services import shadow
from jailssh.users import deluser, key_removal, settling
from jailssh.users.adduser import Confirm
from jailssh.users.covers import take_away_each
from jailssh.users.deluser import DelUserFacts, DelUserOptions, Ending
from jailssh.users.many import Progress, no_progress


@dataclass(frozen=True)
class Deleted:
    """What became of one account; ``errors`` says what could not be done, its access is gone as far as possible."""

    name: str
    lines: tuple[str, ...]
    errors: tuple[JailsshError, ...] = ()


@dataclass
class _Case:
    """One account; ``open``: its access could not be fully removed."""

    wish: DelUserOptions
    facts: DelUserFacts
    tries: Tries
    ended: tuple[str, ...] = ()
    ending: Ending | None = None
    open: bool = False
    lines: tuple[str, ...] = ()


def del_many(
    layout: Layout,
    wishes: Sequence[DelUserOptions],
    withdraw: Callable[[int], object],
    confirm: Confirm,
    progress: Progress = no_progress,
) -> list[Deleted]:
    """Take the accounts out of their jails; return what became of each, in their order.

    Names that are in no jail, or twice in the list, are raised before the first change.  ``withdraw`` removes the plan
    of a uid; those of its keys it may leave.
    """
    settling.try_renames(layout, [wish.name for wish in wishes])
    cases = _looked(layout, wishes)
    _ask(cases, confirm)
    shut = [Tries() for _ in cases]
    why = key_removal.under_lock(layout, partial(_shut_out, layout, cases, shut, withdraw, progress))
    for case, tries in zip(cases, shut, strict=True):
        case.tries.errors += tries.errors
        case.open = bool(tries.errors)
        if case.open and " holds " not in why:
            case.ended = tuple(deluser.lock_open(layout, case.wish.name, case.facts, case.tries))
        if case.wish.now:
            case.ended += tuple(deluser.end_all(layout, case.wish.name, case.facts, case.tries))
        if " holds " in why:
            case.tries.errors.append(key_removal.late(f"account {case.wish.name}", why))
    with narrow.lock(layout.lock, key_removal.AGAIN) as why:
        if why:
            for case in cases:
                error = JailsshError(f"account {case.wish.name}", f"not finished: {why}", hint="repeat the command")
                case.tries.errors.append(error)
        else:
            _finish(layout, [case for case in cases if not case.tries.errors])
    progress(len(cases), len(cases))
    return [_deleted(case) for case in cases]


def _looked(layout: Layout, wishes: Sequence[DelUserOptions]) -> list[_Case]:
    errors: list[JailsshError] = []
    cases: list[_Case] = []
    seen: set[str] = set()
    for wish in wishes:
        tries = Tries()
        try:
            if check_account_name(wish.name) in seen:
                raise UsageError(f"account {wish.name}", "is named twice")
            seen.add(wish.name)
            facts = deluser.look(layout, wish.name, tries)
            if wish.remove_home and not facts.deletes(wish) and not tries.errors:
                why = "was not created by adduser, and --remove-home applies only to those"
                raise UsageError(f"account {wish.name}", why)
            cases.append(_Case(wish, facts, tries))
        except JailsshError as error:
            errors += parts(error)
    raise_all(errors)
    return cases


def _ask(cases: Sequence[_Case], confirm: Confirm) -> None:
    going = [case.wish for case in cases if case.facts.deletes(case.wish)]
    if not going:
        return
    names = ", ".join(wish.name for wish in going[:10]) + (f" and {len(going) - 10} more" if going[10:] else "")
    homes = " and their homes" if any(wish.remove_home for wish in going) else ""
    if not confirm(f"Delete {pluralize(len(going), 'account')}{homes}: {names}? jailssh adduser created them."):
        raise JailsshError("deluser", "aborted; nothing changed")


def _shut_out(
    layout: Layout,
    cases: Sequence[_Case],
    shut: Sequence[Tries],
    withdraw: Callable[[int], object],
    progress: Progress,
) -> None:
    for at, (case, tries) in enumerate(zip(cases, shut, strict=True)):
        deluser.shut_out(layout, case.wish.name, case.facts, withdraw, tries)
        progress(at, len(cases))
    shut[0]("plans of keys", partial(plan_files.sweep, layout))


def _finish(layout: Layout, cases: Sequence[_Case]) -> None:
    found = [case.facts.entry for case in cases if case.facts.same and not case.wish.remove_home]
    take_away_each([entry for entry in found if entry is not None])  # before what was set aside comes back
    known = accounts.local_lines()
    for case in cases:
        what, entry = f"account {case.wish.name}", case.facts.entry
        # The name service reads all accounts to find one.
        same = entry is not None and known.get(entry.name) == (entry.uid, entry.gid, entry.home, entry.shell)
        ending = partial(deluser.prepare, layout, case.wish, case.facts, covered=False, unchanged=same)
        case.ending = case.tries(what, ending)
    going = [case for case in cases if case.ending is not None and case.ending.delete]
    for case in going:
        entry = case.ending.entry if case.ending else None
        if case.wish.remove_home and entry is not None:
            case.tries(f"home {entry.home}", partial(homes.remove_home, entry.home, entry.uid))
    going = [case for case in going if not case.tries.errors]
    if going:
        failed = Tries()
        failed("accounts", partial(_remove, [case.wish.name for case in going]))
        for case in going:
            case.tries.errors += failed.errors
    for case in cases:
        if case.ending is None or case.tries.errors:
            continue
        if case.ending.delete and case.wish.remove_home and case.ending.entry is not None:
            homes.remove_mail(case.wish.name, case.ending.entry.uid)
        lines = case.tries(case.wish.name, partial(deluser.end, layout, case.ending))
        case.lines = tuple(lines or ())


def _remove(names: Sequence[str]) -> None:
    with shadow.opened() as files:
        files.remove(set(names))
    if left := [name for name in names if accounts.find(name) is not None and accounts.is_local(name)]:
        raise JailsshError(f"account {left[0]}", "is still there after it was deleted")


def _deleted(case: _Case) -> Deleted:
    errors = tuple(case.tries.errors)
    if not errors:
        return Deleted(case.wish.name, (*case.ended, *case.lines))
    done = "can no longer log in" if not case.open else "access is not fully removed"
    return Deleted(case.wish.name, (f"{case.wish.name}: {done}", *case.ended), errors)
