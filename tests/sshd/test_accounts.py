"""Accounts that come, change and go under a running sshd: on demand, by group, apply, update, many at once."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import pytest

from jailssh.core import journal_fields as fields
from tests.sshd.people import by_group, daemon, lists_home, plan_of
from tests.sshd.world import GROUP, LOGIN, World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "journald", "login-program")

REFUSED = re.compile(r"jailssh: cannot start this session; give your administrator reference ([0-9a-f]{8})\n")
MANY = 20
NOBODY_TO_ASK = "jailssh: {}: no terminal for the question; nothing changed\nhint: repeat the command with --yes\n"


def test_no_plan_and_no_daemon_is_one_line(world: World) -> None:
    world.adduser("late", "sftp-only", "--on-demand")
    done = world.client.ssh("late", "id")
    found = REFUSED.fullmatch(done.stderr)
    assert (done.code, done.stdout) == (125, "")
    assert found
    (record,) = world.host.journal(**{fields.EVENT: "refused", fields.UID: str(world.uid("late"))})
    assert record[fields.SESSION].startswith(found[1])
    assert (record[fields.REASON], record[fields.EXIT]) == ("plan-missing", "125")


def test_the_first_login_makes_what_is_missing(world: World) -> None:
    """A plan that was taken away, an account in a jail only through its group, an image that nobody had yet."""
    by_group(world, "grouped")
    world.adduser("fresh", "scp", "--on-demand")
    world.host.run(["rm", plan_of(world, "sftp-only")], check=True)
    with daemon(world):
        for user in ("sftp-only", "grouped", "fresh"):
            assert not world.exists(plan_of(world, user))
            done = lists_home(world, user)
            assert done.stdout.split()[-1] == f"/home/{user}", done
            assert world.exists(plan_of(world, user))
    # With a plan nobody asks the daemon, which is gone again.
    assert lists_home(world, "grouped").code == 0
    assert world.client.ssh("grouped", "id").stderr == "jailssh: command not allowed; this account allows: sftp\n"
    (compiled,) = world.host.journal(**{fields.EVENT: "plan-compiled", fields.USER: "grouped"})
    assert compiled[fields.JAIL] == "by-group"


def test_who_has_the_login_program_and_no_jail_is_refused_before_sshd_forwards(world: World) -> None:
    world.host.run(["useradd", "--create-home", "--shell", LOGIN, "nobodys"], check=True)
    world.client.authorize("nobodys")
    with daemon(world):
        done = world.client.ssh("nobodys", "id")
    assert (done.code, done.stdout) == (255, "")
    (refused,) = world.host.journal(**{fields.EVENT: "refused", fields.USER: "nobodys"})
    assert refused[fields.REASON] == "not-jailed"


def test_many_first_logins_at_once(world: World) -> None:
    users = [f"many{number}" for number in range(4)]
    for user in users:
        by_group(world, user)
    with daemon(world):
        outcomes = at_once(world, [users[number % len(users)] for number in range(MANY)], "internal-sftp")
    assert outcomes == [(0, b"")] * MANY


def at_once(world: World, users: list[str], command: str) -> list[tuple[int, bytes]]:
    """Log all of them in at the same time; return each exit status and error output."""
    running = [world.client.start_ssh(user, command, stdin=subprocess.DEVNULL) for user in users]
    outcomes = []
    for client in running:
        with client:
            err = client.communicate(timeout=60)[1]
            outcomes.append((client.returncode, err))
    return outcomes


def test_many_logins_at_once(world: World) -> None:
    outcomes = at_once(world, ["shell", "probing"] * (MANY // 2), "test $$ -lt 10 && ls / >/dev/null && exit 5")
    assert outcomes == [(5, b"")] * MANY


def test_adduser_and_deluser_of_an_account_that_was_there(world: World) -> None:
    world.host.run(["useradd", "--create-home", "--shell", "/bin/bash", "before"], check=True)
    world.client.authorize("before")
    look = "echo $0; cat /etc/hostname; ls -d /root"
    outside = world.client.ssh("before", look)
    assert outside.stdout == "bash\nscratch\n/root\n"
    files = ("/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow")
    accounts = [world.host.read(path) for path in files]

    asked = world.jailssh("adduser", "before", "--jail", "sftp-only", check=False)
    assert (asked.code, asked.stdout) == (2, "")
    assert asked.stderr == f"Put the existing account before into a jail?\n{NOBODY_TO_ASK.format('adduser')}"
    assert [world.host.read(path) for path in files] == accounts
    assert world.client.ssh("before", look) == outside

    world.adduser("before", "sftp-only", "--yes")
    denied = world.client.ssh("before", look)
    assert (denied.code, denied.stdout) == (126, "")
    assert lists_home(world, "before").stdout.split()[-1] == "/home/before"
    assert "keys/before" in world.host.sshd_log()
    world.adduser("before", "shell")
    assert world.client.ssh("before", "hostname; ls -d /root 2>&1").stdout.startswith("jail\nls: cannot access")

    world.jailssh("deluser", "before")
    assert [world.host.read(path) for path in files] == accounts
    assert world.client.ssh("before", look) == outside
    assert not world.exists("/etc/jailssh/keys/before")


def test_deluser_of_an_account_that_adduser_made(world: World) -> None:
    world.adduser("shortlived", "sftp-only")
    assert lists_home(world, "shortlived").code == 0
    world.host.wait_until(lambda: world.processes_of("shortlived") == [], "the session has ended")
    asked = world.jailssh("deluser", "shortlived", "--remove-home", check=False)
    assert (asked.code, asked.stdout) == (2, "")
    assert asked.stderr.endswith(NOBODY_TO_ASK.format("deluser"))
    assert lists_home(world, "shortlived").code == 0
    world.host.wait_until(lambda: world.processes_of("shortlived") == [], "the session has ended")
    world.jailssh("deluser", "shortlived", "--remove-home", "--yes")
    done = world.client.ssh("shortlived", "id")
    assert (done.code, "Permission denied" in done.stderr) == (255, True)
    assert not world.exists("/home/shortlived")


def test_a_session_keeps_what_it_has(world: World) -> None:
    """Neither a changed configuration nor a new image disturbs who is logged in; the next login gets both."""
    path = "/etc/jailssh/jails/changing.conf"
    world.host.write(path, "plugins = shell\nhostname = older\n")
    world.adduser("stays", "changing")
    with world.client.start_ssh("stays", "while read line; do eval $line; done", stderr=subprocess.STDOUT) as session:
        say = conversation(session)
        assert say("hostname") == "older\n"
        before = image_of(world, "stays")
        # Another hostname, other rules, and a program more in the image.
        world.host.write(path, "plugins = shell sftp\nhostname = newer\n[shell]\nprograms = /usr/bin/git\n")
        world.jailssh("apply")
        assert image_of(world, "stays") != before
        # A program that was never run in the session, from the image that it has.
        shown = say("hostname; type git 2>/dev/null || echo none; /usr/bin/id -un")
        assert shown == "older\nnone\nstays\n"
        after = world.client.ssh("stays", "hostname; type git")
        assert after.stdout == "newer\ngit is /usr/bin/git\n"
        assert say("sort --version | head -c 4; echo") == "sort\n"
        session.communicate(b"exit 6\n", 20)
    assert session.returncode == 6


def conversation(session: subprocess.Popen[bytes]) -> Callable[[str], str]:
    """Return a function that sends a line to a session and returns what it prints, up to a mark."""
    stdin, stdout = session.stdin, session.stdout
    assert stdin is not None
    assert stdout is not None

    def say(line: str) -> str:
        stdin.write(f"{line}; echo END\n".encode())
        stdin.flush()
        text = ""
        while not text.endswith("END\n"):
            read = stdout.readline().decode()
            assert read, f"the session ended after {text!r}"
            text += read
        return text.removesuffix("END\n")

    return say


def image_of(world: World, user: str) -> str:
    shown = world.jailssh("--json", "plan", "show", user).stdout
    found = re.search(r"/var/lib/jailssh/images/[^\"\s]+", shown)
    assert found
    return found[0]


def test_su_ends_in_the_jail_too(world: World) -> None:
    done = world.host.run(["su", "-", "sftp-only", "-c", "id"])
    assert (done.code, done.stdout) == (126, "")
    assert done.stderr == "jailssh: command not allowed; this account allows: sftp\n"
    (record,) = world.last_login("sftp-only")
    assert fields.PEER not in record


def test_a_uid_that_another_account_had_before(world: World) -> None:
    """userdel by hand leaves the plan; who gets the uid next does not get the shell that the plan gives."""
    world.adduser("leaver", "shell")
    uid = world.uid("leaver")
    world.userdel("leaver")
    options = ["--create-home", "--uid", str(uid), "--no-user-group", "--gid", GROUP, "--shell", LOGIN]
    world.host.run(["useradd", *options, "joiner"], check=True)
    world.client.authorize("joiner")
    done = world.client.ssh("joiner", "id")
    assert (done.code, done.stdout) == (125, "")
    assert REFUSED.fullmatch(done.stderr)
    (record,) = world.host.journal(**{fields.EVENT: "refused", fields.UID: str(uid)})
    assert (record[fields.REASON], record[fields.USER]) == ("name", "joiner")
    assert "plan is for leaver, login is of joiner" in record["MESSAGE"]
    done = world.jailssh("apply", "--gone")
    assert f"leaver (uid {uid})" in done.stdout
    assert world.client.ssh("joiner", "id").code == 125
    world.userdel("joiner")
