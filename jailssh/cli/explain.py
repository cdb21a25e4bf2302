"""``jailssh explain``: ask the login program's own matcher about a command of an account."""

from __future__ import annotations

import argparse
import shlex

from jailssh.cli.context import Context
from jailssh.core.errors import EXIT_DENIED, EXIT_OK, HostError, JailsshError
from jailssh.host import accounts, process
from jailssh.image.publish import read_plan

EXAMPLES = ("jailssh explain alice -- 'scp -t upload'", "jailssh explain alice")
TAKES_COMMAND = True
TIMEOUT = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("user", metavar="USER", help="the account")
    parser.usage = "jailssh explain [--json] USER [-- COMMAND]"
    parser.description = "say why a command, as the client would send it, is allowed or denied; none is a login"


def run(args: argparse.Namespace, context: Context) -> int:
    """Explain one command; the exit code is 0 for allowed, 3 for denied."""
    context.need_root("explain")
    entry = accounts.get(args.user)
    if read_plan(context.layout, entry.uid) is None:
        raise JailsshError(f"plan of {args.user}", "there is none yet", hint="jailssh apply makes it")
    argv = [context.layout.match_program, f"{context.layout.plans}/{entry.uid}"]
    # As ssh(1) does: the words are joined with single spaces into the one string that the server gets.
    command = " ".join(args.command) if args.command else None
    done = process.run(argv if command is None else [*argv, command], check=False, timeout=TIMEOUT)
    if done.code not in (EXIT_OK, EXIT_DENIED):
        raise HostError("explain", process.last_line(done.stderr) or f"the matcher ended with status {done.code}")
    verdict, *words = done.stdout.split("\n")
    facts, lines = _allowed(verdict, words[:-1]) if done.code == EXIT_OK else _denied(verdict)
    context.facts({"command": command, **facts}, lines)
    return done.code


def _allowed(verdict: str, argv: list[str]) -> tuple[dict[str, object], list[str]]:
    """Read ``allow TAB rule TAB program`` and the argument vector that would be executed."""
    rule, program = verdict.split("\t")[1:3]
    facts: dict[str, object] = {"allowed": True, "rule": rule, "program": program, "argv": argv}
    return facts, [f"allowed by rule {rule}", f"runs {program}: {shlex.join(argv)}"]


def _denied(verdict: str) -> tuple[dict[str, object], list[str]]:
    """Read ``deny TAB reason TAB rule TAB detail``; the rule is the first that nearly matched, and may be empty."""
    reason, rule, detail = verdict.split("\t", 3)[1:4]
    facts: dict[str, object] = {"allowed": False, "reason": reason, "rule": rule, "detail": detail}
    nearest = f"nearest rule: {rule}" if rule else "no rule is for this command"
    return facts, [f"denied ({reason}): {detail}" if detail else f"denied ({reason})", nearest]
