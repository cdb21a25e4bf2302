"""``jailssh cp``: programs and files into a tree that is there, with everything that they need."""

from __future__ import annotations

import argparse
import os

from jailssh.cli.build import add_common_arguments, build_and_tell
from jailssh.console.context import Context
from jailssh.core.errors import ConfigError, JailsshError, ManyErrors, UsageError
from jailssh.core.names import HostPath, escape
from jailssh.jailspec.merge import Spec, merge
from jailssh.jailspec.statements import KEEP_OWNER, ROOT_OWNER, Copy, Origin

EXAMPLES = (
    "jailssh cp /srv/jails/dev htop /usr/share/terminfo",
    "jailssh cp /srv/jails/dev /usr/bin/'*sum' --dry-run",
)
_MAGIC = "*?["


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("target", metavar="TARGET", help="tree to change, an existing directory")
    parser.add_argument("files", nargs="+", metavar="FILE", help="absolute path, pattern, or the name of a program")
    parser.add_argument("--owner", action="store_true", help="keep the owners of the files (default: root)")
    parser.add_argument(
        "--setuid",
        action="store_true",
        help="keep set-user-ID and set-group-ID bits (programs gain the rights of their owner)",
    )
    add_common_arguments(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Copy."""
    if "/" not in args.target and not os.path.isdir(args.target):
        hint = "set programs in section [shell] of the jail's file, then run: jailssh apply"
        raise UsageError(
            f"target {args.target!r}", "is not a directory; the image of a jail is never changed", hint=hint
        )
    if not os.path.isdir(args.target):
        raise UsageError(f"target {args.target!r}", "is not a directory", hint="jailssh build SPEC… TARGET")
    statements: list[Copy] = []
    errors: list[JailsshError] = []
    for number, name in enumerate(args.files, 1):
        try:
            statements.append(_statement(args, name, number))
        except ConfigError as error:
            errors.append(error)
    if errors:
        raise errors[0] if len(errors) == 1 else ManyErrors(errors)
    merged, conflicts = merge(statements)
    if conflicts:
        raise ManyErrors(list(conflicts))
    return build_and_tell(args, context, Spec(merged.statements, notes=merged.notes), args.target, {})


def _statement(args: argparse.Namespace, name: str, number: int) -> Copy:
    origin = Origin("command line", number, text=name)
    if "/" in name and not name.startswith("/"):
        raise ConfigError(
            origin.place, f"'{escape(name)}' is not an absolute path", hint="paths in the tree are those of the host"
        )
    path = os.path.normpath(name) if name.startswith("/") else name
    glob = any(char in path for char in _MAGIC) and not os.path.lexists(path)
    return Copy(
        HostPath("/" + path.lstrip("/") if name.startswith("/") else path),
        owner=KEEP_OWNER if args.owner else ROOT_OWNER,
        setuid=args.setuid,
        glob=glob,
        search=not name.startswith("/"),
        recursive=True,
        origin=origin,
    )
