"""Recordings of sessions at a terminal, by real logins: what is in them, what is not, and what happens without room."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import paramiko
import pytest

from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "journald", "login-program")

NAME, FOLDER = "recorded", "/var/lib/jailssh/recordings"
JAIL = "plugins = shell sftp\nroot = live\nrecord = input\n"


@pytest.fixture(scope="module")
def made(world: World) -> str:
    world.host.write(f"/etc/jailssh/jails/{NAME}.conf", JAIL)
    world.adduser(NAME, NAME)
    return NAME


@pytest.fixture
def account(world: World, made: str) -> Iterator[str]:
    """The account's name, in its jail as above; no recording is there."""
    world.host.run(["sh", "-c", f"rm -f {FOLDER}/*"], check=True)
    yield made


def jail(world: World, text: str) -> None:
    world.host.write(f"/etc/jailssh/jails/{NAME}.conf", text)
    world.jailssh("apply")


def recording(world: World) -> tuple[dict[str, Any], list[list[Any]]]:
    """Return the head and the events of the one recording."""
    (name,) = world.host.run(["ls", FOLDER], check=True).stdout.split()
    head, *events = map(json.loads, world.host.read(f"{FOLDER}/{name}").splitlines())
    return head, events


def text(events: list[list[Any]], code: str) -> str:
    return "".join(event[2] for event in events if event[1] == code)


def test_what_is_shown_and_typed_is_recorded(world: World, account: str) -> None:
    done = world.client.ssh(
        account, "printf 'gr\\303\\274n \\033[1mbold\\377\\n'; read x; exit 3", tty=True, input="abc\n"
    )
    assert done.code == 3
    head, events = recording(world)
    assert (head["version"], head["title"]) == (2, account)
    assert head["command"].startswith("printf 'gr")
    assert abs(head["timestamp"] - time.time()) < 60
    assert "grün \x1b[1mbold\ufffd\r\n" in text(events, "o")
    assert text(events, "i") == "abc\n"
    assert [event[0] for event in events] == sorted(event[0] for event in events)
    start = next(row for row in world.last_login(account) if row["JAILSSH_EVENT"] == "session-start")
    assert start["JAILSSH_RECORDING"] == f"{account}.{start['JAILSSH_SESSION']}.cast"
    mode = world.host.run(["stat", "-c", "%U %a", f"{FOLDER}/{start['JAILSSH_RECORDING']}"], check=True).stdout
    assert mode == "root 600\n"


def test_every_byte_is_recorded_wherever_it_stands(world: World, account: str) -> None:
    """The recorder looks at eight bytes at a time: each value comes at each place among them."""
    line = (
        "for b in {0..3}{0..7}{0..7}; do line+=xxxxxxx\\\\$b; done; for n in {0..7}; do printf yyyyyyy | head -c $n; "
    )
    done = world.client.ssh(account, f'stty -opost; {line}printf "$line"; done', tty=True)
    assert done.code == 0
    _, events = recording(world)
    once = "".join(f"xxxxxxx{chr(value) if value < 0x80 else chr(0xFFFD)}" for value in range(256))
    assert text(events, "o") == "".join("y" * n + once for n in range(8))


def test_nothing_is_recorded_of_what_the_terminal_does_not_echo(world: World, account: str) -> None:
    command = "stty -echo; echo ready; read x; stty echo; echo again; read y; echo $x | md5sum"
    with world.running(account, command, tty=True) as client:
        assert client.stdin and client.stdout
        for wanted, typed in ((b"ready", b"hunter2\n"), (b"again", b"seen\n")):
            while wanted not in client.stdout.readline():
                pass
            client.stdin.write(typed)
            client.stdin.flush()
        client.stdin.close()
        assert client.wait(20) == 0
    _, events = recording(world)
    assert text(events, "i") == "seen\n"
    assert "hunter2" not in json.dumps(events)
    assert hashlib.md5(b"hunter2\n").hexdigest() in text(events, "o")


def test_another_size_of_the_terminal(world: World, account: str) -> None:
    transport = world.connect(account)
    channel: paramiko.Channel = transport.open_session()
    channel.get_pty(width=90, height=31)
    channel.exec_command("trap 'stty size; exit 5' WINCH; echo ready; while :; do sleep 0.1; done")
    assert b"ready" in channel.recv(100)
    channel.resize_pty(width=120, height=40)
    assert channel.recv_exit_status() == 5
    transport.close()
    head, events = recording(world)
    assert (head["width"], head["height"]) == (90, 31)
    assert text(events, "r") == "120x40"
    assert "40 120" in text(events, "o")


def test_a_session_without_a_terminal_is_not_recorded(world: World, account: str) -> None:
    assert world.client.ssh(account, "echo text").stdout == "text\n"
    assert world.client.sftp(account, "ls").code == 0
    assert world.host.run(["ls", FOLDER], check=True).stdout == ""


def test_output_alone(world: World, account: str) -> None:
    jail(world, JAIL.replace("input", "output"))
    assert world.client.ssh(account, "read x; echo shown", tty=True, input="abc\n").code == 0
    _, events = recording(world)
    assert {event[1] for event in events} == {"o"}
    jail(world, JAIL)


def test_a_recording_that_is_full_ends_the_session(world: World, account: str) -> None:
    jail(world, f"{JAIL}record_size = 20K\n")
    done = world.client.ssh(account, "trap '' HUP TERM; yes 1234567 | head -c 100000; sleep 60; echo never", tty=True)
    assert done.code != 0
    assert "jailssh: cannot continue this session" in done.stdout + done.stderr
    assert "never" not in done.stdout
    _, events = recording(world)
    assert len(text(events, "o")) < 20_000
    end = next(row for row in world.last_login(account) if row["JAILSSH_EVENT"] == "session-end")
    assert end["JAILSSH_REASON"] == "recording"
    assert world.processes_of(account) == []
    jail(world, JAIL)


def test_where_no_recording_can_be_made_nothing_is_served(world: World, account: str) -> None:
    world.host.run(["sh", "-c", f"mv {FOLDER} {FOLDER}.away"], check=True)
    done = world.client.ssh(account, "echo never", tty=True)
    world.host.run(["sh", "-c", f"mv {FOLDER}.away {FOLDER}"], check=True)
    assert done.code == 125 and "never" not in done.stdout
    assert world.last_login(account)[-1]["JAILSSH_REASON"] == "recording"
    world.host.run(["chmod", "777", FOLDER], check=True)
    assert world.client.ssh(account, "echo never", tty=True).code == 125
    world.jailssh("apply")
    world.host.run(["chmod", "700", FOLDER], check=True)
    assert world.client.ssh(account, "echo served", tty=True).code == 0


def test_replay_shows_searches_and_plays(world: World, account: str) -> None:
    world.client.ssh(
        account, "echo wrogn\b\b\bong; printf '\\033]52;c;YQ==\\007\\033[6n\\033[31mred\\033[0m\\n'", tty=True
    )
    (row,) = json.loads(world.jailssh("replay", "--json").stdout)
    assert row["account"] == account and row["head"]["command"].startswith("echo wrogn")
    assert world.jailssh("replay", row["session"][:6], "--text").stdout.splitlines() == ["wrong", "red"]
    (hit,) = json.loads(world.jailssh("replay", "--search", "r.d$", "--json").stdout)
    assert (hit["session"], hit["line"]) == (row["session"], "red")
    assert world.jailssh("replay", "--search", "nowhere").stdout == "nothing found\n"
    shown = world.host.run(["script", "-qec", f"jailssh replay {row['session']} --speed 100", "/dev/null"]).stdout
    assert "wr" in shown and "\x1b[31mred\x1b[0m" in shown
    assert "]52;" not in shown and "\x1b[6n" not in shown
    first, *events = map(json.loads, world.jailssh("replay", row["path"], "--export", "v3").stdout.splitlines())
    assert first["version"] == 3 and "\x1b]52;c;YQ==" in "".join(event[2] for event in events)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["0000"], "is no session with a recording"),
        (["--text"], "need a SESSION"),
        (["/etc/passwd"], "is not a recording"),
        (["/dev/zero"], "is not a regular file"),
        (["/nowhere"], "cannot be opened"),
        (["--search", "("], "is not a regular expression"),
        (["--speed", "0"], "speed"),
    ],
)
def test_wrong_requests(world: World, account: str, words: list[str], why: str) -> None:
    done = world.jailssh("replay", *words, check=False)
    assert done.code != 0
    assert why in done.stderr


def test_a_recording_that_is_cut_or_damaged_is_read_as_far_as_it_goes(world: World, account: str) -> None:
    head = '{"version": 2, "width": 80, "height": 24, "timestamp": 1}'
    good = '[0.5, "o", "first\\r\\n"]'
    times = [f'[{at}, "o", "y"]' for at in ('"x"', "NaN", "Infinity")]
    bad = ['{"a": 1}', '[1, "o"]', *times, '[1, "z", "y"]', "[" * 100_000, "\x00", '[2, "o", "cu']
    world.host.write(f"{FOLDER}/{account}.00000000000000ff.cast", "\n".join((head, good, *bad)))
    done = world.jailssh("replay", "00000000000000ff", "--text", check=False)
    assert (done.code, done.stdout) == (1, "first\n")
    assert f"{len(bad)} lines cannot be read" in done.stderr
    world.host.write(f"{FOLDER}/{account}.00000000000000fe.cast", "")
    assert "00000000000000fe  recorded: cannot be read" in world.jailssh("replay").stdout
    found = world.jailssh("replay", "--search", "first", check=False)
    assert (found.code, found.stdout.endswith("  first\n")) == (1, True), found
    assert f"{FOLDER}/{account}.00000000000000fe.cast: is not a recording" in found.stderr
