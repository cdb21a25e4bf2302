"""One request of one account: who that is, what it may, what is done, what is recorded, what is said."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from enum import IntEnum

from jailssh.config.authorized import blob_of
from jailssh.config.keys import fingerprint
from jailssh.core import journal_fields as fields
from jailssh.core.asking import PLUGIN, Wish
from jailssh.core.closed import Word
from jailssh.core.errors import JailsshError
from jailssh.core.journal_fields import Event
from jailssh.core.names import escape
from jailssh.files import fs
from jailssh.host import accounts, journal
from jailssh.host.paths import Layout
from jailssh.jail.configuration import NotJailedError, load_configuration
from jailssh.jail.this_host import THIS_HOST
from jailssh.plugin.api import Account
from jailssh.selfservice import first, keys, password
from jailssh.selfservice.password import Verdict
from jailssh.selfservice.request import BadRequestError, Request, parse
from jailssh.selfservice.rules import NotAllowedError, Rules, read_key

_LONGEST = 511
"""Bytes of a password."""


class Code(IntEnum):
    """The exit status of the program in the jail."""

    DONE = 0
    REFUSED = 1
    USE = 2
    WRONG_PASSWORD = 3
    TROUBLE = 4


class Change(Word):
    """What is recorded."""

    ADDED = "key-added"
    REMOVED = "key-removed"
    PASSWORD = "password-changed"  # noqa: S105, a word
    FIRST_PASSWORD = "password-set"  # noqa: S105, a word
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True)
class Answer:
    """What the program in the jail prints and ends with."""

    code: Code
    lines: tuple[str, ...]

    def encoded(self) -> bytes:
        """Return it as it is sent."""
        return "\n".join((str(int(self.code)), *self.lines, "")).encode("utf-8", "backslashreplace")


class WrongPasswordError(NotAllowedError):
    """The present password was not right."""


@dataclass(frozen=True)
class _Asker:
    """Who asks: an account that may, in its jail, and the rules for it."""

    layout: Layout
    account: Account
    _: KW_ONLY
    jail: str
    rules: Rules

    def record(self, change: Change, message: str, more: Mapping[str, str] | None = None) -> None:
        """Write down what came of it."""
        common = {
            fields.USER: self.account.name, fields.UID: str(self.account.uid), fields.JAIL: self.jail,
            fields.CHANGE: change,
        }  # fmt: skip
        journal.record(Event.SELF_SERVICE, f"{self.account.name}: {message}", {**common, **(more or {})})


def answer(layout: Layout, uid: int, data: bytes) -> Answer:
    """Do what the account ``uid`` asks for in ``data``, if it may; never raises."""
    asker: _Asker | None = None
    try:
        request = parse(data)
        asker = _asker(layout, uid)
        return Answer(Code.DONE, tuple(_WORK[request.wish](asker, request)))
    except BadRequestError as error:
        return Answer(Code.USE, (str(error),))
    except NotAllowedError as error:
        if asker:
            asker.record(Change.REFUSED, f"asked for a change of itself, refused: {error}")
        return Answer(Code.WRONG_PASSWORD if isinstance(error, WrongPasswordError) else Code.REFUSED, (str(error),))
    except Exception as error:  # the account learns no more than that it was not done, the journal why
        return _trouble(uid, asker, error)


def _trouble(uid: int, asker: _Asker | None, error: Exception) -> Answer:
    reference = secrets.token_hex(4)
    lines = error.lines() if isinstance(error, JailsshError) else [f"{type(error).__name__}: {error}"]
    who = asker.account.name if asker else f"uid {uid}"
    more = {fields.UID: str(uid), fields.CHANGE: Change.FAILED, fields.REFERENCE: reference}
    more |= {fields.USER: asker.account.name} if asker else {}
    journal.record(Event.SELF_SERVICE, f"{who}: a change of itself failed: {'; '.join(lines)}", more)
    return Answer(Code.TROUBLE, (f"this cannot be done at the moment (reference {reference})",))


def _asker(layout: Layout, uid: int) -> _Asker:
    """Return who asks; raises :class:`NotAllowedError` for whom nothing is allowed."""
    account = THIS_HOST.find_account(uid)
    if account is None or uid == 0:
        raise NotAllowedError("this is for accounts in a jail")
    configuration = load_configuration(layout)
    try:
        definition = configuration.definition(configuration.jails_for(account))
    except NotJailedError as error:
        raise NotAllowedError("this is for accounts in a jail") from error
    options = definition.config.options.get(PLUGIN)
    if options is None:
        raise NotAllowedError("your jail does not allow this")
    if configuration.keyring(account.name, vacant=True).shared:
        raise NotAllowedError("this account is shared; its administrator manages the keys")
    if accounts.is_expired(account.name):
        raise NotAllowedError("this account is locked or has expired")
    return _Asker(layout, account, jail=definition.name, rules=Rules.of(options))


def _again(asker: _Asker) -> _Asker:
    """Return who asks as it is under the lock: who was waited for may have changed everything."""
    now = _asker(asker.layout, asker.account.uid)
    if now.account.name != asker.account.name:
        raise NotAllowedError("this account has another name now; nothing was changed")
    return now


def _need_keys(asker: _Asker) -> None:
    if not asker.rules.keys:
        raise NotAllowedError("your jail does not allow this")


def _list(asker: _Asker, request: Request) -> list[str]:  # noqa: ARG001
    _need_keys(asker)
    return keys.listing(keys.present(asker.layout, asker.account.name), time.time())


def _add(asker: _Asker, request: Request) -> list[str]:
    _need_keys(asker)
    layout, user, name = asker.layout, asker.account.name, request.text(0)
    key = read_key(request.arguments[1], asker.rules)
    with fs.lock(layout.lock):
        asker = _again(asker)
        _need_keys(asker)
        ended = keys.add(layout, user, name, read_key(request.arguments[1], asker.rules), asker.rules, time.time())
    for old in ended:
        asker.record(Change.REMOVED, f"its own key {old.name} had expired, removed", _of(old.line, old.name))
    more = {fields.KEY: name, fields.FINGERPRINT: key.fingerprint(), fields.PUBLIC_KEY: f"{key.kind} {key.blob}"}
    asker.record(Change.ADDED, f"added its own key {name}: {key.kind} {key.fingerprint()}", more)
    gone = [f"{old.name} had expired and was removed" for old in ended]
    return [f"key {name} added: {key.fingerprint()}", *gone]


def _remove(asker: _Asker, request: Request) -> list[str]:
    _need_keys(asker)
    last = request.text(1)
    if last not in ("", "last"):
        raise BadRequestError("this is not a request")
    layout, user = asker.layout, asker.account.name
    with fs.lock(layout.lock):
        _need_keys(_again(asker))
        gone = keys.remove(layout, user, request.text(0), last=bool(last), now=time.time())
    asker.record(Change.REMOVED, f"removed its key {gone.label}: {gone.fingerprint}", _of(gone.line, gone.label))
    return [f"key {gone.label} removed; sessions that are open go on"]


def _of(line: str, label: str) -> dict[str, str]:
    blob = blob_of(line)
    words = line.split()
    kind = words[words.index(blob) - 1] if blob in words else ""
    whole = {fields.PUBLIC_KEY: f"{kind} {blob}"} if len(blob) < journal.LIMIT - 100 else {}
    return {fields.KEY: label, fields.FINGERPRINT: fingerprint(blob), **whole}


def _password(asker: _Asker, request: Request) -> list[str]:
    if not asker.rules.passwords:
        raise NotAllowedError("your jail does not allow this")
    old, new = request.arguments
    name = asker.account.name
    is_first = not old and asker.rules.first_password
    if not is_first and not password.is_known(name):
        raise NotAllowedError("this account has no password here, or it is locked; only the administrator can set one")
    given = (new,) if is_first else (old, new)
    if any(not each or len(each) > _LONGEST or any(byte < 0x20 for byte in each) for each in given):
        raise NotAllowedError("a password is empty, too long, or has a control character")
    if old == new:
        raise NotAllowedError("the new password is the present one")
    if is_first:
        return _first_password(asker, new)
    _judge(name, *password.change(name, old, new))
    asker.record(Change.PASSWORD, "changed its own password")
    return ["password changed"]


def _first_password(asker: _Asker, new: bytes) -> list[str]:
    layout, name = asker.layout, asker.account.name

    def change(old: bytes) -> None:
        verdict, said = password.change(name, old, new)
        _judge(name, Verdict.FAILED if verdict == Verdict.WRONG else verdict, said)

    with fs.lock(layout.lock):
        asker = _again(asker)
        first.set_password(layout, asker.account, asker.rules, change, time.time())
    asker.record(Change.FIRST_PASSWORD, "set its first password")
    return ["password set"]


def _judge(name: str, verdict: Verdict, said: str) -> None:
    if verdict == Verdict.WRONG:
        raise WrongPasswordError("the present password is not right; nothing was changed")
    if verdict == Verdict.REFUSED:
        raise NotAllowedError(f"the new password was not taken: {said}")
    if verdict == Verdict.FAILED:
        raise JailsshError(f"password of {name}", escape(said, 500))


_WORK = {Wish.LIST: _list, Wish.ADD: _add, Wish.REMOVE: _remove, Wish.PASSWORD: _password}
