"""For which accounts sshd forwards ports: those of jails with ``forward = inside``, and what must hold before.

sshd forwards for the members of one group.  What it forwards comes from the process in which pam_jailssh has entered
the network of the account; :mod:`jailssh.setup.gate` keeps every other process of sshd's from getting that far.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress

from jailssh.change import transaction
from jailssh.core.errors import HostError, JailsshError
from jailssh.files import fs
from jailssh.host import accounts, kernel, pins
from jailssh.host.accounts import UnansweredError
from jailssh.host.paths import Layout
from jailssh.jail.configuration import Configuration, JailsOf
from jailssh.publish import outbound
from jailssh.services import pam as pam_files
from jailssh.services import pam_account, sshd
from jailssh.setup import gate, pam

GROUP = sshd.FORWARD_GROUP
_PREFIX = "forward-"


def subject(name: str) -> str:
    """Return the name of the journal that says what :func:`lift` takes back."""
    return f"{_PREFIX}{name}"


def problems(layout: Layout, configuration: Configuration) -> Iterator[tuple[str, str]]:
    """Yield what keeps PAM on this host from putting a login into the account's network, with the cure."""
    if not kernel.lets_raise_loopback():
        why = "this host, a container without CAP_NET_ADMIN, brings up no loopback interface of a new network"
        yield why, "forward = no"
        return
    yield from pam_problems(layout, configuration)


def pam_problems(layout: Layout, configuration: Configuration) -> Iterator[tuple[str, str]]:
    """Yield what keeps PAM on this host from asking pam_jailssh about each login by sshd, with the cure."""
    if not pam_files.has_tool(layout):
        yield (
            f"{pam_files.TOOL} is not installed, so nobody knows whether PAM asks pam_jailssh",
            "install libpam-runtime",
        )
        return
    if not pam_files.in_force(layout, pam.wanted(layout, configuration.groups())):
        yield f"{pam_files.account_path(layout)} does not begin with the profile {pam_files.NAME}", "jailssh setup"
    if why := pam.module_problem(layout):
        yield why, "install jailssh again"
    lines = pam_account.stack()
    for phase in ("account", "session"):
        if not any(line.phase == phase and line.module == layout.pam_module for line in lines):
            yield f"the {phase} phase of the service sshd does not ask pam_jailssh", "jailssh setup"
    if not any(line.phase == "account" and line.module == "pam_unix.so" for line in lines):
        yield "the account phase of the service sshd does not ask pam_unix", "put pam_unix back: pam-auth-update"


def settle(
    layout: Layout,
    configuration: Configuration,
    *,
    act: bool,
    errors: list[JailsshError],
    among: Collection[str] | None = None,
    known: JailsOf | None = None,
) -> list[str]:
    """Put the accounts of jails with ``forward = inside`` into the group, and take the others out of it.

    Call under the lock of the set-up.  Returns lines that say what changed, or would; what keeps somebody out is added
    to ``errors``.  ``among``: these accounts alone; ``known``: as for :meth:`Configuration.jumping`.
    """
    wanted = configuration.forwarded_names(among, known)
    lines = []
    for name in _members(layout):
        if name not in wanted and (among is None or name in among):
            lines.append(f"{name}: sshd forwards no ports for it any more")
            if act and (stays := gate.why_in(lift, layout, name)):
                errors.append(stays)
    if act and among is None:
        _sweep(layout)
    found = list(problems(layout, configuration)) if wanted else []
    for name in wanted:
        try:
            if _open(layout, name, found, act=act):
                lines.append(f"{name}: sshd forwards ports, in the network of the account")
        except JailsshError as error:
            errors.append(error)
            # What keeps sshd's other processes out does not hold, so sshd forwards for nobody by that.
            if accounts.is_listed_member(name, GROUP):
                lines.append(f"{name}: sshd forwards no ports for it any more")
                if act and (stays := gate.why_in(lift, layout, name)):
                    errors.append(stays)
    return lines


def _members(layout: Layout) -> list[str]:
    """Return those who are in the group, and those who have a journal of it."""
    begun = [each.removeprefix(_PREFIX) for each in transaction.subjects(layout) if each.startswith(_PREFIX)]
    return sorted({*accounts.members(GROUP), *begun})


def _open(layout: Layout, name: str, found: list[tuple[str, str]], *, act: bool) -> bool:
    """Make sshd forward for ``name``; False where it does, or is locked."""
    what, ages, entry = f"account {name}", accounts.password_ages(name), accounts.get(name)
    if accounts.is_listed_member(name, GROUP) and not gate.unsafe(ages):
        return gate.open_keys(layout, name, act=act)
    if ages is None or not accounts.is_local(name):
        raise HostError(what, "forward = inside needs a line of its own in /etc/shadow", hint="forward = no")
    if found:
        raise HostError(what, f"forward = inside: {found[0][0]}", hint=found[0][1])
    if gate.is_locked(ages):
        return False
    gate.require_field(name, ages, "forward = inside")
    if not act:
        return True
    transaction.recover(layout, subject(name))
    # Or it would have expired, for the module too, until it is in the group.  Its network is a new one: who had the uid
    # before may be in the old one still.
    _want_network(layout, entry.uid)
    pins.unmount(f"{layout.networks}/{entry.uid}")
    gate.enter(layout, subject(name), f"forwarding for {name}", entry, GROUP)
    return True


def lift(layout: Layout, name: str) -> bool:
    """Make sshd forward for ``name`` no more, if it does; call under the lock of the set-up.

    A login that has begun may have been told by sshd that it may: its network stays, and a file beside it tells the
    module to enter or make it (``net_pin_is_wanted``), until the account leaves its jail or the host starts again.
    """

    def keep_network() -> None:
        entry = accounts.find(name)
        if entry is not None and entry.uid:
            _want_network(layout, entry.uid)

    groups = [GROUP] if accounts.is_listed_member(name, GROUP) else []
    return gate.leave(layout, subject(name), name, groups, keep_network)


def _want_network(layout: Layout, uid: int) -> None:
    """Have the module put logins of ``uid`` into the account's network, whatever its groups say meanwhile."""
    fs.ensure_dir(os.path.dirname(layout.networks), 0o755)
    fs.ensure_dir(layout.networks, 0o700)
    # A login that was under way as jailssh was upgraded has the module of before, which looks for the pin itself.
    for path in (f"{layout.networks}/{uid}", f"{layout.networks}/{uid}.sshd"):
        if not os.path.lexists(path):
            fs.atomic_write(path, b"", mode=0o600)


def forget_networks(layout: Layout, name: str, uids: Iterable[int]) -> None:
    """Let go of the networks of an account that is in no jail any more, by the uids that it has or had.

    Sessions that run keep theirs.  What is another account's by now stays.
    """
    for uid in _known(layout).intersection(uids):
        if getattr(accounts.find_uid(uid), "name", name) == name:
            outbound.let_go(layout, uid)


def _known(layout: Layout) -> set[int]:
    """Return the uids that have a network, or are to have one."""
    found = os.listdir(layout.networks) if os.path.isdir(layout.networks) else []
    first = (name.partition(".")[0] for name in found)
    return {int(name) for name in first if name.isascii() and name.isdecimal()}


def _sweep(layout: Layout) -> None:
    """Let go of the networks of uids that no account has: deleted by hand, none was there to do it."""
    for uid in _known(layout):
        with suppress(UnansweredError):
            if accounts.find_uid(uid) is None:
                outbound.let_go(layout, uid)
