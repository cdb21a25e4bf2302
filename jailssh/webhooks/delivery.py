"""A delivery: from a record of the journal to what is sent, and when it is tried again.  Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace

from jailssh.core import journal_fields as fields
from jailssh.core.journal_fields import Event
from jailssh.core.webhook import is_address, name_of, what_follows
from jailssh.host.journal import JournalRecord

FIELDS = (
    fields.EVENT, fields.USER, fields.UID, fields.JAIL, fields.SESSION, "_UID", "PUSH_HOOK", "PUSH_REPOSITORY",
    "PUSH_REFERENCES", "PUSH_UPDATES", "PUSH_KEY",
)  # fmt: skip
"""What is needed of a record."""
FIRST_WAIT, LONGEST_WAIT, GIVE_UP = 30.0, 3600.0, 86400.0
"""Seconds: until the second attempt, twice as long for each one after it, at most; and when there is no other."""
_NAME = re.compile(r"[0-9a-f]{32}\Z")
_OF_UPDATE = 3
_UPDATES_MOST, _PATH_MOST, _KEY_MOST = 32768, 4096, 256
_BODY_MOST = 96 << 10
"""Bytes of a request, more than all that our hook can tell: as many as may wait (queue.py) have room in memory."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What is to be sent for a push: ``hook`` names the address, in the jail ``jail``; times are since 1970."""

    id: str
    hook: str
    jail: str
    account: str
    body: str
    begun: float
    attempts: int = 0
    due: float = 0.0

    def encoded(self) -> bytes:
        """Return it for a file."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decoded(cls, data: bytes) -> Delivery:
        """Return it from a file; raises :class:`ValueError` or :class:`TypeError` for anything else."""
        return cls(**json.loads(data))

    def later(self, now: float) -> Delivery | None:
        """Return it as it is after an attempt that failed, None where it is given up."""
        if now - self.begun >= GIVE_UP:
            return None
        wait = min(FIRST_WAIT * 2.0**self.attempts, LONGEST_WAIT)
        return replace(self, attempts=self.attempts + 1, due=now + wait)


def is_push(record: JournalRecord) -> bool:
    """True for a record of the relay's by which a jail tells of a push that an address is for."""
    told = record.get(fields.EVENT) == Event.MESSAGE and _NAME.match(record.get("PUSH_HOOK")) is not None
    return told and record.genuine


def delivery_of(record: JournalRecord, host: str, number: str) -> Delivery:
    """Return what is to be sent about such a record; ``number`` becomes its id.

    The account and the jail are the relay's words, all about the push is what the jail says.
    """
    words = record.get("PUSH_UPDATES")[:_UPDATES_MOST].split(" ")
    updates = [words[at : at + _OF_UPDATE] for at in range(0, len(words) - _OF_UPDATE + 1, _OF_UPDATE)]
    references = [{"name": ref, "old": old, "new": new} for old, new, ref in updates]
    count = record.get("PUSH_REFERENCES")
    body = {
        "event": "push", "id": number, "time": round(record.time, 3), "host": host, "account": record.get(fields.USER),
        "jail": record.get(fields.JAIL), "session": record.get(fields.SESSION),
        "key": record.get("PUSH_KEY")[:_KEY_MOST],
        "repository": record.get("PUSH_REPOSITORY")[:_PATH_MOST], "references": references,
        "count": int(count) if re.match(r"[0-9]{1,9}\Z", count) else len(references),
    }  # fmt: skip
    while references and len(json.dumps(body)) > _BODY_MOST:
        del references[len(references) // 2 :]
    return Delivery(
        id=number, hook=record.get("PUSH_HOOK"), jail=record.get(fields.JAIL), account=record.get(fields.USER),
        body=json.dumps(body), begun=record.time,
    )  # fmt: skip


def address_of(hook: str, options: Mapping[str, object]) -> str:
    """Return the address that is named so in a jail's section ``[git]``, "" for none: no jail ever says one itself."""
    lines = options.get("after_push")
    texts: Iterable[object] = lines if isinstance(lines, tuple) else ()
    words = [word for text in texts for word in what_follows(str(text))[:1] if is_address(word)]
    return next((word for word in words if name_of(word) == hook), "")


def headers_of(delivery: Delivery, secret: bytes) -> dict[str, str]:
    """Return the headers of the request, with the signature of the body in the form that forges have made usual."""
    signature = hmac.new(secret, delivery.body.encode(), hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json", "User-Agent": "jailssh", "Connection": "close",
        "X-Jailssh-Event": "push", "X-Jailssh-Delivery": delivery.id, "X-Hub-Signature-256": f"sha256={signature}",
    }  # fmt: skip
