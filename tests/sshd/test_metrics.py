"""Numbers for Prometheus from real logins: sums go on when the journal has forgotten, and count nothing twice."""

from __future__ import annotations

import pytest

from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "journald", "login-program")

DENIED = 'jailssh_denied_total{jail="sftp-only",reason="not-interactive"}'
FILE = "/var/lib/node/jailssh-live.prom"


def number(world: World, name: str) -> int:
    text = world.jailssh("metrics").stdout
    found = [int(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(f"{name} ")]
    return found[0] if found else 0


def denied(world: World) -> None:
    with world.running("sftp-only", None) as client:
        assert client.communicate(timeout=20)[0] == b""


def test_sums_go_on_and_sessions_are_counted_now(world: World) -> None:
    before = number(world, DENIED)
    denied(world)
    assert number(world, DENIED) == before + 1
    assert number(world, DENIED) == before + 1
    # As an account could, who has the journal's socket outside of a jail: about somebody else.
    world.host.run(
        [
            "sh",
            "-c",
            "printf 'JAILSSH_EVENT=denied\\nJAILSSH_UID=1\\nJAILSSH_JAIL=sftp-only\\n"
            "JAILSSH_REASON=not-interactive\\nMESSAGE=x\\n' | setpriv --reuid 4000 --clear-groups logger --journald",
        ]
    )
    assert number(world, DENIED) == before + 1
    with world.running("shell", "echo ready; sleep 600") as client:
        assert client.stdout
        assert client.stdout.readline() == b"ready\n"
        assert number(world, 'jailssh_sessions{jail="shell"}') == 1
    started = number(world, 'jailssh_sessions_started_total{jail="shell"}')
    assert started >= 1
    world.host.run(["sh", "-c", "journalctl --rotate; journalctl --vacuum-size=1; rm -f /run/log/journal/*/*@*"])
    denied(world)
    assert number(world, DENIED) == before + 2
    assert number(world, 'jailssh_sessions_started_total{jail="shell"}') == started
    world.host.run(["mkdir", "-p", "/var/lib/node"], check=True)
    world.jailssh("metrics", "--textfile", FILE)
    assert f"{DENIED} {before + 2}\n" in world.host.read(FILE).decode()
    asked = "printf 'GET /metrics HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' | /usr/local/bin/jailssh metrics --answer"
    answer = world.host.run(["sh", "-c", asked], check=True).stdout
    assert answer.startswith("HTTP/1.1 200 OK")
    assert f"{DENIED} {before + 2}\n" in answer
