"""git on this host: where it is, and whether it is new enough."""

from __future__ import annotations

import re

from jailssh.core.errors import ConfigError
from jailssh.plugin.api import Jail

OLDEST = (2, 31)
"""The first git that takes configuration from the environment (GIT_CONFIG_COUNT): an older one ignores it silently, and
would run a repository's own hooks."""

_VERSION = re.compile(r"git version ([0-9]+)\.([0-9]+)")


def find_git(jail: Jail) -> str:
    """Return the path of git; raise if there is none, or one that cannot be held to the jail's settings."""
    path = jail.find_program("git")
    if path is None:
        raise ConfigError("git", "not found on this host", hint="install git")
    said = jail.version_of(path) if jail.version_of else None
    if said is None:
        return path
    found = _VERSION.match(said)
    least = ".".join(map(str, OLDEST))
    if not found:
        raise ConfigError(path, "does not say its version", hint=f"install git {least} or later")
    if (int(found[1]), int(found[2])) < OLDEST:
        why = f"is git {found[1]}.{found[2]}, expected {least} or later: an older one ignores the jail's settings"
        raise ConfigError(path, why, hint=f"install git {least} or later")
    return path
