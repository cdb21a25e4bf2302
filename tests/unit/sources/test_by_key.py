"""Keys of one account with different commands become named keys with settings of their own."""

from __future__ import annotations

import pytest

from jailssh.config import by_key as settings_by_key
from jailssh.config.files import edited, read_user
from jailssh.config.jails import read_jail
from jailssh.config.key_sections import by_whom, given_to
from jailssh.config.reader import read_document
from jailssh.core.errors import JailsshError
from jailssh.migration.wanted import as_text
from jailssh.plugin.registry import load_registry
from jailssh.sources.found import Fate, Found
from tests.unit.jails_found import builds
from tests.unit.sources.test_authorized_keys import PATH, a_key, line, one

LINES = (
    line("rrsync -ro /srv/www", 1, 'restrict,from="192.0.2.0/24,2001:db8::1"'),
    line("rrsync -wo -no-del in", 2, 'restrict,expiry-time="20300131"'),
    line("borg serve --append-only --restrict-to-path /srv/borg --umask 077", 3, 'restrict,expiry-time="203001311830"'),
    line('git-shell -c "$SSH_ORIGINAL_COMMAND"', 4),
    line("internal-sftp -R", 5),
    line("rclone serve restic --stdio repo", 6),
    line("/usr/local/bin/report", 7),
)
WANTED: dict[str, dict[tuple[str, str], object]] = {
    "someone": {("", "plugins"): "rsync", ("rsync", "read"): "/srv/www", ("rsync", "write"): "",
                ("limits", "addresses"): ("192.0.2.0/24", "2001:db8::1/128"), ("limits", "expires"): ""},
    "someone-2": {("rsync", "write"): "~/in", ("rsync", "read"): "", ("rsync", "delete"): "no",
                  ("limits", "expires"): "2030-01-31 00:00"},
    "someone-3": {("", "plugins"): "borg", ("", "umask"): "077", ("borg", "paths"): "/srv/borg",
                  ("borg", "append_only"): "yes", ("limits", "expires"): "2030-01-31 18:30"},
    "someone-4": {("", "plugins"): "git", ("git", "write"): "~"},
    "someone-5": {("", "plugins"): "sftp", ("sftp", "read_only"): "yes"},
    "someone-6": {("", "plugins"): "restic", ("restic", "repository"): "~/repo", ("restic", "append_only"): "no"},
    "someone-7": {("", "plugins"): "command", ("command", "commands"): "/usr/local/bin/report"},
    # Whom nobody named may do nothing that matters, and not log in.
    "later": {("limits", "expires"): "1971-01-02"},
}  # fmt: skip


def file_of(found: Found) -> str:
    """Return the account's file that is written."""
    text = "uid = 1001\njail = keys\n"
    for sections in found.by_key.values():
        rows = {title.strip("[]"): {key: list(value) or [""] for key, value in each.items()}
                for title, each in sections.items()}  # fmt: skip
        text = edited(text.encode(), rows)
    return text


def test_each_key_has_what_its_command_was() -> None:
    found = one(*LINES)
    assert found.fate is Fate.MIGRATE, found.remarks
    assert not found.commands
    assert list(found.named) == [name for name in WANTED if name != "later"]
    registry = load_registry()
    jail = read_jail("keys", read_document(as_text(found), "keys.conf"), registry.options, registry.plugins)
    user = read_user(file_of(found), "users/kim.conf", "kim")
    settings_by_key.check(user.by_key, jail, registry.options)
    for name, wanted in WANTED.items():
        given = given_to(by_whom(user.by_key), name, ())
        assert {place: given[place].raw for place in wanted} == wanted
        errors: list[JailsshError] = []
        own = settings_by_key.with_items(jail, settings_by_key.read(jail, given, registry.options, errors))
        assert errors == []
        if name != "later":
            assert own.plugins == (given["", "plugins"].raw,)
    # By itself the jail shows no directory that a key has.
    for path in ("/srv/www", "/srv/borg", '"~"', "~/in", "~/repo"):
        assert path not in as_text(found)
    builds(found)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ('restrict,from="*.example.org"', "names more than addresses and networks"),
        ('restrict,from="!192.0.2.1,192.0.2.0/24"', "names more than addresses and networks"),
        ('restrict,from="192.0.2.*"', "names more than addresses and networks"),
        ('restrict,expiry-time="20300131Z"', "in local time"),
        ('restrict,expiry-time="20301331"', "in local time"),
        ('restrict,expiry-time="20900101"', "in local time"),
        ('restrict,cert-authority,principals="kim"', "is an authority"),
    ],
)
def test_what_no_setting_can_say_leaves_the_account(options: str, why: str) -> None:
    found = one(line("rrsync /srv", 1), line("borg serve", 2, options))
    assert found.fate is Fate.LEAVE
    assert [remark.where for remark in found.remarks if why in remark.text] == [f"{PATH}:2"]


def test_one_key_on_two_lines_is_left() -> None:
    found = one(line("rrsync /srv", 1), line("borg serve", 1))
    assert found.fate is Fate.LEAVE
    assert any("on another line too" in remark.text for remark in found.remarks)


def test_odd_comments_are_names_all_the_same() -> None:
    comments = ("all", "../etc", "müller desk", "", "x" * 300, "a+b@host")
    found = one(*(
        f'restrict,command="{command}" {a_key(number)} {comment}'
        for number, (comment, command) in enumerate(zip(comments, ("rrsync /srv", "borg serve") * 3, strict=True))
    ))  # fmt: skip
    assert list(found.named) == ["key1", "etc", "m-ller-desk", "key4", "x" * 60, "a+b-host"]
