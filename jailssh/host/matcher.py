"""Asking the login program's own matcher about a command, by ``jailssh-match``."""

from __future__ import annotations

import os
from dataclasses import KW_ONLY, dataclass

from jailssh.core.errors import EXIT_DENIED, EXIT_OK, HostError
from jailssh.core.names import JailPath
from jailssh.host import process
from jailssh.host.paths import INSTALL, Layout

TIMEOUT = 10.0
"""Seconds; a decision takes microseconds."""

NOT_SERVED = "not-served"
"""The reason of a denial by a rule that matched and says so itself."""
_NO_PATH = JailPath("")


@dataclass(frozen=True)
class Verdict:
    """What the matcher decides.

    Allowed: ``rule`` and ``plugin`` that matched, ``program`` and ``argv`` that would run (none where the rule has
    the answer itself and nothing is executed), ``path`` the first path among its words ("" for none).  Denied:
    ``reason`` (a code), ``detail`` the first thing that did not fit, or what the user is told where the reason is
    :data:`NOT_SERVED`, ``rule`` and ``plugin`` that nearly matched ("" for none), ``words`` of the command (none
    where it cannot be split).
    """

    allowed: bool
    _: KW_ONLY
    rule: str
    plugin: str
    reason: str = ""
    detail: str = ""
    program: JailPath = _NO_PATH
    path: JailPath = _NO_PATH
    argv: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


def judge(layout: Layout, plan: str | bytes, command: str | None) -> Verdict:
    """Return the decision about ``command`` (None: an interactive login) by a plan: its path, or its bytes.

    Paths are judged by their text: symbolic links show only inside the jail.  Raises :class:`HostError` where the
    matcher is not installed or cannot read the plan.
    """
    program = layout.match_program
    if not os.path.exists(program):
        raise HostError(f"program {program}", "is not installed", hint=INSTALL)
    data = plan if isinstance(plan, bytes) else None
    argv = [program, "-0", plan if isinstance(plan, str) else "-", *([] if command is None else [command])]
    done = process.run(argv, input=data, check=False, timeout=TIMEOUT)
    if done.code not in (EXIT_OK, EXIT_DENIED):
        raise HostError("matcher", process.last_line(done.stderr) or f"exit status {done.code}")
    return read_verdict(done.stdout)


def read_verdict(text: str) -> Verdict:
    """Return the verdict in the output of ``jailssh-match -0``, as ``login/command/match_main.c`` describes it."""
    word, *fields = text.split("\0")[:-1]
    if word == "allow":
        rule, plugin, program, path, *argv = fields
        return Verdict(True, rule=rule, plugin=plugin, program=JailPath(program), path=JailPath(path), argv=tuple(argv))
    reason, rule, plugin, detail, *words = fields
    return Verdict(False, rule=rule, plugin=plugin, reason=reason, detail=detail, words=tuple(words))
