"""``jailssh list``: the jails, and who is in one by name or as a member of a group."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from jailssh.change import transaction
from jailssh.config.jails import enter_of, groups_of
from jailssh.config.reader import Document
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_OK, JailsshError
from jailssh.core.identity import Identity, is_same
from jailssh.core.names import pluralize
from jailssh.core.ports import GROUP_PREFIX, Ports
from jailssh.files.mounts import Mount, mounts_of
from jailssh.host import accounts
from jailssh.host.accounts import AccountEntry, UnansweredError
from jailssh.host.paths import Layout
from jailssh.integrity import census
from jailssh.jail.configuration import Configuration, load_configuration
from jailssh.publish import quotas
from jailssh.publish.plan_files import entries, keys_of, planned_uids, readable_entry, rosters

EXAMPLES = ("jailssh list", "jailssh list --json")
_SOME = 20
_NOTHING: Mapping[str, Any] = {"keys": 0, "quotas": []}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments: none of its own."""


def run(_args: argparse.Namespace, context: Context) -> int:
    """List jails and accounts."""
    context.need_root("list")
    configuration = load_configuration(context.layout)
    jails = [_jail(name, document) for name, document in sorted(configuration.documents.items())]
    find, host = _finder(context.layout), _Published.on(context.layout)
    opened, mounts = _opened(configuration), mounts_of()
    users = [_user(configuration, name, find, host, opened, mounts) for name in configuration.user_names()]
    lines = ["jails:"]
    for jail in jails:
        lines.append(f"  {jail['name']:<20} {jail['summary']}".rstrip())
    by_group = [group for jail in jails for group in _groups(jail)]
    lines += ["groups whose members are in a jail:"] if by_group else []
    for group in by_group:
        some, more = group["members"][:_SOME], len(group["members"]) - _SOME
        people = ", ".join(some) + (f" and {more} more" if more > 0 else "") or group["state"]
        lines.append(f"  {group['name']:<20} {group['jail']:<24} {people}")
    lines.append("accounts:" if users else "accounts: none is assigned to a jail directly")
    lines += [f"  {user['name']:<20} {user['jail']:<24} {user['state']}" for user in users]
    entrants = _entrants(context.layout)
    lines += ["may enter a jail on this host:"] if any(jail["enter"] for jail in jails) else []
    for jail in jails:
        ready = [each["name"] for each in entrants if each["jail"] == jail["name"]]
        some, more = ", ".join(ready[:_SOME]) or "nobody yet: jailssh apply", len(ready) - _SOME
        if jail["enter"]:
            said = f"{', '.join(jail['enter'])}; ready: {some}{f' and {more} more' if more > 0 else ''}"
            lines.append(f"  {jail['name']:<20} {said}")
    unfinished = transaction.unfinished(context.layout)
    lines += ["unfinished changes:"] if unfinished else []
    lines += [f"  {each.line()}{f'; to end it: {each.hint()}' if each.hint() else ''}" for each in unfinished]
    facts = {
        "jails": jails,
        "groups": by_group,
        "accounts": users,
        "enter": entrants,
        "unfinished": [asdict(each) for each in unfinished],
    }
    context.facts(facts, lines)
    return EXIT_OK


def _entrants(layout: Layout) -> list[dict[str, Any]]:
    """Return who has a plan to enter which jail."""
    found = ((uid, jail, readable_entry(layout, uid, jail)) for uid, jail in entries(layout))
    return [{"name": plan.name if plan else str(uid), "uid": uid, "jail": jail} for uid, jail, plan in found]


def _jail(name: str, document: Document | JailsshError) -> dict[str, Any]:
    if not isinstance(document, Document):
        return {"name": name, "summary": f"BROKEN: {document}", "groups": [], "enter": []}
    summary = document.entries[""].get("summary")
    return {
        "name": name,
        "summary": str(summary.raw) if summary else "",
        "groups": list(groups_of(document)),
        "enter": list(enter_of(document)),
    }


def _groups(jail: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "jail": jail["name"],
            "members": accounts.members(name),
            "state": "no member that this host lists" if accounts.group_exists(name) else "no such group",
        }
        for name in jail["groups"]
    ]


@dataclass(frozen=True)
class _Published:
    """The uids that have a plan, and how many named keys those have that are shared."""

    uids: frozenset[int]
    keys: Mapping[int, int]

    @classmethod
    def on(cls, layout: Layout) -> _Published:
        return cls(frozenset(planned_uids(layout)), {uid: len(keys_of(plan)) for uid, plan in rosters(layout)})


def _finder(layout: Layout) -> Callable[[str], AccountEntry | None]:
    """Return what finds an account by name: of thousands one look at the files, where nobody else knows people."""
    known = None if layout.root else census.take(layout)
    return known.entries.get if known and known.alone else accounts.find


def _opened(configuration: Configuration) -> dict[str, Ports]:
    """Return what sshd forwards without a session, by account: what its group stands for."""
    lists = configuration.port_lists()
    held = {name: [lists[each] for each in groups if each in lists]
            for name, groups in accounts.listed_in(GROUP_PREFIX).items()}  # fmt: skip
    return {name: ports[0] for name, ports in held.items() if ports}


def _user(
    configuration: Configuration,
    name: str,
    find: Callable[[str], AccountEntry | None],
    published: _Published,
    opened: Mapping[str, Ports],
    mounts: Sequence[Mount],
) -> dict[str, Any]:
    try:
        user = configuration.user(name)
    except JailsshError as error:
        return {"name": name, "uid": None, "jail": "", "state": f"BROKEN: {error}", **_NOTHING}
    if user is None:
        return {"name": name, "uid": None, "jail": "", "state": "gone", **_NOTHING}
    try:
        entry = find(name)
    except UnansweredError as error:
        return {"name": name, "uid": user.uid, "jail": "+".join(user.jails), "state": f"UNKNOWN: {error}", **_NOTHING}
    if entry is None:
        state = "no such account"
    elif not is_same(Identity(name, user.uid), entry):
        state = f"ANOTHER ACCOUNT: uid {entry.uid}, not {user.uid}"
    elif user.uid in published.uids:
        state = "ready"
    else:
        state = "made at the next login"
    if entry is not None and configuration.may_jump(user.jails):
        ports = opened.get(name)
        state += f"; sshd forwards ports {ports.said()}" if ports else "; sshd forwards nothing for it: jailssh apply"
    held = (
        quotas.usage(configuration.layout, entry.uid, entry.home, mounts)
        if entry is not None and entry.uid == user.uid
        else []
    )
    state += "".join(f"; {each.said()}" for each in held)
    keys = published.keys.get(user.uid, 0)
    shared = f", shared by {pluralize(keys, 'key')}" if keys else ""
    return {"name": name, "uid": user.uid, "jail": "+".join(user.jails), "state": f"{state}{shared}", "keys": keys,
            "quotas": [asdict(each) for each in held]}  # fmt: skip
