"""Keeps the relay running on hosts without systemd, and tells it whose the sockets of jails are on all."""

from __future__ import annotations

import resource
import signal
import socket
import sys
from contextlib import ExitStack

from jailssh.core.errors import EXIT_OK, HostError
from jailssh.files import fs
from jailssh.host import accounts, process
from jailssh.host.journal import RELAY_USER
from jailssh.host.paths import Layout
from jailssh.host.sockets import listen_at
from jailssh.publish import relayed
from jailssh.services.fd_store import Kept

_BACKLOG = 64
_DESCRIPTORS = 32768


def provide_all(layout: Layout) -> int:
    """Give the relay that has begun the sockets of all accounts; what fails is told, and stops no other."""
    for line in relayed.follow_all(layout):
        print(f"jailsshd: {line}", file=sys.stderr, flush=True)
    return EXIT_OK


def keep_running(layout: Layout) -> int:
    """Run the relay as its own user until a signal ends this; a relay that ends is started again with its sockets."""
    entry = accounts.find(RELAY_USER)
    if entry is None:
        hint = f"useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin {RELAY_USER}"
        raise HostError(f"account {RELAY_USER}", "does not exist", hint=hint)

    def taken(pid: int) -> None:
        raise HostError("jailsshd relay", f"is already running (process {pid})")

    fs.ensure_dir(layout.run, 0o755)
    with fs.lock(f"{layout.run}/relay.lock", taken):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _DESCRIPTORS), hard))
        control = listen_at(layout.relay_socket, 0o600, backlog=_BACKLOG, kind=socket.SOCK_SEQPACKET)
        # No power is left to it, and none can come back; what keeps its sockets does not end before it.
        argv = ["setpriv", "--pdeathsig=KILL", f"--reuid={entry.uid}", f"--regid={entry.gid}", "--clear-groups",
                "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", layout.relay_program]  # fmt: skip
        kept = Kept(argv, {"control": control.fileno()}, f"{layout.run}/relay-notify.sock", (entry.uid, entry.gid))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, kept.end)
        with ExitStack() as stack:

            def ready() -> None:
                # In a process of its own, since what the relay is given it gives into keeping here meanwhile.
                stack.close()
                stack.enter_context(process.start([layout.daemon_program, "relay-sockets"]))

            kept.serve(ready)
    return EXIT_OK
