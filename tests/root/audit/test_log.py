"""audit log over a real journald: forged and hostile records, rotation while it is read, following, damage."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

import pytest

from jailssh.scratch.host import Finished, ScratchHost
from tests.harness.fixtures import PREFIX

pytestmark = pytest.mark.needs("root")
JAILSSH = f"{PREFIX}/bin/jailssh"
ALICE, MALLORY = 2001, 2002
MANY = 3000
# Sends what it reads, a record in each line of JSON, by the native protocol: name, length, bytes.
SEND = """
import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect("/run/systemd/journal/socket")
for line in sys.stdin:
    parts = [(n.encode(), v.encode("latin-1")) for n, v in json.loads(line)]
    s.send(b"".join(n + b"\\n" + len(v).to_bytes(8, "little") + v + b"\\n" for n, v in parts))
"""


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[ScratchHost]:
    with ScratchHost(install={staged_prefix: PREFIX}) as scratch:
        for name, uid in (("alice", ALICE), ("mallory", MALLORY)):
            scratch.run(["useradd", "-u", str(uid), name], check=True)
        done = scratch.run([JAILSSH, "audit", "log"])
        assert (done.code, done.stdout) == (4, ""), done  # before there is a journal
        assert "jailssh: journal: does not exist on this host\nhint: " in done.stderr
        done = scratch.run([JAILSSH, "audit", "report"])
        assert (done.code, "<li>journal: does not exist on this host</li>" in done.stdout) == (1, True), done
        assert "jailssh: journal: does not exist on this host\nhint: " in done.stderr
        scratch.start_journald()
        yield scratch


def send(host: ScratchHost, sender: str, *records: dict[str, Any]) -> None:
    """Send records as ``sender``; values are bytes in latin-1, several of them a list."""
    lines = []
    for each in records:
        fields = {"EVENT": "session-start", "USER": "alice", "UID": str(ALICE), "JAIL": "sftp-only", **each}
        rows = [
            (f"JAILSSH_{name}" if not name.startswith(("_", "MESSAGE")) else name, value)
            for name, values in fields.items()
            for value in (values if isinstance(values, list) else [values])
        ]
        lines.append(json.dumps(rows))
    host.run(["python3", "-c", SEND], user=sender, input="\n".join(lines), check=True)
    host.run(["journalctl", "--sync"], check=True)


def log(host: ScratchHost, *words: str) -> Finished:
    return host.run([JAILSSH, "audit", "log", *words])


def sessions(host: ScratchHost, *words: str) -> list[str]:
    done = log(host, "--json", *words)
    assert (done.code, done.stderr) == (0, ""), done
    return [json.loads(line)["session"] for line in done.stdout.splitlines()]


@contextmanager
def started(host: ScratchHost, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    with host.popen(
        [JAILSSH, "audit", "log", "--json", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def line(child: subprocess.Popen[bytes]) -> str:
    assert child.stdout is not None
    text = b""
    while not text.endswith(b"\n"):  # not one byte more: who waits for the next one would not see what is buffered
        assert select.select([child.stdout], [], [], 20)[0], "nothing came"
        byte = os.read(child.stdout.fileno(), 1)
        assert byte, "it has ended"
        text += byte
    return str(json.loads(text)["session"])


def test_who_is_believed(host: ScratchHost) -> None:
    send(host, "root", {"SESSION": "by-root"})
    send(host, "alice", {"SESSION": "by-alice"})
    send(host, "mallory", {"SESSION": "forged"}, {"SESSION": "own", "UID": str(MALLORY), "JAIL": "moon"},
         {"SESSION": "twice", "UID": [str(MALLORY), str(ALICE)]},
         {"SESSION": "trusted", "_UID": "0"}, {"SESSION": "none", "UID": ""})  # fmt: skip
    assert sessions(host, "--user", "alice") == ["by-root", "by-alice", "own"]
    assert sessions(host, "--user", str(ALICE)) == ["by-root", "by-alice"]
    assert sessions(host, "--session", "forged", "--session", "trusted", "--session", "twice") == []
    (row,) = log(host, "--jail", "moon").stdout.splitlines()[1:]
    assert f"  alice[{MALLORY}]  " in row  # not alice
    (row,) = log(host, "--session", "by-alice").stdout.splitlines()[1:]
    assert "  alice  " in row


def test_no_byte_gets_out_raw(host: ScratchHost) -> None:
    bad = b"=a\nb\r\x1b[2J\xff\xc2\x9b\t".decode("latin-1")
    send(host, "root", {"EVENT": "denied", "JAIL": "bad", "USER": bad, "KEY": bad, "COMMAND": bad, "PEER": bad,
                        "REASON": bad, "SESSION": bad, "MESSAGE": bad},
         {"EVENT": "file-operation", "JAIL": "bad", "FILE": [f"2 {bad}", f"1 remove {bad}"]})  # fmt: skip
    shown = r"=a\x0ab\x0d\x1b[2J\xff\x9b\x09"
    page = host.run([JAILSSH, "audit", "report"]).stdout
    assert page.isascii() and page.replace("\n", "").isprintable() and shown in page
    for form in ((), ("--csv",), ("--json",), ("--summary",), ("--summary", "--json")):
        done = log(host, "--jail", "bad", *form)
        assert done.code == 0
        assert done.stdout.replace("\n", "").isprintable()
        assert shown in done.stdout.replace("\\\\", "\\")
    assert len(log(host, "--jail", "bad").stdout.splitlines()) == 4
    one, *files = csv.DictReader(io.StringIO(log(host, "--jail", "bad", "--csv").stdout))
    assert {one[name] for name in ("session", "user", "key", "command", "peer", "reason")} == {f"'{shown}"}
    assert [row["file"] for row in files] == [f"remove {shown}", f"'{shown}"]


def test_selecting(host: ScratchHost) -> None:
    send(host, "root",
         {"SESSION": "a", "JAIL": "sel", "KEY": "bob", "PEER": "192.0.2.7 1 192.0.2.1 22"},
         {"SESSION": "b", "JAIL": "sel", "EVENT": "denied", "REASON": "hours", "PEER": "2001:db8::7 1 ::1 22"},
         {"SESSION": "c", "JAIL": "sel", "EVENT": "refused", "REASON": "expired", "USER": "git", "UID": "7"},
         {"SESSION": "d", "JAIL": "sel", "EVENT": "setup-changed"})  # fmt: skip
    for words, expected in {
        "": "abc", "--key bob": "a", "--reason hours --reason expired": "bc", "--event denied": "b",
        "--event setup-changed": "d", "--user git --user 7": "c", "--user git --user alice": "abc",
        "--peer 192.0.2.0/24": "a", "--peer 2001:db8::/32 --peer 192.0.2.7": "ab", "--limit 2": "bc",
        "--since 1h": "abc", "--until 1h": "", "--since now": "", "--since 1h --limit 1": "c",
    }.items():  # fmt: skip
        assert "".join(sessions(host, "--jail", "sel", *words.split())) == expected, words
    facts = json.loads(log(host, "--jail", "sel", "--summary", "--json").stdout)
    assert [each["count"] for each in facts["sessions"]] == [1]
    assert sorted(each["reason"] for each in facts["denials"]) == ["expired", "hours"]
    assert [each["key"] for each in facts["keys"]] == ["bob"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--event denid", "did you mean"), ("--reason hour", "did you mean"), ("--peer moon", "is not an address"),
        ("--since moon", "is not a time"), ("--limit 0", "is not between"), ("--csv --json", "cannot be combined"),
        ("--follow --until 1h", "cannot be combined"), ("--since 1h --until 2h", "is later than"),
        ("--summary --follow", "cannot be combined"),
    ],
)  # fmt: skip
def test_wrong_words(host: ScratchHost, words: str, why: str) -> None:
    done = log(host, *words.split())
    assert (done.code, done.stdout, why in done.stderr) == (2, "", True), done


def test_the_report(host: ScratchHost) -> None:
    evil = "<script>alert(1)</script>\"'"
    send(host, "root", *({"SESSION": str(n), "JAIL": "told", "KEY": evil} for n in range(3)),
         {"EVENT": "denied", "JAIL": evil, "REASON": "hours"},
         {"EVENT": "file-operation", "JAIL": "unseen"})  # fmt: skip
    send(host, "mallory", {"JAIL": "forged"})
    done = host.run([JAILSSH, "audit", "report", "--since", "1h"])
    assert (done.code, done.stderr) == (0, "")
    page = ElementTree.fromstring(done.stdout.removeprefix("<!DOCTYPE html>\n"))
    tables = {"".join(each.find("caption").itertext()): each for each in page.iter("table")}  # type: ignore[union-attr]
    rows = {
        title.split(" by ")[0] + row[0].text: row[1].text
        for title, table in tables.items()
        for row in table.iter("tr")
        if row[0].text
    }
    assert rows["Sessionstold"] == "3"
    assert rows[f"Denials{evil}"] == "1"
    assert not [each for each in rows if "forged" in each or "unseen" in each]
    assert "The checks have not been run yet" in done.stdout and "<script" not in done.stdout
    assert list(page.iter("script")) == []
    # A time without sessions, and one that is none.
    assert (
        "There were none."
        in host.run([JAILSSH, "audit", "report", "--until", "2001-01-02", "--since", "2001-01-01"]).stdout
    )
    for words, why in (
        ("--since moon", "is not a time"),
        ("--since 1h --until 2h", "is later"),
        ("--json", "--summary"),
    ):
        done = host.run([JAILSSH, "audit", "report", *words.split()])
        assert (done.code, done.stdout, why in done.stderr) == (2, "", True), done


def rest(child: subprocess.Popen[bytes]) -> list[str]:
    """Return the others; where it was cut off, the last line may be half."""
    assert child.stdout is not None
    return re.findall(r'^{.*"session": "(.*?)".*}$', child.stdout.read().decode(), re.MULTILINE)


def test_rotated_and_deleted_while_it_is_read(host: ScratchHost) -> None:
    send(host, "root", *({"SESSION": str(n), "JAIL": "many", "COMMAND": "x" * 200} for n in range(MANY)))
    every = [str(n) for n in range(MANY)]
    with started(host, "--jail", "many") as child:
        found = [line(child)]  # the others wait: a pipe holds some hundreds
        host.run(["journalctl", "--rotate"], check=True)
        send(host, "root", {"SESSION": "after", "JAIL": "other"})
        assert [*found, *rest(child)] == every
        assert child.wait() == 0
    with started(host, "--jail", "many") as child:
        found = [line(child)]
        host.run(["journalctl", "--rotate", "--vacuum-files=1"], check=True)
        found += rest(child)  # journald has emptied the file
        assert found == every[: len(found)]
        assert child.wait() == 1
        assert child.stderr is not None
        # What the kernel does where journald has emptied a file: SIGBUS, or zeros.
        assert re.search(
            rb"deleted while it was read[,:] (so the result is incomplete|records may be)", child.stderr.read()
        )
    assert sessions(host, "--jail", "many") == []


def test_follow(host: ScratchHost) -> None:
    send(host, "root", *({"SESSION": str(n), "JAIL": "follow"} for n in range(12)))
    with started(host, "--jail", "follow", "--follow") as child, started(host, "--jail", "new", "--follow") as other:
        assert [line(child) for _ in range(10)] == [str(n) for n in range(2, 12)]
        for number in range(3):
            send(host, "mallory", {"SESSION": "forged", "JAIL": "follow"})
            send(host, "alice", {"SESSION": f"new-{number}", "JAIL": "follow"})
            assert line(child) == f"new-{number}"
            host.run(["journalctl", "--rotate"], check=True)
        send(host, "alice", {"SESSION": "first", "JAIL": "new"})
        assert line(other) == "first"
        pid, reader = host.run(["pgrep", "-f", "--", "--jail new --follow"], check=True).stdout.split()
        host.run(["kill", "-INT", pid], check=True)
        assert other.wait(20) == 0
        assert host.run(["kill", "-0", reader]).code != 0
        # One that is killed leaves nobody behind.
        with started(host, "--jail", "killed", "--follow"):
            pids: list[str] = []
            while len(pids) < 2:
                pids = host.run(["pgrep", "-f", "--", "--jail killed --follow"]).stdout.split()
            host.run(["kill", "-KILL", pids[0]], check=True)
            while host.run(["pgrep", "-f", "--", "--jail killed --follow"]).stdout:
                pass
        # Whose reader has gone ends without waiting for a record.
        assert child.stdout is not None
        child.stdout.close()
        assert child.wait(20) in (0, 141)


def test_a_damaged_file_is_said_and_the_others_are_read(host: ScratchHost) -> None:
    send(host, "root", {"SESSION": "kept", "JAIL": "damage"})
    folder = host.run(["sh", "-c", "ls -d /run/log/journal/*"], check=True).stdout.strip()
    path = f"{folder}/system@damaged.journal"
    for damage in (b"junk" * 5000, b"LPKSHHRH" + b"\xff" * 5000):
        host.write(path, damage)
        done = log(host, "--json", "--jail", "damage")
        assert [json.loads(each)["session"] for each in done.stdout.splitlines()] == ["kept"]
        assert done.code == 1
        assert f"jailssh: journal: {path}: " in done.stderr
        done = host.run([JAILSSH, "audit", "report"])
        assert (done.code, f"jailssh: journal: {path}: " in done.stderr) == (1, True)
        assert f"Something is missing in this page:</strong><ul><li>journal: {path}: " in done.stdout
    host.run(["rm", path], check=True)
    assert log(host, "--jail", "damage").code == 0


# One journal of two hosts: what this one's journald has written, under another name each.
REMOTE = "/lib/systemd/systemd-journal-remote"


@pytest.fixture(scope="module")
def collected(host: ScratchHost) -> str:
    """A directory with the journals of two hosts, as systemd-journal-remote writes them."""
    denied = {"EVENT": "denied", "JAIL": "afar", "SESSION": "no", "REASON": "hours", "USER": "bin", "UID": "7"}
    send(host, "root", {"SESSION": "far", "JAIL": "afar", "KEY": "bob"}, denied)
    send(host, "mallory", {"SESSION": "forged", "JAIL": "afar"})
    for name in ("gate1", "gate2"):
        script = (
            f"mkdir -p /root/far && journalctl -o export JAILSSH_JAIL=afar | sed 's/^_HOSTNAME=.*/_HOSTNAME={name}/'"
        )
        host.run(["sh", "-c", f"{script} | {REMOTE} -o /root/far/remote-{name}.journal -"], check=True)
    return "/root/far"


@pytest.mark.needs("root", "journal-remote")
def test_journals_of_other_hosts(host: ScratchHost, collected: str) -> None:
    rows = [json.loads(line) for line in log(host, "--json", "-D", collected).stdout.splitlines()]
    assert sorted((row["host"], row["session"]) for row in rows) == [
        ("gate1", "far"), ("gate1", "no"), ("gate2", "far"), ("gate2", "no"),
    ]  # fmt: skip
    assert sessions(host, "--directory", collected, "--host", "gate2", "--event", "denied") == ["no"]
    head, first, *_ = log(host, "-D", collected, "--host", "gate1").stdout.splitlines()
    assert head.split()[:3] == ["TIME", "HOST", "EVENT"] and "  gate1  " in first
    shown = log(host, "-D", collected, "--csv", "--host", "gate1", "--host", "gate3")
    assert [row["host"] for row in csv.DictReader(io.StringIO(shown.stdout))] == ["gate1"] * 2
    facts = json.loads(log(host, "-D", collected, "--summary", "--json").stdout)
    assert [each["count"] for each in facts["sessions"]] == [2]
    page = host.run([JAILSSH, "audit", "report", "-D", collected, "--host", "gate1"])
    assert (page.code, page.stderr) == (0, "")
    assert "Audit of gate1" in page.stdout and "have not been run" not in page.stdout


@pytest.mark.needs("root", "journal-remote")
def test_who_may_read_the_files_needs_no_root(host: ScratchHost, collected: str) -> None:
    host.run(["sh", "-c", f"cp -r {collected} /tmp/far; chmod -R a+rX /tmp/far"], check=True)
    done = host.run([JAILSSH, "audit", "log", "--json", "-D", "/tmp/far", "--host", "gate1"], user="mallory")
    assert (done.code, len(done.stdout.splitlines())) == (0, 2), done
    done = host.run([JAILSSH, "audit", "log", "-D", collected], user="mallory")
    assert (done.code, done.stdout, "permission denied" in done.stderr) == (4, "", True), done


RSYSLOG = """
module(load="imjournal" StateFile="/root/imjournal" PersistStateInterval="1" Ratelimit.Interval="0")
template(name="record" type="string" string="%$!all-json%\\n")
if $!JAILSSH_EVENT != "" then action(type="omfile" file="/root/collected.json" template="record")
"""


@pytest.mark.needs("root", "rsyslog")
def test_what_rsyslog_has_collected(host: ScratchHost) -> None:
    """As its file says, beside what the journal says itself, and what journalctl(1) prints of it."""
    denied = {"EVENT": "denied", "JAIL": "syslogged", "SESSION": "no", "REASON": "hours", "USER": "bin", "UID": "7"}
    send(host, "root", {"SESSION": "by-rsyslog", "JAIL": "syslogged", "KEY": "bob"}, denied)
    send(host, "mallory", {"SESSION": "forged", "JAIL": "syslogged"})
    host.write("/root/rsyslog.conf", RSYSLOG)
    host.run(["rsyslogd", "-f", "/root/rsyslog.conf", "-i", "/root/rsyslog.pid"], check=True)
    try:
        done = ["sh", "-c", "test $(grep -c syslogged /root/collected.json) = 3"]
        host.wait_until(lambda: host.run(done).code == 0, "rsyslog has collected it")
    finally:
        host.run(["sh", "-c", "kill $(cat /root/rsyslog.pid)"])
    asked = ["--json", "--jail", "syslogged"]
    rows = [json.loads(line) for line in log(host, *asked, "--file", "/root/collected.json").stdout.splitlines()]
    assert [row["session"] for row in rows] == ["by-rsyslog", "no"]
    own = [json.loads(line) for line in log(host, *asked).stdout.splitlines()]
    # Its time is the one at which the record was sent, that of the journal when it came.
    assert [{**row, "time": 0} for row in rows] == [{**row, "time": 0, "host": rows[0]["host"]} for row in own]
    printed = f"journalctl -o json JAILSSH_JAIL=syslogged | {JAILSSH} audit log --json --file -"
    assert [json.loads(line) for line in host.run(["sh", "-c", printed], check=True).stdout.splitlines()] == [
        {**row, "host": rows[0]["host"]} for row in own
    ]
    facts = json.loads(log(host, "--summary", "--json", "--file", "/root/collected.json").stdout)
    assert sum(each["count"] for each in facts["sessions"]) >= 1
    page = host.run([JAILSSH, "audit", "report", "--file", "/root/collected.json"])
    assert (page.code, page.stderr, "have not been run" in page.stdout) == (0, "", False)


def test_a_directory_without_journals(host: ScratchHost) -> None:
    host.run(["sh", "-c", "mkdir -p /root/none && echo torn >/root/none/torn.journal"], check=True)
    for words, code, why in (
        ("-D /nowhere", 4, "/nowhere: no such file or directory"), ("-D /etc/passwd", 4, "not a directory"),
        ("-D /var/empty", 4, "has no file of a journal in it"), ("-D /root/none", 1, "torn.journal: it is damaged"),
        ("--host gate1", 2, "--host: needs --directory or --file"), ("--file /nowhere", 4, "/nowhere: no such file"),
        ("--file /etc/passwd --follow", 2, "cannot be combined with --file"),
        ("--file /etc/passwd -D /root", 2, "cannot be combined with --directory"),
        ("--file /etc/passwd", 1, "/etc/passwd: "), ("--file - --file -", 2, "is given twice"),
    ):  # fmt: skip
        host.run(["mkdir", "-p", "/var/empty"], check=True)
        done = log(host, "--json", *words.split())
        assert (done.code, done.stdout, why in done.stderr) == (code, "", True), (words, done)
