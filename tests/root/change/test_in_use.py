"""Whether an account that was just made is in use, where its home could not be made."""

from __future__ import annotations

from pathlib import Path

import pytest

from jailssh.change import undo
from jailssh.change.undo import Operation, UndoAction
from jailssh.host import accounts
from jailssh.host.accounts import AccountEntry


@pytest.mark.parametrize("home", ["absent", "file/al", "x" * 256])
def test_an_account_whose_home_cannot_be_there_can_be_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    (tmp_path / "file").touch()
    entry = AccountEntry("al", 7001, 7001, group="al", home=f"{tmp_path}/{home}", shell="/x/login", gecos="", groups=())
    monkeypatch.setattr(accounts, "find", lambda _: entry)
    for name, answer in (("is_local", True), ("has_password", False), ("processes_of", [])):
        monkeypatch.setattr(accounts, name, lambda _, answer=answer: answer)
    assert not undo.is_in_use(UndoAction(Operation.ACCOUNT, "al", (7001, 0, 0, "/x/login", "jailssh")))
