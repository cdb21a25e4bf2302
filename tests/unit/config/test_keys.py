"""Named keys: what a key ring may say, what is made from it, and the text of users' files."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from jailssh.config import authorized, files, home_keys
from jailssh.config.keys import (
    TYPES,
    Group,
    Keyring,
    check_name,
    check_principal,
    lines_of,
    parse_keys,
    parse_keys_lenient,
    read_keyring,
)
from jailssh.core.errors import ConfigError, JailsshError, ManyErrors, UsageError
from jailssh.core.names import is_clean_absolute
from jailssh.host.paths import Layout
from jailssh.plan.ops import Record, check_records
from jailssh.services.sshd import check_forced
from tests.harness.certificates import PARTS, Certificate, string

LOGIN = "/usr/local/libexec/jailssh/jailssh-login"
FOLDER = "/etc/jailssh/keys.d/git"


def blob(number: int, kind: str = "ssh-ed25519", *more: bytes) -> str:
    fields = (kind.encode(), *(more or (number.to_bytes(32, "big"),)))
    return base64.b64encode(b"".join(struct.pack(">I", len(field)) + field for field in fields)).decode()


def line(number: int, comment: str = "") -> str:
    return f"ssh-ed25519 {blob(number)} {comment}".rstrip() + "\n"


def ring(*groups: Group, **keys: str) -> Keyring:
    return read_keyring({f"{FOLDER}/{name}.pub": text.encode() for name, text in keys.items()}, groups)


def refused(*groups: Group, **keys: str) -> str:
    with pytest.raises(JailsshError) as caught:
        ring(*groups, **keys)
    assert isinstance(caught.value, ConfigError | ManyErrors)
    return "\n".join(caught.value.lines())


def test_names_groups_and_roles() -> None:
    found = ring(Group("devs", ("alice", "bob"), "u:4"), Group("ops", ("bob",), "u:5"), alice=line(1), bob=line(2))
    assert found.roles("alice") == {"alice", "@devs", "@all"}
    assert found.roles("bob") == {"bob", "@devs", "@ops", "@all"}
    assert [key.blob for key in found.keys["bob"]] == [blob(2)]


def test_several_keys_of_one_person_and_the_same_twice_in_a_file() -> None:
    found = ring(alice=line(1, "desk") + "\n# old\n" + line(2, "laptop") + line(1, "again"))
    assert [key.comment for key in found.keys["alice"]] == ["desk", "laptop"]


def test_the_lines_that_are_made() -> None:
    authority = f'cert-authority,principals="carol,c@example.org" {line(3)}'
    found = ring(alice=line(1, 'a "quoted" comment'), carol=authority)
    head = f'restrict,command="{LOGIN}"'
    assert found.lines(LOGIN, terminal=False) == [
        f"{head} ssh-ed25519 {blob(1)} alice",
        f'restrict,cert-authority,principals="carol,c@example.org",command="{LOGIN}" ssh-ed25519 {blob(3)} carol',
    ]
    assert found.lines(LOGIN, terminal=True)[0].startswith(f'restrict,pty,command="{LOGIN}" ')


@pytest.mark.parametrize("comment", ['x" ssh-rsa AAAA', 'a\rcommand="id"', "\x1b[2J", "ü\x85", "n\\n", "bob"])
def test_a_comment_never_reaches_what_sshd_reads(comment: str) -> None:
    found = ring(alice=line(1, comment))
    assert found.lines(LOGIN, terminal=False) == [f'restrict,command="{LOGIN}" ssh-ed25519 {blob(1)} alice']


def test_what_is_written_into_a_ring_is_read_again() -> None:
    found = ring(alice=line(1, "a\x1b b"), carol=f'cert-authority,principals="x,y" {line(3, "ca")}')
    again = ring(**{name: "".join(f"{key.text()}\n" for key in keys) for name, keys in found.keys.items()})
    assert again == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not contain a public key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n", "is a private key"),
        (f"restrict {line(1)}", "options before a key"),
        (f"cert-authority {line(1)}", 'cert-authority,principals="NAME,NAME" and the key'),
        (f'principals="a" {line(1)}', "options before a key"),
        (f'cert-authority,principals="a",command="id" {line(1)}', "options before a key"),
        (f'cert-authority,principals="a\\",command=" {line(1)}', "options before a key"),
        (f'cert-authority,principals="a\\" {line(1)}', "is not a principal"),
        (f'cert-authority,principals="" {line(1)}', "is not a principal"),
        (f'cert-authority,principals="a,,b" {line(1)}', "is not a principal"),
        (f'cert-authority,principals="a b" {line(1)}', "is not a principal"),
        (f'cert-authority,principals="\u00e4" {line(1)}', "is not a principal"),
        (f'cert-authority,principals="{"x" * 7900}" {line(1)}', "write the principals on several lines"),
        ("ssh-ed25519-cert-v01@openssh.com AAAA\n", "is a certificate, not a key"),
        (f"ssh-ed25519 {blob(1, 'ssh-ed25519', b'k' * 32, b'x')}\n", "damaged"),
        (f"ssh-ed25519 {base64.b64encode(base64.b64decode(blob(1)) + b'x').decode()}\n", "damaged"),
        (f"ssh-rsa {blob(1, 'ssh-rsa', b'only one')}\n", "damaged"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_key_is_refused_by_line(text: str, why: str) -> None:
    said = refused(alice=text)
    assert why in said
    assert f"{FOLDER}/alice.pub" in said


def test_the_same_key_under_two_names_is_named_by_both_files() -> None:
    said = refused(alice=line(1), bob=line(1, "else"))
    assert f"{FOLDER}/bob.pub: key is also in {FOLDER}/alice.pub" in said
    authority = 'cert-authority,principals="x,{}" ' + line(3)
    said = refused(alice=authority.format("a"), bob=authority.format("b"))
    assert f"principal 'x' of this authority is also in {FOLDER}/alice.pub" in said
    ring(alice=authority.format("a").replace("x,", ""), bob=authority.format("b").replace("x,", ""))


def test_base64_that_is_written_otherwise_is_the_same_key() -> None:
    data = base64.b64decode(blob(1, "ssh-rsa", b"\1\0\1", b"n" * 255))
    usual = base64.b64encode(data).decode()
    assert usual.endswith("==")
    other = usual[:-3] + chr(ord(usual[-3]) + 1) + "=="
    assert base64.b64decode(other) == data
    assert "also in" in refused(alice=f"ssh-rsa {usual}\n", bob=f"ssh-rsa {other}\n")
    assert ring(bob=f"ssh-rsa {other}\n").keys["bob"][0].blob == usual


def test_a_group_of_an_unknown_key_is_told_with_line_and_nearest_name_and_stops_nobody() -> None:
    found = ring(Group("devs", ("alise", "alice", "zoe"), "/etc/jailssh/users/git.conf:4"), alice=line(1))
    assert found.roles("alice") == {"alice", "@devs", "@all"}
    close, gone = ("\n".join(each.lines()) for each in found.stale())
    assert "/etc/jailssh/users/git.conf:4: group devs: key 'alise' does not exist" in close
    assert "did you mean 'alice'?" in close
    assert "key 'zoe' does not exist" in gone
    assert "remove the name from the group" in gone


def test_who_stands_in_files_that_have_mistakes() -> None:
    texts = {
        "alice.pub": line(1) + "ssh-ed25519 damaged\n" + line(2),
        "bob.pub": "",
        "carol.pub": f'cert-authority,principals="a,b" {line(3)}cert-authority,principals="" {line(4)}',
        "dave.pub": line(1),
        "eve.txt": line(6),
    }
    found = parse_keys_lenient({f"{FOLDER}/{name}": text.encode() for name, text in texts.items()})
    assert found.entries() == {
        ("alice", blob(1), ""), ("alice", blob(2), ""), ("carol", blob(3), "a"), ("carol", blob(3), "b"),
        ("dave", blob(1), ""),
    }  # fmt: skip


def test_every_error_in_one_pass() -> None:
    said = refused(a="x\n", b=line(1), c=line(1), d="")
    assert [f"{FOLDER}/{name}.pub" in said for name in "acd"] == [True] * 3


@pytest.mark.parametrize("path", ["alice", "alice.pubb", ".pub", "-x.pub", "a b.pub", "é.pub", f"{'x' * 201}.pub"])
def test_other_files_in_a_ring_are_refused(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_keyring({f"{FOLDER}/{path}": line(1).encode()}, ())
    assert "is not a key file" in str(caught.value)


@pytest.mark.parametrize("name", ["a", "A_1", "alice@x"[:5], "0x", "_", "a.b-c+d", "x" * 200])
def test_a_name_can_stand_in_a_plan(name: str) -> None:
    check_records([Record("key", (check_name(name), "0" * 16, blob(1)))])


@pytest.mark.parametrize("name", ["", "-a", ".a", "+a", "a/b", "a b", "a@b", "a\n", "x" * 201, "é"])
def test_a_name_that_cannot(name: str) -> None:
    with pytest.raises(UsageError):
        check_name(name)
    with pytest.raises(ConfigError):
        check_records([Record("key", (name, "0" * 16, blob(1)))])


def test_principals() -> None:
    assert check_principal("c@example.org:x!") == "c@example.org:x!"
    for bad in ("", "a b", "a,b", 'a"', "a\n", "a\\", "x" * 256):
        with pytest.raises(UsageError):
            check_principal(bad)


def test_every_type_has_its_number_of_fields() -> None:
    for kind, count in TYPES.items():
        text = f"{kind} {blob(1, kind, *[b'x'] * (count - 1))}\n"
        assert ring(k=text).keys["k"][0].kind == kind


def test_a_keys_file_is_of_one_kind() -> None:
    found = ring(alice=line(1), bob=line(2))
    made = authorized.generate(found, FOLDER, LOGIN, terminal=False)
    assert authorized.is_generated(made)
    assert authorized.nameless(made, ring(bob=line(2))) == []
    given = authorized.merge("", [ring(x=line(1)).keys["x"][0], ring(x=line(9, "old laptop")).keys["x"][0]], LOGIN)
    assert not authorized.is_generated(given)
    (lost,) = authorized.nameless(given, found)
    assert lost.endswith("old laptop")


def without(text: str, gone: set[authorized.Entry]) -> str:
    return "".join(f"{each}\n" for row in lines_of(text) if (each := authorized.without(row, gone)) is not None)


def test_what_goes_goes_before_what_comes() -> None:
    three = ring(alice=line(1), bob=line(2), dave=line(4))
    text = authorized.generate(three, FOLDER, LOGIN, terminal=False)
    assert authorized.entries(text) == three.entries()
    assert authorized.entries("".join(text.splitlines(keepends=True)[1:])) == set()
    gone = three.entries() - ring(alice=line(1), bob=line(5)).entries()
    less = without(text, gone)
    assert (blob(1) in less, blob(2) in less, blob(4) in less, blob(5) in less) == (True, False, False, False)
    ca = 'cert-authority,principals="{}" ' + line(3)
    wide, narrow, itself = (ring(c=each) for each in (ca.format("a,b"), ca.format("a"), line(3)))
    texts = [authorized.generate(each, FOLDER, LOGIN, terminal=False) for each in (wide, narrow, itself)]
    assert without(texts[0], wide.entries() - narrow.entries()) == texts[1]
    assert without(texts[1], narrow.entries() - wide.entries()) == texts[1]  # who stays is always let in
    assert blob(3) not in without(texts[0], wide.entries() - itself.entries())
    assert blob(3) not in without(texts[2], itself.entries() - wide.entries())
    nobody = without(text, three.entries())
    assert authorized.is_generated(nobody)
    assert nobody.count("\n") == 1


def test_groups_in_a_users_file() -> None:
    text = b"# the forge\nuid = 1001\njail = git # why\n\n[groups]\n# who writes\ndevs = alice, bob\nold = carol\n"
    read = files.read_user(text, "u.conf", "git")
    assert [(group.name, group.keys, group.origin) for group in read.groups] == [
        ("devs", ("alice", "bob"), "u.conf:7"),
        ("old", ("carol",), "u.conf:8"),
    ]
    changed = files.with_groups(text, {"devs": ["alice"], "old": [], "new": ["carol", "dave"]})
    assert changed == (
        "# the forge\nuid = 1001\njail = git # why\n\n[groups]\n# who writes\ndevs = alice\nnew = carol, dave\n"
    )
    moved = files.user_text(1001, ("sftp", "git"), changed.encode())
    assert "jail = git sftp # why\n" in moved
    assert files.read_user(moved, "u.conf", "git").groups[1].keys == ("carol", "dave")
    assert files.with_groups(b"uid = 1\njail = git\n", {"devs": ["a"]}) == "uid = 1\njail = git\n\n[groups]\ndevs = a\n"


@pytest.mark.parametrize(
    ("groups", "why"),
    [("all = alice", "so a group cannot have this name"), ("-x = alice", "not a name"), ("devs = a/b", "not a name")],
)
def test_a_group_that_cannot_be(groups: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        files.read_user(f"uid = 1\njail = git\n[groups]\n{groups}\n", "u.conf", "git")
    assert why in str(caught.value)
    assert caught.value.what == "u.conf:4"


HELD = {
    "forcecommand": [Layout().login_program], "disableforwarding": ["yes"], "permituserrc": ["no"],
    "chrootdirectory": ["none"], "permittunnel": ["no"], "exposeauthinfo": ["yes"],
    "ignorerhosts": ["yes"], "authorizedkeysfile": ["/etc/jailssh/keys/%u"],
    "acceptenv": ["LANG", "LC_*", "GIT_PROTOCOL"],
}  # fmt: skip


def test_what_sshd_must_say() -> None:
    check_forced(HELD, Layout(), "git")
    with pytest.raises(JailsshError, match="exposeauthinfo is 'no'"):
        check_forced({**HELD, "exposeauthinfo": ["no"]}, Layout(), "git")
    for value in (".ssh/authorized_keys", "/etc/jailssh/keys/%u .ssh/authorized_keys", "none"):
        with pytest.raises(JailsshError, match="authorizedkeysfile is"):
            check_forced({**HELD, "authorizedkeysfile": [value]}, Layout(), "git")
    both = {**HELD, "authorizedkeysfile": ["/etc/jailssh/keys/%u .ssh/authorized_keys"]}
    check_forced(both, Layout(), "git", home_keys=True)
    check_forced({**HELD, "disableforwarding": ["Yes"]}, Layout(), "git")


@pytest.mark.parametrize(
    "pattern",
    ["*", "S*", "SSH_USER_AUTH", "SSH_*", "SSH_USER_AUT?", "J*", "JAILSSH_KEY", "JAILSSH*", "?AILSSH_KEY"],
)
def test_a_client_may_not_say_who_it_is(pattern: str) -> None:
    with pytest.raises(JailsshError, match="acceptenv is"):
        check_forced({**HELD, "acceptenv": ["LANG", f"LC_* {pattern}"]}, Layout(), "git")


@pytest.mark.parametrize("pattern", ["LC_*", "SSH_USER", "JAIL", "SSHX*", "GIT_PROTOCOL", "JAILSSX*"])
def test_a_client_may_send_other_variables(pattern: str) -> None:
    check_forced({**HELD, "acceptenv": [pattern]}, Layout(), "git")


@pytest.mark.parametrize("path", ["/", "/a", "/a/b.c", "/.a/..b", "/a b", "/é", "/a/..."])
def test_clean_paths(path: str) -> None:
    assert is_clean_absolute(path)


@pytest.mark.parametrize(
    "path", ["", "a", "//", "/a/", "//a", "/a//b", "/.", "/..", "/a/.", "/a/../b", "/a\n", "/a\x7f", "/a/./b"]
)
def test_paths_that_are_not_clean(path: str) -> None:
    assert not is_clean_absolute(path)


NO_ENDS = ["\u2028", "\u2029", "\x0b", "\x0c", "\x85", "\x1c", "\x1d", "\x1e", "\r", "\0"]


@pytest.mark.parametrize("end", NO_ENDS)
def test_only_a_newline_ends_a_line_of_a_file_of_keys(end: str) -> None:
    hidden = f"desk{end}{line(2).strip()} evil"
    limited = f'restrict,command="{LOGIN}" ssh-ed25519 {blob(1)} {hidden}'
    text = f"{limited}\n"
    merged = authorized.merge(text, parse_keys(line(3).encode(), "k"), LOGIN)
    assert merged.split("\n")[0] == limited
    assert all(row.startswith("restrict") for row in merged.split("\n") if row)
    assert merged.count("\n") == 2
    own = home_keys.read(f"{line(1).strip()} {hidden}\n".encode(), "file")
    again = home_keys.merged(text, own.keys, LOGIN)
    assert all(row.startswith("restrict") for row in again.split("\n") if row)
    assert authorized.nameless(text, ring()) == [limited]
    assert [key.blob for key in parse_keys(f"{line(1).strip()} {hidden}\n".encode(), "k")] == [blob(1)]
    made = authorized.generate(ring(alice=f"{line(1).strip()} {hidden}\n"), FOLDER, LOGIN, terminal=False)
    assert blob(2) not in made
    conf = f"uid = 5\njail = a # old{end}jail = b\n"
    if end not in "\r\0":
        kept = files.with_groups(conf.encode(), {"devs": ["ann"]})
        assert [row for row in kept.split("\n") if row.startswith("jail")] == [f"jail = a # old{end}jail = b"]


def test_a_key_is_known_by_what_sshd_passes_over_in_it() -> None:
    for split in ("\r", "\x0b", "\x0c"):
        text = f"ssh-ed25519 {blob(1)[:9]}{split}{blob(1)[9:]}{split} desk"
        assert authorized.blob_of(text) == blob(1)


@pytest.mark.parametrize(
    ("before", "after", "groups"),
    [
        ("[groups]\ndevs = ann, bob\n", "[groups]\ndevs = ann\n", {"devs"}),
        ("[groups]\ndevs = bob,ann,c,d\n", "[groups]\ndevs = ann, c, d\n", {"devs"}),
        ("[groups]\ndevs = bob  # who\nops=ann\n", "[groups]\nops=ann\n", {"devs"}),
        ('jial = x\n[groups]\n a = "bob", bobby # bob\n', "jial = x\n[groups]\n a = bobby # bob\n", {"a"}),
        ("jail = bob\n[limits]\nx = bob\n", "jail = bob\n[limits]\nx = bob\n", set()),
        ("[groups\ndevs = bob\n", "[groups\ndevs = bob\n", set()),
    ],
)
def test_a_name_leaves_the_groups_of_a_damaged_file(before: str, after: str, groups: set[str]) -> None:
    taker = files.KeyTaker("bob")
    rows = [(row, taker(row)) for row in before.encode().split(b"\n")]
    assert b"\n".join(new for _, new in rows if new is not None).decode().replace('"bobby"', "bobby") == after
    assert taker.groups == groups
    assert all(len(new) <= len(old) for old, new in rows if new is not None)


def test_which_logins_a_file_lets_in() -> None:
    text = authorized.generate(
        ring(alice=line(1), carol=f'cert-authority,principals="carol" {line(3)}'), FOLDER, LOGIN, terminal=False
    )

    def told(number: int) -> str:
        return f"publickey ssh-ed25519 {blob(number)}\n"

    def signed(authority: int, principal: str, **more: Any) -> str:
        return Certificate((principal.encode(),), base64.b64decode(blob(authority)), **more).line()

    assert authorized.lets_in(text, told(1))
    assert authorized.lets_in(text, "password\n")
    assert authorized.lets_in(text, signed(3, "carol"))
    for no in ("", told(2), told(1) + told(2), told(3), signed(3, "mallory"), signed(4, "carol"), "publickey x\n"):
        assert not authorized.lets_in(text, no), no
    assert not authorized.lets_in("", told(1))
    for kind in PARTS:
        assert authorized.lets_in(text, signed(3, "carol", kind=kind)), kind
    # The holder of a certificate has chosen the key in it.
    other = b"\0\0\0\x05carol" + string(base64.b64decode(blob(3)))
    for no in (
        signed(4, "mallory", kind="ssh-rsa", parts=(b"\1\0\1", b"\0\xc0" + other + b"n" * 200)),
        signed(4, "mallory", kind="sk-ssh-ed25519", parts=(b"k" * 32, b"ssh:" + other)),
        signed(4, "mallory", principals_field=string(b"mallory" + other)),
        signed(3, "carol", tail=b"x"),
        Certificate((b"carol",), base64.b64decode(blob(3))).line(cut=1),
    ):
        assert not authorized.lets_in(text, no), no
