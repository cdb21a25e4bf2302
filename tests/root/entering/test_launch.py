"""Daemons in trees: their pid, their signals, their end, and what a service manager passes to them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from jailssh.scratch.host import Finished, ScratchHost

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("login-program")]

TREE = "/srv/tree"
DAEMON = """
import os, signal, socket, sys, time
def say(text):
    to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    to.connect(os.environ["NOTIFY_SOCKET"])
    to.send(text.encode())
log = open("/srv/log", "a", buffering=1)
signal.signal(signal.SIGHUP, lambda *_: log.write("reload\\n"))
signal.signal(signal.SIGTERM, lambda *_: (log.write("term\\n"), sys.exit(3)))
log.write(f"pid {os.getpid()} uid {os.getuid()} groups {os.getgroups()} listen {os.environ.get('LISTEN_FDS')} "
          f"{os.environ.get('LISTEN_PID')} {os.environ.get('LISTEN_FDNAMES')} "
          f"fds {sorted(os.listdir('/proc/self/fd'))}\\n")
if "NOTIFY_SOCKET" in os.environ:
    say("READY=1\\nMAINPID=1\\nSTATUS=up\\nFDSTORE=1\\nFDNAME=x")
if os.environ.get("LISTEN_FDS"):
    with socket.socket(fileno=3) as at:
        there, _ = at.accept()
        there.sendall(b"served")
        there.close()
while True:
    time.sleep(1)
"""
# Plays the part of systemd: a socket that listens, one for what daemons say.
MANAGER = """
import os, socket, sys
said = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
said.bind("/run/said")
os.chmod("/run/said", 0o777)
at = socket.socket()
at.bind(("127.0.0.1", 0))
at.listen()
pid = os.fork()
if pid == 0:
    low = os.dup(at.fileno())
    os.dup2(low, 3)
    os.environ.update(NOTIFY_SOCKET="/run/said", LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="web")
    os.execvp(sys.argv[1], sys.argv[1:])
said.settimeout(20)
print(said.recv(4096))
with socket.create_connection(at.getsockname()) as there:
    print(there.recv(100))
os.kill(pid, 1)
import time; time.sleep(0.3)
os.kill(pid, 15)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[ScratchHost]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        script = f"mkdir -p {TREE} && cd {TREE} && mkdir usr proc dev etc tmp root srv && chmod 777 srv"
        links = " && ".join(f"ln -s usr/{name} {name}" for name in ("bin", "sbin", "lib", "lib64"))
        scratch.run(["sh", "-c", f"{script} && {links}"], check=True)
        scratch.write(f"{TREE}/daemon.py", DAEMON)
        scratch.write("/root/manager.py", MANAGER)
        yield scratch


@pytest.fixture(autouse=True)
def no_log(host: ScratchHost) -> None:
    host.run(["rm", "-f", f"{TREE}/srv/log", "/run/said"], check=True)


LAUNCH = ["jailssh", "launch", "--bind", "/usr::ro"]
PYTHON = ["--", "/usr/bin/python3", "/daemon.py"]


def log(host: ScratchHost) -> str:
    return host.run(["cat", f"{TREE}/srv/log"]).stdout


def in_background(host: ScratchHost, *options: str) -> Finished:
    return host.run([*LAUNCH, "-b", "-p", "/run/d.pid", *options, TREE, *PYTHON], timeout=20)


def test_in_the_background_with_the_pid_of_the_real_process(host: ScratchHost) -> None:
    done = in_background(host, "-u", "nobody")
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    pid = host.read("/run/d.pid").decode().strip()
    assert "daemon.py" in host.run(["cat", f"/proc/{pid}/cmdline"]).stdout
    assert host.run(["readlink", f"/proc/{pid}/fd/0", f"/proc/{pid}/fd/2"]).stdout == "/dev/null\n/dev/null\n"
    assert "Z" not in host.run(["ps", "-eo", "stat="]).stdout
    host.wait_until(lambda: "pid 2 uid 65534 groups [] listen None" in log(host), "the daemon to begin")
    host.run(["kill", "-HUP", pid], check=True)
    host.wait_until(lambda: "reload" in log(host), "the daemon to reload")
    host.run(["kill", pid], check=True)
    host.wait_until(lambda: host.run(["test", "-e", "/run/d.pid"]).code == 1, "the pid file to go")
    assert log(host).endswith("term\n")
    host.wait_until(
        lambda: not any("jailssh-run" in line for line in host.pids().values()), "all of it to go", timeout=20
    )


@pytest.mark.parametrize(
    ("options", "command", "code", "said"),
    [
        ([], ["/nosuch"], 127, "/nosuch: no such program in the tree"),
        ([], ["/etc"], 126, "Permission denied"),
        (["-u", "nosuchuser"], ["true"], 125, "does not exist"),
        (["-c", "/nowhere"], ["true"], 125, "/nowhere: No such file"),
        (["--tmpfs", "/nowhere"], ["true"], 125, "/nowhere: No such file"),
        (["-p", "/nowhere/x"], ["sleep", "100"], 125, "/nowhere/x: No such file"),
        (["-p", "/proc/x"], ["sleep", "100"], 137, "x: "),
    ],
)
def test_what_does_not_start_is_told(
    host: ScratchHost, options: list[str], command: list[str], code: int, said: str
) -> None:
    for background in ([], ["-b"]):
        done = host.run([*LAUNCH, *background, *options, TREE, "--", *command], timeout=20)
        assert (done.code, said in done.stderr) == (code, True), (background, done)
    assert not any("sleep 100" in line for line in host.pids().values())


def test_in_the_foreground_it_is_waited_for(host: ScratchHost) -> None:
    assert host.run([*LAUNCH, TREE, "--", "sh", "-c", "exit 9"]).code == 9
    assert host.run([*LAUNCH, TREE, "--", "sh", "-c", "kill -9 $$"]).code == 137
    line = shlex.join([*LAUNCH, "-p", "/run/f.pid", TREE, *PYTHON])
    script = f"{line} & sleep 1.5; kill -TERM $!; wait $!; echo $?; cat /run/f.pid"
    done = host.run(["sh", "-c", script])
    assert done.stdout == "3\n", done
    assert log(host).endswith("term\n")


def test_a_service_managers_sockets_and_messages_are_passed_on(host: ScratchHost) -> None:
    done = host.run(["python3", "/root/manager.py", *LAUNCH, TREE, *PYTHON], timeout=30)
    said, served, code = done.stdout.splitlines()
    assert (said, served, code) == (r"b'READY=1\nSTATUS=up\n'", "b'served'", "3"), done
    # Its pid is 3: another one passes the messages on.  A descriptor of the list is the list's own.
    assert re.match(r"pid (\d) uid 0 groups \[\] listen 1 \1 web fds \['0', '1', '2', '3', '4', '5'\]", log(host)), log(
        host
    )
    assert log(host).endswith("reload\nterm\n")


# Says what a daemon says that reloads, and hears it as systemd would.
RELOADS = """
import os, socket
to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
to.connect(os.environ["NOTIFY_SOCKET"])
for text in ("RELOADING=1\\nMONOTONIC_USEC=7\\nSTATUS=reloading", "READY=1", "X=1"):
    to.send(text.encode())
"""
HEARS = """
import os, socket, subprocess, sys
said = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
said.bind("/run/said")
os.chmod("/run/said", 0o777)
subprocess.run(sys.argv[1:], env={**os.environ, "NOTIFY_SOCKET": "/run/said"}, timeout=20)
said.setblocking(False)
try:
    while True:
        print(said.recv(4096))
except BlockingIOError:
    pass
"""


def test_nothing_of_a_message_is_passed_on_with_the_next_one(host: ScratchHost) -> None:
    host.write(f"{TREE}/reloads.py", RELOADS)
    host.write("/root/hears.py", HEARS)
    done = host.run(["python3", "/root/hears.py", *LAUNCH, TREE, "--", "python3", "/reloads.py"], timeout=30)
    said = [r"b'RELOADING=1\nMONOTONIC_USEC=7\nSTATUS=reloading\n'", r"b'READY=1\n'"]
    assert done.stdout.splitlines() == said, done


FORKS = "sh -c 'exec >/dev/null 2>&1; sleep 4331 & echo $! >/srv/log'"


@pytest.mark.parametrize("background", [[], ["-b"]], ids=["foreground", "background"])
def test_a_daemon_that_puts_itself_into_the_background_stays(host: ScratchHost, background: list[str]) -> None:
    done = host.run([*LAUNCH, *background, "-p", "/run/s.pid", TREE, "--", *shlex.split(FORKS)], timeout=20)
    assert done.code == 0, done
    host.wait_until(lambda: any("sleep 4331" in line for line in host.pids().values()), "the daemon")
    host.wait_until(lambda: "jailssh-run" in command_of(host, "/run/s.pid"), "the file to have who is left")
    host.run(["sh", "-c", "kill $(cat /run/s.pid)"], check=True)
    host.wait_until(lambda: host.run(["test", "-e", "/run/s.pid"]).code == 1, "the pid file to go")
    host.wait_until(
        lambda: not any("jailssh-run" in line for line in host.pids().values()), "all of it to go", timeout=20
    )
    assert not any("4331" in line for line in host.pids().values())


def command_of(host: ScratchHost, path: str) -> str:
    return host.run(["sh", "-c", f"cat /proc/$(cat {path})/cmdline"]).stdout


def test_by_jailkits_name(host: ScratchHost) -> None:
    name = "/usr/local/libexec/jailssh/compat/jk_chrootlaunch"
    host.run(["mount", "--bind", "/usr", f"{TREE}/usr"], check=True)
    try:
        shown = "id -u; id -g; id -G; exit 4"
        done = host.run([name, "-j", TREE, "-u", "65534", "-g", "65534", "-x", "/bin/sh", "--", "-c", shown])
        assert (done.code, done.stdout.split()) == (4, ["65534"] * 3), done
        by_host = host.run([name, f"--jail={TREE}/", "-x", f"{TREE}/bin/sh", "--", "-c", "echo $0"])
        assert (by_host.code, by_host.stdout) == (0, "/bin/sh\n"), by_host
        for words, code in ((["-j", "srv/tree", "-x", "/bin/sh"], 27), (["-j", TREE], 1), (["-x", "/bin/sh"], 1),
                            (["-j", TREE, "-u", "nosuchuser", "-x", "/bin/sh"], 125)):  # fmt: skip
            assert host.run([name, *words]).code == code, words
    finally:
        host.run(["umount", f"{TREE}/usr"], check=True)


def test_only_sockets_are_passed_on(host: ScratchHost) -> None:
    script = f"exec 3</; exec python3 -c '{EXEC}' {shlex.join([*LAUNCH, TREE, *PYTHON])}"
    done = host.run(["sh", "-c", script])
    assert (done.code, "is no socket" in done.stderr) == (125, True), done


EXEC = """import os, sys
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execvp(sys.argv[1], sys.argv[1:])"""


def test_sockets_of_another_process_are_not_taken(host: ScratchHost) -> None:
    env = {"LISTEN_FDS": "1", "LISTEN_PID": "1"}
    done = host.run([*LAUNCH, TREE, "--", "sh", "-c", "echo $LISTEN_FDS.; ls /proc/self/fd | wc -l"], env=env)
    assert done.stdout == ".\n4\n", done


def test_a_unit_is_complete(host: ScratchHost, tmp_path_factory: pytest.TempPathFactory) -> None:
    line = [
        "launch",
        "--unit",
        "web",
        "--notify",
        "-u",
        "nobody",
        "--bind",
        "/usr::ro",
        "--keep-cap",
        "net_bind_service",
        TREE,
    ]
    done = host.run(["jailssh", *line, "--", "/bin/sh", "-c", "echo $HOME 100%; sleep 1"])
    assert done.code == 0, done
    assert "Type=notify" in done.stdout
    assert 'echo $$HOME 100%%; sleep 1"' in done.stdout
    host.write("/etc/systemd/system/web.service", done.stdout)
    verified = host.run(["systemd-analyze", "verify", "/etc/systemd/system/web.service"])
    mine = [row for row in (verified.stdout + verified.stderr).splitlines() if "web.service" in row]
    assert (verified.code, mine) == (0, []), verified
    for words, why in ((["-b"], "cannot be combined"), (["--bind", "x:/srv"], "no absolute path")):
        refused = host.run(["jailssh", *line[:3], *words, *line[3:], "--", "true"])
        assert (refused.code, why in refused.stderr) == (2, True), refused
