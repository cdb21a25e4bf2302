"""A shell that feels like one: its own processes and limits are seen, nothing of others, and what programs expect."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "journald", "login-program", "procps")

DEVELOPER = "developer"
JAIL = """plugins = shell
root = live
[limits]
memory = 768M
cpu_quota = 150%
"""
# A server and its client, both of the jail.
ECHO = """
import socket, threading
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: server.accept()[0].sendall(b"heard"), daemon=True).start()
print(socket.create_connection(server.getsockname()).recv(9).decode())
"""
# Both halves of a server's own name, and a client of it.
OWN_NAME = """
import socket
server = socket.create_server((socket.gethostname(), 0))
socket.create_connection(server.getsockname())
print(server.getsockname()[0], socket.getfqdn())
"""
SHARED_MEMORY = """
import multiprocessing, multiprocessing.shared_memory
multiprocessing.Lock().acquire()
block = multiprocessing.shared_memory.SharedMemory(create=True, size=4096)
print(len(block.buf))
block.unlink()
"""


@pytest.fixture(scope="module")
def developer(world: World) -> str:
    world.host.write(f"/etc/jailssh/jails/{DEVELOPER}.conf", JAIL)
    world.adduser(DEVELOPER, DEVELOPER)
    return DEVELOPER


@pytest.fixture(params=["image", "live"])
def account(request: pytest.FixtureRequest) -> str:
    return "shell" if request.param == "image" else str(request.getfixturevalue("developer"))


def run(world: World, account: str, command: str) -> str:
    done = world.client.ssh(account, command)
    assert (done.code, done.stderr) == (0, ""), done
    return done.stdout


def test_the_jails_own_host_name_resolves_and_the_hosts_does_not(world: World, account: str) -> None:
    """Java, sudo-like programs and tests of languages look their own name up; a server there hears its clients."""
    look = "hostname; cat /etc/hosts"
    assert run(world, account, look).splitlines()[::3] == ["jail", "127.0.1.1 jail"]
    if account == DEVELOPER:  # the shipped image has neither program
        assert run(world, account, "getent hosts jail localhost; getent hosts scratch || echo none").split() == [
            *("127.0.1.1", "jail", "::1", "localhost", "ip6-localhost", "ip6-loopback", "none")
        ]
        assert run(world, account, f"python3 -c '{OWN_NAME}'") == "127.0.1.1 jail\n"


def test_ps_shows_the_jails_own_processes_and_when_they_began(world: World, account: str) -> None:
    # Of a process that began within the same hundredth of a second ps of procps 4.0.2 computes an age below zero.
    table = run(world, account, "sleep 9 & sleep 0.1; exec ps -eo user,etimes,lstart,args").splitlines()[1:]
    assert 2 <= len(table) <= 4
    assert {line.split()[0][:7] for line in table} == {account[:7]}
    assert all(int(line.split()[1]) < 60 for line in table), table
    year = run(world, account, "date +%Y").strip()
    assert all(f" {year} " in line for line in table)


def test_top_free_and_uptime_work_and_tell_of_the_accounts_limits(world: World, account: str) -> None:
    assert "load average: 0.00, 0.00, 0.00" in run(world, account, "uptime")
    assert "Tasks:" in run(world, account, "TERM=dumb top -b -n 1")
    total = int(run(world, account, "free -b").splitlines()[1].split()[1])
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert total == (min(768 << 20, host) if account == DEVELOPER else host * 50 // 100 >> 10 << 10)
    cpus = int(run(world, account, "grep -c '^cpu[0-9]' /proc/stat"))
    assert cpus == (min(2, os.cpu_count() or 1) if account == DEVELOPER else os.cpu_count())


@pytest.mark.needs("man")
def test_the_manual_has_a_page_for_each_tool(world: World, account: str) -> None:
    first = run(world, account, "man ls").splitlines()[0]
    assert first.split() == ["LS(1)", "User", "Commands", "LS(1)"]
    names = "bash sed less [ man"
    looked = run(world, account, f"for n in {names}; do man $n 2>/dev/null | grep -c .; done").split()
    assert len(looked) == len(names.split())
    assert all(int(lines) > 20 for lines in looked)
    absent = world.client.ssh(account, "man ssh_nothing")
    assert (absent.code, absent.stderr) == (16, "No manual entry for ssh_nothing\n")
    # On a terminal it is a pager that shows the page, and ends when told so.
    shown = world.client.ssh(account, "TERM=xterm man ls", tty=True, input="q")
    assert shown.code == 0, shown
    assert "list directory contents" in shown.stdout


def test_nothing_of_others_is_in_proc(world: World, account: str) -> None:
    names = [name for name in os.listdir("/proc") if not name[0].isdigit() and not Path("/proc", name).is_symlink()]
    harmless = {"cpuinfo", "filesystems", "uptime", "version"}
    own = {"loadavg", "meminfo", "stat", "swaps"}
    sizes = run(
        world, account, f"cd /proc; for n in {' '.join(names)}; do echo $n $(ls -A $n | wc -l) $(wc -c 2>&- <$n); done"
    )
    shown = {
        name
        for name, entries, size in re.findall(r"^(\S+) (\d+) ?(\d*)$", sizes, re.MULTILINE)
        if (size or "0") != "0" or int(entries) > 1
    }
    assert shown == harmless | own
    assert len(sizes.splitlines()) == len(names)
    hidden = run(world, account, "ls /proc/sys /proc/fs /proc/irq; cat /proc/interrupts /proc/vmstat; echo end")
    assert hidden.split() == ["/proc/fs:", "/proc/irq:", "/proc/sys:", "end"]
    assert world.client.ssh(account, "echo 1 >/proc/meminfo").code != 0
    assert world.client.ssh(account, "rm /proc/../run/proc/meminfo").code != 0


@pytest.mark.parametrize("script", [ECHO, SHARED_MEMORY], ids=["loopback", "shared memory"])
def test_programs_find_a_loopback_and_shared_memory(world: World, developer: str, script: str) -> None:
    world.put(f"/home/{developer}/script.py", script, developer)
    assert run(world, developer, "python3 script.py").strip() in ("heard", "4096")


def test_nobody_else_is_on_the_loopback(world: World, account: str) -> None:
    # The host's sshd listens on 127.0.0.1; the jail's own loopback has nobody.
    refused = "exec 3<>/dev/tcp/127.0.0.1/22"
    done = world.client.ssh(account, refused)
    assert done.code != 0
    assert "Connection refused" in done.stderr


def test_places_for_temporary_files(world: World, account: str) -> None:
    assert run(world, account, "echo x >/var/tmp/a && cat /tmp/a && echo y >/dev/shm/b && cat /tmp/b") == "x\ny\n"


def test_usual_tools(world: World, account: str) -> None:
    # What is put in the background is a shell first.
    seen = run(world, account, "sleep 9 & until flock /tmp/l setsid -w pgrep -c sleep; do :; done")
    assert seen.split()[-1] == "1"
    assert "PRETTY_NAME" in run(world, account, "cat /etc/os-release")
