"""Sessions on trees: one set of namespaces and one overlay for several commands, by a name.

``/var/lib/jailssh/trees/NAME`` has the plan that made it, and what is written where no other place was named.  That is
there before anything else is, so that a session can be found again, made anew or ended after whatever has happened.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass

from jailssh.core.errors import HostError, UsageError
from jailssh.core.names import escape
from jailssh.entering import kept, scopes
from jailssh.entering.kept import Kept, Kind
from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.plan.ops import MAX_SIZE, Record
from jailssh.plan.run_ops import RunPlan, in_order

WRITTEN = "written"
PLAN = "plan"
# What each command has of its own, and what both have; all else is the tree's.
_OF_COMMANDS = frozenset(
    ("home", "pty", "group", "rlimit", "umask", "nice", "env", "keep-cap", "argument", "pid-file", "background")
)
_OF_BOTH = frozenset(("jail", "net", "tree", "new-users", "privileged", "seccomp"))


@dataclass(frozen=True)
class Session:
    """One as it is now; ``held`` is None for one that a crash or a reboot has ended."""

    _: KW_ONLY
    name: str
    tree: str
    written: str
    held: Kept | None


def room_of(layout: Layout, name: str) -> str:
    """Return the directory of a session."""
    return f"{layout.trees}/{name}"


def make_room(layout: Layout, name: str) -> str:
    """Make the directory of a session, and in it the one for what is written, which is returned."""
    fs.ensure_dir(layout.trees, 0o700)
    fs.ensure_dir(room_of(layout, name), 0o700)
    written = f"{room_of(layout, name)}/{WRITTEN}"
    fs.ensure_dir(written, 0o755)
    return written


def _of_tree(plan: RunPlan) -> list[Record]:
    return [record for record in plan.records if record.verb not in _OF_COMMANDS]


def holding(plan: RunPlan) -> RunPlan:
    """Return what holds the tree of a command's plan."""
    own = [Record("home", ("/",)), Record("pty", ("no",)), Record("background"), Record("hold"),
           Record("argument", ("-",))]  # fmt: skip
    powers = [] if any(record.verb == "privileged" for record in plan.records) else [Record("keep-cap", ("kill", "5"))]
    maps = any(record.verb == "new-users" for record in plan.records)
    who = (plan.uid, plan.gid) if maps else (0, 0)
    return RunPlan(uid=who[0], gid=who[1], name="root", records=in_order([*_of_tree(plan), *own, *powers]))


def joining(plan: RunPlan, held: Kept) -> RunPlan:
    """Return the plan of a command in a tree that is held."""
    taken = [record for record in plan.records if record.verb in _OF_COMMANDS | _OF_BOTH]
    return RunPlan(uid=plan.uid, gid=plan.gid, name=plan.name, records=in_order([*taken, held.joins]))


def begin(layout: Layout, name: str, plan: RunPlan, *, says_more: bool) -> Kept:
    """Return the session of a name, begun by a command's plan where it is not there yet; :func:`kept.locked` is held.

    ``says_more``: the command line says more of the tree than which one it is; then it must be what it was begun with.
    """
    wanted = holding(plan)
    known = stored(layout, name)
    held = _held(layout, name)
    if known is None:
        if held is not None:
            raise HostError(f"session {name}", "has no directory any more", hint=f"jailssh session end {name}")
        fs.ensure_dir(layout.trees, 0o700)
        fs.ensure_dir(room_of(layout, name), 0o700)
        known = Stored(facts=_facts_of(wanted), records=_comparable(wanted), plan=wanted.encode())
        fs.atomic_write(f"{room_of(layout, name)}/{PLAN}", known.encode(), 0o600)
        try:
            return kept.hold(layout, name, Kind.SESSION, known.plan, known.facts)
        except HostError:
            fs.remove_file(f"{room_of(layout, name)}/{PLAN}")
            raise
    if held is None or not kept.is_held(held):
        raise HostError(f"session {name}", "was ended by a crash or a reboot", hint=f"jailssh session recover {name}")
    same = known.records == _comparable(wanted) if says_more else known.facts["tree"] == _facts_of(wanted)["tree"]
    if not same:
        why = "was begun with another tree or other options of one"
        raise UsageError(f"session {name}", why, hint=f"jailssh session end {name}")
    return held


def leave_login(held: Kept) -> str:
    """Let a session that was begun in a login outlive it, where systemd has control groups; return why not, or ""."""
    return scopes.leave_login(f"jailssh-session-{held.name}.scope", held.pid, f"session {held.name}")


def _held(layout: Layout, name: str) -> Kept | None:
    held = kept.find(layout, name)
    if held is not None and held.kind != Kind.SESSION:
        raise UsageError(f"session {name}", f"is the name of a {held.kind}")
    return held


def _facts_of(plan: RunPlan) -> dict[str, str]:
    of = {record.verb: record.args for record in plan.records}
    return {"tree": of["tree"][0], WRITTEN: of["written"][0] if "written" in of else ""}


def _comparable(plan: RunPlan) -> list[list[str]]:
    """Return what a session is made of, without the filter, which another version may have otherwise."""
    return [[record.verb, *record.args] for record in plan.records if record.verb != "seccomp"]


@dataclass(frozen=True)
class Stored:
    """What is kept of a session while there is one: what the registry has of it, its records, its plan."""

    _: KW_ONLY
    facts: dict[str, str]
    records: list[list[str]]
    plan: bytes

    def encode(self) -> bytes:
        """Return the bytes of the file."""
        return json.dumps({"facts": self.facts, "records": self.records, "plan": self.plan.hex()}).encode()


def stored(layout: Layout, name: str) -> Stored | None:
    """Return what a session was begun with, None where there is none; :class:`HostError` for what is no such file."""
    path = f"{room_of(layout, name)}/{PLAN}"
    if not os.path.lexists(path):
        return None
    try:
        row = json.loads(fs.read_trusted(path, 8 * MAX_SIZE))
        facts = {key: str(row["facts"][key]) for key in ("tree", WRITTEN)}
        return Stored(facts=facts, records=row["records"], plan=bytes.fromhex(row["plan"]))
    except (ValueError, TypeError, KeyError) as error:
        raise HostError(
            f"file {escape(path)}", "is no plan of a session", hint=f"jailssh session end {name}"
        ) from error


def recover(layout: Layout, name: str) -> Kept:
    """Make the namespaces of a session anew; what was written is there.  :func:`kept.locked` is for the caller."""
    known = stored(layout, name)
    if known is None:
        raise UsageError(f"session {name}", "does not exist", hint="jailssh session list")
    held = _held(layout, name)
    if held is not None and kept.is_held(held):
        return held
    return kept.hold(layout, name, Kind.SESSION, known.plan, known.facts)


def end(layout: Layout, name: str) -> bool:
    """End all that runs in a session, and remove what is its own; False if that had to be killed or was gone before.

    Mounts are its namespace's and go with it.  What was written in its own directory is removed by descriptor, and no
    mount is crossed; a directory that was named for it stays.
    """
    held = _held(layout, name)
    if held is None and not os.path.lexists(room_of(layout, name)):
        raise UsageError(f"session {name}", "does not exist", hint="jailssh session list")
    ended = kept.end(layout, held) if held is not None else False
    _remove_room(layout, name)
    return ended


def clear_up(layout: Layout, name: str) -> None:
    """Remove the directory of a session that was never begun; :func:`kept.locked` is for the caller."""
    room = room_of(layout, name)
    if kept.find(layout, name) is None and os.path.isdir(room) and not os.path.lexists(f"{room}/{PLAN}"):
        _remove_room(layout, name)


def _remove_room(layout: Layout, name: str) -> None:
    with _opened(layout.trees) as above:
        try:
            if above is not None:
                fs.remove_tree(above, name)
        except OSError as error:
            raise fs.failed("remove", room_of(layout, name), error) from error


@contextmanager
def _opened(path: str) -> Iterator[int | None]:
    if not os.path.isdir(path):
        yield None
        return
    fd = fs.open_dir(path)
    try:
        yield fd
    finally:
        os.close(fd)


def all_sessions(layout: Layout) -> list[Session]:
    """Return all, by name."""
    held = {each.name: each for each in kept.entries(layout) if each.kind == Kind.SESSION and kept.is_held(each)}
    # On a file system of its own there is a directory lost+found.
    there = filter(kept.is_name, os.listdir(layout.trees)) if os.path.isdir(layout.trees) else ()
    names = {*held, *there}
    found = []
    for name in sorted(names):
        facts = held[name].facts if name in held else _kept_facts(layout, name)
        found.append(
            Session(name=name, tree=facts.get("tree", ""), written=facts.get(WRITTEN, ""), held=held.get(name))
        )
    return found


def _kept_facts(layout: Layout, name: str) -> Mapping[str, str]:
    """Return what is kept of a session that is not there; nothing of one whose file is damaged, which can be ended."""
    try:
        known = stored(layout, name)
    except HostError:
        return {}
    return known.facts if known else {}
