"""Homes full of traps: every verb goes over them, and nothing outside of the home is read, changed or removed."""

from __future__ import annotations

import pytest

from tests.root.account_lab import KEY, Host, host

__all__ = ["host"]
pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]

# What an account can leave behind, and hard links as where fs.protected_hardlinks is off.
TRAPS = r"""
cd /home/{name}
for n in $(seq 200); do ln -s /etc/shadow link$n; ln -s /etc dir$n; ln -s / root$n; done
for n in $(seq 50); do mkfifo fifo$n; ln /srv/twin hard$n; done
python3 -c 'import socket
for n in range(50): socket.socket(socket.AF_UNIX).bind("sock%d" % n)'
ln -s /etc/shadow .forward; mkfifo .procmailrc; ln -s /root .config; ln -s ../../etc .pam_environment
mkdir .ssh; ln -s /etc/shadow .ssh/authorized_keys; ln -s /srv/twin .rhosts; ln -s loop loop
chown -hR {name}: .
"""


def trapped(host: Host, name: str) -> str:
    host.sh("cp -a /etc/shadow /srv/twin && cp -a /etc/shadow /root/twin")
    host.sh(TRAPS.format(name=name))
    host.sh("chown root:shadow /srv/twin")  # One of its names lies in the home, and was given away with it.
    return kept(host)


def kept(host: Host) -> str:
    """What must stay as it is."""
    return host.sh("stat -c '%n %a %U %G' /srv/twin /etc/shadow /root /etc; cmp /srv/twin /root/twin; ls /root /srv")


def test_an_account_that_exists_goes_in_and_out(host: Host) -> None:
    host.sh("useradd -m -s /bin/bash alice")
    before = trapped(host, "alice")
    shadow = host.sh("cat /etc/shadow")
    state = host.state()
    listing = host.sh("cd /home/alice && find . -printf '%p %y %m %u %g %l\\n' | sort")
    for act in (
        {"what": "adduser", "name": "alice", "jails": ["scp"], "key": KEY},
        {"what": "lock", "name": "alice"},
        {"what": "unlock", "name": "alice"},
        {"what": "rename", "name": "alice", "new": "alina"},
        {"what": "rename", "name": "alina", "new": "alice"},
        {"what": "deluser", "name": "alice"},
    ):
        host.ok(**act)
    assert host.state() == state
    assert host.sh("cat /etc/shadow") == shadow
    assert kept(host) == before
    assert host.sh("cd /home/alice && find . -printf '%p %y %m %u %g %l\\n' | sort") == listing


def test_a_created_one_is_removed_with_its_home_and_nothing_else(host: Host) -> None:
    before = host.state()
    host.ok("adduser", name="bob", jails=["scp"], key=KEY)
    outside = trapped(host, "bob")
    host.ok("deluser", name="bob", remove_home=True)
    assert host.sh("ls -d /home/bob 2>/dev/null || true") == ""
    assert kept(host) == outside
    assert host.state() == before
    assert host.sh("stat -c %h /srv/twin") == "1\n"


@pytest.mark.slow
def test_a_hundred_thousand_files(host: Host) -> None:
    before = host.state()
    host.ok("adduser", name="bob", jails=["scp"], key=KEY)
    host.sh(
        "cd /home/bob && for d in $(seq 100); do mkdir $d; (cd $d && seq 1000 | xargs touch); done; chown -R bob: ."
    )
    assert "already in jail" in host.ok("adduser", name="bob", jails=["scp"])
    host.ok("rename", name="bob", new="bert")
    host.ok("deluser", name="bert", remove_home=True)
    assert host.state() == before
