"""Requests, rules and counts of self-service: what is doubtful is refused, and says why."""

from __future__ import annotations

import base64
import calendar
import re
import struct
import time
from dataclasses import replace
from pathlib import Path

import pytest

from jailssh.config.authorized import end_of as end_in
from jailssh.config.authorized import own_line, own_name
from jailssh.config.keys import Key
from jailssh.core import asking
from jailssh.core.asking import ARGUMENTS, Wish
from jailssh.selfservice import keys, rules
from jailssh.selfservice.limits import AT_ONCE, REQUESTS, WITHIN, WRONG, WRONG_WITHIN, Limits
from jailssh.selfservice.password import answer_to
from jailssh.selfservice.request import BadRequestError, parse
from jailssh.selfservice.rules import NotAllowedError, Rules, read_key
from tests.harness.source import REPO

RULES = Rules(
    keys=True, passwords=True, first_password=False, types=("ed25519", "rsa"), rsa_bits=3072, most=3, lifetime=0
)
NOW = 1_900_000_000.0


def blob(*fields: bytes) -> str:
    return base64.b64encode(b"".join(struct.pack(">I", len(field)) + field for field in fields)).decode()


def ed25519(number: int = 1) -> str:
    return f"ssh-ed25519 {blob(b'ssh-ed25519', bytes([number]) * 32)}"


def key_of(number: int = 1) -> Key:
    kind, text = ed25519(number).split()
    return Key(kind, text)


def rsa(bits: int) -> str:
    modulus = b"\0" + (1 << bits - 1).to_bytes(bits // 8, "big")
    return f"ssh-rsa {blob(b'ssh-rsa', bytes((1, 0, 1)), modulus)}"


def test_a_whole_request_is_read() -> None:
    assert parse(b"1\0list\0end\0").wish == Wish.LIST
    request = parse(b"1\0add\0laptop\0key\0end\0")
    assert (request.wish, request.text(0), request.arguments[1]) == (Wish.ADD, "laptop", b"key")
    assert "secret" not in repr(parse(b"1\0password\0secret\0secret2\0end\0"))


WHOLE = b"1\0password\0old\0new\0end\0"


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_what_is_cut_off_anywhere_is_no_request(size: int) -> None:
    with pytest.raises(BadRequestError):
        parse(WHOLE[:size])


@pytest.mark.parametrize(
    "data",
    [b"2\0list\0end\0", b"1\0list\0x\0end\0", b"1\0nosuch\0end\0", b"1\0add\0x\0end\0", b"1\0list\0end\0x",
     b"\0\0\0", b"\xff" * 100, b"1\0list\0end\0" * 2, b"1\0add\0n\0" + b"a" * asking.MOST + b"\0end\0"],
)  # fmt: skip
def test_what_is_no_request(data: bytes) -> None:
    with pytest.raises(BadRequestError):
        parse(data)


@pytest.mark.parametrize("name", [b"\xff", b"a\x1b[0m", "a\u2028b".encode()])
def test_a_name_that_is_no_text(name: bytes) -> None:
    with pytest.raises(BadRequestError):
        parse(b"1\0remove\0" + name + b"\0\0end\0").text(0)


def test_the_program_in_the_jail_says_the_same() -> None:
    source = (REPO / "jailssh/ask/main.c").read_text()
    assert f'#define PLACE "{asking.INSIDE}/{asking.SOCKET}"' in source
    assert f"REQUEST_MAX = {asking.MOST}" in source
    said = set(re.findall(r'put_text\("(\w+)"\)', source))
    assert said == {*Wish, asking.VERSION, asking.END}
    assert set(ARGUMENTS) == set(Wish)


@pytest.mark.parametrize("text", [ed25519(), ed25519() + " someone@desk", rsa(3072), f"# mine\n{ed25519()}\n"])
def test_keys_that_may_be_added(text: str) -> None:
    key = read_key(text.encode(), RULES)
    assert (key.comment, key.principals) == ("", ())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (rsa(2048), "RSA keys need 3072 bits here, this one has 2048"),
        (rsa(8200), "RSA keys have 8192 bits at most"),
        (f"ecdsa-sha2-nistp256 {blob(b'ecdsa-sha2-nistp256', b'nistp256', b'x' * 65)}", "type ecdsa are not allowed"),
        (f'command="/bin/sh" {ed25519()}', "options before a key are not allowed"),
        (f"{ed25519()}\n{ed25519(2)}", "one key at a time"),
        (f"{ed25519()} {ed25519(2)}", "two keys in this line"),
        (f"{ed25519()} \u2028{ed25519(2)}", "two keys in this line"),
        (f"{ed25519()}\u2028{ed25519(2)}", "damaged"),
        (f"{ed25519()} x\r{ed25519(2)}", "two keys in this line"),
        (f"ssh-ed25519-cert-v01@openssh.com {blob(b'x')}", "is a certificate"),
        (f"ssh-ed25519 {blob(b'ssh-ed25519', b'short')}", "damaged"),
        (f"ssh-rsa {blob(b'ssh-ed25519', b'k' * 32)}", "damaged"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
        ("", "does not contain a public key"),
        ("\udcff\udcfe", "is not a key type"),
        ("ssh-ed25519", "missing after its type"),
        (f"cert-authority {ed25519()}", "options before a key"),
    ],
)
def test_keys_that_may_not(text: str, why: str) -> None:
    with pytest.raises(NotAllowedError, match=re.escape(why)):
        read_key(text.encode("utf-8", "surrogateescape"), RULES)


@pytest.mark.parametrize("name", ["", "-x", ".x", "a b", "a:b", "a/b", "../x", "a\n", "x" * 61])
def test_names_of_keys(name: str) -> None:
    with pytest.raises(NotAllowedError):
        rules.check_name(name)


def test_the_line_of_an_own_key_says_whose_it_is_and_until_when() -> None:
    key = key_of()
    line = own_line(key, "laptop", "203001010000", "/login")
    assert line.startswith('restrict,pty,expiry-time="203001010000",command="/login" ssh-ed25519 ')
    assert (own_name(line), end_in(line)) == ("laptop", "203001010000")
    given = key.authorized("/login", 'expiry-time="190001010000" self', terminal=True)
    assert (own_name(given), end_in(given)) == ("", "")


def test_ends() -> None:
    stamp = rules.end_of(replace(RULES, lifetime=86400), NOW)
    assert not rules.has_ended(stamp, NOW)
    assert rules.has_ended(stamp, NOW + 86401)
    assert rules.end_of(RULES, NOW) == ""
    assert not rules.has_ended("", NOW)


@pytest.mark.parametrize(
    ("stamp", "ended"),
    [("20200102Z", True), ("20200103Z", False), ("202001021130Z", True), ("202001021145Z", False), ("20200102", True),
     ("202001021730", True), ("202001021745", False)],
)  # fmt: skip
def test_an_end_in_universal_time(monkeypatch: pytest.MonkeyPatch, stamp: str, ended: bool) -> None:
    monkeypatch.setenv("TZ", "EAST-6")
    time.tzset()
    try:
        line = key_of().authorized("/login", "given", terminal=True)
        line = line.replace("restrict,", f'restrict,expiry-time="{stamp}",')
        assert end_in(line) == stamp
        assert rules.has_ended(stamp, calendar.timegm((2020, 1, 2, 11, 35, 0))) is ended
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "limit",
    ['from="10.0.0.0/8"', 'expiry-time="20300101"', "verify-required", "cert-authority", 'permitopen="a:1"', "nosuch"],
)
def test_a_key_with_limits_of_the_administrator(limit: str) -> None:
    plain = key_of().authorized("/login", "given", terminal=True)
    for line, limited in ((plain, False), (plain.replace("restrict,pty,", f"restrict,pty,{limit},"), True)):
        assert keys.KeyLine(line, "", own_name(line), "").limited is limited
    assert keys.KeyLine(plain.replace("pty,", ""), "", "", "").limited
    for ends in ("203001010000", ""):
        own = own_line(key_of(), "a", ends, "/login")
        assert not keys.KeyLine(own, "", own_name(own), "").limited
        assert keys.KeyLine(own.replace("pty,", ""), "", own_name(own), "").limited


def test_a_limit_holds_whatever_the_comment_of_its_key_says() -> None:
    own = own_line(key_of(), "a", "203001010000", "/login")
    for limit in ('from="10.0.0.0/8"', "verify-required", "cert-authority", 'permitopen="a:1"'):
        line = own.replace("restrict,pty,", f"restrict,pty,{limit},")
        assert keys.KeyLine(line, "", own_name(line), "").limited


def test_a_key_is_chosen_by_one_name_alone() -> None:
    lines = [own_line(key_of(n), name, "", "/login") for n, name in ((1, "a"), (2, "b"), (3, "b"))]
    found = [keys.KeyLine(line, f"SHA256:{n}", own_name(line), "") for n, line in enumerate(lines)]
    assert keys.choose(found, "a") is found[0]
    assert keys.choose(found, "SHA256:2") is found[2]
    nameless = keys.KeyLine(key_of(4).authorized("/login", "", terminal=True), "SHA256:4", "", "")
    for which in ("b", "c", ""):
        with pytest.raises(NotAllowedError):
            keys.choose([*found, nameless], which)


def test_an_account_asks_once_at_a_time_and_not_too_often() -> None:
    limits = Limits()
    assert limits.begin(1, 0.0) == ""
    assert "under way" in limits.begin(1, 0.0)
    assert limits.begin(2, 0.0) == ""
    limits.end(1)
    for second in range(1, REQUESTS):
        assert limits.begin(1, float(second)) == ""
        limits.end(1)
    assert "in a minute" in limits.begin(1, WITHIN - 1)
    assert limits.begin(1, WITHIN + 1) == ""
    for uid in range(100, 100 + AT_ONCE - 2):
        assert limits.begin(uid, 0.0) == ""
    assert "too many" in limits.begin(99, 0.0)


def test_guesses_are_counted_and_forgotten() -> None:
    limits = Limits()
    for second in range(WRONG):
        assert not limits.has_guessed(1, 10.0)
        limits.count_wrong(1, float(second))
    assert limits.has_guessed(1, WRONG_WITHIN - 1)
    assert not limits.has_guessed(2, 10.0)
    assert not limits.is_idle(WRONG_WITHIN - 1)
    assert not limits.has_guessed(1, WRONG_WITHIN)
    assert limits.is_idle(2 * WRONG_WITHIN)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Current password: ", b"old"), ("(current) UNIX password: ", b"old"), ("Current Password: ", b"old"),
        ("New password: ", b"new"), ("Retype new password: ", b"new"), ("Reenter new Password: ", b"new"),
        ("New UNIX password: ", b"new"), ("Password: ", None), ("Verification code: ", None), ("", None),
        ("Old and new password: ", None),
    ],
)  # fmt: skip
def test_questions_of_modules(prompt: str, answer: bytes | None) -> None:
    assert answer_to(prompt, b"old", b"new", verifying=False) == answer
    verified = answer_to(prompt, b"old", b"new", verifying=True)
    assert verified in (None, b"old")
    assert (verified is None) == (answer == b"new" or "assword" not in prompt or "and" in prompt)


def test_no_page_of_the_plugin_names_another_type() -> None:
    page = Path(REPO / "plugins/self_service/README.md").read_text()
    assert all(f"`{word}`" in page for word in asking.KEY_TYPES)
