"""Ports that sshd forwards for accounts of a jail with ``forward = inside``: to and from their own loopback alone."""

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
# Connects to a port of loopback and prints what it is told; the second argument makes it SOCKS 5.
ASK = """
import socket, sys
port, socks = int(sys.argv[1]), sys.argv[2:]
try:
    with socket.create_connection(("127.0.0.1", port), 5) as s:
        s.settimeout(5)
        if socks:
            s.sendall(b"\\5\\1\\0")
            assert s.recv(2) == b"\\5\\0"
            s.sendall(b"\\5\\1\\0\\1\\x7f\\0\\0\\1" + int(socks[0]).to_bytes(2, "big"))
            assert s.recv(10)[:2] == b"\\5\\0", "refused"
        print(s.recv(100).decode())
except (OSError, AssertionError) as error:
    print("nothing:", error)
"""
SERVE = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as s:
    print("listening", flush=True)
    while True:
        c, _ = s.accept()
        c.sendall(sys.argv[2].encode())
        c.close()
"""
SSH = ("ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes -i /root/k "
       "-o ExitOnForwardFailure=yes")  # fmt: skip


class Host(Administered):
    def nothing_or(self, port: int, *socks: int) -> str:
        """Return what a server at ``port`` of the host's loopback says."""
        done = self.scratch.run(["python3", "-c", ASK, str(port), *map(str, socks)])
        return done.stdout.strip()

    def ssh(self, *words: str) -> tuple[int, str]:
        done = self.scratch.run(["sh", "-c", f"exec {SSH} {' '.join(words)}"])
        return done.code, done.stdout + done.stderr

    @contextmanager
    def connection(self, user: str, *options: str) -> Iterator[None]:
        """Hold a connection without a session."""
        self.sh(f"{SSH} -f -N -M -S /root/ctl-{user} {' '.join(options)} {user}@127.0.0.1")
        try:
            yield
        finally:
            self.scratch.run(["ssh", "-S", f"/root/ctl-{user}", "-O", "exit", f"{user}@127.0.0.1"])

    @contextmanager
    def changed(self, do: str, undo: str) -> Iterator[None]:
        self.sh(do)
        try:
            yield
        finally:
            self.sh(undo)

    def forwards_into_host(self, user: str = "alice") -> bool:
        """True if a login of the account reaches what listens on the host's loopback."""
        code, said = self.ssh(f"-W 127.0.0.1:7000 {user}@127.0.0.1 </dev/null")
        return "of the host" in said


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[Host]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        scratch.start_journald()
        host = Host(scratch)
        host.sh("ssh-keygen -q -t ed25519 -N '' -f /root/k; mkdir -p /etc/jailssh/jails")
        scratch.write("/etc/jailssh/jails/dev.conf", "plugins = shell, sftp\nroot = live\nforward = inside\n")
        host.ok("setup", "--yes")
        scratch.start_sshd()
        for name in ("alice", "bob"):
            host.ok("adduser", name, "--jail", "dev", "--key", "/root/k.pub", "--yes")
        host.sh(f"setsid python3 -c '{SERVE}' 7000 'of the host' >/root/out 2>&1 & sleep 0.3")
        assert host.nothing_or(7000) == "of the host"
        yield host


def test_until_apply_nothing_is_forwarded(host: Host) -> None:
    assert not host.forwards_into_host()
    done = host.ok("apply")
    print(done)
    print(host.sh("cat /etc/shadow | tail -3; getent group jailssh-forward; ls -la /run/jailssh/net || true"))
    print(host.ssh("alice@127.0.0.1 id"))
    print(host.sh("journalctl -o cat -n 30 2>/dev/null || true"))
    assert 0
