"""A shared account in the login program's laboratory: its roster, its keys' plans, and what sshd tells of a login."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterator

import pytest

from jailssh.plan import codec, ops
from tests.harness.certificates import encoded, key_blob
from tests.root import login_lab
from tests.root.login_lab import PLANS, UID, Done, Lab, Session, assert_ended, plan, record

every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab

AUTH = "/tmp/sshauth.aB3dE5fG7hI9jK1"
ALICE, BOB = "a11ce00000000000", "b0b0000000000000"
CA, OTHER_CA = key_blob(1000), key_blob(1001)


def own_plan(serial: str, *bounds: ops.Record, uid: int = UID) -> bytes:
    """Return the plan of a key, which says which one it is in its environment."""
    parsed = codec.decode(plan(uid, middle=[record("env", "PATH", "/bin"), record("env", "PLAN", serial)]))
    place = next(number for number, row in enumerate(parsed.records) if row.verb == "image")
    records = (*parsed.records[:place], *bounds, *parsed.records[place:])
    return codec.encode(dataclasses.replace(parsed, serial=serial, records=records))


def key(name: str, serial: str, number: int) -> ops.Record:
    return record("key", name, serial, encoded(key_blob(number)))


def authority(name: str, serial: str, principal: str, blob: bytes = CA) -> ops.Record:
    return record("authority", name, serial, principal, encoded(blob))


def roster(*rows: ops.Record, serial: str = "0" * 16) -> bytes:
    head = (record("jail", "lab"), record("message", "no"), record("journal", "allow"))
    return codec.encode(codec.Plan(UID, UID, "u", serial, (*head, *sorted(rows, key=lambda row: row.verb != "key"))))


USUAL = (key("alice", ALICE, 1), key("alice", ALICE, 2), key("bob", BOB, 3), authority("alice", ALICE, "alice"),
         authority("bob", BOB, "bob"), authority("bob", BOB, "robert", OTHER_CA))  # fmt: skip


def put(lab: Lab, name: str, data: bytes) -> pathlib.Path:
    """Publish a file of plans as the product does: beside, then renamed."""
    new, path = lab.path(f"{PLANS}/new"), lab.path(f"{PLANS}/{name}")
    new.write_bytes(data)
    new.chmod(0o600)
    new.rename(path)
    return path


def put_all(lab: Lab, *bounds: ops.Record) -> None:
    for serial in (ALICE, BOB):
        put(lab, f"{UID}.{serial}", own_plan(serial, *bounds))
    put(lab, str(UID), roster(*USUAL))


def tell(lab: Lab, text: str | bytes, *, path: str = AUTH, uid: int = UID, mode: int = 0o600) -> pathlib.Path:
    """Write what sshd tells of a login."""
    file = lab.path(path)
    file.unlink(missing_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    os.chown(file, uid, uid)
    file.chmod(mode)
    return file


def login(lab: Lab, command: str = "probe exit 7", path: str = AUTH) -> Done:
    return lab.login(command, env=[f"SSH_USER_AUTH={path}".encode()])


def start(lab: Lab, path: str = AUTH) -> Session:
    return lab.start("probe sleep 60", env=[f"SSH_USER_AUTH={path}".encode()])


@contextlib.contextmanager
def cleaned(lab: Lab) -> Iterator[Lab]:
    try:
        yield lab
    finally:
        for path in [*lab.path(PLANS).glob("*.*"), *lab.path("/tmp").glob("sshauth*")]:
            path.unlink()


@pytest.fixture
def shared(set_uid_lab: Lab) -> Iterator[Lab]:
    """The usual lab with a shared account."""
    put_all(set_uid_lab)
    with cleaned(set_uid_lab):
        yield set_uid_lab


@pytest.fixture
def every_shared(every_lab: Lab) -> Iterator[Lab]:
    """Each flavour of the lab with a shared account."""
    put_all(every_lab)
    with cleaned(every_lab):
        yield every_lab


def assert_named(done: Done, name: str, serial: str) -> None:
    assert_ended(done, 7)
    for row in done.records:
        assert (row["JAILSSH_KEY"], row["JAILSSH_PLAN"], row["JAILSSH_USER"]) == (name, serial, "u"), row
