"""Sessions and denials over time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from jailssh.audit.summary import EVENTS, Activity, summarize
from jailssh.host.journal import JournalRecord
from tests.unit.audit.journal_tools import BEGIN, record

DAY = 86400
SHOWN = "=a\\x0a\\x1b[2J\\xff"


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Kathmandu")  # 5:45: a day does not begin with an hour of UTC
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_one_pass() -> None:
    rows = [
        record("session-start", BEGIN + DAY, KEY="bob"),
        record("session-start", BEGIN, KEY="bob"),
        record("session-start", BEGIN, KEY="carol", JAIL="shell"),
        record("session-end", BEGIN + 9 * DAY),
        record("denied", BEGIN, REASON="hours"),
        record("refused", BEGIN + 2, REASON="hours"),
        record("refused", BEGIN + DAY, REASON="expired", USER="git", uid="1001", KEY="dave"),
        record("session-start", BEGIN, uid="1002"),  # another account of the same name
    ]
    found = summarize(iter(rows))
    days = ("2026-09-21", "2026-09-22")
    assert found.sessions == {(days[1], "sftp-only"): 1, (days[0], "sftp-only"): 2, (days[0], "shell"): 1}
    assert found.denials == {(days[0], "sftp-only", "hours"): 2, (days[1], "sftp-only", "expired"): 1}
    assert found.accounts == {
        ("alice", "1000"): Activity(3, 2, BEGIN, BEGIN + DAY),
        ("git", "1001"): Activity(0, 1, BEGIN + DAY, BEGIN + DAY),
        ("alice", "1002"): Activity(1, 0, BEGIN, BEGIN),
    }
    # A login that was refused has not used its key.
    assert found.keys == {("alice", "1000", "bob"): BEGIN + DAY, ("alice", "1000", "carol"): BEGIN}
    assert (found.first, found.last) == (BEGIN, BEGIN + DAY)
    assert [name for name, _ in found.busiest(2)] == [("alice", "1000"), ("alice", "1002")]
    assert found.by_jail() == {"sftp-only": 3, "shell": 1}
    assert found.by_reason() == {"hours": 2, "expired": 1}


def test_what_is_shown_is_escaped() -> None:
    bad = b"=a\n\x1b[2J\xff"
    rows = [record(event, USER=bad, JAIL=bad, KEY=bad, REASON=bad) for event in ("denied", "session-start")]
    found = summarize(rows)
    assert found.lines()[:4] == [
        "sessions by jail:", f"  {SHOWN:<30}  1", "denials and refusals by reason:", f"  {SHOWN:<30}  1",
    ]  # fmt: skip
    assert [line for line in found.lines() if not line.isprintable()] == []
    facts = json.loads(json.dumps(found.facts()))
    assert facts["sessions"] == [{"day": "2026-09-21", "jail": SHOWN, "count": 1}]
    assert facts["denials"] == [{"day": "2026-09-21", "jail": SHOWN, "reason": SHOWN, "count": 1}]
    assert facts["keys"] == [{"user": SHOWN, "uid": "1000", "key": SHOWN, "last": BEGIN}]
    (account,) = facts["accounts"]
    assert account == {"user": SHOWN, "uid": "1000", "sessions": 1, "denials": 1, "first": BEGIN, "last": BEGIN}


def test_days_are_local() -> None:
    midnight = 1_789_928_100.0  # 2026-09-21 00:00 there
    found = summarize([record(time=midnight - 0.001), record(time=midnight), record(time=midnight + 1)])
    assert [day for day, _ in found.sessions.elements()] == ["2026-09-20", "2026-09-21", "2026-09-21"]


def test_nothing() -> None:
    found = summarize([])
    assert (found.first, found.last, found.busiest(5), dict(found.sessions)) == (None, None, [], {})


def test_a_hundred_thousand_sessions_take_a_moment() -> None:
    rows: list[JournalRecord] = [
        record(EVENTS[n % 3], BEGIN + 60 * n, USER=f"u{n % 997}", uid=str(n % 997), KEY=f"k{n % 50}", REASON="hours")
        for n in range(1000)
    ]
    begin = time.process_time()
    found = summarize(row for _ in range(100) for row in rows)
    assert found.sessions.total() + found.denials.total() == 100_000
    assert time.process_time() - begin < 2
