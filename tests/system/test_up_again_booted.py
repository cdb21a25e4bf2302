"""A booted Debian that is switched off and on: with an empty /run everything is as before, forwarding too.

Its name makes it the last but for what measures time.
"""

from __future__ import annotations

import pytest

from tests.system.booted import BootedTree
from tests.system.logins import try_both_networks
from tests.system.people import OTHER, SSH

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")


def test_it_starts_again_with_an_empty_run(tree: BootedTree) -> None:
    units = "jailssh-gone.timer jailssh-gone.path jailsshd.socket"
    before = tree.run(f"systemctl is-enabled {units}").stdout
    tree.reboot()
    tree.sh("systemctl start ssh cron atd")
    assert tree.run("find /run/jailssh/net /run/jailssh/ns -mindepth 1").stdout == ""
    try_both_networks(tree)
    assert tree.sh(f"ssh -n {SSH} runs@localhost id -un") == "runs\n"
    assert tree.run(f"ssh -n {SSH} shut@localhost id -un").returncode == 126
    assert tree.sh(f"cd /; runuser -u {OTHER} -- jailssh run -U shell id -u") == "0\n"
    assert tree.run(f"systemctl is-enabled {units}").stdout == before
    assert tree.sh("systemctl list-units --failed --plain --no-legend 'jailssh*'") == ""
