"""The journal's words: the C program uses no field, event or reason that the list does not have."""

from __future__ import annotations

import re
from pathlib import Path

from jailssh.core import journal_fields as fields

LOGIN = Path(__file__).resolve().parents[2] / "jailssh/login"
SOURCE = "\n".join(path.read_text() for path in sorted(LOGIN.glob("*.[ch]")))


def test_fields() -> None:
    used = set(re.findall(r'"(JAILSSH_[A-Z_]+)"', SOURCE))
    assert used
    assert used - set(fields.FIELDS) == set()


def test_events_and_their_ids() -> None:
    names = dict(re.findall(r'#define (EVENT_[A-Z]+) "([a-z-]+)"', SOURCE))
    ids = dict(re.findall(r'#define (EVENT_[A-Z]+)_ID "([0-9a-f]{32})"', SOURCE))
    assert names
    assert {names[key]: ids[key] for key in names} == {name: fields.MESSAGE_IDS[name] for name in names.values()}
    assert len(set(fields.MESSAGE_IDS.values())) == len(fields.MESSAGE_IDS)


def test_reasons() -> None:
    refusals = set(re.findall(r'\b(?:refuse|deny)\("([a-z-]+)"', SOURCE))
    names = ("match.c", "option.c", "repository.c", "request.c", "value.c")
    matcher = "\n".join((LOGIN / name).read_text() for name in names)
    denials = set(re.findall(r'"((?:[a-z]+-)+[a-z]+)"', matcher)) - {"new-repository"}
    limits = set(re.findall(r'return [^;]*"([a-z]+)"', (LOGIN / "limit.c").read_text()))
    ends = set(re.findall(r'(?:end_session\(o, |reason = )"([a-z]+)"', (LOGIN / "outer.c").read_text()))
    assert limits == {"address", "hours", "expired"}
    assert ends == {"duration", "idle", "journal"}
    assert (limits | ends) - set(fields.REASONS) == set()
    assert refusals
    assert refusals - set(fields.REASONS) == set()
    assert denials - set(fields.REASONS) == set()
