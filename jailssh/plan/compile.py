"""Compile one account's plan.  Pure: facts in, plan out, the same bytes each time.

The root of a jail is the read-only image.  What differs between accounts is laid over it: a small read-only tmpfs at
``/run`` with the generated passwd and group files, a private ``/tmp``, and a small read-only tmpfs over the first
component of every directory that is shown (``/home``, ``/srv``), which holds nothing but the way to it.  So no other
account's home is visible even as a name, and no user-writable directory lies above a mount point.
"""

from __future__ import annotations

import dataclasses
import os.path
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache

from jailssh.core import asking
from jailssh.core.closed import Network, Recorded, Shown
from jailssh.core.errors import ConfigError
from jailssh.core.home_readers import Kind, covers
from jailssh.core.names import HostPath, JailPath, is_below, same_place
from jailssh.plan import codec
from jailssh.plan.codec import Plan
from jailssh.plan.ops import Record
from jailssh.plan.proc_files import FOLDER, proc_files
from jailssh.plan.view import View, mode_of, view_of
from jailssh.plugin.api import Account, PluginResult
from jailssh.policy.rules import Rule, check_rules, rule_records

SMALL = "65536"
"""Size of a tmpfs that only holds directories and two short files, in bytes."""

PATH = "/usr/local/bin:/usr/bin:/bin"
NOLOGIN = "/usr/sbin/nologin"
LOG_PLACE = "/run/systemd/journal"
LOG_SOCKETS = "/run/jailssh/log"
CRONTABS = ".crontab"
"""What in the home is the spool of crontab(1)."""
_MOST_NAMES = 256


@dataclass(frozen=True)
class Access:
    """When, from where and how much an account may use its jail; 0 and empty are no limit.

    ``sessions`` of the account and ``key_sessions`` of one key at a time; ``duration`` and ``idle`` in seconds;
    ``nice`` from 0 to 19; ``bandwidth`` in bytes per second, each direction; ``addresses`` and networks in CIDR form;
    ``hours`` as (days, from, to): a bit for each day, Monday the lowest, and minutes since midnight, local time;
    ``offsets`` of local time as (seconds since 1970 from which it holds, seconds ahead of UTC), ascending;
    ``expires`` in seconds since 1970.
    """

    _: KW_ONLY
    sessions: int = 0
    key_sessions: int = 0
    duration: int = 0
    idle: int = 0
    nice: int = 0
    bandwidth: int = 0
    addresses: tuple[str, ...] = ()
    hours: tuple[tuple[int, int, int], ...] = ()
    offsets: tuple[tuple[int, int], ...] = ()
    expires: int = 0


@dataclass(frozen=True)
class LogRate:
    """What an account may log: ``base`` bytes in each ``interval`` (seconds), ``peak`` bytes at once."""

    _: KW_ONLY
    base: int
    peak: int
    interval: int


@dataclass(frozen=True)
class RosterKey:
    """A named key of a shared account: ``blob`` is the key's base64 text, or with ``principal`` the authority's.

    ``plan`` is the serial of the plan that the key's holder gets.
    """

    name: str
    plan: str
    blob: str
    principal: str = ""


@dataclass(frozen=True)
class JailSettings:
    """What the jail's configuration says about every account's plan.  Sizes in bytes; ``limits`` by rlimit name.

    ``live``: the directories of the host that take the place of the image's (``/usr``), for a live root; ``hide``:
    directories below them that stay hidden.  ``memory`` (bytes) and ``cpus``: what all sessions of an account
    have together.  ``linger``: what an account's own code has in the background outlives a login.  ``record``: what of
    a session at a terminal is recorded, in the directory ``recordings``, ``record_size`` bytes at most.
    ``by_groups``: the gids that decide about the account's jails, each with whether it is in that group.
    ``members``: of groups that accounts keep, as (name, uid, gid), whose names are known inside.  ``log``: what is
    relayed to the host's journal, None for nothing.  ``services``: directories below ``/run`` with sockets of the
    host's services, shown where they are at the login.  ``crontabs``: where crontab(1) has its files, for accounts that
    set their own, None for others.
    """

    name: str
    _: KW_ONLY
    network: Network = Network.AUTO
    hostname: str = "jail"
    message: str = ""
    tmp_size: int = 64 << 20
    umask: int = 0o022
    limits: Mapping[str, int] = dataclasses.field(default_factory=dict)
    env: tuple[tuple[str, str], ...] = ()
    supplementary_groups: tuple[str, ...] = ()
    require_journal: bool = False
    live: tuple[HostPath, ...] = ()
    hide: tuple[JailPath, ...] = ()
    access: Access = Access()
    accept_env: tuple[str, ...] = ()
    memory: int = 0
    cpus: int = 1
    linger: bool = False
    record: Recorded = Recorded.NO
    recordings: HostPath | None = None
    record_size: int = 0
    by_groups: tuple[tuple[int, bool], ...] = ()
    log: LogRate | None = None
    services: tuple[HostPath, ...] = ()
    crontabs: HostPath | None = None
    members: Mapping[str, tuple[tuple[str, int, int], ...]] = dataclasses.field(default_factory=dict)


def compile_plan(
    account: Account, jail: JailSettings, results: Sequence[PluginResult], image: HostPath, seccomp: tuple[str, bytes]
) -> Plan:
    """Return the plan of ``account`` in ``jail``.

    ``results`` is what the jail's plugins give to this account, ``image`` the host path of the image's generation,
    ``seccomp`` the filter as ``policy.seccomp.filter_for`` returns it.  Raises :class:`ConfigError` when the account
    or the jail cannot work.
    """
    known = _last.get("made")
    # Of the results it is enough that they are the same objects; those in a list can change.
    same = known is not None and known.results is results and isinstance(results, tuple)
    if known is None or not same or (known.account, known.jail) != (account, jail):
        known = _last["made"] = _Made(account, jail, results, *_around(account, jail, results))
    records = [*known.before, Record("image", (image,)), *known.between,
               Record("seccomp", (seccomp[0], seccomp[1].hex())), *known.after]  # fmt: skip
    return numbered(account, records)


@dataclass(frozen=True)
class _Made:
    """The records of a plan but for image and filter: a plan is tried first, and then made with both."""

    account: Account
    jail: JailSettings
    results: Sequence[PluginResult]
    before: list[Record]
    between: list[Record]
    after: list[Record]


_last: dict[str, _Made] = {}


def _around(
    account: Account, jail: JailSettings, results: Sequence[PluginResult]
) -> tuple[list[Record], list[Record], list[Record]]:
    """Return the records before the image, between it and the filter, and after that."""
    rules, view = _checked(account, jail.name, results)
    executable = any(result.executable_home for result in results)
    # Who has a shell looks at the system with programs that read it.
    whole = runs_own_code(results) and any(result.proc for result in results)
    system = [*proc_files(jail.memory, jail.cpus)] if whole else []
    asks = any(result.asks for result in results)
    own = [*([FOLDER] if system else []), *([asking.INSIDE] if asks else [])]
    shell = next((rule.program for rule in rules if rule.interactive_login), NOLOGIN)
    between = [
        *_tmpfs(jail, view, executable),
        *(Record("dir", (path,)) for path in _made(account, jail, view, own)),
        *_files(account, jail, shell),
        *(Record("proc-file", file) for file in system),
        Record("dev"),
        *([Record("proc")] if any(result.proc for result in results) else []),
        *(Record("bind", (path, path, "ro", "exec", "root", "must")) for path in jail.live),
        *_log_binds(account, jail),
        *([Record("bind", (asking.PLACE, asking.INSIDE, "ro", "noexec", "root", "optional"))] if asks else []),
        *(Record("bind", (path, path, "ro", "noexec", "root", "optional")) for path in jail.services),
        *_binds(account, view, executable),
        *_crontab_bind(account, jail),
        *_masks(account, jail, view),
        *(Record("group", (str(gid),)) for _, gid in _kept_groups(account, jail)),
        *(Record("rlimit", (name, str(value))) for name, value in sorted(jail.limits.items())),
        Record("umask", (f"{jail.umask:03o}",)),
        *_bounds(jail.access, ("nice", "bandwidth", "duration", "idle")),
        *_recording(jail),
        *_env(account, jail, results, shell),
        *(Record("accept-env", (name,)) for name in sorted(set(jail.accept_env))),
    ]
    after = [*_times_and_places(jail.access), *(record for rule in rules for record in _rule(rule))]
    return _head(account, jail, results), between, after


def check_results(account: Account, jail: str, results: Sequence[PluginResult]) -> None:
    """Raise as :func:`compile_plan` does for what rules and directories say; what else can be wrong, all plans have."""
    _checked(account, jail, results)


def _checked(account: Account, jail: str, results: Sequence[PluginResult]) -> tuple[list[Rule], View]:
    rules = [rule for result in results for rule in result.rules]
    check_rules(rules)
    view = view_of(account, results)
    for rule in rules:
        hidden = [top for top in view.tops if is_below(rule.program, top)]
        if hidden:
            raise ConfigError(f"jail {jail}", f"{rule.program} is below {hidden[0]}, which is not part of the image")
    return rules, view


@lru_cache(maxsize=1 << 8)
def _rule(rule: Rule) -> tuple[Record, ...]:
    """Return the records of a rule; the accounts of a jail have most of their rules in common."""
    return tuple(Record(verb, tuple(args)) for verb, *args in rule_records(rule))


def runs_own_code(results: Iterable[PluginResult]) -> bool:
    """True if an account with these results can have code of its own run: by a shell, or from its home."""
    rules = [rule for result in results for rule in result.rules]
    return any(result.executable_home for result in results) or any(
        (rule.interactive_login and not rule.builtin_reply) or "*" in rule.command_names for rule in rules
    )


def network_of(jail: JailSettings, results: Iterable[PluginResult]) -> Network:
    """Return the network of an account with these results: what the jail says, or what its plugins are for."""
    if jail.network != Network.AUTO:
        return jail.network
    return Network.LOOPBACK if runs_own_code(results) else Network.NONE


def compile_roster(account: Account, jail: JailSettings, keys: Iterable[RosterKey]) -> Plan:
    """Return the plan of a shared account, which says which of its named ``keys`` has which plan."""
    message = jail.message or "this account is shared; this key has no name"
    records = [Record("jail", (jail.name,)), Record("message", (message,)), Record("journal", (_journal(jail),))]
    keys = sorted(keys, key=lambda key: (bool(key.principal), key.name, key.principal, key.blob))
    keyed: list[Record] = []
    for key in keys:
        who = ("authority", (key.name, key.plan, key.principal, key.blob)) if key.principal else None
        keyed.append(Record(*(who or ("key", (key.name, key.plan, key.blob)))))
    return numbered(account, [*records, *keyed, *_by_groups(jail)])


def _by_groups(jail: JailSettings) -> list[Record]:
    """Return for which sessions of an account that is in its jails by groups the plan is."""
    inside = [Record("member", (str(gid),)) for gid, is_in in jail.by_groups if is_in]
    return inside + [Record("outsider", (str(gid),)) for gid, is_in in jail.by_groups if not is_in]


def numbered(whose: Account | Plan, records: Sequence[Record]) -> Plan:
    """Return the plan with these records for an account, or for the one that another plan is for."""
    return codec.numbered(Plan(whose.uid, whose.gid, whose.name, "0" * 16, tuple(records)))


def _head(account: Account, jail: JailSettings, results: Sequence[PluginResult]) -> list[Record]:
    capabilities = dict.fromkeys(result.capability for result in results)
    # An interactive rule without a terminal of its own would get sshd's.
    pty = any(result.pty or any(rule.interactive_login for rule in result.rules) for result in results)
    message = jail.message or f"this account allows: {', '.join(capabilities)}"
    return [
        Record("jail", (jail.name,)),
        Record("home", (account.home,)),
        Record("message", (message,)),
        Record("journal", (_journal(jail),)),
        *_by_groups(jail),
        Record("net", (network_of(jail, results),)),
        Record("hostname", (jail.hostname,)),
        Record("pty", ("yes" if pty else "no",)),
        *_bounds(jail.access, ("sessions", "key_sessions")),
        *([Record("linger")] if jail.linger and runs_own_code(results) else []),
        *([Record("relay", tuple(map(str, (log.base, log.peak, log.interval))))] if (log := jail.log) else []),
        *(Record("forward", (result.ports.group,)) for result in results if result.ports),
    ]


def _recording(jail: JailSettings) -> list[Record]:
    if jail.record == Recorded.NO or jail.recordings is None:
        return []
    typed = "yes" if jail.record == Recorded.INPUT else "no"
    return [Record("record", (jail.recordings, str(jail.record_size), typed))]


def _journal(jail: JailSettings) -> str:
    return "require" if jail.require_journal else "allow"


def _bounds(access: Access, names: Sequence[str]) -> list[Record]:
    bounds = [(name.replace("_", "-"), getattr(access, name)) for name in names]
    return [Record(name, (str(value),)) for name, value in bounds if value]


def _times_and_places(access: Access) -> list[Record]:
    return [
        *(Record("address", (address,)) for address in access.addresses),
        *(Record("hours", (str(days), str(start), str(end))) for days, start, end in access.hours),
        *(Record("utc-offset", (str(since), str(ahead))) for since, ahead in access.offsets),
        *_bounds(access, ("expires",)),
    ]


def _tmpfs(jail: JailSettings, view: View, executable: bool) -> list[Record]:
    small = [Record("tmpfs", (path, SMALL, "755", "ro", "noexec")) for path in sorted(("/run", *view.tops))]
    run = "exec" if executable else "noexec"
    tmp = Record("tmpfs", ("/tmp", str(jail.tmp_size), "1777", "rw", run))  # noqa: S108, the jail's own
    return [*small, tmp]


def _dirs(account: Account, view: View) -> list[str]:
    """Return the mount points to make in the small tmpfs, parents first; those inside another bind are there."""
    targets = [account.home]
    shown = [bind.path for bind in view.binds] + ([account.home] if view.home != Shown.NONE else [])
    for bind in view.binds:
        if not any(other != bind.path and is_below(bind.path, other) for other in shown):
            targets.append(bind.path)
    out: set[str] = set()
    for target in targets:
        parts = target.split("/")
        out.update("/".join(parts[:count]) for count in range(3, len(parts) + 1))
    return sorted(out)


def _made(account: Account, jail: JailSettings, view: View, own: Sequence[str]) -> list[str]:
    """Return the directories that the small tmpfs get, parents first."""
    made = [
        *(path for path in (jail.crontabs,) if path and any(is_below(path, top) for top in view.tops)),
        *jail.services,
        *own,
        *((os.path.dirname(LOG_PLACE), LOG_PLACE) if jail.log else ()),
    ]
    return sorted((*_dirs(account, view), *made))


def _log_binds(account: Account, jail: JailSettings) -> list[Record]:
    """Return the account's sockets where programs look for the journal's; /dev/log leads there (``login/mount.c``).

    Where there are none, since nothing relays on this host, the account logs in all the same.
    """
    place = (log_sockets(account.uid), LOG_PLACE)
    return [Record("bind", (*place, "ro", "noexec", "root", "optional"))] if jail.log else []


def _crontab_bind(account: Account, jail: JailSettings) -> list[Record]:
    """Return the directory of the home that is the spool of crontab(1), opened and made with the user's rights."""
    if jail.crontabs is None:
        return []
    own = account.on_host(f"{account.home}/{CRONTABS}")
    return [Record("bind", (own, jail.crontabs, "rw", "noexec", "user", "make"))]


def log_sockets(uid: int) -> str:
    """Return the directory of the host in which the sockets of an account's log are."""
    return f"{LOG_SOCKETS}/{uid}"


def _files(account: Account, jail: JailSettings, shell: str) -> list[Record]:
    gecos = "".join(char for char in account.gecos if char.isprintable() and char != ":")[:256]
    passwd = (
        f"root:x:0:0:root:/:{NOLOGIN}\n{account.name}:x:{account.uid}:{account.gid}:{gecos}:{account.home}:{shell}\n"
    )
    kept = dict(_kept_groups(account, jail))
    others = sorted({other for name in kept for other in jail.members.get(name, ()) if other[1] != account.uid})
    plain = [other for other in others if other[0].isprintable() and ":" not in other[0]]
    passwd += "".join(f"{name}:x:{uid}:{gid}::/:{NOLOGIN}\n" for name, uid, gid in plain[:_MOST_NAMES])
    group = f"root:x:0:\n{account.group}:x:{account.gid}:\n"
    # Of no other groups: the plan would change with each that the account joins, our own among them.
    group += "".join(f"{name}:x:{gid}:{account.name}\n" for name, gid in kept.items())
    return [Record("file", ("/run/group", group)), Record("file", ("/run/passwd", passwd))]


def _binds(account: Account, view: View, executable: bool) -> list[Record]:
    """Return other directories first, then the home or what of it is shown, which is opened with the user's rights."""
    outside, inside = [], []
    run = "exec" if executable else "noexec"
    if view.home != Shown.NONE:
        inside.append(Record("bind", (account.on_host(account.home), account.home, view.home, run, "user", "must")))
    for bind in view.binds:
        mode, source = mode_of(bind), account.source_of(bind)
        must = "optional" if bind.optional else "must"
        if not is_below(source, account.on_host(account.home)):
            outside.append(Record("bind", (source, bind.path, mode, "noexec", "root", must)))
            continue
        # What the user may write there the user could also make.
        must = "make" if bind.writable and must == "must" else must
        inside.append(Record("bind", (source, bind.path, mode, run, "user", must)))
    return [*outside, *inside]


def _masks(account: Account, jail: JailSettings, view: View) -> list[Record]:
    """Return what stays hidden: what the jail says, and what programs of the host act on in a home."""
    verbs = {Kind.DIRECTORY: "mask", Kind.FILE: "mask-file"}
    home = [(verbs[kind], f"{account.home}/{name}") for name, kind in covers()] if view.home != Shown.NONE else []
    return [Record(verb, (path,)) for verb, path in sorted([*(("mask", path) for path in _hidden(jail)), *home])]


def _hidden(jail: JailSettings) -> tuple[JailPath, ...]:
    for path in jail.hide if jail.live else ():
        if not any(is_below(path, top) and path != top for top in map(same_place, jail.live)):
            raise ConfigError(f"jail {jail.name}", f"hide: {path} is not below {' or '.join(jail.live)}")
    return tuple(sorted(set(jail.hide))) if jail.live else ()


def _kept_groups(account: Account, jail: JailSettings) -> list[tuple[str, int]]:
    kept = {gid: name for name, gid in account.groups if name in jail.supplementary_groups}
    if 0 in kept:
        raise ConfigError(f"jail {jail.name}", f"supplementary_groups: {kept[0]} is root's group")
    return [(kept[gid], gid) for gid in sorted(kept) if gid != account.gid]


def _env(account: Account, jail: JailSettings, results: Sequence[PluginResult], shell: str) -> list[Record]:
    given: dict[str, str] = {}
    for name, value in (pair for result in results for pair in result.env):
        if given.setdefault(name, value) != value:
            raise ConfigError(f"jail {jail.name}", f"two plugins set the variable {name} differently")
    fixed = {"PATH": PATH, "HOME": account.home, "USER": account.name, "LOGNAME": account.name, "SHELL": shell}
    merged = {**fixed, **given, **dict(jail.env)}
    return [Record("env", (name, merged[name])) for name in sorted(merged)]
