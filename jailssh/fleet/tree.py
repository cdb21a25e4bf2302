"""The tree of a description, as it lies in a working copy of whoever keeps it: only read, and by any account."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from jailssh.carrying.archive import MAX_FILE, CarriedFile, why_no_path, why_no_text
from jailssh.core.errors import ConfigError, HostError, JailsshError, raise_all
from jailssh.core.names import escape
from jailssh.files import fs
from jailssh.fleet.bundle import FLEET

MODE = 0o644
"""Of every file on the hosts: a working copy has modes by who has it, and a bundle has nothing secret."""


def files_of(top: str) -> dict[str, CarriedFile]:
    """Return the files of a description by path; raises for each one that a bundle cannot hold.

    Hidden files, what editors leave, and other files at the top, such as a README, are no part of it.
    """
    errors: list[JailsshError] = []
    found: dict[str, CarriedFile] = {}
    if not os.path.isdir(top):
        raise HostError(f"directory {escape(top)}", "does not exist")
    for path in _walk(top, "", errors):
        whole = escape(f"{top}/{path}")
        if "/" not in path and path != FLEET:
            continue
        text = _text(f"{top}/{path}")
        if why := why_no_path(path) or why_no_text(text):
            errors.append(ConfigError(whole, f"cannot be in a bundle: it {why}"))
        else:
            found[path] = CarriedFile(MODE, text)
    raise_all(errors)
    return found


def _text(path: str) -> str:
    try:
        with open(fs.open_plain(path), "rb") as file:
            return file.read(MAX_FILE + 1).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise fs.failed("read", path, error) from error


def _walk(top: str, below: str, errors: list[JailsshError]) -> Iterator[str]:
    for name in sorted(os.listdir(f"{top}/{below}".rstrip("/"))):
        path = f"{below}/{name}".lstrip("/")
        mode = os.lstat(f"{top}/{path}").st_mode
        if name.startswith(".") or name.endswith("~"):
            continue
        if stat.S_ISDIR(mode):
            yield from _walk(top, path, errors)
        elif stat.S_ISREG(mode):
            yield path
        else:
            errors.append(
                ConfigError(escape(f"{top}/{path}"), "cannot be in a bundle: it is neither file nor directory")
            )
