"""The relay of logs under a real systemd: its unit, its sockets in the manager's keeping, sessions of real logins."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.system.booted import BootedTree
from tests.system.people import SSH

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")

NAME = "logger"
JAIL = "plugins = shell\nlog = yes\npackages = bsdutils\n[limits]\nlog_base = 100M\nlog_peak = 200M\n"
UNIT = "jailssh-relay.service"
USER = "/usr/local/share/jailssh/jailssh-relay.conf"


@pytest.fixture(scope="module")
def relay(tree: BootedTree) -> Iterator[BootedTree]:
    """The tree with the unit running and an account that logs."""
    tree.run("cat >/etc/jailssh/jails/logs.conf", input=JAIL, check=True)
    tree.sh(f"set -e; systemd-sysusers {USER}; systemctl enable --quiet --now {UNIT}")
    tree.sh(f"jailssh adduser {NAME} --jail logs --key /root/key.pub --yes")
    yield tree
    tree.sh(
        f"jailssh deluser {NAME} --yes; rm -rf /etc/jailssh/jails/logs.conf; systemctl disable -q --now {UNIT}; "
        "userdel jailssh-relay"
    )


def ssh(tree: BootedTree, command: str) -> str:
    return tree.sh(f"ssh -n {SSH} {NAME}@localhost '{command}'")


def said(tree: BootedTree) -> list[str]:
    """Return what the account has said, by what readers are told to look for."""
    tree.sh("journalctl --sync")
    records = f"_UID=$(id -u jailssh-relay) JAILSSH_EVENT=message JAILSSH_USER={NAME}"
    return tree.sh(f"journalctl {records} -o cat -q").split("\n")


def test_the_unit_is_closed(relay: BootedTree) -> None:
    told = relay.sh(f"systemd-analyze security --no-pager {UNIT}; systemctl show -p User,NRestarts {UNIT}")
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told)
    assert found
    assert float(found[1]) <= 0.5, told
    assert "User=jailssh-relay" in told


def test_a_message_has_its_login(relay: BootedTree) -> None:
    # The sender lives until its message has been read, or nobody could say which login it belongs to.
    ssh(relay, "(echo from the jail; sleep 2) | logger -p auth.emerg -t sshd")
    relay.wait(lambda: "from the jail" in said(relay), "the message")
    shown = relay.sh("journalctl -n 1 -o export JAILSSH_EVENT=message").splitlines()
    fields = dict(line.split("=", 1) for line in shown if "=" in line)
    assert fields["SYSLOG_IDENTIFIER"] == f"jailed/{NAME}/sshd"
    assert (fields["JAILSSH_JAIL"], fields["PRIORITY"], fields["SYSLOG_FACILITY"]) == ("logs", "1", "1")
    start = relay.sh(f"journalctl -q -n 1 -o cat --output-fields=JAILSSH_SESSION JAILSSH_EVENT=session-start "
                     f"JAILSSH_USER={NAME}").strip()  # fmt: skip
    assert fields["JAILSSH_SESSION"] == start
    assert "from the jail" in relay.sh(f"jailssh audit log --event message --user {NAME}")


def test_nobody_forges_what_the_relay_tells(relay: BootedTree) -> None:
    forged = f"JAILSSH_EVENT=message\nJAILSSH_USER={NAME}\nJAILSSH_UID=1\nMESSAGE=forged\n"
    relay.run("logger --journald", input=forged, check=True)
    relay.sh("journalctl --sync")
    assert "forged" in relay.sh("journalctl -q -o cat JAILSSH_EVENT=message")
    assert "forged" not in said(relay)


def test_what_waits_outlives_relay_and_journal(relay: BootedTree) -> None:
    client = relay.popen(f"exec ssh -n {SSH} {NAME}@localhost "
                         "'for i in $(seq 400); do echo n $i; sleep .005; done | logger -t many'")  # fmt: skip
    relay.wait(lambda: "n 20" in said(relay), "the first of many")
    # What the first relay sent is read when nobody can say any more which unit that was.
    main = "$(systemctl show --value -p MainPID {})"
    relay.sh(f"journal={main.format('systemd-journald')}; kill -STOP $journal; sleep 0.3;"
             f" kill -KILL {main.format(UNIT)}; sleep 0.3; systemctl restart {UNIT}; sleep 0.2;"
             " kill -KILL $journal; sleep 0.2")  # fmt: skip
    assert client.wait(60) == 0
    relay.wait(lambda: "n 400" in said(relay), "the last one")
    came = [line for line in said(relay) if line.startswith("n ")]
    # What the killed one had in hand is lost with it; nothing comes twice or in disorder.
    assert len(came) >= 400 - 32, "more than the messages that one call receives"
    assert came == [line for n in range(1, 401) if (line := f"n {n}") in came]


def test_without_it_logins_work_and_sockets_come_back(relay: BootedTree) -> None:
    relay.sh(f"systemctl stop {UNIT} jailssh-relay.socket")
    assert ssh(relay, "logger nobody hears this; echo in") == "in\n"
    relay.sh(f"systemctl start {UNIT}")
    ssh(relay, "logger heard again; sleep 0.3")
    relay.wait(lambda: "heard again" in said(relay), "the message")
    assert "nobody hears this" not in said(relay)
