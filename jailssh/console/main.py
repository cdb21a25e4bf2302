"""The entry point: find the verb, import its module, run it, turn errors into lines and exit codes."""

from __future__ import annotations

import argparse
import gc
import importlib
import keyword
import os
import posixpath
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import ModuleType
from typing import NoReturn

import jailssh
from jailssh.console import output
from jailssh.console.context import Context
from jailssh.console.output import SIGPIPE_STATUS, Steady
from jailssh.core import ending
from jailssh.core.errors import EXIT_FAILED, EXIT_HOST, EXIT_OK, JailsshError, UsageError
from jailssh.core.names import check_absolute, escape
from jailssh.host.paths import INSTALL, Layout

# The module of a verb has the verb's name, with a "_" behind a keyword of Python's.  Modules are imported when
# their verb runs, so that each starts fast.
VERBS: dict[str, str] = {
    "setup": "prepare this host: group, directories, login program, sshd drop-in",
    "adduser": "put an account, new or existing, into a jail",
    "deluser": "remove an account from its jail",
    "doctor": "tell why an account cannot log in, or what is wrong with the host",
    "check": "find whatever is weaker than it should be: jails, accounts, sshd, host",
    "recover": "settle interrupted changes",
    "move": "move an account from its jail into another",
    "rename": "give an account in a jail another name",
    "lock": "refuse the logins of an account that stays in its jail",
    "unlock": "allow the logins of a locked account again",
    "sessions": "show who is logged in to a jail right now",
    "kick": "end sessions now: of an account, of a key, or one",
    "run": "run a command in any tree, in namespaces of its own",
    "launch": "start a daemon in a jail or a tree",
    "session": "list, end and recover sessions on trees (run --session)",
    "system": "make, start, enter and stop whole systems in jails",
    "exec": "run a command in a session that runs, with its rights",
    "enter": "use a jail on this host, as an account that its file lists",
    "keys": "manage the named keys of a shared account",
    "apply": "check the configuration, show the changes, publish them",
    "config": "check, show or import the configuration",
    "plan": "show what a login of an account does",
    "explain": "explain why a command is allowed or denied",
    "learn": "collect what an account is denied, and suggest settings that allow it",
    "build": "build a stand-alone tree from specs, sections and profiles",
    "cp": "copy programs and files into a stand-alone tree, with their dependencies",
    "update": "bring images up to date with this host's packages",
    "image": "list, compare, roll back, verify and remove generations of images",
    "audit": "show what happened: logins, commands, files, denials",
    "replay": "play, search and list recordings of sessions",
    "transfers": "show what sessions wrote, with size and SHA-256; record it",
    "metrics": "numbers for Prometheus: sessions, denials, images",
    "list": "list jails and the accounts in them",
    "plugins": "list the plugins",
    "migrate": "bring in accounts that Jailkit, rssh, sshd_config and others confine",
    "bundle": "make a signed bundle of a description of many hosts, for apply --from",
    "export": "write configuration, keys and accounts to a readable archive",
    "import": "bring in an archive of export, with a dry run and a diff",
    "selftest": "prove a jail with real logins: its uses work, attacks do not",
    "demo": "try real logins on a scratch host; leaves nothing behind",
}

QUERIES = (
    "audit",
    "check",
    "doctor",
    "explain",
    "list",
    "metrics",
    "plan",
    "plugins",
    "replay",
    "selftest",
    "sessions",
    "transfers",
)
"""The verbs whose module is in the room ``queries``; those of the others are in ``cli``."""
TRANSFERS = ("bundle", "export", "import", "migrate")
"""Likewise, those in the room ``transfer``."""
ENTERING = ("enter", "launch", "run", "session")
"""Likewise, those in the room ``entering``."""
SYSTEMS = ("system",)
"""Likewise, those in the room ``systems``."""
INTERRUPTED_STATUS = 130
_ANY_WIDTH = 80
"""For the formatter that argparse makes for each argument, only to see that it can be made."""
# They always ask the name service.
LOOKING_UP = ("adduser", "apply", "export", "import", "list", "migrate", "selftest")


class VerbParser(argparse.ArgumentParser):
    """Raises :class:`UsageError` instead of printing and exiting; takes no abbreviations of options."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        self._width: int | None = _ANY_WIDTH
        super().__init__(*args, allow_abbrev=False, formatter_class=self._formatter, **kwargs)  # type: ignore[arg-type, misc]

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]  # has overloads
        """Parse as argparse does, with options wherever they stand between the operands."""
        words = sys.argv[1:] if args is None else [*args]
        return super().parse_known_args(self._options_first(words), namespace)

    def _options_first(self, words: list[str]) -> list[str]:
        """Return the words with all options before all operands, as getopt(3) has them.

        argparse itself fills an operand that may be there any number of times from the first run of them alone.  What
        is no option of this parser, or lacks its value, is left to it, with all that stands there.
        """
        known = {name: action for action in self._actions for name in action.option_strings}
        operands = [action for action in self._actions if not action.option_strings]
        if any(action.nargs in (argparse.PARSER, argparse.REMAINDER) for action in operands):
            return words
        found: list[str] = []
        others: list[str] = []
        left = iter(words)
        for word in left:
            if word == "--":
                return [*found, word, *others, *left]
            if not word.startswith("-") or word == "-":
                others.append(word)
                continue
            name, has_value, _ = word.partition("=")
            if name not in known:
                return words
            found.append(word)
            if known[name].nargs != 0 and not has_value:
                value = next(left, None)
                if value is None:
                    return words
                found.append(value)
        return [*found, *others]

    def _formatter(self, prog: str) -> argparse.HelpFormatter:
        return argparse.RawDescriptionHelpFormatter(prog, width=self._width)

    def format_help(self) -> str:
        """Return the text of ``--help``, as wide as the terminal."""
        self._width = None
        return super().format_help()

    def format_usage(self) -> str:
        """Return the line of usage, likewise."""
        self._width = None
        return super().format_usage()

    def error(self, message: str) -> NoReturn:
        """Raise the error of a wrong command line."""
        what = self.prog.removeprefix("jailssh").strip() or "command line"
        raise UsageError(what, message, hint=f"{self.prog} --help")


def verb_module(verb: str) -> ModuleType:
    """Return the module of ``verb``; :class:`UsageError` with the nearest verb where there is none."""
    if verb not in VERBS:
        import difflib  # for what is wrong alone

        close = difflib.get_close_matches(verb, VERBS, 1)
        hint = f"did you mean: jailssh {close[0]}?" if close else "jailssh --help"
        raise UsageError(f"verb {verb!r}", "does not exist", hint=hint)
    return importlib.import_module(module_name(verb))


def module_name(verb: str) -> str:
    """Return the module of a verb."""
    return f"jailssh.{room_of(verb)}.{verb}{'_' if keyword.iskeyword(verb) else ''}"


def room_of(verb: str) -> str:
    """Return the room with the module of a verb."""
    rooms = {"queries": QUERIES, "transfer": TRANSFERS, "entering": ENTERING, "systems": SYSTEMS}
    return next((room for room, verbs in rooms.items() if verb in verbs), "cli")


def verb_parser(verb: str, module: ModuleType) -> VerbParser:
    """Return the parser of ``verb``, with the examples of its module under ``--help``."""
    examples = "\n".join(f"  {line}" for line in module.EXAMPLES)
    parser = VerbParser(prog=f"jailssh {verb}", description=VERBS[verb], epilog=f"examples:\n{examples}")
    _common(parser, default=argparse.SUPPRESS)
    module.add_arguments(parser)
    return parser


def main_parser() -> VerbParser:
    """Return the parser of everything in front of the verb."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {text}" for verb, text in VERBS.items())
    parser = VerbParser(
        prog="jailssh",
        usage="jailssh [--root DIR] [--json] VERB …",
        description="Confine SSH logins: one jail per account.",
        epilog=f"verbs:\n{verbs}\n\nexample:\n  jailssh adduser alice --jail sftp-only --key alice.pub\n\n"
        "jailssh VERB --help shows a verb's arguments and examples.",
    )
    parser.add_argument("--version", action="version", version=f"jailssh {jailssh.__version__}")
    _common(parser, default=None)
    parser.add_argument("verb", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return parser


def _common(parser: VerbParser, default: str | None) -> None:
    parser.add_argument(
        "--root", metavar="DIR", default=default, help="root directory of configuration and state (default /)"
    )
    parser.add_argument("--json", action="store_true", default=default or False, help="print results as JSON")


def parse(argv: Sequence[str]) -> tuple[ModuleType, argparse.Namespace]:
    """Return the verb's module and the arguments of a whole command line, without the program's name."""
    outer = main_parser().parse_args(argv)
    if outer.verb is None:
        raise UsageError("command line", "missing verb", hint="jailssh --help")
    if outer.verb in LOOKING_UP:
        from jailssh.host import nss  # for these alone

        nss.warm()  # Its helper starts while the verb's modules are imported.
    module = verb_module(outer.verb)
    own, command = outer.rest, None
    if getattr(module, "TAKES_COMMAND", False):
        own, command = _split_command(outer.rest)
    args = verb_parser(outer.verb, module).parse_args(own)
    args.command, args.verb = command, outer.verb
    args.root = getattr(args, "root", outer.root)
    args.json = getattr(args, "json", outer.json)
    return module, args


def _split_command(words: list[str]) -> tuple[list[str], list[str] | None]:
    """Return what stands before ``--`` and what follows it; None where there is no ``--``."""
    if "--" not in words:
        return words, None
    place = words.index("--")
    return words[:place], words[place + 1 :]


def run(argv: Sequence[str], out: Steady | None = None) -> int:
    """Run one command line and return its exit code; errors are raised.  ``out``: standard output."""
    module, args = parse(argv)
    root = "" if args.root in (None, "/") else check_absolute(args.root, "--root")
    context = Context(Layout(root=root), json=args.json, yes=getattr(args, "yes", False), verb=args.verb)
    if out is not None:
        gc.freeze()  # The modules stay as long as the process.
        gc.enable()
    code: int = module.run(args, context)
    if out is not None:
        return output.status(code, out, shows=output.is_shown(args))
    sys.stdout.flush()
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; print what went wrong in a line or two; return the exit code."""
    out = output.hold() if argv is None else None
    try:
        return run(sys.argv[1:], out) if argv is None else run(argv)
    except SystemExit as end:  # --help and --version
        code = end.code if isinstance(end.code, int) else EXIT_OK
        return code if out is None else output.status(code, out, shows=True)
    except JailsshError as error:
        lines, code = error.lines(), error.exit_code
    except BrokenPipeError:
        # The reader has gone; point stdout elsewhere so that the interpreter's last flush does not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return SIGPIPE_STATUS
    except KeyboardInterrupt:
        lines, code = ["jailssh: interrupted: changes rolled back"], INTERRUPTED_STATUS
    except OSError as error:
        lines, code = _why(error), EXIT_FAILED
    except MemoryError:
        lines, code = ["jailssh: this host: not enough memory, or a limit of this process (ulimit -v)"], EXIT_HOST
    except Exception as error:  # nobody is helped by a traceback; where it was helps who mends it
        lines, code = unexpected(error), EXIT_HOST if isinstance(error, ImportError) else EXIT_FAILED
    for line in lines:
        print(line, file=sys.stderr)
    return code


def _why(error: OSError) -> list[str]:
    where = error.filename if isinstance(error.filename, str) else "system call"
    if where.startswith("/proc/") and not os.path.exists("/proc/self"):  # a chroot, such as image builders have
        return ["jailssh: /proc: is not mounted here", "hint: mount -t proc proc /proc"]
    if error.filename is None and not os.stat(".").st_nlink:
        return ["jailssh: the current directory: no longer exists", "hint: cd /"]
    return [f"jailssh: {escape(where)}: {(error.strerror or str(error)).lower()}"]


def program() -> NoReturn:
    """Run the command as a process of its own.

    It is not taken down object by object at the end, which would take as long as a small verb.
    """
    gc.disable()  # until the modules are there: there is nothing to collect in them
    code = main()
    ending.end()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def unexpected(error: Exception) -> list[str]:
    """Return the lines for an error that no part has expected: what it is, and where it came up."""
    if isinstance(error, ImportError):  # as the launcher says it of what is imported first
        hint = f"while packages are upgraded, wait until that has ended; else: {INSTALL}"
        return [f"jailssh: {sys.executable}: {escape(str(error), 500)}", f"hint: {hint}"]
    place, trace = "", error.__traceback__
    while trace is not None:
        place = f"{posixpath.basename(trace.tb_frame.f_code.co_filename).removesuffix('.py')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return [
        f"jailssh: unexpected error at {place}: {type(error).__name__}: {escape(str(error), 500)}",
        "hint: this is a bug in jailssh; check the host: jailssh doctor; settle interrupted changes: jailssh recover",
    ]
