"""The journal's words: the C program uses no field, event or reason that the list does not have."""

from __future__ import annotations

import re
from pathlib import Path

from jailssh.core import journal_fields as fields

LOGIN = Path(__file__).resolve().parents[2] / "jailssh/login"
RELAY = LOGIN.parent / "relay"
SOURCE = "\n".join(path.read_text() for path in sorted(LOGIN.rglob("*.[ch]")))
RELAYED = "\n".join(path.read_text() for path in sorted(RELAY.rglob("*.[ch]")))


def test_fields() -> None:
    used = set(re.findall(r'"(JAILSSH_[A-Z_]+)"', SOURCE))
    relayed = set(re.findall(r"(JAILSSH_[A-Z_]+)=", RELAYED))
    assert used and relayed
    assert (used | relayed) - set(fields.FIELDS) == set()


def test_events_and_their_ids() -> None:
    names = dict(re.findall(r'#define (EVENT_[A-Z]+) "([a-z-]+)"', SOURCE + RELAYED))
    ids = dict(re.findall(r'#define (EVENT_[A-Z]+)_ID "([0-9a-f]{32})"', SOURCE + RELAYED))
    assert set(fields.RELAYED) <= set(names.values())
    assert names
    assert {names[key]: ids[key] for key in names} == {name: fields.MESSAGE_IDS[name] for name in names.values()}
    assert len(set(fields.MESSAGE_IDS.values())) == len(fields.MESSAGE_IDS)


LISTED = re.findall(r'\bX\((\w+), "([a-z-]+)", (TELL_\w+), ([4-6])\)', (LOGIN / "reason.h").read_text())


def test_reasons() -> None:
    assert {code for _, code, _, _ in LISTED} - set(fields.REASONS) == set()


def test_every_reason_is_used() -> None:
    used = set(re.findall(r"\bR_(\w+)", SOURCE)) - {"NONE", ""}
    assert used == {name for name, _, _, _ in LISTED}


def test_a_reason_has_one_priority_and_refusals_tell_nothing() -> None:
    priorities: dict[str, set[str]] = {}
    for _, code, audience, priority in LISTED:
        priorities.setdefault(code, set()).add(priority)
        assert (priority == "4") == (audience in ("TELL_REFERENCE", "TELL_COMMAND")), code
    assert [code for code, found in priorities.items() if len(found) > 1] == []


def test_nothing_is_decided_by_a_reason_as_text() -> None:
    others = "\n".join(path.read_text() for path in sorted(LOGIN.rglob("*.[ch]")) if path.name != "reason.h")
    for code in {code for _, code, _, _ in LISTED if "-" in code}:
        assert f'"{code}"' not in others
    assert re.findall(r"\bstrn?cmp\((?:reason|detail|why|part\[\d\])\b.*", others) == []
