"""Selftests of accounts and jails: they prove what is right, find what is wrong, and leave nothing behind."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.sshd.world import GROUP, World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "scp", "rsync", "git", "journald", "login-program")

ARMED = "st-armed"
SMALL = "st-small"
LOOSE = "st-loose"
TEAM = "st-team"
JAILS = {
    ARMED: "plugins = sftp scp git rsync command\nshared_directories = yes\n[command]\n"
    'commands = "true", "head -n <int:1:9>"\n[git]\nwrite = /srv/st\n[rsync]\nread = ~\nwrite = ~\n',
    SMALL: 'plugins = command\n[command]\ncommands = "true"\n[limits]\nmax_sessions = 1\n',
    LOOSE: 'plugins = command\n[command]\ncommands = "true", "id"\n',
    "st-one": "extends = shell\n[limits]\nmax_sessions = 1\n",
    TEAM: "plugins = git\n[git]\nroots = /srv/st-team\nrights = create * @developers, read * ci\n",
}
SEEN = """
find /home /srv/st /srv/st-team /etc/jailssh /var/lib/jailssh/undo /var/lib/jailssh/plan.v1 /var/lib/jailssh/owners \
    ! -name .lock -printf '%p %m %u %g\\n' | sort
find /etc/jailssh/keys /etc/jailssh/users /var/lib/jailssh/plan.v1 -type f ! -name .lock -exec sha256sum {} + | sort
ls -A /run | grep -v '^user$' | grep -i selftest
ls -A /tmp | grep -E 'selftest|sshauth'
getent passwd; getent group
"""
# Kills the process at the first point of this name.
SCRIPT = """
import os, signal, sys
sys.path.insert(0, "/usr/local/lib/jailssh/python")
from jailssh.host import accounts
from jailssh.host.paths import Layout
from jailssh.jail.configuration import load_configuration
from jailssh.selftest.in_jail import selftest_jail
from jailssh.selftest.selftest import How, selftest

what, name, point = sys.argv[1:]
left = [point]

def fault(at):
    if at == left[0]:
        os.kill(os.getpid(), signal.SIGKILL)

layout, how = Layout(), How(fault=fault)
if what == "jail":
    selftest_jail(layout, name, how)
else:
    selftest(layout, load_configuration(layout), accounts.get(name), how)
print("it ended")
"""


@pytest.fixture(scope="module", autouse=True)
def accounts(world: World) -> None:
    for name, text in JAILS.items():
        world.host.write(f"/etc/jailssh/jails/{name}.conf", text)
    world.host.run(["mkdir", "-p", "/srv/st", "/srv/st-team"], check=True)
    for name in (ARMED, SMALL, LOOSE, "st-one"):
        world.adduser(name, name)
    world.jailssh("adduser", TEAM, "--jail", TEAM)
    world.host.run(["chown", f"{ARMED}:", "/srv/st"], check=True)
    world.host.run(["chown", f"{TEAM}:", "/srv/st-team"], check=True)


def seen(world: World) -> str:
    return world.host.run(["sh", "-c", SEEN]).stdout


def reports(world: World, *args: str, code: int = 0) -> list[dict[str, Any]]:
    """Return what a selftest reports; whatever it finds, nothing is left of it."""
    before = seen(world)
    done = world.jailssh("selftest", "--json", *args, check=False)
    document = json.loads(done.stdout)
    found: list[dict[str, Any]] = document["reports"]
    others = [row for report in found for row in report["rows"] if row["verdict"] != "ok"]
    assert done.code == code, (document["errors"], others, done.stderr)
    assert seen(world) == before
    return found


def wrong(report: dict[str, Any]) -> set[str]:
    return {row["id"] for row in report["rows"] if row["verdict"] == "wrong"}


# What is right.


def test_all_that_a_jail_of_many_plugins_announces(world: World) -> None:
    world.client.sftp(ARMED, "ls\n")  # what a first login makes in a home is there
    (report,) = reports(world, ARMED)
    ids = {row["id"]: row for row in report["rows"]}
    uses = {name for name, row in ids.items() if row["kind"] == "use"}
    assert {"sftp.upload", "sftp.download", "scp.upload", "scp.download", "rsync.pull", "rsync.push", "git.fetch",
            "git.push"} <= uses  # fmt: skip
    assert {"forward.tcp", "forward.socket", "forward.agent", "sftp.link-out", "rsync.daemon", "git.program",
            "scp.program", "command.long", "login.terminal", "environment"} <= set(ids)  # fmt: skip
    assert set(ids["git.push"]) == {"id", "source", "kind", "what", "tried", "expected", "happened", "verdict"}
    assert report["notes"] == ["plugin command announces no use that can be tried without harm"]


def test_a_shell(world: World) -> None:
    world.client.ssh("shell", "true")
    (report,) = reports(world, "shell")
    assert {"shell.files", "shell.capabilities", "network.host"} <= {row["id"] for row in report["rows"]}


def test_a_jail_without_an_account(world: World) -> None:
    (report,) = reports(world, "--jail", SMALL)
    assert report["account"].startswith("jst-")
    assert report["jail"] == SMALL


def test_each_set_of_rights_of_a_shared_account(world: World) -> None:
    for name, more in (("alice", ("--group", "developers")), ("bob", ("--group", "developers")), ("ci", ())):
        world.client.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", name])
        world.jailssh("keys", "add", TEAM, name, f"{world.client.home}/{name}.pub", *more)
    found = {report["key"]: {row["id"] for row in report["rows"]} for report in reports(world, TEAM)}
    assert set(found) == {"alice, bob", "ci"}
    assert "git.push" in found["alice, bob"]
    assert "git.push" not in found["ci"]
    assert {"git.fetch", "git.no-push"} <= found["ci"]


def test_the_report_is_for_people_too(world: World) -> None:
    done = world.jailssh("selftest", SMALL)
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"selftest of {SMALL}, jail {SMALL}, by sshd at 127.0.0.1 port 22, ")
    assert lines[1:3] == [
        "  ok         state   login: a login ends in the jail, where a command that nobody has is denied",
        "             tried jailssh-selftest-no-such-command; expected exit 126 from the login program; exit 126; "
        "jailssh: command not allowed; this account allows: true",
    ]
    assert lines[-1].endswith("trials as expected")
    assert done.stderr == ""


# What is wrong is found.


@pytest.fixture
def configured(world: World) -> Iterator[Any]:
    """Give a function that starts sshd with more lines, some of them before the drop-in."""
    early = "/etc/ssh/sshd_config.d/10-early.conf"

    def start(lines: str) -> None:
        world.host.write(early, lines)
        world.host.stop_sshd()
        world.host.start_sshd()

    yield start
    world.host.run(["rm", "-f", early], check=True)
    world.host.stop_sshd()
    world.host.start_sshd()


def test_a_forced_command_that_an_earlier_match_overrides(world: World, configured: Any) -> None:
    configured(f"Match User {SMALL}\n    ForceCommand /bin/sh -c 'echo out of the jail'\n")
    (report,) = reports(world, SMALL, code=1)
    assert wrong(report) == {"sshd"}


def test_forwarding_that_is_on_for_the_account(world: World, configured: Any) -> None:
    configured(
        f"Match User {SMALL}\n    DisableForwarding no\n    AllowTcpForwarding yes\n    AllowAgentForwarding yes\n"
        "    AllowStreamLocalForwarding yes\n"
    )
    (report,) = reports(world, SMALL, code=1)
    assert wrong(report) == {"sshd", "forward.tcp", "forward.socket", "forward.listen", "forward.listen-socket",
                             "forward.agent"}  # fmt: skip


def test_the_servers_own_sftp_outside_of_the_jail(world: World, configured: Any) -> None:
    configured(f"Subsystem builtin internal-sftp\nMatch User {SMALL}\n    ForceCommand none\n")
    (report,) = reports(world, SMALL, code=1)
    assert wrong(report) == {"sshd", "subsystem.builtin"}


def test_a_plan_that_says_more_than_the_configuration(world: World) -> None:
    world.host.write(f"/etc/jailssh/jails/{LOOSE}.conf", JAILS[SMALL])
    try:
        (report,) = reports(world, LOOSE, code=1)
    finally:
        world.host.write(f"/etc/jailssh/jails/{LOOSE}.conf", JAILS[LOOSE])
    assert wrong(report) == {"plan", "command.program.1"}


# Nothing is left, also of one that was killed.


def killed(world: World, what: str, name: str, point: str) -> None:
    done = world.host.run(["/usr/bin/python3", "-I", "-c", SCRIPT, what, name, point])
    assert done.code in (137, -9), (point, done.stdout, done.stderr)


@pytest.mark.parametrize(
    "point",
    ["key: noted", "key: done", "directory: noted", "directory: done", "trial: git.push", "socket: done"],
)
def test_killed_at_a_step(world: World, point: str) -> None:
    before = seen(world)
    killed(world, "account", ARMED if point.startswith(("directory", "trial")) else SMALL, point)
    assert "selftest-st-" in seen(world)
    done = world.jailssh("recover", "--yes")
    assert "selftest of account st-" in done.stderr
    world.host.wait_until(lambda: seen(world) == before, f"nothing is left after {point}")


@pytest.mark.parametrize("point", ["account: done", "plan: done", "trial: command.1.2"])
def test_killed_with_an_account_of_its_own(world: World, point: str) -> None:
    before = seen(world)
    killed(world, "jail", SMALL, point)
    assert "selftest-made-jst-" in seen(world)
    if point != "plan: done":
        world.jailssh("recover", "--yes")
    else:
        assert world.jailssh("selftest", SMALL).code == 0  # which settles it before it begins
    world.host.wait_until(lambda: seen(world) == before, f"nothing is left after {point}")


def test_a_signal_ends_it_between_two_trials(world: World) -> None:
    before = seen(world)
    script = SCRIPT.replace("SIGKILL", "SIGTERM")
    done = world.host.run(["/usr/bin/python3", "-I", "-c", script, "account", ARMED, "trial: git.push"])
    assert "SignalledError: interrupted: SIGTERM received: changes rolled back" in done.stderr
    assert "it ended" not in done.stdout
    assert seen(world) == before


def test_two_at_once(world: World) -> None:
    before = seen(world)
    script = SCRIPT.replace("os.kill(os.getpid(), signal.SIGKILL)", "print('there', flush=True); input()")
    words = ["/usr/bin/python3", "-I", "-c", script, "account", SMALL, "trial: command.1"]
    with world.host.popen(words, stdin=subprocess.PIPE) as first:
        assert first.stdout
        assert first.stdout.readline() == b"there\n"
        second = world.jailssh("selftest", SMALL, check=False)
        recovered = world.jailssh("recover", "--yes")
        out = first.communicate(b"\n")[0]
    assert second.code == 2
    assert f"account {SMALL}: another selftest of it is in progress (process " in second.stderr
    assert "its process is still running" in recovered.stderr
    assert out == b"it ended\n"
    assert seen(world) == before


# What cannot be tried is said.


def refused(world: World, *args: str) -> str:
    before = seen(world)
    done = world.jailssh("selftest", *args, check=False)
    assert done.code == 2, done.stdout + done.stderr
    assert seen(world) == before
    return done.stderr


def test_names_of_nobody(world: World) -> None:
    assert refused(world, "nobody-here").startswith("jailssh: 'nobody-here': is not an account or a jail\n")
    assert refused(world, "--jail", "nosuch").startswith("jailssh: jail nosuch: does not exist\n")
    said = refused(world, "client")
    assert said == (
        "jailssh: account client: is not in a jail\n"
        f"hint: jailssh adduser client --jail JAIL, or make it a member of a group with a jail: {GROUP}\n"
    )


def test_no_sshd(world: World) -> None:
    world.host.stop_sshd()
    try:
        said = refused(world, SMALL)
    finally:
        world.host.start_sshd()
    assert said.startswith("jailssh: sshd: does not run: nothing listens at 127.0.0.1 port 22")
    assert "hint: start it: systemctl start ssh" in said


@pytest.mark.parametrize(
    ("change", "back", "why"),
    [
        (["chage", "-E", "2020-01-01"], ["chage", "-E", "-1"], "account has expired"),
        (["usermod", "--shell", "/bin/bash"], ["usermod", "--shell", "/usr/local/libexec/jailssh/jailssh-login"],
         "login shell is /bin/bash"),
        (["chage", "-d", "0"], ["chage", "-d", "2026-01-01"], "password has expired"),
    ],
)  # fmt: skip
def test_an_account_that_cannot_log_in(world: World, change: list[str], back: list[str], why: str) -> None:
    world.host.run([*change, SMALL], check=True)
    try:
        assert why in refused(world, SMALL)
    finally:
        world.host.run([*back, SMALL], check=True)


def test_limits_of_the_jail(world: World) -> None:
    path = f"/etc/jailssh/jails/{LOOSE}.conf"
    try:
        for limit, why in (
            ("expires = 2020-12-31", "account expired; last valid day: 2020-12-31"),
            ("addresses = 192.0.2.0/24", "logins are allowed from 192.0.2.0/24 only"),
        ):
            world.host.write(path, f"{JAILS[LOOSE]}[limits]\n{limit}\n")
            assert why in refused(world, LOOSE)
    finally:
        world.host.write(path, JAILS[LOOSE])


def test_the_only_session_is_in_use(world: World) -> None:
    """It waits for a while, and does not take it for a finding that nobody else gets in."""
    with world.running("st-one", "sleep 60"):
        world.host.wait_until(lambda: "sleep 60" in " ".join(world.processes_of("st-one")), "it runs")
        said = refused(world, "st-one")
    assert said.startswith("jailssh: account st-one: session limit reached (1 for this account)")


def test_an_sshd_that_says_nothing(world: World) -> None:
    """It is bounded, and what was changed is taken back."""
    before = seen(world)
    world.host.stop_sshd()
    silent = "import socket; s = socket.create_server(('127.0.0.1', 22)); print('there', flush=True)"
    silent += "\nkept = []\nwhile True: kept.append(s.accept())"
    script = SCRIPT.replace("what, name", "from jailssh.selftest import client; client.CONNECTING = 1.0\nwhat, name", 1)
    with world.host.popen(["/usr/bin/python3", "-c", silent]) as server:
        try:
            assert server.stdout
            assert server.stdout.readline() == b"there\n"
            begun = time.monotonic()
            done = world.host.run(["/usr/bin/python3", "-I", "-c", script, "account", SMALL, ""])
            took = time.monotonic() - begun
        finally:
            world.host.run(["pkill", "-KILL", "-f", "create_server"])
            server.wait(30)
            world.host.start_sshd()
    assert "CannotTryError: sshd at 127.0.0.1 port 22: does not serve: " in done.stderr
    assert 1 < took < 15
    assert seen(world) == before
