"""The journal read record by record: in time, from its end, damaged, absent."""

from __future__ import annotations

import itertools
import os
import resource
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from jailssh.audit import summary
from jailssh.audit.logbook import counts
from jailssh.core.errors import HostError
from jailssh.host.journal import JournalRecord
from jailssh.services import journal_reader
from jailssh.services.journal_reader import Journal, JournalReader, Source, convert
from tests.unit.audit.journal_tools import BEGIN, FakeJournal, raw

HOUR = 3600


def reader(*times: float | None) -> tuple[JournalReader, FakeJournal]:
    """Return a reader of records at these hours after the beginning; None is a damaged one an hour after the last."""
    rows = [
        (BEGIN + HOUR * (n if hour is None else hour), None if hour is None else raw(SESSION=str(hour)))
        for n, hour in enumerate(times)
    ]
    journal = FakeJournal(rows)
    source: Source = journal
    return JournalReader(source, lambda record: record.get("JAILSSH_SESSION") != "13"), journal


def hours(records: list[JournalRecord]) -> list[float]:
    return [(record.time - BEGIN) / HOUR for record in records]


def test_a_record() -> None:
    found = convert(raw(COMMAND=b"a\xffb\n", FILE=[b"1 a", b"2 \xff"], JAIL="é", EXIT=b"9" * 100_000), 1_500_000)
    assert (found.time, found.get("JAILSSH_COMMAND"), found.get("JAILSSH_JAIL")) == (1.5, "a\udcffb\n", "é")
    assert found.several == {"JAILSSH_FILE": ("1 a", "2 \udcff")}
    assert found.get("JAILSSH_FILE") == ""
    assert len(found.get("JAILSSH_EXIT")) == 65536
    assert "_COMM" not in found.fields
    assert found.genuine


def test_the_fields_of_the_sums_are_all_that_they_need() -> None:
    """A record of which only these are read tells the same, also one that has a field several times or lacks one."""
    texts: tuple[tuple[str | bytes | list[bytes], ...], ...] = (
        (*summary.EVENTS, "session-end"), ("a", b"\xff"), ("7", [b"7", b"8"]), ("j", [b"j", b"k"]), ("", "k"),
        (b"7", b"0", b"9"),
    )  # fmt: skip
    rows = [
        {**raw(EVENT=event, USER=user, UID=uid, JAIL=jail, KEY=key, REASON="r", COMMAND="c"), "_UID": sender}
        for event, user, uid, jail, key, sender in itertools.product(*texts)
    ]
    rows += [{name: value for name, value in row.items() if name != "JAILSSH_JAIL"} for row in rows]
    whole, part = ([convert(row, n * 10**6, only) for n, row in enumerate(rows)] for only in ((), summary.FIELDS))
    assert [counts(one) for one in part] == [counts(one) for one in whole]
    assert len(set(map(counts, whole))) == 2
    assert summary.summarize(part) == summary.summarize(whole)
    assert all(set(one.fields) <= set(summary.FIELDS) for one in part)


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, None, [0, 1, 2, 3, 9]), (1, None, [1, 2, 3, 9]), (None, 2, [0, 1, 2]), (1, 2, [1, 2]), (4, 5, []),
        (1.5, 1.5, []), (100, None, []), (None, -1, []),
    ],
)  # fmt: skip
def test_a_time(since: float | None, until: float | None, expected: list[float]) -> None:
    low, high = (None if each is None else BEGIN + HOUR * each for each in (since, until))
    for count in (None, 1, 2, 99):
        found, _ = reader(0, 1, 2, 13, 3, 9)
        records = found.newest(count, low, high) if count else list(found.between(low, high))
        assert hours(records) == (expected[-count:] if count else expected)


def test_a_clock_that_was_set_back_for_half_an_hour() -> None:
    found, _ = reader(1, 2, 1.7, 1.9, 3)
    assert hours(list(found.between(BEGIN + HOUR, BEGIN + 1.95 * HOUR))) == [1, 1.7, 1.9]
    assert hours(found.newest(9, BEGIN + HOUR, BEGIN + 1.95 * HOUR)) == [1, 1.7, 1.9]


def test_what_is_after_the_time_is_not_read() -> None:
    found, journal = reader(*range(1000))
    assert len(list(found.between(BEGIN + 500 * HOUR, BEGIN + 502 * HOUR))) == 3
    assert journal.read <= 6
    found, journal = reader(*range(1000))
    assert len(found.newest(2, None, None)) == 2
    assert journal.read == 2


def test_the_rest_follows_the_newest_of_all() -> None:
    for times, count in itertools.product(((), (1,), (13,), (1, 2, 13)), (1, 5)):
        found, journal = reader(*times)
        found.newest(count, None, None)
        assert list(found.rest()) == []
        journal.rows.append((BEGIN + 9 * HOUR, raw()))
        journal.rows.append((BEGIN + 10 * HOUR, raw()))
        assert hours(list(found.rest())) == [9, 10]
        assert list(found.rest()) == []


def test_damaged_records_are_left_out_and_counted() -> None:
    found, _ = reader(0, None, 2, None)
    assert hours(list(found.between(None, None))) == [0, 2]
    assert found.unreadable == 2
    found, _ = reader(0, None, 2, None)
    assert hours(found.newest(5, None, None)) == [0, 2]
    assert found.unreadable == 2


def test_a_journal_that_cannot_be_read_on() -> None:
    found, journal = reader(0, 1)

    def broken(skip: int = 1) -> bool:
        raise OSError(74, "Bad message")

    journal._next = broken  # type: ignore[method-assign]
    with pytest.raises(HostError, match="journal: cannot be read on: it is damaged"):
        list(found.between(None, None))


def test_no_journal(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="journal: does not exist on this host"):
        Journal(str(tmp_path), {}, lambda record: True)


@pytest.mark.parametrize("content", [b"", b"junk" * 5000, b"LPKSHHRH" + b"\xff" * 5000])
def test_a_file_that_is_no_journal(tmp_path: Path, content: bytes) -> None:
    machine = tmp_path / "var/log/journal" / ("a" * 32)
    machine.mkdir(parents=True)
    (machine / "sys\ntem.journal").write_bytes(content)
    journal = Journal(str(tmp_path), {"JAILSSH_EVENT": ["denied"]}, lambda record: True)
    assert list(journal.records.between(None, None)) == []
    (line,) = journal.damaged
    assert "sys\\x0atem.journal: " in line
    journal.close()


@pytest.fixture
def few_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 40, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_file_for_each_of_many_accounts(tmp_path: Path, few_files: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd gives each uid files of its own: more of them than a process may open at first are read all the same."""
    folder = tmp_path / "var/log/journal" / ("0" * 32)
    folder.mkdir(parents=True)
    for number in range(60):
        (folder / f"user-{number}.journal").touch()
    with closing(Journal(str(tmp_path), {}, lambda _record: True)) as journal:
        assert len(journal.damaged) == 60, "each is empty, which is told; none is left out"
    monkeypatch.setattr(journal_reader, "_MOST_FILES", 59)
    with closing(Journal(str(tmp_path), {}, lambda _record: True)) as journal:
        assert journal.missing()[-1] == "journal: 60 files are more than can be open at once: records may be missing"
