"""Whose keys a directory has, and what of that is taken over: for answers that a directory should not give."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from jailssh.change import transaction
from jailssh.config.keys import Group, Key, Keyring, parse_keys, read_keyring
from jailssh.core.errors import UsageError
from jailssh.files import fs
from jailssh.host import accounts
from jailssh.host.paths import Layout
from jailssh.users import fetched, key_removal, keyring
from jailssh.users.key_removal import Removed

USER, DEVS = "git", "devs"
Fetch = Callable[..., Removed]


def line(letter: str, size: int = 32, comment: str = "") -> str:
    """Return a line with a key that the letter tells from others."""
    kind, body = b"ssh-ed25519", letter.encode() * size
    data = b"".join(struct.pack(">I", len(each)) + each for each in (kind, body))
    return f"ssh-ed25519 {base64.b64encode(data).decode()} {comment}".rstrip()


class Shared:
    """The names of an account, kept in memory, and the directory: entries, and who is in the group."""

    def __init__(self, **by_hand: str) -> None:
        self.files = {name: text.encode() for name, text in by_hand.items()}
        self.groups: dict[str, list[str]] = {}
        self.entries: dict[str, str] = {}

    def keyring(self, _user: str) -> Keyring:
        groups = [Group(name, tuple(names), "") for name, names in self.groups.items()]
        return read_keyring({f"/{name}.pub": text for name, text in self.files.items()}, groups)

    def remove(self, _layout: Layout, _user: str, which: str) -> Removed:
        for name, keys in self.keyring("").keys.items():
            left = [key for key in keys if which not in (name, key.fingerprint())]
            self._write(name, left)
        return Removed((f"{which} removed",))

    def bring(
        self,
        _layout: Layout,
        _user: str,
        keys: Mapping[str, Sequence[Key]],
        groups: Mapping[str, Collection[str]],
        names: Collection[str],
        *_: object,
    ) -> list[str]:
        for name, each in keys.items():
            self._write(name, each)
        for group, members in groups.items():
            theirs = {*names, *keys}
            stay = [name for name in self.groups.get(group, ()) if name not in theirs or name in members]
            self.groups[group] = sorted({*stay, *members})
        self.keyring("")
        return [f"{name} has come" for name in keys]

    def _write(self, name: str, keys: Sequence[Key]) -> None:
        self.files[name] = "".join(f"{key.text()}\n" for key in keys).encode()
        if not keys:
            del self.files[name]

    def has(self) -> dict[str, list[str]]:
        """Return the letters of each name's keys."""
        return {
            name: [base64.b64decode(key.blob)[-1:].decode() for key in keys]
            for name, keys in self.keyring("").keys.items()
        }


@pytest.fixture
def fetch(monkeypatch: pytest.MonkeyPatch) -> Fetch:
    def run(shared: Shared, *who: str) -> Removed:
        monkeypatch.setattr(accounts, "find", lambda name: object() if name in shared.entries else None)
        monkeypatch.setattr(accounts, "group_exists", lambda name: name == DEVS)
        monkeypatch.setattr(accounts, "members", lambda _: sorted(shared.entries))
        monkeypatch.setattr(key_removal, "remove", shared.remove)
        monkeypatch.setattr(keyring, "bring", shared.bring)
        return fetched.fetch(Layout(), USER, who, cast("Any", shared), shared.entries.__getitem__)

    return run


def test_who_has_another_name_now_keeps_the_key(fetch: Fetch) -> None:
    shared = Shared(hand=line("h"))
    shared.entries = {"ann": line("a"), "bob": line("b")}
    fetch(shared, f"@{DEVS}")
    shared.entries = {"anna": line("a"), "bob": line("b")}
    assert not fetch(shared, f"@{DEVS}").errors
    assert shared.has() == {"anna": ["a"], "bob": ["b"], "hand": ["h"]}
    # One that two entries have stays with whom it was, until that entry has it no more.
    shared.entries = {"anna": line("a"), "bob": f"{line('a')}\n{line('b')}"}
    (told,) = fetch(shared, f"@{DEVS}").errors
    assert "is also a key of anna" in told.why
    assert shared.has() == {"anna": ["a"], "bob": ["b"], "hand": ["h"]}
    shared.entries = {"anna": line("c"), "bob": line("a")}
    assert not fetch(shared, f"@{DEVS}").errors
    assert shared.has() == {"anna": ["c"], "bob": ["a"], "hand": ["h"]}


def test_a_name_given_by_hand_gets_no_group_and_so_no_rights(fetch: Fetch) -> None:
    shared = Shared(ann=line("h", comment="another Ann"))
    shared.entries = {"ann": line("a"), "bob": line("b")}
    (told,) = fetch(shared, f"@{DEVS}").errors
    assert "did not come from the directory" in told.why
    assert shared.groups == {DEVS: ["bob"]}
    assert shared.has() == {"ann": ["h"], "bob": ["b"]}
    shared.groups = {DEVS: ["ann", "bob"]}  # unless somebody gave it that by hand
    fetch(shared, f"@{DEVS}")
    assert shared.groups == {DEVS: ["ann", "bob"]}


def test_one_entry_does_not_keep_the_others_out(fetch: Fetch) -> None:
    shared = Shared()
    long = next(line("l", size) for size in range(5740, 0, -1) if len(line("l", size)) <= 7680)
    assert parse_keys(long.encode(), "")
    shared.entries = {"ann": f"{long}\n{line('a')}", "bob": line("b")}
    (told,) = fetch(shared, f"@{DEVS}").errors
    assert "too long" in told.why
    assert shared.has() == {"ann": ["a"], "bob": ["b"]}
    shared.entries = {"ann": f"{line('a', comment='x' * 100)}\n" * 700, "bob": line("c")}
    (told,) = fetch(shared, f"@{DEVS}").errors
    assert "are too many" in told.why
    assert shared.has() == {"ann": ["a"], "bob": ["c"]}


def test_a_name_that_somebody_gives_by_hand_meanwhile_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Shared(ann=line("h"))
    publisher = SimpleNamespace(groups=(), keyring=shared.keyring, check_jailed=lambda _: None)
    monkeypatch.setattr(keyring, "require_setup", lambda *_: None)
    monkeypatch.setattr(fs, "lock", lambda _: nullcontext())
    monkeypatch.setattr(transaction, "recover", lambda *_: [])
    monkeypatch.setattr(transaction, "others", lambda *_: [])
    monkeypatch.setattr(accounts, "get", lambda name: SimpleNamespace(name=name, uid=1500, groups=()))
    with pytest.raises(UsageError, match="was added to account git meanwhile"):
        keyring.bring(Layout(), USER, {"ann": parse_keys(line("a").encode(), "")}, {}, (), cast("Any", publisher))


def test_who_has_gone_is_told_also_where_nobody_can_come(fetch: Fetch) -> None:
    shared = Shared()
    shared.entries = {"ann": line("a")}
    fetch(shared, f"@{DEVS}")
    shared.entries = {"bob": line("b")}

    def fails(*_: object) -> list[str]:
        raise UsageError("jail", "is wrong")

    shared.bring = fails  # type: ignore[method-assign,assignment]
    done = fetch(shared, f"@{DEVS}")
    assert (done.lines, [error.why for error in done.errors]) == (("ann removed",), ["is wrong"])
    with pytest.raises(UsageError):
        fetch(shared, f"@{DEVS}")
