"""Sections of an account's file for keys and groups: which there can be, and what comes first."""

from __future__ import annotations

import pytest

from jailssh.config import by_key, key_sections
from jailssh.config.files import read_user
from jailssh.config.jails import JailConfig, read_jail
from jailssh.config.key_sections import by_whom, given_to
from jailssh.config.keys import read_keyring
from jailssh.config.reader import read_document
from jailssh.core.errors import ConfigError, JailsshError, ManyErrors
from jailssh.plugin.api import Option
from tests.harness.keys import public_key

FILE = "users/backup.conf"
HEAD = "uid = 1001\njail = machines\n[groups]\nreaders = web1, web2\nothers = web2\n"
OPTIONS = {
    "rsync": (Option("write", "paths", "", ""), Option("delete", "bool", "yes", "")),
    "sftp": (Option("read_only", "bool", "no", ""),),
}
JAIL = read_jail(
    "machines", read_document("plugins = rsync sftp\n[rsync]\nwrite = ~/%k\n[limits]\nnofile = 50\n", "jail"),
    OPTIONS.__getitem__, OPTIONS,
)  # fmt: skip


def errors_of(text: str, jail: JailConfig = JAIL) -> list[str]:
    """Return every error in an account's file with these sections."""
    try:
        by_key.check(read_user(HEAD + text, FILE, "backup").by_key, jail, OPTIONS.__getitem__)
    except ManyErrors as several:
        return [str(error) for error in several.errors]
    except JailsshError as error:
        return [str(error)]
    return []


def value(text: str, key: str, setting: tuple[str, str], groups: tuple[str, ...] = ()) -> object:
    """Return what a key has by these sections, None for nothing."""
    found = given_to(by_whom(read_user(HEAD + text, FILE, "backup").by_key), key, groups)
    return found[setting].raw if setting in found else None


def test_the_key_comes_before_its_groups_and_these_before_all() -> None:
    text = (
        "[sftp key web1]\nread_only = no\n[sftp key @readers]\nread_only = yes\n"
        "[rsync key @all]\ndelete = no\nwrite = ~/all\n[rsync key @readers]\nwrite = ~/readers\n"
    )
    for key, groups, read_only, write in (
        ("web1", ("readers",), "no", "~/readers"),
        ("web2", ("readers", "others"), "yes", "~/readers"),
        ("web3", (), None, "~/all"),
    ):
        assert value(text, key, ("sftp", "read_only"), groups) == read_only
        assert value(text, key, ("rsync", "write"), groups) == write
        assert value(text, key, ("rsync", "delete"), groups) == "no"


def test_two_groups_that_contradict_each_other_are_an_error_that_names_both_lines() -> None:
    text = "[sftp key @readers]\nread_only = yes\n[sftp key @others]\nread_only = no\n"
    with pytest.raises(ConfigError) as raised:
        value(text, "web2", ("sftp", "read_only"), ("others", "readers"))
    assert raised.value.what in (f"{FILE}:7", f"{FILE}:9")
    for part in ("key web2", "others", "readers", "[sftp] read_only", f"{FILE}:7", f"{FILE}:9"):
        assert part in raised.value.why
    assert "[sftp key web2]" in raised.value.hint
    # Who is in one of them has no doubt, nor has who is in both if they say the same, or the key has its own.
    assert value(text, "web1", ("sftp", "read_only"), ("readers",)) == "yes"
    same = text.replace("read_only = no", "read_only = yes")
    assert value(same, "web2", ("sftp", "read_only"), ("others", "readers")) == "yes"
    own = f"{text}[sftp key web2]\nread_only = no\n"
    assert value(own, "web2", ("sftp", "read_only"), ("others", "readers")) == "no"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[rsync key]\n", "does not name one plugin, and one key or group"),
        ("[key a b]\n", "does not name one plugin"),
        ("[key]\n", "unknown section [key]"),
        ("[rsync key web1 web2]\n", "does not name one plugin"),
        ("[rsync key ../x]\n", "not a name"),
        ("[rsync key -x]\n", "not a name"),
        ("[rsync key @]\n", "not a name"),
        ("[rsync key web1]\n[rsync  key web1]\n", "is a duplicate of users/backup.conf:6"),
        ("[rsnc key web1]\ndelete = no\n", "jail machines does not have plugin rsnc"),
        ("[git key web1]\n", "has no effect: jail machines does not have plugin git"),
        ("[rsync key web1]\ndelte = no\n", "unknown setting [rsync] delte"),
        ("[rsync key web1]\ndelete = maybe\n", "users/backup.conf:7: delete: "),
        ("[limits key web1]\nmemory = 1G\n", "memory holds for the whole account and cannot differ by key"),
        ("[key web1]\nlinger = yes\n", "linger holds for the whole account and cannot differ by key"),
        ("[key web1]\nplugins = rsync git\n", "plugins: jail machines does not have plugin git"),
        ("[key web1]\nplugins =\n", "a key without any plugin cannot do anything"),
        ("[key web1]\nnetwork = host\n", "is not made for network = host"),
        ("[key web1]\nnetwork = outbound\n", "is not made for network = outbound"),
        ("[limits key web1]\nexpires = 2027-13-01\n", "users/backup.conf:7: expires: "),
    ],
)
def test_what_no_section_can_be(text: str, why: str) -> None:
    errors = errors_of(text)
    assert len(errors) == 1, errors
    assert why in errors[0]
    assert FILE in errors[0]


@pytest.mark.parametrize("name", ["a", "_x", "web-1.example.org", "key", "all", "%k", "a+b", "x" * 200])
def test_odd_names(name: str) -> None:
    errors = errors_of(f"[rsync key {name}]\ndelete = no\n[key {name}]\numask = 077\n")
    assert bool(errors) is (name == "%k"), errors


def test_the_jail_of_a_key_has_its_settings_and_the_limits_of_a_login() -> None:
    text = "[key web1]\nplugins = rsync\numask = 077\n"
    text += "[limits key web1]\naddresses = 192.0.2.0/24\nnofile = 9\nfsize = 1M\n"
    user = read_user(HEAD + text + "[rsync key web1]\nwrite = ~/a, ~/b\n", FILE, "backup")
    errors: list[JailsshError] = []
    items = by_key.read(JAIL, given_to(by_whom(user.by_key), "web1", ()), OPTIONS.__getitem__, errors)
    assert errors == []
    made = by_key.with_items(JAIL, items)
    assert (made.plugins, made.umask) == (("rsync",), 0o077)
    assert made.options["rsync"] == {"write": ("~/a", "~/b"), "delete": True}
    assert made.limits["nofile"] == 9
    assert made.limits["fsize"] == 1 << 20
    assert made.access["addresses"].value == ("192.0.2.0/24",)
    assert made.access["addresses"].origin == f"{FILE}:10"
    # The jail itself is as it was.
    assert (JAIL.options["rsync"]["write"], JAIL.limits["nofile"]) == (("~/%k",), 50)
    assert by_key.with_items(JAIL, {}) is JAIL


def test_directories_for_keys_are_sections_for_keys_too() -> None:
    text = "[directories key web1]\nread = /srv/a\n[directories web9 @readers]\nread = /srv/b\n"
    user = read_user(HEAD + text, FILE, "backup")
    assert user.by_key == ()
    found = key_sections.of_key(user.for_keys, "web1", ("readers",))
    assert [(each.title, each.origin) for each in found] == [
        ("[directories key web1]", f"{FILE}:6"), ("[directories web9 @readers]", f"{FILE}:8"),
    ]  # fmt: skip
    ring = read_keyring({"web1.pub": public_key(0).encode()}, user.groups)
    notes = key_sections.stale(user.for_keys, ring, [group.name for group in user.groups])
    assert [note.why for note in notes] == ["section [directories web9 @readers]: key 'web9' does not exist"]
    # The word says that keys are meant, so that no key without a name is let in beside.
    alone = "uid = 1005\njail = backups\n[directories {}]\nread = /srv/a\n"
    assert [read_user(alone.format(who), FILE, "backup").is_shared for who in ("key web1", "web1")] == [True, False]


def test_sections_for_nobody_are_told_and_are_no_error() -> None:
    text = "[sftp key web9]\nread_only = yes\n[sftp key @reders]\nread_only = yes\n[sftp key @all]\nread_only = no\n"
    user = read_user(HEAD + text, FILE, "backup")
    files = {f"{name}.pub": public_key(number).encode() for number, name in enumerate(("web1", "web2"))}
    notes = key_sections.stale(user.by_key, read_keyring(files, user.groups), [group.name for group in user.groups])
    assert [(note.what, note.why) for note in notes] == [
        (f"{FILE}:6", "section [sftp key web9]: key 'web9' does not exist"),
        (f"{FILE}:8", "section [sftp key @reders]: group 'reders' does not exist"),
    ]
    assert "readers" in notes[1].hint
