"""The sources by name.  A new one is a module of ``sources``, or a room of its own, and a line here.

An account that several confine goes with the first: its login shell before what sshd forces on it, and its keys last.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from jailssh.gitolite import source as gitolite
from jailssh.jailkit import source as jailkit
from jailssh.sources import authorized_keys, git_shell, hestia, lshell, mysecureshell, rssh, rush, scponly, sshd_blocks
from jailssh.sources.found import Source

_SOURCES: tuple[Source, ...] = (
    jailkit,
    rssh,
    scponly,
    lshell,
    rush,
    mysecureshell,
    hestia,
    git_shell,
    gitolite,
    sshd_blocks,
    authorized_keys,
)

SOURCES: Mapping[str, Source] = MappingProxyType({source.NAME: source for source in _SOURCES})
