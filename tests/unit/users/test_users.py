"""The pure parts of account changes: key lines, the table of refusals, the drop-in's text."""

from __future__ import annotations

import base64
import dataclasses
import os
import re
import stat
import struct

import pytest

from jailssh.config.authorized import merge
from jailssh.config.keys import Key, parse_keys
from jailssh.core.errors import ConfigError, DeniedError, HostError, UsageError
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.setup import setup
from jailssh.users import checks
from jailssh.users.checks import AccountFacts

LOGIN = "/usr/local/libexec/jailssh/jailssh-login"


def blob(kind: str, body: bytes = b"k" * 32) -> str:
    name = kind.encode()
    return base64.b64encode(struct.pack(">I", len(name)) + name + struct.pack(">I", len(body)) + body).decode()


ED = blob("ssh-ed25519")


def test_a_key_line_is_type_base64_comment() -> None:
    text = f"# mine\n\n  ssh-ed25519 {ED} alice@host  two words\r\n".encode()
    assert parse_keys(text, "alice.pub") == [Key("ssh-ed25519", ED, "alice@host  two words")]


def test_the_written_line_restricts_and_forces() -> None:
    line = Key("ssh-ed25519", ED, "me").authorized(LOGIN, "me", terminal=True)
    assert line == f'restrict,pty,command="{LOGIN}" ssh-ed25519 {ED} me'


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not contain a public key"),
        ("# nothing\n", "does not contain a public key"),
        (f"ssh-ed25519 {ED[:-4]}!!!!", "damaged"),
        ("ssh-ed25519", "missing"),
        ("ssh-ed25519 AAAA", "damaged"),
        (f"ssh-rsa {ED}", "not of type ssh-rsa"),
        (f"ssh-dss {blob('ssh-dss')}", "is not a key type"),
        (f'command="x" ssh-ed25519 {ED}', "options before a key"),
        (f'command="a b",no-pty ssh-ed25519 {ED}', "options before a key"),
        (f'environment="LD_PRELOAD=x" ssh-ed25519 {ED} c', "options before a key"),
        (f"cert-authority ssh-ed25519 {ED}", "options before a key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n", "private key"),
        (f"ssh-ed25519 {ED} " + "x" * 9000, "too long"),
    ],
)
def test_a_bad_key_file_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_keys(text.encode(), "k.pub")
    assert why in str(caught.value)


def test_control_characters_in_a_comment_are_written_escaped() -> None:
    (key,) = parse_keys(f"ssh-ed25519 {ED} a\x1b[31m\x85b".encode(), "k")
    assert key.comment == "a\\x1b[31m\\x85b"


def test_merging_keeps_what_is_there_and_adds_each_key_once() -> None:
    other = blob("ssh-ed25519", b"o" * 32)
    once = merge("# by hand\n", [Key("ssh-ed25519", ED)], LOGIN)
    assert once.startswith("# by hand\nrestrict,")
    assert merge(once, [Key("ssh-ed25519", ED, "renamed")], LOGIN) == once
    assert merge(once, [Key("ssh-ed25519", other)], LOGIN).count("\n") == 3


@pytest.mark.parametrize("line", [f"# gone: ssh-ed25519 {ED} old", f"#ssh-ed25519 {ED}", f"ssh-rsa AAAA {ED}"])
def test_a_key_that_only_a_comment_mentions_is_added(line: str) -> None:
    key = Key("ssh-ed25519", ED)
    written = key.authorized(LOGIN, "", terminal=True)
    assert merge(f"{line}\n", [key], LOGIN) == f"{line}\n{written}\n"


@pytest.mark.parametrize("options", ["", 'no-pty,command="a b" '])
def test_a_key_that_was_written_by_hand_is_not_added_again(options: str) -> None:
    line = f"{options}ssh-ed25519 {ED}\n"
    assert merge(line, [Key("ssh-ed25519", ED)], LOGIN) == line


def stat_of(mode: int, uid: int = 1500) -> os.stat_result:
    return os.stat_result((mode, 1, 1, 1, uid, uid, 0, 0, 0, 0))


ALICE = AccountEntry(
    "alice", 1500, 1500, group="alice", home="/home/alice", shell="/bin/bash", gecos="", groups=(("alice", 1500),)
)
HOME = stat_of(stat.S_IFDIR | 0o700)
GOOD = AccountFacts(
    entry=ALICE, local=True, same_uid=(), processes=0, home=HOME, home_path="/home/alice", ssh=None,
    jailed=False, invoking=False,
)  # fmt: skip


def with_entry(**fields: object) -> AccountFacts:
    entry = dataclasses.replace(ALICE, **fields)  # type: ignore[arg-type]
    return dataclasses.replace(GOOD, entry=entry, home_path=entry.home)


def in_group(name: str) -> AccountFacts:
    return with_entry(groups=(("alice", 1500), (name, 27)))


TABLE = [
    # facts, reason, taken with --force, taken with --now
    (with_entry(uid=0), "root cannot", False, False),
    (with_entry(gid=0), "root cannot", False, False),
    (with_entry(uid=2**31), "uid 2147483648 is above 2147483647", False, False),
    (with_entry(uid=999, home="/home/alice"), "uid 999 is a system uid (min_uid is 1000)", None, False),
    *((in_group(group), f"member of group '{group}'", True, False)
      for group in ("sudo", "wheel", "docker", "disk", "adm", "lxd")),
    (dataclasses.replace(GOOD, invoking=True), "you are logged in with", True, False),
    (dataclasses.replace(GOOD, processes=2), "account is logged in", False, True),
    (dataclasses.replace(GOOD, same_uid=("bob",)), "is also the uid of bob,", False, False),
    (dataclasses.replace(GOOD, local=False), "directory service", True, False),
    (with_entry(home="/"), "not a home", False, False),
    (with_entry(home="home/alice"), "not a home", False, False),
    (with_entry(home="/home/../root"), "not a home", False, False),
    (with_entry(home=""), "not a home", False, False),
    (dataclasses.replace(GOOD, home=None), "does not exist", False, False),
    (dataclasses.replace(GOOD, home_path="/srv/alice"), "symbolic link", False, False),
    (dataclasses.replace(GOOD, home=stat_of(stat.S_IFREG | 0o600)), "not a directory", False, False),
    (dataclasses.replace(GOOD, home=stat_of(stat.S_IFDIR | 0o700, uid=0)), "belongs to uid 0", False, False),
    (dataclasses.replace(GOOD, home=stat_of(stat.S_IFDIR | 0o770)), "is writable by others", False, False),
    (dataclasses.replace(GOOD, home=stat_of(stat.S_IFDIR | 0o777)), "is writable by others", False, False),
    (dataclasses.replace(GOOD, ssh=stat_of(stat.S_IFLNK | 0o777)), "symbolic link", False, False),
    (dataclasses.replace(GOOD, ssh=stat_of(stat.S_IFREG | 0o600)), "not a directory", False, False),
]  # fmt: skip


def reasons(facts: AccountFacts, *, force: bool = False, now: bool = False) -> list[str]:
    found = checks.refusals(
        facts, min_uid=1000, deny_groups=("sudo", "wheel", "docker", "disk", "adm", "lxd"),
        login_program=LOGIN, force=force, now=now,
    )  # fmt: skip
    assert all(isinstance(error, (DeniedError, UsageError)) for error in found)
    return [str(error) for error in found]


@pytest.mark.parametrize(("facts", "reason", "force_helps", "now_helps"), TABLE, ids=[row[1] for row in TABLE])
def test_refusals(facts: AccountFacts, reason: str, force_helps: bool | None, now_helps: bool) -> None:
    assert any(reason in why for why in reasons(facts))
    assert any(reason in why for why in reasons(facts, now=True)) is not now_helps
    if force_helps is not None:
        assert any(reason in why for why in reasons(facts, force=True)) is not force_helps


def test_an_ordinary_account_is_taken() -> None:
    assert reasons(GOOD) == []
    assert reasons(dataclasses.replace(GOOD, jailed=True, processes=3)) == []
    assert reasons(dataclasses.replace(GOOD, ssh=HOME, home=stat_of(stat.S_IFDIR | 0o711))) == []


def test_a_directory_account_has_our_login_shell_or_is_refused() -> None:
    for shell in ("/bin/bash", "/bin/dash", "/usr/sbin/nologin"):
        other = dataclasses.replace(GOOD, local=False, entry=dataclasses.replace(ALICE, shell=shell))
        assert any("comes from a directory service" in why for why in reasons(other))
    assert reasons(dataclasses.replace(GOOD, local=False, entry=dataclasses.replace(ALICE, shell=LOGIN))) == []


def template() -> str:
    with open(setup.template_path(Layout(prefix="/nonexistent")), encoding="utf-8") as stream:
        return stream.read()


def test_the_drop_in_says_why_for_every_line_and_closes_its_match() -> None:
    lines = setup.drop_in(Layout(prefix="/usr/local"), [], template=template()).splitlines()
    assert f"    ForceCommand {LOGIN}" in lines
    assert "Match Group jailssh" in lines
    assert lines[-1] == "Match all"
    assert not any("@" in line for line in lines)
    settings = [number for number, line in enumerate(lines) if re.match(r"\s*[A-Z]\w+ ", line)]
    for first in settings[:2]:
        assert lines[first - 1].lstrip().startswith("#")
    spoken = " ".join(lines[:-1])
    for needed in ("DisableForwarding yes", "PermitUserRC no", "PermitTunnel no", "AllowAgentForwarding no",
                   "AllowTcpForwarding no", "AllowStreamLocalForwarding no", "X11Forwarding no",
                   "ChrootDirectory none", "/etc/jailssh/keys/%u"):  # fmt: skip
        assert needed in spoken


def test_the_drop_in_takes_what_a_jail_accepts() -> None:
    text = setup.drop_in(Layout(prefix="/usr/local"), [], template=template(), accept_env=["CI_*", "TZ"])
    assert "    AcceptEnv LANG LC_* GIT_PROTOCOL CI_* TZ\n" in text
    assert "    AcceptEnv LANG LC_* GIT_PROTOCOL\n" in setup.drop_in(Layout(), [], template=template())


def test_the_drop_in_asks_sssd_for_keys_of_groups_whose_jail_says_so() -> None:
    layout = Layout(prefix="/usr/local")
    assert "AuthorizedKeysCommand" not in setup.drop_in(layout, ["staff"], template=template())
    asked = setup.drop_in(layout, ["staff", "desk"], template=template(), directory_keys=["staff"])
    _, _, rest = asked.partition("Match Group staff,!jailssh\n")
    assert rest.startswith("    AuthorizedKeysCommand /usr/bin/sss_ssh_authorizedkeys %u\n")
    assert "ForceCommand" not in rest[: rest.index("Match Group")], "a block of its own, which hides nothing"


def test_the_drop_in_names_the_groups_of_jails() -> None:
    text = setup.drop_in(Layout(prefix="/usr/local"), ["staff", "customers", "staff"], template=template())
    assert "Match Group jailssh,customers,staff\n" in text


@pytest.mark.parametrize("group", ["a*", "a b", "!a", "a,b", "", "a\nForceCommand x", 'a"'])
def test_a_group_that_sshd_would_read_as_a_pattern_is_refused(group: str) -> None:
    with pytest.raises(ConfigError):
        setup.drop_in(Layout(), [group], template=template())


def test_a_prefix_that_cannot_be_written_into_sshd_config_is_refused() -> None:
    with pytest.raises(HostError):
        setup.drop_in(Layout(prefix="/opt/a b"), [], template=template())
