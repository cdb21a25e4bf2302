"""Where a syslog daemon stands in the journal's place it gets what jails log, by the account's name and by no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from jailssh.scratch.host import ScratchHost
from tests.root.logs_lab import LogHost

pytestmark = [pytest.mark.needs("root", "sshd", "login-program", "rsyslog")]

RSYSLOGD = "/usr/sbin/rsyslogd"
LOG = "/var/log/scratch"
# What Debian's rsyslog.conf loads, and a file in which each property that rules go by can be told from the others.
EACH = "%syslogfacility-text%.%syslogseverity-text%|%programname%|%syslogtag%|%msg%\\n"
CONFIG = f"""
module(load="imuxsock")
template(name="each" type="string" string="{EACH}")
*.* action(type="omfile" file="{LOG}" template="each")
"""
WIDE = "log_base = 500M\nlog_peak = 900M\nlog_interval = 1"


class Line(NamedTuple):
    """What the daemon has made of a message."""

    priority: str
    program: str
    tag: str
    text: str


class SyslogHost(LogHost):
    """The host with rsyslog and without a journal."""

    def start_syslog(self) -> None:
        """Start rsyslog, and wait until it listens."""
        # In the background: nsenter(1) would stop with it, and not go on.
        self.sh(f"{RSYSLOGD} -f /etc/syslog.conf -i /run/rsyslogd.pid >/dev/null 2>&1")
        self.scratch.wait_until(lambda: self.scratch.run(["test", "-S", "/dev/log"]).code == 0, "rsyslog listens")

    def stop_syslog(self) -> None:
        """End rsyslog, and wait until it is gone."""
        pid = self.syslog()
        self.sh(f"kill -TERM {pid}")
        self.scratch.wait_until(lambda: pid not in self.scratch.pids(), "rsyslog ends")

    def syslog(self) -> int:
        """Return the pid of rsyslog."""
        (pid,) = [pid for pid, line in self.scratch.pids().items() if line.startswith(RSYSLOGD)]
        return pid

    def lines(self) -> list[Line]:
        """Return what is in its file, of which every line must be whole."""
        return [Line(*line.split("|", 3)) for line in self.scratch.read(LOG).decode().splitlines()]

    def texts(self, tag: str) -> list[str]:
        """Return the messages by a tag, without its pid."""
        return [line.text.strip() for line in self.lines() if re.fullmatch(rf"{tag}\[\d+\]:", line.tag)]

    def wait_for_text(self, tag: str, text: str) -> None:
        """Wait until the file has it."""
        self.scratch.wait_until(lambda: text in self.texts(tag), f"{text} is in the file")


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[SyslogHost]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        scratch.start_sshd()
        scratch.write("/etc/syslog.conf", CONFIG)
        scratch.write(LOG, "")
        found = SyslogHost(scratch, {"alice": WIDE, "bob": WIDE})
        found.start_syslog()
        yield found


def test_a_message_has_the_name_of_its_account(host: SyslogHost) -> None:
    host.send("alice", "print(os.getpid()); s.send('<13>Nov 28 21:00:00 tool[1]: grün'.encode())")
    host.send("alice", "s.send(b'MESSAGE=native\\nSYSLOG_IDENTIFIER=tool\\nPRIORITY=3\\nSYSLOG_FACILITY=17\\n')")
    host.send("alice", "s.send(b'<14>without a tag')")
    host.wait_for_text("jailed/alice", "without a tag")
    found = [line for line in host.lines() if line.tag.startswith("jailed/alice")]
    assert [(line.priority, line.program, line.text) for line in found] == [
        ("user.notice", "jailed", " grün"), ("local1.err", "jailed", " native"),
        ("user.info", "jailed", " without a tag"),
    ]  # fmt: skip
    assert host.texts("jailed/alice/tool") == ["grün", "native"]


@pytest.mark.parametrize(
    ("message", "tag", "text"),
    [
        (b"<86>sshd[1]: Accepted for root", "jailed/bob/sshd", "Accepted for root"),
        (b"<13>jailed/alice/t[1]: by tag", "jailed/bob/jailed/alice/t", "by tag"),
        (b"<13>Nov 28 21:00:00 jailed/alice[1]: by date", "jailed/bob/jailed/alice", "by date"),
        (b"MESSAGE=by field\nSYSLOG_IDENTIFIER=../alice/t[1]:\n", "jailed/bob/../alice/t_1__", "by field"),
        (b"<13>jailed/alice no tag", "jailed/bob", "jailed/alice no tag"),
        (b"<13>t: one\n<13>Nov 28 21:00:00 jailed/alice[1]: two", "jailed/bob/t",
         "one\\x0a<13>Nov 28 21:00:00 jailed/alice[1]: two"),
        (b"<13>t: one\0<13>jailed/alice[1]: two", "jailed/bob/t", "one\\x00<13>jailed/alice[1]: two"),
        (b"<13>1 2026-01-01T00:00:00Z h jailed/alice 1 - - new form", "jailed/bob",
         "1 2026-01-01T00:00:00Z h jailed/alice 1 - - new form"),
        (b"<13>[7]: no word", "jailed/bob", "no word"),
        (b"<13>" + b"t" * 900 + b": long tag", f"jailed/bob/{'t' * 64}", "long tag"),
    ],
)  # fmt: skip
def test_what_is_forged_has_the_name_of_its_sender(host: SyslogHost, message: bytes, tag: str, text: str) -> None:
    before = len(host.lines())
    host.send("bob", f"s.send({message!r})")
    host.wait_for_text(re.escape(tag), text)
    (line,) = [each for each in host.lines()[before:] if text in each.text]  # the host's own services write there too
    assert (line.program, line.priority.split(".")[0]) == ("jailed", "user")


def test_a_message_that_is_too_long_for_it_is_cut(host: SyslogHost) -> None:
    host.send("bob", "s.send('<13>long: '.encode() + ('€' * 20000).encode())")
    host.say("bob", "behind it")
    host.wait_for_text("jailed/bob/t", "behind it")
    (text,) = host.texts("jailed/bob/long")
    assert set(text) == {"€"}
    assert 8000 < len(text.encode()) < 8096


def test_while_it_is_away_all_waits(host: SyslogHost) -> None:
    host.stop_syslog()
    host.send("alice", "for n in range(200): s.send(b'<13>t: away %d' % n)")
    # Nor does it need this relay.
    old = host.relay()
    host.sh(f"kill -KILL {old}")
    host.scratch.wait_until(lambda: host.relay() not in (None, old), "another one runs")
    host.send("alice", "for n in range(200, 400): s.send(b'<13>t: away %d' % n)")
    host.start_syslog()
    host.wait_for_text("jailed/alice/t", "away 399")
    assert [text for text in host.texts("jailed/alice/t") if "away" in text] == [f"away {n}" for n in range(400)]


def test_one_that_takes_nothing_blocks_nobody(host: SyslogHost) -> None:
    pid = host.syslog()
    host.sh(f"kill -STOP {pid}")
    try:
        took = host.time_of("alice", 2000, "b'<13>t: held %d' % n")
    finally:
        host.sh(f"kill -CONT {pid}")
    assert took < 5
    host.wait_for_text("jailed/alice/t", "held 1999")
    assert [text for text in host.texts("jailed/alice/t") if "held" in text] == [f"held {n}" for n in range(2000)]
