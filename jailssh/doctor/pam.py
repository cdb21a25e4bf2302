"""PAM: does the account phase of sshd let the account in, and if not, which file or module says so."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from jailssh.core.errors import HostError
from jailssh.core.names import escape
from jailssh.doctor.case import Case
from jailssh.doctor.step import Fault
from jailssh.host import bounded
from jailssh.services import pam, pam_account
from jailssh.services.pam_account import PamAnswer

_MEANS = {
    "PAM_ACCT_EXPIRED": ("the account has expired", "chage --expiredate -1 {name}"),
    "PAM_NEW_AUTHTOK_REQD": ("the password must be changed", "chage --lastday -1 --maxdays -1 {name}"),
    "PAM_AUTHTOK_EXPIRED": ("the password has expired", "chage --maxdays -1 {name}"),
    "PAM_USER_UNKNOWN": ("the account is unknown to a module", "getent shadow {name}"),
    "PAM_PERM_DENIED": ("a module denies the account", ""),
    "PAM_AUTH_ERR": ("a module denies the account", ""),
    "PAM_ABORT": ("the stack cannot be read", ""),
    "PAM_OPEN_ERR": ("a module cannot be loaded", ""),
    "PAM_MODULE_UNKNOWN": ("a module cannot be loaded", ""),
}
_USUAL = ("pam_unix.so", "pam_deny.so", "pam_permit.so", "pam_succeed_if.so", "pam_rootok.so", "pam_exec.so")

_GO_BY = {"pam_access.so": "/etc/security/access.conf", "pam_time.so": "/etc/security/time.conf"}


@dataclass(frozen=True)
class PamFacts:
    """What PAM answered, or that it did not (``hangs``) or could not (``crashed``); which modules decide.

    ``modules``: those of the account phase, each with its file, but for what every stack has.  ``missing``: those that
    are not there, and are not said to be optional.  ``rules``: files that modules among them go by.
    """

    name: str
    seconds: float
    file: str | None
    answer: PamAnswer | None
    hangs: bool
    crashed: str
    modules: tuple[tuple[str, str], ...]
    missing: tuple[tuple[str, str], ...]
    empty: bool
    rules: tuple[str, ...]


def collect(case: Case) -> PamFacts | None:
    """Run the account phase for real; None where sshd does not ask PAM."""
    if not case.uses_pam:
        return None
    lines = [line for line in pam_account.stack() if line.phase == "account"]
    needed = [line for line in lines if not line.optional and line.control != "optional"]
    missing = tuple((line.file, line.module) for line in needed if not pam_account.has_module(line.module))
    # In the file that all services share stand our own profile and what every host has.
    own = pam.account_path(case.layout)
    lines_to_tell = [line for line in lines if line.file != own or os.path.basename(line.module) not in _USUAL]
    modules = tuple((line.file, line.module) for line in lines_to_tell)
    answer, hangs, crashed = None, False, ""
    try:
        answer = case.pam_answer
    except bounded.NoAnswerError:
        hangs = True
    except HostError as error:
        crashed = error.why
    file = pam_account.service_file()
    return PamFacts(case.name, case.seconds, file, answer, hangs, crashed, modules, missing, not lines, _rules(modules))


def _rules(modules: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Return the files of pam_access(8) and pam_time(8) that are there, of those that are among the modules."""
    names = {os.path.basename(module) for _, module in modules}
    return tuple(path for module, path in _GO_BY.items() if module in names and os.path.isfile(path))


def judge(facts: PamFacts | None) -> list[Fault]:
    """Say what PAM says against the account."""
    if facts is None:
        return []
    what = f"PAM for {facts.name}"
    if facts.file is None:
        why = f"/etc/pam.d/{pam_account.SERVICE} does not exist, so PAM uses that of other"
        return [Fault("PAM", why, "apt-get install --reinstall -o Dpkg::Options::=--force-confmiss openssh-server")]
    suspects = ", ".join(dict.fromkeys(f"{module} in {file}" for file, module in facts.modules))
    if facts.hangs:
        why = f"a module does not answer within {facts.seconds:g} seconds: every login of the account hangs"
        return [Fault(what, why, f"mend or remove one of: {suspects or 'the modules in ' + facts.file}")]
    lost = [_lost(file, module) for file, module in facts.missing]
    if facts.answer is None:
        return lost or [Fault(what, facts.crashed, f"mend or remove one of: {suspects or facts.file}")]
    if facts.answer.code == 0:
        return [Fault(each.what, each.why, each.cure, wrong=False) for each in lost]
    if lost:
        return lost
    means, cure = _MEANS.get(facts.answer.name, ("a module fails", ""))
    said = "; ".join(escape(text, 200) for text in facts.answer.said)
    why = f"{means} ({facts.answer.name})" + (f": {said}" if said else "")
    if facts.empty:
        why, cure = f"{facts.file} has no account phase ({facts.answer.name})", "pam-auth-update --package"
    rules = f"; rules: {', '.join(facts.rules)}" if facts.rules else ""
    cure = cure.format(name=facts.name) or f"look at: {suspects or facts.file}{rules}"
    return [Fault(what, why, cure)]


def _lost(file: str, module: str) -> Fault:
    package = module.removesuffix(".so").replace("_", "-")
    cure = f"apt-get install lib{package}, or remove its lines from {file}"
    return Fault(file, f"names {module}, which does not exist: PAM denies everybody", cure)
