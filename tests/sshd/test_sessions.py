"""Sessions that run: seen in the kernel's tables, whatever their users forge, and ended one by one."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import pytest

from tests.sshd.world import LOGIN, World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "journald", "login-program")

STUBBORN = "trap '' HUP TERM INT; (trap '' HUP TERM; sleep 600 & wait) & echo ready; while :; do sleep 600; done"
BOMB = "trap '' HUP TERM; echo ready; f() { while :; do f & sleep 0.05; done; }; ulimit -u 60; f 2>/dev/null"


def ready(client: subprocess.Popen[bytes]) -> None:
    assert client.stdout
    assert client.stdout.readline() == b"ready\n"


def shown(world: World, *args: str) -> list[dict[str, Any]]:
    done = world.jailssh("sessions", *args, "--json", check=False)
    found: list[dict[str, Any]] = json.loads(done.stdout)["sessions"]
    return found


def test_what_is_told_of_a_session(world: World) -> None:
    before = time.time()
    with world.running("shell", "exec -a forged sleep 600 & echo ready; read x; echo $x") as client:
        ready(client)
        [session] = shown(world, "shell")
        uid = world.uid("shell")
        assert (session["user"], session["uid"], session["jail"], session["key"]) == ("shell", uid, "shell", "")
        assert session["command"] == "exec -a forged sleep 600 & echo ready; read x; echo $x"
        assert session["peer"].startswith("127.0.0.1:")
        assert session["sent"] > 1000
        assert session["received"] > 1000
        assert session["memory"] > 100_000
        assert session["since"] >= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(before - 2))
        told = world.host.run(["ps", "-o", "pid=", "-u", str(uid)]).stdout.split()
        assert {session["pid"], session["server"], *session["pids"]} == set(map(int, told))
        started = world.last_login("shell")[0]
        assert (session["session"], session["plan"]) == (started["JAILSSH_SESSION"], started["JAILSSH_PLAN"])
        line = next(line for line in world.jailssh("sessions").stdout.splitlines() if session["session"] in line)
        assert line.split()[1:4] == ["shell", "-", "shell"]
    assert shown(world, "shell") == []


def test_one_session_ends_and_its_neighbour_goes_on(world: World) -> None:
    with world.running("shell", STUBBORN) as first, world.running("shell", "echo ready; sleep 600") as second:
        ready(first)
        ready(second)
        one = next(each for each in shown(world, "shell") if "trap" in each["command"])
        start = time.monotonic()
        done = world.jailssh("kick", one["session"], "--message", "go\x1b[0m home")
        assert time.monotonic() - start < 5  # 0.6 s on an idle machine
        assert done.stdout == f"session {one['session']} of shell: ended\n"
        assert first.wait(30) != 0
        assert first.stderr
        assert rb"ended by the administrator: go\x1b[0m home" in first.stderr.read()
        assert second.poll() is None
        assert [each["command"] for each in shown(world, "shell")] == ["echo ready; sleep 600"]
        again = world.jailssh("kick", one["session"], check=False)
        assert (again.code, "does not run" in again.stderr) == (2, True)
        ended = [each for each in world.records("shell") if each["JAILSSH_SESSION"] == one["session"]]
        assert [each["JAILSSH_EVENT"] for each in ended] == ["session-start", "session-end"]


def test_a_loop_of_forks_ends_at_once(world: World) -> None:
    with world.running("shell", BOMB) as client:
        ready(client)
        [session] = shown(world, "shell")
        world.host.wait_until(lambda: len(shown(world, "shell")[0]["pids"]) > 20, "a loop of forks")
        start = time.monotonic()
        world.jailssh("kick", session["session"])
        assert time.monotonic() - start < 5  # 0.6 s on an idle machine
        assert world.processes_of("shell") == []


def test_one_channel_of_a_connection_ends_and_the_connection_with_the_last(world: World) -> None:
    with world.connect("shell") as transport, transport.open_session() as one, transport.open_session() as other:
        one.exec_command("echo ready; sleep 600")
        other.exec_command("echo ready; read x; echo $x")
        assert (one.recv(6), other.recv(6)) == (b"ready\n", b"ready\n")
        found = {each["command"]: each["session"] for each in shown(world, "shell")}
        world.jailssh("kick", found["echo ready; sleep 600"])
        assert one.recv_exit_status() == 137
        other.sendall(b"still\n")
        assert other.recv(6) == b"still\n"
    with world.connect("shell") as transport, transport.open_session() as last:
        last.exec_command("echo ready; sleep 600")
        assert last.recv(6) == b"ready\n"
        world.jailssh("kick", shown(world, "shell")[0]["session"])
        transport.join(10)
        assert not transport.is_active()


def test_sessions_of_a_named_key(world: World) -> None:
    world.jailssh("adduser", "shared-now", "--jail", "shell")
    world.jailssh("keys", "add", "shared-now", "carol", world.client.public_key_file)
    try:
        with (
            world.running("shared-now", "echo ready; sleep 600") as client,
            world.running("shell", "echo ready; sleep 9") as other,
        ):
            ready(client)
            ready(other)
            [session] = shown(world, "shared-now")
            assert (session["key"], session["jail"]) == ("carol", "shell")
            assert world.jailssh("kick", "shell", "--key", "carol").stdout == "key carol of shell: ended 0 sessions\n"
            assert world.jailssh("kick", "--key", "carol").stdout == "key carol of shared-now: ended 1 session\n"
            assert client.wait(30) != 0
            assert other.poll() is None
    finally:
        world.jailssh("kick", "shared-now")
        world.jailssh("deluser", "shared-now", "--yes")


def test_who_is_in_no_jail_is_told_and_forges_no_session(world: World) -> None:
    uid = world.uid("shell")
    # The program called like the login program's, with a file called like a session's.
    forged = (
        "import os, shutil, sys, time; shutil.copy('/bin/sleep', '/tmp/jailssh-login');"
        "os.set_inheritable(os.memfd_create('jailssh 0123456789abcdef 0123456789abcdef root shell', 0), True);"
        f"os.setgid({uid}); os.setuid({uid}); print('ready', flush=True);"
        "os.execv('/tmp/jailssh-login', ['" + LOGIN + "', '600'])"
    )
    process = world.host.popen(["python3", "-c", forged], stdout=subprocess.PIPE)
    try:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        world.host.wait_until(lambda: "600" in "".join(world.processes_of("shell")), "the program")
        done = world.jailssh("sessions", "--json", check=False)
        facts = json.loads(done.stdout)
        assert done.code == 1
        assert facts["sessions"] == []
        [stray] = facts["outside"]
        assert (stray["user"], stray["program"], stray["elsewhere"]) == ("shell", "/tmp/jailssh-login", False)
        lines = world.jailssh("sessions", "shell", check=False).stdout
        assert f"shell: process {stray['pid']} is outside of any jail: /tmp/jailssh-login" in lines
        # It is none of ours to end: it is no session.
        assert world.jailssh("kick", "shell").stdout == "shell: ended 0 sessions\n"
        assert process.poll() is None
        red = world.host.run(["script", "-qec", "jailssh sessions", "/dev/null"]).stdout
        assert f"\x1b[31mshell: process {stray['pid']} " in red
    finally:
        world.host.run(["pkill", "-KILL", "-u", str(uid)])
        process.wait()


@pytest.mark.parametrize(
    ("words", "why"),
    [((), "needs ACCOUNT"), (("0123456789abcdef",), "does not run"), (("--key", ""), "is empty"),
     (("0123456789abcdef", "--key", "a"), "either a session or --key")],
)  # fmt: skip
def test_what_cannot_be_kicked(world: World, words: tuple[str, ...], why: str) -> None:
    done = world.jailssh("kick", *words, check=False)
    assert done.code == 2
    assert why in done.stderr
