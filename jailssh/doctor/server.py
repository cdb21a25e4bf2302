"""sshd's own answer: is its configuration right, does it run by it, does it let the account in, and into its jail."""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from jailssh.core.errors import ConfigError, JailsshError
from jailssh.core.names import is_number
from jailssh.core.ports import groups_among
from jailssh.doctor.case import Case
from jailssh.doctor.step import Fault
from jailssh.host import accounts, process
from jailssh.services import listeners, pam_account, sshd
from jailssh.setup import doors, running

Values = Mapping[str, list[str]]
_RELOAD = "systemctl reload ssh"


def collect_answer(case: Case) -> JailsshError | None:
    """Have sshd read its configuration; None where it can."""
    try:
        assert case.server
    except JailsshError as error:
        return error
    return None


def judge_answer(error: JailsshError | None) -> list[Fault]:
    """Say why sshd cannot read its configuration: it would not start, and no login would be served."""
    if error is None:
        return []
    cure = error.hint or "correct that line; to check: sshd -t"
    return [Fault(error.what, error.why, "ssh-keygen -A" if "no hostkeys available" in error.why else cure)]


@dataclass(frozen=True)
class RunningFacts:
    """Which servers listen, the ports that their configuration names, and those that anybody listens on."""

    servers: int
    ports: tuple[int, ...]
    open: frozenset[int]
    systemd: bool


def collect_running(case: Case) -> RunningFacts:
    """Look for servers."""
    ports = tuple(int(word) for word in case.server.get("port", ["22"]) if is_number(word))
    return RunningFacts(len(listeners.listeners()), ports, listeners.open_ports(), process.has_systemd())


def judge_running(facts: RunningFacts) -> list[Fault]:
    """Say whether an sshd can be reached, one that systemd starts for each connection perhaps."""
    if facts.servers or facts.open & set(facts.ports):
        return []
    cure = "systemctl enable --now ssh" if facts.systemd else "/usr/sbin/sshd"
    return [Fault("sshd", f"no process listens on port {', '.join(map(str, facts.ports))}", cure)]


@dataclass(frozen=True)
class CurrentFacts:
    """What runs that is older than what is on disk: as a banner, times and systemd tell, and as files do.

    ``newer``: of a server its name, its process, and a file of its configuration that it has not read since.
    """

    older: tuple[ConfigError, ...]
    newer: tuple[tuple[str, int, str], ...]
    systemd: bool


def collect_current(case: Case) -> CurrentFacts:
    """Ask each server which configuration it has read."""
    servers = listeners.standings(case.layout)
    newer = [
        (each.listener.name(), each.listener.pid, path)
        for each in servers
        if each.listener.server.is_usual and (path := _changed_since(case, each.listener.pid))
    ]
    return CurrentFacts(tuple(running.findings(case.layout, servers)), tuple(newer), process.has_systemd())


def _changed_since(case: Case, pid: int) -> str:
    """Return a file of sshd's configuration that is newer than what the process has read; "" too if nobody can tell."""
    read = listeners.read_at(pid)
    folder = os.path.dirname(case.layout.sshd_drop_in)
    # The folder itself is newer where a file was removed.
    for path in (sshd.main_config(case.layout), *sorted(glob.glob(f"{glob.escape(folder)}/*.conf")), folder):
        with suppress(OSError):
            if read is not None and os.stat(path).st_ctime > read + listeners.SLACK:
                return path
    return ""


def judge_current(facts: CurrentFacts) -> list[Fault]:
    """Say whether what runs goes by what is on disk, which is all that was looked at."""
    found = [Fault.of(error) for error in facts.older]
    for name, pid, path in facts.newer:
        cure = _RELOAD if facts.systemd else f"kill -HUP {pid}"
        found.append(Fault(name, f"has not read {path} since it was changed", cure))
    return found


@dataclass(frozen=True)
class AnswerFacts:
    """What sshd would do with a login: its values, the account's groups, and whether it can answer PAM."""

    name: str
    values: Values
    groups: tuple[str, ...]
    answers: bool
    """It has a password that fits, or PAM asks for another thing, such as a second factor."""
    revoked: str
    """The file of RevokedKeys that sshd cannot read."""


def collect_access(case: Case) -> AnswerFacts:
    """Take what sshd says of the account."""
    groups = tuple(name for name, _ in case.entry.groups)
    revoked = case.server.get("revokedkeys", ["none"])[0]
    lost = revoked if revoked != "none" and not os.access(revoked, os.R_OK) else ""
    has_password = accounts.is_local(case.name) and accounts.has_password(case.name)
    answers = has_password or pam_account.asks_for_more(pam_account.stack())
    return AnswerFacts(case.name, case.server, groups, answers, lost)


def judge_access(facts: AnswerFacts) -> list[Fault]:
    """Say whether a list of sshd's keeps the account out."""
    listed = sshd.kept_out(facts.values, facts.name, facts.groups)
    if not listed:
        return []
    keyword = listed.split()[0]
    place = f"grep -rn {keyword} /etc/ssh/sshd_config /etc/ssh/sshd_config.d"
    what = "takes" if keyword.startswith("Deny") else "does not name"
    why = f"{listed}: {what} {'a group of ' if keyword.endswith('Groups') else ''}{facts.name}"
    act = "remove it from" if keyword.startswith("Deny") else "add it to"
    return [Fault(f"sshd for {facts.name}", why, f"{act} {keyword}, then {_RELOAD}; to find it: {place}")]


def collect_forced(case: Case) -> list[ConfigError]:
    """Compare what sshd would do with what the drop-in says."""
    return doors.about_server(case.layout, case.entry, case.server, sshd.earlier_matches(case.layout))


def judge_errors(errors: Sequence[JailsshError]) -> list[Fault]:
    """Return errors as they are."""
    return [Fault.of(error) for error in errors]


def judge_methods(facts: AnswerFacts) -> list[Fault]:
    """Say whether sshd takes any way of authentication that the account has."""
    what, values = f"sshd for {facts.name}", facts.values
    set_it = f"set it in a file that sshd reads before the others, /etc/ssh/sshd_config.d/10-local.conf, then {_RELOAD}"
    found = []
    if values.get("maxsessions", ["10"])[0] == "0" and not groups_among(facts.groups):
        found.append(Fault(what, "MaxSessions is 0, so no session can be opened", f"MaxSessions 10: {set_it}"))
    if facts.revoked:
        why = f"RevokedKeys names {facts.revoked}, which cannot be read: sshd refuses every key"
        found.append(Fault(what, why, f"ssh-keygen -k -f {facts.revoked}"))
    usable = _usable(values, answers=facts.answers)
    lists = values.get("authenticationmethods", ["any"])[0].split()
    if lists == ["any"]:
        if not usable:
            why = "PubkeyAuthentication is off, and the account has no password that sshd takes"
            found.append(Fault(what, why, f"PubkeyAuthentication yes: {set_it}"))
        elif "publickey" not in usable:
            why = "PubkeyAuthentication is off: keys do not count, only the password"
            found.append(Fault(what, why, f"PubkeyAuthentication yes: {set_it}", wrong=False))
    elif not any({method.partition(":")[0] for method in each.split(",")} <= usable for each in lists):
        why = (
            f"AuthenticationMethods is {' '.join(lists)!r}; the account can use: {', '.join(sorted(usable)) or 'none'}"
        )
        cure = "AuthenticationMethods publickey" if "publickey" in usable else "PubkeyAuthentication yes"
        found.append(Fault(what, why, f"{cure}: {set_it}"))
    return found


def _usable(values: Values, *, answers: bool) -> set[str]:
    """Return the methods that sshd offers and that the account can take part in."""
    on = {
        "publickey": "pubkeyauthentication",
        "password": "passwordauthentication",
        "keyboard-interactive": "kbdinteractiveauthentication",
        "hostbased": "hostbasedauthentication",
        "gssapi-with-mic": "gssapiauthentication",
    }
    offered = {method for method, keyword in on.items() if values.get(keyword, ["no"])[0].lower() == "yes"}
    return offered if answers else offered - {"password", "keyboard-interactive"}
