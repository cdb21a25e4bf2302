"""For which accounts sshd forwards ports and starts no session: those of jails with the plugin jump.

Nothing of ours runs during such a login, so sshd itself is held to the list.  There is a group for each list, called
after what is in it, and a block of the drop-in for each group.  An account gets into its group last: when the running
sshd has read the block, says the same of the account, and PAM asks pam_jailssh.  So an sshd that has read no such block
forwards nothing for it, and a list that has changed never means more than it says.  :mod:`jailssh.setup.gate` makes
the account expired where PAM, or the module, is not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from jailssh.change import transaction
from jailssh.core.errors import HostError, JailsshError
from jailssh.core.ports import GROUP_PREFIX, Ports
from jailssh.host import accounts
from jailssh.host.accounts import UnansweredError
from jailssh.host.paths import Layout
from jailssh.jail.configuration import Configuration, JailsOf
from jailssh.jail.owners import must_be_for
from jailssh.services import sshd, sshd_connections, sshd_matches
from jailssh.services.sshd_matches import MatchLine
from jailssh.setup import forwarding, gate, setup

_PREFIX = "jump-"
_NO_MORE = "sshd forwards no ports for it any more"


def subject(name: str) -> str:
    """Return the name of the journal that says what :func:`lift` takes back."""
    return f"{_PREFIX}{name}"


def settle(
    layout: Layout,
    configuration: Configuration,
    *,
    act: bool,
    errors: list[JailsshError],
    known: JailsOf | None = None,
) -> list[str]:
    """Have sshd forward for the accounts of jails with lists of ports what these name, and for no others.

    Call under the lock of the set-up.  Returns lines that say what changed, or would; what keeps somebody out is added
    to ``errors``.  ``known``: as for :meth:`Configuration.jumping`.
    """
    wanted = configuration.jumping(known)
    lines = []
    lists = {ports.group: ports for ports in wanted.values()}
    for name, groups in _members(layout).items():
        if name not in wanted or [*groups] not in ([], [wanted[name].group]):
            lines.append(f"{name}: {_NO_MORE}")
            if act and (stays := gate.why_in(lift, layout, name)):
                # The others are taken out all the same, and what its group stands for leaves the drop-in below.
                errors.append(stays)
                wanted.pop(name, None)
    failed: JailsshError | None = None
    try:
        lines += _blocks(layout, configuration, lists, act=act)
    except JailsshError as error:
        errors.append(error)
        failed = error
    found, asked = list(forwarding.pam_problems(layout, configuration)) if wanted else [], _Sshd(layout)
    for name, ports in wanted.items():
        try:
            # Whose list is in force already does not depend on what could not be written.
            if failed and not _stands(name, ports):
                raise failed
            _require_owner(layout, configuration, name)
            if _open(layout, name, ports, found, asked, act=act):
                lines.append(f"{name}: sshd forwards ports {ports.said()}")
        except JailsshError as error:
            if error is not failed:
                errors.append(error)
            # What the name service cannot say is nothing against who is in.
            stands = isinstance(error, UnansweredError) and _stands(name, ports)
            if accounts.listed_groups(name, GROUP_PREFIX) and not stands:
                lines.append(f"{name}: {_NO_MORE}")
                if act and (stays := gate.why_in(lift, layout, name)):
                    errors.append(stays)
    return lines


def _require_owner(layout: Layout, configuration: Configuration, name: str) -> None:
    """Raise where the name is another account's by now, of whom its file says nothing: that may be in no jail."""
    user = configuration.user(name)
    must_be_for(layout, accounts.get(name), None if user is None else user.uid)


def _stands(name: str, ports: Ports) -> bool:
    """True if the account is in the group of ``ports`` alone, with the day of expiry that belongs to it."""
    in_group = accounts.listed_groups(name, GROUP_PREFIX) == [ports.group]
    return in_group and not gate.unsafe(accounts.password_ages(name))


def is_about(configuration: Configuration, names: Iterable[str]) -> bool:
    """True if one of these accounts has such a list, or had one."""
    inside = accounts.listed_in(GROUP_PREFIX)
    return any(name in inside or _may_jump(configuration, name) for name in names)


def _may_jump(configuration: Configuration, name: str) -> bool:
    user = configuration.user(name)
    return user is not None and configuration.may_jump(user.jails)


def _members(layout: Layout) -> dict[str, list[str]]:
    """Return the groups of those who are in one, and of those who have a journal of it."""
    begun = [each.removeprefix(_PREFIX) for each in transaction.subjects(layout) if each.startswith(_PREFIX)]
    inside = {name for group in accounts.groups_called(GROUP_PREFIX) for name in accounts.members(group)}
    listed = accounts.listed_in(GROUP_PREFIX)
    return {name: listed.get(name, []) for name in sorted({*begun, *inside})}


def _blocks(layout: Layout, configuration: Configuration, lists: Mapping[str, Ports], *, act: bool) -> list[str]:
    """Have a group and a block of the drop-in for each list that somebody needs, and have the running sshd read it."""
    there = set(accounts.groups_called(GROUP_PREFIX))
    if not lists and not there:
        return []
    groups = configuration.groups()
    if setup.differs_beside_ports(configuration, groups):
        raise HostError("this host", "setup is out of date", hint="jailssh setup")
    changes = setup.pending(layout, groups, lists)
    own = {"group", setup.DROP_IN, "mark"}
    if others := [each for each in changes if each.point not in own]:
        raise HostError("this host", f"setup is out of date: {setup.explained(others)}", hint="jailssh setup")
    lines = [f"sshd's drop-in: ports of accounts without a session {lists[group].said()}"
             for group in sorted(lists.keys() - there)]  # fmt: skip
    if act:
        lines += setup.apply(layout, changes) if changes else []
        for group in sorted(there - lists.keys()):
            if not accounts.members(group):
                accounts.delete_group(group)
    return lines


class _Sshd:
    """What sshd says of accounts, asked once for each case that it tells apart, since each answer takes a process."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._right: set[tuple[object, ...]] = set()

    @cached_property
    def _matches(self) -> list[MatchLine]:
        return sshd_matches.lines(self._layout)

    def check(self, name: str) -> None:
        """Raise :class:`JailsshError` unless sshd, from wherever it is asked, holds the account to its group's list."""
        groups = [group for group, _ in accounts.get(name).groups]
        listed = (*accounts.listed_groups(name, GROUP_PREFIX), accounts.is_listed_member(name, sshd.FORWARD_GROUP))
        case = (listed, *sshd_matches.case_of(name, groups, self._matches))
        if case in self._right:
            return
        config = sshd.main_config(self._layout)
        for connection in sshd_connections.connections(self._matches):
            sshd.check_forced(sshd.effective(name, config, connection=connection), self._layout, name)
        self._right.add(case)


def _open(layout: Layout, name: str, ports: Ports, found: list[tuple[str, str]], asked: _Sshd, *, act: bool) -> bool:
    """Make sshd forward for ``name`` what ``ports`` are; False where it does, or is locked."""
    what, ages, entry = f"account {name}", accounts.password_ages(name), accounts.get(name)
    if found:
        raise HostError(what, f"sshd forwards nothing for it: {found[0][0]}", hint=found[0][1])
    if _stands(name, ports):
        asked.check(name)
        return gate.open_keys(layout, name, act=act)
    if ages is None or not accounts.is_local(name):
        raise HostError(what, "has no line of its own in /etc/shadow, which plugin jump needs", hint="another jail")
    if gate.is_locked(ages):
        return False
    gate.require_field(name, ages, "plugin jump")
    if not act:
        return True
    forwarding.lift(layout, name)  # it was in another jail
    transaction.recover(layout, subject(name))
    gate.enter(layout, subject(name), f"ports for {name}", entry, ports.group, lambda: asked.check(name))
    return True


def lift(layout: Layout, name: str) -> bool:
    """Make sshd forward for ``name`` no more, if it does; call under the lock of the set-up."""
    return gate.leave(layout, subject(name), name, accounts.listed_groups(name, GROUP_PREFIX))
