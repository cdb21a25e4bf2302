"""Whole systems: made, started, entered, stopped and removed; what their root cannot reach; what is left of them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from jailssh.scratch.host import Finished, ScratchHost
from tests.root.systems_lab import CONFIG, SOURCE, STATE, inside, listed, nothing_left, system

pytestmark = [pytest.mark.needs("root", "userns"), pytest.mark.needs("login-program")]


def test_its_life(host: ScratchHost, made: str) -> None:
    assert system(host, "list", "-c", made).code == 1
    assert (system(host, "exec", made, "--", "id").code, system(host, "stop", made).code) == (4, 1)
    assert system(host, "start", made).code == 0
    assert system(host, "list", "-c", made).code == 0
    row = listed(host)[made]
    assert (row["state"], row["hostname"], row["id"]) == ("running", made, 1), row
    assert row["processes"] >= 1
    again = system(host, "start", made)
    assert (again.code, again.stderr.splitlines()[0]) == (1, f"jailssh: system {made}: runs already")
    assert system(host, "remove", made, "--yes").code == 4
    host.wait_until(lambda: f"booted {made}" in system(host, "logs", made).stdout, "the system's console")
    assert system(host, "stop", made) == Finished(0, f"system {made} stopped\n", "")
    assert listed(host)[made]["state"] == "stopped"
    nothing_left(host, made)


def test_two_starts_at_once_are_one(host: ScratchHost, made: str) -> None:
    both = [host.popen(["jailssh", "system", "start", made], stderr=subprocess.DEVNULL) for _ in range(2)]
    assert sorted(each.wait(30) for each in both) == [0, 1]
    assert listed(host)[made]["state"] == "running"


def test_its_root_is_nobody_on_the_host(host: ScratchHost, runs: str) -> None:
    pid = listed(host)[runs]["pid"]
    base = int(host.run(["cat", f"{STATE}/{runs}/ids"]).stdout)
    assert host.run(["stat", "-c", "%u %g", f"/proc/{pid}"]).stdout == f"{base} {base}\n"
    assert base >= 1 << 29
    assert base % 65536 == 0
    assert inside(host, runs, "id -u; stat -c %u /etc/passwd; cat /proc/1/uid_map").stdout.split() == [
        "0", "0", "0", str(base), "65536",
    ]  # fmt: skip
    # What it writes belongs to the tree's own root, where nobody but root of the host comes to it.
    assert inside(host, runs, "echo x >/root/x && cat /root/x").stdout == "x\n"
    assert host.run(["stat", "-c", "%u", f"{STATE}/{runs}/tree/root/x"]).stdout == "0\n"
    assert host.run(["stat", "-c", "%a", STATE]).stdout == "700\n"


def test_each_has_ids_of_its_own(host: ScratchHost, made: str) -> None:
    host.run(["sh", "-c", "echo someone:601030656:1000000 >>/etc/subuid"], check=True)
    assert system(host, "create", "other", "--from", SOURCE).code == 0
    bases = sorted(int(host.run(["cat", f"{STATE}/{name}/ids"]).stdout) for name in (made, "other"))
    host.run(["sh", "-c", "sed -i /someone/d /etc/subuid"], check=True)
    assert system(host, "remove", "other", "--yes").code == 0
    assert bases[1] - bases[0] >= 65536
    assert bases[1] >= 601030656 + 1000000


def test_exec_is_as_an_account_of_the_system(host: ScratchHost, runs: str) -> None:
    done = inside(host, runs, "id; pwd; echo $HOME $USER $SECRET; exit 7", "-u", "alice")
    assert (done.code, done.stdout) == (
        7, "uid=1000(alice) gid=1000(alice) groups=1000(alice),50(staff)\n/home/alice\n/home/alice alice\n"
    ), done  # fmt: skip
    assert inside(host, runs, "kill -9 $$").code == 137
    spaces = "for each in mnt pid net ipc uts user cgroup; do readlink /proc/self/ns/$each /proc/1/ns/$each; done"
    found = inside(host, runs, spaces).stdout.split()
    assert found[::2] == found[1::2]
    assert len(found) == 14
    nobody = inside(host, runs, "id", "-u", "bob")
    assert (nobody.code, nobody.stderr) == (2, f"jailssh: user 'bob': does not exist in the system {runs}\n")
    assert inside(host, runs, "grep Cap /proc/self/status", "-u", "alice").stdout.count("0000000000000000") == 4


def test_its_files_lead_nowhere(host: ScratchHost, runs: str) -> None:
    assert inside(host, runs, "mv /etc/passwd /etc/kept && ln -s /proc/1/environ /etc/passwd").code == 0
    assert system(host, "exec", runs, "--", "id").code == 2


def test_devices_and_places(host: ScratchHost, runs: str) -> None:
    present = "null zero full random urandom tty ptmx pts shm fd stdin stdout stderr console"
    assert sorted(inside(host, runs, "ls /dev").stdout.split()) == sorted(present.split())
    mounts = {line.split()[1]: line.split() for line in inside(host, runs, "cat /proc/self/mounts").stdout.splitlines()}
    for place in ("/sys", "/proc/sys"):
        assert mounts[place][3].startswith("ro,"), mounts[place]
    assert mounts["/run"][2] == "tmpfs"
    assert not [place for place in mounts if place.startswith(STATE)]
    assert inside(host, runs, "cat /proc/keys /proc/kallsyms /proc/kmsg").stdout == ""
    # The tree is shared again, as an init expects it.
    assert "shared:" in inside(host, runs, "head -1 /proc/self/mountinfo").stdout


def test_a_forbidden_or_missing_device(host: ScratchHost, made: str) -> None:
    for numbers, name in (("c 1 1", "mem"), ("b 7 0", "disk")):
        device = f"{STATE}/{made}/tree/dev/{name}"
        host.run(["sh", "-c", f"mknod {device} {numbers}"])
        if host.run(["test", "-e", device]).code == 0:
            refused = system(host, "start", made)
            assert (refused.code, refused.stderr) == (
                1, f"jailssh: device '/dev/{name}': MUST NOT be available in the jail\n"
            )  # fmt: skip
            host.run(["rm", device], check=True)
    host.run(["sh", "-c", "umount /dev/full; mv /dev/full /dev/full.away"])
    refused = system(host, "start", made)
    host.run(["sh", "-c", "mv /dev/full.away /dev/full"])
    assert (refused.code, refused.stderr) == (1, "jailssh: device '/dev/full': MUST be available in the jail\n")


ATTEMPTS = {
    "mknod": "mknod /tmp/disk b 8 0",
    "sysrq": "echo h >/proc/sysrq-trigger",
    "core_pattern": "echo x >/proc/sys/kernel/core_pattern",
    "modprobe": "echo x >/proc/sys/kernel/modprobe",
    "remount-proc": "mount -o remount,rw /proc/sys && echo x >/proc/sys/kernel/core_pattern",
    "remount-sys": "mount -o remount,rw /sys && echo 1 >/sys/kernel/uevent_helper",
    "release_agent": "mount -t cgroup -o memory x /tmp && echo /x >/tmp/release_agent",
    "kmsg": "mknod /tmp/kmsg c 1 11 && echo x >/tmp/kmsg",
    "disk": "mount -t ext4 /dev/vda /tmp",
    "deep-groups": "cd /sys/fs/cgroup; i=0; while [ $i -lt 40 ]; do i=$((i+1)); mkdir x && cd x || exit 1; done",
    "all-groups": "[ $(cat /sys/fs/cgroup/cgroup.max.descendants) = max ] || echo max >/sys/fs/cgroup/cgroup.max.depth",
    # What is covered is so for who looks; whose it is keeps its root from it all the same.
    "uncover": "umount /proc/sys; echo x >/proc/sys/kernel/core_pattern",
    "uncover-sysrq": "umount /proc/sysrq-trigger; echo h >/proc/sysrq-trigger",
    "host-process": "ls /proc/1/root/../../var/lib/jailssh",
}


@pytest.mark.parametrize("attempt", sorted(ATTEMPTS))
def test_an_attempt_of_its_root(host: ScratchHost, escaping: str, attempt: str) -> None:
    done = inside(host, escaping, ATTEMPTS[attempt])
    assert done.code != 0, done


@pytest.fixture(scope="module")
def escaping(host: ScratchHost) -> Iterator[str]:
    """One that runs, for all that is tried in there."""
    assert system(host, "create", "esc", "--from", SOURCE).code == 0
    assert system(host, "start", "esc").code == 0
    yield "esc"
    assert system(host, "stop", "esc").code == 0
    assert system(host, "remove", "esc", "--yes").code == 0


@pytest.mark.parametrize(
    "call",
    ("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "keyctl", "add_key", "open_by_handle_at", "syslog",
     "init_module", "kexec_load", "swapoff"),
)  # fmt: skip
def test_a_call_that_is_the_hosts(host: ScratchHost, escaping: str, call: str) -> None:
    said = system(host, "exec", escaping, "--", "probe", "try", call).stdout
    assert "EPERM" in said, said


def test_limits(host: ScratchHost, made: str) -> None:
    host.write(f"{CONFIG}/{made}.conf", "memory = 60M\ntasks = 40\ncpu = 50\n")
    assert system(host, "start", made).code == 0
    eats = inside(host, made, 'x=$(head -c 300000000 /dev/zero | tr "\\000" x); echo ${#x}')
    assert eats.code != 0, eats
    assert "300000000" not in eats.stdout
    assert inside(host, made, "i=0; while [ $i -lt 60 ]; do sleep 5 & i=$((i+1)); done").code != 0
    assert listed(host)[made]["state"] == "running"
    assert system(host, "stop", made).code == 0


def test_many_at_once(host: ScratchHost) -> None:
    names = [f"many{number}" for number in range(8)]
    for name in names:
        assert system(host, "create", name, "--from", SOURCE).code == 0
    before = host.run(["sh", "-c", "ls /sys/fs/cgroup/*; ip link"]).stdout
    started = system(host, "start", *names)
    assert (started.code, started.stdout.count(" started\n"), started.stderr) == (0, len(names), "")
    rows = listed(host)
    assert {rows[name]["state"] for name in names} == {"running"}
    assert len({rows[name]["id"] for name in names}) == len({rows[name]["pid"] for name in names}) == len(names)
    stopped = system(host, "stop", *names)
    assert (stopped.code, stopped.stdout.count(" stopped\n"), stopped.stderr) == (0, len(names), "")
    for name in names:
        nothing_left(host, name)
        assert system(host, "remove", name, "--yes").code == 0
    assert host.run(["sh", "-c", "ls /sys/fs/cgroup/*; ip link"]).stdout == before


def test_what_it_depends_on_is_started_before_it(host: ScratchHost, made: str) -> None:
    assert system(host, "create", "below", "--from", SOURCE).code == 0
    assert system(host, "set", made, "depends=below", "autostart=yes").code == 0
    circle = system(host, "set", "below", f"depends={made}")
    why = f"cannot be started before itself: below depends on {made} and {made} depends on below"
    assert (circle.code, circle.stderr) == (4, f"jailssh: system below: {why}\n")
    assert host.run(["test", "-e", f"{CONFIG}/below.conf"]).code == 1
    assert system(host, "start", "--autostart") == Finished(0, f"system {made} started\n", "")
    rows = listed(host)
    assert [rows[name]["state"] for name in ("below", made)] == ["running", "running"]
    assert rows["below"]["id"] < rows[made]["id"]
    assert system(host, "start", "--autostart") == Finished(0, "", "")
    # And stopped after it, however they are named.
    stopped = f"system {made} stopped\nsystem below stopped\n"
    assert system(host, "stop", "below", made) == Finished(0, stopped, "")
    assert system(host, "remove", "below", "--yes").code == 0
    missing = system(host, "start", made)
    assert missing.stderr == f"jailssh: system {made}: depends on the system below, which does not exist\n"


def test_a_session_with_the_name_of_a_system_stops_no_other(host: ScratchHost, made: str) -> None:
    host.run(["sh", "-c", "mkdir -p /var/lib/jailssh/trees; mount -t tmpfs -o mode=700 x /var/lib/jailssh/trees"])
    for name in ("first", "last"):
        assert system(host, "create", name, "--from", SOURCE).code == 0
        host.write(f"{CONFIG}/{name}.conf", "autostart = yes\n")
    host.write(f"{CONFIG}/{made}.conf", "autostart = yes\n")
    host.run(["jailssh", "run", "--session", made, SOURCE, "--", "id"], check=True)
    try:
        for words in (("--autostart",), ("first", made, "last")):
            done = system(host, "start", *words)
            assert done == Finished(
                1, "system first started\nsystem last started\n", f"jailssh: system {made}: is the name of a session\n"
            )
            assert system(host, "stop", "first", "last") == Finished(
                0, "system first stopped\nsystem last stopped\n", ""
            )
    finally:
        host.run(["jailssh", "session", "end", made], check=True)
        host.run(["sh", "-c", f"umount /var/lib/jailssh/trees; rm {CONFIG}/{made}.conf"], check=True)
        for name in ("first", "last"):
            system(host, "stop", name)
            assert system(host, "remove", name, "--yes").code == 0
            host.run(["rm", f"{CONFIG}/{name}.conf"], check=True)


def test_a_file_that_is_wrong_keeps_nothing_from_stopping(host: ScratchHost, runs: str) -> None:
    assert system(host, "create", "other", "--from", SOURCE).code == 0
    host.run(["sh", "-c", f"mkdir {STATE}/lost+found; echo color = red >{CONFIG}/{runs}.conf"], check=True)
    host.write(f"{CONFIG}/other.conf", "autostart = yes\n")
    assert system(host, "stop", runs) == Finished(0, f"system {runs} stopped\n", "")
    rows = listed(host)
    assert (rows[runs]["state"], "lost+found" in rows) == ("stopped", False)
    started = system(host, "start", "--autostart")
    assert (started.code, started.stdout) == (1, "system other started\n"), started
    assert started.stderr.startswith(f"jailssh: {CONFIG}/{runs}.conf:1: unknown setting color"), started
    assert system(host, "stop", "other").code == 0
    host.run(["sh", "-c", f"rmdir {STATE}/lost+found; rm {CONFIG}/{runs}.conf {CONFIG}/other.conf"], check=True)
    assert system(host, "remove", "other", "--yes").code == 0


def test_without_raw_sockets_and_ipc(host: ScratchHost, made: str) -> None:
    host.write(f"{CONFIG}/{made}.conf", "ipc = no\n")
    assert system(host, "start", made).code == 0
    assert inside(host, made, "ipcmk -Q").code != 0
    assert system(host, "stop", made).code == 0
    host.write(f"{CONFIG}/{made}.conf", "")
    assert system(host, "start", made).code == 0
    assert inside(host, made, "ipcmk -Q").code == 0
    base = int(host.run(["cat", f"{STATE}/{made}/ids"]).stdout)
    assert inside(host, made, "cat /proc/sys/net/ipv4/ping_group_range").stdout.split() == ["0", "65535"], base


def test_what_holds_its_console_is_killed(host: ScratchHost, runs: str) -> None:
    first = listed(host)[runs]["pid"]
    outer = host.run(["sh", "-c", f"grep PPid /proc/{first}/status"]).stdout.split()[1]
    host.run(["kill", "-9", outer], check=True)
    host.wait_until(lambda: listed(host)[runs]["state"] == "stopped", "the end of the system")
    nothing_left(host, runs)
    assert system(host, "start", runs).code == 0


def test_an_init_that_does_not_listen(host: ScratchHost, made: str) -> None:
    host.write(f"{CONFIG}/{made}.conf", "stop_time = 1\n")
    host.write(f"{STATE}/{made}/tree/deaf", "")
    assert system(host, "start", made).code == 0
    assert system(host, "stop", made) == Finished(0, f"system {made} stopped, by force\n", "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("network = hosts\n", "1: network: 'hosts' is not one of: none, veth, host"),
        ("network = host\naddress = 10.0.0.1\n", "2: address: is of no use without: network = veth"),
        ("network = host\nraw_sockets = yes\n", "2: raw_sockets: are not to be had with: network = host"),
        ("\nnetwork = veth\n", "2: network: veth needs an address"),
        ("address = 10.0.0.1\n", "1: address: is of no use without: network = veth"),
        ("network = veth\naddress = 10.0.0.300\n", "2: address: '10.0.0.300' is no address as in 10.0.0.2 or fd00::2"),
        ("resolver = dns\n", "1: resolver: 'dns' is no address"),
        ("hostname = a_b\n", "1: hostname: 'a_b' is no host name of at most 64 characters"),
        ("color = red\n", "1: unknown setting color"),
    ],
)
def test_a_setting_that_is_wrong(host: ScratchHost, text: str, why: str) -> None:
    host.write(f"{CONFIG}/wrong.conf", text)
    done = system(host, "create", "wrong", "--from", SOURCE)
    assert done.code != 0
    assert done.stderr.splitlines()[0] == f"jailssh: {CONFIG}/wrong.conf:{why}"
    assert "wrong" not in listed(host)


def test_a_creation_that_fails_leaves_nothing(host: ScratchHost) -> None:
    host.write("/srv/no.tar", "no archive")
    done = system(host, "create", "broken", "--from", "/srv/no.tar")
    assert (done.code, done.stderr) == (4, "jailssh: --from /srv/no.tar: This does not look like a tar archive\n")
    assert ".new" not in host.run(["ls", "-A", STATE]).stdout
    assert "broken" not in listed(host)
    for words in (["--suite", "../x"], ["--suite", "bookworm", "--include", "a;b"], [], ["--from", "/nowhere"],
                  ["--tag", "x", "--suite", "bookworm"], ["--from", SOURCE, "--tag", "x"]):  # fmt: skip
        assert system(host, "create", "broken", *words).code == 2, words
    assert system(host, "create", "../x", "--from", SOURCE).code == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_creation_that_is_ended_goes_on_nowhere(host: ScratchHost, number: signal.Signals) -> None:
    # What tar reads it waits for, until nobody writes there any more.
    host.run(["sh", "-c", "rm -f /srv/slow.tar; mkfifo /srv/slow.tar"], check=True)
    writer = host.popen(["sh", "-c", "exec 3>/srv/slow.tar; exec sleep 60"])
    making = host.popen(["jailssh", "system", "create", "slow", "--from", "/srv/slow.tar"])
    host.wait_until(lambda: any("tar --extract" in line for line in host.pids().values()), "tar")
    pid = next(pid for pid, line in host.pids().items() if "system create slow" in line and "python" in line)
    host.run(["kill", f"-{number:d}", f"{pid}"], check=True)
    said = making.communicate(timeout=30)[1].decode()
    host.wait_until(lambda: not any("tar --extract" in line for line in host.pids().values()), "the end of tar")
    os.killpg(writer.pid, signal.SIGKILL)
    if number != signal.SIGKILL:
        assert said == f"jailssh: interrupted: {number.name} received: nothing unfinished is left\n"
        assert making.returncode == 128 + number
        assert ".new" not in host.run(["ls", "-A", STATE]).stdout
    assert system(host, "create", "slow", "--from", SOURCE).code == 0
    assert ".new" not in host.run(["ls", "-A", STATE]).stdout
    assert system(host, "remove", "slow", "--yes").code == 0


def test_a_stop_waits_for_a_start_that_is_under_way(host: ScratchHost, made: str) -> None:
    lock = "/run/jailssh/trees/.lock"
    system(host, "list", "-c", made)
    host.run(["sh", "-c", f"mkdir -p -m 700 /run/jailssh/trees; : >{lock}; chmod 600 {lock}"], check=True)
    starting = host.popen(["jailssh", "system", "start", made])
    host.wait_until(lambda: host.read(lock) != b"", "the registry to be held")
    os.killpg(starting.pid, signal.SIGSTOP)
    stopping = host.popen(["jailssh", "system", "stop", made])
    time.sleep(0.7)

    def has_ended() -> bool:
        os.killpg(starting.pid, signal.SIGCONT)  # nsenter(1) stops once more when it learns that its command has
        return starting.poll() is not None

    host.wait_until(has_ended, "the start")
    assert starting.returncode == 0
    out, said = stopping.communicate(timeout=30)
    assert (out, said) == (f"system {made} stopped\n".encode(), b"")


def test_an_init_that_does_not_listen_yet_is_asked_again(host: ScratchHost, made: str) -> None:
    host.run(["sh", "-c", f"echo stop_time=60 >{CONFIG}/{made}.conf; touch {STATE}/{made}/tree/slow"], check=True)
    assert system(host, "start", made).code == 0
    begun = time.monotonic()
    assert system(host, "stop", made) == Finished(0, f"system {made} stopped\n", "")
    assert time.monotonic() - begun < 30


def test_a_start_without_space_says_so_and_leaves_nothing(host: ScratchHost, made: str) -> None:
    used = host.run(["df", "--output=used", STATE], check=True).stdout.split()[1]
    with_all = "mount -o remount,size=50% " + STATE
    host.run(["sh", "-c", f"mount -o remount,size={used}k {STATE}"], check=True)
    try:
        done = system(host, "start", made)
    finally:
        host.run(["sh", "-c", with_all], check=True)
    assert (done.code, done.stderr) == (
        1, f"jailssh: cannot write {STATE}/{made}/tree/etc/hostname: no space left on device\n",
    )  # fmt: skip
    nothing_left(host, made)


def test_remove_crosses_no_mount(host: ScratchHost) -> None:
    assert system(host, "create", "mounted", "--from", SOURCE).code == 0
    host.run(["sh", "-c", "mkdir /srv/precious; echo x >/srv/precious/x"], check=True)
    place = f"{STATE}/mounted/tree/home/alice"
    host.run(["mount", "--bind", "/srv/precious", place], check=True)
    assert system(host, "remove", "mounted", "--yes").code == 4
    host.run(["umount", place], check=True)
    assert host.run(["cat", "/srv/precious/x"]).stdout == "x\n"
    assert system(host, "remove", "mounted", "--yes").code == 0
    assert "mounted" not in host.run(["ls", "-A", STATE]).stdout
