"""A run of checks: each by itself, whatever one of them does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from jailssh.core.errors import HostError, ManyErrors, UsageError
from jailssh.host.paths import Layout
from jailssh.integrity.check import Check, third_party
from jailssh.integrity.finding import Finding, Kind, Severity
from jailssh.integrity.kept import Kept, stamp_of
from jailssh.integrity.run import EXIT_BLIND, MOST_ALIKE, run
from jailssh.integrity.scene import Scene

HIGH = Kind("JSH-901", Severity.HIGH, "high", "Why.", "cure")
LOW = Kind("JSH-902", Severity.LOW, "low", "Why.", "cure")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    for folder in ("etc/jailssh/jails", "etc/jailssh/users", "var/lib/jailssh"):
        (tmp_path / folder).mkdir(parents=True)
    layout = Layout(str(tmp_path))
    return Scene(layout, Kept(layout))


def check(name: str, collect: Callable[[Scene], Any], judge: Callable[[Any], Any]) -> Check:
    return Check(name, "", (HIGH, LOW), collect, judge)


def raising(error: BaseException) -> Callable[[Scene], Any]:
    def collect(_: Scene) -> Any:
        raise error

    return collect


def two(_: Any) -> Iterator[Finding]:
    yield Finding(LOW, "b", "w")
    yield Finding(HIGH, "a", "w")
    yield Finding(HIGH, "a", "other words about the same")


@pytest.mark.parametrize(
    "error",
    [
        HostError("a", "b"),
        ManyErrors([UsageError("a", "b")]),
        OSError(5, "io"),
        TypeError("x"),
        RecursionError(),
        KeyError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_one_that_fails_takes_no_other_down(scene: Scene, error: BaseException) -> None:
    result = run(scene, [check("bad", raising(error), two), check("good", lambda _: None, two)])
    assert [(each.kind.id, each.object) for each in result.findings] == [("JSH-901", "a"), ("JSH-902", "b")]
    assert len(result.blind) == 1
    assert result.exit_code == EXIT_BLIND


def test_what_several_say_of_the_same_is_not_lost(scene: Scene) -> None:
    def many(_: Any) -> Iterator[Finding]:
        yield from two(None)
        yield from two(None)
        yield from (Finding(LOW, "c", f"w{number}", cure=f"c{number % 2}") for number in range(9000))

    high, low, more = run(scene, [check("x", lambda _: None, many)]).findings
    assert (high.what, high.cure, low.what) == ("w; other words about the same", "cure", "w")
    assert (more.what, more.cure) == ("w0; w1; w2; w3; w4; and 8995 more", "c0; c1")
    assert high.fingerprint == Finding(HIGH, "a", "w").fingerprint


def test_a_judgement_that_fails_is_no_empty_result(scene: Scene) -> None:
    assert run(scene, [check("bad", lambda _: None, raising(ValueError()))]).exit_code == EXIT_BLIND


class Entry:
    def __init__(self, name: str, found: Any) -> None:
        self.name = name
        self._found = found

    def load(self) -> Any:
        if isinstance(self._found, BaseException):
            raise self._found
        return self._found


OURS = check("x", lambda _: None, two)
THEIRS = Check("x", "", (Kind("ACME-001", Severity.LOW, "t", "W.", "c"),), lambda _: None, lambda _: ())


@pytest.mark.parametrize(
    ("found", "named", "count", "why"),
    [
        (THEIRS, ("x",), 1, ""),
        (THEIRS, (), 0, ""),  # not even imported
        (SystemExit(1), (), 0, ""),
        (THEIRS, ("y",), 0, "is not installed"),
        (OURS, ("x",), 0, "begin with JSH-"),
        ("text", ("x",), 0, "is not a check"),
        (SystemExit(1), ("x",), 0, "cannot be loaded"),
        (ImportError("no"), ("x",), 0, "cannot be loaded"),
    ],
)
def test_checks_of_others(
    monkeypatch: pytest.MonkeyPatch, found: Any, named: tuple[str, ...], count: int, why: str
) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [Entry("x", found)])
    usable, errors = third_party(named)
    assert len(usable) == count
    assert [why in str(error) for error in errors] == ([True] if why else [])


def test_facts_are_kept_while_they_hold(scene: Scene) -> None:
    calls: list[int] = []

    def make() -> int:
        calls.append(1)
        return len(calls)

    layout = scene.layout
    for stamp, expected in (("a", 1), ("a", 1), ("b", 2)):
        kept = Kept(layout)
        assert kept.get("area", "name", stamp, make) == expected
        kept.save()
    assert Kept(layout, full=True).get("area", "name", "b", make) == 3


def test_a_fact_rests_on_its_directories_but_not_on_what_is_in_them(scene: Scene, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    calls: list[int] = []

    def make() -> tuple[int, list[str]]:
        calls.append(1)
        return len(calls), [str(place)]

    def look() -> int:
        kept = Kept(scene.layout)
        found: int = kept.watched("a", "n", "s", make)
        kept.save()
        return found

    assert look() == look() == 1
    (place / "new").touch()
    assert look() == 1
    place.chmod(0o700 if place.stat().st_mode & 0o777 != 0o700 else 0o755)
    assert look() == 2
    (place / "new").unlink()
    place.rmdir()
    assert look() == 3


def test_a_run_about_one_account_forgets_nothing_of_the_others(scene: Scene) -> None:
    for whole, names, left in ((True, "ab", "ab"), (False, "a", "ab"), (True, "a", "a")):
        kept = Kept(scene.layout)
        for name in names:
            kept.get("area", name, "stamp", lambda: 1)
        kept.save(whole=whole)
        assert "".join(Kept(scene.layout).all_of("area")) == left


def test_the_same_words_about_two_things_are_two_findings() -> None:
    assert Finding(HIGH, "a", "w", detail="x").fingerprint != Finding(HIGH, "a", "w", detail="y").fingerprint
    assert Finding(HIGH, "a", "w").fingerprint == Finding(HIGH, "a", "other words").fingerprint


def test_what_is_kept_of_an_account_ends_with_the_day(scene: Scene) -> None:
    # An end in the configuration comes without a change of any file.
    later = Scene(scene.layout, scene.kept, now=scene.now + 86400)
    assert scene.settings_stamp == Scene(scene.layout, scene.kept, now=scene.now).settings_stamp
    assert scene.settings_stamp != later.settings_stamp


def test_what_is_begun_is_ended_and_one_that_cannot_begin_still_looks(scene: Scene) -> None:
    seen: list[str] = []

    @contextmanager
    def begin(_: Scene) -> Iterator[None]:
        seen.append("begun")
        yield
        seen.append("ended")

    @contextmanager
    def broken(_: Scene) -> Iterator[None]:
        raise HostError("a", "b")
        yield

    def look(_: Scene) -> None:
        seen.append("looks")

    checks = [
        replace(check("first", look, two), begin=broken),
        replace(check("second", look, two), begin=begin),
    ]
    result = run(scene, checks)
    assert seen == ["begun", "looks", "looks", "ended"]
    assert len(result.findings) == 2 and [error.why for error in result.blind] == ["b"]
    assert result.exit_code == EXIT_BLIND


@pytest.mark.parametrize("change", ["file", "target", "link", "gone"])
def test_a_stamp_changes_with_the_file_the_link_and_what_it_leads_to(tmp_path: Path, change: str) -> None:
    file, link, target = (tmp_path / name for name in ("file", "link", "target"))
    for path in (file, target):
        path.write_text("a")
    link.symlink_to("target")
    paths = [str(file), str(link), str(tmp_path / "nothing")]
    before = stamp_of(paths, 1)
    assert before == stamp_of(paths, 1) != stamp_of(paths, 2)
    if change == "link":
        link.unlink()
        link.symlink_to("file")
    elif change == "gone":
        file.unlink()
    else:
        (tmp_path / change).write_text("bb")
    assert stamp_of(paths, 1) != before


def test_an_account_that_makes_many_findings_hides_nobody_else_s(scene: Scene) -> None:
    scene.users = {"alice", "bob"}

    def many(_: Any) -> Iterator[Finding]:
        yield from (Finding(LOW, f"file {number:06}", "w", account="alice") for number in range(MOST_ALIKE + 7))
        yield Finding(LOW, "file z", "w", account="bob")
        yield Finding(HIGH, "a", "w", account="alice")

    result = run(scene, [check("c", lambda _: None, many)])
    assert len(result.findings) == MOST_ALIKE + 2
    assert [each.what for each in result.findings[-2:]] == ["w; and 7 more of account alice", "w"]
    assert {each.what for each in result.findings[:-2]} == {"w"}
