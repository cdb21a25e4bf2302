"""What sftp and scp do with files is in the journal: with the session, and whatever the files are called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import paramiko
import pytest

from jailssh.core import journal_fields as fields
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "scp", "journald", "login-program")

USER = "sftp-only"
HOME = f"/home/{USER}"
NAMES = {
    "plain": b"a.txt",
    "two words": b"a b.txt",
    "other letters": "größe-文.txt".encode(),
    "newline": b"a\nb",
    "forged": b'x\nAug  1 00:00:00 host sshd[1]: Accepted password for root from 192.0.2.1"',
    "forged fields": b"x\nPRIORITY=0\n_UID=0\nJAILSSH_USER=root\nJAILSSH_EVENT=session-start\n",
    "terminal": b"\x1b]0;x\x07\x1b[2J",
    "C1": b"\x9b2J",
    "not UTF-8": b"\xff\xfe\x80",
    "quotes": b'a" bytes read 7 written 8',
    "quotes and words": b'a" new "b',
    "returns": b"a\rb\bc\tq",
    "formats": b"%s%n%d\\n\\",
}


def settled(world: World, user: str = USER) -> list[dict[str, Any]]:
    """Return what sftp-server said in the newest login when that has ended."""
    world.host.wait_until(
        lambda: any(record[fields.EVENT] == "session-end" for record in world.last_login(user)), "the session ends"
    )
    return [record for record in world.last_login(user) if record[fields.EVENT] == "file-operation"]


def of_files(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records without those of the session's beginning and end."""
    return [record for record in records if fields.OPERATION in record]


@pytest.fixture
def transport(world: World) -> Iterator[paramiko.Transport]:
    with world.connect(USER) as found:
        yield found


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_every_operation_is_one_record_of_the_session(world: World, transport: paramiko.Transport, name: bytes) -> None:
    sftp = paramiko.SFTPClient.from_transport(transport)
    assert sftp
    path = HOME.encode() + b"/" + name
    with sftp.open(path, "wb") as file:  # type: ignore[arg-type]
        file.write(b"12345")
    with sftp.open(path, "rb") as file:  # type: ignore[arg-type]
        assert file.read() == b"12345"
    sftp.rename(path, path + b"2")  # type: ignore[arg-type]
    sftp.remove(path + b"2")  # type: ignore[arg-type]
    sftp.mkdir(path)  # type: ignore[arg-type]
    sftp.rmdir(path)  # type: ignore[arg-type]
    sftp.close()
    records = settled(world)
    start = world.last_login(USER)[0]
    operations = of_files(records)
    assert [record[fields.OPERATION] for record in operations] == [
        "open",
        "close",
        "open",
        "close",
        "rename",
        "remove",
        "mkdir",
        "rmdir",
    ]
    for record in records:
        same = (fields.SESSION, fields.USER, fields.UID, fields.JAIL, fields.PLAN, fields.PEER)
        assert {field: record[field] for field in same} == {field: start[field] for field in same}
        assert (record["PRIORITY"], record["_UID"]) == ("6", start["_UID"])
        for field in ("MESSAGE", fields.PATH, fields.NEW_PATH):
            value = record.get(field, "")
            assert isinstance(value, str), value
            assert value.isprintable(), value
    closed = [record for record in operations if record[fields.OPERATION] == "close"]
    assert [(each.get(fields.BYTES_READ), each.get(fields.BYTES_WRITTEN)) for each in closed] == [
        ("0", "5"),
        ("5", "0"),
    ]
    if name in (NAMES["plain"], NAMES["two words"]):
        assert operations[0][fields.PATH] == path.decode()
        assert operations[4][fields.NEW_PATH] == f"{path.decode()}2"


def test_no_word_of_it_reaches_the_client(world: World) -> None:
    done = world.client.sftp(USER, "mkdir quiet\nrmdir quiet\n")
    assert (done.code, done.stderr) == (0, "")
    assert [record[fields.OPERATION] for record in of_files(settled(world))][-2:] == ["mkdir", "rmdir"]


@pytest.mark.parametrize("user", ["sftp-only", "scp-sftp"])
def test_scp_of_today_is_logged_and_what_was_refused_too(world: World, user: str) -> None:
    done = world.client.scp(["up.txt", f"{user}@host:logged.txt"])
    assert (done.code, done.stderr) == (0, "")
    wrote = [record for record in settled(world, user) if record.get(fields.BYTES_WRITTEN, "0") != "0"]
    assert [record[fields.PATH].removeprefix(f"/home/{user}/") for record in wrote] == ["logged.txt"]
    assert world.client.sftp("sftp-ro", "put up.txt refused.txt\n").code != 0
    assert any("refused.txt" in record["MESSAGE"] for record in settled(world, "sftp-ro"))


@pytest.mark.parametrize("path", ["/proc/self/fd/2", "/dev/stderr"])
def test_who_is_served_cannot_write_in_the_log(world: World, path: str) -> None:
    if world.host.run(["id", "sftp-and-shell"]).code != 0:
        world.adduser("sftp-and-shell", "sftp,shell")  # a jail with /proc
    with world.connect("sftp-and-shell") as transport:
        sftp = paramiko.SFTPClient.from_transport(transport)
        assert sftp
        with pytest.raises(OSError, match="Failure"):
            sftp.open(path, "ab")  # without looking for a place in it
        sftp.close()
    (tried, *_) = of_files(settled(world, "sftp-and-shell"))
    assert (tried[fields.OPERATION], tried[fields.PATH]) == ("open", path)
