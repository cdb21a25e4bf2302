"""Whose subordinate ids an account's id lies in."""

from __future__ import annotations

import random
import time

from jailssh.checks.accounts import Ranges


def test_as_a_look_at_every_range_says() -> None:
    chance = random.Random(7)
    rows = [(f"u{chance.randrange(20)}", chance.randrange(1000), chance.randrange(90)) for _ in range(60)]
    ranges = Ranges(rows)
    for number in range(1100):
        wanted = {name for name, first, count in rows if first <= number < first + count}
        assert ranges.around(number) == sorted(wanted)
    assert ranges.names == {name for name, _, _ in rows}
    assert Ranges([]).around(1) == []


def test_the_time_for_many_accounts_grows_with_their_number() -> None:
    def seconds(count: int) -> float:
        ranges = Ranges((f"u{number}", 100_000 + 65_536 * number, 65_536) for number in range(count))
        began = time.process_time()
        for number in range(count):
            assert ranges.around(1000 + number) == []
        return time.process_time() - began

    seconds(1000)
    assert seconds(8000) < 40 * max(seconds(1000), 0.001), "a look at every range would take 64 times as long"
