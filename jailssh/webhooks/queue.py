"""What is still to be sent, a file each, and how far the journal has been read: root's alone, bounded in number."""

from __future__ import annotations

import math
import os
import time
from dataclasses import replace

from jailssh.core.errors import HostError
from jailssh.files import fs
from jailssh.webhooks.delivery import Delivery

MOST, MOST_OF_ONE = 1000, 100
"""Deliveries that wait, of all accounts and of one."""
_LARGEST = 1 << 20
_CURSOR, _SUFFIX = "cursor", ".json"
_LONGEST_CURSOR = 4096
_NOTED_WITHIN = 60.0
"""Seconds: a jail that logs much must not have root write a file for each of its messages."""


class Queue:
    """The deliveries in ``folder``, by id; what is there from before is read once."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        fs.ensure_dir(folder, 0o700)
        self._cursor, self._noted = self._read_cursor(), -math.inf
        self._waiting: dict[str, Delivery] = {}
        for name in sorted(os.listdir(folder)):
            if not name.endswith(_SUFFIX):
                continue
            try:
                self._keep(Delivery.decoded(fs.read_trusted(f"{folder}/{name}", _LARGEST, trusted_root=folder)))
            except (HostError, ValueError, TypeError):  # a power cut: it is nobody's any more
                fs.remove_file(f"{folder}/{name}")

    def _keep(self, delivery: Delivery) -> None:
        self._waiting[delivery.id] = delivery

    def cursor(self) -> str:
        """Return the place in the journal that was reached, "" for none."""
        return self._cursor

    def _read_cursor(self) -> str:
        try:
            path = f"{self._folder}/{_CURSOR}"
            return fs.read_trusted(path, _LONGEST_CURSOR, trusted_root=self._folder).decode()
        except (HostError, FileNotFoundError):
            return ""

    def reached(self, cursor: str, *, at_once: bool = True) -> None:
        """Note that all up to this place is in the queue; not ``at_once``, where nothing of it would come again."""
        self._cursor = cursor
        if at_once or time.monotonic() >= self._noted + _NOTED_WITHIN:
            fs.atomic_write(f"{self._folder}/{_CURSOR}", cursor.encode(), 0o600)
            self._noted = time.monotonic()

    def has_room(self, account: str) -> bool:
        """True if another delivery of ``account`` may wait."""
        mine = sum(each.account == account for each in self._waiting.values())
        return len(self._waiting) < MOST and mine < MOST_OF_ONE

    def has(self, number: str) -> bool:
        """True if the delivery with this id waits."""
        return number in self._waiting

    def add(self, delivery: Delivery) -> None:
        """Keep a new delivery; it waits as long as those before it for the same address, if that is away."""
        due = max((each.due for each in self._waiting.values() if each.hook == delivery.hook), default=0.0)
        self.put(replace(delivery, due=due))

    def put(self, delivery: Delivery) -> None:
        """Keep a delivery, or its new state."""
        fs.atomic_write(f"{self._folder}/{delivery.id}{_SUFFIX}", delivery.encoded(), 0o600)
        self._keep(delivery)

    def drop(self, delivery: Delivery) -> None:
        """Keep it no longer."""
        fs.remove_file(f"{self._folder}/{delivery.id}{_SUFFIX}")
        self._waiting.pop(delivery.id, None)

    def next(self) -> Delivery | None:
        """Return what is due first, None where nothing waits.

        New ones are due since their push: many of them do not keep what was due before from another attempt.
        """
        return min(self._waiting.values(), key=lambda each: (each.due or each.begun, each.begun), default=None)

    def delay(self, hook: str, due: float) -> None:
        """Have all for this address wait as long: one that is away is not asked for each of them."""
        for each in [each for each in self._waiting.values() if each.hook == hook and each.due < due]:
            self._keep(replace(each, due=due))
