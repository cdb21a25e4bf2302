"""What a jail says made into records: who says it is never the message's to tell, and what it says stays text."""

from __future__ import annotations

import random
import re
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.abilities import REPO
from tests.harness.shared import once
from tests.login.driver import LOGIN, compile_c, frame, frames

RELAY = REPO / "jailssh/relay"
SOURCES = [
    *(RELAY / f"{name}.c" for name in ("record", "native", "line", "out")),
    LOGIN / "readable.c",
    REPO / "tests/login/log_records.c",
]
TAKEN, MALFORMED, TOO_LARGE, NO_ROOM = range(4)
OURS = {"JAILSSH_USER": "alice", "JAILSSH_UID": "1001", "JAILSSH_JAIL": "dev", "JAILSSH_SESSION": "0123456789abcdef",
        "SYSLOG_PID": "77", "JAILSSH_EVENT": "message"}  # fmt: skip


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def build(folder: Path) -> None:
        compile_c("gcc", folder / "records", SOURCES, f"-I{RELAY}", "-fsanitize=address,undefined")

    return once(tmp_path_factory, "log-records", build) / "records"


class Said:
    """Answers to messages."""

    def __init__(self, program: Path, messages: Sequence[bytes], *how: str) -> None:
        done = subprocess.run(
            [program, *how], input=b"".join(map(frame, messages)), capture_output=True, timeout=60, env={}
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        answers = frames(done.stdout)
        assert len(answers) == len(messages)
        self.outcomes = [int(chr(answer[0])) for answer in answers]
        self.records = [answer[1:].split(b"\0")[:-1] for answer in answers]


def one(program: Path, message: bytes) -> dict[str, str]:
    """Return the fields of the record of a message that has one."""
    said = Said(program, [message])
    assert said.outcomes == [TAKEN]
    (record,) = said.records[0]
    return fields(record)


def fields(record: bytes) -> dict[str, str]:
    pairs = [line.split("=", 1) for line in record.decode().removesuffix("\n").split("\n")]
    assert len({name for name, _ in pairs}) == len(pairs), pairs
    return dict(pairs)


@pytest.mark.parametrize(
    ("message", "tag", "text", "priority"),
    [
        (b"<13>Nov 28 21:00:00 cron[12]: a job", "/cron", "a job", 5),
        (b"<14>Nov  8 21:00:00 my-tool: hello\n", "/my-tool", "hello", 6),
        (b"<15>postfix/smtpd: x\0", "/postfix/smtpd", "x", 7),
        (b"<11>no tag here", "", "no tag here", 3),
        (b"plain text", "", "plain text", 6),
        (b"", "", "", 6),
        (b"<13>", "", "", 5),
        (b"<13>:", "", ":", 5),
        (b"<999>x: y", "/x", "y", 6),
        (b"<1234>x", "", "<1234>x", 6),
        (b"<>x", "", "<>x", 6),
        (b"<13", "", "<13", 6),
        (b"<13>a b: c", "", "a b: c", 5),
        (b"<13>sp\xc3\xa4t: ok", "/sp__t", "ok", 5),
        (b"<13>a]b[c]: d", "/a_b", "d", 5),
        (b"<13>" + b"t" * 100 + b": long", "/" + "t" * 64, "long", 5),
    ],
)
def test_what_syslog_says(program: Path, message: bytes, tag: str, text: str, priority: int) -> None:
    found = one(program, message)
    assert found["SYSLOG_IDENTIFIER"] == f"jailed/alice{tag}"
    assert (found["MESSAGE"], found["PRIORITY"], found["SYSLOG_FACILITY"]) == (text, str(priority), "1")
    assert OURS.items() <= found.items()


@pytest.mark.parametrize("facility", range(24))
def test_no_log_that_others_act_on_is_written_to(program: Path, facility: int) -> None:
    for message in (b"<%d>x: y" % (facility * 8 + 6), b"SYSLOG_FACILITY=%d\nMESSAGE=y\n" % facility):
        found = one(program, message)
        kept = facility == 1 or facility >= 16
        assert found["SYSLOG_FACILITY"] == str(facility if kept else 1)
        assert found.get("JAILSSH_FACILITY") == (None if kept else str(facility))


def test_nobody_tells_all_terminals_that_the_system_ends(program: Path) -> None:
    for message in (b"<8>x: y", b"PRIORITY=0\nMESSAGE=y\n"):
        assert one(program, message)["PRIORITY"] == "1"


FORGED = (
    b"_UID=0", b"_PID=1", b"__CURSOR=x", b"JAILSSH_USER=root", b"JAILSSH_EVENT=session-start", b"SYSLOG_PID=1",
    b"OBJECT_PID=1", b"COREDUMP_UNIT=x", b"MESSAGE_ID=" + b"a" * 32, b"UNIT=ssh.service", b"USER_UNIT=x",
    b"1X=a", b"lower=a", b"A-B=c", b"=x", b"X" * 65 + b"=a",
)  # fmt: skip


@pytest.mark.parametrize("forged", FORGED, ids=lambda each: each.decode()[:20])
def test_what_is_forged_is_dropped(program: Path, forged: bytes) -> None:
    for message in (b"MESSAGE=a\n%b\nGOOD=1\n" % forged, b"GOOD=1\n%b\nMESSAGE=a" % forged):
        found = one(program, message)
        assert OURS.items() <= found.items()
        assert set(found) == {
            *OURS,
            "MESSAGE",
            "PRIORITY",
            "SYSLOG_FACILITY",
            "SYSLOG_IDENTIFIER",
            "MESSAGE_ID",
            "GOOD",
        }
        assert found["MESSAGE_ID"] == "a3d94c5e18f74b06b2c7e5d1f09a6b83"


def long_form(name: bytes, value: bytes) -> bytes:
    return name + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"a\nNov 28 21:00:00 host sshd[1]: Accepted password for root", "a\\x0aNov 28 21:00:00 host sshd[1]: "
         "Accepted password for root"),
        (b"a\nJAILSSH_USER=root\n", "a\\x0aJAILSSH_USER=root\\x0a"),
        (b"\x1b[2J\x9b\x7f\r\t", "\\x1b[2J\\x9b\\x7f\\x0d\\x09"),
        (b"nul\0nul", "nul\\x00nul"),
        ("grün €😀".encode(), "grün €😀"),
        (b"\xc2\x85\xed\xa0\x80\xf8\xc3", "\\xc2\\x85\\xed\\xa0\\x80\\xf8\\xc3"),
    ],
)  # fmt: skip
def test_control_characters_and_what_is_not_utf8_stay_out(program: Path, text: bytes, shown: str) -> None:
    found = one(program, long_form(b"MESSAGE", text) + long_form(b"OTHER", text))
    assert (found["MESSAGE"], found["OTHER"]) == (shown, shown)
    assert set(found) - {"OTHER"} == {
        *OURS,
        "MESSAGE",
        "PRIORITY",
        "SYSLOG_FACILITY",
        "SYSLOG_IDENTIFIER",
        "MESSAGE_ID",
    }
    said = one(program, b"<13>x: " + text + b".")
    assert said["MESSAGE"] == shown + "."


def test_several_entries_in_one_message(program: Path) -> None:
    said = Said(program, [b"MESSAGE=1\nA=1\n\n\nMESSAGE=2\nPRIORITY=3\n\n"])
    found = [fields(record) for record in said.records[0]]
    assert [(each["MESSAGE"], each["PRIORITY"], each.get("A")) for each in found] == [("1", "6", "1"), ("2", "3", None)]
    said = Said(program, [b"MESSAGE=x\n\n" * 256])
    assert (said.outcomes, len(said.records[0])) == ([TAKEN], 256)


@pytest.mark.parametrize(
    "message",
    [
        b"MESSAGE\n", b"MESSAGE\n\x01", b"MESSAGE\n" + struct.pack("<Q", 5) + b"abc\n",
        b"MESSAGE\n" + struct.pack("<Q", 2**64 - 1) + b"abc\n", b"MESSAGE\n" + struct.pack("<Q", 3) + b"abcd\n",
        b"MESSAGE=a\nB", b"".join(b"F%d=x\n" % number for number in range(65)),
        b"MESSAGE=x\n\n" * 257,
    ],
    ids=range(8),
)  # fmt: skip
def test_what_is_no_message(program: Path, message: bytes) -> None:
    assert Said(program, [message]).outcomes == [MALFORMED]


def test_a_large_message_comes_whole(program: Path) -> None:
    text = b"x" * (1 << 20)
    assert one(program, b"MESSAGE=" + text)["MESSAGE"].encode() == text
    # In which each byte becomes four.
    assert Said(program, [b"MESSAGE=" + b"\x01" * (1 << 20), b"<13>" + b"\x01" * (1 << 20)]).outcomes == [TOO_LARGE] * 2


def test_a_line_for_a_syslog_daemon(program: Path) -> None:
    said = Said(program, [b"<85>sshd[1]: Accepted\nfor root", b"x" * 9000, b"PRIORITY=2\nMESSAGE=m\n"], "lines")
    (first,), (second,), (third,) = said.records
    assert first == b"<13>Nov 28 21:00:00 jailed/alice/sshd[77]: Accepted\\x0afor root"
    assert second.startswith(b"<14>Nov 28 21:00:00 jailed/alice[77]: xxx")
    assert third == b"<10>Nov 28 21:00:00 jailed/alice[77]: m"


def test_whatever_comes_no_record_has_what_is_not_ours(program: Path) -> None:
    chance = random.Random(1)
    parts = [*FORGED, b"MESSAGE=a", b"\n", b"\n\n", b"MESSAGE\n", struct.pack("<Q", 3), b"<13>", b"x: ", b"\0", b"\xff",
             b"PRIORITY=0", b"=", b"SYSLOG_IDENTIFIER=sshd"]  # fmt: skip
    messages = [b"".join(chance.choices(parts, k=chance.randrange(12))) for _ in range(20000)]
    said = Said(program, messages)
    shape = re.compile(r"[\x20-\x7e]*\Z")
    for record in (record for records in said.records for record in records):
        lines = record.decode().removesuffix("\n").split("\n")
        names = [line.partition("=")[0] for line in lines]
        assert all(shape.match(line) for line in lines), record
        assert not [name for name in names if name.startswith(("_", "OBJECT_", "COREDUMP_"))], record
        for name, value in OURS.items():
            assert lines.count(f"{name}={value}") == names.count(name) == 1, record
    assert {TAKEN, MALFORMED} <= set(said.outcomes)


def test_a_relay_that_is_killed_loses_nothing_of_a_queue_that_goes_around(tmp_path: Path) -> None:
    source = REPO / "tests/login/log_queue.c"
    queue = compile_c("gcc", tmp_path / "queue", [source], f"-I{RELAY}", "-fsanitize=address,undefined")
    done = subprocess.run([queue], capture_output=True, text=True, timeout=60, env={})
    assert (done.returncode, done.stderr) == (0, "")
    before, after = done.stdout.splitlines()
    assert (before, after) == ("18: 1 1 1 1 1",) * 2
