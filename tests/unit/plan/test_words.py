"""A plan as people read it: numbers in words, and what changes below the line of its rule."""

from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest

from jailssh.config import times
from jailssh.core.names import HostPath
from jailssh.plan import codec, ops, words
from jailssh.plan.compile import Access, JailSettings, compile_plan
from jailssh.plan.ops import Record
from jailssh.plugin.api import Account, PluginResult
from jailssh.policy.rules import Rule
from jailssh.policy.value_class import Kind

BERLIN = ((0, 3600), (1774746000, 7200), (1792890000, 3600))
ALICE = Account("alice", 1001, 1001, "alice", "/home/alice")
NO_LIMITS = Access()


def plan(access: Access = NO_LIMITS, *patterns: str, more: tuple[Rule, ...] = ()) -> codec.Plan:
    rule = Rule(
        "git.read", "git", "/usr/bin/git", ("git-upload-pack",), operands=(1, 1, "repository"), relative_to="/srv",
        path_roots=("/srv",), repository_patterns=patterns or ("/srv/a",),
    )  # fmt: skip
    results = [PluginResult((rule, *more), "git", home="none")]
    return compile_plan(ALICE, JailSettings("j", access=access), results, HostPath("/image"), ("x86_64", bytes(8)))


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (Record("hours", ("31", "480", "1080")), "logins mon-fri 08:00-18:00, local time"),
        (Record("hours", ("97", "0", "1440")), "logins mon sat sun 00:00-24:00, local time"),
        (Record("expires", ("1795478400",)), "no logins from 2026-11-24 00:00 UTC on"),
        (Record("expires", ("999999999999999999",)), "no logins from 999999999999999999 seconds after 1970 on"),
        (Record("idle", ("5400",)), "ends after 1h30m without traffic"),
        (Record("sessions", ("1",)), "at most 1 session of the account at a time"),
        (Record("bandwidth", ("524288",)), "512 KiB per second in each direction"),
        (Record("bandwidth", ("1000",)), "1000 bytes per second in each direction"),
        (Record("rlimit", ("as", "1073741824")), "address space of a process: at most 1 GiB"),
        (Record("rlimit", ("core", "0")), "core dump: at most 0 bytes"),
        (Record("rlimit", ("cpu", "60")), "CPU time of a process: at most 1m"),
        (Record("rlimit", ("nofile", "1024")), "open files of a process: at most 1024"),
        (Record("utc-offset", ("0", "-16200")), "local time is UTC-04:30"),
        (Record("short", ("B", "int:-1:10")), "  option -B: a number from -1 to 10"),
        (Record("long", ("size", "size:2048")), "  option --size: a size up to 2 KiB"),
        (Record("operands", ("0", "0", "text")), "  no operands"),
        (Record("operands", ("0", "3", "path")), "  operands: 0 to 3, a path unless stated above"),
        (Record("message", ("a\x1b[31m",)), "message for a denied user: a\\x1b[31m"),
        (Record("fixed", ("x" * 200,)), f"  runs with {'x' * 40}… (200 characters) first"),
    ],
)
def test_a_record_in_words(record: Record, line: str) -> None:
    ops.check_records([record])
    assert record.describe() == line


def test_days_and_hours_are_written_as_a_jail_file_has_them() -> None:
    chance = random.Random(7)
    for _ in range(200):
        bits, start = chance.randrange(1, 128), chance.randrange(1439)
        end = chance.randrange(start + 1, 1441)
        text = f"{words.days(bits)} {words.clock(start)}-{words.clock(end)}"
        assert times.hours(text) == ((bits, start, end),)
        assert times.duration(words.span(end)) == end


def test_every_limit_and_class_has_words() -> None:
    limits = ops.BY_NAME["rlimit"].fields[0].removeprefix("enum:").split(",")
    assert [name for name in limits if "at most 8" not in words.limit(name, "8")] == []
    behind = {Kind.INT: ":-1:9", Kind.SIZE: ":9", Kind.PATTERN: ":a*", Kind.ENUM: ":a"}
    for kind in Kind:
        record = Record("operand", (kind.value + behind.get(kind, ""),))
        ops.check_records([record])
        assert re.fullmatch("  the next operand is (no|a|any|one|the) .+", record.describe())


def test_local_time_is_one_line_in_a_plan_and_in_what_changes() -> None:
    winter = Access(hours=((31, 480, 1080),), offsets=BERLIN)
    summed = "local time is UTC+01:00 or UTC+02:00: 2 changes from 2026-03-29 01:00 UTC to 2026-10-25 01:00 UTC"
    assert [line for line in codec.show(plan(winter)) if "local time is" in line] == [summed]
    hours = "logins mon-fri 08:00-18:00, local time"
    assert codec.diff(plan(), plan(winter)) == [f"+ {hours}", f"+ {summed}"]
    assert codec.diff(plan(winter), plan(replace(winter, offsets=BERLIN[:2]))) == [
        f"- {summed}",
        "+ local time is UTC+01:00 or UTC+02:00: 1 change at 2026-03-29 01:00 UTC",
    ]


def test_a_changed_part_stands_below_its_rule() -> None:
    head = "rule git.read of plugin git: /usr/bin/git"
    assert codec.diff(plan(NO_LIMITS, "/srv/a", "/srv/b"), plan(NO_LIMITS, "/srv/a", "/srv/c")) == [
        f"~ {head}",
        "-   repositories like /srv/b",
        "+   repositories like /srv/c",
    ]
    more = Rule("files.server", "files", "/usr/lib/files", ("files",), ignore_arguments=True)
    came = codec.diff(plan(), plan(more=(more,)))
    assert came[0] == "+ rule files.server of plugin files: /usr/lib/files"
    assert (
        came[1:] == [f"+ {line}" for line in codec.show(plan(more=(more,))) if line.startswith("  ")][-len(came) + 1 :]
    )
    assert [line[0] for line in codec.diff(plan(more=(more,)), plan())] == ["-"] * len(came)


def test_the_order_of_words_counts_and_what_is_not_shown_is_marked() -> None:
    old, new = (
        plan(more=(Rule("x.x", "x", "/usr/bin/x", ("x",), literal_words=literals),))
        for literals in (("a", "b"), ("b", "a"))
    )
    assert codec.diff(old, new)[0] == "~ rule x.x of plugin x: /usr/bin/x"
    assert len(codec.diff(old, new)) == 3
    other = replace(old, records=tuple(replace(r, args=("x86_64", "0" * 32)) if r.verb == "seccomp" else r
                                       for r in old.records))  # fmt: skip
    assert codec.diff(old, other) == ["~ system call filter for x86_64"]
