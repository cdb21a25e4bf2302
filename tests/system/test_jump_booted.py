"""An account without a session on a booted Debian: sshd's own processes, journal and PAM, of each release."""

from __future__ import annotations

import json

import pytest

from tests.system.booted import BootedTree
from tests.system.people import SHUT, SSH

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")

NAME = "hop"


def test_a_jump_host_lets_through_what_is_named_and_nothing_else(tree: BootedTree) -> None:
    said = tree.sh(f"jailssh adduser {NAME} --jail jump --key /root/key.pub --yes")
    assert f"{NAME}: sshd forwards ports to *:22" in said
    try:
        through = f"ssh -n {SSH} -o ProxyCommand='ssh {SSH} -W %h:%p {NAME}@localhost' {SHUT}@127.0.0.1 true"
        done = tree.run(through)
        assert (done.returncode, "this account allows: sftp" in done.stderr) == (126, True), done.stderr
        for words in (f"-W localhost:25 {NAME}@localhost", f"{NAME}@localhost true", f"-s {NAME}@localhost sftp",
                      f"-N -R 9000:localhost:22 -o ExitOnForwardFailure=yes {NAME}@localhost"):  # fmt: skip
            assert tree.run(f"timeout 20 ssh -n {SSH} {words}").returncode == 255, words
        tree.sh(f"ssh -f -N {SSH} {NAME}@localhost")
        told = json.loads(tree.sh("jailssh sessions --json"))["connections"]
        assert [each["user"] for each in told] == [NAME]
        assert tree.sh(f"jailssh kick {NAME}") == f"{NAME}: ended 0 sessions, 1 connection without one\n"
        log = tree.sh("journalctl --quiet -o cat SYSLOG_IDENTIFIER=sshd + SYSLOG_IDENTIFIER=sshd-session")
        assert "target 127.0.0.1 port 22" in log
        assert "to connect to host localhost port 25, but the request was denied" in log
        assert "User child is on pid" in log
        assert "(ports)" in tree.sh(f"jailssh audit log --user {NAME}")
        assert tree.run(f"jailssh doctor {NAME}").stdout.startswith("nothing wrong")
        assert tree.run(f"jailssh selftest {NAME}").returncode == 0
        tree.sh(f"jailssh lock {NAME}")
        assert tree.run(through).returncode == 255
    finally:
        tree.run(f"jailssh unlock {NAME}; jailssh deluser {NAME} --yes; rm -rf /home/{NAME}; jailssh apply")
    assert "jailssh-jump" not in tree.sh("getent group; cat /etc/ssh/sshd_config.d/20-jailssh.conf")
