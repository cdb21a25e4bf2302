"""The sources by name.  A new one is a module of this room and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from jailssh.sources import authorized_keys, git_shell, hestia, lshell, mysecureshell, rssh, scponly
from jailssh.sources.found import Source

_SOURCES: tuple[Source, ...] = (
    rssh,
    scponly,
    git_shell,
    lshell,
    mysecureshell,
    hestia,
    authorized_keys,
)

SOURCES: Mapping[str, Source] = MappingProxyType({source.NAME: source for source in _SOURCES})
