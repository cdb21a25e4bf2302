"""Work on many things, a part of them in each process: all of it is told once and in order, whatever happens."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from jailssh.closure.errors import MissingLibraryError
from jailssh.core.errors import ConfigError, HostError, JailsshError, as_plain, from_plain
from jailssh.files import shares
from tests.harness.interrupts import interrupted

ITEMS = list(range(1000))


@pytest.fixture(autouse=True)
def _two_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "others", lambda: 2)


def _told(work: Callable[[Sequence[int]], Iterator[shares.Row]], items: Sequence[int] = ITEMS) -> list[shares.Row]:
    told: list[shares.Row] = []
    shares.divide(items, work, told.append, "counted")
    return told


def _with_process(part: Sequence[int]) -> Iterator[shares.Row]:
    for number in part:
        yield [number, os.getpid(), "\udcff"]


def test_all_is_told_in_order_by_several() -> None:
    told = _told(_with_process)
    assert [row[0] for row in told] == ITEMS
    assert {row[2] for row in told} == {"\udcff"}
    pids = [row[1] for row in told]
    assert len(set(pids)) == 3 and pids[0] == os.getpid()


@pytest.mark.parametrize("items", [[], [5], ITEMS[: shares.MANY - 1]])
def test_a_few_are_done_here(items: list[int]) -> None:
    assert [row[:2] for row in _told(_with_process, items)] == [[number, os.getpid()] for number in items]


def test_without_more_processes_this_one_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> NoReturn:
        raise BlockingIOError(11, os.strerror(11))

    monkeypatch.setattr(os, "fork", fork)
    assert [row[:2] for row in _told(_with_process)] == [[number, os.getpid()] for number in ITEMS]


def _failing(at: int) -> Callable[[Sequence[int]], Iterator[shares.Row]]:
    def work(part: Sequence[int]) -> Iterator[shares.Row]:
        for number in part:
            if number == at:
                raise ConfigError("x", "odd", hint="mend it")
            yield [number]

    return work


@pytest.mark.parametrize("at", [100, 500, 900])
def test_what_one_raises_is_raised_and_what_was_told_is_taken(at: int) -> None:
    told: list[shares.Row] = []
    with pytest.raises(ConfigError, match="x: odd") as found:
        shares.divide(ITEMS, _failing(at), told.append, "counted")
    assert found.value.hint == "mend it"
    numbers = [row[0] for row in told]
    assert at not in numbers and at - 1 in numbers and numbers == sorted(set(numbers))


def test_who_is_killed_is_missed() -> None:
    def work(part: Sequence[int]) -> Iterator[shares.Row]:
        if 999 in part:
            os.kill(os.getpid(), signal.SIGKILL)
        yield [len(part)]

    with pytest.raises(HostError, match="accounts: a process that counted was killed by signal 9"):
        _told(work)


def test_who_is_interrupted_lets_the_others_leave_things_in_order(tmp_path: Path) -> None:
    here, descriptors = os.getpid(), os.listdir("/proc/self/fd")
    told: list[shares.Row] = []

    def work(part: Sequence[int]) -> Iterator[shares.Row]:
        yield [part[0]]
        if os.getpid() == here:
            while len([*tmp_path.iterdir()]) < 2:
                time.sleep(0.01)
            raise KeyboardInterrupt
        place = tmp_path / str(os.getpid())
        place.touch()
        try:
            time.sleep(120)
        finally:
            place.write_text("in order")

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        shares.divide(ITEMS, work, told.append, "counted")
    assert time.monotonic() - begun < 60
    assert [each.read_text() for each in tmp_path.iterdir()] == ["in order"] * 2
    assert told == [[0], [333], [666]]
    assert os.listdir("/proc/self/fd") == descriptors
    for each in tmp_path.iterdir():
        with pytest.raises(ChildProcessError):
            os.waitpid(int(each.name), os.WNOHANG)


def test_who_is_interrupted_while_it_waits_ends_them() -> None:
    here = os.getpid()

    def work(part: Sequence[int]) -> Iterator[shares.Row]:
        yield [part[0]]
        if os.getpid() != here:
            time.sleep(120)

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt), interrupted():
        _told(work)
    assert time.monotonic() - begun < 60


def test_an_error_is_the_same_behind_another_process() -> None:
    for error in (
        ConfigError("a:1", "b", hint="c"),
        HostError("d", "e"),
        MissingLibraryError("f", "g", hint="h", library="i"),
    ):
        again = from_plain(as_plain(error))
        assert (type(again), again.lines(), str(again)) == (type(error), error.lines(), str(error))
    kinds, *said = as_plain(HostError("a", "b"))
    assert isinstance(kinds, list)
    # A class that this process has not loaded is the one that it derives from.
    assert type(from_plain([["elsewhere.Unheard", *kinds], *said])) is HostError
    assert type(from_plain([["elsewhere.Unheard", kinds[-1]], *said])) is JailsshError
