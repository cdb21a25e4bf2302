"""What a client that is not OpenSSH's can do with channels: paramiko speaks the protocol itself."""

from __future__ import annotations

from collections.abc import Iterator

import paramiko
import pytest

from jailssh.core import journal_fields as fields
from tests.harness.probe import Facts
from tests.harness.said import denial_of
from tests.sshd.world import World, ending, pick

pytestmark = pytest.mark.needs("root", "sshd", "journald", "login-program", "gcc")


@pytest.fixture
def shell(world: World) -> Iterator[paramiko.Transport]:
    with world.connect("shell") as transport:
        yield transport


@pytest.fixture
def sftp_only(world: World) -> Iterator[paramiko.Transport]:
    with world.connect("sftp-only") as transport:
        yield transport


def run(transport: paramiko.Transport, command: str) -> tuple[int, bytes, bytes]:
    channel = transport.open_session()
    channel.exec_command(command)
    return ending(channel)


def read_until(channel: paramiko.Channel, wanted: bytes, timeout: float = 10.0) -> bytes:
    """Read a terminal until ``wanted`` is there; what was read comes back."""
    channel.settimeout(timeout)
    data = b""
    while wanted not in data:
        chunk = channel.recv(4096)
        assert chunk, f"ended after {data!r}"
        data += chunk
    return data


def test_a_session_of_the_sftp_subsystem(world: World, sftp_only: paramiko.Transport) -> None:
    world.put("/home/sftp-only/there.txt", "x", "sftp-only")
    client = paramiko.SFTPClient.from_transport(sftp_only)
    assert client is not None
    with client:
        assert client.normalize(".") == "/home/sftp-only"
        assert "there.txt" in client.listdir(".")
        assert client.listdir("/home") == ["sftp-only"]
        with client.open("new.txt", "w") as file:
            file.write("y" * 100_000)
        client.rename("new.txt", "newer.txt")
        client.symlink("/etc/shadow", "link")
        for missing in ("link", "/etc/shadow", "/root/.profile", "/var/lib/jailssh", "/proc/1/root"):
            with pytest.raises(OSError):
                client.stat(missing)
        with pytest.raises(OSError):
            client.open("/etc/passwd", "a")
        with pytest.raises(OSError):
            client.mkdir("/new")
    assert world.host.run(["stat", "-c", "%U %s", "/home/sftp-only/newer.txt"]).stdout == "sftp-only 100000\n"


@pytest.mark.parametrize("command", ["internal-sftp", "internal-sftp -d /etc", "/usr/lib/openssh/sftp-server -e -u 0"])
def test_sftp_as_a_command_is_the_same_and_its_flags_are_dropped(world: World, command: str) -> None:
    with world.connect("sftp-ro") as transport:
        channel = transport.open_session()
        channel.exec_command(command)
        with paramiko.SFTPClient(channel) as client:
            assert client.normalize(".") == "/home/sftp-ro"
            with pytest.raises(OSError):
                client.mkdir("made")
    # The command does not wait for the record of its start.
    world.host.wait_until(lambda: world.last_login("sftp-ro")[0].get(fields.COMMAND) == command, "the record")


@pytest.mark.parametrize("status", [0, 1, 42, 124, 125, 126, 127, 128, 255])
def test_the_exit_status_is_the_commands(shell: paramiko.Transport, status: int) -> None:
    assert run(shell, f"exit {status}") == (status, b"", b"")


@pytest.mark.parametrize(("signal", "number"), [("TERM", 15), ("KILL", 9), ("SEGV", 11), ("HUP", 1)])
def test_a_signal_is_128_and_its_number(shell: paramiko.Transport, signal: str, number: int) -> None:
    assert run(shell, f"kill -{signal} $$")[0] == 128 + number


def test_output_and_errors_are_apart_and_input_arrives(shell: paramiko.Transport) -> None:
    channel = shell.open_session()
    channel.exec_command("cat; echo wrong >&2; exit 9")
    channel.sendall(b"\x00\xff binary\r\n" * 1000)
    channel.shutdown_write()
    assert ending(channel) == (9, b"\x00\xff binary\r\n" * 1000, b"wrong\n")


def test_a_terminal_with_its_size_and_a_change_of_it(world: World, shell: paramiko.Transport) -> None:
    with shell.open_session() as channel:
        channel.get_pty("xterm-256color", width=101, height=37)
        channel.invoke_shell()
        channel.sendall(b"trap 'stty size' WINCH; PS1=; tty; stty size; echo $TERM\r")
        assert b"/dev/pts/0\r\n37 101\r\nxterm-256color\r\n" in read_until(channel, b"xterm-256color\r\n")
        channel.resize_pty(width=120, height=50)
        assert read_until(channel, b"50 120\r\n")
        channel.sendall(b"sleep 1000\r")
        world.host.wait_until(lambda: "sleep 1000" in world.processes_of("shell"), "the command runs")
        channel.sendall(b"\x03")  # the terminal's own signal goes to the command, not to the login
        channel.sendall(b"echo st''ill; exit 5\r")
        read_until(channel, b"still\r\n")
        assert channel.recv_exit_status() == 5


def test_the_terminal_is_the_jails_own(world: World, shell: paramiko.Transport) -> None:
    outside = world.host.run(["stat", "-c", "%d", "/dev/pts"], check=True).stdout.strip()
    with shell.open_session() as channel:
        channel.get_pty()
        channel.exec_command("stat -c 'device %d' /dev/pts; ls /dev/pts | tr '\\n' ' '; ls -l /proc/self/fd/")
        text = ending(channel)[1].decode()
    assert f"device {outside}\r\n" not in text
    assert "device " in text
    assert "0 ptmx " in text
    assert "-> /dev/pts/0" in text


def test_channels_of_one_connection_have_jails_of_their_own(shell: paramiko.Transport, world: World) -> None:
    first, second = shell.open_session(), shell.open_session()
    for channel in (first, second):
        channel.exec_command("read line; touch /tmp/$line; ls /tmp /proc | tr '\\n' ' '; ls -l /proc/1/ns/pid 2>&1")
    for channel, name in ((first, b"left"), (second, b"right")):
        channel.sendall(name + b"\n")
    texts = [ending(channel)[1] for channel in (first, second)]
    assert (b"left" in texts[0], b"right" in texts[0]) == (True, False)
    assert (b"left" in texts[1], b"right" in texts[1]) == (False, True)
    assert len({record[fields.SESSION] for record in world.records("shell")[-4:]}) == 2


def test_each_channel_is_judged(sftp_only: paramiko.Transport) -> None:
    client = paramiko.SFTPClient.from_transport(sftp_only)
    assert client is not None
    assert run(sftp_only, "id") == (126, b"", b"jailssh: command not allowed; this account allows: sftp\n")
    assert client.listdir("/home") == ["sftp-only"]
    client.close()


def test_variables_that_a_client_sends(world: World) -> None:
    # What sshd's AcceptEnv lets pass the login program checks again by name and by value.
    sent = {
        "LANG": "C.UTF-8",
        "LC_ALL": "../../home/probing/locale",
        "LC_TIME": "de_DE.UTF-8",
        "GIT_PROTOCOL": "version=2",
        "LD_PRELOAD": "/home/probing/evil.so",
        "SSH_ORIGINAL_COMMAND": "internal-sftp",
        "BASH_ENV": "/home/probing/evil",
        "PATH": "/home/probing/bin",
        "HOME": "/",
        "USER": "root",
    }
    with world.connect("probing") as transport:
        channel = transport.open_session()
        for name, value in sent.items():
            channel.set_environment_variable(name, value)
        channel.exec_command("env")
        status, out, _ = ending(channel)
    assert status == 0
    got = dict(line.split("=", 1) for line in out.decode().splitlines())
    assert (got["LANG"], got["LC_TIME"], got["GIT_PROTOCOL"]) == ("C.UTF-8", "de_DE.UTF-8", "version=2")
    assert (got["HOME"], got["USER"], got["PATH"]) == ("/home/probing", "probing", "/usr/local/bin:/usr/bin:/bin")
    assert {"LC_ALL", "LD_PRELOAD", "BASH_ENV", "SSH_ORIGINAL_COMMAND"} & set(got) == set()


def test_forwarding_of_everything_is_refused(shell: paramiko.Transport) -> None:
    for kind in ("direct-tcpip", "x11", "auth-agent@openssh.com"):
        with pytest.raises(paramiko.ChannelException):
            shell.open_channel(kind, ("127.0.0.1", 22), ("127.0.0.1", 1))
    with pytest.raises(paramiko.SSHException):
        shell.request_port_forward("127.0.0.1", 8022)
    with shell.open_session() as channel, pytest.raises(paramiko.SSHException):
        channel.request_x11(handler=lambda *_: None)
    with shell.open_session() as channel:
        channel.request_forward_agent(lambda _: None)
        channel.exec_command("env; ls -a /tmp")
        assert b"SSH_AUTH_SOCK" not in ending(channel)[1]


def test_what_the_kernel_shows_of_a_login(world: World) -> None:
    world.put("/home/probing/probe", world.host.read("/srv/probe"), "probing", 0o755)
    with world.connect("probing") as transport:
        status, out, _ = run(transport, "./probe facts")
    assert status == 0
    inside = Facts(out.decode())
    outside = Facts(world.host.run(["/srv/probe", "facts"], user="client", check=True).stdout)
    for name in ("mnt", "pid", "ipc", "uts", "cgroup", "net"):
        assert inside[f"ns.{name}"] != outside[f"ns.{name}"]
    assert sorted({value.split("|")[0].split(":")[0] for value in inside.all("fd")}) == ["0", "1", "2"]


def test_records_of_a_login(world: World, shell: paramiko.Transport) -> None:
    command = "printf 'x\\ty' >/dev/null; exit 4 # \u00e9 \x1b[31m \x07"
    assert run(shell, command)[0] == 4
    start, end = world.last_login("shell")
    same = (fields.USER, fields.UID, fields.JAIL, fields.PLAN, fields.SESSION)
    assert pick(start, *same) == pick(end, *same)
    assert pick(start, fields.USER, fields.UID, fields.JAIL) == {
        "user": "shell",
        "uid": str(world.uid("shell")),
        "jail": "shell",
    }
    assert pick(start, "MESSAGE_ID", fields.RULE, fields.PLUGIN) == {
        "message_id": fields.MESSAGE_IDS[fields.Event.SESSION_START],
        "rule": "shell.command",
        "plugin": "shell",
    }
    assert start[fields.COMMAND] == "printf 'x\\ty' >/dev/null; exit 4 # \u00e9 \\x1b[31m \\x07"
    peer = shell.sock.getsockname()
    assert start[fields.PEER] == end[fields.PEER] == f"127.0.0.1 {peer[1]} 127.0.0.1 22"
    assert (end["MESSAGE_ID"], end[fields.EXIT]) == (fields.MESSAGE_IDS[fields.Event.SESSION_END], "4")
    assert int(end[fields.DURATION]) > 0
    assert int(end[fields.CPU]) > 0
    assert int(end[fields.MAXRSS]) > 0
    assert start["_UID"] == end["_UID"] == str(world.uid("shell")), "written after the drop, and the kernel says so"


@pytest.mark.parametrize(
    ("command", "reason", "shown"),
    [
        ("true; id", "shell-metacharacter", "true; id"),
        ("internal-sftp\nid", "shell-metacharacter", "internal-sftp\\x0aid"),
        ("scp\t-t .", "control-character", "scp\\x09-t ."),
        ("scp -t 'x", "unbalanced-quote", "scp -t 'x"),
        ("", "empty-command", ""),
        ("  ", "empty-command", "  "),
        ("SCP -t .", "command-not-allowed", "SCP -t ."),
        ("/usr/bin/../bin/scp -t .", "command-not-allowed", "/usr/bin/../bin/scp -t ."),
        ("scp -tS/tmp/x .", "option-not-allowed", "scp -tS/tmp/x ."),
        ("scp -oProxyCommand=id a b:c", "option-not-allowed", "scp -oProxyCommand=id a b:c"),
        ("scp -t .; PRIORITY=0", "shell-metacharacter", "scp -t .; PRIORITY=0"),
    ],
)
def test_records_of_a_denial(world: World, command: str, reason: str, shown: str) -> None:
    with world.connect("scp-sftp") as transport:
        code, out, err = run(transport, command)
    assert (code, out) == (126, b"")
    denial_of(err.decode("ascii"), "this account allows: scp, sftp")
    (record,) = world.last_login("scp-sftp")
    assert pick(record, fields.EVENT, fields.REASON, fields.COMMAND, fields.EXIT, "MESSAGE_ID", "PRIORITY") == {
        "event": "denied",
        "reason": reason,
        "command": shown,
        "exit": "126",
        "message_id": fields.MESSAGE_IDS[fields.Event.DENIED],
        "priority": "5",
    }


@pytest.mark.parametrize(
    ("command", "rule"),
    [("scp -tS/tmp/x .", "scp.upload"), ("scp -f ~root/x", "scp.download"), ("scp -t . .", "scp.upload"), ("id", None)],
)
def test_a_denial_names_the_rule_that_nearly_matched(world: World, command: str, rule: str | None) -> None:
    with world.connect("scp-sftp") as transport:
        assert run(transport, command)[0] == 126
    (record,) = world.last_login("scp-sftp")
    assert record.get(fields.RULE) == rule


def test_a_command_longer_than_any_is_denied_and_bounded_in_the_journal(world: World) -> None:
    with world.connect("scp-sftp") as transport:
        status, out, _ = run(transport, "scp -t " + "a" * 100_000)
    assert (status, out) == (126, b"")
    (record,) = world.last_login("scp-sftp")
    assert record[fields.REASON] == "command-too-long"
    assert 1000 < len(record[fields.COMMAND]) < 10_000
