"""Who is asked for a bundle has so long and no longer, also if it sends something all the time."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from jailssh.core.errors import HostError
from jailssh.fleet import fetch


@pytest.mark.parametrize("command", [["yes"], ["sleep", "60"]])
def test_it_ends_in_time(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # A second for the first part, which is past by the second.
    times = itertools.chain([0.0], itertools.repeat(2.0))
    monkeypatch.setattr(fetch, "time", SimpleNamespace(monotonic=lambda: next(times)))
    with pytest.raises(HostError, match="did not end in time"):
        fetch._read(command, {}, None, 1.0)
