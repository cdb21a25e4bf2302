"""Many homes looked at in one process: each with its account's rights alone, and none holds up the others."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.core.errors import HostError
from jailssh.files.mounts import Mount
from jailssh.host import as_each
from jailssh.host.accounts import AccountEntry

pytestmark = pytest.mark.needs("root")

FIRST = 61000


def entry(number: int, home: str = "/nonexistent", *more: int) -> AccountEntry:
    uid = FIRST + number
    groups = (("own", uid), *(("more", gid) for gid in more))
    return AccountEntry(f"u{number}", uid, uid, group="own", home=home, shell="", gecos="", groups=groups)


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Path]:
    for each in (tmp_path, *tmp_path.parents[:-1]):
        each.chmod(each.stat().st_mode | 0o011)
    yield tmp_path


def children() -> set[str]:
    return set(Path("/proc/thread-self/children").read_text().split())


def test_each_is_asked_as_itself_with_no_capability() -> None:
    def question(each: AccountEntry) -> bytes:
        status = Path("/proc/thread-self/status").read_text()
        caps = next(line.split()[1] for line in status.splitlines() if line.startswith("CapEff"))
        return f"{os.getresuid()} {os.getegid()} {sorted(os.getgroups())} {int(caps, 16)}".encode()

    asked = [entry(0, "/", 700), entry(1)]
    before = children()
    found = dict(as_each.ask_each(asked, question))
    assert found[asked[0]] == f"(0, {FIRST}, 0) {FIRST} [700, {FIRST}] 0".encode()
    assert found[asked[1]] == f"(0, {FIRST + 1}, 0) {FIRST + 1} [{FIRST + 1}] 0".encode()
    assert os.getresuid() == (0, 0, 0)
    # The process that has looked is not left behind.
    assert children() == before


def test_it_reads_what_the_account_may_and_nothing_else(homes: Path) -> None:
    asked = []
    for number in range(3):
        home = homes / str(number)
        home.mkdir(mode=0o700)
        (home / "file").write_text(str(number))
        os.chown(home, FIRST + number, FIRST + number)
        asked.append(entry(number, str(home)))
    (homes / "2/file").unlink()
    (homes / "2/file").symlink_to("/etc/shadow")

    def question(each: AccountEntry) -> bytes:
        other = str(homes / str((int(each.name[1:]) + 1) % 3))
        return Path(each.home, "file").read_bytes() + str(os.access(other, os.R_OK, effective_ids=True)).encode()

    answers = [answer for _, answer in as_each.ask_each(asked, question)]
    assert answers[:2] == [b"0False", b"1False"]
    assert isinstance(answers[2], HostError)
    assert "permission denied" in str(answers[2])


def test_what_fails_or_says_too_much_is_the_account_s_own() -> None:
    def question(each: AccountEntry) -> bytes:
        if each.name == "u1":
            raise ValueError("not for the report")
        return b"x" * (as_each.MAX_ANSWER + 1) if each.name == "u2" else b"fine"

    answers = [answer for _, answer in as_each.ask_each([entry(number) for number in range(4)], question)]
    assert [answers[0], answers[3]] == [b"fine", b"fine"]
    assert "ValueError" in str(answers[1])
    assert "too much data" in str(answers[2])


def test_root_is_not_asked() -> None:
    root = AccountEntry("root", 0, 0, group="root", home="/root", shell="", gecos="", groups=(("root", 0),))
    answers = [answer for _, answer in as_each.ask_each([root, entry(1)], lambda each: b"asked")]
    assert isinstance(answers[0], HostError)
    assert answers[1] == b"asked"


def test_the_order_is_kept_and_a_killed_process_is_one_account_s() -> None:
    def question(each: AccountEntry) -> bytes:
        if each.name == "u50":
            os._exit(9)
        return each.name.encode()

    asked = [entry(number) for number in range(100)]
    found = list(as_each.ask_each(asked, question))
    assert [each for each, _ in found] == asked
    assert "killed" in str(found[50][1])
    assert all(answer == each.name.encode() for each, answer in found if each is not asked[50])


def test_a_home_that_does_not_answer_is_told_and_the_others_are_looked_at(tmp_path: Path) -> None:
    hangs = {"u1", "u3"}

    def question(each: AccountEntry) -> bytes:
        if each.name in hangs:
            time.sleep(60)
        return b"here"

    began = time.monotonic()
    answers = [answer for _, answer in as_each.ask_each([entry(number) for number in range(5)], question, 0.2)]
    assert time.monotonic() - began < 5
    assert [answer == b"here" for answer in answers] == [True, False, True, False, True]
    assert "no answer within 0.2 seconds" in str(answers[1])


def test_after_three_in_a_row_no_other_home_of_that_file_system_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    points = ("/", "/srv/dead", "/home")
    mounts = [Mount(number, 0, "0:1", "/", point) for number, point in enumerate(points)]
    monkeypatch.setattr(as_each, "mounts_of", lambda: mounts)
    asked = [entry(number, f"/{'home' if number % 2 else 'srv/dead'}/u{number}") for number in range(40)]

    def question(each: AccountEntry) -> bytes:
        if each.home.startswith("/srv/dead"):
            time.sleep(60)
        return b"here"

    found = list(as_each.ask_each(asked, question, 0.1))
    assert [each for each, _ in found] == asked
    assert all(answer == b"here" for each, answer in found if each.home.startswith("/home"))
    dead = [str(answer) for each, answer in found if each.home.startswith("/srv/dead")]
    assert sum("no answer within" in why for why in dead) == as_each.PATIENCE
    assert sum("other homes on the same file system" in why for why in dead) == len(dead) - as_each.PATIENCE


def test_what_hangs_keeps_neither_a_lock_nor_the_output(tmp_path: Path) -> None:
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)

    def question(each: AccountEntry) -> bytes:
        return " ".join(sorted(os.listdir("/proc/self/fd"), key=int)).encode()

    ((_, answer),) = as_each.ask_each([entry(0)], question)
    assert isinstance(answer, bytes)
    # The null device three times, the pipe, and the directory that is being listed.
    assert len(answer.split()) == 5
    os.close(lock)


def test_a_thousand_take_a_fraction_of_a_second(homes: Path) -> None:
    asked = [entry(number, str(homes)) for number in range(1000)]

    def question(each: AccountEntry) -> bytes:
        return str(os.stat(each.home).st_mode).encode()

    def seconds() -> float:
        began = time.monotonic()
        assert len(list(as_each.ask_each(asked, question))) == 1000
        return time.monotonic() - began

    assert min(seconds() for _ in range(3)) < 1.0
