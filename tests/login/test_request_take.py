"""What the login program takes of its arguments and its environment."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.login.driver import LOGIN_PROGRAM, Driver, joined

pytestmark = pytest.mark.needs("gcc", "sanitizers")

KEPT = 24
LOGIN_SHELL = ("-jailssh-login",)


def take(driver: Driver, argv: Sequence[str | bytes], environment: Sequence[str | bytes]) -> list[str]:
    """Return the answer: known, environment left, command given, command, peer, another name, variables."""
    return driver.parts("take", [joined([*argv, "=", *environment])])[0]


def kept(driver: Driver, *environment: str | bytes) -> list[str]:
    known, left, _, _, _, _, *variables = take(driver, LOGIN_SHELL, environment)
    assert (known, left) == ("known", "")
    return variables


@pytest.mark.parametrize(
    ("argv", "original", "expected"),
    [
        (["-jailssh-login"], None, None),
        (["jailssh-login"], None, None),
        # Without -c nobody asked for a command: this one would have come by AcceptEnv.
        (["-jailssh-login"], "scp -t .", None),
        # What another login shell makes of the forced command.
        ([LOGIN_PROGRAM], "scp -t .", "scp -t ."),
        ([LOGIN_PROGRAM], "", ""),
        (["jailssh-login", "-c", "scp -t ."], None, "scp -t ."),
        (["jailssh-login", "-c", "scp -t ."], "id", "scp -t ."),
        (["jailssh-login", "-c", ""], None, ""),
        (["jailssh-login", "-c", LOGIN_PROGRAM], None, None),
        (["jailssh-login", "-c", LOGIN_PROGRAM], "git-upload-pack 'x'", "git-upload-pack 'x'"),
        (["jailssh-login", "-c", LOGIN_PROGRAM], "", ""),
        (["jailssh-login", "-c", LOGIN_PROGRAM], LOGIN_PROGRAM, LOGIN_PROGRAM),
        (["jailssh-login", "-c", LOGIN_PROGRAM + " "], "id", LOGIN_PROGRAM + " "),
        (["jailssh-login", "-c", "jailssh-login"], "id", "jailssh-login"),
        (["jailssh-login", "-c", "x" * 130000], None, "x" * 130000),
    ],
)
def test_commands(driver: Driver, argv: list[str], original: str | None, expected: str | None) -> None:
    environment = ["SSH_ORIGINAL_COMMAND=" + original] if original is not None else []
    known, left, given, command, _, _, *variables = take(driver, argv, environment)
    assert (known, left, variables) == ("known", "", [])
    assert (command if given else None) == expected


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["jailssh-login", "-c"],
        ["jailssh-login", "scp -t ."],
        ["jailssh-login", "-l"],
        ["jailssh-login", "-l", "-c", "id"],
        ["jailssh-login", "-c", "id", "x"],
        ["jailssh-login", "-c", "id", ""],
        ["jailssh-login", "-C", "id"],
        ["jailssh-login", "--c", "id"],
        ["jailssh-login", "-cid"],
        ["jailssh-login", "", ""],
        ["jailssh-login", *["x"] * 10000],
    ],
)
def test_arguments_that_no_login_has(driver: Driver, argv: list[str]) -> None:
    known, left, given, *_ = take(driver, argv, ["TERM=xterm", "SSH_ORIGINAL_COMMAND=id"])
    assert (known, left, given) == ("", "", "")


@pytest.mark.parametrize(
    "entry",
    [
        "TERM=xterm-256color",
        "TERM=" + "x" * 64,
        "COLORTERM=truecolor",
        "COLORTERM=" + "x" * 32,
        "LANG=de_DE.UTF-8@euro",
        "LANG=" + "C" * 64,
        "LC_ALL=C",
        "LC_A=C",
        "LC_" + "X" * 28 + "=C",
        "GIT_PROTOCOL=version=2",
        "GIT_PROTOCOL=version=2:object-format=sha256",
        "GIT_PROTOCOL=" + "v" * 128,
        "SSH_CONNECTION=192.0.2.1 50000 192.0.2.2 22",
        "SSH_CONNECTION=fe80::1%eth0 50000 fe80::2%eth0 22",
        "SSH_CONNECTION=fe80::1%br-lan_2.7 50000 fe80::2%br-lan_2.7 22",
        "SSH_CLIENT=fe80::1%br-lan 50000 22",
        "SSH_CLIENT=2001:db8::1 50000 22",
    ],
)
def test_variables_that_pass(driver: Driver, entry: str) -> None:
    assert kept(driver, "A=1", entry, "B=2") == [entry]


@pytest.mark.parametrize(
    "entry",
    [
        "LD_PRELOAD=/tmp/x.so",
        "LD_LIBRARY_PATH=/tmp",
        "LD_AUDIT=x",
        "GLIBC_TUNABLES=glibc.malloc.check=1",
        "GCONV_PATH=/tmp",
        "LOCPATH=/tmp",
        "NLSPATH=/tmp",
        "MALLOC_CHECK_=3",
        "PATH=/tmp",
        "HOME=/root",
        "IFS=x",
        "ENV=/tmp/x",
        "BASH_ENV=/tmp/x",
        "BASH_FUNC_x%%=() { id; }",
        "SHELLOPTS=xtrace",
        "TMPDIR=/srv",
        "TERMINFO=/tmp",
        "TERMCAP=/tmp/x",
        "TZ=/etc/shadow",
        "GIT_DIR=/srv",
        "GIT_CONFIG_COUNT=1",
        "RSYNC_RSH=id",
        "SSH_AUTH_SOCK=/tmp/x",
        "SSH_TTY=/dev/pts/0",
        "JAILSSH_PLAN=/tmp/x",
        "TERM=../../x",
        "TERM=/tmp/x",
        "TERM=a..b",
        "TERM=x y",
        "TERM=x\n",
        "TERM=",
        "TERM",
        "TERM=" + "x" * 65,
        "TERM\u00e4=x",
        "TERM=\u00e4",
        b"TERM=\xff",
        "term=xterm",
        "TERMX=xterm",
        " TERM=xterm",
        "COLORTERM=" + "x" * 33,
        "LANG=../x",
        "LANG=..",
        "LANG=C/x",
        "LANG=%s%n",
        "LANG=" + "C" * 65,
        "LANG=$(id)",
        "LC_ALL=../x",
        "LC_ALL=/tmp/x",
        "LC_ALL=",
        "LC_=C",
        "LC_all=C",
        "LC_A1=C",
        "LC_A.B=C",
        "LC_" + "X" * 29 + "=C",
        "LANGUAGE=de",
        "GIT_PROTOCOL=version=2;id",
        "GIT_PROTOCOL=a/b",
        "GIT_PROTOCOL=v..2",
        "GIT_PROTOCOL=" + "v" * 129,
        "SSH_CONNECTION=192.0.2.1\n22",
        "SSH_CONNECTION=host,22",
        "SSH_CONNECTION=" + "1" * 257,
        "=",
        "=TERM",
        "=x=y",
        "",
        "x",
        "A=" + "x" * 130000,
    ],
)
def test_variables_that_do_not(driver: Driver, entry: str | bytes) -> None:
    assert kept(driver, entry, "LANG=C") == ["LANG=C"]


def test_the_peer_is_the_checked_connection(driver: Driver) -> None:
    assert take(driver, LOGIN_SHELL, ["SSH_CONNECTION=::1 5 ::1 22"])[4] == "::1 5 ::1 22"
    assert take(driver, LOGIN_SHELL, ["SSH_CONNECTION=::1 5\t::1 22"])[4] == ""
    assert take(driver, LOGIN_SHELL, ["SSH_CLIENT=::1 5 22"])[4] == ""


def test_many_variables(driver: Driver) -> None:
    """More than are kept; the client's come first from sshd, and must not hide the peer's address from the journal."""
    names = [f"LC_{chr(65 + i // 26)}{chr(65 + i % 26)}=C" for i in range(500)]
    answer = take(driver, LOGIN_SHELL, [*names, "SSH_CONNECTION=::1 5 ::1 22"])
    assert answer[:2] == ["known", ""]
    assert answer[4:] == ["::1 5 ::1 22", "-", *names[:KEPT]]


def test_duplicates_are_checked_each(driver: Driver) -> None:
    assert kept(driver, "TERM=../x", "TERM=dumb", "TERM=/x", "TERM=dumb") == ["TERM=dumb", "TERM=dumb"]


def test_the_last_original_command_counts(driver: Driver) -> None:
    environment = ["SSH_ORIGINAL_COMMAND=a", "SSH_ORIGINAL_COMMANDS=x", "SSH_ORIGINAL_COMMAND=b"]
    assert take(driver, ["x", "-c", LOGIN_PROGRAM], environment)[2:] == ["command", "b", "", "-"]


@pytest.mark.parametrize(
    ("environment", "other"),
    [
        ([], "-"),
        (["USER=alice"], "-"),
        (["USER=alice", "LOGNAME=alice"], "-"),
        (["USER=bob", "LOGNAME=bob"], "bob"),
        (["USER=alice", "LOGNAME=bob"], "bob"),
        (["LOGNAME=alice", "USER=bob"], "bob"),
        (["USER=alic"], "alic"),
        (["USER=alicex"], "alicex"),
        (["LOGNAME=Alice"], "Alice"),
        (["LOGNAME="], ""),
        (["USERS=bob", "XUSER=bob", "USER", "LOGNAMES=bob", "user=bob"], "-"),
    ],
)
def test_the_name_that_sshd_says(driver: Driver, environment: list[str], other: str) -> None:
    answer = take(driver, LOGIN_SHELL, environment)
    assert answer[5] == other
    assert answer[6:] == []  # neither is passed on
