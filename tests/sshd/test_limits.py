"""Limits of a jail and of an account, met by real clients: where from, when, how many, how long, how fast."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jailssh.core import journal_fields as fields
from jailssh.core.names import DAYS
from jailssh.scratch.host import Finished
from tests.sshd.world import World, pick

pytestmark = pytest.mark.needs("root", "sshd", "journald", "login-program")

USER = "limited"
JAIL = "/etc/jailssh/jails/limited.conf"
MAIN = "/etc/jailssh/jailssh.conf"
FILE = f"/etc/jailssh/users/{USER}.conf"
INDIA = timedelta(hours=5, minutes=30)


@pytest.fixture(scope="module")
def account(world: World) -> World:
    world.host.write(JAIL, "plugins = shell sftp\n")
    world.adduser(USER, "limited")
    return world


@pytest.fixture
def host(account: World) -> Iterator[World]:
    """The account, which is without limits of its own again in the end."""
    before = account.host.read(FILE)
    yield account
    account.host.write(FILE, before)
    limit(account, "")


def limit(world: World, text: str) -> None:
    """Give the jail these limits."""
    world.host.write(JAIL, f"plugins = shell sftp\n[limits]\n{text}\n")
    world.jailssh("apply")


def passes(world: World) -> None:
    done = world.client.ssh(USER, "echo in")
    assert (done.code, done.stdout, done.stderr) == (0, "in\n", "")


def refused(world: World, reason: str) -> Finished:
    """Log in, which is refused for ``reason`` before anything of the account runs."""
    done = world.client.ssh(USER, "echo in")
    assert (done.code, done.stdout) == (126, "")
    assert done.stderr.startswith("jailssh: ")
    assert done.stderr.count("\n") == 1
    (record,) = [one for one in world.last_login(USER) if one[fields.EVENT] != "session-start"]
    assert pick(record, fields.EVENT, fields.REASON) == {"event": "denied", "reason": reason}
    return done


def end_of(world: World) -> dict[str, Any]:
    (record,) = [one for one in world.last_login(USER) if one[fields.EVENT] == "session-end"]
    return record


def span(middle: datetime) -> str:
    """Return hours of the week around a moment, an hour before and one after."""
    first, last = middle - timedelta(hours=1), middle + timedelta(hours=1)
    return f"{DAYS[first.weekday()]} {first:%H:%M}-{last:%H:%M}"


def test_addresses(host: World) -> None:
    limit(host, "addresses = 192.0.2.0/24, 2001:db8::/32")
    refused(host, "address")
    limit(host, "addresses = 192.0.2.0/24, 127.0.0.0/8")
    passes(host)
    limit(host, "addresses = 127.0.0.2")
    refused(host, "address")
    limit(host, "addresses = 127.0.0.1")
    passes(host)


def test_hours(host: World) -> None:
    now = datetime.now(UTC)
    host.host.run(["ln", "-sfn", "/usr/share/zoneinfo/UTC", "/etc/localtime"], check=True)
    limit(host, f"hours = {DAYS[(now.weekday() + 3) % 7]} 00:00-24:00")
    refused(host, "hours")
    limit(host, f"hours = {span(now)}")
    passes(host)


def test_hours_are_those_of_this_hosts_time_zone(host: World) -> None:
    now = datetime.now(UTC)
    host.host.run(["ln", "-sfn", "/usr/share/zoneinfo/Asia/Kolkata", "/etc/localtime"], check=True)
    try:
        limit(host, f"hours = {span(now)}")
        refused(host, "hours")
        limit(host, f"hours = {span(now + INDIA)}")
        passes(host)
    finally:
        host.host.run(["ln", "-sfn", "/usr/share/zoneinfo/UTC", "/etc/localtime"], check=True)
    # Another zone counts from the next apply on.
    passes(host)
    host.jailssh("apply")
    refused(host, "hours")


def test_a_day_after_the_last(host: World) -> None:
    today = datetime.now(UTC).date()
    limit(host, f"expires = {today - timedelta(days=2)}")
    refused(host, "expired")
    limit(host, f"expires = {today + timedelta(days=2)}")
    passes(host)
    # The day is told as the clocks here show it, also where it is another one in UTC.
    host.host.run(["ln", "-sfn", "/usr/share/zoneinfo/America/New_York", "/etc/localtime"], check=True)
    limit(host, "expires = 2025-01-31")
    done = refused(host, "expired")
    host.host.run(["ln", "-sfn", "/usr/share/zoneinfo/UTC", "/etc/localtime"], check=True)
    assert "2025-01-31" in done.stderr


def test_an_account_has_limits_of_its_own(host: World) -> None:
    limit(host, "expires = 2020-01-01")
    refused(host, "expired")
    own = host.host.read(FILE).decode()
    host.host.write(FILE, f"{own}[limits]\nexpires =\naddresses = 192.0.2.1\n")
    host.jailssh("apply")
    refused(host, "address")
    host.host.write(FILE, f"{own}[limits]\nexpires = 2040-01-01\n")
    host.jailssh("apply")
    passes(host)
    # Another jail, and the account's own limits stay.
    host.adduser(USER, "limited")
    assert "expires = 2040-01-01" in host.host.read(FILE).decode()
    passes(host)


def test_sessions_at_a_time(host: World) -> None:
    limit(host, "max_sessions = 2")
    with host.running(USER, "sleep 600"), host.running(USER, "sleep 601"):
        host.host.wait_until(lambda: {"sleep 600", "sleep 601"} <= set(host.processes_of(USER)), "two sessions")
        refused(host, "sessions")
    host.host.wait_until(lambda: not host.processes_of(USER), "their end")
    passes(host)


def test_how_long_a_session_lasts(host: World) -> None:
    limit(host, "max_duration = 2s")
    passes(host)
    start = time.monotonic()
    done = host.client.ssh(USER, "while :; do echo busy; sleep 0.2; done", timeout=60)
    assert 1.5 < time.monotonic() - start < 30
    assert done.code != 0
    assert end_of(host)[fields.REASON] == "duration"
    assert host.processes_of(USER) == []


def test_how_long_a_session_is_idle(host: World) -> None:
    limit(host, "idle_timeout = 2s")
    done = host.client.ssh(USER, "for i in 1 2 3 4 5 6 7; do echo $i; sleep 0.6; done", timeout=60)
    assert (done.code, done.stdout.split()) == (0, list("1234567"))
    done = host.client.ssh(USER, "echo first; sleep 600", timeout=60)
    assert done.code != 0
    assert done.stdout == "first\n"
    assert end_of(host)[fields.REASON] == "idle"


def seconds_to_send(world: World, size: int) -> float:
    start = time.monotonic()
    assert world.client.ssh(USER, "wc -c", input="x" * size).stdout.strip() == str(size)
    return time.monotonic() - start


def test_bandwidth(host: World) -> None:
    size = 1 << 20
    before = host.host.read(MAIN) if host.exists(MAIN) else b""
    host.host.write(MAIN, before + b"\n[bandwidth]\nslow = 256K\n")
    try:
        limit(host, "bandwidth = slow")
        commands = {f"head -c {size} /dev/zero | tr '\\0' x": "", "wc -c": "x" * size}
        for command, sent in commands.items():
            start = time.monotonic()
            done = host.client.ssh(USER, command, input=sent, timeout=60)
            took = time.monotonic() - start
            assert done.code == 0
            assert done.stdout.strip() in ("x" * size, str(size))
            # Four seconds; a part of the first may come at once.
            assert 2.5 < took < 20
        limit(host, "bandwidth = 100M")
        assert min(seconds_to_send(host, size) for _ in range(3)) < 2.5  # 0.3 s where nothing else runs
    finally:
        limit(host, "")
        host.host.write(MAIN, before)


def test_nice(host: World) -> None:
    limit(host, "nice = 7")
    with host.running(USER, "sleep 602"):
        host.host.wait_until(lambda: "sleep 602" in host.processes_of(USER), "the session")
        rows = host.host.run(["ps", "-o", "ni=,args=", "-u", USER]).stdout.splitlines()
        assert [row.split()[0] for row in rows if row.endswith(" sleep 602")] == [str(max(7, os.nice(0)))]
    host.host.wait_until(lambda: not host.processes_of(USER), "its end")


def test_a_file_that_is_too_large(host: World) -> None:
    limit(host, "fsize = 1M")
    for name, size in (("large", 2 << 20), ("small", 1000)):
        host.client.write(name, b"x" * size)
    done = host.client.sftp(USER, "-put large\nput small\nls -l\n")
    assert done.code == 0, done.stderr
    assert "write remote" in done.stderr
    assert "Connection closed" not in done.stderr
    assert len(host.host.read(f"/home/{USER}/small")) == 1000
    assert len(host.host.read(f"/home/{USER}/large")) <= 1 << 20
    done = host.client.ssh(USER, "head -c 2000000 /dev/zero >more; echo $?")
    assert (done.code, done.stdout) == (0, "1\n")
    assert "File too large" in done.stderr


def test_variables_of_the_client(host: World) -> None:
    drop_in = "/etc/ssh/sshd_config.d/00-more.conf"
    host.host.write(JAIL, "plugins = shell sftp\naccept_env = JOB_* EDITOR\n")
    host.jailssh("apply")
    host.host.write(drop_in, f"Match User {USER}\n    AcceptEnv JOB_* EDITOR OTHER\n")
    host.host.stop_sshd()
    host.host.start_sshd()
    try:
        given = ["-o", "SetEnv=JOB_NAME=seven EDITOR=vi OTHER=x"]
        done = host.client.run(["ssh", *given, f"{USER}@host", "echo $JOB_NAME $EDITOR $OTHER."])
        assert (done.code, done.stdout) == (0, "seven vi .\n"), done.stderr
    finally:
        host.host.run(["rm", drop_in])
        host.host.stop_sshd()
        host.host.start_sshd()
    host.host.write(JAIL, "plugins = shell sftp\naccept_env = LD_PRELOAD JOB_*\n")
    done = host.jailssh("config", "check", check=False)
    assert done.code != 0
    assert "accept_env: LD_PRELOAD is not allowed" in done.stderr + done.stdout
