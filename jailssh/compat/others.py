"""Jailkit's names beside those for trees and accounts; those without a verb are errors that say what does the job."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import NoReturn

from jailssh.compat import call
from jailssh.compat.call import Failed
from jailssh.compat.options import Given, Option, Tool
from jailssh.core.errors import EXIT_FAILED
from jailssh.host import process
from jailssh.host.paths import Layout

_MEANT = {
    "jk_lsh": "is no program of jailssh: what its jk_lsh.ini allows becomes a jail by: jailssh migrate jailkit",
    "jk_chrootsh": "is no program of jailssh: accounts of jails have its own login shell; to bring them in: jailssh "
    "migrate jailkit",
    "jk_socketd": "is no program of jailssh: its jails have no socket, and their sessions are in the journal: jailssh "
    "audit log; jails of Jailkit's need Jailkit's own jk_socketd",
}
_RELATIVE = 27
_PROCMAIL = "/usr/bin/procmail"


def jk_chrootlaunch(given: Given) -> int:
    """Become what starts the program in the directory, and returns as it does."""
    jail, program = given.value("j").rstrip("/"), given.value("x")
    if not jail or not program:
        raise Failed(EXIT_FAILED, "need a jail directory (-j) and a program (-x)")
    if not jail.startswith("/"):
        raise Failed(_RELATIVE, f"jail {jail} is no absolute path")
    inside = program.removeprefix(jail) if program.startswith(f"{jail}/") else program
    words = [word for letter in "ugp" if given.has(letter) for word in (f"-{letter}", given.value(letter))]
    return call.verb("jk_chrootlaunch", ["launch", *words, jail, "--", inside, *given.rest])


def jk_procmailwrapper(given: Given) -> NoReturn:
    """Become jailssh-deliver, which runs procmail with these arguments: in the account's jail, if it is in one."""
    deliver, procmail = Layout().deliver_program, process.find_program("procmail") or _PROCMAIL
    try:
        process.become(deliver, [deliver, "--", procmail, *given.rest])
    except (OSError, ValueError) as error:
        # The mail server keeps the message.
        raise Failed(os.EX_TEMPFAIL, f"cannot start {deliver}: {error}") from error


def jk_uchroot(given: Given) -> int:
    """Enter the jail with the name of the directory.  Nothing is looked at before that is allowed."""
    directory, program = given.value("j").rstrip("/"), given.value("x")
    if not directory or not program:
        raise Failed(EXIT_FAILED, "need a jail directory (-j) and a program (-x)")
    inside = program if program.startswith("/") else f"/{program}"
    return call.verb("jk_uchroot", ["enter", os.path.basename(directory), "--", inside, *given.rest])


def _said(why: str, _given: Given) -> NoReturn:
    raise Failed(EXIT_FAILED, why)


_LAUNCH = Tool(
    "jailssh launch",
    "-- [ARGUMENT...]",
    (
        Option("j", "the directory", long=("jail",), value="DIR"),
        Option("u", "the user", long=("user",), value="USER"),
        Option("g", "the group", long=("group",), value="GROUP"),
        Option("p", "the file for the process's number", long=("pidfile",), value="FILE"),
        Option("x", "the program", long=("exec", "executable"), value="PROGRAM"),
    ),
)
_UCHROOT = Tool(
    "jailssh enter",
    "-- [ARGUMENT...]",
    (
        Option("j", "the directory, whose name is that of the jail", long=("jail",), value="DIR"),
        Option("x", "the program, as the jail has it", long=("executable", "exec"), value="PROGRAM"),
        Option("v", "no effect", long=("verbose",)),
    ),
    anybody=True,
)
NAMES: Mapping[str, tuple[Tool, Callable[[Given], int]]] = MappingProxyType(
    {
        "jk_chrootlaunch": (_LAUNCH, jk_chrootlaunch),
        "jk_procmailwrapper": (
            Tool("jailssh-deliver -- procmail", "[ARGUMENT...]", anything=True, anybody=True),
            jk_procmailwrapper,
        ),
        "jk_uchroot": (_UCHROOT, jk_uchroot),
        **{name: (Tool(why, "", anything=True), partial(_said, why)) for name, why in _MEANT.items()},
    }
)
"""As :data:`jailssh.compat.names.NAMES`."""
