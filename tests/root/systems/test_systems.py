"""Whole systems: made, started, entered, stopped and removed; what their root cannot reach; what is left of them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jailssh.scratch.host import Finished, ScratchHost
from tests.abilities import has
from tests.harness.probe import put_probe

pytestmark = [pytest.mark.needs("root", "userns"), pytest.mark.needs("login-program")]

STATE = "/var/lib/jailssh/systems"
CONFIG = "/etc/jailssh/systems"
SOURCE = "/srv/source"
PROGRAMS = (
    "sh", "cat", "ls", "sleep", "mount", "mknod", "id", "ip", "ipcmk", "readlink", "head", "tr", "unshare", "hostname",
    "grep", "stat", "ln", "mv", "mkdir", "umount",
)  # fmt: skip
# As an init is: it goes on until it is told to stop, by itself when it is called again.
INIT = """#!/bin/sh
if [ "$1" = 0 ]; then [ -e /deaf ] || kill -USR1 1; exit 0; fi
trap 'exit 0' USR1
trap '' TERM
echo "booted $(hostname)"
while :; do sleep 0.2; done
"""
PASSWD = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"
MAKE = f"""set -e
mkdir -p {SOURCE} && cd {SOURCE}
mkdir -p usr/bin usr/sbin usr/lib etc dev proc sys run tmp root home/alice
for name in bin sbin lib lib64; do [ -e "$name" ] || ln -s usr/$name $name; done
mkdir -p usr/lib64
for program in {" ".join(PROGRAMS)}; do
    path=$(PATH=/usr/bin:/usr/sbin:/bin:/sbin command -v $program)
    cp -L "$path" usr/bin/$program
    for library in $(ldd "$path" | grep -o '/[^ ]*'); do
        mkdir -p ".$(dirname "$library")"; cp -Ln "$library" ".$library"
    done
done
chown -R 1000:1000 home/alice; chmod 1777 tmp
cp /srv/probe usr/bin/probe
"""


@pytest.fixture(scope="module")
def host(staged_prefix: str, probe: Path) -> Iterator[ScratchHost]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        put_probe(scratch, probe)
        # The files of an overlay cannot be shown as those of other ids.
        scratch.run(["sh", "-c", f"mkdir -p {STATE} {CONFIG} && mount -t tmpfs -o mode=700 x {STATE}"], check=True)
        groups = "for at in $(find /sys/fs/cgroup -maxdepth 1 -type d); do mount -o remount,bind,rw $at; done; true"
        scratch.run(["sh", "-c", groups], check=True)
        scratch.run(["sh", "-c", MAKE], check=True)
        scratch.write(f"{SOURCE}/usr/sbin/init", INIT, 0o755)
        scratch.write(f"{SOURCE}/etc/passwd", PASSWD)
        scratch.write(f"{SOURCE}/etc/group", "root:x:0:\nalice:x:1000:\nstaff:x:50:alice\n")
        yield scratch


def system(host: ScratchHost, *words: str) -> Finished:
    return host.run(["jailssh", "system", *words])


def inside(host: ScratchHost, name: str, command: str, *options: str) -> Finished:
    return system(host, "exec", name, *options, "--", "sh", "-c", command)


def listed(host: ScratchHost) -> dict[str, dict[str, Any]]:
    rows = json.loads(host.run(["jailssh", "system", "list", "--json"], check=True).stdout)
    return {row["name"]: row for row in rows}


def nothing_left(host: ScratchHost, name: str) -> None:
    assert host.run(["find", "/sys/fs/cgroup", "-path", f"*/jailssh-systems/{name}"]).stdout == ""
    assert "jailssh" not in host.run(["ip", "route"]).stdout
    assert name not in host.run(["ls", "/run/jailssh/trees"]).stdout
    assert f"{STATE}/{name}" not in host.run(["cat", "/proc/self/mountinfo"]).stdout


@pytest.fixture
def made(host: ScratchHost, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"s{abs(hash(request.node.name)) % 10**8}"
    done = system(host, "create", name, "--from", SOURCE)
    assert (done.code, done.stdout) == (0, f"system {name} made\n"), done
    yield name
    host.run(["rm", "-f", f"{STATE}/{name}/tree/deaf"])
    system(host, "stop", name)
    assert system(host, "remove", name, "--yes").code == 0
    nothing_left(host, name)


@pytest.fixture
def runs(host: ScratchHost, made: str) -> str:
    assert system(host, "start", made) == Finished(0, f"system {made} started\n", "")
    return made


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


def test_a_pair_of_interfaces(host: ScratchHost, made: str) -> None:
    host.write(f"{CONFIG}/{made}.conf", "network = veth\naddress = 10.77.0.2\nhostname = web\nresolver = 192.0.2.1\n")
    assert system(host, "start", made).code == 0
    seen = inside(host, made, "ip -br address; ip route; hostname; cat /etc/resolv.conf").stdout
    for part in ("10.77.0.2/32", "default via 169.254.1.1 dev host0", "\nweb\n", "nameserver 192.0.2.1\n"):
        assert part in seen, seen
    assert "10.77.0.2" in host.run(["ip", "route"]).stdout
    # Its root can say what it likes of routes: the host takes none from there.
    taken = "cat /proc/sys/net/ipv6/conf/default/accept_ra /proc/sys/net/ipv6/conf/jailssh*/accept_ra"
    assert host.run(["sh", "-c", taken]).stdout == "1\n0\n"
    # The kernel takes its time to remove a pair, which is in nobody's way.
    for _ in range(3):
        assert system(host, "stop", made).code == 0
        assert "jailssh" not in host.run(["ip", "link"]).stdout
        assert system(host, "start", made) == Finished(0, f"system {made} started\n", "")
    assert system(host, "create", "second", "--from", SOURCE).code == 0
    host.write(f"{CONFIG}/second.conf", "network = veth\naddress = 10.77.0.2\n")
    refused = system(host, "start", "second")
    assert refused.code == 1
    assert refused.stderr.startswith("jailssh: address 10.77.0.2: is in use behind jailssh"), refused
    assert system(host, "remove", "second", "--yes").code == 0


def test_a_setting_changes_in_the_file_and_in_what_runs(host: ScratchHost, made: str) -> None:
    file = f"{CONFIG}/{made}.conf"
    host.write(file, "# of the web team\nnetwork = veth  # routed\naddress = 10.78.0.2\nipc = no\n")
    wanted = ["memory=60M", "tasks=40", "hostname=one"]
    done = system(host, "set", made, *wanted)
    assert done == Finished(0, f"system {made}: changed hostname, memory, tasks\n", "")
    assert system(host, "start", made).code == 0
    assert inside(host, made, "hostname").stdout == "one\n"
    more = ["memory=", "tasks=8", "cpu=", "hostname=two", "address=10.78.0.3,fd00:78::3", "resolver=192.0.2.9"]
    assert system(host, "set", made, *more).code == 0
    seen = inside(host, made, "hostname; ip -br address; cat /etc/resolv.conf; ip route; ip -6 route").stdout
    for part in ("two\n", "10.78.0.3/32 ", "fd00:78::3/128 ", "nameserver 192.0.2.9\n", "default via 169.254.1.1 ",
                 "default via fe80::1 "):  # fmt: skip
        assert part in seen, seen
    assert "10.78.0.2" not in seen
    row = listed(host)[made]
    assert (row["hostname"], row["address"]) == ("two", "10.78.0.3 fd00:78::3")
    # Of the host's own ends the last one to begin has the route.
    routes = host.run(["sh", "-c", "ip route; ip -6 route"]).stdout
    assert "10.78.0.3 dev jailssh" in routes
    assert "fd00:78::3 dev jailssh" in routes
    assert "10.78.0.2" not in routes
    bomb = "i=0; while [ $i -lt 20 ]; do sleep 1 & i=$((i+1)); done"
    assert inside(host, made, bomb).code != 0
    memory = f"/sys/fs/cgroup/memory/jailssh-systems/{made}/memory.limit_in_bytes"
    assert int(host.run(["cat", memory]).stdout or 1 << 60) >= 1 << 40
    # What is built in at the start is refused, and so is what the kernel refuses; the file is as it was then.
    before = host.run(["cat", file]).stdout
    assert before.startswith("# of the web team\nnetwork = veth # routed\n"), before
    refused = system(host, "set", made, "ipc=yes", "hostname=three")
    assert refused.code == 4
    assert refused.stderr.startswith(f"jailssh: ipc: cannot change while the system {made} runs"), refused
    host.run(["ip", "address", "add", "10.78.0.9/32", "dev", "lo"], check=True)
    taken = system(host, "set", made, "hostname=three", "tasks=9", "address=10.78.0.9")
    assert (taken.code, taken.stderr) == (4, "jailssh: address 10.78.0.9: is this host's own (lo)\n")
    assert host.run(["cat", file]).stdout == before
    assert inside(host, made, "hostname").stdout == "two\n"
    pids = f"find /sys/fs/cgroup -path '*jailssh-systems/{made}/pids.max' -exec cat {{}} +"
    assert "9" not in host.run(["sh", "-c", pids]).stdout.split()
    assert system(host, "set", made, "address=").code == 1
    assert system(host, "set", made, "stop_time=0").code == 1


LISTENS = """
import socket, sys
held = socket.socket(socket.AF_UNIX)
held.bind("\\0ours")
held.listen()
print("ready", flush=True)
sys.stdin.read()
"""
ON_ITS_NETWORK = {
    "an interface": "ip link add x type dummy",
    "an address": "ip address add 10.99.0.1/32 dev lo",
    "a route": "ip route add 10.99.0.0/24 dev lo",
    "an interface down": "ip link set lo down",
    "another sysfs": "mount -t sysfs x /tmp",
    "writing to sysfs": "mount -o remount,bind,rw /sys; echo 1500 >/sys/class/net/lo/mtu",
    "the kernel's settings": "mount -o remount,bind,rw /proc/sys; echo 1 >/proc/sys/net/ipv4/ip_forward",
    "its name space": "unshare --net --mount sh -c 'mount -t sysfs x /tmp && echo 1 >/tmp/kernel/uevent_helper'",
}


def test_on_the_network_of_the_host(host: ScratchHost, made: str) -> None:
    host.write(f"{CONFIG}/{made}.conf", "network = host\n")
    ranges = "cat /proc/sys/net/ipv4/ping_group_range; ip link; ip route"
    before = host.run(["sh", "-c", ranges]).stdout
    assert system(host, "start", made) == Finished(0, f"system {made} started\n", "")
    assert listed(host)[made]["network"] == "host"
    assert "  the host's  " in system(host, "list").stdout
    spaces = "readlink /proc/self/ns/net"
    assert inside(host, made, spaces).stdout == host.run(["sh", "-c", spaces]).stdout
    # The host's own sysfs is shown, without what is mounted below it, and root of the system is nobody in it.
    mounts = [line.split() for line in inside(host, made, "cat /proc/self/mounts").stdout.splitlines()]
    below = {line[1]: (line[2], line[3].split(",")[0]) for line in mounts if line[1].startswith("/sys")}
    assert below == {"/sys": ("sysfs", "ro"), "/sys/fs/cgroup": ("cgroup2", "rw")}
    assert inside(host, made, "stat -c %u /sys/class/net").stdout == "65534\n"
    for what, attempt in ON_ITS_NETWORK.items():
        assert inside(host, made, attempt).code != 0, what
    for kind in (["socket", "2", "3", "1"], ["socket-packet"]):
        said = system(host, "exec", made, "--", "probe", "try", *kind).stdout
        assert "=E" in said, said
    assert host.run(["sh", "-c", ranges]).stdout == before
    # What listens by a name outside of the tree: an own domain of Landlock's is between (Linux 6.12), or it is told.
    with host.popen(["python3", "-c", LISTENS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as listens:
        assert listens.stdout
        assert listens.stdout.readline() == b"ready\n"
        said = system(host, "exec", made, "--", "probe", "try", "connect-unix", "@ours").stdout
        listens.kill()
    assert ("EPERM" in said) == (has("landlock-scope")), said


def test_a_change_that_is_killed_is_told_and_completed(host: ScratchHost, made: str) -> None:
    host.write(f"{CONFIG}/{made}.conf", "network = veth\naddress = 10.77.5.2\n")
    assert system(host, "start", made).code == 0
    host.write("/srv/hostname", "#!/bin/sh\necho $$ >/srv/slow\nexec sleep 60\n", 0o755)
    host.run(["mount", "--bind", "/srv/hostname", shutil.which("hostname") or ""], check=True)
    with host.popen(["jailssh", "system", "set", made, "hostname=new", "tasks=30", "address=10.77.5.3"]) as changes:
        host.wait_until(lambda: host.run(["test", "-s", "/srv/slow"]).code == 0, "the change")
        host.run(["pkill", "-9", "-f", f"system set {made}"], check=True)
        changes.wait(10)
    host.run(["sh", "-c", "kill -9 $(cat /srv/slow); umount $(command -v hostname)"], check=True)
    told = system(host, "list").stderr
    assert told.startswith(f"jailssh: system {made}: has not all settings of its file yet: "), told
    assert inside(host, made, "hostname").stdout == f"{made}\n"
    assert system(host, "set", made, "stop_time=20").code == 0
    seen = inside(host, made, "hostname; ip -br address; ip route").stdout
    assert ("new\n" in seen, "10.77.5.3/32" in seen, "10.77.5.2" in seen, "default via" in seen) == (
        True, True, False, True,
    ), seen  # fmt: skip
    assert "10.77.5.2" not in host.run(["ip", "route"]).stdout
    assert system(host, "list").stderr == ""
    # A stop settles it as well.
    host.write(f"{STATE}/{made}/changing", "")
    assert "interrupted" in system(host, "list").stderr
    assert system(host, "stop", made).code == 0
    assert system(host, "start", made).code == 0
    assert system(host, "list").stderr == ""


def test_on_a_bridge(host: ScratchHost, made: str) -> None:
    host.run(["sh", "-c", "ip link add br9 type bridge && ip address add 10.79.0.1/24 dev br9 && ip link set br9 up"])
    host.write(f"{CONFIG}/{made}.conf", "network = veth\nbridge = br9\naddress = 10.79.0.2/24 fd00:79::2/64\n")
    assert system(host, "set", made, "gateway=10.79.0.1").code == 0
    assert system(host, "start", made).code == 0
    seen = inside(host, made, "ip -br address; ip route").stdout
    assert "10.79.0.2/24 fd00:79::2/64 " in seen
    assert "default via 10.79.0.1 dev host0" in seen
    assert "master br9" in host.run(["ip", "link", "show", "type", "veth"]).stdout
    assert system(host, "stop", made).code == 0
    # With the last process of its network, which the kernel clears away in its own time.
    host.wait_until(lambda: "jailssh" not in host.run(["ip", "link"]).stdout, "the end of the pair")
    host.run(["ip", "link", "delete", "br9"], check=True)
    assert system(host, "start", made).code == 1


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
    assert system(host, "create", "broken", "--from", "/srv/no.tar").code == 4
    assert ".new" not in host.run(["ls", "-A", STATE]).stdout
    assert "broken" not in listed(host)
    for words in (["--suite", "../x"], ["--suite", "bookworm", "--include", "a;b"], [], ["--from", "/nowhere"],
                  ["--tag", "x", "--suite", "bookworm"], ["--from", SOURCE, "--tag", "x"]):  # fmt: skip
        assert system(host, "create", "broken", *words).code == 2, words
    assert system(host, "create", "../x", "--from", SOURCE).code == 2


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
