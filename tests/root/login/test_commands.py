"""What is asked for: odd commands, denials, and what of them reaches the journal."""

from __future__ import annotations

import pytest

from tests.root import login_lab
from tests.root.login_lab import MESSAGE, Lab, assert_denied, assert_ended

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab

KIB = 1024
SHELL, CONTROL = "shell-metacharacter", "control-character"
DENIED = {
    b"id": "command-not-allowed",
    b"/usr/bin/probe": "command-not-allowed",
    b"./probe": "command-not-allowed",
    b"../bin/probe": "command-not-allowed",
    b"probe; id": SHELL,
    b"probe args a\nid": SHELL,
    b"probe args $(id)": SHELL,
    b"probe args `id`": SHELL,
    b'probe args "$HOME"': SHELL,
    b"probe args $IFS": SHELL,
    b"probe args | id": SHELL,
    b"probe args && id": SHELL,
    b"probe args > /tmp/x": SHELL,
    b"probe args *": SHELL,
    b"probe args 'a": "unbalanced-quote",
    b"probe args \\": "unbalanced-quote",
    b"probe\targs": CONTROL,
    b"probe args \x01": CONTROL,
    b"probe args \x1b[2J": CONTROL,
    b"probe args '\x7f'": CONTROL,
    b"probe args \r": CONTROL,
    b"": "empty-command",
    b" ": "empty-command",
    b"     ": "empty-command",
    b"probe -x": "option-not-allowed",
    b"probe --help": "option-not-allowed",
    b"probe " + b"a " * 5000: "too-many-words",
    b"probe args " + b"a" * (64 * KIB): "command-too-long",
    b"x" * (64 * KIB - 1): "command-not-allowed",
    b"x" * (64 * KIB): "command-too-long",
    b"x" * (64 * KIB + 1): "command-too-long",
    b"x" * (128 * KIB - 1): "command-too-long",
    b"\xff\xfe\x80": "command-not-allowed",
    b"%n%s%n%s": "command-not-allowed",
}


@pytest.mark.parametrize(("command", "reason"), DENIED.items(), ids=[repr(command[:30]) for command in DENIED])
def test_denied(set_uid_lab: Lab, command: bytes, reason: str) -> None:
    row = assert_denied(set_uid_lab.login(command), reason)
    assert len(row["JAILSSH_COMMAND"]) <= 4200
    assert row["JAILSSH_COMMAND"].isprintable()
    if len(command) < 100 and command.isascii() and command.decode().isprintable():
        assert row["JAILSSH_COMMAND"] == command.decode()


QUOTED = {
    r"probe args 'a b' c": ["a b", "c"],
    r"""probe args "it's" \"x\" 'a"b'""": ["it's", '"x"', 'a"b'],
    r"probe args '$(id)' '`id`' ';' '|' \; \$HOME": ["$(id)", "`id`", ";", "|", ";", "$HOME"],
    r"probe args '' ''": ["", ""],
    "'pr'ob\"e\" args x": ["x"],
    "  probe   args   x  ": ["x"],
    "probe args a#b = {} ! ~": ["a#b", "=", "{}", "!", "/home/u"],
    "probe args " + "y" * 1000: ["y" * 1000],
}


@pytest.mark.parametrize("command", QUOTED, ids=[command[:30] for command in QUOTED])
def test_words_are_split_without_a_shell(set_uid_lab: Lab, command: str) -> None:
    done = set_uid_lab.login(command)
    found = done.facts.all("arg")
    assert [word for word in found if word != "~"] == [word for word in QUOTED[command] if word != "/home/u"]


def test_bytes_that_are_not_utf8_go_through(set_uid_lab: Lab) -> None:
    done = set_uid_lab.login(b"probe args \xff\xc3\xa4")
    assert_ended(done, 0)
    assert done.out == b"arg=\\xff\\xc3\\xa4\n"


def test_a_denial_in_every_flavour(every_lab: Lab) -> None:
    assert_denied(every_lab.login("id"), "command-not-allowed")
    done = every_lab.login()
    assert (done.code, done.out, done.events()) == (126, b"", ["denied"])
    assert done.err == f"jailssh: login succeeded, but no shell is allowed; {MESSAGE}\n".encode()
    assert done.records[0]["JAILSSH_REASON"] == "not-interactive"


INJECTION = b"id\nMESSAGE=Accepted password for root\n_UID=0\nPRIORITY=0\nJAILSSH_USER=root\n\nMESSAGE=second\n"


@pytest.mark.parametrize("start", [b"", b"probe args '", b"\n", b"\x00"[:0] + b"x" * 4090])
def test_log_injection(set_uid_lab: Lab, start: bytes) -> None:
    done = set_uid_lab.login(start + INJECTION)
    assert (done.code, done.events()) == (126, ["denied"])
    row = done.records[0]
    assert (row["PRIORITY"], row["JAILSSH_USER"]) == ("5", "u")
    assert "\n" not in row["JAILSSH_COMMAND"]
    assert "\n" not in row["MESSAGE"]
    if len(start) < 100:
        assert "\\x0aMESSAGE=Accepted" in row["JAILSSH_COMMAND"]


# Bytes of a command, and how its record shows them (RFC 3629; U+0080 to U+009F are controls).
READABLE = [
    ("äЕ中😀".encode(), "äЕ中😀"),
    ("ѕсp".encode(), "ѕсp"),
    (b"\xc2\x9b2J\xc2\xa0", "\\xc2\\x9b2J\u00a0"),
    (b"\x9b\xff\xc3(", "\\x9b\\xff\\xc3("),
    (b"\xc0\xaf\xc1\xbf", "\\xc0\\xaf\\xc1\\xbf"),  # overlong
    (b"\xe0\x9f\xbf\xe0\xa0\x80", "\\xe0\\x9f\\xbf\u0800"),
    (b"\xed\xa0\x80\xed\x9f\xbf", "\\xed\\xa0\\x80\ud7ff"),  # a surrogate, and the last before them
    (b"\xf4\x8f\xbf\xbf\xf4\x90\x80\x80", "\U0010ffff\\xf4\\x90\\x80\\x80"),
    (b"\xf0\x8f\xbf\xbf\xf9\x80\x80\x80", "\\xf0\\x8f\\xbf\\xbf\\xf9\\x80\\x80\\x80"),
    (b"\xe4\xb8", "\\xe4\\xb8"),  # cut short
]


@pytest.mark.parametrize(("sent", "shown"), READABLE)
def test_records_are_readable(set_uid_lab: Lab, sent: bytes, shown: str) -> None:
    done = set_uid_lab.login(b"id " + sent)
    assert done.records[0]["JAILSSH_COMMAND"] == f"id {shown}"


def test_an_allowed_command_is_escaped_too(set_uid_lab: Lab) -> None:
    done = set_uid_lab.login("probe args " + " é" * 500)
    assert_ended(done, 0)
    assert done.records[0]["JAILSSH_COMMAND"].startswith("probe args  é é")
    assert len(done.records[0]["JAILSSH_COMMAND"]) <= 4200
