"""A host with gitolite, and what is found of it."""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping

from jailssh.gitolite import source as gitolite
from jailssh.sources.found import Found, Person
from tests.unit.source_tools import AHost

GIT = Person("git", 1001, 1001, group="git", home="/srv/git", shell="/bin/bash", groups=("git",))
CONF = "/srv/git/.gitolite/conf/gitolite.conf"
KEYS = "/srv/git/.ssh/authorized_keys"
USERS = ("ann", "bob", "cat", "dan")


def a_key(number: int) -> str:
    """Return the type and the base64 text of a key."""
    kind, data = b"ssh-ed25519", bytes([number]) * 32
    blob = struct.pack(">I", len(kind)) + kind + struct.pack(">I", len(data)) + data
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def keys(*users: str) -> str:
    """Return a keys file as gitolite writes it."""
    command = 'command="/usr/share/gitolite3/gitolite-shell {}",no-port-forwarding,no-pty {} x\n'
    rows = [command.format(user, a_key(number)) for number, user in enumerate(users)]
    return "".join(["# gitolite start\n", *rows, "# gitolite end\n"])


def a_host(conf: str, repos: Mapping[str, Mapping[str, str]], more: Mapping[str, str], users: str) -> AHost:
    """Return a host with gitolite: repositories with the files in them, other files, and the text of the keys file."""
    files = {CONF: conf, KEYS: users, **more}
    for name, inside in repos.items():
        files |= {f"/srv/git/repositories/{name}.git/{file}": text for file, text in {"HEAD": "", **inside}.items()}
    hooks = {
        f"/srv/git/repositories/{name}.git/hooks/update": "/srv/git/.gitolite/hooks/common/update" for name in repos
    }
    return AHost([GIT], files, {f"/srv/git/repositories/{name}.git": (0o40755, 1001, 1001) for name in repos}, hooks)


def found(
    conf: str,
    repos: Mapping[str, Mapping[str, str]] | None = None,
    more: Mapping[str, str] | None = None,
    users: str = "",
) -> Found:
    """Return the account of gitolite's."""
    (one,) = gitolite.find(a_host(conf, repos or {"one": {}, "two": {}}, more or {}, users or keys(*USERS)))
    return one


def table(result: Found) -> list[str]:
    """Return the lines of the table of rights."""
    (text,) = result.files.values()
    return text.splitlines()[1:]
