"""``jailssh bundle``: a description of many hosts, signed, for ``jailssh apply --from`` on each of them."""

from __future__ import annotations

import argparse
import os
import time

from jailssh.console.context import Context
from jailssh.core.errors import EXIT_OK
from jailssh.core.names import pluralize
from jailssh.files import fs
from jailssh.fleet import bundle, signing, tree
from jailssh.transfer.export import check_place

EXAMPLES = (
    "jailssh bundle --sign ~/.ssh/id_ed25519 fleet bundle",
    "jailssh bundle --sign release.pub --serial 42 --overwrite fleet bundle",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("dir", metavar="DIR", help="the description: fleet.conf, all/, groups/NAME/, hosts/NAME/")
    parser.add_argument("file", metavar="FILE", help="where to write the bundle")
    parser.add_argument(
        "--sign",
        required=True,
        metavar="KEY",
        help="file of the key to sign with; public: the agent has the private one",
    )
    parser.add_argument(
        "--serial",
        type=int,
        default=0,
        metavar="N",
        help="number that grows with each bundle (default: seconds of now)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")


def run(args: argparse.Namespace, context: Context) -> int:
    """Write the bundle.  Root is not needed: nothing of this host is looked at."""
    check_place(args.file, overwrite=args.overwrite)
    now = int(time.time())
    found = bundle.made(args.serial or now, tree.files_of(os.path.abspath(args.dir)), now)
    body = bundle.written(found)
    agent = os.environ.get("SSH_AUTH_SOCK", "")
    signature = signing.sign(body, args.sign, {"SSH_AUTH_SOCK": agent} if agent else {})
    path = os.path.abspath(args.file)
    fs.atomic_write(path, body + signature, uid=os.geteuid(), gid=os.getegid())
    hosts, files = len(found.fleet.hosts), len(found.files) - 1
    line = f"{path}: serial {found.serial}, {pluralize(files, 'file')} for {pluralize(hosts, 'host')}"
    facts = {"file": path, "serial": found.serial, "hosts": list(found.fleet.hosts), "files": files}
    context.facts(facts, [line])
    return EXIT_OK
