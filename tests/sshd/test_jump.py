"""Accounts without a session, for whom sshd forwards ports: exactly those that the jail names, to and fro."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jailssh.scratch.host import ScratchHost
from tests.root.setup_lab import Administered

pytestmark = [pytest.mark.needs("root", "sshd", "login-program")]

COMMON = "/etc/pam.d/common-account"
DROP_IN = "/etc/ssh/sshd_config.d/20-jailssh.conf"
OTHER = "/etc/ssh/sshd_config.d/00.conf"
SERVE = """
import socket, sys, threading
def serve(port):
    s = socket.create_server(("::1", port), family=socket.AF_INET6) if port == 7002 else \\
        socket.create_server(("127.0.0.1", port))
    while True:
        c, _ = s.accept()
        c.sendall(b"port %d" % port)
        c.close()
for port in (7000, 7001, 7002):
    threading.Thread(target=serve, args=(port,)).start()
"""
OPTIONS = ("-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes "
           "-o ExitOnForwardFailure=yes")  # fmt: skip
SSH = f"timeout 20 ssh {OPTIONS} -i /root/k"
JAIL = """plugins = jump
[jump]
open = 127.0.0.1:7000 [::1]:7002 localhost:22
listen = 9100
"""


class Host(Administered):
    def ssh(self, *words: str, key: str = "/root/k") -> tuple[int, str]:
        done = self.scratch.run(["sh", "-c", f"exec {SSH.replace('/root/k', key)} {' '.join(words)}"])
        return done.code, done.stdout + done.stderr

    def reaches(self, place: str = "127.0.0.1:7000", user: str = "jim") -> bool:
        """True if the account gets to a port through sshd."""
        code, said = self.ssh(f"-W {place} {user}@127.0.0.1 </dev/null")
        assert ("port 70" in said) is (code == 0), said
        return code == 0

    @contextmanager
    def changed(self, do: str, undo: str) -> Iterator[None]:
        self.sh(do)
        try:
            yield
        finally:
            self.sh(undo)

    def jail(self, text: str = JAIL) -> None:
        self.scratch.write("/etc/jailssh/jails/db.conf", text)


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[Host]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        scratch.start_journald()
        host = Host(scratch)
        host.sh("ssh-keygen -q -t ed25519 -N '' -f /root/k; mkdir -p /etc/jailssh/jails")
        host.jail()
        host.ok("setup", "--yes")
        scratch.start_sshd()
        host.scratch.write("/root/serve.py", SERVE)
        host.sh("setsid python3 /root/serve.py >/dev/null 2>&1 & sleep 0.4")
        host.ok("adduser", "jim", "--jail", "db", "--key", "/root/k.pub", "--yes")
        host.ok("adduser", "sue", "--jail", "sftp-only", "--key", "/root/k.pub", "--yes")
        yield host


def test_try(host: Host) -> None:
    print(host.jailssh("apply"))
    print(
        host.sh(
            f"cat {DROP_IN}; getent group | grep jailssh; getent shadow jim; cat /etc/jailssh/keys/jim; jailssh plan jim || true"
        )
    )
    print(host.config_of("jim"))
    print(host.ssh("-vv -W 127.0.0.1:7000 jim@127.0.0.1 </dev/null"))
    print(host.sh("tail -30 /run/sshd.log; journalctl -o verbose JAILSSH_USER=jim | tail -80"))
    assert 0
