"""Inside a jail, by the kernel's own answers to a static probe."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import shutil
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from jailssh.core.closed import Network
from tests.harness.probe import Facts
from tests.root import login_lab
from tests.root.login_lab import OTHER_UID, UID, Lab, plan, record
from tests.root.other_kernel import INNER, Answer, other_kernel

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab
NONE = "0" * 16


@pytest.fixture
def facts(every_lab: Lab) -> Facts:
    every_lab.publish(plan(proc=True, middle=[record("group", 5000), record("umask", "027"), record("env", "A", "b")]))
    return every_lab.login("probe facts").facts


def test_ids_and_power(facts: Facts) -> None:
    assert (facts["uid"], facts["gid"]) == (f"{UID},{UID},{UID},{UID}",) * 2
    assert facts.numbers("groups") == [5000]
    for name in ("effective", "permitted", "inheritable", "bounding", "ambient"):
        assert facts[f"cap.{name}"] == NONE, name
    assert (facts["no_new_privs"], facts["seccomp"], facts["keepcaps"], facts["personality"]) == ("1", "2", "0", "0")
    # noroot, no_setuid_fixup, no_cap_ambient_raise, each locked, and keep_caps locked: capabilities(7).
    assert int(facts["securebits"], 16) == 0b11101111


@pytest.mark.parametrize("net", [Network.NONE, Network.LOOPBACK])
def test_namespaces(every_lab: Lab, net: Network) -> None:
    every_lab.publish(plan(proc=True, net=net))
    facts = every_lab.login("probe facts namespaces").facts
    for name in ("mnt", "pid", "ipc", "uts", "cgroup", "net"):
        own = int(facts[f"ns.{name}"])
        for host in (every_lab.host.init_pid, os.getpid()):
            assert own != os.stat(f"/proc/{host}/ns/{name}").st_ino, name
    session = every_lab.start("probe sleep 60")
    command = session.pids(3)[2]
    facts = every_lab.login("probe facts namespaces").facts
    for name in ("mnt", "pid", "ipc", "cgroup"):  # of the others test_login_apart.py
        assert int(facts[f"ns.{name}"]) != os.stat(f"/proc/{command}/ns/{name}").st_ino, name
    session.signal(signal.SIGTERM)
    assert session.wait().code == 128 + signal.SIGTERM


@pytest.mark.parametrize("home_exec", ["exec", "noexec"])
def test_mounts(every_lab: Lab, home_exec: str) -> None:
    every_lab.publish(plan(proc=True, pty=True, home_exec=home_exec))
    mounts = every_lab.login("probe facts mounts").facts.mounts()
    where = {mount.path: mount for mount in mounts}
    assert set(where) == {"/", "/run", "/tmp", "/home", "/dev", "/dev/pts", "/proc", "/home/u", "/home/u/.ssh"}
    # What covers are made from is beneath the plan's own /run, out of reach.
    assert sorted(mount.path for mount in mounts) == sorted([*where, "/run"])
    for mount in mounts:
        assert "nosuid" in mount.flags, mount
        assert ("nodev" in mount.flags) == (mount.path not in ("/dev", "/dev/pts")), mount
        assert not mount.flags & {"shared", "slave"}, mount
        assert ("ro" in mount.flags) == (mount.path not in ("/tmp", "/dev/pts", "/proc", "/home/u")), mount
        allowed = {"/"} | ({"/home/u"} if home_exec == "exec" else set())
        assert ("noexec" in mount.flags) == (mount.path not in allowed), mount


def test_processes_and_descriptors(facts: Facts) -> None:
    assert (facts["pid"], facts["ppid"], facts["sid"], facts["pgid"]) == ("2", "1", "2", "2")
    assert set(facts.numbers("pids")) <= {1, 2, 3}
    assert facts.numbers("proc") == [2]  # hidepid: not even its own first process
    assert [entry.split("|")[0] for entry in facts.all("fd")] == ["0", "1", "2"]
    assert facts["isatty"] == "0,0,0"
    assert facts["tty.control"] != "ok"


@pytest.mark.parametrize("error", [None, errno.ENOSYS])
def test_what_the_first_process_holds_when_it_drops(set_uid_lab: Lab, error: int | None) -> None:
    held: list[list[str]] = []
    drops = Answer("prctl", None, (28,), INNER)  # PR_SET_SECUREBITS

    def look(pid: int, _: str, answer: Answer) -> None:
        if answer == drops:
            held.append(sorted(os.listdir(f"/proc/{pid}/fd")))
            assert os.readlink(f"/proc/{pid}/fd/3").startswith("socket:")

    with other_kernel(set_uid_lab, [drops, Answer("close_range", error, who=INNER)], look) as kernel:
        assert set_uid_lab.login("probe exit 7").code == 7
    assert all(kernel.given)
    assert held == [["0", "1", "2", "3"]]


def test_surroundings(facts: Facts) -> None:
    assert (facts["hostname"], facts["cwd"], facts["umask"]) == ("labjail", "/home/u", "027")
    assert facts.environment() == {"A": "b", "SSH_CONNECTION": "192.0.2.1 4000 192.0.2.2 22"}
    assert facts["rlimit.core"] == "0:0"


# What a process may do to itself, and a socket that leads to nobody.
HARMLESS = {
    "open": "ok", "list": "ok", "kill": "ok", "socket-unix": "ok", "exec-setuid": "usage",
    "clear-no-new-privs": "EINVAL",
}  # fmt: skip


# The second is what a shell has.
VIEWS: dict[str, dict[str, Any]] = {"bare": {"proc": True}, "whole": {"system": True, "net": Network.LOOPBACK}}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_nothing_that_is_forbidden_works(every_lab: Lab, view: dict[str, Any]) -> None:
    every_lab.publish(plan(**view))
    tries = every_lab.login("probe try all").facts.tries()
    assert len(tries) > 70
    refused = ("EPERM", "EACCES", "EROFS", "ENOENT", "ENOSYS", "EAFNOSUPPORT", "ENOTTY", "ENXIO", "ECONNREFUSED",
               "ENETUNREACH")  # fmt: skip
    works = {name: how for name, how in tries.items() if how not in refused and not how.startswith("killed-SIG")}
    alone = ("socket", "socket-inet", "socket-inet6", "socket-netlink") if "net" in view else ()
    assert works == {**HARMLESS, **dict.fromkeys(alone, "ok")}
    for name in ("mount", "umount", "remount", "unshare", "unshare-user", "setns", "pivot_root", "mknod", "mknod-block",
                 "keyctl", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "chroot", "capset", "setuid",
                 "setgroups", "open_by_handle_at", "clone-user", "ptrace", "process_vm_readv"):  # fmt: skip
        assert tries[name] == "EPERM", (name, tries[name])
    families = {"socket-inet", "socket-inet6", "socket-netlink", "socket-packet", "socket-alg", "socket-vsock"}
    for name in families.difference(alone):
        assert tries[name] in ("EPERM", "EACCES", "EAFNOSUPPORT"), (name, tries[name])
    if os.uname().machine == "x86_64":
        assert (tries["int80"], tries["x32"]) == ("killed-SIGSYS", "killed-SIGSYS")


@contextlib.contextmanager
def shown_in_proc(lab: Lab) -> Iterator[tuple[pathlib.Path, set[str]]]:
    """Have a session; its /proc, and the names there that are neither processes nor links."""
    session = lab.start("probe sleep 60")
    proc = pathlib.Path(f"/proc/{session.pids(3)[2]}/root/proc")
    yield proc, {path.name for path in proc.iterdir() if not path.name[0].isdigit() and not path.is_symlink()}
    session.signal(signal.SIGTERM)
    assert session.wait().code == 128 + signal.SIGTERM


def test_a_bare_proc_has_processes_alone(every_lab: Lab) -> None:
    every_lab.publish(plan(proc=True))
    with shown_in_proc(every_lab) as (_, names):
        assert names == set()


def test_proc_tells_nothing_of_others(every_lab: Lab) -> None:
    every_lab.publish(plan(system=True))
    told = {"loadavg", "meminfo", "stat", "swaps", "cpuinfo", "filesystems", "uptime", "version"}
    with shown_in_proc(every_lab) as (proc, names):
        assert_told_alone(proc, names, told)


def assert_told_alone(proc: pathlib.Path, names: set[str], told: set[str]) -> None:
    assert told < names and len(names) > 30
    for path in (proc / name for name in names - told):
        assert (list(path.iterdir()) if path.is_dir() else path.read_bytes()) in ([], b""), path
        assert path.stat().st_dev != proc.stat().st_dev
    boot = next(line for line in (proc / "stat").read_text().splitlines() if line.startswith("btime "))
    host = next(line for line in pathlib.Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    assert abs(int(boot.split()[1]) - int(host.split()[1])) <= 1
    assert "cpu1 0 0 0" in (proc / "stat").read_text()


def tried(lab: Lab, *words: str) -> str:
    return lab.login(" ".join(["probe", "try", *words])).facts[f"try.{words[0]}"]


def test_devices(every_lab: Lab) -> None:
    for name in ("null", "zero", "full", "random", "urandom"):
        assert tried(every_lab, "open", f"/dev/{name}", "r") == "ok"
    for name in ("mem", "kmsg", "vda", "sda", "loop0", "fuse", "kvm", "tty0", "console", "log"):
        assert tried(every_lab, "open", f"/dev/{name}", "rw") == "ENOENT"
    node = every_lab.path("/home/u/null")
    os.mknod(node, 0o020666, os.makedev(1, 3))
    node.chmod(0o666)
    try:
        assert tried(every_lab, "open", "/home/u/null", "rw") == "EACCES"
    finally:
        node.unlink()


def test_a_set_uid_program_in_the_home(every_lab: Lab) -> None:
    every_lab.publish(plan(home_exec="exec"))
    program = every_lab.path("/home/u/probe")
    shutil.copyfile(every_lab.path(f"{login_lab.IMAGE}/bin/probe"), program)
    program.chmod(0o4755)
    try:
        assert tried(every_lab, "exec-setuid", "/home/u/probe") == f"euid={UID}"
        every_lab.publish(plan())
        assert tried(every_lab, "exec-setuid", "/home/u/probe") == "EACCES"
    finally:
        program.unlink()


def test_files(every_lab: Lab) -> None:
    done = every_lab.login("probe cat /etc/passwd")
    assert [line.split(":")[0] for line in done.out.decode().splitlines()] == ["root", "u"]
    for path in ("/home/v", "/srv", "/var", "/root", "/etc/shadow", "/home/u/.ssh/authorized_keys", "/proc/1"):
        assert tried(every_lab, "open", path) == "ENOENT", path
    for path in ("/x", "/etc/x", "/bin/x", "/dev/x", "/run/x", "/home/x", "/home/u/.ssh/x"):
        assert tried(every_lab, "open", path, "create") in ("EROFS", "EACCES"), path
    for path in ("/home/u/x", "/tmp/x"):
        assert tried(every_lab, "open", path, "create") == "ok", path
    assert every_lab.path("/home/u/.ssh/authorized_keys").read_text() == "a key\n"


def test_another_accounts_processes(every_lab: Lab) -> None:
    every_lab.publish(plan(OTHER_UID, home="/home/v", proc=True), OTHER_UID)
    every_lab.publish(plan(proc=True))
    session = every_lab.start("probe sleep 60")
    pids = session.pids(3)
    facts = every_lab.login("probe facts processes", uid=OTHER_UID).facts
    assert set(facts.numbers("pids")) <= {1, 2, 3}
    for pid in pids:
        assert tried(every_lab, "kill", str(pid)) in ("ESRCH", "EPERM")
    session.signal(signal.SIGTERM)
    assert session.wait().code == 128 + signal.SIGTERM


def test_abstract_sockets(every_lab: Lab) -> None:
    name = "\0jailssh-test-host"
    every_lab.publish(plan(OTHER_UID, home="/home/v"), OTHER_UID)
    session = every_lab.start("actor listen @jailssh-test-jail")
    assert session.process.stdout is not None
    assert session.process.stdout.readline() == b"ready\n"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        for target in ("@jailssh-test-host", "@jailssh-test-jail"):
            for uid in (UID, OTHER_UID):
                found = every_lab.login(f"probe try connect-unix {target}", uid=uid).facts["try.connect-unix"]
                assert found in ("ECONNREFUSED", "EPERM"), (target, uid, found)
    session.signal(signal.SIGTERM)
    assert session.wait().code == 128 + signal.SIGTERM


def test_a_jail_is_the_same_without_the_pinned_namespaces(every_lab: Lab) -> None:
    # A file stands in the way of what the program would make below /run.
    forget = "for at in $(cut -d' ' -f5 /proc/self/mountinfo | grep ^/run/jailssh | sort -r); do umount -l $at; done"
    every_lab.host.run(["sh", "-c", f"{forget}; rm -rf /run/jailssh; mkdir -m 755 /run/jailssh"], check=True)
    every_lab.path("/run/jailssh/ns").write_text("")
    every_lab.publish(plan(proc=True))
    try:
        plain = every_lab.login("probe facts").facts
        tries = every_lab.login("probe try all").facts.tries()
    finally:
        every_lab.path("/run/jailssh/ns").unlink()
    pinned = every_lab.login("probe facts").facts
    for key in plain:
        if not key.startswith(("ns.", "fd", "root", "mount", "try")):
            assert plain.all(key) == pinned.all(key), key
    assert sorted(map(str, (m.path + str(sorted(m.flags)) for m in plain.mounts()))) == sorted(
        map(str, (m.path + str(sorted(m.flags)) for m in pinned.mounts()))
    )
    assert tries == every_lab.login("probe try all").facts.tries()
    assert int(plain["ns.net"]) != pathlib.Path("/proc/self/ns/net").stat().st_ino
