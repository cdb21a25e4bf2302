"""What clients really send, and what attackers would like to send, judged by the real matcher."""

from __future__ import annotations

from typing import Any

import pytest

from tests.login.commands import OTHER_ROWS, SCP_ROWS, SFTP, SFTP_ROWS

pytestmark = pytest.mark.needs("login-program")


@pytest.mark.parametrize(("jail", "command", "expected"), SFTP_ROWS)
def test_sftp(decide: Any, jail: Any, command: Any, expected: Any) -> None:
    assert decide(jail, command) == expected


@pytest.mark.parametrize(("jail", "command", "expected"), SCP_ROWS)
def test_scp(decide: Any, jail: Any, command: Any, expected: Any) -> None:
    assert decide(jail, command) == expected


@pytest.mark.parametrize(("jail", "command", "expected"), OTHER_ROWS)
def test_git_and_others(decide: Any, jail: Any, command: Any, expected: Any) -> None:
    assert decide(jail, command) == expected


@pytest.mark.parametrize("command", ["ls -l | wc", "echo $HOME; id", "a 'b", "*", "'*' x", "true", ""])
def test_a_shell_gets_the_command_unsplit(decide: Any, command: Any) -> None:
    assert decide("shell", command) == ("shell.command", ["bash", "-c", command])


def test_other_rules_come_before_the_shell(decide: Any) -> None:
    assert decide("shell", "internal-sftp") == SFTP
    assert decide("shell", "internal-sftp; id") == ("shell.command", ["bash", "-c", "internal-sftp; id"])
