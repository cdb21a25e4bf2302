"""An image that one host has made, pushed and pulled: real logins on another host run what the first one has."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import pytest

from jailssh.scratch.host import Finished, ScratchHost

pytestmark = pytest.mark.needs("root", "sshd", "journald", "login-program")

JAIL = "plugins = shell\n[shell]\ntools = no\nprograms = /usr/local/bin/greet\n"
SSH = ("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
       "-o", "BatchMode=yes", "-i", "/root/k")  # fmt: skip


class Host:
    """A scratch host with one jail, whose program says which host it is from."""

    def __init__(self, scratch: ScratchHost, name: str) -> None:
        self.scratch = scratch
        scratch.run(["mkdir", "-p", "/etc/jailssh/jails"], check=True)
        scratch.write("/etc/jailssh/jails/lab.conf", JAIL)
        scratch.write("/usr/local/bin/greet", f"#!/bin/sh\necho made by {name}\n", mode=0o755)

    def jailssh(self, *args: str) -> Finished:
        """Run the administrator's command."""
        done = self.scratch.run(["jailssh", *args])
        assert done.code == 0, (args, done.stderr)
        return done


@pytest.fixture(scope="module")
def far(staged_prefix: str) -> Iterator[Host]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        host = Host(scratch, "itself")
        scratch.start_journald()
        scratch.start_sshd()
        scratch.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/k"], check=True)
        host.jailssh("setup", "--yes")
        host.jailssh("adduser", "alice", "--jail", "lab", "--key", "/root/k.pub")
        yield host


def greeting(host: Host) -> str:
    return host.scratch.run(["ssh", *SSH, "alice@127.0.0.1", "greet"], check=True).stdout


def test_logins_get_the_image_that_was_pulled(far: Host, staged_prefix: str) -> None:
    assert greeting(far) == "made by itself\n"
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        near = Host(scratch, "the builder")
        near.jailssh("update", "lab")
        said = near.jailssh("image", "push", "lab", "/root/image.tar").stdout
        data = scratch.run(["base64", "/root/image.tar"], check=True).stdout
    (digest,) = re.findall(r"^digest ([0-9a-f]{64})$", said, re.MULTILINE)
    assert len(base64.b64decode(data)) > 1_000_000
    far.scratch.write("/root/image.b64", data)
    far.scratch.run(["sh", "-c", "base64 -d /root/image.b64 > /root/image.tar"], check=True)
    far.jailssh("image", "pull", "lab", "/root/image.tar", "--digest", digest)
    assert greeting(far) == "made by the builder\n"
    far.jailssh("update", "--all")
    far.jailssh("image", "verify")
    assert greeting(far) == "made by the builder\n"
    far.jailssh("image", "rollback", "lab")
    assert greeting(far) == "made by itself\n"
