"""The table of all checks: ``jailssh check``, its ``--list``, the manual page and the tests are made from it."""

from __future__ import annotations

from collections.abc import Collection

from jailssh.checks import (
    accounts,
    configuration,
    homes,
    images,
    jobs,
    kernel,
    pam,
    processes,
    program,
    servers,
    sockets,
    sshd,
    state,
    versions,
)
from jailssh.core.errors import JailsshError
from jailssh.integrity.check import Check, third_party

CHECKS: tuple[Check, ...] = (
    images.CHECK,
    accounts.CHECK,
    sshd.CHECK,
    pam.CHECK,
    jobs.CHECK,
    homes.CHECK,
    processes.CHECK,
    servers.CHECK,
    sockets.CHECK,
    program.CHECK,
    kernel.CHECK,
    versions.CHECK,
    state.CHECK,
    configuration.CHECK,
)
"""Ours, in the order in which they run."""


def all_checks(names: Collection[str]) -> tuple[list[Check], list[JailsshError]]:
    """Return our checks and those of others that ``names`` allows, and why some of these cannot be used."""
    others, errors = third_party(names)
    return [*CHECKS, *others], errors
