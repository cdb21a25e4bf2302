"""What accounts have by their jails beside a plan: ports that sshd forwards for them, ways out of their networks.

``jailssh apply`` gives it to all accounts; a command that puts some into jails, or gives them keys, to these.
"""

from __future__ import annotations

from collections.abc import Iterable

from jailssh.core.errors import JailsshError
from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.jail.configuration import load_configuration
from jailssh.setup import forwarding, jumping, outbound


def settle(layout: Layout, names: Iterable[str]) -> tuple[list[str], list[JailsshError]]:
    """Give these accounts what their jails have beside a plan, and take from them what these do not have.

    Call without the lock of the set-up.  Returns lines that say what changed, and what somebody does not have because
    something is wrong: the accounts are in their jails all the same.
    """
    among = frozenset(names)
    errors: list[JailsshError] = []
    with fs.lock(layout.lock):
        configuration = load_configuration(layout)
        lines = forwarding.settle(layout, configuration, act=True, errors=errors, among=among)
        # A list is that of many accounts, and its block is in the drop-in for all.
        if jumping.is_about(configuration, among):
            lines += jumping.settle(layout, configuration, act=True, errors=errors)
        lines += outbound.settle(layout, configuration, act=True, errors=errors, among=among)
    return lines, errors
