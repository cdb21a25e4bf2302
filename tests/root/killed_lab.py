"""A scratch host on which configuration and accounts are brought in by a program that can be killed at any point."""

from __future__ import annotations

import json
import signal
from typing import Any

from jailssh.scratch.host import ScratchHost
from tests.harness.resident import Resident

SOURCE = "/usr/local/lib/jailssh/python"
IMPORTS = """
import json, os, signal, sys
from jailssh.change import transaction
from jailssh.core.errors import JailsshError
from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.publish.publish import Publisher
from jailssh.setup import setup
"""
# Plans are stand-ins: which one is written is not the question here, and the real one would build images.
BEGIN = """
layout = Layout(prefix="/usr/local")
spec = json.loads(sys.argv[1])
points = []

class Plain(Publisher):
    def publish(self, entry):
        fs.atomic_write(f"{layout.plans}/{entry.uid}", f"plan of {entry.name}".encode(), mode=0o600)
        return "sftp"
    def make_image(self, jails):
        pass

def fault(point):
    points.append(point)
    if len(points) == spec.get("at"):
        os.kill(os.getpid(), spec.get("signal", signal.SIGKILL))

def set_up():
    setup.prepare(layout)
    with fs.lock(layout.lock):
        setup.apply(layout, setup.pending(layout, Publisher(layout).groups))
"""


class KilledHost:
    """The host; ``imports`` and ``program`` go on behind those above, and the program prints what :meth:`ask` gives."""

    def __init__(self, scratch: ScratchHost, imports: str, program: str) -> None:
        self.scratch = scratch
        self.driver = Resident(scratch, IMPORTS + imports, BEGIN + program, SOURCE)

    def sh(self, command: str) -> str:
        """Run a script that must succeed."""
        return self.scratch.run(["sh", "-ec", command], check=True).stdout

    def ask(self, what: str, **spec: Any) -> dict[str, Any]:
        """Do it; return what it said."""
        done = self.driver.run(json.dumps({"do": what, **spec}))
        answer: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"killed": done.code}
        assert done.stdout or done.code == -signal.SIGKILL, done
        return answer

    def do(self, what: str, **spec: Any) -> dict[str, Any]:
        """Do it without an error."""
        answer = self.ask(what, **spec)
        assert not answer["errors"], answer
        return answer
