"""Whole systems on a host that runs systemd: each a unit of its own, a Debian in there, and what its root may try."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest

from tests.system import packaged
from tests.system.booted import BootedTree, own_suite
from tests.system.people import SSH

pytestmark = [
    pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn"),
    pytest.mark.parametrize("tree", [own_suite()], indirect=True),
]

STATE = "/var/lib/jailssh/systems"
UNIT = "jailssh-system@deb.service"
GROUP = f"machine.slice/{UNIT}"
OFF = "import ctypes; ctypes.CDLL(None).reboot({})"
HALT, RESTART = 0x4321FEDC, 0x1234567
REPOSITORY = f"""
cd {packaged.ROOM}
for each in *.deb; do
    dpkg-deb -f $each
    echo "Filename: ./$each"; echo "Size: $(stat -c %s $each)"; echo "SHA256: $(sha256sum $each | cut -d' ' -f1)"; echo
done >Packages
echo "deb [trusted=yes] file:{packaged.ROOM} ./" >/etc/apt/sources.list
apt-get -q update && apt-get -q -y install --reinstall {packaged.LIBRARY}
"""
# What the host has in its namespace of the network, and no file system.
LISTENS = "import socket, time; s = socket.socket(socket.AF_UNIX); s.bind('\\0ours'); s.listen(); time.sleep(600)"
ESCAPES = """
import ctypes, os, socket
def attempt(what, call):
    try:
        print(what, call())
    except OSError as error:
        print(what, "refused", error.strerror)
attempt("socket", lambda: socket.socket(socket.AF_UNIX).connect("\\0ours"))
lines = [open(f"/proc/{pid}/cmdline").read() for pid in os.listdir("/proc") if pid.isdigit()]
print("of the host", [line for line in lines if "ours" in line], any("sshd" in line for line in lines))
libc = ctypes.CDLL(None, use_errno=True)
def trace():
    if libc.ptrace(16, {host}, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
attempt("ptrace", trace)
"""
# The directory that it is in goes out of the tree, by the hand of the host's root.
MOVED = """
import os, time
os.makedirs("/srv/moved/in", exist_ok=True)
os.chdir("/srv/moved/in")
open("/srv/ready", "w").close()
while os.path.exists("/srv/moved"):
    time.sleep(0.02)
for path in ("..", "../..", "../../.."):
    try:
        print(path, os.listdir(path))
    except OSError as error:
        print(path, "refused")
print(os.path.exists("../" * 20 + "etc/jailssh"))
"""


def inside(tree: BootedTree, program: str, *words: str) -> str:
    return tree.run(f"jailssh system exec deb -- {' '.join(words)} python3 -", input=program, check=True).stdout


def state(tree: BootedTree, key: str) -> str:
    return tree.sh(f"systemctl show -p {key} --value {UNIT}").strip()


@pytest.fixture(scope="module")
def debian(tree: BootedTree) -> Iterator[BootedTree]:
    """A host with a Debian in a system, on a disk of its own that has little room."""
    archive = packaged.archive(tree.suite, f"{tree.folder}/log")
    shutil.copyfile(archive, f"{tree.tree}/srv/system.tar")
    tree.sh(f"mkdir -p -m 700 {STATE}; mount -t tmpfs -o size=500M,mode=700 x {STATE}")
    assert tree.sh("jailssh system create deb --from /srv/system.tar") == "system deb made\n"
    tree.sh("jailssh system set deb network=veth address=10.80.0.2 stop_time=20")
    os.unlink(f"{tree.tree}/srv/system.tar")
    yield tree
    tree.run("jailssh system stop deb")
    tree.sh("jailssh system remove deb --yes; rm -r /etc/jailssh/systems")
    tree.sh(f"umount {STATE}")
    assert "jailssh-system" not in tree.sh(
        "ls /run/systemd/system.control; systemctl list-units --all 'jailssh-system*'"
    )


@pytest.fixture
def runs(debian: BootedTree) -> BootedTree:
    """With that system running: its init has come to the end of its start."""
    if debian.run("jailssh system list -c deb").returncode:
        assert debian.sh("jailssh system start deb") == "system deb started\n"
    ready = "jailssh system exec deb -- systemctl is-system-running"
    debian.wait(lambda: debian.run(ready).stdout.strip() in ("running", "degraded"), "the system")
    return debian


def test_it_is_a_unit_however_it_is_started(debian: BootedTree) -> None:
    tree = debian
    tree.sh("jailssh system set deb autostart=yes memory=300M tasks=200 cpu=150")
    assert tree.sh(f"systemctl is-enabled {UNIT}") == "enabled\n"
    tree.sh(f"systemctl start {UNIT}")
    assert tree.run("jailssh system list -c deb").returncode == 0
    again = tree.run("jailssh system start deb")
    assert (again.returncode, again.stderr.splitlines()[0]) == (1, "jailssh: system deb: runs already")
    # The unit is held to that, with room for what stops it; the system below it to exactly that.
    assert (state(tree, "TasksMax"), state(tree, "CPUQuotaPerSecUSec")) == ("216", "1.500000s")
    exact = (
        f"cat /sys/fs/cgroup/memory/{GROUP}/payload/memory.limit_in_bytes /sys/fs/cgroup/pids/{GROUP}/payload/pids.max"
    )
    assert tree.sh(exact).split() == [str(300 << 20), "200"]
    main = state(tree, "MainPID")
    assert tree.sh(f"cat /proc/{main}/comm") == "jailssh-run\n"
    assert f"0::/{GROUP}/supervisor" in tree.sh(f"cat /proc/{main}/cgroup")
    tree.sh("jailssh system set deb memory= tasks= cpu=50 autostart=")
    assert (state(tree, "TasksMax"), state(tree, "CPUQuotaPerSecUSec")) == ("infinity", "500ms")
    assert tree.run(f"systemctl is-enabled {UNIT}").stdout == "disabled\n"
    tree.sh("jailssh system set deb cpu=")
    told = "jailssh system logs deb; journalctl --no-pager -o cat -u " + UNIT
    tree.wait(lambda: tree.sh(told).count("Multi-User System") >= 2, "the console in the journal")
    assert state(tree, "NeedDaemonReload") == "no"
    # It starts again as it wants to, and ends as it wants to.
    inside(tree, OFF.format(RESTART))
    tree.wait(lambda: state(tree, "MainPID") not in (main, "0"), "the restart")
    tree.wait(lambda: state(tree, "ActiveState") == "active", "the end of the restart")
    inside(tree, OFF.format(HALT))
    tree.wait(lambda: state(tree, "ActiveState") == "inactive", "the end of the system")
    assert state(tree, "Result") == "success"
    assert tree.run("jailssh system list -c deb").returncode == 1
    # What goes wrong is told by whom it was asked of.
    tree.sh(f"mknod {STATE}/deb/tree/dev/mem c 1 1")
    why = "device '/dev/mem': MUST NOT be available in the jail"
    assert tree.run("jailssh system start deb").stderr == f"jailssh: {why}\n"
    assert tree.run(f"systemctl start {UNIT}").returncode == 1
    assert state(tree, "StatusText") == why
    tree.sh(f"rm {STATE}/deb/tree/dev/mem; systemctl reset-failed {UNIT}")


def test_it_ends_in_order_where_the_command_cannot_run(runs: BootedTree) -> None:
    """As after an upgrade of the distribution, until jailssh is installed for the new Python."""
    tree = runs
    tree.sh("mv /usr/local/bin/jailssh /root/; ln -s /bin/false /usr/local/bin/jailssh")
    try:
        tree.sh(f"systemctl stop {UNIT}")
    finally:
        tree.sh("mv /root/jailssh /usr/local/bin/")
    assert (state(tree, "Result"), state(tree, "ActiveState")) == ("success", "inactive")


def test_it_is_a_debian_that_is_reached_and_gets_packages(runs: BootedTree) -> None:
    tree = runs
    key = tree.sh("cat /root/key.pub").strip()
    tree.sh(f"jailssh system exec deb -- sh -c 'mkdir -pm 700 /root/.ssh; echo {key} >/root/.ssh/authorized_keys'")
    assert tree.sh(f"ssh {SSH} root@10.80.0.2 'cat /proc/sys/kernel/hostname; tty 2>&1; id -u'").split() == [
        "deb", "not", "a", "tty", "0",
    ]  # fmt: skip
    assert "/dev/pts/" in tree.sh(f"ssh -tt {SSH} root@10.80.0.2 tty")
    told = tree.run("jailssh system exec deb -- sh -e", input=REPOSITORY)
    assert f"Setting up {packaged.LIBRARY}" in told.stdout, told
    assert inside(tree, "import os; print(os.listdir('/sys/class/net'))").count("host0") == 1


def test_what_uses_all_that_there_is(runs: BootedTree) -> None:
    tree = runs
    # A disk of its own, or what it may have, is full; the host is not.
    full = tree.run("jailssh system exec deb -- dd if=/dev/zero of=/root/full bs=1M")
    assert "No space left on device" in full.stderr
    tree.sh("dd if=/dev/zero of=/root/own bs=1M count=8; rm /root/own; jailssh system exec deb -- rm /root/full")
    tree.sh("jailssh system set deb memory=200M tasks=120 stop_time=3")
    eats = "data = []\nwhile True: data.append(b'x' * (8 << 20))"
    assert tree.run("jailssh system exec deb -- python3 -", input=eats).returncode in (1, 137)
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n"
    with tree.popen("jailssh system exec deb -- timeout -s KILL 60 python3 -") as bombs:
        assert bombs.stdin
        bombs.stdin.write(bomb)
        bombs.stdin.close()
        full_up = f"cat /sys/fs/cgroup/pids/{GROUP}/payload/pids.current"
        tree.wait(lambda: int(tree.sh(full_up)) >= 115, "the bomb")
        assert "running" in tree.sh("jailssh system list")
        assert tree.run(f"timeout 45 systemctl stop {UNIT}").returncode == 0
        bombs.kill()
    assert state(tree, "ActiveState") in ("inactive", "failed")
    assert tree.sh("ip -br link").split()[0] == "lo"
    assert "jailssh" not in tree.sh("ip -br link; ip route; find /sys/fs/cgroup -path '*jailssh-system*'")
    tree.sh(f"systemctl reset-failed {UNIT}; jailssh system set deb memory= tasks= stop_time=20")


def test_what_its_root_tries(runs: BootedTree) -> None:
    tree = runs
    with tree.popen(f'exec python3 -c "{LISTENS}"') as listens:
        host = tree.sh("pidof -s systemd-journald").strip()
        tree.wait(lambda: "@ours" in tree.sh("cat /proc/net/unix"), "the socket of the host")
        told = inside(tree, ESCAPES.replace("{host}", host)).splitlines()
        listens.kill()
    assert told[0] == "socket refused Connection refused"
    assert told[1] == "of the host [] True"
    assert told[2].startswith("ptrace refused"), told
    with tree.popen("jailssh system exec deb -- python3 -") as moved:
        assert moved.stdin
        assert moved.stdout
        moved.stdin.write(MOVED)
        moved.stdin.close()
        tree.wait(lambda: tree.run(f"test -e {STATE}/deb/tree/srv/ready").returncode == 0, "the process")
        tree.sh(f"mv {STATE}/deb/tree/srv/moved {STATE}/")
        said = moved.stdout.read().splitlines()
    assert said == [".. refused", "../.. refused", "../../.. refused", "False"], said
    tree.sh(f"rm -r {STATE}/moved")
