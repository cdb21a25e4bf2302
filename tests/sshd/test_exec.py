"""A command of root's in a session: in its namespaces, with its rights and no more, nothing of root's within reach."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from jailssh.scratch.host import Finished
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "journald", "login-program")

FACTS = r"""
grep -E '^(Uid|Gid|Groups|Cap[A-Za-z]*|NoNewPrivs|Seccomp):' /proc/self/status | tr '\t' ' '
for space in mnt net pid ipc uts user; do echo "$space: $(readlink /proc/self/ns/$space)"; done
echo "fds: $(ls /proc/$$/fd | tr '\n' ' ')"
echo "place: $(pwd) $(umask)"
echo "shadow: $(ls /etc/shadow 2>&1)"
echo "environment: $(env | grep -v -e ^SHLVL -e ^_= -e ^SSH_ -e ^PWD -e ^OLDPWD -e ^LANG -e ^LC_ | sort | tr '\n' ' ')"
ulimit -a | sed 's/^/limit: /'
"""
WATCH = """
while :; do
    for each in /proc/[0-9]*; do
        test $each = /proc/$$ && continue
        for link in $each/exe $each/fd/*; do readlink $link; done
    done
done 2>/dev/null >/tmp/seen &
echo ready
sleep 600
"""


@contextmanager
def session(world: World, command: str = "touch /tmp/here; echo ready; sleep 600") -> Iterator[None]:
    with world.running("shell", command) as client:
        assert client.stdout
        assert client.stdout.readline() == b"ready\n"
        yield
        assert client.poll() is None


def joined(world: World, *words: str, **how: str) -> Finished:
    return world.host.run(["jailssh", "exec", "shell", "--", *words], **how)  # type: ignore[arg-type]


def test_it_is_where_the_session_is_and_has_its_rights(world: World) -> None:
    world.put("/home/shell/facts.sh", FACTS, "shell")
    with session(world, "sh facts.sh >/tmp/facts; echo ready; sleep 600"):
        theirs = joined(world, "cat", "/tmp/facts").stdout.splitlines()
        mine = joined(world, "sh", "facts.sh").stdout.splitlines()
    assert mine == theirs
    for fact in ("NoNewPrivs: 1", "Seccomp: 2", "CapBnd: 0000000000000000", "CapEff: 0000000000000000"):
        assert fact in mine
    assert f"Uid: {' '.join([str(world.uid('shell'))] * 4)}" in mine


def test_its_status_and_streams_pass(world: World) -> None:
    with session(world):
        assert joined(world, "sh", "-c", "exit 7").code == 7
        assert joined(world, "sh", "-c", "kill -TERM $$").code == 143
        done = joined(world, "sh", "-c", "echo out; echo err >&2; tr a-z A-Z", input="typed\n")
        assert (done.stdout, done.stderr, done.code) == ("out\nTYPED\n", "err\n", 0)
        missing = joined(world, "no-such-program")
        assert (missing.code, missing.stderr) == (127, "jailssh: exec: no-such-program: No such file or directory\n")
        big = joined(world, "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x")
        assert len(big.stdout) == 3_000_000


def test_nothing_of_root_s_is_within_reach(world: World) -> None:
    """The user's own programs are run, and beside them what waits for a process to come that could be traced."""
    fake = "#!/bin/sh\nid -u; ls -l /proc/self/fd; cat /proc/1/environ; env\n"
    world.host.run(["install", "-d", "-o", "shell", "/home/shell/bin"], check=True)
    world.put("/home/shell/bin/ls", fake, "shell", 0o755)
    world.put("/home/shell/watch.sh", WATCH, "shell")
    env = {"SECRET_OF_ROOT": "x", "LD_PRELOAD": "/home/shell/bin/ls", "TERM": "x\ny"}
    with session(world, "sh watch.sh"):
        secret = world.host.run(
            ["sh", "-c", "exec 9</etc/shadow; exec jailssh exec shell -- /home/shell/bin/ls"], env=env
        )
        assert secret.stdout.startswith(f"{world.uid('shell')}\n")
        for word in ("SECRET", "shadow", "PRELOAD"):
            assert word not in secret.stdout
        for _ in range(20):
            joined(world, "true")
        seen = joined(world, "cat", "/tmp/seen").stdout
        assert "/usr/bin/sleep" in seen
        for word in ("shadow", "jailssh-join", "/dev/pts", "/dev/tty"):
            assert word not in seen


def test_on_a_terminal_it_has_one_of_the_jail_s(world: World) -> None:
    with session(world):
        done = world.host.run(["script", "-qec", "jailssh exec shell -- sh -c 'tty; stty size; exit 3'", "/dev/null"])
        assert done.code == 3
        assert "/dev/pts/0\r\n" in done.stdout


def test_kick_ends_it_too_and_it_ends_nothing(world: World) -> None:
    with world.running("shell", "echo ready; sleep 600") as client:
        assert client.stdout
        assert client.stdout.readline() == b"ready\n"
        command = world.host.popen(["jailssh", "exec", "shell", "--", "sh", "-c", "echo ready; sleep 600"],
                                   stdout=subprocess.PIPE)  # fmt: skip
        assert command.stdout
        assert command.stdout.readline() == b"ready\n"
        sessions = world.jailssh("sessions", "shell").stdout
        assert len(sessions.splitlines()) == 2, sessions
        assert world.jailssh("kick", "shell").stdout == "shell: ended 1 session\n"
        assert command.wait(30) == 137
        assert client.wait(30) != 0
        assert world.processes_of("shell") == []


@pytest.mark.parametrize(
    ("words", "why"),
    [(("shell",), "needs a command"), (("shell", "--", "bin/x"), "absolute path"),
     (("nobody", "--", "ls"), "no session")],
)  # fmt: skip
def test_what_is_refused(world: World, words: tuple[str, ...], why: str) -> None:
    done = world.jailssh("exec", *words, check=False)
    assert done.code == 2
    assert why in done.stderr


def test_the_program_is_of_no_use_to_others(world: World) -> None:
    program = "/usr/local/libexec/jailssh/jailssh-join"
    uid = str(world.uid("shell"))
    with session(world):
        [first] = set(world.host.run(["pgrep", "-u", uid, "sleep"]).stdout.split())
        wrong = world.host.run([program, first, "1", uid, "", "", "true"])
        assert (wrong.code, wrong.stderr) == (125, "jailssh: exec: session has ended\n")
        host = world.host.run([program, "1", "0", uid, "", "", "true"])
        assert host.code == 125
        mine = world.host.run(["setpriv", "--reuid", uid, "--clear-groups", program, first, "1", uid, "", "", "true"])
        assert (mine.code, mine.stderr) == (125, "jailssh: exec: is run by: jailssh exec\n")
