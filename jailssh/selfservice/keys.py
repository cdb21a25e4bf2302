"""The keys of an account, as it asks for them itself: listed, added, removed.

A key is added to the account's keys file with its end and the mark of the account (``self:NAME``), in one step that the
undo journal has; it is removed as ``jailssh keys remove`` removes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jailssh.change import undo
from jailssh.change.transaction import Fault, Journal, no_fault, recover
from jailssh.config import authorized, home_keys
from jailssh.config.keys import Key, fingerprint, lines_of
from jailssh.core.errors import raise_all
from jailssh.core.names import escape
from jailssh.host.paths import Layout
from jailssh.jail import authorized_keys
from jailssh.selfservice.rules import NotAllowedError, Rules, check_name, end_of, has_ended
from jailssh.users import key_removal
from jailssh.users.keyring import subject

_LOGIN, _END = "command=", "expiry-time="
"""Options of the lines that jailssh writes: sshd_config's ForceCommand has the last word on the first."""


@dataclass(frozen=True)
class KeyLine:
    """A key of the account: its line, its fingerprint, the name that it goes by, "" where it has none of its own."""

    line: str
    fingerprint: str
    name: str
    ends: str

    @property
    def limited(self) -> bool:
        """True for a key with limits of the administrator's, one that signs, one that is not understood."""
        found = home_keys.read(self.line.encode("utf-8", "surrogateescape"), "").keys
        # Whoever gave the key chose its comment, and what the account has added can have got limits since.
        own = (_END,) if self.name else ()
        said = [option for each in found for option in (*each.options, *each.commands) if not option.startswith(_LOGIN)]
        return not found or not found[0].terminal or any(not option.startswith(own) for option in said)

    @property
    def label(self) -> str:
        """How it is called to people: by its own name, or by its comment."""
        return self.name or escape(authorized.comment_of(self.line), 60) or self.fingerprint


def present(layout: Layout, user: str) -> list[KeyLine]:
    """Return the keys of the account in the order of its file."""
    return list(_read(authorized_keys.present(layout, user)))


def _read(text: str) -> Iterator[KeyLine]:
    for line in lines_of(text):
        if blob := authorized.blob_of(line):
            yield KeyLine(line, fingerprint(blob), authorized.own_name(line), authorized.end_of(line))


def listing(keys: list[KeyLine], now: float) -> list[str]:
    """Return a line for each key: name, fingerprint, who added it, until when it holds."""
    if not keys:
        return ["no keys"]
    width = max(len(key.label) for key in keys)
    return [
        f"{key.label:<{width}}  {key.fingerprint}  added by {'you' if key.name else 'the administrator'}"
        + _until(key, now)
        for key in keys
    ]


def _until(key: KeyLine, now: float) -> str:
    if not key.ends:
        return ""
    day = f"{key.ends[:4]}-{key.ends[4:6]}-{key.ends[6:8]}"
    return f"  expired {day}" if has_ended(key.ends, now) else f"  until {day}"


def add(
    layout: Layout, user: str, name: str, key: Key, rules: Rules, now: float, fault: Fault = no_fault
) -> list[KeyLine]:
    """Add ``key`` as ``name``, under the lock of the set-up; return own keys that have ended and go now.

    Raises :class:`NotAllowedError` where the rules say no, and nothing is changed.
    """
    check_name(name)
    recover(layout, subject(user))
    before = authorized_keys.present(layout, user)
    keys = list(_read(before))
    ended = [each for each in keys if each.name and has_ended(each.ends, now)]
    live = [each for each in keys if each not in ended]
    if any(each.fingerprint == key.fingerprint() for each in live):
        raise NotAllowedError("this key is there already; nothing was changed")
    if any(each.label == name for each in live):
        raise NotAllowedError(f"a key called {name} exists already; remove it first, or choose another name")
    if rules.most and len(live) >= rules.most:
        raise NotAllowedError(f"the account has {len(live)} keys and may have {rules.most}; remove one first")
    if any(each.limited for each in live):
        raise NotAllowedError("a key of this account has limits (from=, …) that a new one would not have; not added")
    gone = {each.line for each in ended}
    left = [line for line in lines_of(before) if line not in gone]
    line = authorized.own_line(key, name, end_of(rules, now), layout.login_program)
    text = authorized.with_lines([*left, line])
    journal = Journal(layout, subject(user), fault)
    with journal.changing(f"self-service of {user}: key {name}"):
        inverse = undo.put_keys_back(layout, user, text)
        journal.step("keys", inverse, lambda: authorized_keys.write(layout, user, text))
        journal.finish()
    return ended


def choose(keys: list[KeyLine], which: str) -> KeyLine:
    """Return the key that ``which`` names: by its name, its fingerprint or its whole comment."""
    named = ((key, (key.label, key.fingerprint, authorized.comment_of(key.line))) for key in keys)
    found = [key for key, names in named if which and which in names]  # no comment is no name
    if len(found) != 1:
        many = "several keys are called so; use the fingerprint" if found else "no such key"
        raise NotAllowedError(f"{many}: jail-keys list")
    return found[0]


def remove(layout: Layout, user: str, which: str, *, last: bool, now: float) -> KeyLine:
    """Remove one key, under the lock of the set-up; the last one that lets somebody in only with ``last``.

    Returns it.
    """
    keys = present(layout, user)
    key = choose(keys, which)
    if key.limited:
        # Else a new one could take its place without them.
        raise NotAllowedError("this key has limits (from=, …), so only the administrator removes it")
    left = [each for each in keys if each is not key and not has_ended(each.ends, now)]
    if not left and not last:
        raise NotAllowedError(
            "this is the last key; without it you cannot log in by key. If you mean it: remove --last"
        )
    raise_all(key_removal.remove_within(layout, user, key.fingerprint))
    return key
