"""Limits of access as they are written: durations, hours, dates, addresses, bandwidths; local time; the plan."""

from __future__ import annotations

import os
import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from jailssh.config import files, jails, limits, reader, times
from jailssh.core.errors import ConfigError, HostError, JailsshError
from jailssh.core.names import DAYS, HostPath
from jailssh.host import clock
from jailssh.plan import codec
from jailssh.plan.compile import Access, JailSettings, compile_plan
from jailssh.plugin.api import Account, PluginResult
from jailssh.policy.rules import Rule

ZONES = Path("/usr/share/zoneinfo")
UTC_ONLY = ((0, 0),)
BERLIN = ((0, 3600), (1743296400, 7200), (1761440400, 3600))


def no_clock() -> times.Offsets:
    raise AssertionError("nothing speaks of local time")


def access(text: str, offsets: times.Offsets | None = None, main: str = "") -> Access:
    document = reader.read_document(f"plugins = sftp\n[limits]\n{text}\n", "j.conf")
    jail = jails.read_jail("j", document, lambda _: ())
    classes = files.read_main(main, "m.conf").bandwidth
    return limits.access_of(jail.access, classes, no_clock if offsets is None else lambda: offsets)


def fault(text: str, main: str = "") -> list[str]:
    with pytest.raises(JailsshError) as caught:
        access(text, UTC_ONLY, main)
    return caught.value.lines()


def test_without_limits_there_are_none_and_local_time_is_not_looked_at() -> None:
    assert access("") == Access()
    assert access("hours =\nexpires =\naddresses =\nmax_sessions =\nidle_timeout =\nbandwidth =") == Access()


def test_all_of_them() -> None:
    text = (
        "max_sessions = 3\nmax_sessions_per_key = 1\nmax_duration = 8h\nidle_timeout = 30m\n"
        "nice = 10\nbandwidth = slow\naddresses = 192.0.2.0/24, 2001:DB8::1\n"
        "hours = mon-fri 08:00-18:00\nexpires = 2027-01-31\nnofile = 5"
    )
    assert access(text, BERLIN, "[bandwidth]\nslow = 512K\n") == Access(
        sessions=3, key_sessions=1, duration=28800, idle=1800, nice=10, bandwidth=524288,
        addresses=("192.0.2.0/24", "2001:db8::1/128"), hours=((31, 480, 1080),), offsets=BERLIN, expires=1801436400,
    )  # fmt: skip


def test_rlimits_are_apart() -> None:
    document = reader.read_document("plugins = sftp\n[limits]\nnproc = 7\nmax_sessions = 2\n", "j.conf")
    jail = jails.read_jail("j", document, lambda _: ())
    assert dict(jail.limits) == {"nproc": 7, "nofile": 1024, "core": 0}
    assert "nproc" not in jail.access


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("30m", 1800), ("8h", 28800), ("1h30m", 5400), ("2d", 172800), ("1d1h1m1s", 90061)],
)
def test_durations(text: str, seconds: int) -> None:
    assert times.duration(text) == seconds
    assert access(f"idle_timeout = {text}").idle == seconds


@pytest.mark.parametrize("text", ["0", "0h", "-1", "1.5h", "30 m", "m", "30m1h", "1w", "400d", "1e3", "٣"])
def test_what_is_no_duration(text: str) -> None:
    (line,) = fault(f"max_duration = {text}")
    assert line.startswith(f"jailssh: j.conf:3: max_duration: '{text}' is not ")


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("mon-fri 08:00-18:00", [(31, 480, 1080)]),
        ("sat,sun 10:00-12:00", [(96, 600, 720)]),
        ("sat sun 10:00-12:00", [(96, 600, 720)]),
        ("Daily 22:00-06:00", [(127, 0, 360), (127, 1320, 1440)]),
        ("sun 22:00-06:00", [(1, 0, 360), (64, 1320, 1440)]),
        ("sun 22:00-00:00", [(64, 1320, 1440)]),
        ("fri-mon 20:00-24:00", [(113, 1200, 1440)]),
        ("mon 08:00-12:00, 13:00-17:00; tue 13:00-17:00", [(1, 480, 720), (3, 780, 1020)]),
        ("mon 08:00-12:00, mon 11:00-14:00, mon 14:00-15:00", [(1, 480, 900)]),
        ("mon,wed-thu 09:00-10:00", [(13, 540, 600)]),
        ("daily 00:00-24:00", [(127, 0, 1440)]),
        ("mon 20:00-10:00; tue 09:00-12:00", [(2, 0, 720), (1, 1200, 1440)]),
    ],
)
def test_hours(text: str, spans: list[tuple[int, int, int]]) -> None:
    assert access(f"hours = {text}", UTC_ONLY).hours == tuple(spans)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("08:00-18:00", "'08:00-18:00' has no days before it, as in: mon-fri 08:00-18:00"),
        ("mon-fri", "'mon-fri' has no hours after it"),
        ("mon 08:00-09:00, tue", "'tue' has no hours after it"),
        ("mno 08:00-09:00", "'mno' is not a day: did you mean 'mon'?"),
        ("mon-fry 08:00-09:00", "'fry' is not a day: did you mean 'fri'?"),
        ("mon- 08:00-09:00", "'' is not a day"),
        ("xx 08:00-09:00", "'xx' is not a day: use mon-fri, daily, or one of mon, tue, wed, thu, fri, sat, sun"),
        (
            "weekdays 08:00-09:00",
            "'weekdays' is not a day: use mon-fri, daily, or one of mon, tue, wed, thu, fri, sat, sun",
        ),
        ("wednesday 08:00-09:00", "'wednesday' is not a day: did you mean 'wed'?"),
        ("mon 8:00-18:00", "is not a time span such as 08:00-18:00"),
        ("mon 08:00", "is not a time span such as 08:00-18:00"),
        ("mon 08:60-09:00", "is not a time span such as 08:00-18:00"),
        ("mon 24:00-09:00", "not between 00:00 and 24:00"),
        ("mon 08:00-25:00", "not between 00:00 and 24:00"),
        ("mon 10:00-10:00", "'10:00-10:00' is empty; 00:00-24:00 is the whole day"),
    ],
)
def test_what_are_no_hours(text: str, part: str) -> None:
    (line,) = fault(f"hours = {text}")
    assert line.startswith("jailssh: j.conf:3: hours: ")
    assert part in line


def test_hours_hold_the_same_minutes_however_they_are_written() -> None:
    """Against a table of the week's minutes."""
    chance = random.Random(4)
    for _ in range(300):
        week, words = set(), []
        for _ in range(chance.randint(1, 4)):
            first, last = chance.randrange(7), chance.randrange(7)
            start, end = chance.randrange(1440), chance.randrange(1, 1441)
            if start == end:
                continue
            words.append(f"{DAYS[first]}-{DAYS[last]} "
                         f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}")  # fmt: skip
            for day in range(first, last + 1 if last >= first else last + 8):
                length = end - start if end > start else end - start + 1440
                week |= {(day % 7 * 1440 + start + minute) % 10080 for minute in range(length)}
        found = times.hours("; ".join(words)) if words else ()
        held = {day * 1440 + m for days, start, end in found for day in range(7) if days >> day & 1
                for m in range(start, end)}  # fmt: skip
        assert held == week


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("192.0.2.7", ("192.0.2.7/32",)),
        ("10.0.0.0/8 2001:DB8::/32", ("10.0.0.0/8", "2001:db8::/32")),
        ("10.0.0.0/255.0.0.0", ("10.0.0.0/8",)),
        ("10.0.0.0/9, 10.128.0.0/9, 10.1.1.1", ("10.0.0.0/8",)),
        ("0.0.0.0/0, ::/0", ("0.0.0.0/0", "::/0")),
    ],
)
def test_addresses(text: str, networks: tuple[str, ...]) -> None:
    assert access(f"addresses = {text}").addresses == networks


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("192.0.2.7/24", "'192.0.2.7/24' has bits outside of its network: write 192.0.2.0/24 or 192.0.2.7"),
        ("2001:db8::1/64", "write 2001:db8::/64 or 2001:db8::1"),
        ("::ffff:10.0.0.0/104", "is an IPv4 network: write 10.0.0.0/8"),
        ("fe80::1%eth0", "interface"),
        ("10.0.0", "is not an address or a network"),
        ("10.0.0.0/33", "is not an address or a network"),
        ("host.example", "is not an address or a network"),
        ("010.0.0.1", "is not an address or a network"),
        ("10.0.0.1-10.0.0.9", "is not an address or a network"),
    ],
)
def test_what_are_no_addresses(text: str, part: str) -> None:
    (line,) = fault(f"addresses = 127.0.0.1, {text}")
    assert line.startswith("jailssh: j.conf:3: addresses: ")
    assert part in line


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("max_sessions = 0", "'0' is not a number from 1 to 999999; empty means no limit"),
        ("max_sessions_per_key = many", "'many' is not a number from 1"),
        ("nice = 20", "'20' is not a number from 0 to 19"),
        ("nice = -1", "'-1' is not a number from 0 to 19"),
        ("nice =", "'' is not a number from 0 to 19"),
        ("bandwidth = 0", "allows no traffic; empty means no limit"),
        ("bandwidth = 12Q", "not a size"),
        ("expires = 31.1.2027", "is not a date such as 2027-01-31"),
        ("expires = 2027-02-30", "is not a date"),
        ("expires = 2027-01-31T18:00", "is not a date"),
        ("expires = 2027-01-31 24:30", "is not a date"),
        ("expires = 2045-01-01", "is after 2044"),
        ("expires = 1970-01-01", "before 1971"),
        ("session = 1", "unknown setting [limits] session"),
    ],
)
def test_other_limits_that_cannot_be(text: str, part: str) -> None:
    lines = fault(text)
    assert lines[0].startswith("jailssh: j.conf:3: ")
    assert part in lines[0]


def test_bandwidth_classes() -> None:
    main = "min_uid = 5\n[bandwidth]\nslow = 512K\nfast = 10M\n"
    assert access("bandwidth = fast", main=main).bandwidth == 10 << 20
    assert access("bandwidth = 1500", main=main).bandwidth == 1500
    assert fault("bandwidth = slwo", main) == [
        "jailssh: j.conf:3: bandwidth: class 'slwo' does not exist", "hint: did you mean 'slow'?",
    ]  # fmt: skip
    assert fault("bandwidth = slow")[1] == "hint: add it to [bandwidth] of the main file, as in: slow = 512K"
    shown = {(section, name): (value, origin) for section, name, value, origin in
             reader.show(files.read_main(main, "m.conf").items)}  # fmt: skip
    assert shown["bandwidth", "slow"] == ("512K", "m.conf:3")
    bad_lines = {"slow = fast": "'fast' is not a size", "slow =": "'' is not a size", "5x = 1K": "not a name",
                 "a = 1, 2": "is not in quotes"}  # fmt: skip
    for bad, part in bad_lines.items():
        with pytest.raises(ConfigError, match=r"m\.conf:2: \[bandwidth\]") as caught:
            files.read_main(f"[bandwidth]\n{bad}\n", "m.conf")
        assert part in caught.value.why


def test_an_accounts_own_limits_go_before_those_of_its_jail() -> None:
    user = files.read_user("uid = 5\njail = j\n[limits]\nexpires = 2030-06-01 12:00\nhours =\n", "u.conf", "u")
    assert set(user.access) == {"expires", "hours"}
    text = "plugins = x\n[limits]\nhours = mon 08:00-09:00\nmax_sessions = 2\n"
    jail = jails.read_jail("j", reader.read_document(text, "j"), lambda _: ())
    found = limits.access_of({**jail.access, **user.access}, {}, lambda: UTC_ONLY)
    assert (found.hours, found.sessions) == ((), 2)
    assert found.expires == datetime(2030, 6, 1, 12, tzinfo=UTC).timestamp()
    assert not files.read_user("uid = 5\njail = j\n", "u.conf", "u").access
    for text, part in (("nice = 5", "unknown setting [limits] nice"), ("expires = soon", "u.conf:4: expires")):
        with pytest.raises(ConfigError, match=r"u\.conf:4") as caught:
            files.read_user(f"uid = 5\njail = j\n[limits]\n{text}\n", "u.conf", "u")
        assert part in str(caught.value)


def test_a_day_ends_at_midnight_of_local_time() -> None:
    end = access("expires = 2025-01-31", BERLIN).expires
    assert datetime.fromtimestamp(end, ZoneInfo("Europe/Berlin")).isoformat() == "2025-02-01T00:00:00+01:00"
    # The refusal names the last day, as local clocks show it.
    assert access("expires = 2025-01-31 18:00", BERLIN).offsets == BERLIN
    later = access("expires = 2025-07-01 18:00", BERLIN).expires
    assert datetime.fromtimestamp(later, ZoneInfo("Europe/Berlin")).isoformat() == "2025-07-01T18:00:00+02:00"


def test_a_time_that_the_clock_shows_twice_or_leaves_out() -> None:
    # 02:30 is left out on 30 March, and shown twice on 26 October, of which the first counts.
    assert times.since_1970(datetime(2025, 3, 30, 2, 30), BERLIN) == 1743296400
    assert times.since_1970(datetime(2025, 10, 26, 2, 30), BERLIN) == 1761438600


def host_with(tmp_path: Path, target: str) -> str:
    (tmp_path / "etc").mkdir(exist_ok=True)
    (tmp_path / "etc/localtime").unlink(missing_ok=True)
    (tmp_path / "etc/localtime").symlink_to(target)
    return str(tmp_path)


@pytest.mark.skipif(not ZONES.is_dir(), reason="this host has no tzdata")
@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/St_Johns", "Africa/Casablanca", "Asia/Kolkata", "UTC"])
def test_local_time_is_that_of_the_zone(tmp_path: Path, zone: str) -> None:
    offsets = clock.local_offsets(host_with(tmp_path, f"/usr/share/zoneinfo/{zone}"))
    assert offsets[0][0] == 0
    assert [since for since, _ in offsets] == sorted({since for since, _ in offsets})
    day = datetime(2025, 1, 1, tzinfo=UTC)
    while day.year < 2045:
        ahead = next(ahead for since, ahead in reversed(offsets) if since <= day.timestamp())
        assert timedelta(seconds=ahead) == day.astimezone(ZoneInfo(zone)).utcoffset()
        day += timedelta(hours=37)


@pytest.mark.skipif(not ZONES.is_dir(), reason="this host has no tzdata")
def test_where_local_time_is_looked_up(tmp_path: Path) -> None:
    root = host_with(tmp_path, "../usr/share/zoneinfo/Own/Zone")
    (tmp_path / "usr/share/zoneinfo/Own").mkdir(parents=True)
    shutil.copy(os.path.realpath(ZONES / "Asia/Kolkata"), tmp_path / "usr/share/zoneinfo/Own/Zone")
    assert clock.local_offsets(root) == ((0, 19800),)
    # Without a zone of its own, a directory that stands for the root has the host's.
    (tmp_path / "etc/localtime").unlink()
    assert clock.local_offsets(root) == clock.local_offsets()


@pytest.mark.skipif(not ZONES.is_dir(), reason="this host has no tzdata")
def test_a_damaged_zone_is_an_error_with_a_cure(tmp_path: Path) -> None:
    whole = Path(os.path.realpath(ZONES / "Europe/Berlin")).read_bytes()
    root = host_with(tmp_path, "/zone")
    # The number of abbreviations' bytes in the second header, so that the last line would begin behind the end.
    second = whole.index(b"TZif", 4) + 40
    behind = whole[:second] + b"\x7f" + whole[second + 1 :]
    damaged = [b"", b"TZif", b"nonsense\n" * 30, whole[:-1], whole[:700], whole[:-8], behind]
    for data in damaged:
        (tmp_path / "zone").write_bytes(data)
        with pytest.raises(HostError) as caught:
            clock.local_offsets(root)
        assert caught.value.what == f"{root}/etc/localtime"
        assert "tzdata" in caught.value.hint
    chance = random.Random(7)
    for _ in range(200):
        changed = bytearray(whole)
        for _ in range(4):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        (tmp_path / "zone").write_bytes(changed)
        try:
            offsets = clock.local_offsets(root)
        except HostError:
            continue
        assert all(abs(ahead) <= 86400 for _, ahead in offsets)


def test_a_zone_that_is_missing_or_not_roots_is_an_error(tmp_path: Path) -> None:
    root = host_with(tmp_path, "/usr/share/zoneinfo/No/Where")
    with pytest.raises(HostError, match="no such file"):
        clock.local_offsets(root)
    root = host_with(tmp_path, "/zone")
    (tmp_path / "zone").write_bytes(b"TZif2\n")
    (tmp_path / "zone").chmod(0o666)
    with pytest.raises(HostError, match="writable by"):
        clock.local_offsets(root)


def test_limits_become_records_that_a_plan_may_hold() -> None:
    text = "hours = daily 22:00-06:00\nexpires = 2030-01-01\naddresses = 192.0.2.0/24, 2001:db8::/32\nmax_sessions = 2"
    rule = Rule("x.y", "x", "/usr/bin/y", ("y",))
    account = Account("alice", 1000, 1000, "alice", "/home/alice")
    jail = JailSettings("j", access=access(text, BERLIN))
    plan = compile_plan(account, jail, [PluginResult((rule,), "x")], HostPath("/image"), ("none", bytes(8)))
    plan = codec.decode(codec.encode(plan))
    found = {verb: [record.args for record in plan.records if record.verb == verb]
             for verb in ("sessions", "address", "hours", "utc-offset", "expires")}  # fmt: skip
    assert found == {
        "sessions": [("2",)],
        "address": [("192.0.2.0/24",), ("2001:db8::/32",)],
        "hours": [("127", "0", "360"), ("127", "1320", "1440")],
        "utc-offset": [(str(since), str(ahead)) for since, ahead in BERLIN],
        "expires": [("1893538800",)],
    }
    west = JailSettings("j", access=access("hours = mon 08:00-09:00", ((0, -12600),)))
    plan = compile_plan(account, west, [PluginResult((rule,), "x")], HostPath("/image"), ("none", bytes(8)))
    assert codec.decode(codec.encode(plan)).first("utc-offset") == ("0", "-12600")


def test_several_jails_agree_about_limits_or_it_is_an_error() -> None:
    one = reader.read_document("plugins = sftp\n[limits]\nmax_sessions = 2\nhours = sat,sun 10:00-12:00\n", "one.conf")
    two = reader.read_document("plugins = git\n[limits]\nmax_sessions = 2\nidle_timeout = 5m\n", "two.conf")
    both = jails.read_jail("both", jails.combine({"one": one, "two": two}), lambda _: ())
    found = limits.access_of(both.access, {}, lambda: UTC_ONLY)
    assert (found.sessions, found.idle, found.hours) == (2, 300, ((96, 600, 720),))
    other = reader.read_document("plugins = git\n[limits]\nhours = daily 10:00-12:00\n", "three.conf")
    with pytest.raises(ConfigError, match=r"\[limits\] hours is set differently"):
        jails.combine({"one": one, "three": other})
