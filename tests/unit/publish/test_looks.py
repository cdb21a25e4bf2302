"""What is only to be said of an account has no say in whether it is let in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jailssh.host.accounts import UnansweredError
from jailssh.jail.configuration import NotJailedError
from jailssh.publish import each


@pytest.mark.parametrize("error", [NotJailedError("ann", "left"), UnansweredError("ann", "away"), OSError(5, "odd")])
def test_a_look_that_fails_is_not_judged(error: Exception) -> None:
    def look(*_: object) -> None:
        raise error

    configuration: Any = SimpleNamespace(errors_of=lambda _: [])
    failing: Any = look
    publishing = each._Publishing(
        configuration, configuration, shared=(), withdrawn=(), named=("ann",), judged=(), look=failing
    )
    assert [*publishing.judge("ann"), *publishing._seen("ann")] == []
