"""What jails log reaches the journal whole, with the account's name; whatever is sent, nobody waits and all is told."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from jailssh.scratch.host import ScratchHost
from tests.root.logs_lab import DAEMON, LogHost

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd"), pytest.mark.needs("login-program")]

WIDE = "log_base = 500M\nlog_peak = 900M\nlog_interval = 1"
NARROW = "log_base = 1K\nlog_peak = 8K\nlog_interval = 60"


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[LogHost]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        scratch.start_journald()
        scratch.start_sshd()
        yield LogHost(scratch, {"alice": WIDE, "bob": WIDE, "flo": NARROW})


def dropped(host: LogHost, name: str, why: str = "") -> int:
    """Return how many messages of an account the relay has told to be lost."""
    return sum(int(each["JAILSSH_DROPPED"]) for each in host.told(name) if why in each["MESSAGE"])


def test_whose_it_is_says_the_socket(host: LogHost) -> None:
    host.say("alice", "from alice")
    host.say("bob", "from bob")
    alice, bob = host.wait_for("alice", "from alice"), host.wait_for("bob", "from bob")
    assert (alice["JAILSSH_UID"], alice["JAILSSH_JAIL"]) == (str(host.uids["alice"]), "of-alice")
    assert (bob["JAILSSH_UID"], bob["JAILSSH_JAIL"]) == (str(host.uids["bob"]), "of-bob")
    assert alice["_UID"] == host.sh("id -u jailssh-relay").strip()
    assert "JAILSSH_SESSION" not in alice  # sent from outside of any jail


def test_the_relay_has_no_power(host: LogHost) -> None:
    lines = host.sh(f"cat /proc/{host.relay()}/status").splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert [status[name] for name in ("CapPrm", "CapEff", "CapInh", "CapBnd", "CapAmb")] == ["0" * 16] * 5
    assert status["NoNewPrivs"] == "1"
    assert status["Uid"].split()[0] != "0"
    assert status["Groups"].strip() == ""


def test_it_does_not_run_as_root(host: LogHost) -> None:
    done = host.scratch.run(["/usr/local/libexec/jailssh/jailssh-relay"])
    assert done.code == 1
    assert done.stderr.startswith("jailssh-relay: must not be run as root\nhint: ")


def test_somebody_else_at_the_socket_is_not_believed(host: LogHost) -> None:
    host.send("bob", "s.send(b'<13>t: not bob')", drop=False)
    host.scratch.wait_until(lambda: bool(host.told("bob")), "it is told")
    assert host.told("bob")[0]["MESSAGE"] == "bob: messages from its jail are lost: 1 from another account"
    assert "not bob" not in host.messages("bob")


def test_only_root_says_whose_sockets_are(host: LogHost) -> None:
    code = "c = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\ntry:\n    c.connect('/run/jailssh/relay.sock')\n"
    code += "except PermissionError:\n    print('denied')"
    assert host.send("alice", code) == "denied\n"


def test_a_long_message_comes_whole(host: LogHost) -> None:
    host.send("alice", "s.send(b'<13>t: ' + b'd' * 150000); give([file(b'MESSAGE=' + b'm' * 900000)])")
    host.scratch.wait_until(lambda: any(each[0] == "m" for each in host.messages("alice")), "the second one comes")
    found = {each[0]: len(each) for each in host.messages("alice") if len(each) > 1000}
    assert found == {"d": 150000, "m": 900000}


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("give([file(b'MESSAGE=unsealed', 0)])", "1 not readable"),
        ("give([file(b'MESSAGE=half sealed', 0x7)])", "1 not readable"),
        ("give([os.open('/dev/zero', os.O_RDONLY)])", "1 not readable"),
        ("give([os.open('/etc/passwd', os.O_RDONLY)])", "1 not readable"),
        ("give([os.pipe()[0]])", "1 not readable"),
        ("give([file(b'MESSAGE=' + b'x' * (1 << 20))])", "1 too large"),
        ("s.send(b'MESSAGE\\n' + b'\\xff' * 8)", "1 not readable"),
    ],
)
def test_what_cannot_be_taken_is_told(host: LogHost, code: str, why: str) -> None:
    # Reports come no faster than one in ten seconds, so each gets an account of its own.
    name = f"u{abs(hash(code)) % 10**6}"
    host.sh(f"cp /etc/jailssh/jails/of-alice.conf /etc/jailssh/jails/{name}.conf; jailssh adduser {name} --jail {name}")
    host.uids[name] = int(host.sh(f"id -u {name}"))
    host.send(name, code)
    host.scratch.wait_until(lambda: bool(host.told(name)), "it is told")
    told = host.told(name)[0]
    assert told["MESSAGE"] == f"{name}: messages from its jail are lost: {why}"
    assert (told["JAILSSH_DROPPED"], told["PRIORITY"]) == ("1", "4")
    assert host.messages(name) == []


def test_a_datagram_of_a_megabyte(host: LogHost) -> None:
    # Only root can send one, by a larger buffer than the host allows; the kernel tells others that it is too long.
    code = "try:\n    s.send(b'x' * (1 << 20))\nexcept OSError as error:\n    print(error.errno)"
    assert host.send("alice", code) == "90\n"
    large = "s.setsockopt(socket.SOL_SOCKET, 32, 4 << 20)\ndrop()\ns.send(b'y' * (1 << 20))"
    host.send("flo", large, drop=False)
    host.scratch.wait_until(lambda: bool(host.told("flo")), "it is told")
    assert "too large" in host.told("flo")[0]["MESSAGE"]


def test_descriptors_that_come_along_are_closed(host: LogHost) -> None:
    count = f"ls /proc/{host.relay()}/fd | wc -l"
    before = host.sh(count)
    lingers = "t = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)\n"
    host.send("alice", f"{lingers}fds = [os.open('/dev/null', 0) for _ in range(250)] + [t[0].fileno()]\n"
              "for _ in range(20): give(fds, b'<13>t: with files')\ngive(fds)")  # fmt: skip
    host.say("alice", "after the files")
    host.wait_for("alice", "after the files")
    assert host.messages("alice").count("with files") == 20
    assert host.sh(count) == before


def test_a_flood_is_dropped_and_counted_and_nobody_waits(host: LogHost) -> None:
    before = len(host.messages("flo"))
    took = host.time_of("flo", 5000, "b'<13>t: %08d' % n + b'x' * 80")
    host.say("alice", "beside a flood")
    host.wait_for("alice", "beside a flood")
    assert took < 5
    passed = len(host.messages("flo")) - before
    assert 60 < passed < 120  # 8 KiB at once, of which the test before may have taken some
    host.scratch.wait_until(lambda: dropped(host, "flo") >= 5000 - passed, "all is told", 25)
    said = [each["MESSAGE"] for each in host.told("flo")]
    assert any(f"{5000 - passed} sent beyond its rate" in each for each in said), said


def test_one_that_is_killed_loses_nothing_of_what_waits(host: LogHost) -> None:
    old = host.relay()
    assert old
    host.sh(f"kill -STOP {old}")
    host.send("alice", "for n in range(50): s.send(b'<13>t: waits %d' % n)")
    host.sh(f"kill -KILL {old}")
    host.scratch.wait_until(lambda: host.relay() not in (None, old), "another one runs")
    host.wait_for("alice", "waits 49")
    assert [each for each in host.messages("alice") if each.startswith("waits ")] == [f"waits {n}" for n in range(50)]


def test_it_can_be_killed_at_any_time(host: LogHost) -> None:
    code = "import random\nfor n in range(3000):\n    s.send(b'<13>t: any %d' % n)\n    time.sleep(.001)"
    with host.scratch.popen(
        ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep .3; pkill -KILL -x -u jailssh-relay jailssh-relay; done"]
    ) as killer:
        host.send("alice", code)
        killer.wait(30)
    host.wait_for("alice", "any 2999")
    found = [each for each in host.messages("alice") if each.startswith("any ")]
    # What it had in its hands when it was killed may be sent twice or, one turn of its loop, not at all.
    assert len(set(found)) > 2900


def test_a_journal_that_is_away_gets_it_later(host: LogHost) -> None:
    (journald,) = [pid for pid, line in host.scratch.pids().items() if line.endswith("/systemd-journald")]
    host.sh(f"kill -TERM {journald}")
    host.scratch.wait_until(lambda: journald not in host.scratch.pids(), "journald ends")
    assert host.time_of("bob", 2000, "b'<13>t: away %d' % n") < 5
    # What waits for the journal outlives the relay too.
    old = host.relay()
    assert old
    host.sh(f"kill -KILL {old}")
    host.scratch.wait_until(lambda: host.relay() not in (None, old), "another one runs")
    host.scratch._journald.close()
    host.sh("rm -f /run/systemd/journal/io.systemd.journal")
    host.scratch.start_journald()
    host.wait_for("bob", "away 1999")
    assert [each for each in host.messages("bob") if each.startswith("away ")] == [f"away {n}" for n in range(2000)]


def test_a_journal_that_takes_nothing_blocks_nobody(host: LogHost) -> None:
    (journald,) = [pid for pid, line in host.scratch.pids().items() if line.endswith("/systemd-journald")]
    host.sh(f"kill -STOP {journald}")
    try:
        took = host.time_of("bob", 9000, "b'<13>t: held %d ' % n + b'x' * 900")
    finally:
        host.sh(f"kill -CONT {journald}")
    assert took < 10
    host.say("bob", "afterwards")
    host.wait_for("bob", "afterwards")
    # One account's part of the queue is full, which is told; what found room comes.
    held = [each for each in host.messages("bob") if each.startswith("held ")]
    assert 2000 < len(held) < 9000
    host.scratch.wait_until(lambda: len(held) + dropped(host, "bob", "no room") == 9000, "all of it is told", 30)


def test_a_journal_without_space_blocks_nobody(host: LogHost) -> None:
    host.sh(
        "mount -t tmpfs -o size=200k none /run/log/journal 2>/dev/null || mount -t tmpfs -o size=200k none /run/log"
    )
    try:
        assert host.time_of("alice", 3000, "b'<13>t: full %d' % n") < 5
    finally:
        host.sh("umount -l /run/log/journal 2>/dev/null || umount -l /run/log")
    host.say("alice", "with space again")
    host.wait_for("alice", "with space again")


def test_run_can_be_mounted_anew(host: LogHost) -> None:
    path = host.place("alice")
    host.sh("mount -o remount,bind,noexec,nosuid /run")
    host.say("alice", "on a /run with other options")
    host.wait_for("alice", "on a /run with other options")
    host.sh(f"mkdir /root/old && mount --bind {path} /root/old")  # what a session has that began before
    host.sh("mount -t tmpfs -o mode=755 none /run/jailssh/log")
    try:
        host.sh(f"{DAEMON} relay-sockets")
        host.say("alice", "by the new socket")
        host.wait_for("alice", "by the new socket")
        host.send("alice", "s.send(b'<13>t: by the old socket')", to="/root/old/socket")
        host.wait_for("alice", "by the old socket")
    finally:
        host.sh("umount /run/jailssh/log; umount /root/old; rmdir /root/old")
        host.sh(f"{DAEMON} relay-sockets")


def test_sockets_are_made_once(host: LogHost) -> None:
    inode = host.sh(f"stat -c %i {host.place('alice')}/socket")
    host.sh(f"{DAEMON} relay-sockets; jailssh apply")
    assert host.sh(f"stat -c %i {host.place('alice')}/socket") == inode
    host.sh(f"rm {host.place('alice')}/socket; {DAEMON} relay-sockets")
    host.say("alice", "by one that was made again")
    host.wait_for("alice", "by one that was made again")


def test_who_leaves_the_jail_has_none(host: LogHost) -> None:
    host.sh("cp /etc/jailssh/jails/of-alice.conf /etc/jailssh/jails/leaving.conf; jailssh adduser zoe --jail leaving")
    uid = host.sh("id -u zoe").strip()
    host.sh(f"test -S /run/jailssh/log/{uid}/socket")
    host.sh("sed -i 's/^log = yes/log = no/' /etc/jailssh/jails/leaving.conf; jailssh apply")
    host.sh(f"test ! -e /run/jailssh/log/{uid}")
    host.sh("sed -i 's/^log = no/log = yes/' /etc/jailssh/jails/leaving.conf; jailssh apply")
    host.sh(f"test -S /run/jailssh/log/{uid}/socket")
    host.sh("jailssh deluser --yes zoe")
    host.sh(f"test ! -e /run/jailssh/log/{uid}")


def test_without_a_relay_accounts_come_in_all_the_same(host: LogHost) -> None:
    os.killpg(host.keeper.pid, signal.SIGTERM)
    host.scratch.wait_until(lambda: host.relay() is None, "the relay ends")
    said = host.sh("jailssh adduser late --jail of-alice 2>&1")
    assert "what late logs in its jail is not relayed: jailssh-relay does not run" in said
    host.uids["late"] = int(host.sh("id -u late"))
    host.sh(f"test -d {host.place('late')}; test ! -e {host.place('late')}/socket")
    # Told each time, and no change.
    assert host.sh("jailssh apply 2>/root/notes").splitlines()[-1] == "no changes"
    assert "note: late: what late logs in its jail is not relayed" in host.sh("cat /root/notes")
    host.keeper = host.start()
    host.scratch.wait_until(
        lambda: host.scratch.run(["test", "-S", f"{host.place('late')}/socket"]).code == 0, "it comes"
    )
    host.say("late", "from the start")
    host.wait_for("late", "from the start")
