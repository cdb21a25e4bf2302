"""The service that sends webhooks: the journal is what it reads, the administrator's files say where to.

No jail and no account can speak to it, and no push waits for it: a jail logs that there was a push, as with everything
that it logs, and names the address by a digest.  This looks the address up in the jail's file, and in the account's
for what named keys have in its place, and signs.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing

from jailssh.core import journal_fields as fields
from jailssh.core.errors import EXIT_OK, HostError, JailsshError
from jailssh.core.journal_fields import Event
from jailssh.core.names import escape
from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.jail.configuration import load_configuration
from jailssh.jail.holders import settings_of_keys
from jailssh.services.journal_reader import Journal
from jailssh.webhooks import sending
from jailssh.webhooks.delivery import FIELDS, Delivery, address_of, delivery_of, headers_of, is_push
from jailssh.webhooks.queue import Queue

PLUGIN = "git"
_PATIENCE = 3600.0
_DIGITS = 16
_LARGEST_SECRET, _LEAST_SECRET = 4096, 16


class Stopped(BaseException):
    """A signal says that this is the end; nothing that fails otherwise is taken for it, nor it for that."""


def say(text: str) -> None:
    """Tell the administrator, by the unit's log."""
    print(f"jailssh-webhooks: {escape(text, 500)}", file=sys.stderr, flush=True)


class Sender:
    """Sends what waits in ``queue``, one after the other; ``send`` makes the request."""

    def __init__(self, layout: Layout, queue: Queue, send: Callable[..., str] = sending.send) -> None:
        self._layout, self._queue, self._send = layout, queue, send

    def wait(self, now: float) -> float:
        """Return the seconds until something is to be sent."""
        first = self._queue.next()
        return _PATIENCE if first is None else max(0.0, first.due - now)

    def send_one(self, now: float) -> bool:
        """Make the attempt that is due, if one is; false where none is."""
        delivery = self._queue.next()
        if delivery is None or delivery.due > now:
            return False
        what = f"delivery {delivery.id} of a push by {delivery.account} in the jail {delivery.jail}"
        try:
            address, secret = self._address(delivery)
        except (JailsshError, OSError) as error:
            address, why = "", str(error)
        else:
            why = self._send(address, delivery.body.encode(), headers_of(delivery, secret)) if address else ""
        if not why:
            self._queue.drop(delivery)
            gone = "dropped, its address is no longer in the file of the jail or the account"
            say(f"{what}: {'sent' if address else gone}")
            return True
        self._fail(delivery, what, why, now)
        return True

    def _fail(self, delivery: Delivery, what: str, why: str, now: float) -> None:
        later = delivery.later(max(now, time.time()))
        if later is None:
            self._queue.drop(delivery)
            say(f"{what}: given up: {why}")
            return
        self._queue.put(later)
        self._queue.delay(later.hook, later.due)
        say(f"{what}: failed: {why}; next attempt in {later.due - now:.0f} s")

    def _address(self, delivery: Delivery) -> tuple[str, bytes]:
        """Return the address and the secret as the files say them now, two times nothing where they say none."""
        for options in self._settings(delivery):
            address, file = address_of(delivery.hook, options), options.get("webhook_secret")
            if address and isinstance(file, str) and file:
                return address, read_secret(file)
        return "", b""

    def _settings(self, delivery: Delivery) -> Iterator[Mapping[str, object]]:
        """Yield what the jail says of git, then what the account's file has in its place for named keys."""
        configuration = load_configuration(self._layout)
        definition = configuration.definition(delivery.jail.split("+"))
        yield definition.config.options.get(PLUGIN, {})
        user = configuration.user(delivery.account)
        if user and user.by_key:
            ring = configuration.keyring(delivery.account, vacant=True)
            yield from settings_of_keys(definition, ring, user, configuration.registry.options, PLUGIN)


def read_secret(path: str) -> bytes:
    """Return the key of signatures in a file of root's that nobody else can read, without blanks at its ends."""
    fd = fs.open_trusted(path, limit=_LARGEST_SECRET)
    with open(fd, "rb") as file:
        if os.fstat(fd).st_mode & 0o077:
            raise HostError(f"file {escape(path)}", "can be read by others than root", hint=f"chmod 600 {escape(path)}")
        secret = file.read(_LARGEST_SECRET + 1).strip()
    if not _LEAST_SECRET <= len(secret) <= _LARGEST_SECRET:
        raise HostError(f"file {escape(path)}", f"has no key of {_LEAST_SECRET} to {_LARGEST_SECRET} bytes")
    return secret


def _take(journal: Journal, queue: Queue, since: float) -> None:
    """Put into the queue what the journal has that is new."""
    pushed = False
    for record in journal.records.after(queue.cursor()):
        # One and the same place gives the same id, where this was stopped before all was noted as taken.
        number = hashlib.sha256(journal.records.cursor.encode()).hexdigest()[:_DIGITS]
        if record.time < since or queue.has(number):
            continue
        pushed = True
        if queue.has_room(record.get(fields.USER)):
            queue.add(delivery_of(record, os.uname().nodename, number))
        else:
            say(f"too many deliveries wait: one of a push by {record.get(fields.USER)} is dropped")
    if journal.records.cursor:
        queue.reached(journal.records.cursor, at_once=pushed)


def serve(layout: Layout) -> int:
    """Send until a signal ends it."""

    def stop(*_: object) -> None:
        raise Stopped

    def taken(pid: int) -> None:
        raise HostError("jailsshd webhooks", f"is already running (process {pid})")

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    fs.ensure_dir(layout.run, 0o755)
    with fs.lock(f"{layout.run}/webhooks.lock", taken):
        queue = Queue(layout.webhooks)
        # What was pushed before this was switched on is nobody's news.
        since = 0.0 if queue.cursor() else time.time()
        sender = Sender(layout, queue)
        with closing(Journal(layout.root, {fields.EVENT: (Event.MESSAGE,)}, is_push, FIELDS)) as journal:
            journal.watch()
            try:
                while True:
                    _take(journal, queue, since)
                    if not sender.send_one(time.time()):
                        journal.wait(seconds=sender.wait(time.time()))
            except Stopped:
                return EXIT_OK
