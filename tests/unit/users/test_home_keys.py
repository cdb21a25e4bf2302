"""What a line of an authorized_keys file means to sshd, and what of it goes into root's file."""

from __future__ import annotations

import pytest

from jailssh.config import home_keys
from jailssh.core.errors import UsageError
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.setup import home_keys as taking
from jailssh.setup.home_keys import Choice

BLOB = "AAAAC3NzaC1lZDI1NTE5AAAAIGtra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tr"
KEY = f"ssh-ed25519 {BLOB}"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxsbGxsbGxsbGxsbGxsbGxsbGxsbGxsbGxsbGxsbGxs"
LOGIN = "/usr/local/libexec/jailssh/jailssh-login"
ENTRY = AccountEntry(
    "alice", 1000, 1000, group="alice", home="/home/alice", shell="/bin/bash", gecos="", groups=(("alice", 1000),)
)


def line_for(text: str) -> str:
    found = home_keys.read(text.encode(), "f")
    assert not found.unread, found.unread
    (key,) = found.keys
    return key.authorized(LOGIN).replace(f'command="{LOGIN}"', "OURS")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{KEY} me@here now", f"restrict,pty,OURS {KEY} me@here now"),
        (f"\t {KEY}\r", f"restrict,pty,OURS {KEY}"),
        (f"restrict {KEY} c", f"restrict,OURS {KEY} c"),
        (f"restrict,pty {KEY}", f"restrict,pty,OURS {KEY}"),
        (f"pty,RESTRICT {KEY}", f"restrict,OURS {KEY}"),
        (f"no-pty {KEY}", f"restrict,OURS {KEY}"),
        (f"No-Agent-Forwarding,no-X11-forwarding,no-user-rc {KEY}", f"restrict,pty,OURS {KEY}"),
        (f"port-forwarding,agent-forwarding,user-rc {KEY}", f"restrict,pty,OURS {KEY}"),
        (f'from="192.0.2.0/24,!*.bad.example" {KEY}', f'restrict,pty,from="192.0.2.0/24,!*.bad.example",OURS {KEY}'),
        (f'expiry-time="20270101",expiry-time="202702010000Z" {KEY}',
         f'restrict,pty,expiry-time="20270101",expiry-time="202702010000Z",OURS {KEY}'),
        (f'cert-authority,principals="a,b" {KEY}', f'restrict,pty,cert-authority,principals="a,b",OURS {KEY}'),
        (f"no-touch-required,verify-required {KEY}", f"restrict,pty,no-touch-required,verify-required,OURS {KEY}"),
    ],
)  # fmt: skip
def test_what_limits_a_key_stays(text: str, line: str) -> None:
    assert line_for(text) == line


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (f'from="1.2.3.4",from="::1" {KEY}', "option 'from' is given twice"),
        (f'command="a",COMMAND="b" {KEY}', "option 'command' is given twice"),
        (f"nosuch {KEY}", "not a valid sshd option"),
        (f'restrict="x" {KEY}', "not a valid sshd option"),
        (f"from {KEY}", "not a valid sshd option"),
        (f"restrict, {KEY}", "is not an sshd option"),
        (f'command="open {KEY}', "not closed"),
        ('from="1.2.3.4 ' + KEY + '" ' + OTHER, "not a valid sshd option"),
        (f'expiry-time="tomorrow" {KEY}', "not a valid sshd option"),
        ("ssh-dss AAAA x", "no key type"),
        ("ssh-ed25519 AAAA", "damaged"),
    ],
)
def test_a_line_that_sshd_would_not_take_stays_out_and_is_told(text: str, why: str) -> None:
    found = home_keys.read(text.encode(), "f")
    assert not found.keys
    assert len(found.unread) == 1
    assert why in found.unread[0].replace("is not a key type", "no key type")
    assert found.unread[0].startswith("f:1: ")


def test_lines_are_sshds_lines() -> None:
    text = f"# {OTHER}\n\n{KEY} a\u2028{OTHER}\nno-pty {OTHER} b"
    found = home_keys.read(text.encode(), "f")
    assert [(key.origin, key.key.kind + " " + key.key.blob) for key in found.keys] == [("f:3", KEY), ("f:4", OTHER)]


@pytest.mark.parametrize(
    "option",
    ['command="borg serve --restrict-to-path \\"/h/a b\\""', 'permitopen="db:5432"', 'permitlisten="8080"',
     'environment="X=1"', 'tunnel="0"'],
)  # fmt: skip
def test_a_key_with_one_purpose_is_asked_about(option: str) -> None:
    found = home_keys.read(f"restrict,{option} {KEY} c\n{OTHER}\n".encode(), "/home/alice/.ssh/authorized_keys")
    with pytest.raises(UsageError) as caught:
        taking.check(found, ENTRY, Choice())
    assert "/home/alice/.ssh/authorized_keys:1: " in caught.value.why
    assert option.split("=")[0] in caught.value.why
    assert "jailssh keys add alice" in caught.value.hint
    layout = Layout(prefix="/usr/local")
    for choice, kept in ((Choice("drop"), True), (Choice("leave-out"), False)):
        taking.check(found, ENTRY, choice)
        taken = taking.take(found, "", layout, choice)
        assert (BLOB in taken.text) is kept
        assert OTHER in taken.text
        assert all(f'command="{LOGIN}"' in line for line in taken.text.splitlines())
        assert "borg" not in taken.text
        assert option.split("=")[0] in "\n".join(taken.lines)
    taking.check(found, ENTRY, Choice(leave=True))
    left = taking.take(found, f"{KEY} old\n", layout, Choice(leave=True))
    assert left.text == f"{KEY} old\n"
    assert "2 keys" in left.lines[0]


def test_a_key_that_is_there_already_stays_as_it_is() -> None:
    found = home_keys.read(f"{KEY} a\n{OTHER} b\n{OTHER} again\n".encode(), "f")
    text = home_keys.merged(f"restrict {KEY} first\n", found.keys, LOGIN)
    assert text.splitlines()[0] == f"restrict {KEY} first"
    assert len(text.splitlines()) == 2


def test_the_files_are_those_that_sshd_names() -> None:
    values = {"authorizedkeysfile": [".ssh/authorized_keys .ssh/authorized_keys2"]}
    home = "/home/alice/.ssh/authorized_keys"
    assert taking.paths_of(values, ENTRY, Layout()) == [home, f"{home}2"]
    values = {"authorizedkeysfile": ["/etc/jailssh/keys/%u"]}
    assert taking.paths_of(values, ENTRY, Layout()) == []
    values = {"authorizedkeysfile": ["/etc/jailssh/keys/%u", "%h/k", "/srv/keys/%u.%U", "none"]}
    assert taking.paths_of(values, ENTRY, Layout()) == ["/home/alice/k", "/srv/keys/alice.1000"]
