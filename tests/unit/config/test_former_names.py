"""Settings that had another name in the version before: the old name is read as the new one, and both are an error."""

from __future__ import annotations

import pytest

from jailssh.config import files, jails, reader
from jailssh.config.settings import FORMER, JAIL, MAIN, Setting
from jailssh.core.errors import JailsshError
from jailssh.jail.profiles import shipped_profiles
from jailssh.plugin.api import Option

VALUES = {
    "deny_groups": "wheel ops",
    "inaccessible_paths": "/usr/share/doc",
    "max_sessions": "3",
    "max_sessions_per_key": "2",
    "max_duration": "8h",
    "idle_timeout": "30m",
}
ROWS = [row for row in (*MAIN, *JAIL) if row.former]


def no_options(_: str) -> tuple[Option, ...]:
    return ()


def text_of(row: Setting, *names: str) -> str:
    top = "" if row in MAIN else "plugins = sftp\n"
    return "".join(
        [top, f"[{row.section}]\n" if row.section else "", *(f"{name} = {VALUES[row.name]}\n" for name in names)]
    )


def read(row: Setting, text: str) -> reader.Item:
    if row in MAIN:
        items = files.read_main(text, "f.conf").items
    else:
        items = jails.read_jail("j", reader.read_document(text, "f.conf"), no_options).items
    (item,) = [item for item in items if item.setting == row]
    return item


def errors(row: Setting, text: str) -> list[str]:
    with pytest.raises(JailsshError) as caught:
        read(row, text)
    return caught.value.lines()


def test_every_former_name_has_a_value_here() -> None:
    assert {row.name for row in ROWS} == set(VALUES) == set(FORMER.values())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.former)
def test_the_old_name_means_the_same(row: Setting) -> None:
    old, new = read(row, text_of(row, row.former)), read(row, text_of(row, row.name))
    assert (old.value, old.origin, old.setting) == (new.value, new.origin, new.setting)
    assert old.value != read(row, text_of(row)).value
    assert (old.former, new.former) == (row.former, "")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.former)
def test_both_names_at_once_are_an_error(row: Setting) -> None:
    for names in ((row.former, row.name), (row.name, row.former)):
        text = text_of(row, *names)
        line = text.splitlines().index(f"{row.former} = {VALUES[row.name]}") + 1
        assert errors(row, text) == [
            f"jailssh: f.conf:{line}: {row.former!r} is now {row.name!r}, which is also set",
            f"hint: keep one of them: {row.name}",
        ]


def test_an_error_has_the_name_that_the_file_has() -> None:
    for text, line in (
        ("plugins = sftp\n[limits]\nsessions = 0\n", "jailssh: f.conf:3: sessions: '0' is not a number from 1 "),
        ("plugins = sftp\nrefuse_groups = a\n", "jailssh: f.conf:2: unknown setting refuse_groups"),
    ):
        with pytest.raises(JailsshError) as caught:
            jails.read_jail("j", reader.read_document(text, "f.conf"), no_options)
        assert caught.value.lines()[0].startswith(line)


def test_an_old_name_goes_before_the_profile_that_the_file_extends() -> None:
    base = reader.read_document("plugins = sftp\n[limits]\nmax_sessions = 9\n", "base.conf")
    mine = jails.extend(reader.read_document("extends = base\n[limits]\nsessions = 2\n", "f.conf"), {"base": base})
    assert jails.read_jail("j", mine, no_options).access["max_sessions"].value == 2


def test_old_and_new_names_of_two_jails_are_one_setting() -> None:
    old = reader.read_document("plugins = sftp\n[limits]\nidle = 5m\n", "old.conf")
    same = reader.read_document("plugins = git\n[limits]\nidle_timeout = 5m\n", "same.conf")
    other = reader.read_document("plugins = git\n[limits]\nidle_timeout = 6m\n", "other.conf")
    union = jails.read_jail("j", jails.combine({"old": old, "same": same}), no_options)
    assert union.access["idle_timeout"].value == 300
    with pytest.raises(JailsshError, match=r"idle_timeout is set differently \(old\.conf:3 and other\.conf:3\)"):
        jails.combine({"old": old, "other": other})


def test_an_account_has_a_limit_by_its_old_name() -> None:
    user = files.read_user("uid = 5\njail = j\n[limits]\nsessions = 1\n", "u.conf", "u")
    assert (user.access["max_sessions"].value, user.access["max_sessions"].former) == (1, "sessions")


def test_no_old_name_is_a_name_of_now_or_in_a_profile() -> None:
    assert FORMER.keys().isdisjoint((row.section, row.name) for row in (*MAIN, *JAIL))
    entries = [
        entry for each in shipped_profiles().values() for keys in each.entries.values() for entry in keys.values()
    ]
    assert entries
    assert [entry.origin for entry in entries if entry.former] == []
