"""What is recorded of files that were written, where an account sends records of its own about itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from jailssh.audit import digests, transfers
from jailssh.audit.digests import Digest, Unhashed
from jailssh.audit.written import Session, Written, collect, session_of, untold
from jailssh.core.journal_fields import Event
from jailssh.host import accounts, journal
from jailssh.host.accounts import AccountEntry
from jailssh.host.journal import JournalRecord
from tests.unit.audit.journal_tools import record

ALICE, MALLORY = 1000, 1666
NAMES = {ALICE: "alice", MALLORY: "mallory"}
SESSION = "00112233aabbccdd"


def closed(uid: int, path: str, user: str = "") -> JournalRecord:
    return record("file-operation", uid=str(uid), USER=user or NAMES[uid], SESSION=SESSION, OPERATION="close",
                  PATH=path, BYTES_WRITTEN="7")  # fmt: skip


def renamed(uid: int, old: str, new: str) -> JournalRecord:
    return record("file-operation", uid=str(uid), USER=NAMES[uid], SESSION=SESSION, OPERATION="rename", PATH=old,
                  NEW_PATH=new)  # fmt: skip


def collected(*records: JournalRecord) -> list[Written]:
    return [each for portion in collect(records, 100) for each in portion]


def test_the_session_of_another_changes_nothing_of_its_files() -> None:
    found = collected(closed(ALICE, "/home/a"), closed(MALLORY, "/home/a"), renamed(MALLORY, "/home/a", "/home/b"))
    assert [(each.uid, each.names) for each in found] == [(ALICE, ["/home/a"]), (MALLORY, ["/home/a", "/home/b"])]


def test_a_file_that_is_renamed_for_ever_has_a_bound_of_names() -> None:
    moves = [renamed(ALICE, *pair) for _ in range(1000) for pair in (("/a", "/b"), ("/b", "/a"))]
    assert len(collected(closed(ALICE, "/a"), *moves)[0].names) <= 20


@dataclass
class Told:
    rows: list[Mapping[str, str]] = field(default_factory=list)

    def record(self, event: Event, message: str, fields: Mapping[str, str], *, priority: str = "") -> None:
        assert event == Event.TRANSFER
        self.rows.append({**fields, "MESSAGE": message})


def test_an_account_has_nothing_recorded_in_the_name_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    told, asked = Told(), {}

    def of_each(files: Mapping[int, list[object]], *_: object) -> dict[int, list[Digest]]:
        asked.update({uid: len(each) for uid, each in files.items()})
        return {uid: [Digest(sha256="0" * 64, size=7)] * len(each) for uid, each in files.items()}

    monkeypatch.setattr(journal, "record", told.record)
    monkeypatch.setattr(transfers, "of_each", of_each)
    entries = {
        uid: AccountEntry(name, uid, uid, group=name, home="/", shell="", gecos="", groups=())
        for uid, name in NAMES.items()
    }
    monkeypatch.setattr(accounts, "find_uid", entries.get)
    forged = [closed(MALLORY, "/forged", "alice"), closed(100_000, "/forged", "alice")]
    files = collected(forged[0], closed(MALLORY, "/own"), closed(ALICE, "/good"), forged[1])
    transfers.record(files, lambda each, name: ("/home", name), lambda: 0.0, {})
    assert asked == {MALLORY: 1, ALICE: 1}, "a name that is not its own first keeps nothing of an account unread"
    whose = {(row["JAILSSH_USER"], row["JAILSSH_UID"], row["JAILSSH_PATH"]) for row in told.rows}
    assert whose == {("mallory", "1666", "/own"), ("alice", "1000", "/good"), ("1666", "1666", "/forged"),
                     ("100000", "100000", "/forged")}  # fmt: skip
    assert not any(row["MESSAGE"].startswith("alice") for row in told.rows if row["JAILSSH_UID"] != "1000")


def test_the_seconds_of_an_account_are_those_of_a_whole_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def ask_each(
        entries: list[AccountEntry], question: Callable[[AccountEntry], bytes], _: float
    ) -> Iterator[tuple[AccountEntry, bytes]]:
        return ((entry, question(entry)) for entry in entries)

    monkeypatch.setattr(digests, "ask_each", ask_each)
    (tmp_path / "file").write_bytes(b"x")
    entry = AccountEntry("alice", ALICE, ALICE, group="alice", home="/", shell="", gecos="", groups=())
    spent: dict[int, float] = {MALLORY: 1e9}
    files = {ALICE: [[(str(tmp_path), "file")]]}
    assert digests.of_each(files, [entry], spent)[ALICE][0].size == 1
    assert spent[ALICE] > 0
    spent[ALICE] = digests.SECONDS
    assert digests.of_each(files, [entry], spent)[ALICE][0].why == Unhashed.MUCH


def end(rule: str, took: str) -> JournalRecord:
    return record("session-end", uid=str(ALICE), USER="alice", SESSION=SESSION, RULE=rule, DURATION_USEC=took)


def test_sessions_of_programs_that_tell_nothing_are_set_apart() -> None:
    found: list[Session] = []
    records = [end("rsync.push", "2000000"), closed(ALICE, "/a"), end("rsync.pull", "1"), end("scp.upload", "9" * 30)]
    assert list(untold(records, found)) == [records[1]]
    assert [each.ended - each.began for each in found] == [2.0, 0.0]


def test_a_change_is_told_of_the_session_that_ran_or_else_of_the_last_before() -> None:
    def ran(name: str, began: float, ended: float) -> Session:
        return Session(session=name, user="alice", uid=ALICE, jail="j", key="", began=began, ended=ended)

    sessions = [ran("long", 10, 100), ran("short", 20, 30), ran("late", 200, 300)]
    told = {when: session_of(when, sessions).session for when in (9.5, 15, 25, 50, 150, 250, 400)}
    assert told == {9.5: "long", 15: "long", 25: "short", 50: "long", 150: "short", 250: "late", 400: "late"}
