"""The entry point of all of Jailkit's names: which one is meant is in the name by which it was called."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from jailssh.compat import others, people, trees
from jailssh.compat.call import Failed, read_by_panels
from jailssh.compat.options import Given, Option, Tool, read
from jailssh.compat.words import harmless, tell
from jailssh.console import main as console
from jailssh.core.errors import EXIT_FAILED

_NOT_LINKED = "blocks are shared where the file system can; a hard link would let the jail change the host's file"
_V = Option("v", "tell more", long=("verbose",))
_F = Option("f", "replace files that differ from the host's; else nothing is done where some do", long=("force",))
_K = Option("k", "share blocks instead of hard links", long=("hardlink",), note=_NOT_LINKED)
_J = Option("j", "the directory; else the first word", long=("jail",), value="DIR")
_USER_J = Option("j", "the directory, whose name is that of the jail", long=("jail",), value="DIR")
_SHELL = Option("s", "the shell in the jail (default jk_lsh)", long=("shell",), value="SHELL")
NAMES: Mapping[str, tuple[Tool, Callable[[Given], int]]] = MappingProxyType(
    {
        "jk_init": (
            Tool(
                "jailssh build",
                "SECTION...",
                (
                    _V, _F, _K, _J,
                    Option("c", f"the file with the sections (default {trees.INIT})", long=("configfile",),
                           value="FILE"),
                    Option("l", "list the sections", long=("list",)),
                ),
            ),
            trees.jk_init,
        ),
        "jk_cp": (
            Tool(
                "jailssh cp",
                "FILE...",
                (
                    _V, _F, _K, _J,
                    Option("o", "keep the owners of files", long=("owner",)),
                    Option("s", "keep set-id bits", long=("setuid",)),
                ),
            ),
            trees.jk_cp,
        ),
        "jk_update": (
            Tool(
                "jailssh cp of what differs from the host; what root owns and the host has no more is removed",
                "[DIRECTORY...]",
                (
                    _V, _K, _J,
                    Option("d", "show what would be done", long=("dry-run",)),
                    Option("s", "leave out a path; repeatable", long=("skip",), value="PATH"),
                    Option("c", f"a section of {trees.UPDATE}, which is a directory", long=("configsection",),
                           value="DIR"),
                ),
            ),
            trees.jk_update,
        ),
        "jk_check": (
            Tool(
                "jailssh check --dir",
                "[DIRECTORY...]",
                (
                    Option("v", "no effect: each directory is named", long=("verbose",)),
                    Option("c", f"the file with the directories (default {trees.CHECK})", long=("configfile",),
                           value="FILE"),
                ),
            ),
            trees.jk_check,
        ),
        "jk_jailuser": (
            Tool(
                "jailssh adduser of accounts that exist",
                "USER...",
                (
                    _V, _USER_J, _SHELL,
                    Option("n", "no effect: nothing is asked", long=("noninteractive", "nomove")),
                    Option("m", "move the home to its own path below the directory", long=("move",)),
                ),
            ),
            people.jk_jailuser,
        ),
        "jk_addjailuser": (
            Tool(
                "jailssh adduser of a new account",
                "DIRECTORY USER",
                (
                    _V, _USER_J, _SHELL,
                    Option("c", "full name", value="TEXT"),
                    Option("d", "home directory, on the host", value="DIR"),
                    Option("e", "day from which it is refused", value="DATE"),
                    Option("u", "uid", value="UID"),
                    Option("m", "no effect: the home is made"),
                    *(Option(letter, people.NOT_HERE, value="VALUE") for letter in "fgGkp"),
                    *(Option(letter, people.NOT_HERE) for letter in "Mnor"),
                ),
            ),
            people.jk_addjailuser,
        ),
        "jk_list": (
            Tool(
                "jailssh list",
                "",
                (
                    Option("w", "no effect: nothing is cut", long=("wide",)),
                    Option("j", "an error: all jails are listed", long=("jail",), value="DIR"),
                ),
            ),
            people.jk_list,
        ),
        **others.NAMES,
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
            print("\n".join(tool.usage(name)))
            return 0
        if os.geteuid() != 0 and not tool.anybody:
            raise Failed(_NOT_ROOT, "must be run as root")
        tell(f"{name}: -{each.letter}: {each.note}" for each in tool.options if each.note and given.has(each.letter))
        return action(given)
    except Failed as failed:
        tell([f"ERROR: {name}: {line}" for line in str(failed).splitlines()], jail)
        return failed.code or EXIT_FAILED
    except Exception as error:  # as for the command itself: a line, and no traceback
        tell((harmless(line, jail) for line in console.unexpected(error)), jail)
        return EXIT_FAILED
