"""Large transfers, clients that vanish in the middle of one, and rsync as people use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import paramiko
import pytest

from jailssh.core import journal_fields as fields
from jailssh.scratch.host import Finished
from jailssh.selftest import channels, matrix
from jailssh.selftest.client import Connection
from tests.harness.client import SshClient
from tests.harness.said import denial_of
from tests.sshd.world import World, ending

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "scp", "rsync", "journald", "login-program")

MEGABYTES = 50
Transfer = Callable[[SshClient, str], Finished]
TRANSFERS: dict[str, tuple[str, Transfer, str]] = {
    "sftp": ("sftp-only", lambda client, user: client.sftp(user, "put big big.up\nget big.up big.down\n"), "big.up"),
    "scp": ("scp-sftp", lambda client, user: both(client, [], user), "big.up"),
    "scp -O": ("scp-sftp", lambda client, user: both(client, ["-O"], user), "big.up"),
    "rsync": (
        "rsync-backup",
        lambda client, user: client.rsync(["big", f"{user}@host:backup/big.up"]),
        "backup/big.up",
    ),
    "rsync -z": (
        "rsync-backup",
        lambda client, user: client.rsync(["-z", "--partial", "big", f"{user}@host:backup/big.up"]),
        "backup/big.up",
    ),
}


def both(client: SshClient, options: list[str], user: str) -> Finished:
    up = client.scp([*options, "big", f"{user}@host:big.up"])
    assert up.code == 0, up
    return client.scp([*options, f"{user}@host:big.up", "big.down"])


@pytest.fixture(scope="module", autouse=True)
def big(world: World) -> None:
    world.client.run(["dd", "if=/dev/urandom", "of=big", "bs=1M", f"count={MEGABYTES}", "status=none"], check=True)
    world.host.run(["install", "-d", "-o", "rsync-backup", "/home/rsync-backup/backup"], check=True)


def checksum(world: World, path: str) -> str:
    return world.host.run(["sha256sum", path], check=True).stdout.split()[0]


@pytest.mark.parametrize("user", ["sftp-only", "scp-sftp"])
def test_a_copy_on_the_server(world: World, user: str) -> None:
    world.put(f"/home/{user}/first", "one\n", user)
    done = world.client.sftp(user, "cp first second\n")
    # Before OpenSSH of 2026 a file that is copied onto itself under another name fills the disk.
    assert (done.code, "does not support copy-data" in done.stderr) == (1, True)
    assert not world.exists(f"/home/{user}/second")


@pytest.mark.parametrize("name", TRANSFERS)
def test_large(world: World, name: str) -> None:
    user, transfer, path = TRANSFERS[name]
    there = f"/home/{user}/{path}"
    world.host.run(["rm", "-f", there, "/home/client/big.down"], check=True)
    done = transfer(world.client, user)
    assert done.code == 0, done
    wanted = checksum(world, "/home/client/big")
    assert checksum(world, there) == wanted
    if world.exists("/home/client/big.down"):
        assert checksum(world, "/home/client/big.down") == wanted
    world.host.run(["rm", "-f", there], check=True)


VANISHING = {
    "sftp": ("sftp-only", ["sh", "-c", "echo put big | sftp -l 40000 -b- sftp-only@host"], "big"),
    "scp": ("scp-sftp", ["scp", "-l", "40000", "big", "scp-sftp@host:"], "big"),
    "scp -O": ("scp-sftp", ["scp", "-O", "-l", "40000", "big", "scp-sftp@host:"], "big"),
    "rsync": ("rsync-backup", ["rsync", "--bwlimit=5m", "big", "rsync-backup@host:backup/"], "backup/.big.*"),
}


@pytest.mark.parametrize("name", VANISHING)
def test_a_client_that_vanishes_leaves_no_process(world: World, name: str) -> None:
    user, command, path = VANISHING[name]
    world.host.run(["sh", "-c", f"rm -f ~{user}/{path}"])
    there = ["sh", "-c", f"stat -c %s /home/{user}/{path}"]
    with world.vanishing(world.host.popen(command, user="client", cwd=world.client.home)):
        world.host.wait_until(lambda: int(world.host.run(there).stdout or 0) > 1 << 20, "a megabyte is there")
        assert world.processes_of(user)
    world.host.wait_until(lambda: world.processes_of(user) == [], "nothing of the session is left")
    assert not [line for line in world.host.pids().values() if f"sshd: {user}" in line]
    world.host.wait_until(
        lambda: world.last_login(user)[-1][fields.EVENT] == "session-end", "the end is in the journal"
    )
    size = world.host.run(["sh", "-c", f"cat ~{user}/{path} 2>/dev/null | wc -c"]).stdout
    assert int(size) < MEGABYTES << 20, "what came of the file is a part"
    world.host.run(["sh", "-c", f"rm -f ~{user}/{path}"])


def test_a_shell_whose_client_vanishes_leaves_nothing(world: World) -> None:
    """Also what was put into the background, deaf to every signal that can be ignored."""
    script = "trap '' HUP TERM INT PIPE; (nohup sleep 1001 >/dev/null 2>&1 </dev/null &); sleep 1002"
    with world.running("shell", script):
        world.host.wait_until(
            lambda: {"sleep 1001", "sleep 1002"} <= set(world.processes_of("shell")), "the commands run"
        )
    world.host.wait_until(lambda: world.processes_of("shell") == [], "nothing is left")


def test_a_process_in_the_background_does_not_outlive_its_session(world: World) -> None:
    script = "(nohup sleep 1003 >/dev/null 2>&1 </dev/null &); until grep -qs 1003 /proc/[0-9]*/cmdline; do :; done"
    assert world.client.ssh("shell", script).code == 0
    world.host.wait_until(lambda: world.processes_of("shell") == [], "nothing is left")


def test_rsync_of_a_tree_with_links_and_a_second_generation(world: World) -> None:
    script = (
        "mkdir -p tree/sub && echo a >tree/a && ln -sf a tree/link && ln -f tree/a tree/sub/hard && chmod 640 tree/a"
    )
    world.client.run(["sh", "-c", script], check=True)
    options = ["-aHz", "--delete", "--numeric-ids"]
    assert world.client.rsync([*options, "tree/", "rsync-backup@host:backup/day1/"]).code == 0
    again = ["--link-dest=/home/rsync-backup/backup/day1", "tree/", "rsync-backup@host:backup/day2/"]
    assert world.client.rsync([*options, *again]).code == 0
    inodes = world.host.run(["sh", "-c", "stat -c %i /home/rsync-backup/backup/day?/a"], check=True).stdout.split()
    assert inodes[0] == inodes[1]
    listed = world.host.run(["find", "/home/rsync-backup/backup/day1", "-printf", "%P %y %m\n"]).stdout.splitlines()
    assert {"a f 640", "link l 777", "sub/hard f 640"} <= set(listed)


@pytest.mark.parametrize(
    ("user", "arguments"),
    [
        ("rsync-backup", ["up.txt", "rsync-backup@host:other/"]),
        ("rsync-backup", ["up.txt", "rsync-backup@host:/etc/"]),
        ("rsync-backup", ["up.txt", "rsync-backup@host:backup/../x"]),
        ("rsync-backup", ["rsync-backup@host:backup/", "fetched/"]),
        ("rsync-backup", ["--link-dest=/etc", "up.txt", "rsync-backup@host:backup/"]),
        ("rsync-backup", ["-s", "up.txt", "rsync-backup@host:backup/"]),
        ("rsync-backup", ["--rsync-path=sh -c id", "up.txt", "rsync-backup@host:backup/"]),
        ("rsync-backup", ["-M--log-file=/home/rsync-backup/backup/log", "up.txt", "rsync-backup@host:backup/"]),
        ("rsync-pull", ["up.txt", "rsync-pull@host:up.txt"]),
        ("rsync-pull", ["rsync-pull@host:/etc/passwd", "fetched"]),
        ("rsync-pull", ["--copy-unsafe-links", "rsync-pull@host:", "fetched/"]),
        ("rsync-pull", ["--remove-source-files", "rsync-pull@host:data.txt", "fetched/"]),
    ],
)
def test_rsync_that_is_denied(world: World, user: str, arguments: list[str]) -> None:
    done = world.client.rsync(["-r", *arguments])
    assert done.code != 0
    # The other direction; arguments that nobody could see, for which the line has a cure.
    if "this account allows only" not in done.stderr and "use --no-s\n" not in done.stderr:
        denial_of(done.stderr, "this account allows: rsync", among=True)
    (record,) = world.last_login(user)
    assert (record[fields.EVENT], record[fields.EXIT]) == ("denied", "126")
    assert not world.exists("/etc/up.txt")


NO_SFTP = "jailssh: command not allowed; this account allows: git"


@pytest.mark.parametrize("program", ["sftp", "scp", "scp to a directory"])
def test_who_has_no_sftp_is_told_so(world: World, program: str) -> None:
    """sshd drops what a subsystem says on standard error, and the client would say "Connection closed" alone."""
    if program == "sftp":
        done = world.client.sftp("git-only", "ls\n")
    else:
        done = world.client.scp(["big", f"git-only@host:{'/srv/git/' if 'directory' in program else ''}"])
    assert done.code != 0
    # Who asks for a path of its own says in words of its own what the number in the answer means.
    assert NO_SFTP in done.stderr or (program != "sftp" and "Permission denied" in done.stderr), done
    (record,) = world.last_login("git-only")
    assert (record[fields.EVENT], record[fields.EXIT]) == ("denied", "126")


def test_a_library_is_told_why_there_is_no_sftp(world: World) -> None:
    with world.connect("git-only") as transport:
        client = paramiko.SFTPClient.from_transport(transport)
        assert client is not None
        with pytest.raises(PermissionError, match="this account allows: git"):
            client.listdir()
        with pytest.raises(PermissionError, match="this account allows: git"):
            client.stat("/srv/git")


@pytest.mark.parametrize(("user", "works"), [("git-only", False), ("sftp-ro", True)])
def test_what_tries_logins_takes_the_answer_for_no_server(world: World, user: str, works: bool) -> None:
    """``migrate`` compares logins before and after, ``selftest`` what a jail must not have."""
    with world.connect(user) as transport:
        connection = Connection.__new__(Connection)
        connection._transport = transport
        assert matrix.ask(connection)["sftp"].works is works
        assert channels.subsystem(connection, "sftp")[0] is not works


@pytest.mark.parametrize("sent", [b"", b"\0\0\0", b"\0\0\0\5\1\0\0\0\3", b"\xff" * 9, b"GET / HTTP/1.0\r\n"])
def test_a_denied_sftp_client_does_not_stay(world: World, sent: bytes) -> None:
    """Whatever it sends, and if it sends nothing: its place is free after some seconds, and the denial is recorded."""
    with world.connect("git-only") as transport:
        channel = transport.open_session()
        channel.invoke_subsystem("sftp")
        channel.sendall(sent)
        code, out, err = ending(channel)
    assert (code, err) == (126, b"")
    assert out in (b"", b"\0\0\0\5\2\0\0\0\3"), "nothing but the version that SFTP has"
    world.host.wait_until(lambda: world.processes_of("git-only") == [], "nothing is left")
    (record,) = world.last_login("git-only")
    assert record[fields.EVENT] == "denied"


@pytest.fixture(scope="module")
def scp_sftp(world: World) -> Iterator[paramiko.Transport]:
    world.put("/home/scp-sftp/evil", "#!/bin/sh\ntouch /home/scp-sftp/it-ran\n", "scp-sftp", 0o755)
    with world.connect("scp-sftp") as transport:
        yield transport


@pytest.mark.parametrize(
    "command",
    [
        "scp -S /home/scp-sftp/evil -f x",
        "scp -o ProxyCommand=/home/scp-sftp/evil -f x host:y",
        "scp -D /home/scp-sftp/evil x y:",
        "scp -F /home/scp-sftp/evil -t .",
        "scp -J a -t .",
        "scp -t -f .",
        "scp -t . .",
        "scp -r .",
        "scp -- -t .",
        "scp -f ~root/.profile",
        "scp -f `id`",
        "scp -f x > /tmp/it-ran",
        "/home/scp-sftp/scp -t .",
        'echo "WinSCP: this is end-of-file"; scp -t .',
        "scp${IFS}-t${IFS}.",
    ],
)
def test_scp_that_is_denied(world: World, scp_sftp: paramiko.Transport, command: str) -> None:
    channel = scp_sftp.open_session()
    channel.exec_command(command)
    code, out, err = ending(channel)
    assert (code, out) == (126, b"")
    denial_of(err.decode("ascii"), "this account allows: scp, sftp")
    assert not world.exists("/home/scp-sftp/it-ran")


def test_no_file_with_a_set_id_bit(world: World) -> None:
    user, home = "scp-sftp", "/home/scp-sftp"
    world.put(f"{home}/tool", "#!/bin/sh\n", user, 0o755)
    world.client.write("set-id", "x")
    world.client.run(["chmod", "6755", "set-id"])
    transport = world.connect(user)
    try:
        sftp = transport.open_sftp_client()
        assert sftp is not None
        for mode in (0o4755, 0o2755, 0o6755):
            with pytest.raises(PermissionError):
                sftp.chmod("tool", mode)
    finally:
        transport.close()
    world.client.sftp(user, "-put -p set-id by-sftp\n-chmod 6755 tool\n")
    for options in (["-O"], []):
        world.client.run(["scp", "-p", *options, "set-id", f"{user}@host:by-scp{len(options)}"])
    for account, place in ((user, home), ("rsync-backup", "/home/rsync-backup/backup")):
        if account == "rsync-backup":
            world.client.run(["rsync", "-p", "set-id", f"{account}@host:backup/by-rsync"])
            assert world.exists(f"{place}/by-rsync")
        assert world.host.run(["find", place, "-perm", "/6000"], check=True).stdout == ""
    done = world.client.ssh("shell", "touch x; chmod u+s x; chmod 2755 x; umask 0; mkdir -m 6777 d; ls -ld x d")
    assert done.stderr.count("Operation not permitted") >= 2
    assert world.host.run(["find", "/home/shell", "-perm", "/6000"], check=True).stdout == ""
