"""The uids that new accounts get, many in one change."""

from __future__ import annotations

from collections.abc import Iterable

from jailssh.core.errors import JailsshError
from jailssh.host import accounts
from jailssh.jail.this_host import ThisHost
from jailssh.services import shadow


class Numbers:
    """Gives new accounts their uids as useradd(8) does: the one above the highest, else the lowest free one."""

    def __init__(self, host: ThisHost, wanted: Iterable[int]) -> None:
        self._host = host
        self._least, self._most = int(shadow.login_defs("UID_MIN", "1000")), int(shadow.login_defs("UID_MAX", "60000"))
        self._taken = {*accounts.local_uids().values(), *accounts.local_gids(), *wanted}
        inside = [uid for uid in self._taken if self._least <= uid <= self._most]
        self._next = max(inside, default=self._least - 1) + 1
        self._wrapped = False

    def next(self) -> int:
        """Return a number that is neither a uid nor a gid of this host."""
        wrapped = self._wrapped
        while True:
            uid = self._next
            self._next += 1
            if uid > self._most:
                if wrapped:
                    self._next = self._most + 1
                    raise JailsshError("uids", f"none is free between {self._least} and {self._most} (login.defs)")
                # None below becomes free again: of a hundred thousand each is looked at once.
                self._next, wrapped, self._wrapped = self._least, True, True
            elif uid not in self._taken and self._host.find_entry(uid) is None:
                self._taken.add(uid)
                return uid
