"""The way of a login, from the name service to the last command, looked at step by step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jailssh.core.errors import HostError, JailsshError, parts
from jailssh.core.names import escape
from jailssh.doctor import (
    account,
    forward,
    home,
    host,
    image,
    keys,
    limits,
    mounts,
    pam,
    past,
    plan,
    ports,
    security,
    server,
)
from jailssh.doctor.case import Case
from jailssh.doctor.step import Fault, Result, Step

_NAME, _JAIL, _ANSWER, _PLAN = "name service", "jail", "sshd configuration", "plan"

STEPS: tuple[Step, ...] = (
    Step(_NAME, account.collect_name, account.judge_name),
    Step("set-up", lambda case: host.collect_setup(case.layout), host.judge_setup),
    Step(_JAIL, account.collect_jail, account.judge_jail, (_NAME,)),
    Step("group", account.collect_group, account.judge_group, (_NAME, _JAIL)),
    Step("login shell", account.collect_shell, account.judge_shell, (_NAME, _JAIL)),
    Step(_ANSWER, server.collect_answer, server.judge_answer, (_NAME,)),
    Step("account state", account.collect_state, account.judge_state, (_NAME, _ANSWER)),
    Step("sshd access lists", server.collect_access, server.judge_access, (_ANSWER,)),
    Step("sshd and the jail", server.collect_forced, server.judge_errors, (_JAIL, _ANSWER, "group")),
    Step("authentication", server.collect_access, server.judge_methods, (_ANSWER,)),
    Step("sshd", server.collect_running, server.judge_running, (_ANSWER,)),
    Step("keys", keys.collect, keys.judge, (_JAIL, "group", _ANSWER)),
    Step("forwarding", forward.collect, forward.judge, (_JAIL, _ANSWER)),
    Step("ports", ports.collect, ports.judge, (_JAIL, _ANSWER)),
    Step("PAM", pam.collect, pam.judge, (_ANSWER, "login shell", "account state")),
    Step(_PLAN, plan.collect, plan.judge, (_JAIL,)),
    Step("image", image.collect, image.judge, (_PLAN,)),
    Step("mounts", mounts.collect, mounts.judge, (_JAIL,)),
    Step("home", home.collect, home.judge, (_JAIL,)),
    Step("limits", limits.collect, limits.judge, (_PLAN,)),
    # Last of what can be wrong: it takes longest, and whatever is wrong on disk is wrong in what runs, too.
    Step("sshd in use", server.collect_current, server.judge_current, (_ANSWER, "sshd")),
    Step("security modules", security.collect, security.judge, (_NAME,)),
    Step("last logins", past.collect, past.judge, (_PLAN,)),
)
"""In the order of a login: what is found first is what to mend first."""


@dataclass(frozen=True)
class Walk:
    """What was found: ``wrong`` in order, notes beside it, what could not be looked at, how each step ended."""

    case: Case
    wrong: tuple[Fault, ...]
    notes: tuple[Fault, ...]
    unknown: tuple[Fault, ...]
    steps: dict[str, Result]

    def facts(self) -> dict[str, Any]:
        """Return it for programs."""
        entry = self.case.entry if self.steps[_NAME] == Result.RIGHT else None
        jail = "+".join(self.case.jails) if self.steps.get(_JAIL) == Result.RIGHT else None
        return {
            "user": escape(self.case.name),
            "uid": entry.uid if entry else None,
            "jail": jail,
            "wrong": _rows(self.wrong),
            "notes": _rows(self.notes),
            "unknown": _rows(self.unknown),
            "steps": [{"step": name, "state": state} for name, state in self.steps.items()],
        }

    def lines(self, *, everything: bool) -> list[str]:
        """Return it for people: the first thing that is wrong, or with ``everything`` all."""
        told = [line for fault in self.wrong for line in fault.lines()]
        if self.wrong and not everything:
            return self.wrong[0].lines()
        for each in self.unknown:
            told += [
                f"not looked at: {each.step}: {each.what}: {each.why}",
                *([f"  hint: {each.cure}"] * bool(each.cure)),
            ]
        if not self.wrong and not self.unknown:
            told.append(f"nothing wrong with {self._subject()}: it can log in")
        return [*told, *(line for note in self.notes for line in note.lines())]

    def _subject(self) -> str:
        return f"account {self.case.name} (uid {self.case.entry.uid}, jail {'+'.join(self.case.jails)})"


def _rows(found: Iterable[Fault]) -> list[dict[str, str]]:
    return [{"step": each.step, "what": each.what, "why": each.why, "hint": each.cure} for each in found]


def walk(case: Case, *, everything: bool, steps: tuple[Step, ...] = STEPS) -> Walk:
    """Look at an account step by step, as far as the first thing that is wrong; with ``everything`` to the end."""
    wrong: dict[tuple[str, str], Fault] = {}
    notes: list[Fault] = []
    unknown: list[Fault] = []
    done: dict[str, Result] = {}
    for step in steps:
        if any(done.get(each) != Result.RIGHT for each in step.needs):
            done[step.name] = Result.SKIPPED
            continue
        try:
            found = [fault.told(step.name) for fault in _looked(step, case)]
        except JailsshError as error:
            unknown += [Fault.of(each).told(step.name) for each in parts(error)]
            done[step.name] = Result.UNKNOWN
            continue
        bad = [fault for fault in found if fault.wrong]
        done[step.name] = Result.WRONG if bad else Result.RIGHT
        notes += [fault for fault in found if not fault.wrong]
        for fault in bad:
            wrong.setdefault((fault.what, fault.why), fault)
        if bad and not everything:
            break
    return Walk(case, tuple(wrong.values()), tuple(notes), tuple(unknown), done)


def _looked(step: Step, case: Case) -> list[Fault]:
    """Return what a step finds; what the kernel does not tell is an error as others are."""
    try:
        return step.judge(step.collect(case))
    except OSError as error:
        what = error.filename if isinstance(error.filename, str) else "system call"
        raise HostError(what, (error.strerror or str(error)).lower()) from error
