"""When and from where a login is allowed, how much may pass, and what a line of sftp-server's says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jailssh.plan.compile import Access
from tests.login.driver import Driver, joined
from tests.login.limit_cases import PEER, judged

pytestmark = pytest.mark.needs("gcc", "sanitizers")

NOW = 1_700_000_000  # a Tuesday, 22:13:20 UTC
FROM, TIME = "login not allowed from this address", "login not allowed at this time"
SECOND = 10**9


ADDRESSES = [
    (("192.0.2.7",), PEER, True),
    (("192.0.2.8",), PEER, False),
    (("192.0.2.8", "192.0.2.7"), PEER, True),
    (("192.0.2.0/24",), PEER, True),
    (("192.0.2.6/31",), PEER, True),
    (("192.0.2.4/31",), PEER, False),
    (("192.0.3.0/23",), "192.0.2.7", True),  # what lies behind the prefix is not looked at
    (("0.0.0.0/0",), PEER, True),
    (("0.0.0.0/0",), "2001:db8::1 1 ::1 22", False),
    (("192.0.2.0/24",), "::ffff:192.0.2.7 4000 ::1 22", True),
    (("192.0.2.0/24",), "::FFFF:c000:0207 4000 ::1 22", True),
    (("::ffff:192.0.2.0/120",), PEER, True),
    (("::ffff:192.0.2.0/120",), "192.0.3.7 1", False),
    (("::/0",), PEER, False),
    (("::/0",), "2001:db8::1 1 ::1 22", True),
    (("2001:db8::/32",), "2001:db8:ffff::1 1 ::1 22", True),
    (("2001:db8::/33",), "2001:db8:8000::1 1 ::1 22", False),
    (("2001:db8::1",), "2001:db8::1 1", True),
    (("2001:db8::1",), "2001:db8::2 1", False),
    (("fe80::1",), "fe80::1%eth0 1 fe80::2%eth0 22", True),
    (("fe80::1/128",), "fe80::1%eth0", True),
    (("::/0", "0.0.0.0/0"), "", False),
    (("::/0", "0.0.0.0/0"), "UNKNOWN 0", False),
    (("::/0", "0.0.0.0/0"), " 192.0.2.7", False),
    (("::/0", "0.0.0.0/0"), "192.0.2.7x 1", False),
    (("::/0", "0.0.0.0/0"), "1" * 200, False),
    (("10.0.0.0/", "10.0.0.0/33", "10.0.0.0/012", "10.0.0/8"), "10.0.0.1", False),  # such records hold nothing
    ((), "", True),
    ((), "nonsense", True),
]  # fmt: skip


@pytest.mark.parametrize(("allowed", "peer", "fits"), ADDRESSES)
def test_addresses(driver: Driver, tmp_path: Path, allowed: tuple[str, ...], peer: str, fits: bool) -> None:
    (answer,) = judged(driver, tmp_path, Access(addresses=allowed), (NOW, peer))
    assert answer == (["", ""] if fits else ["address", FROM])


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


OFFICE = Access(hours=((0b0011111, 480, 1080),))
NIGHT = Access(hours=((1 << 4, 1320, 1440), (1 << 5, 0, 360)))  # Friday 22:00 to Saturday 06:00
SUMMER = (at("2026-03-29 01:00"), 7200), (at("2026-10-25 01:00"), 3600)
HOURS = [
    (OFFICE, "2026-07-13 08:00:00", True),  # a Monday
    (OFFICE, "2026-07-13 07:59:59", False),
    (OFFICE, "2026-07-13 17:59:59", True),
    (OFFICE, "2026-07-13 18:00:00", False),
    (OFFICE, "2026-07-17 12:00:00", True),
    (OFFICE, "2026-07-18 12:00:00", False),
    (OFFICE, "2026-07-19 12:00:00", False),
    (OFFICE, "1970-01-01 12:00:00", True),  # a Thursday
    (OFFICE, "2400-02-29 12:00:00", True),
    (NIGHT, "2026-07-17 21:59:59", False),
    (NIGHT, "2026-07-17 23:59:59", True),
    (NIGHT, "2026-07-18 00:00:00", True),
    (NIGHT, "2026-07-18 06:00:00", False),
    (NIGHT, "2026-07-18 23:00:00", False),
    (Access(hours=OFFICE.hours, offsets=SUMMER), "2026-07-13 06:00:00", True),
    (Access(hours=OFFICE.hours, offsets=SUMMER), "2026-07-13 16:00:00", False),
    (Access(hours=OFFICE.hours, offsets=SUMMER), "2026-12-14 07:00:00", True),
    (Access(hours=OFFICE.hours, offsets=SUMMER), "2026-12-14 06:59:59", False),
    (Access(hours=OFFICE.hours, offsets=SUMMER), "2026-01-12 07:59:59", False),  # before the first: UTC
    (Access(hours=((1, 0, 1440),), offsets=((0, -3600),)), "2026-07-14 00:30:00", True),  # still Monday there
    (Access(hours=((1, 0, 1440),), offsets=((0, -3600),)), "2026-07-13 00:30:00", False),
]


@pytest.mark.parametrize(("access", "moment", "fits"), HOURS)
def test_hours(driver: Driver, tmp_path: Path, access: Access, moment: str, fits: bool) -> None:
    (answer,) = judged(driver, tmp_path, access, (at(moment), ""))
    assert answer == (["", ""] if fits else ["hours", TIME])


def test_expiry(driver: Driver, tmp_path: Path) -> None:
    access = Access(expires=at("2027-02-01 00:00"), addresses=("192.0.2.7",), hours=((127, 0, 0),))
    before, after = at("2027-01-31 23:59:59"), at("2027-02-01 00:00:00")
    over = ["expired", "account expired; last valid day: 2027-01-31"]
    assert judged(driver, tmp_path, access, (before, PEER), (after, PEER)) == [["hours", TIME], over]
    assert judged(driver, tmp_path, access, (before, "192.0.2.8")) == [["address", FROM]]
    # The last day is that of local clocks.
    east = Access(expires=at("2027-01-31 23:00"), offsets=((0, 3600),))
    assert judged(driver, tmp_path, east, (after, PEER)) == [over]
    forever = Access(expires=999_999_999_999_999_999)
    assert judged(driver, tmp_path, forever, (after, PEER)) == [["", ""]]


def taken(driver: Driver, rate: int, moments: Sequence[int]) -> list[tuple[int, int]]:
    (answer,) = driver.parts("bucket", [joined(map(str, (rate, *moments)))])
    return [(int(room), int(wait)) for room, wait in zip(answer[::2], answer[1::2], strict=True)]


@pytest.mark.parametrize("rate", [1, 7, 1000, 65_536, 1_000_003])
def test_what_passes_in_some_seconds(driver: Driver, rate: int) -> None:
    moments = range(5 * SECOND, 9 * SECOND + 1, 3_333_333)
    found = taken(driver, rate, moments)
    most = max(1, rate // 8)
    assert found[0][0] == min(most, 65_536)
    assert rate * 4 - max(2, rate // 25) <= sum(room for room, _ in found) <= rate * 4 + most
    # It is worth waking up some fifty times a second at most.
    assert sum(room > 0 for room, _ in found) <= 4 * 50 + 2


def test_a_bucket_does_not_fill_without_end(driver: Driver) -> None:
    assert [room for room, _ in taken(driver, 8000, [0, 1000 * SECOND, 10**9 * SECOND])] == [0, 1000, 1000]
    assert taken(driver, 999_999_999_999_999_999, [0, 1, 10 * SECOND]) == [(65_536, 0)] * 3
    assert taken(driver, 0, [0, 0]) == [(65_536, 0)] * 2


OPERATIONS = {
    'open "/h/a" flags WRITE,CREATE,TRUNCATE mode 0666': ["open", "/h/a"],
    'open "/h/a" flags READ mode 0666" flags READ mode 0666': ["open", '/h/a" flags READ mode 0666'],
    'close "/h/a" bytes read 12 written 345': ["close", "/h/a", "-", "12", "345"],
    'forced close "/h/a" bytes read 0 written 5': ["close", "/h/a", "-", "0", "5"],
    'close "/h/x" bytes read 9 written 9" bytes read 1 written 2': [
        "close", '/h/x" bytes read 9 written 9', "-", "1", "2",
    ],
    'close "/h/a" bytes read  written ': ["close", "/h/a"],
    'opendir "/h"': ["opendir", "/h"],
    'closedir "/h"': ["closedir", "/h"],
    'mkdir name "/h/d" mode 0777': ["mkdir", "/h/d"],
    'rmdir name "/h/d"': ["rmdir", "/h/d"],
    'remove name "/h/\\303\\244\\\\"': ["remove", "/h/\\303\\244\\\\"],
    'set "/h/a" size 3': ["set", "/h/a"],
    'set "/h/a" modtime 20260101-00:00:06': ["set", "/h/a"],
    'statvfs "/h"': ["statvfs", "/h"],
    'rename old "/h/a" new "/h/b"': ["rename", "/h/a", "/h/b"],
    'posix-rename old "/h/a" new "/h/b"': ["posix-rename", "/h/a", "/h/b"],
    'symlink old "/h/a" new "/h/b"': ["symlink", "/h/a", "/h/b"],
    'hardlink old "/h/a" new "/h/b"': ["hardlink", "/h/a", "/h/b"],
    'rename old "/h/"quoted"" new "/h/b"': ["rename", '/h/"quoted"', "/h/b"],
    'rename old "/h/a" new "/h/c" new "/h/b"': ["rename"],
    'rename old "/h/a" new " new "/h/b"': ["rename"],
    'rename old "/h/a" new "': ["rename"],
    'open "': ["open"],
    f'open "/{"a" * 980}" flags READ mode 0666': ["open", "/" + "a" * 980],
    f'open "/h/x" flags READ mode 0666{"b" * 984}': ["open"],  # may have been cut
}  # fmt: skip
OTHERS = [
    "", " ", "open", 'open /h/a', 'opened "/h/a"', 'openx "/h/a"', ' open "/h/a"', "sent status No such file",
    "session opened for local user u from [192.0.2.7]", "Refusing open request in read-only mode", "forced ",
    'forced "x"', 'mkdir "/h"', 'remove "x"', 'received client version 3',
]  # fmt: skip


def test_operations(driver: Driver) -> None:
    answers = driver.parts("operation", [joined([line]) for line in OPERATIONS])
    for (line, wanted), answer in zip(OPERATIONS.items(), answers, strict=True):
        assert answer == ["yes", *wanted, *["-"] * (5 - len(wanted))], line


def test_other_lines(driver: Driver) -> None:
    assert driver.parts("operation", [joined([line]) for line in OTHERS]) == [["no", *["-"] * 5]] * len(OTHERS)
