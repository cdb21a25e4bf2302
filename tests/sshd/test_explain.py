"""A denied login through sshd, explained from its journal record, and learned from: the whole way round."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jailssh.core import journal_fields as fields
from jailssh.core.names import DAYS
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "rsync", "journald", "login-program")

USER = "learner"


@pytest.fixture(scope="module", autouse=True)
def account(world: World) -> None:
    world.adduser(USER, "rsync-backup")


def facts(world: World, *args: str, code: int = 0) -> Any:
    done = world.jailssh("--json", *args, check=False)
    assert done.code == code, done
    return json.loads(done.stdout)


def test_a_denial_is_explained_by_its_record(world: World) -> None:
    assert world.client.rsync(["up.txt", f"{USER}@host:data/"]).code != 0
    (record,) = world.last_login(USER)
    found = facts(world, "explain", "--from-journal", record[fields.SESSION][:8], code=3)
    assert found["record"]["reason"] == record[fields.REASON] == "path-outside"
    assert found["record"]["command"] == found["now"]["command"] == record[fields.COMMAND]
    assert found["now"]["rule"] == record[fields.RULE] == "rsync.push"
    assert found["now"]["below"] == [f"/home/{USER}/backup"]
    said = world.jailssh("explain", "--from-journal", record["__CURSOR"], check=False).stdout
    assert "[rsync] write = ~/backup, ~/data  (now: ~/backup, profile rsync-backup:" in said
    assert world.client.rsync(["up.txt", f"{USER}@host:backup/"]).code == 0
    allowed = world.last_login(USER)[0][fields.SESSION]
    found = facts(world, "explain", "--from-journal", allowed)
    assert found["now"]["paths"] == [
        {
            "path": f"/home/{USER}/backup",
            "what": f"/home/{USER}/backup of this host",
            "rights": "read-write",
            "executable": False,
        }
    ]
    assert found["now"]["environment"] == {"HOME": "/"}


def test_a_refused_login_is_explained_by_the_reference_that_the_user_saw(world: World) -> None:
    world.adduser("unready", "sftp-only", "--on-demand")
    reference = world.client.ssh("unready", "id").stderr.split()[-1]
    world.records("unready")
    found = facts(world, "explain", "--from-journal", reference, code=1)
    assert (found["record"]["event"], found["record"]["reason"]) == ("refused", "plan-missing")
    assert found["record"]["user"] == "unready"
    done = world.jailssh("explain", "unready", "--", "id", check=False)
    assert (done.code, done.stdout) == (1, "")
    assert "does not exist yet" in done.stderr
    assert "hint: jailssh apply" in done.stderr


def test_what_was_learned_is_suggested_and_then_allowed_and_nothing_else(world: World) -> None:
    assert world.client.ssh(USER, "uptime").code == 126
    world.jailssh("learn", USER, "--for", "1h")
    push = ["-t", "up.txt", f"{USER}@host:data/"]
    assert world.client.rsync(push).code != 0
    for command in ("head -n 2", "head -n 4", "id; true", "head -n 2"):
        assert world.client.ssh(USER, command).code == 126
    uid, other = world.uid(USER), world.client.account
    forged = f"JAILSSH_EVENT=denied\nJAILSSH_UID={uid}\nJAILSSH_USER={USER}\nJAILSSH_COMMAND=id\nMESSAGE=x\n"
    world.host.run(["logger", "--journald"], user=other, input=forged, check=True)
    assert world.host.journal(**{fields.COMMAND: "id", "_UID": str(world.uid(other))})

    found = facts(world, "learn", USER, "--suggest")
    assert {(one["plugin"], one["option"]): (one["value"], one["asked"][0]["count"]) for one in found["settings"]} == {
        ("rsync", "write"): (["~/backup", "~/data"], 1),
        ("command", "commands"): (["head -n <int:2:4>"], 2),
    }
    assert [one["command"] for one in found["impossible"]] == ["id; true"]
    assert "uptime" not in json.dumps(found)
    assert '"id"' not in json.dumps(found)
    assert world.client.rsync(push).code != 0  # nothing was widened

    world.host.write(f"/etc/jailssh/jails/{USER}.conf", found["fragment"])
    said = world.jailssh("config", "check", check=False).stderr.splitlines()
    # The world has jails of other tests, about which there is something to say.
    assert [line for line in said if line.startswith("jailssh: ") and f"/{USER}.conf" in line] == []
    world.adduser(USER, USER, "--yes")
    assert world.client.rsync(push).code == 0
    assert world.host.read(f"/home/{USER}/data/up.txt") == b"from the client\n"
    assert world.client.ssh(USER, "head -n 3", input="a\nb\nc\nd\n").stdout == "a\nb\nc\n"
    for command in ("head -n 5", "head -n 2 /etc/passwd", "head", "uptime", "id"):
        assert world.client.ssh(USER, command).code == 126, command
    assert world.client.rsync(["up.txt", f"{USER}@host:other/"]).code != 0
    assert facts(world, "explain", USER, "--", "head", "-n", "3")["argv"] == ["head", "-n", "3"]

    assert facts(world, "learn", "--list")[0]["running"] is True
    world.jailssh("learn", USER, "--stop")
    assert [one["running"] for one in facts(world, "learn", "--list")] == [False]
    world.jailssh("learn", USER, "--stop")
    assert facts(world, "learn", "--list") == []


def test_limits_that_were_met_are_explained(world: World) -> None:
    user, jail, file = "bounded", "/etc/jailssh/jails/bounded.conf", "/etc/jailssh/users/bounded.conf"
    world.host.write(jail, "plugins = shell\n")
    world.adduser(user, "bounded")
    own = world.host.read(file).decode()

    def said(lines: str, reason: str, code: int) -> str:
        """Log in with these limits of the account's own; return what explain says of it by the record."""
        world.host.write(file, f"{own}[limits]\n{lines}\n")
        world.jailssh("apply")
        assert world.client.ssh(user, "true").code == 126
        record = world.last_login(user)[0]
        assert record[fields.REASON] == reason
        done = world.jailssh("explain", "--from-journal", record[fields.SESSION], check=False)
        assert done.code == code, done
        return done.stdout

    out = said("addresses = 192.0.2.0/24", "address", 0)
    assert "the client came from 127.0.0.1\n" in out
    assert f"[limits] addresses = 192.0.2.0/24  ({file}:4): change it there, then: jailssh apply" in out
    day = datetime.now(UTC) + timedelta(days=3)
    out = said(f"hours = {DAYS[day.weekday()]} 00:00-24:00", "hours", 0)
    assert "but a login is denied now (hours), " in out
    out = said("expires = 2020-01-31", "expired", 0)
    assert f"[limits] expires = 2020-01-31  ({file}:4): change it there" in out
    found = facts(world, "explain", user, "--", "true")
    assert found["limits"] == {"expires": "2020-01-31 is the last day"}
    assert found["limited_now"]["sentence"] == "account expired; last valid day: 2020-01-31"
    world.host.write(file, f"{own}[limits]\nmax_sessions = 1\n")
    world.jailssh("apply")
    with world.running(user, "sleep 604"):
        world.host.wait_until(lambda: "sleep 604" in world.processes_of(user), "the session")
        out = said("max_sessions = 1", "sessions", 3)
    assert f"[limits] max_sessions = 1  ({file}:4): change it there" in out
    assert "requested: not recorded" in out
    world.host.wait_until(lambda: not world.processes_of(user), "its end")
    world.host.write(file, own)


@pytest.mark.parametrize("reason", ["duration", "idle"])
def test_why_a_session_was_ended_is_explained(world: World, reason: str) -> None:
    jail = "/etc/jailssh/jails/ended.conf"
    setting = {"duration": "max_duration", "idle": "idle_timeout"}[reason]
    world.host.write(jail, f"plugins = shell\n[limits]\n{setting} = 1s\n")
    world.adduser("ended", "ended")
    assert world.client.ssh("ended", "sleep 600", timeout=60).code != 0
    (end,) = [one for one in world.last_login("ended") if one[fields.EVENT] == "session-end"]
    assert end[fields.REASON] == reason
    found = facts(world, "explain", "--from-journal", end[fields.SESSION])
    assert (found["record"]["event"], found["record"]["ended"]) == ("session-start", reason)
    assert found["happened"][1] == f"[limits] {setting} = 1s  ({jail}:3): change it there, then: jailssh apply"
