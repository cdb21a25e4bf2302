"""Processes of accounts in jails that are in none: the check's judgement, of what no session has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jailssh.core.errors import JailsshError
from jailssh.host import accounts
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.jail.configuration import Configuration, NotJailedError, load_configuration
from jailssh.jail.this_host import to_account
from jailssh.services import processes
from jailssh.services.processes import link
from jailssh.sessions.live import Picture


@dataclass(frozen=True, kw_only=True)
class Stray:
    """A process of an account in a jail; ``elsewhere``: in namespaces of others, not in the host's."""

    user: str
    pid: int
    program: str
    elsewhere: bool


def strays(picture: Picture, layout: Layout) -> tuple[list[Stray], list[JailsshError]]:
    """Return the processes in no jail, by account, and why some accounts could not be judged."""
    errors: list[JailsshError] = []
    uids = {uid for each in picture.others for uid in (each.uids[0], each.uids[1]) if uid}
    names = dict(_jailed(uids, layout, errors))
    if not names:
        return [], errors
    here = processes.own_space()
    left = [processes.judged(each, here) for each in picture.others if each.uids[0] in names or each.uids[1] in names]
    spaces = {link(each.first.pid, "ns/pid") for each in picture.sessions}
    spaces |= {link(each.keeper.pid, "ns/pid") for each in picture.kept}
    found = []
    for elsewhere, groups in enumerate(processes.sort(left, names, layout, spaces)):
        for name, group in groups.items():
            found += [Stray(user=name, pid=each.pid, program=each.program or each.name, elsewhere=bool(elsewhere))
                      for each in group]  # fmt: skip
    return found, errors


def _jailed(uids: Iterable[int], layout: Layout, errors: list[JailsshError]) -> Iterator[tuple[int, str]]:
    configuration = load_configuration(layout)
    local = {uid: name for name, uid in accounts.local_uids().items()}
    for uid in sorted(uids):
        try:
            entry = accounts.find(local[uid]) if uid in local else accounts.find_uid(uid)
            if entry is not None and _is_in_one(configuration, entry):
                yield uid, entry.name
        except JailsshError as error:
            errors.append(error)


def _is_in_one(configuration: Configuration, entry: AccountEntry) -> bool:
    try:
        return bool(configuration.jails_for(to_account(entry)))
    except NotJailedError:
        return False
