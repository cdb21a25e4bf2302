"""Whether the service answers that accounts in jails ask for changes of themselves."""

from __future__ import annotations

import os
from collections.abc import Collection

from jailssh.core import asking
from jailssh.host.paths import Layout


def note(layout: Layout, plugins: Collection[str]) -> str:
    """Return what is to be said of a jail with these plugins whose accounts would ask nobody, "" for nothing."""
    if asking.PLUGIN not in plugins or layout.root or os.path.lexists(f"{layout.asking}/{asking.SOCKET}"):
        return ""
    return "self-service does not run; to start it: systemctl enable --now jailsshd-self.socket"
