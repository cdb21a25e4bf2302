"""A scratch host is a host of its own, and nothing of it remains."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from jailssh.core.errors import HostError, JailsshError
from jailssh.scratch import host
from jailssh.scratch.host import ScratchHost
from tests.harness.client import SshClient
from tests.harness.probe import Facts, put_probe

pytestmark = pytest.mark.needs("root")

# Starts what a demo starts, says its pid namespace, and waits to be ended.
OWNER = """
import os, sys, time
from jailssh.scratch.host import ScratchHost
with ScratchHost() as host:
    host.run(["useradd", "-m", "leftover"], check=True)
    host.start_journald()
    host.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &"], check=True)
    running = host.popen(["sleep", "1001"])
    print(os.stat(f"/proc/{host.init_pid}/ns/pid").st_ino, flush=True)
    how = sys.argv[1]
    if how == "exit":
        os._exit(3)
    if how == "error":
        raise ValueError("an error of the owner")
    if how == "return":
        sys.exit(0)
    time.sleep(1000)
"""


def processes_in(namespace: int) -> list[str]:
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "ns/pid").stat().st_ino == namespace:
                found.append(entry.name)
        except OSError:
            continue
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def scratch_mounts() -> list[str]:
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if line.split(" - ")[1].split()[1] == "scratch"]


@pytest.mark.parametrize("how", ["SIGKILL", "SIGINT", "SIGTERM", "exit", "error", "return"])
def test_nothing_remains_however_the_owner_ends(how: str) -> None:
    before = {name: pathlib.Path(name).read_bytes() for name in ("/etc/passwd", "/etc/group", "/etc/machine-id")}
    command = [sys.executable, "-c", OWNER, how]
    owner = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/", env=import_path(), start_new_session=True
    )
    try:
        assert owner.stdout is not None
        namespace = int(owner.stdout.readline())
        if how.startswith("SIG"):
            # pid 1, journald and two that sleep
            wait_until(lambda: len(processes_in(namespace)) >= 4)
            owner.send_signal(signal.Signals[how])
        owner.wait(20)
    finally:
        owner.kill()
    wait_until(lambda: not processes_in(namespace))
    assert scratch_mounts() == []
    assert {name: pathlib.Path(name).read_bytes() for name in before} == before
    assert not pathlib.Path("/home/leftover").exists()


def import_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(pathlib.Path(host.__file__).parents[2])}


def test_leaving_waits_for_the_last_process() -> None:
    with ScratchHost() as host:
        namespace = os.stat(f"/proc/{host.init_pid}/ns/pid").st_ino
        running = host.popen(["sleep", "1000"])
        host.run(["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &"], check=True)
    assert processes_in(namespace) == []
    assert running.poll() is not None
    with pytest.raises(JailsshError, match="not running"):
        host.run(["true"])


def test_what_was_stopped_does_not_hold_the_end_up() -> None:
    with ScratchHost() as host:
        host.popen(["sleep", "60"])
        host.wait_until(lambda: "sleep 60" in host.pids().values(), "it runs")
        host.run(["pkill", "-STOP", "-x", "sleep"], check=True)
        host.wait_until(lambda: host._children[0].poll() is None and _state(host._children[0].pid) == "T", "it stops")
        host.run(["pkill", "-CONT", "-x", "sleep"], check=True)  # which nsenter(1) does not learn
        start = time.monotonic()
    assert time.monotonic() - start < 5


def _state(pid: int) -> str:
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_accounts_are_real_and_private(scratch_host: ScratchHost) -> None:
    scratch_host.run(["useradd", "-m", "private-one"], check=True)
    assert "private-one" in scratch_host.run(["id"], user="private-one").stdout
    assert scratch_host.run(["sh", "-c", "cd && pwd && touch new && id -un"], user="private-one").stdout == (
        "/home/private-one\nprivate-one\n"
    )
    assert b"private-one" not in pathlib.Path("/etc/passwd").read_bytes()
    with ScratchHost() as other:
        assert other.run(["id", "private-one"]).code == 1
    with pytest.raises(JailsshError, match="does not exist"):
        scratch_host.run(["id"], user="nobody-of-this-name")


def test_the_machine_is_read_only_outside_the_overlays(scratch_host: ScratchHost) -> None:
    for place in ("/", "/usr", "/usr/local", "/sys", "/boot"):
        tried = scratch_host.run(["touch", f"{place}/scratch-test"])
        assert (tried.code, "Read-only file system" in tried.stderr) == (1, True), place
    for place in ("/etc", "/home", "/root", "/srv", "/var", "/var/lib", "/run", "/tmp", "/dev/shm"):
        scratch_host.run(["touch", f"{place}/scratch-test"], check=True)
        assert not os.path.lexists(f"{place}/scratch-test"), place


def test_overlaid_directories_keep_owner_and_mode(scratch_host: ScratchHost) -> None:
    for place in ("/etc", "/root", "/home", "/var", "/srv", "/var/lib", "/var/log", "/etc/ssh"):
        here = os.stat(place)
        there = scratch_host.run(["stat", "-c", "%u %g %a", place]).stdout.split()
        assert there == [str(here.st_uid), str(here.st_gid), f"{stat.S_IMODE(here.st_mode):o}"], place


def test_state_and_sockets_of_the_machine_are_not_there(
    scratch_host: ScratchHost, tmp_path: pathlib.Path, probe: pathlib.Path
) -> None:
    for path in ("/etc/jailssh", "/var/lib/jailssh", "/run/jailssh", "/etc/nologin", str(tmp_path)):
        assert scratch_host.run(["test", "-e", path]).code == 1, path
    assert set(scratch_host.run(["ls", "/run"]).stdout.split()) == {"lock", "log", "sshd", "systemd", "user"}
    assert scratch_host.read("/etc/machine-id") != pathlib.Path("/etc/machine-id").read_bytes()
    assert scratch_host.run(["ls", "/etc/ssh/sshd_config.d"]).stdout == ""
    inside = put_probe(scratch_host, probe)
    with socket.socket(socket.AF_UNIX) as listener:
        name = f"jailssh-test-{os.getpid()}"
        listener.bind(f"\0{name}")
        listener.listen()
        attempt = ["try", "connect-unix", f"@{name}"]
        assert subprocess.check_output([str(probe), *attempt], text=True) == "try.connect-unix=ok\n"
        assert scratch_host.run([inside, *attempt]).stdout == "try.connect-unix=ECONNREFUSED\n"


def test_namespaces_network_and_devices(scratch_host: ScratchHost, probe: pathlib.Path) -> None:
    inside = Facts(scratch_host.run([put_probe(scratch_host, probe), "facts"], check=True).stdout)
    here = Facts(subprocess.check_output([str(probe), "facts", "namespaces"], text=True))
    for name in ("mnt", "pid", "net", "ipc", "uts"):
        assert inside[f"ns.{name}"] != here[f"ns.{name}"], name
    assert inside["ns.user"] == here["ns.user"]
    assert inside["hostname"] == "scratch"
    assert inside.numbers("pids")[0] == 1
    assert len(inside.numbers("pids")) == 2
    assert "127.0.0.1/8" in scratch_host.run(["ip", "-4", "addr", "show", "lo", "up"]).stdout
    assert scratch_host.run(["ip", "-o", "link"]).stdout.count("\n") == 1
    devices = scratch_host.run(["find", "/dev", "-xdev", "-type", "c,b", "-printf", "%f "]).stdout.split()
    assert sorted(devices) == ["full", "fuse", "null", "random", "tty", "urandom", "zero"]


def test_an_installation_is_shown_with_its_set_uid_programs(tmp_path: pathlib.Path, probe: pathlib.Path) -> None:
    # ':' and ',' separate things in mount options.
    stage = tmp_path / "stage: a, b"
    (stage / "libexec").mkdir(parents=True)
    os.chmod(stage, 0o755)
    shutil.copy(probe, stage / "libexec/entry")
    os.chmod(stage / "libexec/entry", 0o4755)
    with ScratchHost(install={str(stage): "/usr/local"}) as host:
        entry = "/usr/local/libexec/entry"
        assert host.run(["ls", "/usr/local"]).stdout == "libexec\n"
        assert host.run([entry, "euid"], user="nobody").stdout == "euid=0\n"
        host.run(["rm", entry], check=True)
        host.write("/usr/local/new", "")
    assert os.listdir(stage) == ["libexec"]
    assert os.listdir(stage / "libexec") == ["entry"]


def test_directories_of_the_machine_can_be_renamed(scratch_host: ScratchHost) -> None:
    scratch_host.run(["mv", "/etc/ssh", "/etc/ssh.old"], check=True)
    assert scratch_host.run(["test", "-e", "/etc/ssh.old/sshd_config.d"]).code == 0
    assert os.path.isdir("/etc/ssh")


def test_what_run_says(scratch_host: ScratchHost) -> None:
    assert scratch_host.run(["sh", "-c", "cat; echo err >&2; exit 7"], input="tëxt\n") == host.Finished(
        7, "tëxt\n", "err\n"
    )
    assert scratch_host.run(["sh", "-c", "kill -9 $$"]).code == -9
    assert scratch_host.run(["no-such-program"]).code == 127
    assert scratch_host.run(["pwd"], cwd="/var/lib", user="nobody").stdout == "/var/lib\n"
    with pytest.raises(JailsshError, match="exit status 3: because"):
        scratch_host.run(["sh", "-c", "echo because >&2; exit 3"], check=True)


def test_the_environment_is_clean(scratch_host: ScratchHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_DEBUG", "help")
    names = {line.partition("=")[0] for line in scratch_host.run(["env"], env={"EXTRA": "1"}).stdout.splitlines()}
    assert names == {"PATH", "LANG", "HOME", "USER", "LOGNAME", "SHELL", "EXTRA"}


def test_a_command_that_takes_too_long_is_ended(scratch_host: ScratchHost) -> None:
    with pytest.raises(JailsshError, match=r"sh -c .* still running after 0.2 s"):
        scratch_host.run(["sh", "-c", "sleep 1000; true"], timeout=0.2)
    scratch_host.wait_until(lambda: len(scratch_host.pids()) == 1, "only pid 1 is left")


def test_orphans_are_reaped(scratch_host: ScratchHost) -> None:
    for _ in range(5):
        scratch_host.run(["sh", "-c", "(sleep 0.01 >/dev/null 2>&1 &)"], check=True)
    scratch_host.wait_until(lambda: len(scratch_host.pids()) == 1, "only pid 1 is left")


def test_write_and_read(scratch_host: ScratchHost) -> None:
    data = bytes(range(256)) * 1000
    scratch_host.write("/etc/x file", data, mode=0o640, uid=12, gid=34)
    assert scratch_host.read("/etc/x file") == data
    assert scratch_host.run(["stat", "-c", "%u %g %a", "/etc/x file"]).stdout == "12 34 640\n"
    # An absolute link must lead into the scratch host.
    scratch_host.run(["ln", "-s", "/run", "/var/scratch-link"], check=True)
    scratch_host.write("/var/scratch-link/y", "inside")
    assert not os.path.exists("/run/y")
    assert scratch_host.read("/run/y") == b"inside"
    with pytest.raises(JailsshError, match="No such file"):
        scratch_host.read("/etc/none")


@pytest.mark.needs("journald")
@pytest.mark.parametrize("storage", ["volatile", "persistent"])
def test_journal(scratch_host: ScratchHost, storage: str) -> None:
    with pytest.raises(JailsshError, match="is not running"):
        scratch_host.journal()
    scratch_host.start_journald(storage)
    record = "MESSAGE=hello\nJAILSSH_EVENT=test\nJAILSSH_COMMAND=a\x01b\nLONG=" + "x" * 20000 + "\n"
    for _ in range(20):
        scratch_host.run(["logger", "--journald"], input=record, check=True)
    scratch_host.run(["logger", "other"], user="nobody", check=True)
    records = scratch_host.journal(JAILSSH_EVENT="test")
    assert [entry["MESSAGE"] for entry in records] == ["hello"] * 20
    assert records[0]["JAILSSH_COMMAND"] == "a\x01b"
    assert len(records[0]["LONG"]) == 20000
    assert scratch_host.journal(MESSAGE="other")[0]["_UID"] == str(65534)
    assert scratch_host.journal(JAILSSH_EVENT="nothing") == []
    persistent = scratch_host.run(["test", "-d", "/var/log/journal"]).code == 0
    assert persistent == (storage == "persistent")


@pytest.mark.needs("sshd")
def test_logins(scratch_host: ScratchHost) -> None:
    scratch_host.start_sshd()
    client = SshClient(scratch_host)
    scratch_host.run(["useradd", "-m", "-s", "/bin/sh", "plain"], check=True)
    assert "Permission denied" in client.ssh("plain", "true").stderr
    client.authorize("plain")
    assert client.ssh("plain", "id -un; exit 5").stdout == "plain\n"
    assert client.ssh("plain", "exit 5").code == 5
    assert client.ssh("plain", input="echo typed $((6*7))\n").stdout.endswith("typed 42\n")
    assert client.ssh("plain", "tty", tty=True).stdout.startswith("/dev/pts/")
    assert "Accepted publickey for plain" in scratch_host.sshd_log()
    client.write("file", "content")
    assert client.sftp("plain", "put file by-sftp\nls -1\n").code == 0
    assert client.scp(["file", "plain@scratch:by-scp"]).code == 0
    assert client.scp(["-O", "file", "plain@scratch:by-old-scp"]).code == 0
    assert client.ssh("plain", "cat by-sftp by-scp by-old-scp").stdout == "content" * 3
    running = client.start_ssh("plain", "echo up; cat")
    assert running.stdout is not None
    assert running.stdout.readline() == b"up\n"
    os.killpg(running.pid, signal.SIGKILL)
    scratch_host.wait_until(lambda: "cat" not in scratch_host.pids().values(), "the session is gone")


@pytest.mark.needs("sshd", "git", "rsync")
def test_transfers(scratch_host: ScratchHost) -> None:
    scratch_host.start_sshd(port=2222)
    client = SshClient(scratch_host, account="mover", port=2222)
    scratch_host.run(["useradd", "-m", "plain"], check=True)
    client.authorize("plain")
    client.write("file", "content")
    assert client.rsync(["-a", "file", "plain@scratch:by-rsync"]).code == 0
    assert client.ssh("plain", "cat by-rsync && git init -q --bare repo").stdout == "content"
    assert client.git(["clone", "-q", "plain@scratch:repo", "work"]).code == 0
    pushed = "git add file && git commit -qm one && git push -q origin HEAD"
    client.run(["cp", "file", "work/file"], check=True)
    for step in pushed.split(" && "):
        done = client.git(step.split()[1:], cwd=f"{client.home}/work")
        assert done.code == 0, done.stderr
    assert client.ssh("plain", "git -C repo log --all --format=%an:%s").stdout == "Client:one\n"


@pytest.mark.needs("sshd")
def test_sshd_configuration(scratch_host: ScratchHost) -> None:
    with pytest.raises(JailsshError, match="Bad configuration option: Nonsense"):
        scratch_host.start_sshd("Nonsense yes")
    with pytest.raises(JailsshError, match="is not running"):
        scratch_host.reload_sshd()
    scratch_host.start_sshd("Match User plain\n  ForceCommand echo forced")
    client = SshClient(scratch_host)
    scratch_host.run(["useradd", "-m", "plain"], check=True)
    client.authorize("plain")
    assert client.ssh("plain", "true").stdout == "forced\n"
    drop_in = "/etc/ssh/sshd_config.d/10-test.conf"
    scratch_host.write(drop_in, "Match User plain\n  ForceCommand echo reloaded\n")
    for _ in range(3):
        scratch_host.reload_sshd()
        assert client.ssh("plain", "true").stdout == "reloaded\n"
    scratch_host.write(drop_in, "Broken\n")
    with pytest.raises(JailsshError, match="sshd -t"):
        scratch_host.reload_sshd()
    assert client.ssh("plain", "true").stdout == "reloaded\n"
    scratch_host.run(["rm", drop_in], check=True)
    scratch_host.start_sshd()
    assert client.ssh("plain", "echo mine").stdout == "mine\n"
    # What takes most of a login is left out: an exchange of keys that nobody could break later.
    settings = scratch_host.run(["/usr/sbin/sshd", "-T"], check=True).stdout
    assert "kexalgorithms curve25519-sha256,ecdh-sha2-nistp256\n" in settings


def test_what_is_missing_is_named(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(HostError, match="scratch host: cannot open /no/such/dir: No such file"),
        ScratchHost(install={"/no/such/dir": "/usr/local"}),
    ):
        pass
    with (
        pytest.raises(HostError, match="on /no/such/target: No such file"),
        ScratchHost(install={str(tmp_path): "/no/such/target"}),
    ):
        pass
    monkeypatch.setattr(host, "PATH", str(tmp_path))
    with pytest.raises(HostError, match="nsenter is not installed") as caught, ScratchHost():
        pass
    assert caught.value.hint == "apt-get install util-linux"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(HostError, match="must be run as root"), ScratchHost():
        pass


@pytest.mark.alone
def test_two_at_once_and_quickly() -> None:
    times = []
    for _ in range(5):
        start = time.monotonic()
        with ScratchHost() as one:
            times.append(time.monotonic() - start)
            with ScratchHost() as two:
                one.write("/etc/which", "one")
                two.write("/etc/which", "two")
                assert (one.read("/etc/which"), two.read("/etc/which")) == (b"one", b"two")
    assert min(times) < 0.3
