"""Shared accounts: the name of the key that logged in, and the key's own plan."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
import subprocess
import threading
from collections.abc import Callable, Sequence

import pytest

from jailssh.plan import codec
from tests.harness.certificates import PARTS, Certificate, encoded, key_blob, key_line, string
from tests.root import key_lab, login_lab
from tests.root.key_lab import (
    ALICE,
    BOB,
    CA,
    OTHER_CA,
    USUAL,
    assert_named,
    cleaned,
    key,
    login,
    own_plan,
    put,
    roster,
    tell,
)
from tests.root.login_lab import (
    OTHER_UID,
    PLANS,
    UID,
    Done,
    Lab,
    assert_ended,
    assert_refused,
    encode_unchecked,
    record,
)

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab
every_shared, shared = key_lab.every_shared, key_lab.shared


def assert_unknown(done: Done, reason: str = "key-unknown") -> str:
    row = assert_refused(done, reason)
    assert (row["JAILSSH_USER"], row["JAILSSH_JAIL"], row["JAILSSH_UID"]) == ("u", "lab", str(UID)), row
    assert "JAILSSH_KEY" not in row
    return row["MESSAGE"]


@pytest.mark.parametrize(("number", "name", "serial"), [(1, "alice", ALICE), (2, "alice", ALICE), (3, "bob", BOB)])
def test_a_key(every_shared: Lab, number: int, name: str, serial: str) -> None:
    tell(every_shared, key_line(number))
    assert_named(login(every_shared), name, serial)


def test_the_environment(every_shared: Lab) -> None:
    tell(every_shared, key_line(3))
    facts = login(every_shared, "probe facts surroundings fds").facts
    assert [row for row in facts.environment() if "KEY" in row or "PLAN" in row or "AUTH" in row] == [
        "JAILSSH_KEY",
        "PLAN",
    ]
    assert (facts.environment()["JAILSSH_KEY"], facts.environment()["PLAN"]) == ("bob", BOB)
    assert [entry[:2] for entry in facts.all("fd")] == ["0|", "1|", "2|"]


def test_no_plan_has_another_name_for_the_key(shared: Lab) -> None:
    parsed = codec.decode(own_plan(BOB))
    rows = []
    for row in parsed.records:
        rows.append(row)
        if row.verb == "env" and row.args[0] == "PLAN":
            rows.append(record("env", "JAILSSH_KEY", "alice"))
        if row.verb == "operands":
            rows.append(record("rule-env", "JAILSSH_KEY", "alice"))
    put(shared, f"{UID}.{BOB}", codec.encode(dataclasses.replace(parsed, records=tuple(rows))))
    tell(shared, key_line(3))
    assert login(shared, "probe facts surroundings").out.count(b"JAILSSH_KEY=") == 1
    shared.records()
    assert login(shared, "probe facts surroundings").facts.environment()["JAILSSH_KEY"] == "bob"


def test_an_account_that_is_not_shared(every_lab: Lab) -> None:
    with cleaned(every_lab):
        tell(every_lab, key_line(1))
        done = login(every_lab)
        assert_ended(done, 7)
        assert not [row for row in done.records if "JAILSSH_KEY" in row]


@pytest.mark.parametrize("kind", PARTS)
def test_a_certificate_of_each_type(shared: Lab, kind: str) -> None:
    tell(shared, Certificate(kind=kind).line())
    assert_named(login(shared), "alice", ALICE)


@pytest.mark.needs("ssh")
@pytest.mark.parametrize("options", ["ed25519", "rsa", "ecdsa -b 256", "ecdsa -b 384", "ecdsa -b 521"])
def test_real_ones(shared: Lab, tmp_path: pathlib.Path, options: str) -> None:
    def keygen(*words: str) -> None:
        subprocess.run(["ssh-keygen", "-q", *words], cwd=tmp_path, check=True, timeout=60)

    for name in ("ca", "user"):
        keygen("-N", "", "-f", name, "-t", *options.split())
    keygen("-s", "ca", "-I", "id", "-n", "nobody,bob,alice", "user.pub")
    blobs = {name: (tmp_path / f"{name}.pub").read_text().split()[1] for name in ("ca", "user")}
    rows = [record("key", "alice", ALICE, blobs["user"]), record("authority", "alice", ALICE, "alice", blobs["ca"])]
    put(shared, str(UID), roster(*rows, record("authority", "bob", BOB, "bob", blobs["ca"])))
    tell(shared, "publickey " + " ".join((tmp_path / "user.pub").read_text().split()[:2]) + "\n")
    assert_named(login(shared), "alice", ALICE)
    tell(shared, "publickey " + " ".join((tmp_path / "user-cert.pub").read_text().split()[:2]) + "\n")
    assert_named(login(shared), "bob", BOB)


@pytest.mark.parametrize(
    ("principals", "name", "serial"),
    [
        ([b"alice", b"bob"], "alice", ALICE),
        ([b"bob", b"alice"], "bob", BOB),
        ([b"x", b"", b"bob", b"alice"], "bob", BOB),
        ([b"robert", b"alice"], "alice", ALICE),  # robert is another authority's
        ([b"x"] * 255 + [b"alice"], "alice", ALICE),
    ],
)
def test_the_first_principal_counts(shared: Lab, principals: Sequence[bytes], name: str, serial: str) -> None:
    tell(shared, Certificate(principals).line())
    assert_named(login(shared), name, serial)


BAD_CERTIFICATES = {
    "a host's": Certificate(role=2),
    "of no role": Certificate(role=0),
    "of another authority": Certificate(authority=OTHER_CA),
    "a principal of another authority": Certificate([b"robert"]),
    "an authority of no name": Certificate(authority=key_blob(1)),
    "no principal": Certificate([]),
    "a longer authority": Certificate(authority=CA + b"\0"),
    "a shorter authority": Certificate(authority=CA[:-1]),
    "no authority": Certificate(authority=b""),
    "a NUL behind the principal": Certificate([b"alice\0"]),
    "a NUL in the principal": Certificate([b"alice\0bob"]),
    "a longer principal": Certificate([b"alice2"]),
    "a shorter principal": Certificate([b"alic"]),
    "another case": Certificate([b"Alice"]),
    "257 principals": Certificate([b"alice"] + [b"x"] * 256),
    "10,000 principals": Certificate([b"x"] * 9999 + [b"alice"]),
    "principals that are cut": Certificate(principals_field=string(b"alice") + string(b"bob")[:-1]),
    "principals with a huge length": Certificate(principals_field=string(b"alice") + b"\xff\xff\xff\xff"),
    "something behind": Certificate(tail=b"\0"),
    "a string behind": Certificate(tail=string(b"")),
    "a part of the key too many": Certificate(parts=[b"k" * 32, b"k"]),
    "a part of the key too few": Certificate(kind="ssh-rsa", parts=[b"\1\0\1"]),
    "a key of huge length": Certificate(parts=[b""], tail=b"\xff" * 4),
}


@pytest.mark.parametrize("what", BAD_CERTIFICATES)
def test_a_bad_certificate(shared: Lab, what: str) -> None:
    tell(shared, BAD_CERTIFICATES[what].line())
    assert "-cert-v01@openssh.com" in assert_unknown(login(shared))


def test_a_certificate_that_is_cut(shared: Lab) -> None:
    whole = Certificate()
    for cut in (*range(1, 12), 100, 200, len(whole.blob()) - 1, len(whole.blob())):
        tell(shared, whole.line(cut))
        assert_unknown(login(shared))


def test_what_a_line_claims(shared: Lab) -> None:
    line = Certificate().line()
    changes = [("25519-cert", "25518-cert"), (" ssh-ed25519", " ssh-rsa"), ("-cert-v01@openssh.com", ""), ("-cert", "")]
    changes += [
        (" AAAA", " AAA*"),
        (" AAAA", " AAA="),
        (" AAAA", " AAAAAAAA"),
        (" AAAA", " "),
        ("\n", "=\n"),
        ("\n", "A\n"),
    ]
    for old, new in changes:
        wrong = line.replace(old, new)
        assert wrong != line
        tell(shared, wrong)
        assert_unknown(login(shared))


BAD_TEXTS = {
    "no line": "\n",
    "a key of no name": key_line(9),
    "another method": key_line(1).replace("publickey", "hostbased"),
    "a password": "password\n",
    "a method that begins so": key_line(1).replace("publickey", "publickey2"),
    "a method behind a blank": " " + key_line(1),
    "no type": "publickey\n",
    "no key": "publickey ssh-ed25519\n",
    "an empty key": "publickey ssh-ed25519 \n",
    "two blanks": key_line(1).replace("publickey ", "publickey  "),
    "a part of the key": key_line(1)[:-5] + "\n",
    "more than the key": key_line(1)[:-1] + "AAAA\n",
    "a NUL": key_line(1) + "\0",
    "a NUL between": key_line(1).replace(" ssh", "\0ssh"),
    "an unknown key behind a known one": key_line(1) + key_line(9),
    "an unknown key before a known one": key_line(9) + key_line(1),
    "an unknown certificate behind a known one": Certificate().line() + Certificate(authority=OTHER_CA).line(),
}


@pytest.mark.parametrize("what", BAD_TEXTS)
def test_a_bad_text(shared: Lab, what: str) -> None:
    tell(shared, BAD_TEXTS[what])
    message = assert_unknown(login(shared))
    assert "AAAA" not in message


def test_several_keys(every_shared: Lab) -> None:
    password = "password\n" + key_line(2) + "keyboard-interactive/pam\n"
    cut = key_line(1)[:-1]
    for good in (
        key_line(1) * 2,
        key_line(1) + key_line(2),
        password,
        Certificate().line() + cut,
        cut,
        f"{cut} more\n",
    ):
        tell(every_shared, good)
        assert_named(login(every_shared), "alice", ALICE)
    for bad in (key_line(1) + key_line(3), key_line(3) + key_line(1), key_line(3) + Certificate().line()):
        tell(every_shared, bad)
        assert_unknown(login(every_shared), "key-ambiguous")


def test_one_name_with_two_plans(shared: Lab) -> None:
    put(shared, str(UID), roster(key("alice", ALICE, 1), key("alice", BOB, 2)))
    tell(shared, key_line(1) + key_line(2))
    assert_unknown(login(shared), "key-ambiguous")


def make_fifo(path: pathlib.Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)
    os.chown(path, UID, UID)


def make_link(path: pathlib.Path) -> None:
    path.rename(path.with_name("sshauth.target"))
    path.symlink_to("sshauth.target")
    os.lchown(path, UID, UID)


def make_directory(path: pathlib.Path) -> None:
    path.unlink()
    path.mkdir()
    os.chown(path, UID, UID)


def make_device(path: pathlib.Path) -> None:
    path.unlink()
    os.mknod(path, 0o020600, os.makedev(1, 5))
    os.chown(path, UID, UID)


FILES: dict[str, Callable[[pathlib.Path], object]] = {
    "missing": pathlib.Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "a symbolic link": make_link,
    "root's": lambda path: os.chown(path, 0, 0),
    "another account's": lambda path: os.chown(path, OTHER_UID, OTHER_UID),
    "linked twice": lambda path: os.link(path, path.with_name("sshauth.2")),
    "a fifo": make_fifo,
    "a directory": make_directory,
    "a device": make_device,
    "readable by others": lambda path: path.chmod(0o604),
    "writable by the group": lambda path: path.chmod(0o620),
    "not readable at all": lambda path: path.chmod(0o000),
    "too long": lambda path: os.truncate(path, (256 << 10) + 1),
    "huge": lambda path: os.truncate(path, 1 << 40),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_is(every_shared: Lab, what: str) -> None:
    path = tell(every_shared, key_line(1))
    FILES[what](path)
    try:
        assert_unknown(login(every_shared))
    finally:
        if path.is_dir():
            path.rmdir()


def test_a_long_file(shared: Lab) -> None:
    text = key_line(1)
    tell(shared, text + "password\n" * ((256 << 10) // 9 - len(text)))
    assert_named(login(shared), "alice", ALICE)


@pytest.mark.parametrize(
    "path",
    [
        "/home/u/sshauth.aB3dE5fG7hI9jK1", "/tmp/sshauth.aB3dE5fG7hI9jK", "/tmp/sshauth.aB3dE5fG7hI9jK12",
        "/tmp/sshauth.aB3dE5fG7hI/jK1", "/tmp/sshauth.aB3dE5fG7h..jK1", "/tmp/x/sshauth.aB3dE5fG7hI9jK1",
        "tmp/sshauth.aB3dE5fG7hI9jK1", "/tmp/sshauth.", "/tmp//sshauth.aB3dE5fG7hI9jK1", "",
    ],
)  # fmt: skip
def test_a_path_elsewhere(shared: Lab, path: str) -> None:
    tell(shared, key_line(1))
    shared.make_dir("/tmp/x", 0o777)
    if path.startswith("/") and shared.path(path).parent.is_dir() and not path.endswith("."):
        tell(shared, key_line(1), path=path)
    assert "ExposeAuthInfo" in assert_unknown(login(shared, path=path))
    assert "ExposeAuthInfo" in assert_unknown(shared.login("probe exit 7"))
    shared.path("/home/u/sshauth.aB3dE5fG7hI9jK1").unlink(missing_ok=True)


PLANS_OF_BOB: dict[str, tuple[str, Callable[[], bytes]]] = {
    "another account's": ("plan of another user", lambda: own_plan(BOB, uid=OTHER_UID)),
    "of another serial": ("not the plan that the roster names", lambda: own_plan(ALICE)),
    "a roster": ("not the plan that the roster names", lambda: roster(*USUAL, serial=BOB)),
    "cut": ("does not end", lambda: own_plan(BOB)[:-4]),
    "empty": ("Invalid argument", lambda: b""),
}


@pytest.mark.parametrize("what", PLANS_OF_BOB)
def test_the_plan_of_a_key(shared: Lab, what: str) -> None:
    why, data = PLANS_OF_BOB[what]
    put(shared, f"{UID}.{BOB}", data())
    tell(shared, key_line(3))
    row = assert_refused(login(shared), "plan-bad")
    assert why in row["MESSAGE"] or "truncated" in row["MESSAGE"]
    assert (row["JAILSSH_KEY"], row["JAILSSH_USER"]) == ("bob", "u")
    tell(shared, key_line(1))
    assert_named(login(shared), "alice", ALICE)


def test_the_plan_of_a_key_is_missing(every_shared: Lab) -> None:
    every_shared.path(f"{PLANS}/{UID}.{BOB}").unlink()
    tell(every_shared, key_line(3))
    row = assert_refused(login(every_shared), "plan-bad")
    assert (row["JAILSSH_KEY"], "plan of the key is missing" in row["MESSAGE"]) == ("bob", True)


def test_the_plan_of_a_key_that_others_can_change(every_shared: Lab) -> None:
    tell(every_shared, key_line(3))
    path = every_shared.path(f"{PLANS}/{UID}.{BOB}")
    for change in (lambda: path.chmod(0o620), lambda: os.chown(path, UID, UID)):
        put(every_shared, path.name, own_plan(BOB))
        change()
        assert_refused(login(every_shared), "plan-bad")


def test_a_path_for_a_serial(shared: Lab) -> None:
    row = record("key", "alice", "x/../4242", encoded(key_blob(1)))
    head = codec.decode(roster(*USUAL))
    put(shared, str(UID), encode_unchecked(dataclasses.replace(head, records=(*head.records[:3], row))))
    tell(shared, key_line(1))
    assert_refused(login(shared), "plan-bad")


def test_publishing_anew_all_the_time(every_shared: Lab) -> None:
    stop = threading.Event()

    def publish() -> None:
        before = BOB
        for number in itertools.count():
            serial = f"{number:016x}"
            put(every_shared, f"{UID}.{serial}", own_plan(serial))
            put(every_shared, str(UID), roster(key("bob", serial, 3), serial=serial))
            every_shared.path(f"{PLANS}/{UID}.{before}").unlink()
            before = serial
            if stop.wait(0.004):
                return

    tell(every_shared, key_line(3))
    thread = threading.Thread(target=publish)
    thread.start()
    try:
        seen = set()
        for _ in range(30):
            done = login(every_shared)
            assert_ended(done, 7)
            assert {row["JAILSSH_KEY"] for row in done.records} == {"bob"}
            seen.add(done.records[0]["JAILSSH_PLAN"])
        assert len(seen) > 5
    finally:
        stop.set()
        thread.join()


def test_no_room_in_tmp_is_what_the_record_says(shared: Lab) -> None:
    run = shared.host.run
    run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", "/tmp"], check=True)
    try:
        assert "ExposeAuthInfo" in assert_unknown(shared.login("probe exit 7"))
        run(["sh", "-c", "cat /dev/zero >/tmp/full 2>/dev/null; true"], check=True)
        for done in (shared.login("probe exit 7"), login(shared, path=key_lab.AUTH)):
            assert "/tmp is full" in assert_unknown(done)
    finally:
        run(["umount", "/tmp"], check=True)
