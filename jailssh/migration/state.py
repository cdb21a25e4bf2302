"""What ``migrate --apply`` has brought in, so that ``--undo`` knows it: a file below the state, replaced atomically."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from jailssh.core.errors import ConfigError
from jailssh.files import fs
from jailssh.host.paths import Layout

_LIMIT = 64 << 20
_VERSION = 1


@dataclass(frozen=True)
class Brought:
    """An account that was brought in: its uid, the source, the jail, and when (seconds since 1970)."""

    uid: int
    source: str
    jail: str
    time: int


def file(layout: Layout) -> str:
    """Return the path of the file."""
    return f"{layout.state}/migrated.json"


def read(layout: Layout) -> dict[str, Brought]:
    """Return who was brought in, by name; raises for a file that is damaged or of another version."""
    path = file(layout)
    if not os.path.lexists(path):
        return {}
    data = fs.read_trusted(path, _LIMIT, trusted_root=layout.root or None)
    try:
        document = json.loads(data)
        if document["version"] != _VERSION:
            raise ConfigError(path, "has the format of another version of jailssh")
        return {name: Brought(**row) for name, row in document["accounts"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        hint = f"jailssh deluser NAME takes single accounts back; then: rm {path}"
        raise ConfigError(path, "is damaged", hint=hint) from error


def write(layout: Layout, accounts: Mapping[str, Brought]) -> None:
    """Put it in the place of what is there; empty removes it."""
    if not accounts:
        fs.remove_file(file(layout))
        return
    document = {"version": _VERSION, "accounts": {name: asdict(row) for name, row in sorted(accounts.items())}}
    fs.atomic_write(file(layout), json.dumps(document, indent=1).encode("ascii"), mode=0o600)
