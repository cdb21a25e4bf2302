"""Keys that a directory has, asked by SSSD's program: what it says, and why it says nothing."""

from __future__ import annotations

import pytest

from jailssh.core.errors import HostError
from jailssh.doctor import keys
from jailssh.doctor.case import Case
from jailssh.host import process
from jailssh.host.paths import Layout
from jailssh.host.process import Completed
from jailssh.services import sshd
from jailssh.users import fetched


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "exit status 1"),
        ("(2026) sss_ssh: debug\nError looking up public keys\n", "Error looking up public keys"),
        ("a\x1b[2J", r"a\x1b[2J"),
    ],
)
def test_why_there_are_none_is_always_said(said: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(argv: list[str], **_: object) -> Completed:
        asked.append(argv)
        return Completed("", said, 1)

    monkeypatch.setattr(process, "run", run)
    with pytest.raises(HostError) as found:
        fetched.keys_of("ann")
    assert str(found.value) == f"keys of ann: SSSD does not give them: sss_ssh_authorizedkeys: {why}"
    assert keys._of_directory(Case(Layout("/nowhere"), "ann")) == ("", why)
    assert asked == [["sss_ssh_authorizedkeys", "ann"], [sshd.KEY_PROGRAM, "ann"]]
