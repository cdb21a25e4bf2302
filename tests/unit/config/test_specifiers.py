"""What directories of plugins say of whose login it is."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from jailssh.config.specifiers import expanded, matches, of_keys
from jailssh.core.errors import ConfigError
from jailssh.plugin.api import Account, Option

OPTIONS = (Option("write", "paths", "", ""), Option("start", "path", "", ""), Option("flags", "words", "", ""))


def account(name: str = "backup", roles: Iterable[str] = ("@all", "@machines", "web1")) -> Account:
    return Account(name, 1001, 1001, "storage", "/home/backup", roles=frozenset(roles))


def write(text: str, of: Account) -> object:
    return expanded("rsync", OPTIONS, {"write": (text,), "start": "", "flags": ()}, of)["write"]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("~/%k", "~/web1"),
        ("/srv/%u/%k/%g", "/srv/backup/web1/storage"),
        ("/srv/100%%/%%k", "/srv/100%/%k"),
        ("/srv/all", "/srv/all"),
    ],
)
def test_names_stand_where_they_are_asked_for(text: str, path: str) -> None:
    assert write(text, account()) == (path,)


def test_who_shares_no_account_has_its_name_for_the_key() -> None:
    assert write("~/%k", account("alice", ("@all", "@staff", "alice"))) == ("~/alice",)
    assert write("~/%k", account("alice", ("@all",))) == ("~/alice",)


def test_only_directories_have_them() -> None:
    given = expanded("rsync", OPTIONS, {"write": (), "start": "~/%u", "flags": ("-%u",)}, account())
    assert dict(given) == {"write": (), "start": "~/backup", "flags": ("-%u",)}


@pytest.mark.parametrize("text", ["~/%x", "~/%", "~/%K", "~/% k"])
def test_what_stands_for_nothing_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="has no meaning") as raised:
        write(text, account())
    assert raised.value.what == "[rsync] write"


@pytest.mark.parametrize("name", ["..", ".", "a/b", ""])
def test_a_name_that_is_none_of_a_directory_is_an_error(name: str) -> None:
    with pytest.raises(ConfigError, match="not a name of a directory"):
        write("/srv/%u", account(name))


@pytest.mark.parametrize(
    ("text", "path", "fits"),
    [
        ("/srv/%u/%k", "/srv/backup/web1", True),
        ("/srv/%k", "/srv/web1/etc", False),
        ("/srv/100%%.d", "/srv/100%.d", True),
        ("/srv/100%%.d", "/srv/100%xd", False),
        ("/srv/all", "/srv/all", True),
    ],
)
def test_a_directory_is_found_again_by_what_was_written(text: str, path: str, fits: bool) -> None:
    assert matches(text, path) is fits


@pytest.mark.parametrize(
    ("value", "found"), [(("~/%k",), True), ("~/%k", True), (("~/%%k", "~/%u"), False), ("%%%k", True), (True, False)]
)
def test_jails_whose_keys_differ_by_it_are_known(value: bool | str | tuple[str, ...], found: bool) -> None:
    assert of_keys([value, ()]) is found
