"""Which accounts sshd's Match lines can tell apart, and which connections they are asked about from."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.services.sshd_connections import DEFAULT, OUTSIDE, connections, unasked
from jailssh.services.sshd_matches import MatchLine, case_of, lines, parsed


def line(text: str) -> MatchLine:
    return parsed("f:1", text, shlex.split(text)[1:])


@pytest.mark.parametrize(
    ("text", "clear"),
    [
        ("Match all", True),
        ("Match User alice", True),
        ("Match user=alice group=git", True),
        ("Match Group git Address 10.0.0.0/8", True),
        ("Match exec /usr/bin/true", False),
        ("Match", False),
        ("Match user", False),
        ("Match version OpenSSH*", False),
    ],
)
def test_what_is_understood(text: str, clear: bool) -> None:
    assert line(text).clear is clear


@pytest.mark.parametrize(
    ("text", "alike"),
    [
        ("Match user carl", True),
        ("Match user a*", False),
        ("Match user *,!alice", False),
        ("Match user ?????", False),
        ("Match user [a]lice", True),  # brackets are no pattern of sshd's
        ("Match group staff", False),
        ("Match group jailssh", True),
        ("Match group *,!staff", False),
        ("Match exec /bin/x", False),  # not understood: each account is a case of its own
        ("Match address 10.0.0.0/8", True),
    ],
)
def test_who_is_one_case(text: str, alike: bool) -> None:
    lines = [line(text)]
    same = case_of("alice", ("jailssh", "staff"), lines) == case_of("bob", ("jailssh",), lines)
    assert same is alike


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Match address 10.0.0.0/8", ["host=host.example,addr=10.0.0.1"]),
        ("Match address !10.0.0.1,192.168.*", ["host=host.example,addr=192.168.1.1"]),
        ("Match address 2001:db8::/32", ["host=host.example,addr=2001:db8::1"]),
        ("Match address 10.0.0.0/8,!10.0.0.0/24", ["host=host.example,addr=10.128.0.0"]),
        # The usual ones fit already, so the one that does not is what is left to ask about.
        ("Match address !1.1.1.1,*", ["host=host.example,addr=1.1.1.1"]),
        # Both networks are asked about where another line takes the first of them.
        (
            "Match address 10.1.0.0/16,192.168.0.0/16;Match address 10.0.0.0/8",
            [
                "host=host.example,addr=10.1.0.1",
                "host=host.example,addr=192.168.0.1",
                "host=host.example,addr=10.0.0.1",
            ],
        ),
        (
            "Match address 10.0.0.0/24,!10.0.0.0/25,!10.0.0.192/26,!10.0.0.128,!10.0.0.129",
            ["host=host.example,addr=10.0.0.130"],
        ),
        ("Match host *.EXAMPLE.org", ["host=x.example.org,addr=192.0.2.1"]),
        ("Match localport 22", ["host=host.example,addr=192.0.2.1,lport=1"]),
        ("Match rdomain *", ["host=host.example,addr=192.0.2.1,rdomain=x"]),
        ("Match address 2001:db8:*", ["host=host.example,addr=2001:db8:1::1"]),
        ("Match host !x.*,*.example.org", ["host=y.example.org,addr=192.0.2.1"]),
        ("Match host *.example.org", ["host=x.example.org,addr=192.0.2.1"]),
        ("Match localport 2222 user x", ["host=host.example,addr=192.0.2.1,lport=2222"]),
        ("Match user x", []),
    ],
)
def test_connections(text: str, expected: list[str]) -> None:
    found = connections([line(each) for each in text.split(";")])
    assert found[:2] == [DEFAULT, OUTSIDE]
    assert sorted(found[2:]) == sorted(expected)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Match address 10.0.0.0/8,!10.1.0.0/16", ""),
        ("Match address !10.0.0.0/8", ""),  # It fits nobody.
        ("Match address 10.0.0.0/8,!10.0.0.0/7", ""),  # Nor does this.
        ("Match host *,!*x*,!*y*,!*z*", ""),  # The usual one does.
        ("Match host a*,!*x*,!*y*,!*z*", "no connection is known that fits host a*,!*x*,!*y*,!*z*"),
        ("Match address 1?.x.*", "no connection is known that fits address 1?.x.*"),
        (";".join(f"Match address 10.{n}.0.0/16;Match localport {n + 100}" for n in range(12)), "tell more than 128"),
    ],
)
def test_what_nobody_can_ask_about_is_told(text: str, told: str) -> None:
    found = unasked([line(each) for each in text.split(";")])
    assert len(found) == bool(told)
    assert all(told in each for each in found)


@pytest.mark.parametrize(
    ("text", "clear"),
    [
        ('"Match" user alice', True),
        ('Match group "domain users"', True),
        ("Match user alice  # her alone", True),
        ("Match group DOM\\staff", False),  # sshd keeps a backslash that a shell takes away
        ("Match user a#b", False),
        ("Match user 'alice'", False),  # a quote of newer versions alone
        ('Match user "alice', False),
    ],
)
def test_lines_as_they_are_in_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, clear: bool) -> None:
    monkeypatch.setattr(fs, "read_trusted", lambda *_args, **_more: f"{text}\n".encode())
    (found,) = lines(Layout(root=str(tmp_path)))
    assert (found.text, found.clear) == (text, clear)
