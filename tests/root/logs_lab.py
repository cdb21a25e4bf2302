"""A scratch host with the relay of logs, kept running by jailsshd as on a host without systemd, and jailed accounts."""

from __future__ import annotations

import subprocess
from typing import Any

from jailssh.scratch.host import ScratchHost

RELAY = "/usr/local/libexec/jailssh/jailssh-relay"
DAEMON = "/usr/local/libexec/jailssh/jailsshd"
USER = "jailssh-relay"
JAIL = "plugins = shell\nroot = live\nlog = yes\n"
# As root, so that the directory that only jails show can be gone through; the rights of the account when it is said.
_SENDER = """
import array, fcntl, os, socket, struct, sys, time
uid, path = int(sys.argv[1]), sys.argv[2]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(path)
s.settimeout(5)
def drop():
    os.setgroups([]); os.setresgid(uid, uid, uid); os.setresuid(uid, uid, uid)
def file(data, seals=0xf):
    fd = os.memfd_create("x", 3)
    os.write(fd, data)
    fcntl.fcntl(fd, 1033, seals)
    return fd
def give(fds, data=b""):
    s.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
"""


class LogHost:
    """The host; ``uids`` by name."""

    def __init__(self, scratch: ScratchHost, accounts: dict[str, str]) -> None:
        self.scratch = scratch
        # What systemd sets at boot.
        self.sh("echo 512 > /proc/sys/net/unix/max_dgram_qlen; mkdir -p /etc/jailssh/jails")
        self.sh(f"useradd --system --no-create-home {USER}")
        for name, limits in accounts.items():
            scratch.write(f"/etc/jailssh/jails/of-{name}.conf", f"{JAIL}[limits]\n{limits}\n")
        self.keeper = self.start()
        self.sh("jailssh setup --yes")
        for name in accounts:
            self.sh(f"jailssh adduser {name} --jail of-{name}")
        self.uids = {name: int(self.sh(f"id -u {name}")) for name in accounts}

    def sh(self, command: str) -> str:
        """Run a script of the shell that must succeed; return what it printed."""
        return self.scratch.run(["sh", "-c", command], check=True).stdout

    def start(self) -> subprocess.Popen[bytes]:
        """Start what keeps the relay, and wait for the relay."""
        keeper = self.scratch.popen([DAEMON, "relay"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.scratch.wait_until(lambda: self.relay() is not None, "the relay runs")
        return keeper

    def relay(self) -> int | None:
        """Return the relay's pid, as the scratch host counts."""
        return next((pid for pid, line in self.scratch.pids().items() if line == RELAY), None)

    def place(self, name: str) -> str:
        """Return the account's directory."""
        return f"/run/jailssh/log/{self.uids[name]}"

    def send(self, name: str, code: str, *, drop: bool = True, to: str = "") -> str:
        """Run Python as the account with ``s`` connected to its socket; return what it printed."""
        program = f"{_SENDER}{'drop()' if drop else ''}\n{code}"
        path = to or f"{self.place(name)}/socket"
        done = self.scratch.run(["python3", "-c", program, str(self.uids[name]), path])
        assert done.code == 0, done.stderr
        return done.stdout

    def time_of(self, name: str, count: int, message: str) -> float:
        """Send ``count`` messages, Python for bytes with ``n``; return the seconds that it took."""
        code = f"t = time.monotonic()\nfor n in range({count}): s.send({message})\nprint(time.monotonic() - t)"
        return float(self.send(name, code))

    def say(self, name: str, text: str) -> None:
        """Log one line."""
        self.send(name, f"s.send({('<13>t: ' + text).encode()!r})")

    def records(self, name: str, event: str = "message") -> list[dict[str, Any]]:
        """Return the records about the account."""
        return self.scratch.journal(JAILSSH_EVENT=event, JAILSSH_USER=name)

    def messages(self, name: str) -> list[str]:
        """Return what the account has said."""
        return [each["MESSAGE"] for each in self.records(name)]

    def wait_for(self, name: str, text: str) -> dict[str, Any]:
        """Wait for a message; return its record."""
        found: list[dict[str, Any]] = []

        def there() -> bool:
            found[:] = [each for each in self.records(name) if each["MESSAGE"] == text]
            return bool(found)

        self.scratch.wait_until(there, f"{text} is in the journal")
        assert len(found) == 1
        return found[0]

    def told(self, name: str) -> list[dict[str, Any]]:
        """Return the reports of what was lost."""
        return self.records(name, "messages-lost")
