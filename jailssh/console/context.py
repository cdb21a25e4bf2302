"""What every verb gets: the paths of this host, and how to print results and ask questions."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jailssh.core.errors import HostError, UsageError
from jailssh.core.journal_fields import Event
from jailssh.host import journal
from jailssh.host.paths import Layout

ASSUME_YES = "assume yes; required without a terminal"
"""For the help of ``--yes``: :meth:`Context.confirm` decides for every verb alike."""


_WITH_YES = "repeat the command with --yes"


@dataclass(frozen=True)
class Context:
    """``layout``: where things are.  ``json``: facts are printed as JSON.  ``yes``: questions are answered with yes.

    ``verb``: what runs, for errors.
    """

    layout: Layout
    json: bool = False
    yes: bool = False
    verb: str = ""

    def say(self, lines: Iterable[str]) -> None:
        """Print result lines."""
        for line in lines:
            print(line)

    def facts(self, facts: Any, lines: Iterable[str]) -> None:
        """Print ``facts`` as one JSON document where asked for, else ``lines``."""
        if self.json:
            import json  # slow to import, and for this alone

            print(json.dumps(facts, indent=2, sort_keys=True))
        else:
            self.say(lines)

    def changed(self, lines: Sequence[str], fields: Mapping[str, str]) -> None:
        """Print what a verb changed and write it to the journal."""
        self.say(lines)
        self.record(lines, fields)

    def record(self, lines: Sequence[str], fields: Mapping[str, str]) -> None:
        """Write what a verb changed to the journal."""
        journal.record(Event.SETUP_CHANGED, "; ".join(lines), fields)

    def tell(self, line: str) -> None:
        """Print one line beside the result, on standard error."""
        print(line, file=sys.stderr)

    def on_terminal(self) -> bool:
        """True if there is somebody to ask."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def confirm(self, question: str) -> bool:
        """Ask ``question`` on a terminal; with ``--yes`` the answer is yes.

        Where nobody can be asked the question is shown and :class:`UsageError` raised: silence is no consent.
        """
        if self.yes:
            return True
        if not self.on_terminal():
            self.tell(question)
            raise UsageError(self.verb, "no terminal for the question; nothing changed", hint=_WITH_YES)
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def need_root(self, verb: str) -> None:
        """Raise :class:`HostError` unless root runs this."""
        if os.geteuid() != 0:
            raise HostError(verb, "must be run as root", hint=f"sudo jailssh {verb} …")

    def need_real_root(self, verb: str) -> None:
        """Raise unless root runs this and no alternative root is given: accounts and sshd are the running host's."""
        if self.layout.root:
            raise UsageError(verb, "cannot be combined with --root: accounts and sshd belong to the running host")
        self.need_root(verb)
