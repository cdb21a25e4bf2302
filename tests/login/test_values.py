"""Values against their classes, and the code that the journal gets for each refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from jailssh.plan import codec
from jailssh.policy.rules import Rule
from tests.login.driver import Driver, joined
from tests.login.jails import plan_with

pytestmark = pytest.mark.needs("gcc", "sanitizers")

HOME = "/home/alice"
BASED = Rule(
    "r", "p", "/bin/r", ("r",), path_roots=("/srv/data", HOME + "/in"), relative_to="/srv/data", operands=(0, 1, "path")
)
HOMELY = Rule("r", "p", "/bin/r", ("r",), path_roots=(HOME,), relative_to=HOME, operands=(0, 1, "path"))
ANYWHERE = Rule("r", "p", "/bin/r", ("r",), path_roots=("/",), operands=(0, 1, "path"))
REFUSED = "value-not-allowed"


def judge(driver: Driver, folder: Path, rule: Rule, *cases: tuple[str, str, str]) -> list[list[str]]:
    """Return reason, replacement or detail, and path of each (class, value, flags)."""
    plan = folder / "plan"
    plan.write_bytes(codec.encode(plan_with([rule])))
    return driver.parts("value", [joined(case) for case in cases], plan)


FITTING = {
    "int:0:255": ["0", "1", "255", "007", "00000000000000000"],
    "int:-1:10": ["-1", "-0", "0", "10"],
    "int:-5:-2": ["-5", "-2"],
    "int:-999999999:9999999999": ["-999999999", "9999999999"],
    "size:1073741824": [
        "0", "1", "1b", "1B", "1k", "1K", "1KB", "1kb", "1kib", "1KiB", "1m", "1.5m", "1.", "1.5", "1g", "1G",
        "0.5G+1", "1M-1", "1024M", "1073741824", "1-1", "0t", "0P", "0.0001T",
    ],
    "size:0": ["0", "0.0", "0G"],
    "word": ["a", "0", "a-b", "_.,:+@%=", ".", "..", "x" * 255],
    "pattern:db-*": ["db-", "db-a", "db-db-", "db-x.y:z", "db-" + "x" * 252],
    "pattern:*.t*r": [".tr", "a.tar", "a.t.tr", "x.tar.tor"],
    "pattern:a**b*": ["ab", "axb", "abab", "a" * 100 + "b" * 100],
    "pattern:*": ["a", ".", "%", "x" * 255],
    "pattern:a": ["a"],
    "text": ["", "a b", "-x", "../..", "ä", "x" * 1024],
    "enum:a,b-c,d.e": ["a", "b-c", "d.e"],
    "capabilities": [".", ".iLsfxCIvu", "31.", "31.3LsfxC", "." + "x" * 64],
}  # fmt: skip
MISFIT = {
    "int:0:255": [
        "", "-", "-1", "256", "+1", " 1", "1 ", "1x", "0x1", "1.0", "1e2", "\u0663", "--1",
        "9" * 17, "9" * 18, "9" * 400,
    ],
    "int:-1:10": ["-2", "11", "-" + "9" * 17, "-" + "0" * 18, "1-", "-1-"],
    "int:-5:-2": ["-6", "-1", "0", "2"],
    "size:1073741824": [
        "", ".5", "-1", "+1", "x", "1x", "1kk", "1kx", "1ki", "1bb", "1+2", "1k+1x", "1k+", "1+1+1", "1 k", "1e9",
        "1.5.5", "1..5", "2G", "1.1g", "1073741825", "1t", "1p", "9" * 17, "9" * 18, "1." + "0" * 50, "1G\u00a0",
        "inf", "nan", "0x1",
    ],
    "size:0": ["1", "0.1"],
    "word": ["", "-a", "a b", "a/b", "a;b", "ä", "a\\b", "~", "*", "x" * 256],
    "pattern:db-*": ["", "db", "Db-a", "xdb-a", "db-a b", "db-a/b", "db-\u00e4", "db-*", "-db-a", "db-" + "x" * 253],
    "pattern:*.t*r": ["", "a.ta", "a.tarx", "tr", "-.tr"],
    "pattern:a**b*": ["a", "b", "ba", "a" * 255],
    "pattern:*": ["", "-", "-a", "*", "a b", "x" * 256],
    "pattern:a": ["", "aa", "*", "b"],
    "pattern:" + "*a" * 127 + "b": ["a" * 255],
    "text": ["x" * 1025],
    "enum:a,b-c,d.e": ["", "b", "b-", "c", "a,b-c", ",", "A", "d.e,", "dxe"],
    "enum:,": ["", ","],
    "capabilities": ["", "x", "x.y", "3x.", ".a.b", ". ", "./", "." + "x" * 65, "-1."],
    "flag": ["", "x"],
}  # fmt: skip


@pytest.mark.parametrize("cls", FITTING)
def test_fits(driver: Driver, tmp_path: Path, cls: str) -> None:
    answers = judge(driver, tmp_path, BASED, *((cls, value, "") for value in FITTING[cls]))
    assert answers == [["", value, ""] for value in FITTING[cls]]


@pytest.mark.parametrize("cls", MISFIT)
def test_does_not_fit(driver: Driver, tmp_path: Path, cls: str) -> None:
    answers = judge(driver, tmp_path, BASED, *((cls, value, "") for value in MISFIT[cls]))
    assert [answer[0] for answer in answers] == [REFUSED] * len(MISFIT[cls])


def path_of(driver: Driver, folder: Path, rule: Rule, value: str, flags: str = "") -> list[str]:
    return judge(driver, folder, rule, ("path", value, flags))[0]


@pytest.mark.parametrize(
    ("rule", "value", "flags", "executed", "path"),
    [
        # A base that is not the home: the program would look elsewhere, so the path is completed.
        (BASED, "a", "", "/srv/data/a", "/srv/data/a"),
        (BASED, ".", "", "/srv/data/.", "/srv/data"),
        (BASED, "a/", "", "/srv/data/a/", "/srv/data/a"),
        (BASED, "./a//b/.", "", "/srv/data/./a//b/.", "/srv/data/a/b"),
        (BASED, "/srv/data", "", "/srv/data", "/srv/data"),
        (BASED, "//srv//data/x", "", "//srv//data/x", "/srv/data/x"),
        (BASED, "~/in", "~", HOME + "/in", HOME + "/in"),
        (BASED, "~/in/x", "", HOME + "/in/x", HOME + "/in/x"),
        (BASED, "~x", "", "/srv/data/~x", "/srv/data/~x"),
        (BASED, "...", "", "/srv/data/...", "/srv/data/..."),
        (BASED, "..a", "", "/srv/data/..a", "/srv/data/..a"),
        # The home: it goes on as it was sent, unless it could be taken for an option.
        (HOMELY, "a", "", "a", HOME + "/a"),
        (HOMELY, ".", "", ".", HOME),
        (HOMELY, "-a", "", HOME + "/-a", HOME + "/-a"),
        (HOMELY, "~", "~", HOME, HOME),
        (HOMELY, "~/", "~", HOME + "/", HOME),
        (HOMELY, HOME, "", HOME, HOME),
        (ANYWHERE, "a", "", "a", HOME + "/a"),
        (ANYWHERE, "/", "", "/", "/"),
        (ANYWHERE, "/etc/passwd", "", "/etc/passwd", "/etc/passwd"),
        (ANYWHERE, "/" + "x" * 4094, "", "/" + "x" * 4094, "/" + "x" * 4094),
        # An option's relative path is relative to the operand, which is judged itself.
        (BASED, "a/b", "o", "a/b", ""),
        (BASED, "~/in", "o", HOME + "/in", HOME + "/in"),
        (BASED, "/srv/data/x", "o", "/srv/data/x", "/srv/data/x"),
    ],
)
def test_paths(driver: Driver, tmp_path: Path, rule: Rule, value: str, flags: str, executed: str, path: str) -> None:
    assert path_of(driver, tmp_path, rule, value, flags) == ["", executed, path]


@pytest.mark.parametrize(
    ("rule", "value", "flags", "reason"),
    [
        (BASED, "", "", "path-empty"),
        (BASED, "", "o", "path-empty"),
        (BASED, "~root", "~", "path-of-other-user"),
        (BASED, "~+", "~", "path-of-other-user"),
        (BASED, "..", "", "path-dotdot"),
        (BASED, "../x", "", "path-dotdot"),
        (BASED, "a/..", "", "path-dotdot"),
        (BASED, "a/../b", "o", "path-dotdot"),
        (BASED, "/srv/data/../data", "", "path-dotdot"),
        (BASED, "~/..", "~", "path-dotdot"),
        (ANYWHERE, "/..", "", "path-dotdot"),
        (BASED, "/", "", "path-outside"),
        (BASED, "/srv", "", "path-outside"),
        (BASED, "/srv/data2", "", "path-outside"),
        (BASED, "/srv/dat", "", "path-outside"),
        (BASED, "~", "~", "path-outside"),
        (BASED, "~/x", "~", "path-outside"),
        (BASED, "/etc", "o", "path-outside"),
        (HOMELY, "/home", "", "path-outside"),
        (HOMELY, "/home/alice2", "", "path-outside"),
        (ANYWHERE, "/" + "x" * 4095, "", "path-too-long"),
        (ANYWHERE, "x" * (4096 - len(HOME) - 1), "", "path-too-long"),
        (BASED, "a" * 5000, "o", "path-too-long"),
    ],
)
def test_paths_that_are_refused(
    driver: Driver, tmp_path: Path, rule: Rule, value: str, flags: str, reason: str
) -> None:
    answer = path_of(driver, tmp_path, rule, value, flags)
    assert answer[0] == reason
    assert answer[1].startswith("path ")


def test_the_detail_is_printable_and_bounded(driver: Driver, tmp_path: Path) -> None:
    escaped = judge(driver, tmp_path, BASED, ("int:0:1", "a\x1b\n\u00e4\x7f", ""), ("word", "\xe4" * 500, ""))
    assert escaped[0][1] == "value a\\x1b\\x0a\\xc3\\xa4\\x7f"
    assert 200 < len(escaped[1][1]) < 256
