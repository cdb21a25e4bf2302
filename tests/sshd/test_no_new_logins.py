"""Maintenance: no new logins, with a sentence that says until when; sessions go on, and so does everybody else."""

from __future__ import annotations

import time

import pytest

from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "journald", "login-program")

FILE = "/run/jailssh/no-logins"


def test_new_logins_are_refused_until_they_are_allowed(world: World) -> None:
    with world.running("shell", "echo ready; read x; echo $x") as client:
        assert client.stdout
        assert client.stdout.readline() == b"ready\n"
        try:
            world.jailssh("lock", "--no-new-logins", "--for", "1h", "--message", "new disks\x1b[1m")
            # Not as one that vanishes: with it would go every client.
            refused = world.client.start_ssh("shell", "echo in")
            out, errors = refused.communicate(timeout=20)
            assert (out, refused.returncode) == (b"", 126)
            until = time.strftime("%Y-%m-%d %H:", time.gmtime(time.time() + 3600)).encode()
            assert b"jailssh: no new logins until " + until in errors
            assert b"UTC: new disks\\x1b[1m" in errors
            records = [each for each in world.records("shell") if each["JAILSSH_EVENT"] == "denied"]
            assert (records[-1]["JAILSSH_REASON"], records[-1]["JAILSSH_JAIL"]) == ("maintenance", "shell")
            assert "in force: no new logins until" in world.jailssh("sessions").stdout
            assert client.communicate(b"goes on\n", timeout=20)[0] == b"goes on\n"
        finally:
            assert world.jailssh("unlock", "--no-new-logins").stdout == "new logins are allowed again\n"
    assert world.jailssh("unlock", "--no-new-logins").stdout == "new logins were allowed, nothing changed\n"
    with world.running("shell", "echo in") as client:
        assert client.communicate(timeout=20)[0] == b"in\n"


@pytest.mark.parametrize(
    ("content", "refused"),
    [("1\nlong over\n", False), ("0\nfor ever\n", True), ("nonsense\n", True), ("x" * 2000, True), ("\n\n", True)],
)
def test_what_the_file_says(world: World, content: str, refused: bool) -> None:
    world.host.write(FILE, content)
    try:
        with world.running("shell", "echo in") as client:
            out, errors = client.communicate(timeout=20)
        assert (out == b"") == refused
        assert (client.returncode == 126) == refused
        assert (b"jailssh: " in errors) == refused
    finally:
        world.host.run(["rm", FILE], check=True)


def test_it_ends_by_itself_and_ends_sessions_where_told_so(world: World) -> None:
    with world.running("shell", "trap '' HUP; echo ready; sleep 600") as client:
        assert client.stdout
        assert client.stdout.readline() == b"ready\n"
        done = world.jailssh("lock", "--no-new-logins", "--for", "2s", "--kick")
        assert "ended 1 session" in done.stdout
        assert client.wait(30) != 0
    time.sleep(2.5)
    with world.running("shell", "echo in") as client:
        assert client.communicate(timeout=20)[0] == b"in\n"
    world.host.run(["rm", FILE], check=True)


@pytest.mark.parametrize("words", [("lock",), ("lock", "--for", "1h"), ("lock", "--no-new-logins", "shell"),
                                   ("unlock",), ("unlock", "--no-new-logins", "shell")])  # fmt: skip
def test_wrong_words(world: World, words: tuple[str, ...]) -> None:
    assert world.jailssh(*words, check=False).code == 2
