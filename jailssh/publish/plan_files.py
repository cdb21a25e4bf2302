"""The published plans: one file for each account, and beside a shared account's those of its keys.

``<uid>`` is what a login reads first.  In a shared account it is a roster, which says which of its named keys has
which plan; these are ``<uid>.<serial>``, named by their content, so they are never changed, only added and removed:
added before the roster that needs them, removed after the one that needed them.  ``<uid>@<jail>`` is what an account
does that enters this jail on the host, which no login reads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from jailssh.config.reader import did_you_mean
from jailssh.core.errors import ConfigError, HostError, JailsshError, UsageError
from jailssh.core.journal_fields import Event
from jailssh.core.names import check_jail_name, escape, is_number
from jailssh.files import fs, narrow, several
from jailssh.host import journal
from jailssh.host.paths import Layout
from jailssh.plan import codec, ops
from jailssh.plan.compile import numbered
from jailssh.publish import quotas
from jailssh.services import slices

_PATIENCE = 10.0
_HEAD = 4096
_NAMED = re.compile(rb"%s\0\d+\0\d+\0\d+\0([^\0]+)\0" % ops.MAGIC.encode())
_IMAGE = re.compile(rb"\0image\0(/[^\0]*)(?=\0)")
_ROSTER = tuple(b"\0%s\0" % verb.encode() for verb in ops.ROSTER)
_KEY_PLAN = re.compile(r"([1-9][0-9]*)\.([0-9a-f]{16})\Z")
_ENTRY_PLAN = re.compile(r"([1-9][0-9]*)@([a-z0-9][a-z0-9_.-]{0,63})\Z")


@dataclass(frozen=True)
class AccountPlans:
    """What one account's logins get: its plan, and if that is a roster, the plans of its keys by serial."""

    plan: codec.Plan
    of_keys: Mapping[str, codec.Plan]


def plan_file(layout: Layout, uid: int, serial: str = "") -> str:
    """Return the path of the plan of ``uid``, or with ``serial`` of the one that keys of it have."""
    return f"{layout.plans}/{uid}" + (f".{serial}" if serial else "")


def entry_file(layout: Layout, uid: int, jail: str) -> str:
    """Return the path of the plan of ``uid`` for entering ``jail``."""
    return f"{layout.plans}/{uid}@{jail}"


def read_entry(layout: Layout, uid: int, jail: str) -> codec.Plan | None:
    """Return the published plan of ``uid`` for entering ``jail``, None without one; raises as :func:`read_plan`."""
    data = _read(entry_file(layout, uid, check_jail_name(jail)), layout.root)
    return None if data is None else codec.decode(data)


def readable_entry(layout: Layout, uid: int, jail: str) -> codec.Plan | None:
    """Return it as :func:`read_entry` does, None also for one by which nobody would get in."""
    try:
        return read_entry(layout, uid, jail)
    except JailsshError:
        return None


def entries(layout: Layout) -> list[tuple[int, str]]:
    """Return for which (uid, jail) there is a plan to enter, sorted."""
    found = (_ENTRY_PLAN.match(name) for name in _names(layout.plans))
    return sorted((int(match[1]), match[2]) for match in found if match)


def write_entry(layout: Layout, plan: codec.Plan, jail: str) -> bool:
    """Publish the plan of an account for entering ``jail`` as :func:`write` does.  Call under the lock."""
    _must_have_image(plan)
    return _write(entry_file(layout, plan.uid, jail), plan, layout.root)


def withdraw_entries(layout: Layout, uid: int, jails: Collection[str] | None = None) -> list[str]:
    """Remove the plans of ``uid`` for entering ``jails`` (None: any); return the jails that there was one for."""
    found = [jail for each, jail in entries(layout) if each == uid and (jails is None or jail in jails)]
    if not found:
        return []
    with _narrowing(layout.plans):
        return [jail for jail in found if fs.remove_file(entry_file(layout, uid, jail))]


def read_plan(layout: Layout, uid: int, serial: str = "") -> codec.Plan | None:
    """Return the published plan of ``uid`` (``serial``: of its keys), None if there is none.

    A damaged one is a :class:`ConfigError`.
    """
    data = _read(plan_file(layout, uid, serial), layout.root)
    return None if data is None else codec.decode(data)


def readable_plan(layout: Layout, uid: int, serial: str = "") -> codec.Plan | None:
    """Return the published plan as :func:`read_plan` does, None also for one that no login would take."""
    try:
        return read_plan(layout, uid, serial)
    except JailsshError:
        return None


def login_plan(layout: Layout, uid: int, user: str, key: str | None) -> codec.Plan | None:
    """Return the plan that a login gets, in a shared account by the named ``key``; None if there is no plan.

    :class:`UsageError` where a key's name is missing, unknown, or given for an account that is not shared.
    """
    plan = read_plan(layout, uid)
    names = keys_of(plan)
    if plan is None or (key is None and not names):
        return plan
    if key is None:
        raise UsageError(
            f"account {user}", "is shared, so a key name is required", hint=f"--key NAME, one of: {', '.join(names)}"
        )
    if key not in names:
        why = (
            f"account {user} does not have this key"
            if names
            else f"account {user} is not shared, so its keys have no names"
        )
        raise UsageError(f"--key {escape(key, 60)}", why, hint=did_you_mean(key, names))
    found = read_plan(layout, uid, names[key])
    if found is None:
        raise ConfigError(plan_file(layout, uid, names[key]), "does not exist", hint="jailssh apply")
    return found


class Before:
    """What is published for ``uid`` at this moment; it is understood when somebody asks, which is seldom."""

    def __init__(self, layout: Layout, uid: int) -> None:
        self.data: bytes | None = None
        self._of_keys: dict[str, bytes] = {}
        with suppress(JailsshError):
            self.data = _read(plan_file(layout, uid), layout.root)
        self.is_roster = self.data is not None and any(verb in self.data for verb in _ROSTER)
        if self.data is not None and self.is_roster:
            with suppress(JailsshError):
                self._of_keys = _of_keys(layout, uid, keys_of(codec.decode(self.data)).values())

    def plans(self, new: AccountPlans | None = None) -> AccountPlans | None:
        """Return what is readable of it, None for no plan; what is the same in ``new`` is not looked at again."""
        known = {each.data: each for each in new.of_keys.values()} if new and self._of_keys else {}
        with suppress(JailsshError):
            if self.data is not None:
                return AccountPlans(codec.decode(self.data), dict(_readable(self._of_keys, known)))
        return None


def _of_keys(layout: Layout, uid: int, serials: Iterable[str]) -> dict[str, bytes]:
    """Return the content of the plans of keys that are there, by serial; the way to them is walked once."""
    names = {f"{uid}.{serial}": serial for serial in serials}
    found = several.read_good(layout.plans, names, ops.MAX_SIZE, trusted_root=layout.root or None)
    return {names[name]: data for name, data in found}


def _readable(of_keys: Mapping[str, bytes], known: Mapping[bytes, codec.Plan]) -> Iterator[tuple[str, codec.Plan]]:
    for serial, data in of_keys.items():
        with suppress(JailsshError):
            yield serial, known.get(data) or codec.decode(data)


def published(layout: Layout, uid: int, new: AccountPlans | None = None) -> AccountPlans | None:
    """Return what is published for ``uid`` and readable; what is the same in ``new`` is not looked at again."""
    return Before(layout, uid).plans(new)


def planned_uids(layout: Layout) -> list[int]:
    """Return the uids that have a plan, sorted."""
    return sorted(int(name) for name in _names(layout.plans) if is_number(name))


def roster(layout: Layout, uid: int) -> codec.Plan | None:
    """Return the published plan of ``uid`` if it is the roster of a shared account and readable.

    Of the others, which are most where there are thousands, nothing is judged.
    """
    return next((plan for _, plan in _rosters(layout, [uid])), None)


def rosters(layout: Layout) -> Iterator[tuple[int, codec.Plan]]:
    """Yield what :func:`roster` returns for every uid that has one, by uid; the way to the plans is walked once."""
    return _rosters(layout, planned_uids(layout))


def _rosters(layout: Layout, uids: Iterable[int]) -> Iterator[tuple[int, codec.Plan]]:
    names = map(str, uids)
    for name, data in several.read_good(layout.plans, names, ops.MAX_SIZE, trusted_root=layout.root or None):
        with suppress(JailsshError):
            if any(verb in data for verb in _ROSTER) and keys_of(plan := codec.decode(data)):
                yield int(name), plan


def keys_of(plan: codec.Plan | None) -> dict[str, str]:
    """Return which named key has which plan, name to serial, if ``plan`` is the roster of a shared account."""
    return {} if plan is None else {r.args[0]: r.args[1] for r in plan.records if r.verb in ops.ROSTER}


def plans_by_image(layout: Layout) -> dict[str, list[codec.Plan]]:
    """Return the published plans by the image's host path; a damaged plan, which no login takes, counts for nothing."""
    found: dict[str, list[codec.Plan]] = {}
    for data in _everything(layout):
        with suppress(JailsshError):
            plan = codec.decode(data)
            if args := plan.first("image"):
                found.setdefault(args[0], []).append(plan)
    return found


def images_in_use(layout: Layout) -> set[str]:
    """Return the host paths of the images that plans name; more than those of plans that a login would take.

    For who removes images: of thousands of plans none is judged, and none is kept in memory.
    """
    return {os.fsdecode(image) for data in _everything(layout) for image in _IMAGE.findall(data)}


def _everything(layout: Layout) -> Iterator[bytes]:
    """Yield every published plan: those of accounts, of their keys, and for entering jails; by uid in each kind."""
    of_keys = sorted((int(m[1]), m[2]) for name in _names(layout.plans) if (m := _KEY_PLAN.match(name)))
    paths = [plan_file(layout, uid) for uid in planned_uids(layout)]
    paths += [plan_file(layout, uid, serial) for uid, serial in of_keys]
    paths += [entry_file(layout, uid, jail) for uid, jail in entries(layout)]
    names = [os.path.basename(path) for path in paths]
    for _, data in several.read_good(layout.plans, names, ops.MAX_SIZE, trusted_root=layout.root or None):
        yield data


def uids_of_keys(layout: Layout) -> set[int]:
    """Return the uids for whose keys there are plans: for many accounts the directory is listed once."""
    return {int(match[1]) for name in _names(layout.plans) if (match := _KEY_PLAN.match(name))}


@contextmanager
def locked(layout: Layout) -> Iterator[None]:
    """Hold what plans come and go under; nothing that takes long."""
    fs.ensure_dir(layout.plans, 0o700)
    with fs.lock(f"{layout.plans}/.lock"):
        yield


@contextmanager
def _narrowing(folder: str) -> Iterator[None]:
    """Hold what plans come and go under, to take some away: for a lock that is never given back nobody waits.

    Raises :class:`HostError` in the end where the lock was not held.
    """
    with narrow.lock(f"{folder}/.lock", _PATIENCE) as why:
        yield
    if why:
        hint = "repeat the command when that process has ended"
        raise HostError("plans", f"removed without their lock, so one may be back: {why}", hint=hint)


@contextmanager
def ready(layout: Layout, plan: codec.Plan, *, settle: bool = True) -> Iterator[Callable[[], None] | None]:
    """Write the plan of an account where it is not in force; yield what puts it in its place, for :func:`write`.

    The lock need not be held meanwhile, and nobody who publishes waits for another one's disk.
    Not ``settle``: a crash may bring the old plan back until :func:`jailssh.files.several.settle`.
    """
    path, data = plan_file(layout, plan.uid), codec.encode(plan)
    if _holds(path, data, layout.root):
        yield None
        return
    fs.ensure_dir(layout.plans, 0o700)
    with fs.new_file(path, (data,), 0o600, settle=settle) as put:
        yield put


def write(
    layout: Layout, plan: codec.Plan, of_keys: Mapping[str, codec.Plan], put: Callable[[], None] | None = None
) -> bool:
    """Publish the plan of an account, with those ``of_keys`` by serial; False if all was so.  Call under the lock.

    ``put``: what :func:`ready` has given for this plan.
    Nothing is published whose image has been cleared up meanwhile: :class:`ConfigError`.
    """
    for each in (plan, *of_keys.values()):
        _must_have_image(each)
    there = _of_keys(layout, plan.uid, of_keys) if of_keys else {}
    # What is there may be no file that the login program would take: it is replaced.
    new = {f"{plan.uid}.{serial}": each.data for serial, each in of_keys.items() if there.get(serial) != each.data}
    several.atomic_write_each(layout.plans, new, 0o600)
    return _write(plan_file(layout, plan.uid), plan, layout.root, put)


def _must_have_image(plan: codec.Plan) -> None:
    if image := _lost_image(plan):
        why = f"its image was removed while its plan was compiled: {escape(image)}"
        raise ConfigError(f"account {plan.name}", why, hint="repeat the command")


def withdraw(layout: Layout, uid: int) -> bool:
    """Remove the plan of ``uid``; False if there was none.  A login without a plan asks jailsshd or is refused."""
    if not os.path.isdir(layout.plans):
        return False
    try:
        with _narrowing(layout.plans):
            found = fs.remove_file(plan_file(layout, uid))
    finally:
        notes = [slices.release(layout, uid), quotas.release(layout, uid)]
    for note in filter(None, notes):
        journal.record(Event.SETUP_CHANGED, note, {})
    return found


def tidy(path: str, root: str = "") -> None:
    """Remove the plans of keys that the account's plan at ``path`` does not name: all where it is no roster."""
    folder, uid = os.path.split(path)
    if not _key_plans(folder, uid):
        return
    with _narrowing(folder):
        try:
            named = _serials(path, root)
        except JailsshError:
            return  # Nobody logs in by a damaged roster, and the next one that is published says what it needs.
        several.remove_each(folder, [name for name, serial in _key_plans(folder, uid).items() if serial not in named])


def sweep(layout: Layout) -> None:
    """Remove the plans of keys of all accounts that have no plan; for those who withdraw many, instead of :func:`tidy`.

    Plans of keys are added before the one that needs them, but both under the lock.
    """
    if not any(map(_KEY_PLAN.match, _names(layout.plans))):
        return
    with _narrowing(layout.plans):
        names = set(_names(layout.plans))
        for name in names:
            if (match := _KEY_PLAN.match(name)) and match[1] not in names:
                fs.remove_file(f"{layout.plans}/{name}")


def _key_plans(folder: str, uid: str) -> dict[str, str]:
    """Return the files of the plans that keys of this account have or had, each with its serial."""
    found = [name for name in _names(folder) if name.startswith(f"{uid}.")]
    return {match[0]: match[2] for name in found if (match := _KEY_PLAN.match(name))}


def lacking(path: str, root: str = "", data: bytes | None = None) -> str:
    """Return what a login by the account's plan at ``path`` would not find, "" if all is there, or there is no plan.

    ``data``: this plan in its place, one of the past for instance, whose image may have been cleared up since.  Looked
    for are the plans of the keys that a roster names, and the images of all of them.  A plan that cannot be read lacks
    everything.
    """
    try:
        plan = _decoded(path, root) if data is None else codec.decode(data)
        of_keys = {serial: _decoded(f"{path}.{serial}", root) for serial in set(keys_of(plan).values())}
    except JailsshError as error:
        return str(error)
    for serial, each in sorted(of_keys.items()):
        if each is None:
            return f"the plan {path}.{serial} of its keys does not exist"
    for each in (plan, *of_keys.values()):
        if each and (image := _lost_image(each)):
            return f"its image {escape(image)} does not exist"
    return ""


def put_back(path: str, data: bytes | None, mode: int = 0o600, root: str = "") -> str:
    """Give the account's plan at ``path`` an older content again, None for no plan; return what that content lacks.

    One that lacks something is not put back, and no plan is there then: the next login, or ``apply``, makes one from
    what is true now.  Nothing is cleared up between the look and the act.
    """
    head = os.path.dirname(path)
    fs.ensure_dir(head, 0o700)
    with fs.lock(f"{head}/.lock"):
        why = "" if data is None else lacking(path, root, data)
        if data is None or why:
            fs.remove_file(path)
        else:
            fs.atomic_write(path, data, mode)
    tidy(path, root)
    return why


def _lost_image(plan: codec.Plan) -> str:
    """Return the image that a plan names and that is not there, or ""."""
    (image,) = plan.first("image") or ("",)
    return image if image and not os.path.isdir(image) else ""


def _decoded(path: str, root: str) -> codec.Plan | None:
    data = _read(path, root)
    return None if data is None else codec.decode(data)


def entries_of(plan: codec.Plan | None) -> set[tuple[str, str, str]]:
    """Return whom a roster lets in, as :meth:`jailssh.config.keys.Keyring.entries` does; any other plan nobody."""
    return {_entry(record) for record in plan.records if record.verb in ops.ROSTER} if plan else set()


def _entry(record: ops.Record) -> tuple[str, str, str]:
    name, _, *principal, blob = record.args
    return name, blob, "".join(principal)


def shut_out(layout: Layout, uid: int, gone: Collection[tuple[str, str, str]]) -> str:
    """Publish the roster of ``uid`` without these; one that lets nobody in any more is withdrawn.

    So is one that cannot be written; returns what is to be said of that, else "".
    """
    path = plan_file(layout, uid)
    with _narrowing(layout.plans):
        old = readable_plan(layout, uid)
        if old is None or not entries_of(old) & set(gone):
            return ""
        left = [record for record in old.records if record.verb not in ops.ROSTER or _entry(record) not in gone]
        if not any(record.verb in ops.ROSTER for record in left):
            fs.remove_file(path)
            return ""
        try:
            _write(path, numbered(old, left), layout.root)
            return ""
        except HostError as error:
            return f"{narrow.remove(path, error.why)}; the next login creates it again"


def beginnings(layout: Layout) -> Iterator[tuple[int, bytes]]:
    """Yield (uid, the first bytes) of every plan, those of keys too: to look through thousands in a moment.

    Nothing is checked but that root alone can have written them.
    """
    for name in _names(layout.plans):
        uid = name if is_number(name) else match[1] if (match := _KEY_PLAN.match(name)) else ""
        if uid:
            with suppress(JailsshError):
                if data := _read(f"{layout.plans}/{name}", layout.root):
                    yield int(uid), data[:_HEAD]


def uids_of(layout: Layout, name: str) -> list[int]:
    """Return the uids with a plan for an account of this name; only the head of each file is read."""
    head = re.compile(rb"%s\0\d+\0\d+\0\d+\0%s\0" % (re.escape(ops.MAGIC.encode()), re.escape(name.encode())))
    found = []
    for uid in planned_uids(layout):
        with suppress(OSError), open(plan_file(layout, uid), "rb") as stream:
            if head.match(stream.read(512)):
                found.append(uid)
    return found


def uids_by_name(layout: Layout) -> dict[str, list[int]]:
    """Return what :func:`uids_of` does for every name that a plan has, by one look at each plan."""
    found: dict[str, list[int]] = {}
    for uid in planned_uids(layout):
        with suppress(OSError), open(plan_file(layout, uid), "rb") as stream:
            if match := _NAMED.match(stream.read(512)):
                found.setdefault(os.fsdecode(match[1]), []).append(uid)
    return found


def _serials(path: str, root: str) -> set[str]:
    data = _read(path, root)
    return set() if data is None else set(keys_of(codec.decode(data)).values())


def _names(folder: str) -> Iterable[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return ()


def _read(path: str, root: str) -> bytes | None:
    try:
        return fs.read_trusted(path, ops.MAX_SIZE, trusted_root=root or None)
    except HostError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise


def _write(path: str, plan: codec.Plan, root: str, put: Callable[[], None] | None = None) -> bool:
    data = codec.encode(plan)
    if _holds(path, data, root):
        return False
    if put:
        put()
    else:
        fs.atomic_write(path, data, 0o600)
    return True


def _holds(path: str, data: bytes, root: str) -> bool:
    with suppress(HostError):  # What is there may be no file that the login program would take: it is replaced.
        return _read(path, root) == data
    return False
