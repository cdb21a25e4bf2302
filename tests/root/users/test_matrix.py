"""Every verb that changes accounts, interrupted at each of its points, and what happens then: nobody gains or loses.

``matrix_driver`` runs the cases in a scratch host; here is what has to hold.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import pathlib
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import Any

import pytest

from jailssh.scratch.host import ScratchHost
from tests.harness.keys import public_key
from tests.harness.sampling import ALL, some

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]

DRIVER = pathlib.Path(__file__).with_name("matrix_driver.py")
KEYS = {
    name: public_key(number, name)
    for number, name in enumerate(("nina", "olaf", "mona", "ella", "ann", "bob", "zoe"), 1)
}
KILL, INT, HUP, TERM = (int(number) for number in (signal.SIGKILL, signal.SIGINT, signal.SIGHUP, signal.SIGTERM))

# What the administrator asked for: what the account may have by it beside what it had.
ASKED: dict[str, tuple[str, set[str]]] = {
    "adduser new": ("nina", {"key nina", "jail sftp-only", "plan sftp-only"}),
    "adduser existing": ("olaf", {"key olaf", "jail sftp-only", "plan sftp-only"}),
    "adduser move": ("mona", {"jail sftp-ro", "plan sftp-ro"}),
    "deluser created": ("mona", set()),
    "deluser existing": ("ella", {"open"}),
    "keys add": ("forge", {"key bob", "plan of bob", "plan team"}),
    "keys remove": ("forge", set()),
    "apply": ("", set()),
    "setup": ("", set()),
    "setup --undo": ("", set()),
}
# A login without a plan gets the one that the users file says, so a plan is no more than that.
LATER = {"jail sftp-only": {"plan sftp-only"}, "jail sftp-ro": {"plan sftp-ro"}, "jail team": {"plan team"}}
# Those that are made whole or not at all unless they are killed; the others take away, and never give back.
WHOLE = ("adduser new", "adduser existing", "adduser move", "keys add", "setup")
MOST = 3
EMPTY = hashlib.sha256().hexdigest()
BETWEEN = ("", "other", "hand", "use", "space", "nss")


class Driver:
    """A scratch host with the driver, which answers one question at a time."""

    def __init__(self, host: ScratchHost) -> None:
        command = ["/usr/bin/python3", "-B", "-c", DRIVER.read_text(), json.dumps(KEYS)]
        path = {"PYTHONPATH": "/usr/local/lib/jailssh/python"}
        self._child = host.popen(command, env=path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None)
        self._read()

    def ask(self, **row: Any) -> dict[str, Any]:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(row).encode() + b"\n")
        self._child.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        assert line, "the driver ended"
        found: dict[str, Any] = json.loads(line)
        return found


class Drivers:
    """Two of them, so that both cores have work."""

    def __init__(self, drivers: list[Driver]) -> None:
        self._free: Queue[Driver] = Queue()
        self._pool = ThreadPoolExecutor(len(drivers))
        for driver in drivers:
            self._free.put(driver)

    def ask(self, **row: Any) -> dict[str, Any]:
        driver = self._free.get()
        try:
            return driver.ask(**row)
        finally:
            self._free.put(driver)

    def all(self, rows: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        return zip(rows, self._pool.map(lambda row: self.ask(**row), rows), strict=True)


@pytest.fixture(scope="module")
def drivers(staged_prefix: str) -> Iterator[Drivers]:
    with (
        ScratchHost(install={staged_prefix: "/usr/local"}) as one,
        ScratchHost(install={staged_prefix: "/usr/local"}) as two,
    ):
        yield Drivers([Driver(one), Driver(two)])


def assert_nobody_gained(row: dict[str, Any], found: dict[str, Any], stage: str) -> None:
    """Fail if anybody has a way in that was neither there before nor asked for."""
    who, asked = ASKED[row["verb"]]
    for name, now in found[stage]["ways"].items():
        allowed = set(found["before"]["ways"][name]) | (asked if name == who else set())
        allowed = allowed.union(*(LATER.get(way, set()) for way in allowed))
        assert set(now) <= allowed, (row, stage, name)


def assert_nothing_lost(row: dict[str, Any], found: dict[str, Any], stage: str) -> None:
    """Fail if a file of anybody's home is gone or another one, whatever became of its account."""
    before = dict(found["before"]["files"])
    if stage in ("after recovery", "after second"):
        before |= found["after between"]["files"]  # The account has worked meanwhile.
    now = found[stage]["files"]
    # What is empty was made to be covered, and goes with the jail.
    lost = {path for path, digest in before.items() if now.get(path) != digest and digest != EMPTY}
    assert not lost, (row, stage, lost)


@pytest.fixture(scope="module")
def plain(drivers: Drivers) -> dict[str, dict[str, Any]]:
    """What comes of each verb where nothing happens."""
    rows = [{"verb": verb, "between": ""} for verb in ASKED]
    return {row["verb"]: found for row, found in drivers.all(rows)}


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("verb", ASKED)
def test_interrupted(drivers: Drivers, plain: dict[str, dict[str, Any]], verb: str, between: str) -> None:
    points = plain[verb]["first"]["points"]
    assert points, plain[verb]["first"]
    rows = [
        {"verb": verb, "between": between, "at": at, "signal": number, "recover": recover}
        for at, number, recover in itertools.product(range(1, len(points) + 1), (KILL, INT, HUP, TERM), (False, True))
        # What takes back everything leaves nothing to recover.
        if number == KILL or not recover
    ]
    if not ALL:
        rows = of_both_kinds(rows, f"{verb} {between}")
    for row, found in drivers.all(rows):
        first = found["first"]
        assert "broken" not in first, (row, first)
        assert "killed" in first or row["signal"] != KILL, (row, first)
        for stage in ("after first", "after recovery", "after full", "after second"):
            if stage in found:
                assert_nobody_gained(row, found, stage)
                if stage != "after full":
                    assert_nothing_lost(row, found, stage)
        if verb in WHOLE and "error" in first:
            assert found["after first"] == found["before"], row
        if row["recover"]:
            assert "lines" in found["recovered"], (row, found["recovered"])
            # What only takes away has nothing to settle: the same command ends it.
            assert verb.startswith("deluser") or found["after recovery"]["unfinished"] == [], row
        assert "lines" not in found["second"] or found["after second"]["unfinished"] == [], row
        assert_ends_well(row, found, plain[verb])


@pytest.mark.parametrize("verb", [verb for verb in ASKED if not verb.startswith("setup")])
def test_power_cut(drivers: Drivers, plain: dict[str, dict[str, Any]], verb: str) -> None:
    """What stands on the disk at each point, with the rest of the machine's memory gone."""
    points = range(1, len(plain[verb]["first"]["points"]) + 1)
    rows = [{"verb": verb, "between": "", "cut": True, "at": at} for at in points]
    for row, found in drivers.all(some(rows, MOST, verb)):
        assert "killed" in found["first"], (row, found["first"])
        for stage in ("after first", "after second"):
            assert_nobody_gained(row, found, stage)
            assert_nothing_lost(row, found, stage)
        second = found["second"]
        assert "lines" in second or second["error"] == plain[verb]["second"].get("error"), (row, second)
        assert found["after second"]["ways"] == plain[verb]["after second"]["ways"], row
        assert "lines" not in second or found["after second"]["unfinished"] == [], row


def of_both_kinds(rows: list[dict[str, Any]], seed: str) -> list[dict[str, Any]]:
    """Return a part of the cases: of those that end by themselves more."""
    kept = [row for row in rows if row["signal"] == KILL and (row["between"] == "" or row["recover"])]
    return some(kept, MOST, seed) + some(rows, MOST // 2, f"any {seed}")


def assert_ends_well(row: dict[str, Any], found: dict[str, Any], plain: dict[str, Any]) -> None:
    """Fail unless the same verb once more has the end that it has where nothing happens, or says what is in its way."""
    second = found["second"]
    assert "broken" not in second, (row, second)
    if row["between"] in ("hand", "use"):
        return  # Something else is there by then; what nobody may gain or lose has been looked at.
    assert "lines" in second or second == plain["second"], (row, second)
    if (row["between"], row["verb"]) == ("space", "keys remove"):
        return  # What cannot be written anew is narrowed in place, or withdrawn until the next login.
    assert found["after second"]["ways"] == plain["after second"]["ways"], row
    if row["between"] == "other":
        return  # The uids are others.
    for path in {*found["whole"], *plain["whole"]}:
        assert found["whole"].get(path) == plain["whole"].get(path), (row, path)
