"""What jailtime's users wrote: each small spec of tests/scenarios gives exactly this."""

from __future__ import annotations

import pytest

from jailssh.core.errors import ManyErrors
from jailssh.core.names import HostPath, JailPath
from jailssh.jailspec.devices import DeviceType
from jailssh.jailspec.statements import (
    Copy,
    Device,
    Directory,
    Hardlink,
    Origin,
    Run,
    Statement,
    Symlink,
)
from tests.unit.spec_tools import errors, notes, read, scenario, spec

O = Origin("")  # noqa: E741
SRC = HostPath("/SRC/data.txt")


def copy(source: str, target: str | None = None, mode: int | None = None, **more: bool) -> Copy:
    return Copy(HostPath(source), JailPath(target) if target else None, mode, origin=O, **more)  # type: ignore[arg-type]


def dirs(*paths: str, mode: int = 0o755) -> list[Statement]:
    return [Directory(JailPath(path), mode, origin=O) for path in paths]


def link(path: str, target: str) -> Symlink:
    return Symlink(JailPath(path), target, origin=O)


def hard(path: str, existing: str) -> Hardlink:
    return Hardlink(JailPath(path), JailPath(existing), origin=O)


def node(path: str, kind: str, major: int, minor: int, mode: int) -> Device:
    return Device(JailPath(path), DeviceType(kind), major, minor, mode, origin=O)


ACCEPTED: list[tuple[str, str, list[Statement]]] = [
    ("P1", "a1", [copy(SRC)]),
    ("P2", "a2", [copy(SRC, "/x/y.txt")]),
    ("P3", "a3", [copy(SRC, "/x/y.txt", 0o600)]),
    ("P5", "e3", [copy(SRC, "/755")]),
    ("P5", "e4", [copy(SRC, "/755", 0o755)]),
    ("P9", "a5", dirs("/a/b/c")),
    ("P9", "a6", dirs("/a/b/c", mode=0o700)),
    ("P10", "a7", dirs("/srv/nfs/alice/.ssh", "/srv/nfs/bob/.ssh")),
    ("P11", "a8", dirs("/srv/a/c", "/srv/a/d", "/srv/b/c", "/srv/b/d")),
    ("P13", "h4", dirs("/a", "/b", "/preapost", "/prebpost", "/v1", "/v")),
    ("P15", "b11", [copy("/bin/ls"), copy("/bin/cat")]),
    ("P15", "b10", [copy("/usr/bin/*sum", glob=True)]),
    ("P17", "e6", [link("/x", "/y"), hard("/p", "/etc/hostname")]),
    ("P19", "e9", [link("/lib64", "usr/lib64/")]),
    ("P22", "e11", [copy("/f1")]),
    ("P22", "e12", [*dirs("/d1"), *dirs("/d2", mode=0o700)]),
    ("P23", "e13", dirs("/d1", "/d2")),
    ("P26", "a13", [node("/dev/null", "c", 1, 3, 0o666), node("/dev/zero", "c", 1, 5, 0o666)]),
    (
        "P27",
        "a14",
        [
            node("/dev/foo", "p", 0, 0, 0o644),
            node("/dev/sock", "s", 0, 0, 0o644),
            node("/dev/blk", "b", 7, 0, 0o600),
            node("/dev/u", "c", 1, 3, 0o666),
        ],
    ),
    ("P27", "i4", [node("/dev/foo", "p", 0, 0, 0o644)]),
    ("P41", "b13", [copy("/SRC/my file", "/x")]),
    ("P42", "h7", []),
    ("P43", "h3", [copy(SRC, "/dbl/f")]),
    ("P45", "i5", dirs("/d/é ü")),
    ("P46", "i7", []),
    ("modes", "h20", [copy(SRC, "/f", 0o644), copy(SRC, "/g", 0o755), copy(SRC, "/h", 0o7)]),
    ("B1", "c13", [copy("/etc/hostname", "/x")]),
    ("B3", "c14", [copy(SRC, "/x", 0o644)]),
    ("B3", "c15", dirs("/d")),
    ("B25", "c1", [copy(SRC, "/f"), hard("/g", "/f")]),
    ("explicit beats implied", "h14", [link("/a/b", "../c"), *dirs("/a")]),
    ("explicit beats implied", "c16", [*dirs("/d", mode=0o700), *dirs("/d/e")]),
    ("explicit beats implied", "b8", [*dirs("/etc"), copy("/etc/hostname")]),
]


@pytest.mark.parametrize(("row", "name", "expected"), ACCEPTED, ids=lambda value: value if value is not None else "")
def test_accepted(row: str, name: str, expected: list[Statement]) -> None:
    assert list(spec(scenario(name)).statements) == expected


# Row, file, and for each error: line, column, what the message says.
REFUSED: list[tuple[str, str, list[tuple[int, int, str]]]] = [
    ("P6", "e2", [(1, 15, "'888' is not an octal mode and not an absolute path")]),
    ("P7", "b5", [(1, 18, "invalid file mode: 999")]),
    ("P7", "b7", [(1, 5, "invalid directory mode: 999")]),
    ("P7", "d3", [(1, 17, "invalid file mode: 999")]),
    ("P14", "h6", [(1, 3, "unbalanced brace"), (2, 3, "unbalanced brace")]),
    ("P14", "h5", [(1, 1, "a path must be absolute")]),
    ("P18", "e5", [(1, 10, "more than one arrow")]),
    ("P29", "d4", [(1, 13, "incomplete")]),
    ("P29", "d5", [(1, 11, "unknown device type 'x'")]),
    ("P29", "d7", [(1, 13, "'-1' is not a number")]),
    ("P30", "d6", [(1, 13, "out of range")]),
    ("P31", "h10", [(1, 24, "'extra' is not a number")]),
    ("P31", "h11", [(1, 11, "unknown device type 'C'")]),
    ("P38", "b15", [(1, 1, "include needs a file")]),
    ("P38", "b16", [(1, 1, "run needs a command")]),
    ("P38", "b14", [(1, 1, "'INCLUDE' is neither an absolute path nor a statement")]),
    ("P38", "b17", [(1, 1, "'runny' is neither")]),
    ("P38", "b4", [(1, 1, "'garbage' is neither")]),
    ("P38", "b3", [(1, 1, "'bin/bash' is neither an absolute path")]),
    ("P43", "h2", [(3, 1, "'/d3/../d4/' has '..'")]),
    ("B5", "c18", [(3, 1, "/bin/sh is a file here, but a symbolic link in t.jailspec:2:1")]),
    ("B5", "c19", [(2, 1, "/bin/sh is a symbolic link here, but a file in t.jailspec:1:1")]),
    ("B25", "c3b", [(2, 7, "'f' is not absolute")]),
    ("ambiguous", "e8", [(1, 15, "two paths")]),
]


@pytest.mark.parametrize(("row", "name", "expected"), REFUSED)
def test_refused(row: str, name: str, expected: list[tuple[int, int, str]]) -> None:
    found = errors(scenario(name))
    assert [(error.origin.line, error.origin.column) for error in found] == [(line, at) for line, at, _ in expected]
    for error, (line, column, text) in zip(found, expected, strict=True):
        assert text in error.why
        assert error.lines()[0].startswith(f"jailssh: t.jailspec:{line}:{column}: ")


def test_p3_p9_implied_parents_are_plain() -> None:
    found = spec(scenario("a3") + scenario("a6"))
    assert [(each.path, each.mode, each.owner) for each in found.parents] == [
        ("/a", 0o755, ""),
        ("/a/b", 0o755, ""),
        ("/x", 0o755, ""),
    ]
    assert all(each.implied for each in found.parents)


def test_p21_blanks_and_comments() -> None:
    assert spec(" # c\n\n\t \n  /d/\t\n\t/e/ 700\t# trailing\n").statements == (*dirs("/d"), *dirs("/e", mode=0o700))


@pytest.mark.parametrize("line", ["/" + "a" * 70_000, "/SRC /" + "b/" * 35_000 + "c", "/d/" + "x/" * 40_000])
def test_p25_long_line(line: str) -> None:
    (error,) = errors("\n" + line + "\n")
    assert error.origin.line == 2
    assert "longer than a path may be" in error.why
    assert spec("/d/ #" + "x" * 70_000).statements == tuple(dirs("/d"))


def test_p33_nested_include() -> None:
    files: dict[str, bytes | str] = {
        "/s/e16.jailspec": scenario("e16"),
        "/s/sub/a.jailspec": "include b.jailspec\n/a/\n",
        "/s/sub/b.jailspec": "/b/\n",
    }
    assert read(files, "/s/e16.jailspec").statements == tuple(dirs("/b", "/a"))


def test_p34_include_beside_the_real_file() -> None:
    files: dict[str, bytes | str] = {
        "/real/e20.jailspec": scenario("e20"),
        "/real/a.jailspec": "/a/\n",
        "/links/a.jailspec": "/wrong/\n",
    }
    links = {"/links/e20.jailspec": "/real/e20.jailspec"}
    assert read(files, "/links/e20.jailspec", links=links).statements == tuple(dirs("/a"))


def test_p35_absolute_include() -> None:
    files: dict[str, bytes | str] = {"/s/e14.jailspec": scenario("e14"), "/SRC/w/e14/inc.jailspec": "/a/\n"}
    assert read(files, "/s/e14.jailspec").statements == tuple(dirs("/a"))


def test_p37_same_include_twice() -> None:
    found = read({"e21.jailspec": scenario("e21"), "inc.jailspec": "/a/\n"}, "e21.jailspec")
    assert found.statements == tuple(dirs("/a"))
    assert found.notes == ()


def test_p39_run_is_verbatim() -> None:
    assert spec(scenario("h8")).runs == (Run("echo 'a # b' ; echo $PWD", origin=O),)


def test_p47_all_errors_of_all_files() -> None:
    files = {
        "b.jailspec": "garbage\n/ok/\n/x 999 999\ninclude c.jailspec\n",
        "a.jailspec": "include\n",
        "c.jailspec": "/d/ 9\n",
    }
    with pytest.raises(ManyErrors) as caught:
        read(files, "b.jailspec", "a.jailspec")
    assert [error.what for error in caught.value.errors] == [
        "a.jailspec:1:1",
        "b.jailspec:1:1",
        "b.jailspec:3:8",
        "c.jailspec:1:5",
    ]
    assert "  included from b.jailspec:4:1" in caught.value.lines()


def test_b1_the_overridden_line_is_named() -> None:
    assert notes(spec(scenario("c13"))) == ["t.jailspec:2:1: /x: counts instead of t.jailspec:1:1"]


@pytest.mark.parametrize(("order", "mode"), [(("a", "b"), 0o644), (("b", "a"), 0o600)])
def test_b2_the_last_file_wins(order: tuple[str, str], mode: int) -> None:
    files = {"a": "/SRC /x 600\n", "b": "/SRC /x 644\n"}
    assert read(files, *order).statements == (copy("/SRC", "/x", mode),)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("c13", [copy(SRC, "/x")]),
        ("c14", [copy(SRC, "/x", 0o600)]),
        ("c15", dirs("/d", mode=0o700)),
        ("c18", [copy("/bin/bash"), link("/bin/sh", "/bin/bash")]),
        ("c19", [copy(SRC, "/bin/sh")]),
    ],
)
def test_first_wins_as_in_jailtime(name: str, expected: list[Statement]) -> None:
    found = spec(scenario(name), first_wins=True)
    assert list(found.statements) == expected
    assert len(found.notes) == 1


def test_b6_runs_are_last_and_in_order() -> None:
    found = spec(scenario("c8"))
    assert found.statements == (copy(SRC, "/f"),)
    assert [run.command for run in found.runs] == ["echo b >> ./log", "ls -a", "echo a >> ./log", "cat ./log"]


def test_tabs_and_a_missing_include() -> None:
    (error,) = errors(scenario("h9"))
    assert (error.origin.line, error.origin.column) == (2, 2)
    assert error.why == "nothing.js: No such file or directory"
