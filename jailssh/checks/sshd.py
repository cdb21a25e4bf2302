"""sshd as it is: what holds for every jailed account from everywhere, and whether the running one goes by it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from jailssh.core.errors import HostError, JailsshError
from jailssh.core.ports import Ports, groups_among
from jailssh.integrity.check import Check
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.kept import stamp_of
from jailssh.integrity.scene import Scene
from jailssh.services import listeners, sshd, sshd_connections, sshd_matches, sshds
from jailssh.services.listeners import ListenerState, Questions, Standing
from jailssh.setup import running, setup
from jailssh.setup.doors import not_in_group

_EARLIER = "remove the earlier line, or move it behind the drop-in: sshd -T -C user=NAME,host=HOST,addr=ADDRESS"

FORCED = Kind(
    "JSH-301", Severity.HIGH, "sshd does not force the login program",
    "A login gets whatever is asked for, outside of the jail.", _EARLIER,
)  # fmt: skip
FORWARDING = Kind(
    "JSH-302", Severity.HIGH, "sshd forwards ports, sockets or tunnels for a jailed account",
    "Forwarding happens in sshd, outside of the jail: it reaches services of the host's own network.", _EARLIER,
)  # fmt: skip
USER_RC = Kind(
    "JSH-303", Severity.HIGH, "sshd runs the account's own ~/.ssh/rc",
    "It is a script of the user's that runs outside of the jail.", _EARLIER,
)  # fmt: skip
CHROOT = Kind(
    "JSH-304", Severity.HIGH, "sshd changes the root before the login program",
    "The login program is not there, or another one is.", _EARLIER,
)  # fmt: skip
KEYS_FILE = Kind(
    "JSH-305", Severity.HIGH, "sshd reads keys from a place that is not managed",
    "A file that the user can write admits keys that nobody has looked at.", _EARLIER,
)  # fmt: skip
WHO = Kind(
    "JSH-306", Severity.HIGH, "sshd does not say which key logged in, or a client can forge it",
    "In a shared account the rights of another person's key could be had.", _EARLIER,
)  # fmt: skip
RHOSTS = Kind(
    "JSH-307", Severity.HIGH, "sshd trusts ~/.rhosts or ~/.shosts",
    "A file of the user's lets others in.", _EARLIER,
)  # fmt: skip
WEAK = Kind(
    "JSH-308", Severity.MEDIUM, "sshd is weaker than it should be",
    "The login program stands against it alone.", "change the line of sshd_config that it names",
)  # fmt: skip
COMMAND = Kind(
    "JSH-309", Severity.MEDIUM, "sshd asks a program for keys of a jailed account",
    "Keys from an AuthorizedKeysCommand let in beside those that jailssh manages.",
    "AuthorizedKeysCommand none in a Match block for the group jailssh, before others",
)  # fmt: skip
OLD = Kind(
    "JSH-310", Severity.HIGH, "running sshd is older than its configuration",
    "It goes by what the files said when it started.", "jailssh setup",
)  # fmt: skip
OTHER = Kind(
    "JSH-311", Severity.HIGH, "another sshd does not jail",
    "Its configuration, or an option on its command line, hands jailed accounts to their shells.",
    "include the drop-in in its configuration, or: DenyGroups jailssh",
)  # fmt: skip
BROKEN = Kind(
    "JSH-312", Severity.HIGH, "sshd does not accept its configuration",
    "It does not start again, and what would hold cannot be said.", "sshd -t",
)  # fmt: skip
INCLUDE = Kind(
    "JSH-313", Severity.LOW, "sshd does not read the drop-ins for everybody",
    "A Match block before the Include takes the drop-in for a part of the logins alone.", "jailssh setup",
)  # fmt: skip

_BY_KEYWORD = {
    "forcecommand": FORCED,
    "disableforwarding": FORWARDING,
    "permittunnel": FORWARDING,
    **dict.fromkeys(Ports().settings(), FORWARDING),
    **dict.fromkeys(sshd.FORWARDING, FORWARDING),
    "permituserrc": USER_RC,
    "chrootdirectory": CHROOT,
    "authorizedkeysfile": KEYS_FILE,
    "exposeauthinfo": WHO,
    sshd.ACCEPT_ENV: WHO,
    "ignorerhosts": RHOSTS,
}


@dataclass(frozen=True)
class Case:
    """Accounts that are one case for sshd, and what it would do for them, from each of ``connections``.

    ``unlisted``: they have files of ours and are not in our group, by which sshd would find them.
    """

    accounts: tuple[str, ...]
    jails: tuple[str, ...]
    faults: tuple[tuple[str, str, str], ...]
    warnings: tuple[str, ...]
    command: str = ""
    unlisted: bool = False


@dataclass(frozen=True)
class Facts:
    """``earlier``: Match lines that sshd reads before the drop-in; ``others``: other servers that do not jail."""

    cases: tuple[Case, ...]
    earlier: tuple[str, ...]
    broken: str = ""
    no_include: str = ""
    others: tuple[JailsshError, ...] = ()
    servers: tuple[ListenerState, ...] = ()


def collect(scene: Scene) -> Facts:
    """Ask sshd once for each case: accounts that its Match lines cannot tell apart are one."""
    if scene.narrow:
        return _facts(scene)
    with _asked(scene) as questions:
        facts = _facts(scene)
        return facts if facts.broken else replace(facts, servers=tuple(questions.standings()))


@contextmanager
def begin(scene: Scene) -> Iterator[None]:
    """Ask the running servers; they answer while other checks look."""
    if scene.narrow:
        yield
        return
    with listeners.asked(scene.layout) as questions:
        scene.begun[CHECK.name] = questions
        yield


@contextmanager
def _asked(scene: Scene) -> Iterator[Questions]:
    """Give the questions of :func:`begin`; where it was not called, or could not ask, they are asked now."""
    if CHECK.name in scene.begun:
        yield scene.begun[CHECK.name]
        return
    with listeners.asked(scene.layout) as questions:
        yield questions


def _facts(scene: Scene) -> Facts:
    """Return all but what the running servers say."""
    layout = scene.layout
    config = sshd.main_config(layout)
    try:
        sshd.test(config)
    except JailsshError as error:
        return Facts((), (), broken=error.why)
    no_include = ""
    try:
        sshd.check_include(layout)
    except JailsshError as error:
        no_include = error.why
    matches = sshd_matches.lines(layout)
    for why in sshd_connections.unasked(matches):
        scene.unseen(HostError("sshd's Match lines", why))
    # What clients may send beside is compared with what the jails say.
    files = [*sshd_matches.files(layout), layout.config_file, _program()]
    stamp = stamp_of(files, os.uname().release, scene.configuration.accept_env())
    cases: dict[tuple[object, ...], list[str]] = {}
    groups_of = {name: [group for group, _ in person.entry.groups] for name, person in scene.jailed.items()}
    for name, groups in groups_of.items():
        by_name = setup.GROUP in groups
        cases.setdefault((by_name, *groups_among(groups), *sshd_matches.case_of(name, groups, matches)), []).append(
            name
        )
    connections = sshd_connections.connections(matches)
    by_sssd = set(scene.configuration.groups_with("directory_keys"))
    found = []
    for case, names in cases.items():
        person = scene.jailed[names[0]]

        def ask(name: str = names[0], by_name: bool = bool(case[0])) -> list[object]:
            forwards = sshd.FORWARD_GROUP in groups_of[name]
            jumps = groups_among(groups_of[name])
            return _ask(scene, name, connections, home_keys=not by_name, forwards=forwards, jumps=jumps)

        # The name may be another one in the next run; the case is what counts.
        key = repr((case, person.entry.groups if any(not line.clear for line in matches) else ()))
        faults, warnings, command = scene.kept.get("sshd", key, stamp, ask)
        if command == sshd.ASK_KEYS and not case[0] and by_sssd.intersection(groups_of[names[0]]):
            command = ""  # The jail says so.
        jails = tuple(dict.fromkeys(scene.jailed[name].jail for name in names))
        rows = tuple((str(a), str(b), str(c)) for a, b, c in faults)
        unlisted = not case[0] and scene.configuration.user(names[0]) is not None
        found.append(Case(tuple(names), jails, rows, tuple(warnings), command, unlisted))
    names = list(scene.jailed)
    others = () if scene.narrow or not names else tuple(sshds.unjailed(layout, names, lambda name: groups_of[name]))
    return Facts(tuple(found), tuple(sshd.earlier_matches(layout)), no_include=no_include, others=others)


def _program() -> str:
    return next((path for path in ("/usr/sbin/sshd", "/usr/local/sbin/sshd") if os.path.exists(path)), "")


def _ask(
    scene: Scene, name: str, connections: Sequence[str], *, home_keys: bool, forwards: bool, jumps: Sequence[str]
) -> list[object]:
    """Return faults (keyword, why, connection), warnings, and the program that is asked for keys."""
    faults: dict[tuple[str, str], str] = {}
    warnings: dict[str, None] = {}
    command = ""
    accept = scene.configuration.accept_env()
    for connection in connections:
        values = sshd.effective(name, sshd.main_config(scene.layout), connection=connection)
        found = sshd.faults(values, scene.layout, home_keys=home_keys, forwards=forwards, jumps=jumps)
        for keyword, why in found:
            faults.setdefault((keyword, why), connection)
        warnings.update(dict.fromkeys(sshd.warnings(values, accept)))
        asked = values.get("authorizedkeyscommand", ["none"])[0]
        command = command or ("" if asked.lower() == "none" else asked)
    return [[[keyword, why, where] for (keyword, why), where in faults.items()], list(warnings), command]


def judge(facts: Facts) -> Iterable[Finding]:
    """Return what does not hold, for each account of a case."""
    if facts.broken:
        yield Finding(BROKEN, "sshd", facts.broken)
        return
    if facts.no_include:
        yield Finding(INCLUDE, "sshd", facts.no_include)
    first = f"; {facts.earlier[0]} is read first" if facts.earlier else ""
    for case in facts.cases:
        for name in case.accounts:
            for keyword, why, connection in case.faults:
                where = "" if connection == sshd_connections.DEFAULT else f" for a login from {connection}"
                yield Finding(
                    _BY_KEYWORD[keyword], f"sshd for {name}", f"{why}{where}{first}", detail=keyword, account=name,
                    cure=not_in_group(name)[1] if case.unlisted else _cure(keyword, facts.earlier),
                )  # fmt: skip
        for why in case.warnings:
            yield Finding(WEAK, "sshd", why, detail=why.partition(" ")[0], account=case.accounts[0])
        if case.command:
            yield Finding(COMMAND, "sshd", f"AuthorizedKeysCommand is {case.command}", account=case.accounts[0])
    for error in facts.others:
        yield Finding(OTHER, error.what, error.why, cure=error.hint)
    for each in facts.servers:
        if each.state == Standing.OLD:
            yield Finding(OLD, each.listener.name(), each.why)


def _cure(keyword: str, earlier: Sequence[str]) -> str:
    """Return what puts it right, "" where it is what the kind of finding says."""
    if keyword == sshd.ACCEPT_ENV:  # what several blocks accept is added up
        return "remove it from the AcceptEnv line that has it: grep -rn AcceptEnv /etc/ssh"
    if keyword == "usepam":  # not in a Match block
        return "UsePAM yes in sshd_config"
    return "" if earlier else "jailssh setup"


def read_again(scene: Scene, _findings: Sequence[Finding]) -> list[str]:
    """Have the running sshd read what is on disk; that is written down first, as ``setup`` does."""
    return running.settle_old(scene.layout)


CHECK = Check(
    "sshd",
    "what sshd does for every jailed account, from everywhere",
    (FORCED, FORWARDING, USER_RC, CHROOT, KEYS_FILE, WHO, RHOSTS, WEAK, COMMAND, OLD, OTHER, BROKEN, INCLUDE),
    collect,
    judge,
    begin=begin,
    fixes={OLD.id: read_again},
)
