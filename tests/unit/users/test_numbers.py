"""The uids that many new accounts get."""

from __future__ import annotations

import pytest

from jailssh.core.errors import JailsshError
from jailssh.jail.this_host import THIS_HOST
from jailssh.users.numbers import Numbers


def test_each_free_one_is_given_once_and_then_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    limits = {"UID_MIN": "1000", "UID_MAX": "1010"}
    monkeypatch.setattr("jailssh.services.shadow.login_defs", lambda key, _: limits[key])
    monkeypatch.setattr("jailssh.host.accounts.local_uids", lambda: {"ann": 1008})
    monkeypatch.setattr("jailssh.host.accounts.local_gids", lambda: {1002})

    def find_uid(uid: int) -> object:
        asked.append(uid)
        # A directory service has one that no file of this host names.
        return object() if uid == 1005 else None

    monkeypatch.setattr("jailssh.host.accounts.find_uid", find_uid)
    numbers = Numbers(THIS_HOST, [1001])
    assert [numbers.next() for _ in range(7)] == [1009, 1010, 1000, 1003, 1004, 1006, 1007]
    asked.clear()
    # A list of a hundred thousand is told so a hundred thousand times, and quickly.
    for _ in range(100_000):
        with pytest.raises(JailsshError, match="none is free between 1000 and 1010"):
            numbers.next()
    assert asked == []
