"""What a record tells, in each form in which it is shown; hostile records too."""

from __future__ import annotations

import csv
import io
import json

import pytest

from jailssh.audit.logbook import CSV_HEAD, LOGINS, Entry, Query, Table, counts, entry, harmless
from jailssh.core.errors import UsageError
from tests.unit.audit.journal_tools import Value, record

PEER = "192.0.2.7 4000 192.0.2.1 22"
OWNERS = {"alice": 1000, "git": 1001}
CLOSED = 'close "/h/a" bytes read 1 written 2'


def table(one: Entry) -> list[str]:
    return [line.split(None, 2)[2] for line in Table(OWNERS.get).lines(one)]


def as_csv(one: Entry) -> list[dict[str, str]]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEAD)
    writer.writerows(one.csv())
    assert len(text.getvalue().splitlines()) == 1 + len(one.csv())
    return list(csv.DictReader(io.StringIO(text.getvalue())))


SHOWN: dict[str, tuple[dict[str, Value], list[str]]] = {
    "command": ({"event": "session-start", "COMMAND": "scp -t /"}, ["scp -t /"]),
    "interactive": ({"event": "session-start"}, ["interactive login"]),
    "end": ({"event": "session-end", "EXIT": "1", "DURATION_USEC": "2500000"}, ["exit 1 after 2.5 s"]),
    "ended": (
        {"event": "session-end", "EXIT": "1", "DURATION_USEC": "1", "REASON": "idle"},
        ["exit 1 after 0.0 s: idle (the idle limit of the session is reached)"],
    ),
    "denied": (
        {"event": "denied", "COMMAND": "ls", "REASON": "command-not-allowed"},
        ["ls: command-not-allowed (no rule allows this program)"],
    ),
    "no login": (
        {"event": "denied", "REASON": "not-interactive"},
        ["not-interactive (the account has no interactive login)"],
    ),
    "refused": ({"event": "refused", "REASON": "expired"}, ["expired (the account is expired)"]),
    "a reason of later": ({"event": "refused", "REASON": "moon", "MESSAGE": "alice: moon"}, ["moon"]),
    "one file": ({"event": "file-operation", "MESSAGE": f"alice: {CLOSED}"}, [CLOSED]),
    "one file of a key": ({"event": "file-operation", "KEY": "bob", "MESSAGE": f"alice (bob): {CLOSED}"}, [CLOSED]),
    "files in their order": (
        {"event": "file-operation", "FILE": [b"10 c", b"2 b", f"1 {CLOSED}".encode()], "MESSAGE": "3 operations"},
        [CLOSED, "b", "c"],
    ),
    "files lost": ({"event": "file-operation", "MESSAGE": "x", "LOST": "7"}, ["7 lines before it are lost", "x"]),
    "the set-up": ({"event": "setup-changed", "MESSAGE": "alice is in sftp-only"}, ["alice is in sftp-only"]),
}


@pytest.mark.parametrize(("fields", "what"), SHOWN.values(), ids=SHOWN)
def test_what_is_shown(fields: dict[str, Value], what: list[str]) -> None:
    one = entry(record(**fields))  # type: ignore[arg-type]
    assert one.what() == what
    assert len(as_csv(one)) == max(1, len(one.files))


def test_the_forms() -> None:
    one = entry(record("denied", USER="git", uid="1001", KEY="bob", PEER=PEER, COMMAND="ls", REASON="hours",
                       SESSION="8b7f0fbaf244bb29", RULE="lab.x", EXIT="126"))  # fmt: skip
    (line,) = Table(OWNERS.get).lines(one)
    assert line.split(None, 7)[2:] == ["denied", "git/bob", "sftp-only", "192.0.2.7", "ls:", line.split(None, 7)[7]]
    assert one.facts() == {
        "time": one.time, "event": "denied", "user": "git", "uid": 1001, "key": "bob", "jail": "sftp-only",
        "peer": PEER, "command": "ls", "reason": "hours", "session": "8b7f0fbaf244bb29", "rule": "lab.x", "exit": 126,
        "meaning": "the account does not allow logins at this time",
    }  # fmt: skip
    (row,) = as_csv(one)
    assert [row[name] for name in ("user", "uid", "key", "peer", "exit", "seconds")] == [
        "git", "1001", "bob", PEER, "126", "",
    ]  # fmt: skip


HOSTILE = b"a\nb\r\x1b[2J\x7f\xff\xc2\x9b\t'\"<script>"
TEXT_FIELDS = ("EVENT", "USER", "JAIL", "KEY", "PEER", "COMMAND", "REASON", "SESSION", "RULE", "MESSAGE")


@pytest.mark.parametrize("name", [*TEXT_FIELDS, "FILE"])
def test_no_byte_of_a_record_reaches_a_terminal_raw(name: str) -> None:
    for event in (*LOGINS, "setup-changed"):
        fields: dict[str, Value] = {"EVENT": event, name: [HOSTILE, HOSTILE] if name == "FILE" else HOSTILE}
        one = entry(record(**fields))  # type: ignore[arg-type]
        rows = [str(cell) for row in one.csv() for cell in row]
        for text in (*Table(OWNERS.get).lines(one), *rows, json.dumps(one.facts())):
            assert text.isprintable(), (event, text)
            text.encode("utf-8")  # nothing half
        told = json.dumps([one.facts(), *rows])
        assert r"a\\x0ab\\x0d\\x1b[2J\\x7f\\xff\\x9b" in told


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", " =", "＝"])
def test_csv_has_no_formula(begin: str) -> None:
    bad = f"{begin}cmd|' /C calc'!A0"
    assert harmless(bad) == f"'{bad}"
    fields: dict[str, Value] = dict.fromkeys(TEXT_FIELDS, bad)
    for event in ("denied", "file-operation"):
        (row,) = as_csv(entry(record(**{**fields, "EVENT": event})))  # type: ignore[arg-type]
        assert {value[0] for value in row.values() if "calc" in value} == {"'"}
        assert len([value for value in row.values() if "calc" in value]) >= 8
    assert harmless("a=b") == "a=b"


@pytest.mark.parametrize(
    ("sender", "fields", "expected"),
    [
        (1000, {}, True), (0, {}, True), (1001, {}, False), (65534, {}, False),
        (1000, {"UID": [b"1000", b"1001"]}, False), (0, {"UID": [b"1000", b"1001"]}, False),
        (1000, {"UID": ""}, False), (0, {"UID": ""}, True), (1000, {"_UID": [b"1000", b"0"]}, False),
    ],
)  # fmt: skip
def test_only_root_and_the_account_itself_are_believed(sender: int, fields: dict[str, Value], expected: bool) -> None:
    one = record(sender=str(sender), **fields)  # type: ignore[arg-type]
    assert counts(one) is expected
    assert Query().wants(one) is expected


def test_a_name_that_is_not_the_sender_s_is_shown_with_its_uid() -> None:
    # uid 1001 may send records about uid 1001 with the name of somebody else.
    assert table(entry(record(uid="1001")))[0].startswith("session-start   alice[1001] ")
    assert table(entry(record(uid="1000")))[0].startswith("session-start   alice ")
    assert table(entry(record(uid="1003", USER="gone")))[0].startswith("session-start   gone[1003] ")
    assert table(entry(record("setup-changed", UID="", sender="0")))[0].startswith("setup-changed   alice ")


@pytest.mark.parametrize(
    ("asked", "peer", "fits"),
    [
        ("192.0.2.7", PEER, True), ("192.0.2.0/24", PEER, True), ("192.0.2.8", PEER, False),
        ("192.0.2.7", "::ffff:192.0.2.7 1 ::1 22", True), ("2001:db8::/32", "2001:db8::7 1 ::1 22", True),
        ("fe80::/10", "fe80::1%eth0 1 fe80::2%eth0 22", True), ("::/0", PEER, False),
        ("192.0.2.7", "", False), ("192.0.2.7", "\x1b 1", False),
    ],
)  # fmt: skip
def test_the_address(asked: str, peer: str, fits: bool) -> None:
    assert Query(peers=[asked]).wants(record(PEER=peer)) is fits


@pytest.mark.parametrize("bad", ["", "192.0.2", "example.org", "192.0.2.0/33", "\x1b[2J"])
def test_an_address_that_is_none(bad: str) -> None:
    with pytest.raises(UsageError) as error:
        Query(peers=[bad])
    assert str(error.value).isprintable()


def test_what_the_journal_looks_up() -> None:
    assert Query().matches() == {"JAILSSH_EVENT": LOGINS}
    assert Query(users=["alice"], jails=["a", "b"]).matches() == {
        "JAILSSH_EVENT": LOGINS, "JAILSSH_USER": ["alice"], "JAILSSH_JAIL": ["a", "b"],
    }  # fmt: skip
    assert Query(users=["1000"]).matches()["JAILSSH_UID"] == ["1000"]
    # A name and a uid: either, which the journal cannot look up.
    mixed = Query(users=["git", "1000"])
    assert set(mixed.matches()) == {"JAILSSH_EVENT"}
    assert [mixed.wants(record(USER=user, uid=uid)) for user, uid in (("git", "1"), ("a", "1000"), ("a", "1"))] == [
        True, True, False,
    ]  # fmt: skip


def test_a_field_that_was_sent_twice_is_no_match() -> None:
    assert not Query(users=["bob"]).wants(record(USER=[b"alice", b"bob"]))
