"""The probe outside of any jail: what it says of a known process must be so, or it proves nothing inside of one."""

from __future__ import annotations

import base64
import os
import pathlib
import pty
import signal
import socket
import subprocess
import sys

import pytest

from jailssh.core.closed import Network
from jailssh.policy.seccomp import filter_for
from jailssh.scratch.host import ScratchHost
from tests.harness.probe import Facts, put_probe

pytestmark = pytest.mark.needs("root", "gcc", "static-libc")


@pytest.fixture
def inside(scratch_host: ScratchHost, probe: pathlib.Path) -> str:
    return put_probe(scratch_host, probe)


def run_probe(probe: pathlib.Path, *words: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [str(probe), *words], capture_output=True, text=True, timeout=30, check=False, **options
    )


def test_root_and_nobody_are_told_apart(scratch_host: ScratchHost, inside: str) -> None:
    root = Facts(scratch_host.run([inside], check=True).stdout)
    nobody = Facts(scratch_host.run([inside], user="nobody", check=True).stdout)
    assert (root["uid"], root["gid"]) == ("0,0,0,0", "0,0,0,0")
    assert (nobody["uid"], nobody["gid"]) == (",".join(["65534"] * 4), ",".join(["65534"] * 4))
    assert nobody.numbers("groups") == [65534]
    status = dict(line.split(":\t", 1) for line in scratch_host.read("/proc/self/status").decode().splitlines())
    for ours, kernels in (("effective", "Eff"), ("permitted", "Prm"), ("inheritable", "Inh"), ("bounding", "Bnd")):
        assert root[f"cap.{ours}"] == status[f"Cap{kernels}"]
    assert int(nobody["cap.effective"], 16) == int(nobody["cap.permitted"], 16) == 0
    assert int(nobody["cap.bounding"], 16) != 0
    assert (root["no_new_privs"], root["seccomp"], root["securebits"], root["ppid"]) == ("0", "0", "0", "0")


def test_power_that_was_changed_is_seen(scratch_host: ScratchHost, inside: str) -> None:
    less = [
        "setpriv",
        "--no-new-privs",
        "--bounding-set=-all,+chown",
        "--inh-caps=-all,+chown",
        "--ambient-caps=+chown",
    ]
    facts = Facts(scratch_host.run([*less, "--securebits=+noroot", inside], check=True).stdout)
    chown = "0000000000000001"
    assert [facts[f"cap.{name}"] for name in ("bounding", "inheritable", "ambient")] == [chown] * 3
    assert (facts["no_new_privs"], facts["securebits"]) == ("1", "1")


def test_namespaces_and_mounts_are_the_kernels(scratch_host: ScratchHost, inside: str, probe: pathlib.Path) -> None:
    facts = Facts(run_probe(probe, "facts", "namespaces", "mounts").stdout)
    for name in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"):
        assert int(facts[f"ns.{name}"]) == os.stat(f"/proc/self/ns/{name}").st_ino, name
    here = [line.split()[4] for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines()]
    assert sorted(mount.path for mount in facts.mounts()) == sorted(here)
    last = {mount.path: mount for mount in Facts(scratch_host.run([inside, "facts", "mounts"]).stdout).mounts()}
    assert last["/"].flags >= {"ro"}
    assert (last["/etc"].type, last["/etc"].flags) == ("overlay", frozenset({"rw", "sb-rw"}))
    assert last["/proc"].flags == {"rw", "nosuid", "nodev", "noexec", "sb-rw"}
    shared = "mount -t tmpfs -o ro x /srv && mount --make-shared /srv && cd / && exec /tmp/probe facts mounts"
    scratch_host.run(["cp", inside, "/tmp/probe"], check=True)
    last = {mount.path: mount for mount in Facts(scratch_host.run(["sh", "-c", shared], check=True).stdout).mounts()}
    assert last["/srv"].flags == {"ro", "sb-ro", "shared"}


def test_without_proc_it_still_answers(scratch_host: ScratchHost, inside: str) -> None:
    bare = "mount -t tmpfs x /mnt && cp /srv/probe /mnt && exec chroot /mnt /probe facts"
    facts = Facts(scratch_host.run(["unshare", "-m", "sh", "-c", bare], check=True).stdout)
    assert facts["proc"] == "ENOENT"
    assert [mount.path for mount in facts.mounts()][:1] == ["/"]
    assert facts.numbers("pids")[0] == 1
    assert int(facts["cap.effective"], 16) != 0


def test_descriptors_limits_signals_and_surroundings(probe: pathlib.Path, tmp_path: pathlib.Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, open(tmp_path / "x", "w") as file:
        os.set_inheritable(file.fileno(), True)
        script = (
            "trap '' USR1; umask 027; ulimit -n 777; ulimit -c 0; "
            f'exec "$0" facts fds limits signals surroundings 5<&{theirs.fileno()} 6>&{file.fileno()} '
            f"{theirs.fileno()}<&- {file.fileno()}>&-"
        )
        done = subprocess.run(
            ["bash", "-c", script, str(probe)],
            env={"ODD": "a b\tä\\"},
            cwd=tmp_path,
            pass_fds=[theirs.fileno(), file.fileno()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
        )
    facts = Facts(done.stdout)
    kinds = {entry.split("|")[0]: entry.split("|")[1:3] for entry in facts.all("fd")}
    assert kinds == {
        "0": ["character", "rw"],
        "1": ["pipe", "w"],
        "2": ["pipe", "w"],
        "5": ["socket", "rw"],
        "6": ["file", "w"],
    }
    assert "rdev=1:3" in facts.all("fd")[0]
    assert facts["rlimit.nofile"] == "777:777"
    assert facts["rlimit.core"] == "0:0"
    assert signal.SIGUSR1 in facts.numbers("signal.ignored")
    assert facts["umask"] == "027"
    assert facts["cwd"] == str(tmp_path)
    assert facts.environment()["ODD"] == "a b\tä\\"


def test_a_terminal_is_seen(probe: pathlib.Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(probe, [str(probe), "facts", "terminal"])
    text = b""
    while True:
        try:
            block = os.read(terminal, 4096)
        except OSError:  # EIO: the other side is closed
            break
        text += block
    os.waitpid(pid, 0)
    os.close(terminal)
    facts = Facts(text.decode().replace("\r", ""))
    assert (facts["isatty"], facts["tty.control"], facts["tty.foreground"]) == ("1,1,1", "ok", "1")
    assert facts["tty.name"].startswith("/dev/pts/")


# What a process with no power must not manage, and what root in the same place does manage: an attempt that fails
# for everybody would prove nothing.
POWER = [
    "unshare", "unshare-pid", "unshare-net", "unshare-ipc", "unshare-uts", "setns", "ptrace",
    "setuid", "setgid", "setgroups", "capset", "kill", "mknod", "mknod-block", "socket-packet",
    "chroot", "mount", "remount", "mount_setattr", "open_tree", "fsopen", "bpf",
    "open_by_handle_at", "sethostname", "fanotify_init", "securebits",
]  # fmt: skip


def test_attempts_tell_root_from_nobody(scratch_host: ScratchHost, inside: str) -> None:
    root = Facts(scratch_host.run([inside, "try", "all"], check=True).stdout).tries()
    nobody = Facts(scratch_host.run([inside, "try", "all"], user="nobody", check=True).stdout).tries()
    assert root.keys() == nobody.keys()
    assert {name: root[name] for name in POWER} == dict.fromkeys(POWER, "ok")
    assert {name: nobody[name] for name in POWER} == dict.fromkeys(POWER, "EPERM")
    assert (root["umount"], nobody["umount"]) == ("EINVAL", "EPERM")
    assert (root["pivot_root"], nobody["pivot_root"]) == ("EBUSY", "EPERM")
    assert (root["create:/etc/probe-file"], nobody["create:/etc/probe-file"]) == ("ok", "EACCES")
    assert root["create:/usr/probe-file"] == "EROFS"
    assert nobody["socket-inet"] == nobody["io_uring_setup"] == "ok"


def test_attempts_change_nothing(scratch_host: ScratchHost, inside: str) -> None:
    def state() -> str:
        return scratch_host.run(["sh", "-c", "cat /proc/mounts; hostname; ls -A / /tmp /etc /dev"], check=True).stdout

    before = state()
    scratch_host.run([inside, "try", "all"], check=True)
    assert state() == before


def test_set_uid_programs(scratch_host: ScratchHost, inside: str) -> None:
    scratch_host.run(["cp", inside, "/srv/set-uid"], check=True)
    attempt = [inside, "try", "exec-setuid", "/srv/set-uid"]
    assert scratch_host.run(attempt, user="nobody").stdout == "try.exec-setuid=euid=65534\n"
    scratch_host.run(["chmod", "4755", "/srv/set-uid"], check=True)
    assert scratch_host.run(attempt, user="nobody").stdout == "try.exec-setuid=euid=0\n"
    confined = ["setpriv", "--no-new-privs", *attempt]
    assert scratch_host.run(confined, user="nobody").stdout == "try.exec-setuid=euid=65534\n"


def test_one_attempt_with_arguments(probe: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "secret").write_text("x")

    def tried(*words: str) -> str:
        return Facts(run_probe(probe, "try", *words).stdout)[f"try.{words[0]}"]

    assert tried("open", str(tmp_path / "secret")) == "ok"
    assert tried("open", str(tmp_path / "none")) == "ENOENT"
    assert tried("open", str(tmp_path / "new"), "create") == "ok"
    assert tried("list", str(tmp_path)) == "ok"
    assert tried("list", str(tmp_path / "secret")) == "ENOTDIR"
    assert tried("kill", str(os.getpid())) == "ok"
    assert tried("kill", "999999999") == "ESRCH"
    assert sorted(os.listdir(tmp_path)) == ["secret"]
    assert run_probe(probe, "try", "nonsense").returncode == 2


# Loads a system call filter, PR_SET_SECCOMP(2const), and runs a program under it.
FILTERED = """
import base64, ctypes, os, sys
code = base64.b64decode(sys.argv[1])
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(len(code) // 8, code))) == 0
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_a_filter_is_seen_and_an_attempt_that_it_kills_is_named(probe: pathlib.Path) -> None:
    code = base64.b64encode(filter_for(Network.NONE)[1]).decode()

    def filtered(*words: str) -> Facts:
        command = [sys.executable, "-c", FILTERED, code, str(probe), *words]
        return Facts(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert filtered("facts", "power")["seccomp"] == "2"
    names = ["socket-inet", "unshare-user", "io_uring_setup", "clone3-user"]
    ends = ["EAFNOSUPPORT", "EPERM", "EPERM", "ENOSYS"]
    if os.uname().machine == "x86_64":
        names.append("int80")
        ends.append("killed-SIGSYS")
    assert [filtered("try", name)[f"try.{name}"] for name in names] == ends


def test_the_small_verbs(probe: pathlib.Path, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "f"
    assert run_probe(probe, "write", str(file), "some text").returncode == 0
    assert run_probe(probe, "cat", str(file)).stdout == file.read_text() == "some text"
    assert run_probe(probe, "cat", input="through").stdout == "through"
    assert run_probe(probe, "cat", str(tmp_path / "none")).returncode == 1
    assert run_probe(probe, "exit", "42").returncode == 42
    assert run_probe(probe, "kill-self", "15").returncode == -15
    assert run_probe(probe, "sleep", "0.01").returncode == 0
    assert Facts(run_probe(probe, "args", "", "a b", "c\n\x01é").stdout).all("arg") == ["", "a b", "c\n\x01é"]
    assert Facts(run_probe(probe, "env", env={"A": "1"}).stdout).all("env") == ["A=1"]
    assert run_probe(probe, "nonsense").returncode == 2


def test_daemonize_leaves_a_process(scratch_host: ScratchHost, inside: str) -> None:
    pid = int(Facts(scratch_host.run([inside, "daemonize", "1000"], check=True).stdout)["pid"])
    assert scratch_host.pids()[pid] == f"{inside} daemonize 1000"
    assert scratch_host.run(["ps", "-o", "ppid=", str(pid)]).stdout.strip() == "1"
