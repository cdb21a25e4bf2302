"""What sftp and scp do with files is in the journal: with the session, and whatever the files are called."""

from __future__ import annotations

import json
import struct
import threading
import time
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


def values(record: dict[str, Any], field: str) -> list[Any]:
    """Return all values of a field."""
    found = record.get(field, [])
    return found if isinstance(found, list) else [found]


def said(records: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the log, in order."""
    found = []
    for record in records:
        numbered = [
            (int(number), line) for number, line in (each.split(" ", 1) for each in values(record, fields.FILE))
        ]
        found += [line for _, line in sorted(numbered)] or [record["MESSAGE"].split(": ", 1)[1]]
    return found


def done(records: list[dict[str, Any]]) -> list[str]:
    """Return what was done to files; without opens, of which most are left out."""
    words = [line.split(" ")[0] for line in said(records)]
    return [word for word in words if word in ("close", "rename", "remove", "mkdir", "rmdir")]


@pytest.fixture
def transport(world: World) -> Iterator[paramiko.Transport]:
    with world.connect(USER) as found:
        yield found


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_every_operation_is_in_a_record_of_the_session(
    world: World, transport: paramiko.Transport, name: bytes
) -> None:
    sftp = paramiko.SFTPClient.from_transport(transport)
    assert sftp
    path = HOME.encode() + b"/" + name
    with sftp.open(path, "wb") as file:
        file.write(b"12345")
    with sftp.open(path, "rb") as file:
        assert file.read() == b"12345"
    sftp.rename(path, path + b"2")
    sftp.remove(path + b"2")
    sftp.mkdir(path)
    sftp.rmdir(path)
    sftp.close()
    records = settled(world)
    start = world.last_login(USER)[0]
    assert done(records) == ["close", "close", "rename", "remove", "mkdir", "rmdir"]
    for record in records:
        same = (fields.SESSION, fields.USER, fields.UID, fields.JAIL, fields.PLAN, fields.PEER)
        assert {field: record[field] for field in same} == {field: start[field] for field in same}
        assert (record["PRIORITY"], record["_UID"]) == ("6", start["_UID"])
        for field in ("MESSAGE", fields.PATH, fields.NEW_PATH, fields.FILE):
            for value in values(record, field):
                assert isinstance(value, str), value
                assert value.isprintable(), value
    closed = [line for line in said(records) if line.startswith("close ")]
    assert [line.rsplit('"', 1)[1] for line in closed] == [" bytes read 0 written 5", " bytes read 5 written 0"]
    if name in (NAMES["plain"], NAMES["two words"]):
        assert path.decode() in [value for record in records for value in values(record, fields.PATH)]
        assert f"{path.decode()}2" in [value for record in records for value in values(record, fields.NEW_PATH)]


def test_no_word_of_it_reaches_the_client(world: World) -> None:
    answer = world.client.sftp(USER, "mkdir quiet\nrmdir quiet\n")
    assert (answer.code, answer.stderr) == (0, "")
    assert done(settled(world))[-2:] == ["mkdir", "rmdir"]


@pytest.mark.parametrize("user", ["sftp-only", "scp-sftp"])
def test_scp_of_today_is_logged_and_what_was_refused_too(world: World, user: str) -> None:
    answer = world.client.scp(["up.txt", f"{user}@host:logged.txt"])
    assert (answer.code, answer.stderr) == (0, "")
    wrote = [
        line for line in said(settled(world, user)) if line.startswith("close ") and not line.endswith(" written 0")
    ]
    assert [line.split('"')[1].removeprefix(f"/home/{user}/") for line in wrote] == ["logged.txt"]
    assert world.client.sftp("sftp-ro", "put up.txt refused.txt\n").code != 0
    assert any("refused.txt" in line for line in said(settled(world, "sftp-ro")))


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
    records = settled(world, "sftp-and-shell")
    assert any(line.startswith(f'open "{path}" ') for line in said(records))
    assert path in values(records[0], fields.PATH)


def journal_bytes(world: World) -> int:
    """Return how much of its files the host's journald has used: where their last objects stand."""
    at = 136  # tail_object_offset (systemd.io, "Journal File Format")
    found = world.host.run(["sh", "-c", f"for f in /run/log/journal/*/*.journal; do od -An -td8 -j{at} -N8 $f; done"])
    return sum(map(int, found.stdout.split()))


def test_many_small_files_cost_little(world: World) -> None:
    count = 2000
    make = f"mkdir many; cd many; for n in $(seq -f %05.0f 0 {count - 1}); do echo x >$n-of-some-name.txt; done"
    world.client.run(["sh", "-c", make], check=True)
    before = journal_bytes(world)
    assert world.client.sftp(USER, "put -r many\n").code == 0
    records = settled(world)
    assert len(records) <= count / 20
    assert journal_bytes(world) - before <= (4 << 20) * count / 10_000
    closed = {line.split('"')[1] for line in said(records) if line.startswith("close ")}
    assert closed == {f"{HOME}/many/{number:05}-of-some-name.txt" for number in range(count)}
    some = f"{HOME}/many/01234-of-some-name.txt"
    found = world.host.run(["journalctl", "-q", "-o", "json", f"{fields.PATH}={some}"]).stdout.splitlines()
    assert [json.loads(line)[fields.SESSION] for line in found] == [records[0][fields.SESSION]]


def packet(kind: int, *parts: bytes | int) -> bytes:
    """Return a request of the protocol, version 3: numbers, and strings with their lengths."""
    body = b"".join(
        struct.pack(">I", part) if isinstance(part, int) else struct.pack(">I", len(part)) + part for part in parts
    )
    return struct.pack(">IB", len(body) + 1, kind) + body


INIT, OPEN, REMOVE = 1, 3, 13


def test_a_flood_crowds_nothing_out(world: World, transport: paramiko.Transport) -> None:
    count, path = 30_000, f"{HOME}/precious".encode()
    world.put(path.decode(), "data", USER)
    since = time.monotonic()
    channel = transport.open_session()
    channel.invoke_subsystem("sftp")
    requests = [packet(INIT, 3)]
    requests += [packet(OPEN, number, b"%s/none-%d" % (HOME.encode(), number), 1, 0) for number in range(count)]
    requests.append(packet(REMOVE, count, path))
    sender = threading.Thread(target=channel.sendall, args=(b"".join(requests),))
    sender.start()
    with channel, channel.makefile("rb") as answers:
        for _ in requests:
            answers.read(*struct.unpack(">I", answers.read(4)))
    sender.join()
    assert world.client.ssh("sftp-ro", "id").code == 126  # another's denial, meanwhile
    records = settled(world)
    seconds = time.monotonic() - since
    assert [record[fields.EVENT] for record in world.last_login("sftp-ro")] == ["denied"]
    lines = said(records)
    assert sum(line.startswith("open ") for line in lines) == count
    removed = [record for record in records if path.decode() in values(record, fields.PATH)]
    assert f'remove name "{path.decode()}"' in said(removed)
    # journald keeps 10,000 of a unit within 30 seconds; one session must not come near to that.
    assert len(records) <= 60 + 20 * seconds + 10
    assert not any(fields.LOST in record for record in world.last_login(USER))
