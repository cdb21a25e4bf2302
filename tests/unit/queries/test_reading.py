"""What `audit`, `transfers` and `metrics` share: the times that are read, and who tells an error."""

from __future__ import annotations

import argparse

import pytest

from jailssh.console import main
from jailssh.console.context import Context
from jailssh.core.errors import HostError, UsageError
from jailssh.host.paths import Layout
from jailssh.queries import reading


@pytest.mark.parametrize("verb", [["audit", "log"], ["audit", "report"], ["transfers"]])
def test_times_in_the_wrong_order(verb: list[str]) -> None:
    _, args = main.parse([*verb, "--since", "1h", "--until", "2h"])
    with pytest.raises(UsageError, match="--since: is later than --until"):
        reading.between(args)
    with pytest.raises(UsageError, match="--since: is later than --until"):
        main.run([*verb, "--since", "1h", "--until", "2h"])


def test_one_time_is_enough() -> None:
    assert reading.between(argparse.Namespace(since="@7", until=None)) == (7.0, None)


def test_the_process_apart_tells_its_error(capfd: pytest.CaptureFixture[str]) -> None:
    def fail(_: int) -> int:
        raise HostError("journal", "is not there")

    assert reading.apart(Context(Layout()), fail) == HostError.exit_code
    assert capfd.readouterr().err == "jailssh: journal: is not there\n"
