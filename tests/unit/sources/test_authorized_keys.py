"""Accounts that keys with commands of their own confine."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from jailssh.config import by_key as settings_by_key
from jailssh.config.files import edited, read_user
from jailssh.config.jails import read_jail
from jailssh.config.key_sections import by_whom, given_to
from jailssh.config.reader import read_document
from jailssh.core.errors import HostError, JailsshError
from jailssh.migration.wanted import as_text
from jailssh.plugin.registry import load_registry
from jailssh.sources import authorized_keys, forced
from jailssh.sources.found import Effect, Fate, Found, Person
from jailssh_plugins.sftp.plugin import _REQUESTS
from tests.unit.jails_found import builds
from tests.unit.source_tools import AHost

PATH = "/home/kim/.ssh/authorized_keys"
KIM = Person("kim", 1001, 1001, group="kim", home="/home/kim", shell="/bin/bash")
SCRIPTS = {"/usr/local/bin/report": "#!/bin/sh\nexec du -s /srv\n",
           "/usr/local/bin/validate-rsync": 'case "$SSH_ORIGINAL_COMMAND" in rsync*) eval "$_";; esac',
           "/usr/local/bin/elf": "\x7fELF\udcff\0\0"}  # fmt: skip


def a_key(number: int = 0) -> str:
    """Return the type and the base64 text of a key."""
    kind, data = b"ssh-ed25519", bytes([number]) * 32
    blob = struct.pack(">I", len(kind)) + kind + struct.pack(">I", len(data)) + data
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


def found(*lines: str, person: Person = KIM, **settings: str) -> Found | None:
    """Return what is found of an account whose keys file has these lines."""
    text = "".join(f"{line}\n" for line in lines)
    host = AHost([person], {PATH: text, **SCRIPTS}, settings={"": {"passwordauthentication": "no", **settings}})
    every = authorized_keys.find(host)
    assert len(every) <= 1
    return every[0] if every else None


def one(*lines: str, person: Person = KIM, **settings: str) -> Found:
    """Return the account that must be found."""
    result = found(*lines, person=person, **settings)
    assert result is not None
    return result


def line(command: str, number: int = 0, options: str = "restrict") -> str:
    """Return the line of a key with a command."""
    quoted = command.replace('"', '\\"')
    return f'{options},command="{quoted}" {a_key(number)} someone'


MIGRATES: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("rrsync -ro /srv/www", "rsync", {"read": ("/srv/www",), "probe": "yes"}),
    ("/usr/bin/rrsync -wo backup", "rsync", {"write": ("~/backup",), "probe": "yes"}),
    ("/usr/share/doc/rsync/scripts/rrsync.pl -munge ~/x/", "rsync",
     {"read": ("~/x",), "write": ("~/x",), "munge": "yes", "probe": "yes"}),
    ("rrsync -no-del -no-overwrite -wo .", "rsync",
     {"write": ("~",), "delete": "no", "overwrite": "no", "probe": "yes"}),
    ("ionice -c3 nice -n 5 rrsync -wo $HOME/in", "rsync", {"write": ("~/in",), "probe": "yes"}),
    ("rsync --server --sender -logDtpre.iLsfxC . /srv/www/", "rsync", {"read": ("/srv/www",)}),
    ("rsync --server -logDtpre.iLsfxC --delete . /srv/in", "rsync", {"write": ("/srv/in",)}),
    ("rsync --server -logDtpr --ignore-existing --munge-links . /srv/in", "rsync",
     {"write": ("/srv/in",), "delete": "no", "overwrite": "no", "munge": "yes"}),
    ("cd /srv/x~; rrsync -wo in", "rsync", {"write": ("/srv/x~/in",), "probe": "yes"}),
    ("borg serve --append-only --restrict-to-path /srv/borg/kim", "borg",
     {"paths": ("/srv/borg/kim",), "append_only": "yes"}),
    ("cd /srv/borg; borg serve --restrict-to-repository=kim --storage-quota 1.5G".replace("1.5G", "15G"), "borg",
     {"repositories": ("/srv/borg/kim",), "storage_quota": "15G"}),
    ("export BORG_HOSTNAME_IS_UNIQUE=yes; borg serve --restrict-to-path repos --restrict-to-path more", "borg",
     {"paths": ("~/repos", "~/more")}),
    ("borg serve", "borg", {"paths": ("~",)}),
    ("rclone serve restic --stdio --append-only restic", "restic", {"repository": "~/restic", "append_only": "yes"}),
    ("rclone serve restic --stdio --config=/dev/null --append-only --verbose ./repo1", "restic",
     {"repository": "~/repo1", "append_only": "yes"}),
    ("rclone serve restic --stdio /srv/restic", "restic", {"repository": "/srv/restic", "append_only": "no"}),
    ("internal-sftp -R -d incoming -u 0027 -l INFO", "sftp",
     {"read_only": "yes", "start": "~/incoming", "umask": "027"}),
    ("internal-sftp -P remove,rename", "sftp", {"deny_requests": ("remove", "rename")}),
    ("/usr/lib/openssh/sftp-server -Rp read,open", "sftp", {"read_only": "yes", "allow_requests": ("read", "open")}),
    ('git-shell -c "$SSH_ORIGINAL_COMMAND"', "git", {"write": ("~",), "archive": "yes"}),
    ('/usr/bin/git shell -c "${SSH_ORIGINAL_COMMAND}"', "git", {"write": ("~",), "archive": "yes"}),
    ("svnserve -t --tunnel-user=kim -r /srv/svn", "svn", {"root": "/srv/svn"}),
    ("svnserve -tR --root=/srv/svn", "svn", {"root": "/srv/svn", "read_only": "yes"}),
    ("hg-ssh --read-only hg/tool hg/site", "hg", {"read": ("~/hg/tool", "~/hg/site")}),
    ("/usr/local/bin/report --days 7", "command", {"commands": ("/usr/local/bin/report --days 7",)}),
    ("/usr/local/bin/elf", "command", {"commands": ("/usr/local/bin/elf",)}),
)  # fmt: skip


@pytest.mark.parametrize(("command", "plugin", "settings"), MIGRATES)
def test_a_command_becomes_the_jail_that_does_the_same(command: str, plugin: str, settings: dict[str, object]) -> None:
    """Each program's own options are those of the plugin."""
    result = one(line(command))
    assert result.fate is Fate.MIGRATE, result.remarks
    assert result.settings[""]["plugins"] == plugin
    assert result.settings.get(plugin, {}) == settings
    assert result.where == f"{PATH}:1" and result.commands
    builds(result)


STAYS: tuple[tuple[str, Fate, str], ...] = (
    ("/usr/local/bin/validate-rsync", Fate.LEAVE, "SSH_ORIGINAL_COMMAND"),
    ("/usr/local/bin/missing", Fate.LEAVE, "not a program of root's"),
    ("bin/mine", Fate.LEAVE, "not a program of root's"),
    ("/home/kim/bin/mine", Fate.LEAVE, "not a program of root's"),
    ("sh -c 'id; ls'", Fate.LEAVE, "shell or an interpreter"),
    ("tar c . | gzip", Fate.LEAVE, "'|'"),
    ("du -s $(pwd)", Fate.LEAVE, "'$'"),
    ("rrsync $BASE", Fate.LEAVE, "variable BASE"),
    ("rrsync /", Fate.LEAVE, "holds the homes"),
    ("rrsync /home", Fate.LEAVE, "holds the homes"),
    ("rrsync ../x", Fate.LEAVE, "not a path"),
    ("rrsync /srv/%u", Fate.LEAVE, "not a path"),
    ("rrsync -rw /srv", Fate.REFUSED, "-rw"),
    ("rrsync -ro -wo /srv", Fate.REFUSED, "one of -ro and -wo"),
    ("rrsync", Fate.REFUSED, "one directory"),
    ("rsync --server --daemon --config=/etc/x .", Fate.LEAVE, "configuration of its own"),
    ("git-shell -c $SSH_ORIGINAL_COMMAND", Fate.LEAVE, "outside of quotes"),
    ("borg create x::y /etc", Fate.LEAVE, "not serve"),
    ("borg serve --rsh id", Fate.LEAVE, "--rsh"),
    ("rclone serve restic --stdio remote:x", Fate.LEAVE, "remote"),
    ("svnserve -t", Fate.LEAVE, "no -r DIR"),
    ("internal-sftp -x", Fate.REFUSED, "-x"),
    ("internal-sftp -P remove -P rename", Fate.REFUSED, "twice"),
    ("internal-sftp -p nonsense", Fate.REFUSED, "permits no request"),
    ("echo no shell here; sleep 3", Fate.LEAVE, "nobody can do anything"),
    ("/bin/false", Fate.LEAVE, "nobody can do anything"),
    ("/usr/lib/gitlab/gitlab-shell key-1", Fate.LEAVE, "GitLab"),
    ("/usr/share/gitolite3/gitolite-shell kim", Fate.LEAVE, "gitolite"),
    ("rclone serve sftp --stdio ./photos", Fate.LEAVE, "something else"),
    ("cd /srv/app && exec $SSH_ORIGINAL_COMMAND", Fate.LEAVE, "outside of quotes"),
    ("sudo rrsync /srv", Fate.LEAVE, "another account"),
    ('"', Fate.LEAVE, "not closed"),
    ("rrsync -ro 'a", Fate.LEAVE, "not closed"),
    ("", Fate.LEAVE, "runs no program"),
    (";;", Fate.LEAVE, "not a list"),
    ("hg-ssh repos/*", Fate.LEAVE, "'*'"),
)


@pytest.mark.parametrize(("command", "fate", "why"), STAYS)
def test_a_command_that_no_jail_comes_near_is_left(command: str, fate: Fate, why: str) -> None:
    """It has no settings, and a remark with the line says why."""
    result = one(line(command))
    assert (result.fate, result.settings) == (fate, {})
    assert any(remark.where == f"{PATH}:1" and why in remark.text for remark in result.remarks), result.remarks


@pytest.mark.parametrize(
    ("lines", "fate", "where", "why"),
    [
        ((line("borg serve"), line("borg serve", 1)), Fate.MIGRATE, "", ""),
        ((line("borg serve"), a_key(1)), Fate.LEAVE, f"{PATH}:2", "without a command"),
        ((line("rrsync -ro /srv"), line("rrsync /srv", 1)), Fate.MIGRATE, f"{PATH}:2", "paths are those"),
        ((line("borg serve"), line("/bin/false", 1)), Fate.LEAVE, f"{PATH}:2", "nobody can do anything"),
        ((line("borg serve"), f'command="x",command="y" {a_key(1)}'), Fate.MIGRATE, f"{PATH}:2", "twice"),
        ((line("borg serve"), f"unknown-option {a_key(1)}"), Fate.MIGRATE, f"{PATH}:2", "not a valid sshd option"),
        ((line("borg serve"), f'from="a b" {a_key(1)}'), Fate.MIGRATE, f"{PATH}:2", "from="),
        (("# x", "", line("borg serve"), "\x00", "\udcff\udcfe", "x" * 9000), Fate.MIGRATE, f"{PATH}:5", "no key"),
        ((line("borg serve") + "\r", "\ufeff" + a_key(1)), Fate.MIGRATE, f"{PATH}:2", "no key"),
        ((f"COMMAND=\"borg serve\" {a_key()}",), Fate.MIGRATE, f"{PATH}:1", "ports can be forwarded"),
        ((line("borg serve", options="restrict,port-forwarding"),), Fate.MIGRATE, f"{PATH}:1", "ports can be"),
        ((line("borg serve", options='permitopen="db:5432"'),), Fate.MIGRATE, f"{PATH}:1", "permitopen"),
        ((line("borg serve", options='environment="A=b"'),), Fate.MIGRATE, f"{PATH}:1", "environment"),
    ],
)  # fmt: skip
def test_lines_of_an_account(lines: tuple[str, ...], fate: Fate, where: str, why: str) -> None:
    """Keys of one account are judged together, and lines that sshd passes over are said."""
    result = one(*lines)
    assert result.fate is fate, result.remarks
    assert not why or any(remark.where == where and why in remark.text for remark in result.remarks), result.remarks


def test_a_forwarding_that_is_off_is_no_remark() -> None:
    """Neither by the line nor by sshd."""
    for result in (one(line("borg serve")), one(line("borg serve", options="pty"), allowtcpforwarding="no")):
        assert not any("forward" in remark.text for remark in result.remarks)


@pytest.mark.parametrize(
    ("person", "settings", "why"),
    [
        (Person("kim", 0, 0, group="root", home="/home/kim", shell="/bin/sh"), {}, "root cannot"),
        (Person("kim", 34, 34, group="backup", home="/home/kim", shell="/bin/sh"), {}, "system uid"),
        (Person("kim", 1001, 1, group="kim", home="/home/kim", shell="/bin/sh", groups=("sudo",)), {}, "group sudo"),
        (KIM, {"authorizedkeyscommand": "/usr/bin/more-keys"}, "AuthorizedKeysCommand"),
    ],
)
def test_accounts_that_stay(person: Person, settings: dict[str, str], why: str) -> None:
    """Those that adduser would not take, and those with keys that nobody knows."""
    result = one(line("borg serve"), person=person, **settings)
    assert result.fate is Fate.LEAVE
    assert any(why in remark.text for remark in result.remarks), result.remarks


def test_a_login_shell_that_runs_nothing_refuses_today() -> None:
    """sshd hands the command to it, but its own sftp needs no shell."""
    person = Person("kim", 1001, 1001, group="kim", home="/home/kim", shell="/usr/sbin/nologin")
    assert one(line("borg serve"), person=person).fate is Fate.REFUSED
    assert one(line("internal-sftp"), person=person).fate is Fate.MIGRATE


@pytest.mark.parametrize(
    ("lines", "settings"),
    [
        ((a_key(),), {}),
        (("# nothing",), {}),
        ((line("borg serve"),), {"forcecommand": "internal-sftp"}),
        ((line("borg serve"),), {"chrootdirectory": "/srv"}),
    ],
)
def test_what_is_not_of_this_source(lines: tuple[str, ...], settings: dict[str, Any]) -> None:
    """Accounts without such keys, and those of other sources."""
    assert found(*lines, **settings) is None


def test_gitolite_has_a_source_of_its_own() -> None:
    """Where its directory is."""
    host = AHost([KIM], {PATH: line("gitolite-shell kim"), "/home/kim/.gitolite/conf/gitolite.conf": ""})
    assert authorized_keys.find(host) == []


def test_a_file_that_cannot_be_read_hides_nobody_else() -> None:
    """The account is left, with the reason."""

    class Spoilt(AHost):
        def read_of(self, person: Person, path: str) -> str | None:
            if person is KIM:
                raise HostError(path, "is too large")
            return super().read_of(person, path)

    lee = Person("lee", 1002, 1002, group="lee", home="/home/lee", shell="/bin/sh")
    every = authorized_keys.find(Spoilt([KIM, lee], {"/home/lee/.ssh/authorized_keys": line("borg serve")}))
    assert [(each.account, each.fate) for each in every] == [("kim", Fate.LEAVE), ("lee", Fate.MIGRATE)]
    assert "too large" in every[0].remarks[0].text


def test_files_are_those_that_sshd_reads() -> None:
    """Also root's, with the account's name in the path."""
    host = AHost([KIM], {"/etc/ssh/keys/kim%": line("borg serve")},
                 settings={"": {"authorizedkeysfile": "/etc/ssh/keys/%u%% none"}})  # fmt: skip
    assert authorized_keys.find(host)[0].where == "/etc/ssh/keys/kim%:1"


def test_limits_of_a_command_go_into_the_jail() -> None:
    """nice(1) and umask of the shell are settings of ours."""
    result = one(line("umask 077; A=b exec nice -7 borg serve --restrict-to-path x"))
    assert result.settings[""] == {"plugins": "borg", "umask": "077"}
    assert result.settings["limits"] == {"nice": "7"}
    assert any(remark.effect is Effect.LOST and "variable A" in remark.text for remark in result.remarks)


def test_options_of_today_are_told_for_logins_to_try() -> None:
    """Without those that would keep a trial out."""
    result = one(f'from="10.0.0.1",command="git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"",no-pty {a_key()}')
    assert result.options == 'command="git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"",no-pty'


def test_requests_are_those_of_the_plugin() -> None:
    """A name that it does not know would be an error of the jail."""
    assert set(_REQUESTS.split()) == forced.REQUESTS


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
        ('restrict,from="192.0.2.0/255.255.255.0"', "names more than addresses and networks"),
        ('restrict,from="192.0.2.*"', "names more than addresses and networks"),
        ('restrict,expiry-time="20300131Z"', "in local time"),
        ('restrict,expiry-time="20301331"', "in local time"),
        ('restrict,expiry-time="20900101"', "in local time"),
        ('restrict,cert-authority,principals="kim"', "is an authority"),
        ("restrict,verify-required", "no setting of a named key"),
        ("restrict,no-touch-required", "no setting of a named key"),
        ('restrict,expiry-time="20200101",expiry-time="20300101"', "sshd takes the earlier one"),
    ],
)
def test_what_no_setting_can_say_leaves_the_account(options: str, why: str) -> None:
    found = one(line("rrsync /srv", 1), line("borg serve", 2, options))
    assert found.fate is Fate.LEAVE
    assert [remark.where for remark in found.remarks if why in remark.text] == [f"{PATH}:2"]


@pytest.mark.parametrize(
    ("commands", "wanted"),
    [
        (("internal-sftp", "internal-sftp -R"), {("", "plugins"): "sftp", ("sftp", "read_only"): "no"}),
        (("internal-sftp -P remove", "internal-sftp -R"), {("sftp", "deny_requests"): "remove"}),
        (
            ("internal-sftp -R", "internal-sftp -p read,open"),
            {("sftp", "read_only"): "yes"},
        ),
        (
            ("nice -n 5 rrsync -ro /srv", "borg serve"),
            {("limits", "nice"): "5", ("limits", "addresses"): "192.0.2.1/32"},
        ),
    ],
)
def test_what_a_command_does_not_say_is_a_setting_all_the_same(
    commands: tuple[str, str], wanted: dict[tuple[str, str], object]
) -> None:
    found = one(line(commands[0], 1, 'restrict,from="192.0.2.1"'), line(commands[1], 2))
    registry = load_registry()
    jail = read_jail("keys", read_document(as_text(found), "keys.conf"), registry.options, registry.plugins)
    user = read_user(file_of(found), "users/kim.conf", "kim")
    settings_by_key.check(user.by_key, jail, registry.options)
    given = given_to(by_whom(user.by_key), "someone", ())
    assert {place: given[place].raw for place in wanted} == wanted
    builds(found)


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
