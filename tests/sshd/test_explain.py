"""A denied login through sshd, explained from its journal record, and learned from: the whole way round."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jailssh.core import journal_fields as fields
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
        {"path": f"/home/{USER}/backup", "what": "home", "rights": "read-write", "executable": False}
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
    assert "there is none yet" in done.stderr
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
    world.jailssh("config", "check")
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
