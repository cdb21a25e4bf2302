"""Networks of systems, and settings that change while one runs: in the file and in the system, or in neither."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from jailssh.scratch.host import Finished, ScratchHost
from tests.abilities import has
from tests.root.systems_lab import CONFIG, SOURCE, STATE, inside, listed, system

pytestmark = [pytest.mark.needs("root", "userns"), pytest.mark.needs("login-program")]


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
