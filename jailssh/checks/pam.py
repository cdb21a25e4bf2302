"""PAM: does every service refuse who is in a jail, and does sshd admit them; the account phase is run for real."""

from __future__ import annotations

import configparser
import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from jailssh.core.errors import HostError, JailsshError
from jailssh.core.names import is_number
from jailssh.core.ports import GROUP_PREFIX
from jailssh.host import accounts, bounded
from jailssh.host.accounts import end_of
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.kept import digest, stamp_of
from jailssh.integrity.scene import Scene
from jailssh.services import pam, pam_account
from jailssh.services.pam_account import PamLine
from jailssh.setup import forwarding, gate
from jailssh.setup import pam as profile

PROFILE = Kind(
    "JSH-401", Severity.HIGH, "PAM profile is not in force",
    "cron, at, su, FTP servers, user managers and other login shells run outside of the jail.", "jailssh setup",
)  # fmt: skip
ADMITS = Kind(
    "JSH-402", Severity.HIGH, "PAM service that admits an account in a jail",
    "What this service starts for the account runs outside of the jail.",
    "add to the file of the service, before its other account lines: @include common-account",
)  # fmt: skip
SKIPS = Kind(
    "JSH-403", Severity.MEDIUM, "PAM line before the profile that can end the account phase",
    "If its module succeeds, the lines that refuse accounts in jails are skipped.",
    "move the line behind the include of common-account",
)  # fmt: skip
MANAGER = Kind(
    "JSH-404", Severity.HIGH, "each login starts a user manager",
    "pam_systemd has logind start systemd --user for the account, whose units from the home run outside of the jail.",
    "add @include common-account to the account lines of /etc/pam.d/systemd-user",
)  # fmt: skip
USER_ENVIRONMENT = Kind(
    "JSH-405", Severity.LOW, "pam_env reads a file of the home",
    "Its variables go to sshd and whatever it starts, before the jail; sessions have ~/.pam_environment hidden.",
    "remove user_readenv=1 from that line",
)  # fmt: skip
OTHER_ENVIRONMENT = Kind(
    "JSH-406", Severity.MEDIUM, "pam_env reads a file of the home that no session hides",
    "The account writes it from inside of the jail, and its variables go to sshd and whatever it starts.",
    "remove user_readenv=1 from that line",
)  # fmt: skip
NO_MODULE = Kind(
    "JSH-407", Severity.MEDIUM, "PAM module is missing",
    "A stack with a module that cannot be loaded refuses everybody, or does without what the module is for.",
    "install the package of the module, or remove the line: pam-auth-update",
)  # fmt: skip
REFUSED = Kind(
    "JSH-408", Severity.MEDIUM, "PAM refuses sshd an account in a jail",
    "Nobody with such an account can log in.", "journalctl -t sshd, and the account lines of /etc/pam.d/sshd",
)  # fmt: skip
HANGS = Kind(
    "JSH-409", Severity.MEDIUM, "PAM gives no answer",
    "A login waits as long as its modules do, and what they would answer is not known.",
    "look at the modules of this service: a directory server that is away, a program of pam_exec",
)  # fmt: skip

MODULE = Kind(
    "JSH-410", Severity.HIGH, "PAM module of jailssh is missing or of another version",
    "Without it the lines behind it decide: no service runs anything inside of the jail, and no reason tells a "
    "locked account.  One of another version may not know what setup has told it.", "reinstall jailssh",
)  # fmt: skip
TABLE = Kind(
    "JSH-411", Severity.HIGH, "table of the PAM module is not what the configuration says",
    "The module refuses every jailed account if it cannot read the table, and goes by an older one if it can.",
    "jailssh setup",
)  # fmt: skip

FORWARDS = Kind(
    "JSH-412", Severity.HIGH, "what keeps sshd's forwarding out of the host's network does not hold",
    "sshd forwards for the account: into the network of the host where PAM does not put the login into the account's.",
    "jailssh apply",
)  # fmt: skip

BY_CACHE = Kind(
    "JSH-413", Severity.LOW, "SSSD does not ask its directory about who has a session",
    "Who has left the group of a jail is let in by the cache of SSSD as long as one session is open, for up to "
    "entry_cache_timeout (90 minutes).",
    "pam_initgroups_scheme = always in the section [pam] of sssd.conf; for one account: sss_cache -u NAME",
)  # fmt: skip

SECONDS = 3.0
_MOST_HANGING = 2
_SSHD, _CRON, _AT, _MANAGER = "sshd", ("cron", "crond"), ("atd",), ("systemd-user",)
_PARTS = re.compile(r"common-|(password|system|fingerprint|smartcard)-auth\Z|postlogin\Z|.*[~]\Z|.*\.(dpkg|pam|rpm)")
"""Files that other stacks include, and copies."""
_NOBODY = re.compile(
    r"chfn|chsh|chpasswd|newusers|passwd|group\w+|user\w+|.*-greeter|gdm-launch-environment|ppp|sssd-\w+"
)
"""What asks PAM and starts nothing as the account: useradd(8) and its like, and what SSSD asks of itself."""
_ROOT_MAY = ("su", "su-l", "runuser", "runuser-l")
"""Root may become whoever it likes, so a trial as root tells nothing."""
_COUNTS = ("pam_faillock.so", "pam_tally2.so")
"""These forget failed logins when their account phase succeeds, so a trial would take their effect away."""
_ACCOUNT_S_OWN = ("PAM_ACCT_EXPIRED", "PAM_NEW_AUTHTOK_REQD", "PAM_AUTHTOK_EXPIRED", "PAM_CRED_EXPIRED")
_BY_FILES = frozenset(
    f"pam_{name}.so" for name in ("access", "deny", "env", "jailssh", "limits", "listfile", "localuser", "nologin",
                                  "permit", "rootok", "shells", "succeed_if", "systemd", "unix", "usertype", "warn",
                                  "wheel")
)  # fmt: skip
"""Modules that answer by files of accounts and by :data:`_MODULE_FILES` alone; others ask whoever, or a clock."""
_MODULE_FILES = ("/etc/security/*", "/etc/security/*/*", "/etc/shells", "/etc/nsswitch.conf")
_UNHEARD = "[default=ignore]"
"""The control of a line whose answer does not count."""
_SUCCESS = "PAM_SUCCESS"
SSSD_FILES = ("/etc/sssd/sssd.conf", "/etc/sssd/conf.d/[!.]*.conf")
"""In the order in which SSSD reads them: a later one counts."""
_ENDS = re.compile(r"=(done|[1-9][0-9]*)")
_HIDDEN = ".pam_environment"


@dataclass(frozen=True)
class Trial:
    """What the account phase has answered: ``answer`` in PAM's own words, "" for none in time, and what was said."""

    account: str
    answer: str
    said: str = ""


@dataclass(frozen=True)
class Service:
    """One service: the lines of its account phase and of its session phase, the trial if there was one."""

    name: str
    file: str
    account: tuple[PamLine, ...]
    session: tuple[PamLine, ...] = ()
    trial: Trial | None = None


@dataclass(frozen=True)
class Facts:
    """``notes``: why the profile is not in force; ``wanted``: its lines; ``through``: services that it lets through.

    ``module``, ``table``: what is wrong with our module and with its table, "" for nothing.
    ``forwards``: what is wrong with forwarding: of an account, or "", why, and the cure.  ``by_cache``: members of a
    jail's groups log in by SSSD, which does not ask about those that have a session.
    """

    wanted: tuple[tuple[str, ...], ...]
    services: tuple[Service, ...]
    notes: tuple[str, ...] = ()
    through: frozenset[str] = frozenset()
    missing: tuple[tuple[str, str], ...] = ()
    module: str = ""
    table: str = ""
    forwards: tuple[tuple[str, str, str], ...] = ()
    by_cache: bool = False


def collect(scene: Scene) -> Facts:
    """Read the stacks of all services; run the account phase of each different one for one account in a jail."""
    configuration = scene.configuration
    groups = configuration.groups()
    notes = tuple(note.removeprefix("PAM: ") for note in profile.notes(scene.layout, groups)) if scene.jailed else ()
    wanted = _wanted(scene)
    services = [_service(name) for name in pam_account.services() if is_service(name)]
    through = frozenset((*configuration.main.pam_services, *profile.inside(configuration.main)))
    present = pam_account.modules()
    missing = [
        (line.file, line.module)
        for service in services
        for line in (*service.account, *service.session)
        if not line.optional
        and line.module != scene.layout.pam_module
        and not (os.path.isfile(line.module) if line.module.startswith("/") else line.module in present)
    ]
    module, table = (profile.module_problem(scene.layout), profile.table_problem(scene.layout, groups))
    if not scene.jailed or notes:
        module = table = ""
    return Facts(
        wanted, tuple(_tried(scene, services, through)), notes, through, tuple(dict.fromkeys(missing)), module, table,
        tuple(_forwards(scene)), bool(groups) and any(map(_uses_sssd, services)) and asks_by_cache(),
    )  # fmt: skip


def _uses_sssd(service: Service) -> bool:
    return service.name == _SSHD and any(os.path.basename(line.module) == "pam_sss.so" for line in service.account)


def asks_by_cache() -> bool:
    """True if SSSD is set up here, and asks at logins only about who has no session (sssd.conf(5))."""
    parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    try:
        read = parser.read([file for pattern in SSSD_FILES for file in sorted(glob.glob(pattern))])
    except (configparser.Error, OSError, UnicodeDecodeError):
        return False  # SSSD does not start with it.
    return bool(read) and parser.get("pam", "pam_initgroups_scheme", fallback="") != "always"


def _forwards(scene: Scene) -> Iterator[tuple[str, str, str]]:
    members = accounts.members(forwarding.GROUP)
    for why, cure in forwarding.problems(scene.layout, scene.configuration) if members else ():
        yield "", f"forwarding is on, and {why}", cure
    for name in members:
        if why := gate.unsafe(accounts.password_ages(name)):
            yield name, why, "jailssh apply"
    jumps = {group: accounts.members(group) for group in accounts.groups_called(GROUP_PREFIX)}
    for why, cure in forwarding.pam_problems(scene.layout, scene.configuration) if any(jumps.values()) else ():
        yield "", f"sshd forwards ports without a session, and {why}", cure
    for group, people in jumps.items():
        for name in people:
            if why := gate.unsafe(accounts.password_ages(name), group):
                yield name, why, "jailssh apply"


def is_service(name: str) -> bool:
    """True if a file of this name is that of a service which may start something as the account that it asks about."""
    return not _PARTS.match(name) and not _NOBODY.fullmatch(name)


def _wanted(scene: Scene) -> tuple[tuple[str, ...], ...]:
    text = profile.wanted(scene.layout, scene.configuration.groups())
    return tuple(tuple(line) for line in pam.account_lines(text))


def _service(name: str) -> Service:
    lines = pam_account.stack(name)
    account, session = (tuple(line for line in lines if line.phase == phase) for phase in ("account", "session"))
    if not account:  # PAM takes those of "other".
        account = tuple(line for line in pam_account.stack("other") if line.phase == "account")
    return Service(name, pam_account.service_file(name) or "", account, session)


def _tried(scene: Scene, services: Sequence[Service], through: frozenset[str]) -> Iterator[Service]:
    """Give the services with their trials: one for each that differs from all others, kept while nothing changes."""
    name = _somebody(scene)
    if not name:
        yield from services
        return
    entry = scene.jailed[name].entry
    files = ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/nologin", "/run/nologin", scene.layout.jailed_groups,
             scene.layout.pam_table]  # fmt: skip
    stamp = stamp_of(files, entry, scene.layout.login_program)
    done: dict[str, Trial] = {}
    hanging = 0
    for service in services:
        modules = {os.path.basename(line.module) for line in service.account}
        if service.name in _ROOT_MAY or modules & set(_COUNTS) or hanging >= _MOST_HANGING:
            yield service
            continue
        like = service.name if service.name == _SSHD or service.name in through else ""
        key = digest((service.account, like))
        try:
            if key not in done:
                done[key] = _trial(
                    scene, service.name, name, key, digest((stamp, rests_on(service.account, scene.now)))
                )
        except bounded.NoAnswerError:
            done[key] = Trial(name, "")
            hanging += 1
        except HostError as error:
            scene.unseen(error)
            yield service
            continue
        yield Service(service.name, service.file, service.account, service.session, done[key])


def _trial(scene: Scene, service: str, name: str, key: str, stamp: str) -> Trial:
    def run() -> list[str]:
        terminal = "ssh" if service == _SSHD else pam_account.TRIAL
        answer = pam_account.ask(name, SECONDS, service, terminal)
        return [answer.name, " ".join(answer.said)]

    answer, said = scene.kept.get("pam", key, stamp, run)
    return Trial(name, answer, said)


def rests_on(lines: Iterable[PamLine], now: float) -> str:
    """Return a stamp of the files that the modules of these lines read; ``now`` is in it where others may answer."""
    counted = [line for line in lines if line.control != _UNHEARD]
    named = [word.partition("=")[2] or word for line in counted for word in line.arguments]
    files = [word for word in named if word.startswith("/")] + [line.module for line in counted]
    for pattern in _MODULE_FILES:
        files += sorted(glob.glob(pattern))
    by_files = all(os.path.basename(line.module) in _BY_FILES for line in counted)
    return stamp_of(files, None if by_files else now)


def _somebody(scene: Scene) -> str:
    """Return an account in a jail that could log in by all that its own entries say, "" for none."""
    today = int(scene.now // 86400)
    for name, person in scene.jailed.items():
        row = scene.census.shadow.get(name)
        end = end_of(int(row[7])) if row is not None and is_number(row[7]) else None
        expired = end is not None and end <= today
        if person.entry.shell == scene.layout.login_program and not expired:
            return name
    return ""


def refuses(scene: Scene, *services: str) -> bool:
    """True if PAM refuses an account in a jail each of these services, as far as their stacks say; for other checks."""
    through = scene.configuration.main.pam_services
    with suppress(JailsshError):
        wanted = _wanted(scene)
        stacks = [_service(name) for name in services if pam_account.service_file(name)]
        return bool(stacks) and all(_closed(each.account, wanted) and each.name not in through for each in stacks)
    return False


def _closed(lines: Sequence[PamLine], wanted: Sequence[Sequence[str]]) -> bool:
    """True if an account phase refuses who is in a jail by its lines alone: nothing comes before that may end it."""
    at = _place(lines, wanted)
    return refuses_everybody(lines) or (at is not None and not any(map(_may_end, lines[:at])))


def refuses_cron(scene: Scene) -> bool:
    """True if PAM refuses cron's jobs."""
    return refuses(scene, *_CRON)


def refuses_at(scene: Scene) -> bool:
    """True if PAM refuses jobs of at(1)."""
    return refuses(scene, *_AT)


def refuses_managers(scene: Scene) -> bool:
    """True if PAM refuses user managers."""
    return refuses(scene, *_MANAGER)


def holds(lines: Sequence[PamLine], wanted: Sequence[Sequence[str]]) -> bool:
    """True if the lines of the profile are among the lines of an account phase, together and in order."""
    return _place(lines, wanted) is not None


def refuses_everybody(lines: Sequence[PamLine]) -> bool:
    """True if an account phase comes to pam_deny for everybody, whatever the modules before it say."""
    for line in lines:
        if _may_end(line):
            return False
        if os.path.basename(line.module) == "pam_deny.so" and line.control in ("required", "requisite"):
            return True
    return False


def _may_end(line: PamLine) -> bool:
    """True if the lines behind this one are passed over where its module answers in some way."""
    return line.control == "sufficient" or _ENDS.search(line.control) is not None


def _place(lines: Sequence[PamLine], wanted: Sequence[Sequence[str]]) -> int | None:
    present = [[*line.control.split(), line.module, *line.arguments] for line in lines]
    lowered = [[word.lower() for word in row] for row in present]
    looked = [[word.lower() for word in row] for row in wanted]
    for at in range(len(lowered) - len(looked) + 1):
        if looked and all(map(pam.is_line, lowered[at:], looked)):
            return at
    return None


def judge(facts: Facts) -> Iterable[Finding]:
    """Return what PAM does not do for accounts in jails."""
    for note in facts.notes:
        why, _, cure = note.partition("; hint: ")
        yield Finding(PROFILE, "PAM", why, cure=cure)
    for kind, why in ((MODULE, facts.module), (TABLE, facts.table)):
        if why:
            yield Finding(kind, "PAM", why)
    for name, why, cure in facts.forwards:
        yield Finding(FORWARDS, f"account {name}" if name else "PAM", why, cure=cure, account=name)
    if facts.by_cache:
        yield Finding(BY_CACHE, "SSSD", "pam_initgroups_scheme is not always")
    admits_managers = False
    for service in facts.services:
        if service.name == _SSHD or service.name in facts.through:
            yield from _about_sshd(service)
        else:
            found = list(_about_service(service, facts))
            admits_managers = admits_managers or (service.name in _MANAGER and any(f.kind == ADMITS for f in found))
            yield from found
        yield from _about_lines(service)
    for service in facts.services:
        uses = any(os.path.basename(line.module) == "pam_systemd.so" for line in service.session)
        if service.name == _SSHD and uses and admits_managers:
            yield Finding(
                MANAGER, "PAM service sshd", "calls pam_systemd, and PAM admits systemd-user", path=service.file
            )
    for file, module in facts.missing:
        yield Finding(NO_MODULE, f"PAM module {module}", f"{file} names it, and it is not installed", path=file)


def _about_sshd(service: Service) -> Iterator[Finding]:
    trial, what = service.trial, f"PAM service {service.name}"
    if trial is None:
        return
    if not trial.answer:
        yield _silent(service)
    elif service.name == _SSHD and trial.answer not in (_SUCCESS, *_ACCOUNT_S_OWN):
        why = f"answers {trial.answer} for {trial.account}" + (f": {trial.said}" if trial.said else "")
        yield Finding(REFUSED, what, why, path=service.file)


def _about_service(service: Service, facts: Facts) -> Iterator[Finding]:
    what = f"PAM service {service.name}"
    trial, at = service.trial, _place(service.account, facts.wanted)
    if trial is not None and not trial.answer:
        yield _silent(service)
        trial = None
    if facts.notes:
        return  # One cause, told once.
    if trial is not None and trial.answer == _SUCCESS:
        yield Finding(ADMITS, what, f"its account phase admits {trial.account}", path=service.file)
    elif at is None and facts.wanted and not refuses_everybody(service.account):
        why = "its account phase is without the profile"
        if trial is not None:
            # Another account, another place or another hour may be answered in another way.
            why += f"; that it answers {trial.answer} for {trial.account} here and now says nothing of others"
        yield Finding(ADMITS, what, why, path=service.file)
    for line in service.account[: at or 0]:
        if _may_end(line):
            why = f"{line.module} ({line.control}) comes first"
            yield Finding(SKIPS, what, why, path=line.file)


def _silent(service: Service) -> Finding:
    return Finding(HANGS, f"PAM service {service.name}", f"no answer within {SECONDS:g} seconds", path=service.file)


def _about_lines(service: Service) -> Iterator[Finding]:
    for line in (*service.account, *service.session):
        if os.path.basename(line.module) != "pam_env.so":
            continue
        values = dict(word.partition("=")[::2] for word in line.arguments)
        if values.get("user_readenv", "0") in ("", "0"):
            continue
        name = values.get("user_envfile", _HIDDEN)
        kind = USER_ENVIRONMENT if name == _HIDDEN else OTHER_ENVIRONMENT
        if service.name == _SSHD:
            yield Finding(kind, f"PAM service {service.name}", f"reads ~/{name}", path=line.file)


CHECK = Check(
    "pam",
    "PAM: which services refuse accounts in jails, run for real",
    (
        PROFILE,
        ADMITS,
        SKIPS,
        MANAGER,
        USER_ENVIRONMENT,
        OTHER_ENVIRONMENT,
        NO_MODULE,
        REFUSED,
        HANGS,
        MODULE,
        TABLE,
        FORWARDS,
        BY_CACHE,
    ),
    collect,
    judge,
)
