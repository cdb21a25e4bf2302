"""The limits of a plan as ``explain`` tells them: judged as the login program does, and written as in a jail file."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from jailssh.config import times
from jailssh.core.names import HostPath
from jailssh.plan.compile import Access, JailSettings, compile_plan
from jailssh.plan.limits import access_of, clock_text, hours_text, in_force, judge
from jailssh.plugin.api import PluginResult
from jailssh.policy.rules import Rule
from tests.login.driver import Driver
from tests.login.jails import ALICE
from tests.login.limit_cases import PEER, judged

BERLIN = ((0, 3600), (1743296400, 7200), (1761440400, 3600))
EVERYTHING = Access(
    sessions=3, key_sessions=1, duration=5400, idle=90, nice=10, bandwidth=524288, addresses=("192.0.2.0/24",),
    hours=((31, 480, 720), (31, 780, 1020), (96, 600, 720)), offsets=BERLIN, expires=1769900400,
)  # fmt: skip


@pytest.mark.needs("gcc", "sanitizers")
def test_it_is_judged_as_the_login_program_does(driver: Driver, tmp_path: Path) -> None:
    chance = random.Random(11)
    seen = set()

    def span() -> tuple[int, int]:
        first, last = sorted(chance.sample(range(1441), 2))
        return first, last

    for _ in range(40):
        middle = chance.randrange(1_600_000_000, 1_900_000_000)
        spans = [(chance.randrange(128), *span()) for _ in range(chance.randrange(3))]
        changes = sorted(middle + chance.randrange(-400_000, 400_000) for _ in range(chance.randrange(3)))
        offsets = tuple((since, chance.randrange(-57600, 57600, 900)) for since in changes)
        ends = chance.choice([0, middle + chance.randrange(-90_000, 90_000)])
        access = Access(hours=tuple(spans), offsets=offsets, expires=ends)
        edges = [since + step for since in (*changes, ends or middle) for step in (-1, 0, 1)]
        moments = [*edges, *(middle + chance.randrange(-604_800, 604_800) for _ in range(40))]
        answers = judged(driver, tmp_path, access, *((now, PEER) for now in moments))
        assert [list(judge(access, now)) for now in moments] == answers, access
        seen |= {reason for reason, _ in answers}
    assert seen == {"", "hours", "expired"}


def test_a_plan_gives_back_its_limits() -> None:
    settings = JailSettings("j", access=EVERYTHING)
    rule = Rule("r", "p", "/usr/bin/r", ("r",), operands=(0, 0, "text"))
    plan = compile_plan(ALICE, settings, [PluginResult((rule,), "r")], HostPath("/i"), ("x", bytes(8)))
    assert access_of(plan) == EVERYTHING
    assert access_of(replace(plan, records=())) == Access()


def test_the_limits_for_people() -> None:
    assert in_force(EVERYTHING) == {
        "max_sessions": "at most 3 of the account at a time",
        "max_sessions_per_key": "at most 1 of one key at a time",
        "addresses": "from 192.0.2.0/24 only",
        "hours": "mon-fri 08:00-12:00 13:00-17:00, sat sun 10:00-12:00 only, local time",
        "expires": "2026-01-31 is the last day",
        "max_duration": "a session ends after 1h30m",
        "idle_timeout": "a session ends after 1m30s without traffic",
        "bandwidth": "512 KiB per second in each direction",
        "nice": "10",
    }
    assert in_force(Access()) == {}
    assert in_force(Access(expires=1769900400 - 3600, offsets=BERLIN)) == {"expires": "at 2026-01-31 23:00, local time"}
    assert clock_text(EVERYTHING, 1769900399) == "sat 2026-01-31 23:59"
    assert clock_text(Access(), 0) == "thu 1970-01-01 00:00"


@pytest.mark.parametrize(
    "text", ["mon-fri 08:00-18:00", "daily 22:00-06:00", "fri-mon 20:00-24:00", "mon,wed 09:00-10:00; sun 09:00-11:00"]
)
def test_hours_are_written_as_they_are_read(text: str) -> None:
    spans = times.hours(text)
    assert times.hours(hours_text(spans)) == spans
