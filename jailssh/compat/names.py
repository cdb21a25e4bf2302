"""The entry point of all of Jailkit's names: which one is meant is in the name by which it was called."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from jailssh.compat import people, trees
from jailssh.compat.call import Failed, read_by_panels
from jailssh.compat.options import Given, Tool, read
from jailssh.compat.words import harmless, tell
from jailssh.console import main as console
from jailssh.core.errors import EXIT_FAILED

_TREE = (("verbose", "v"), ("help", "h"), ("force", "f"), ("hardlink", "k"), ("jail=", "j"))
NAMES: Mapping[str, tuple[Tool, Callable[[Given], int]]] = MappingProxyType(
    {
        "jk_init": (Tool("vfkhlc:j:", (*_TREE, ("configfile=", "c"), ("list", "l"))), trees.jk_init),
        "jk_cp": (Tool("vfkosh?j:", (*_TREE, ("owner", "o"), ("setuid", "s"))), trees.jk_cp),
        "jk_update": (
            Tool("vdkhs:j:c:", (("verbose", "v"), ("help", "h"), ("dry-run", "d"), ("jail=", "j"), ("skip=", "s"),
                                ("hardlink", "k"), ("configsection=", "c"))),
            trees.jk_update,
        ),
        "jk_check": (Tool("vhc:", (("verbose", "v"), ("help", "h"), ("configfile=", "c"))), trees.jk_check),
        "jk_jailuser": (
            Tool("vnmhs:j:", (("verbose", "v"), ("help", "h"), ("shell=", "s"), ("nomove", "n"), ("move", "m"),
                              ("noninteractive", "n"), ("jail=", "j"))),
            people.jk_jailuser,
        ),
        "jk_addjailuser": (Tool("hj:c:d:e:f:g:G:mk:Mnop:rs:u:v"), people.jk_addjailuser),
        "jk_list": (Tool("whj:", (("wide", "w"), ("help", "h"), ("jail=", "j"))), people.jk_list),
    }
)  # fmt: skip
"""Jailkit's options of each, and what it does."""
_NOT_ROOT = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the name means; return the exit code."""
    called, *words = sys.argv if argv is None else argv
    name = os.path.basename(called)
    if name not in NAMES:
        tell([f"{name}: is none of {', '.join(NAMES)}"])
        return EXIT_FAILED
    tool, action = NAMES[name]
    jail = ""
    try:
        given = read(tool, words)
        jail = read_by_panels(name, given.value("j").rstrip("/"))
        if given.has("h"):
            print(f"{name}: Jailkit's options: {tool.letters}; done by jailssh, see jailssh --help")
            return 0
        if os.geteuid() != 0:
            raise Failed(_NOT_ROOT, "must be run as root")
        return action(given)
    except Failed as failed:
        tell([f"ERROR: {name}: {line}" for line in str(failed).splitlines()], jail)
        return failed.code or EXIT_FAILED
    except Exception as error:  # as for the command itself: a line, and no traceback
        tell((harmless(line, jail) for line in console.unexpected(error)), jail)
        return EXIT_FAILED
