"""Files with tables of rights, and what tells that a file has changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from jailssh.config.jails import rights_files
from jailssh.config.reader import Document
from jailssh.config.rights import MAX_TABLE, Table
from jailssh.core.errors import HostError, JailsshError
from jailssh.core.names import escape
from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.plugin.registry import Registry

Stamps = tuple[tuple[str, tuple[int, int, int, int] | None], ...]
"""Paths with what changes when the file does, None for a file that is not there."""


def read_tables(layout: Layout, documents: dict[str, Document | JailsshError], registry: Registry) -> Stamps:
    """Give the documents what the files of their tables of rights hold; return the stamps of these files."""
    read = {name: each for name, each in documents.items() if isinstance(each, Document)}
    named = {name: paths for name, each in read.items() if (paths := rights_files(each, registry.plugins))}
    files = sorted({path for paths in named.values() for path in paths})
    stamps = stamps_of([f"{layout.root}{path}" for path in files])
    tables = {path: _read_table(layout, f"{layout.root}{path}") for path in files}
    documents.update({name: replace(read[name], tables={path: tables[path] for path in named[name]}) for name in named})
    return stamps


def _read_table(layout: Layout, file: str) -> Table:
    try:
        return Table(file, fs.read_trusted(file, MAX_TABLE, trusted_root=layout.root or None))
    except JailsshError as error:
        if not os.path.lexists(file):
            hint = "write it, one right in a line, as in: write team/* @developers"
            return Table(file, HostError(f"table of rights {escape(file)}", "does not exist", hint=hint))
        return Table(file, error)


def stamps_of(paths: Sequence[str]) -> Stamps:
    """Return the stamps of the files as they are now."""
    out: list[tuple[str, tuple[int, int, int, int] | None]] = []
    for path in paths:
        try:
            info = os.lstat(path)
            out.append((path, (info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)))
        except OSError:
            out.append((path, None))
    return tuple(out)
