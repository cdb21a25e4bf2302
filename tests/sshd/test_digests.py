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


DROP = "drop"
DROP_JAIL = "plugins = sftp scp rsync\ntransfers = yes\n[rsync]\nwrite = ~\n"


@pytest.fixture(scope="module")
def drop(world: World) -> Iterator[None]:
    """An account that uploads with rsync and the old scp; what is covered in its home is there as well."""
    world.host.write(f"/etc/jailssh/jails/{DROP}.conf", DROP_JAIL)
    world.adduser(DROP, DROP)
    world.client.run(["mkdir", "-p", "tree/deep"], check=True)
    for name in ("tree/a b", "tree/deep/größe", "scp-file", "sftp-file"):
        world.client.write(name, DATA + name.encode())
    yield
    world.jailssh("deluser", DROP, "--yes")
    world.host.run(["rm", f"/etc/jailssh/jails/{DROP}.conf"], check=True)


def ended(world: World) -> None:
    """Wait for the record of the end, which the client does not wait for, and record."""
    world.host.wait_until(
        lambda: any(r["JAILSSH_EVENT"] == "session-end" for r in world.last_login(DROP)), "the session ends"
    )
    world.jailssh("transfers", "--record")


def dropped(world: World) -> dict[str, dict[str, Any]]:
    lines = world.jailssh("transfers", DROP, "--json").stdout.splitlines()
    return {row["file"].removeprefix(f"/home/{DROP}/"): row for row in map(json.loads, lines)}


def hash_of(name: str) -> str:
    return hashlib.sha256(DATA + name.encode()).hexdigest()


def test_what_rsync_and_the_old_scp_wrote_is_found_by_its_change(world: World, drop: None) -> None:
    assert dropped(world) == {}
    world.host.run(["sh", "-c", f"echo old >/home/{DROP}/before; chown {DROP}: /home/{DROP}/before; sleep 0.2"])
    world.client.rsync(["-a", "--mkpath", "tree/", f"{DROP}@host:in/"], check=True)
    pushed = world.last_login(DROP)[0]["JAILSSH_SESSION"]
    ended(world)
    rows = dropped(world)
    assert set(rows) == {"in/a b", "in/deep/größe"}
    assert all((row["session"], row["found"]) == (pushed, "ctime") for row in rows.values())
    assert {row["sha256"] for row in rows.values()} == {hash_of("tree/a b"), hash_of("tree/deep/größe")}
    world.host.run(["sleep", "0.2"], check=True)
    world.client.scp(["-O", "scp-file", f"{DROP}@host:by-scp"], check=True)
    world.client.sftp(DROP, "put sftp-file by-sftp\n")
    ended(world)
    new = {name: row for name, row in dropped(world).items() if name not in rows}
    assert {name: (row["sha256"], row["found"]) for name, row in new.items()} == {
        "by-scp": (hash_of("scp-file"), "ctime"), "by-sftp": (hash_of("sftp-file"), "log")
    }  # fmt: skip
    # What was not written to is not told again, and a download finds nothing.
    world.client.scp(["-O", f"{DROP}@host:by-scp", "down"], check=True)
    ended(world)
    assert set(dropped(world)) == {*rows, *new}


def test_what_hides_an_upload_is_told(world: World, drop: None) -> None:
    home = f"/home/{DROP}"
    world.host.run(["sleep", "0.2"], check=True)
    before = set(dropped(world))
    world.client.scp(["-O", "scp-file", f"{DROP}@host:touched"], check=True)
    world.client.scp(["-O", "scp-file", f"{DROP}@host:gone"], check=True)
    script = (f"cd {home}; mkdir shut; mv touched moved; touch -d 2001-01-01 moved; cp moved shut/x; chmod 0 shut;"
              "rm gone; ln -s /etc/passwd link; mkfifo fifo; truncate -s 1T sparse; cp moved dark;"
              "chmod 0 dark")  # fmt: skip
    world.host.run(["sh", "-c", script], user=DROP, check=True)
    ended(world)
    new = {name: row.get("why", row.get("sha256")) for name, row in dropped(world).items() if name not in before}
    assert new == {"moved": hash_of("scp-file"), "shut": "unreadable", "sparse": "too-large", "dark": "unreadable"}
    world.host.run(["sh", "-c", f"chmod 700 {home}/shut; rm -r {home}/shut {home}/sparse"], check=True)


def test_a_home_of_too_many_files_is_looked_through_no_further(world: World, drop: None) -> None:
    deep = "/".join(["d"] * 120)
    world.host.run(
        ["sh", "-c", f"sleep 0.2; cd /home/{DROP}; mkdir -p {deep}; echo x >{deep}/file"], user=DROP, check=True
    )
    world.client.scp(["-O", "scp-file", f"{DROP}@host:seen"], check=True)
    ended(world)
    rows = dropped(world)
    assert rows["seen"]["sha256"] == hash_of("scp-file")
    assert any(row.get("why") == "not-searched" for row in rows.values())
    world.host.run(["rm", "-r", f"/home/{DROP}/d"], check=True)
