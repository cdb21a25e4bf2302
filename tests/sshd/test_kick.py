"""One verb ends what an account has open, whatever its processes do."""

from __future__ import annotations

import pytest

from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "journald", "login-program")

# Neither the shell nor its child ends by itself.
STUBBORN = "trap '' HUP TERM INT; (trap '' HUP TERM; sleep 600 & wait) & echo ready; while :; do sleep 600; done"


def test_every_session_of_the_account_ends_and_no_other(world: World) -> None:
    with (
        world.running("shell", STUBBORN) as first,
        world.running("shell", STUBBORN) as second,
        world.running("probing", "echo ready; sleep 600") as other,
    ):
        for client in (first, second, other):
            assert client.stdout
            assert client.stdout.readline() == b"ready\n"
        done = world.jailssh("kick", "shell")
        assert done.stdout == "shell: ended 2 sessions\n"
        assert first.wait(30) != 0
        assert second.wait(30) != 0
        assert world.processes_of("shell") == []
        assert other.poll() is None
    assert world.jailssh("kick", "shell").stdout == "shell: ended 0 sessions\n"


def test_the_connection_cannot_open_another_session(world: World) -> None:
    with world.connect("shell") as transport:
        # It is not closed here: there may be no connection any more over which to say so.
        channel = transport.open_session()
        channel.exec_command("echo ready; sleep 600")
        assert channel.recv(6) == b"ready\n"
        world.jailssh("kick", "shell")
        transport.join(10)
        assert not transport.is_active()


@pytest.mark.parametrize(
    ("name", "why"), [("nobody-here", "does not exist"), ("root", "cannot be in a jail"), ("0", "cannot be in a jail")]
)
def test_who_cannot_be_kicked(world: World, name: str, why: str) -> None:
    done = world.jailssh("kick", name, check=False)
    assert done.code == 2
    assert why in done.stderr
