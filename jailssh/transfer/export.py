"""``jailssh export``: configuration, keys and accounts of this host as one readable archive."""

from __future__ import annotations

import argparse
import os
import stat
import sys

from jailssh.carrying import archive
from jailssh.carrying.collect import collect
from jailssh.console.context import Context
from jailssh.core.errors import EXIT_OK, UsageError
from jailssh.core.names import escape, pluralize
from jailssh.files import fs
from jailssh.jail.configuration import load_configuration

EXAMPLES = (
    "jailssh export /root/jails.txt",
    "jailssh export --secrets /root/jails.txt",
    "jailssh export --overwrite /root/jails.txt",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("file", metavar="FILE", help="where to write the archive; - is standard output")
    parser.add_argument(
        "--secrets", action="store_true", help="carry hashes of passwords, and files that only root may read"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")


def run(args: argparse.Namespace, context: Context) -> int:
    """Write the archive."""
    context.need_real_root("export")
    to_stdout = args.file == "-"
    if to_stdout and context.json:
        raise UsageError("--json", "cannot be combined with the archive on standard output")
    if not to_stdout:
        check_place(args.file, overwrite=args.overwrite)
    with fs.lock(context.layout.lock):
        found = collect(load_configuration(context.layout), secrets=args.secrets)
    data = archive.write(found.archive)
    for line in found.left_out:
        context.tell(f"note: {line}")
    if to_stdout:
        # Bytes: a locale without some character must not change the archive.
        sys.stdout.buffer.write(data)
        return EXIT_OK
    path = os.path.abspath(args.file)
    fs.atomic_write(path, data, mode=0o600)
    files, people = len(found.archive.files), len(found.archive.accounts)
    with_secrets = "with secrets" if args.secrets else "without secrets"
    line = f"{path}: {pluralize(files, 'file')} and {pluralize(people, 'account')}, {with_secrets}"
    facts = {"file": path, "files": files, "accounts": people, "secrets": args.secrets, "left_out": found.left_out}
    context.facts(facts, [line])
    return EXIT_OK


def check_place(path: str, *, overwrite: bool) -> None:
    """Raise unless a file can be put there: nothing but a file is replaced, and that only where it was said."""
    if not os.path.lexists(path):
        return
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise UsageError(escape(path), "exists and is not a file")
    if not overwrite:
        raise UsageError(escape(path), "exists already", hint="name another file, or use --overwrite")
