"""Webhooks: what is sent, who says where to, and what waits."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from jailssh.core.errors import HostError
from jailssh.core.webhook import name_of
from jailssh.files import fs
from jailssh.host import journal
from jailssh.host.journal import JournalRecord
from jailssh.host.paths import Layout
from jailssh.webhooks import queue as queues
from jailssh.webhooks import server
from jailssh.webhooks.delivery import GIVE_UP, Delivery, address_of, delivery_of, headers_of, is_push
from jailssh.webhooks.queue import Queue
from jailssh.webhooks.server import Sender, Stopped

ADDRESS = "https://ci.example.org/push?x=1"
HOOK = name_of(ADDRESS)
OLD, NEW = "1" * 40, "2" * 40
OPTIONS = {"after_push": (f"** refs/** {ADDRESS}", "x refs/tags/* /etc/tagged https://no.example")}


def record(**more: str) -> JournalRecord:
    fields = {
        "JAILSSH_EVENT": "message", "JAILSSH_USER": "git", "JAILSSH_JAIL": "j", "JAILSSH_SESSION": "0" * 16,
        "JAILSSH_UID": "7", "_UID": "77", "PUSH_HOOK": HOOK, "PUSH_REPOSITORY": "/srv/x.git", "PUSH_REFERENCES": "2",
        "PUSH_UPDATES": f"{OLD} {NEW} refs/heads/a {OLD} {NEW} refs/heads/\udcff", "PUSH_KEY": "ann",
    }  # fmt: skip
    return JournalRecord("", 1000.0, {**fields, **more})


@pytest.fixture(autouse=True)
def relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_relay_uid", lambda: "77")


def waiting(number: int = 0, account: str = "git", **more: Any) -> Delivery:
    values = {"id": f"{number:016x}", "hook": HOOK, "jail": "j", "account": account, "body": "{}", "begun": 1000.0}
    return Delivery(**{**values, **more})


def test_only_what_the_relay_tells_of_a_push_is_one() -> None:
    assert is_push(record())
    for more in ({"_UID": "7"}, {"_UID": "0"}, {"JAILSSH_EVENT": "session-start"}, {"PUSH_HOOK": ADDRESS},
                 {"PUSH_HOOK": ""}, {"PUSH_HOOK": f"{HOOK}\n"}):  # fmt: skip
        assert not is_push(record(**more)), more


def test_the_body_tells_of_the_push() -> None:
    body = json.loads(delivery_of(record(), "host1", "ab").body)
    assert body == {
        "event": "push", "id": "ab", "time": 1000.0, "host": "host1", "account": "git", "jail": "j",
        "session": "0" * 16, "key": "ann", "repository": "/srv/x.git", "count": 2,
        "references": [{"name": "refs/heads/a", "old": OLD, "new": NEW},
                       {"name": "refs/heads/\udcff", "old": OLD, "new": NEW}],
    }  # fmt: skip


@pytest.mark.parametrize("updates", ["", "x", f"{OLD} {NEW}", "  ", "a b c d", "\udcff" * 100_000])
def test_a_message_of_any_form_is_some_delivery(updates: str, tmp_path: Path) -> None:
    made = delivery_of(
        record(PUSH_UPDATES=updates, PUSH_REFERENCES="-1e9", PUSH_REPOSITORY="\udcff" * 65536), "h", "ab"
    )
    queue = Queue(str(tmp_path / "q"))
    queue.put(made)
    assert Queue(str(tmp_path / "q")).next() == made


WIDE = "\U0001f600"
"""A character that takes 12 bytes in JSON."""


def test_the_largest_message_waits_in_little_memory() -> None:
    more = {"PUSH_REPOSITORY": WIDE * 65536, "PUSH_KEY": WIDE * 65536}
    for updates in (" " * 65536, WIDE * 65536, f"{WIDE} " * 65536, f"{OLD} {NEW} {WIDE * 4000} " * 9):
        assert len(delivery_of(record(PUSH_UPDATES=updates, **more), "h", "ab").body) <= 96 << 10
    # All that a hook tells of a push is sent: 24 KiB (VALUE_MOST in refs/tell.c).
    line = f"{OLD} {NEW} refs/heads/{WIDE * 900}"
    whole = delivery_of(record(PUSH_UPDATES=" ".join([line] * 6)), "h", "ab")
    assert len(json.loads(whole.body)["references"]) == 6


def test_a_jail_names_an_address_of_its_own_file_and_no_other() -> None:
    assert address_of(HOOK, OPTIONS) == ADDRESS
    assert address_of(name_of("https://evil.example/"), OPTIONS) == ""
    # An argument of a command is none.
    assert address_of(name_of("https://no.example"), OPTIONS) == ""
    assert address_of(HOOK, {}) == ""


def test_the_body_is_signed() -> None:
    made = delivery_of(record(), "h", "ab")
    expected = hmac.new(b"secret", made.body.encode(), hashlib.sha256).hexdigest()
    assert headers_of(made, b"secret")["X-Hub-Signature-256"] == f"sha256={expected}"


def test_attempts_are_further_and_further_apart_and_end() -> None:
    each, waits, now = waiting(), [], 1000.0
    while (later := each.later(now)) is not None:
        waits.append(later.due - now)
        each, now = later, later.due
    assert waits[:4] == [30.0, 60.0, 120.0, 240.0]
    assert (max(waits), GIVE_UP <= now - 1000.0 < GIVE_UP + 3601) == (3600.0, True)


def test_the_queue_has_an_end_and_outlives_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "MOST", 5)
    monkeypatch.setattr(queues, "MOST_OF_ONE", 3)
    folder = tmp_path / "q"
    queue = Queue(str(folder))
    assert (folder.stat().st_mode & 0o777, queue.cursor()) == (0o700, "")
    for number in range(3):
        queue.put(waiting(number, due=float(3 - number)))
    queue.reached("s=1")
    assert (queue.has_room("git"), queue.has_room("other")) == (False, True)
    (folder / "half.json").write_text('{"id": "x"')
    again = Queue(str(folder))
    first = again.next()
    assert (first, again.cursor()) == (waiting(2, due=1.0), "s=1")
    again.drop(waiting(2))
    assert again.has_room("git")
    assert sorted(os.listdir(folder)) == [f"{0:016x}.json", f"{1:016x}.json", "cursor"]


class Sent:
    """Stands for the network: ``answers`` in turn, the last one for ever."""

    def __init__(self, *answers: str) -> None:
        self.answers, self.seen = list(answers), list[tuple[str, bytes, Any]]()

    def __call__(self, *request: Any) -> str:
        self.seen.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Sender, Queue, Sent]:
    queue, sent = Queue(str(tmp_path / "q")), Sent("status 503", "")
    made = Sender(Layout(str(tmp_path)), queue, sent)
    monkeypatch.setattr(made, "_address", lambda each: (ADDRESS, b"k" * 16) if each.jail == "j" else ("", b""))
    return made, queue, sent


def test_one_that_fails_is_tried_again_and_the_others_of_the_address_wait(
    sender: tuple[Sender, Queue, Sent], capsys: pytest.CaptureFixture[str]
) -> None:
    made, queue, sent = sender
    now = 1e12  # in a year that no clock of the test has
    for number in range(2):
        queue.put(waiting(number, begun=now))
    assert made.send_one(now)
    assert not made.send_one(now + 29)
    assert 29 < made.wait(now) <= 30
    assert made.send_one(now + 31) and made.send_one(now + 31) and not made.send_one(now + 31)
    assert [request[0] for request in sent.seen] == [ADDRESS] * 3
    said = capsys.readouterr().err
    assert (said.count("failed: status 503; next attempt in 30 s"), said.count(": sent\n")) == (1, 2)
    assert ADDRESS not in said


def test_new_ones_do_not_keep_others_from_another_attempt(tmp_path: Path) -> None:
    queue = Queue(str(tmp_path / "q"))
    queue.put(waiting(1, due=1030.0, attempts=1))
    for number in range(2, 5):
        queue.put(waiting(number, hook="0" * 32, begun=1030.0 + number))
    assert queue.next() == waiting(1, due=1030.0, attempts=1)


def test_new_ones_for_an_address_that_is_away_wait_with_the_others(sender: tuple[Sender, Queue, Sent]) -> None:
    made, queue, sent = sender
    now = 1e12
    queue.add(waiting(1, begun=now))
    assert made.send_one(now)
    queue.add(waiting(2, begun=now + 1))
    queue.add(waiting(3, begun=now + 1, hook="0" * 32))
    assert made.send_one(now + 2) and not made.send_one(now + 2)
    assert [len(sent.seen), queue.has_room("git")] == [2, True]
    assert made.send_one(now + 31) and made.send_one(now + 31) and queue.next() is None


class Records:
    """Three pushes in the journal."""

    cursor = ""

    def after(self, _cursor: str) -> Iterator[JournalRecord]:
        for number in range(3):
            self.cursor = f"s={number}"
            yield record()


def test_a_jail_that_logs_much_has_no_file_written_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Logged(Records):
        count = 0

        def after(self, _cursor: str) -> Iterator[JournalRecord]:
            self.count += 1
            self.cursor = f"s={self.count}"
            yield from (record(),) if self.count == 40 else ()

    written, write = list[str](), fs.atomic_write

    def atomic_write(path: str, data: bytes, mode: int) -> None:
        written.append(path)
        write(path, data, mode)

    monkeypatch.setattr(fs, "atomic_write", atomic_write)
    queue, journal = Queue(str(tmp_path / "q")), cast(Any, SimpleNamespace(records=Logged()))
    for count in range(1, 51):
        server._take(journal, queue, 0.0)
        assert queue.cursor() == f"s={count}"
    assert [os.path.basename(path) for path in written if not path.endswith(".json")] == ["cursor"] * 2
    # The place of a push is noted with it.
    assert Queue(str(tmp_path / "q")).cursor() == "s=40"


def test_what_was_taken_before_a_signal_is_not_taken_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, put, left = Queue(str(tmp_path / "q")), Queue.put, [2]

    def stopped(self: Queue, delivery: Delivery) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Stopped
        put(self, delivery)

    monkeypatch.setattr(Queue, "put", stopped)
    with pytest.raises(Stopped):
        server._take(cast(Any, SimpleNamespace(records=Records())), queue, 0.0)
    monkeypatch.setattr(Queue, "put", put)
    again = Queue(str(tmp_path / "q"))
    server._take(cast(Any, SimpleNamespace(records=Records())), again, 0.0)
    assert (len(os.listdir(tmp_path / "q")), again.cursor()) == (4, "s=2")


def test_one_whose_address_is_gone_is_dropped(sender: tuple[Sender, Queue, Sent]) -> None:
    made, queue, sent = sender
    queue.put(waiting(jail="gone"))
    assert made.send_one(2e3)
    assert (queue.next(), sent.seen) == (None, [])


def test_a_key_is_long_enough_and_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fs, "open_trusted", lambda path, **_: os.open(path, os.O_RDONLY))
    file = tmp_path / "key"
    for text, mode, why in (
        (f" {'k' * 32}\n", 0o600, ""),
        ("k" * 32, 0o640, "can be read by others than root"),
        ("k" * 15, 0o600, "has no key of 16 to 4096 bytes"),
        ("k" * 5000, 0o600, "has no key"),
    ):
        file.write_text(text)
        file.chmod(mode)
        if not why:
            assert server.read_secret(str(file)) == b"k" * 32
            continue
        with pytest.raises(HostError, match=why):
            server.read_secret(str(file))
