"""Call a verb of jailssh's in this process, and say which on standard error."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from collections.abc import Sequence
from typing import Any

from jailssh.compat.words import lines_of, tell
from jailssh.console import main
from jailssh.core.errors import EXIT_FAILED, JailsshError


class Failed(Exception):
    """The tool ends with ``code``; the text says why."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def read_by_panels(name: str, jail: str) -> str:
    """Return the path that lines of a tool must not name so that a panel acts on it; "" where none reads them."""
    return jail if name == "jk_update" else ""


def verb(name: str, argv: Sequence[str], jail: str = "") -> int:
    """Run a verb, its output as it is; returns its exit code, or raises its error as :class:`Failed`."""
    tell([f"{name}: runs: jailssh {shlex.join(argv)}"], read_by_panels(name, jail))
    try:
        return main.run(argv)
    except JailsshError as error:
        raise Failed(error.exit_code, "\n".join(error.lines())) from error


def facts(name: str, argv: Sequence[str], jail: str, *, quietly: bool = False, rows: bool = False) -> dict[str, Any]:
    """Run a verb with ``--json`` and return what it prints, of ``rows`` as that key; its notes are told, harmless."""
    jail = read_by_panels(name, jail)
    if not quietly:
        tell([f"{name}: runs: jailssh {shlex.join(argv)}"], jail)
    out, beside = io.StringIO(), io.StringIO()
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(beside):
            code = main.run([*argv, "--json"])
    except JailsshError as error:
        raise Failed(error.exit_code, "\n".join(error.lines())) from error
    finally:
        if not quietly:
            tell(lines_of(beside.getvalue()), jail)
    if code:
        raise Failed(code, f"jailssh {argv[0]} ended with {code}")
    found = json.loads(out.getvalue())
    if rows:
        return {"rows": found}
    if not isinstance(found, dict):
        raise Failed(EXIT_FAILED, f"jailssh {argv[0]} printed no facts")
    return found
