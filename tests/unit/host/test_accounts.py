"""When accounts expire, as /etc/shadow says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from jailssh.host import accounts
from jailssh.jail.this_host import THIS_HOST

ROWS = {"never": "", "past": "1", "gated": "2", "zero": "0", "later": "99999", "words": "x"}


@pytest.fixture(autouse=True)
def shadow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "shadow"
    path.write_text("".join(f"{name}:*:19000:0:99999:7::{day}:\n" for name, day in ROWS.items()) + "short:*:1\n")
    monkeypatch.setattr(accounts, "_AGES_FILE", str(path))


def test_who_has_expired() -> None:
    assert [name for name in (*ROWS, "short", "nobody-there") if accounts.is_expired(name)] == ["past", "zero"]


def test_the_day_of_forwarding_ends_no_account() -> None:
    """It is there for others to read, and no other part takes it for an end: ``enter`` lets such an account in."""
    ages = accounts.password_ages("gated")
    assert ages is not None
    assert (ages.expires, ages.end) == (accounts.GATED, None)
    ends = {name: THIS_HOST.expiry(name) for name in (*ROWS, "short")}
    assert {name: end for name, end in ends.items() if end is not None} == {
        "past": 86400, "zero": 0, "later": 99999 * 86400,
    }  # fmt: skip
