"""SHA-256 of what was uploaded: of what is there, and a reason for everything else that an account can put there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import paramiko
import pytest

from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "journald", "login-program")

USER = "sftp-only"
HOME = f"/home/{USER}"
JAIL_FILE = f"/etc/jailssh/jails/{USER}.conf"
DATA = b"content\n" * 999
NAMES = ("a.txt", 'q" new "b', "größe\n\\x41", "-", "part")
HOSTILE = {"gone": "rm x/gone", "fifo": "rm x/fifo; mkfifo x/fifo", "link": "ln -sf /etc/passwd x/link",
           "shut": "chmod 0 x/shut", "sparse": "truncate -s 1T x/sparse", "through": "mv x y; ln -s y x"}  # fmt: skip


@pytest.fixture
def asked(world: World) -> Iterator[None]:
    world.host.write(JAIL_FILE, f"extends = {USER}\ntransfers = yes\n")
    yield
    world.host.run(["rm", JAIL_FILE], check=True)


def upload(world: World) -> None:
    transport = world.connect(USER)
    sftp = paramiko.SFTPClient.from_transport(transport)
    assert sftp
    for name in NAMES:
        with sftp.open(f"{HOME}/{name}", "wb") as file:
            file.write(DATA)
    sftp.posix_rename(f"{HOME}/part", f"{HOME}/whole")
    sftp.mkdir(f"{HOME}/x")
    for name in HOSTILE:
        with sftp.open(f"{HOME}/x/{name}", "wb") as file:
            file.write(DATA)
    with sftp.open("/tmp/kept-nowhere", "wb") as file:
        file.write(DATA)
    transport.close()
    world.host.wait_until(
        lambda: any(r["JAILSSH_EVENT"] == "session-end" for r in world.last_login(USER)), "the session ends"
    )


def told(world: World) -> dict[str, dict[str, Any]]:
    out = world.jailssh("transfers", USER, "--json").stdout
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == len({row["file"] for row in rows}), "nothing is recorded twice"
    return {row["file"]: row for row in rows}


def test_what_was_written_is_recorded_once_and_what_cannot_be_read_says_why(world: World, asked: None) -> None:
    upload(world)
    for name, act in HOSTILE.items():
        if name != "through":
            world.host.run(["sh", "-c", f"cd {HOME}; {act}"], user=USER, check=True)
    # As an account could that has the journal's socket outside of a jail: about itself.
    forged = "JAILSSH_EVENT=transfer\\nJAILSSH_USER=sftp-only\\nJAILSSH_PATH=/forged\\nMESSAGE=x\\nJAILSSH_UID="
    uid = world.uid(USER)
    send = f"printf '{forged}{uid}\\n' | setpriv --reuid {uid} --clear-groups logger --journald"
    world.host.run(["sh", "-c", send], check=True)
    world.jailssh("transfers", "--record")
    world.jailssh("transfers", "--record")
    rows = told(world)
    good = hashlib.sha256(DATA).hexdigest()
    for row in (rows[f"{HOME}/a.txt"], rows[f"{HOME}/-"], rows[f"{HOME}/whole"], rows[f"{HOME}/x/through"]):
        assert (row["sha256"], row["size"], row["jail"]) == (good, len(DATA), USER)
        assert 0 <= row["seconds"] < 60
    assert any(row.get("sha256") == good and "x41" in name for name, row in rows.items())
    why = {name: rows[f"{HOME}/x/{name}"].get("why") for name in HOSTILE}
    assert why == {"gone": "gone", "fifo": "no-file", "link": "no-file", "shut": "unreadable", "sparse": "too-large",
                   "through": None}  # fmt: skip
    assert rows["/tmp/kept-nowhere"]["why"] == "not-kept"
    assert "/forged" not in rows
    assert good in world.jailssh("transfers", USER, "--csv").stdout
    assert rows[f"{HOME}/a.txt"]["session"] == world.last_login(USER)[0]["JAILSSH_SESSION"]


def test_a_jail_that_does_not_ask_has_none(world: World) -> None:
    world.jailssh("transfers", "--record")
    assert not world.exists("/var/lib/jailssh/transfers.json")
