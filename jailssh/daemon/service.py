"""What the daemon does for one uid: image, plan, one line of answer.  No sockets here.

``ok``, or ``no CODE TEXT`` with a reason code of :mod:`jailssh.core.journal_fields` and neutral text: the user learns
no path and no policy, the detail is in the journal under the reference.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jailssh.core import journal_fields as fields
from jailssh.core.errors import ConfigError, JailsshError, ManyErrors
from jailssh.core.journal_fields import Event
from jailssh.core.names import escape
from jailssh.daemon.last_good import LastGood
from jailssh.daemon.records import Send
from jailssh.host import nss
from jailssh.host.nss import UnansweredError
from jailssh.host.paths import Layout
from jailssh.jail.configuration import Configuration, NotJailedError
from jailssh.jail.this_host import THIS_HOST
from jailssh.plugin.api import Account
from jailssh.publish.images import Images
from jailssh.publish.publish import Published, hold, publish_and_tidy

IMAGE_TRUST = 60.0
"""Seconds for which an image is believed to be up to date without a look at the host's files."""

REMEMBER_NO = 2.0
"""Seconds for which a refusal is given again without work, so that nobody can keep the daemon busy."""

BUILD_TIMEOUT = 60.0
"""Seconds that a login waits at most where no configuration can be read: as little as is usual."""

_RETRIES = 3


class Service:
    """Answers for uids, from several threads.

    ``find`` looks an account up by uid; it is bounded in time and keeps nobody else from working.
    """

    def __init__(
        self,
        layout: Layout,
        send: Send,
        find: Callable[[int], Account | None] = THIS_HOST.find_account,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._configurations = LastGood(layout)
        self._images = Images(layout, IMAGE_TRUST, hold_later=True)
        self._send = send
        self._find = find
        self._clock = clock
        self._lock = threading.Lock()
        self._jails: dict[str, threading.Lock] = {}
        self._refused: dict[int, tuple[float, str]] = {}
        if find == THIS_HOST.find_account:
            nss.warm()

    def configuration(self) -> Configuration:
        """Return the configuration as the files say it now."""
        with self._lock:
            return self._configurations.get()

    def build_timeout(self) -> float:
        """Return for how many seconds a login may wait; never raises, whatever the configuration."""
        with self._lock:
            return self._configurations.build_timeout(BUILD_TIMEOUT)

    def trouble(self) -> str:
        """Return why an older configuration is in use, "" while the present one is."""
        return self._configurations.trouble

    def remembered(self, uid: int) -> str | None:
        """Return the refusal that ``uid`` got a moment ago, or None."""
        now = self._clock()
        with self._lock:
            for old in [old for old, (until, _) in self._refused.items() if until <= now]:
                del self._refused[old]
            found = self._refused.get(uid)
        return found[1] if found else None

    def answer(self, uid: int) -> str:
        """Return the line for ``uid``, without its end, after doing what is needed."""
        begun = self._clock()
        name = ""
        try:
            account = self._find(uid)
            if account is None:
                raise NotJailedError(f"uid {uid}", "does not belong to an account")
            name = account.name
            self._record(self._publish(account), account, begun)
            return "ok"
        except NotJailedError as error:
            return self._refuse(uid, name, "not-jailed", error)
        except UnansweredError as error:
            return self._refuse(uid, name, "lookup", error)
        except (ConfigError, ManyErrors) as error:
            return self._refuse(uid, name, "bad-config", error)
        except Exception as error:  # anything else must reach the journal too and must not end the daemon
            return self._refuse(uid, name, "build-failed", error)

    def _publish(self, account: Account) -> Published:
        for attempt in range(_RETRIES):
            configuration = self.configuration()
            jail = "+".join(configuration.jails_for(account))
            try:
                with self._one_at_a_time(jail):
                    published = publish_and_tidy(configuration, account, self._images)
                return hold(configuration, account, published)
            except ConfigError:
                if configuration.is_current() or attempt == _RETRIES - 1:
                    raise
        raise AssertionError("the loop returns or raises")

    @contextmanager
    def _one_at_a_time(self, jail: str) -> Iterator[None]:
        with self._lock:
            lock = self._jails.setdefault(jail, threading.Lock())
        with lock:
            yield

    def _record(self, published: Published, account: Account, begun: float) -> None:
        common = {
            fields.USER: account.name,
            fields.UID: str(account.uid),
            fields.JAIL: published.jail,
            fields.IMAGE: published.image.generation,
            fields.DURATION: str(int((self._clock() - begun) * 1e6)),
        }
        if published.image.changed:
            message = f"image {published.image.generation} of jail {published.jail} built"
            self._send(Event.IMAGE_BUILT, message, common)
        message = f"plan {published.plan.serial} of {account.name} compiled for jail {published.jail}"
        message += f"; {published.note}" if published.note else ""
        self._send(Event.PLAN_COMPILED, message, {**common, fields.PLAN: published.plan.serial})

    def _refuse(self, uid: int, name: str, code: str, error: Exception) -> str:
        reference = secrets.token_hex(4)
        lines = error.lines() if isinstance(error, JailsshError) else [f"{type(error).__name__}: {error}"]
        self._send(
            Event.PLAN_FAILED,  # the refusal of the login is the login program's record
            f"no plan for {name or 'an unknown account'} (uid {uid}): {'; '.join(lines)}",
            {fields.USER: name, fields.UID: str(uid), fields.REASON: code, fields.REFERENCE: reference},
        )
        line = refusal(code, reference)
        with self._lock:
            self._refused[uid] = (self._clock() + REMEMBER_NO, line)
        return line


def refusal(code: str, reference: str = "") -> str:
    """Return the line that says no: the reason code, and the reference under which the journal has the detail."""
    return escape(f"no {code} {reference}".rstrip(), 199)
