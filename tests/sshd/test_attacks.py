"""Known attacks through a real sshd: the table's first way of each, and what only a protocol's own bytes can say."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator

import paramiko
import pytest
from paramiko.sftp import CMD_EXTENDED, CMD_OPEN

from jailssh.core import journal_fields as fields
from tests.harness.executed import Executed, can_watch, first_pid
from tests.root.attack_check import LOGIN, check_line, check_record
from tests.root.attack_rows import JAILS, SFTP_SERVER, Row
from tests.root.attack_rows_servers import ROWS
from tests.sshd.world import PROFILES, World, ending

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "scp", "rsync", "git", "journald", "login-program")

# draft-ietf-secsh-filexfer-02
SSH_INIT, SSH_OPEN, SSH_SYMLINK, SSH_STATUS, SSH_HANDLE, SSH_EXTENDED = 1, 3, 20, 101, 102, 200
DENIED = 3
HELLO = (SSH_INIT, struct.pack(">I", 3))
LONGEST_WORD = 128 * 1024
"""MAX_ARG_STRLEN, execve(2): a longer command cannot be handed to any program."""
FIRST: dict[str, Row] = {}
for _row in sorted(ROWS, key=lambda row: row.id):
    FIRST.setdefault(_row.id, _row)
HOME = "/home/scp-sftp"


@pytest.fixture(scope="module", autouse=True)
def accounts(world: World) -> None:
    world.host.run(["mkdir", "-p", "/srv/in"], check=True)
    for name, text in JAILS.items():
        world.host.write(f"/etc/jailssh/jails/{name}.conf", text)
        world.adduser(name, name)


@pytest.fixture(scope="module")
def executed(world: World, accounts: None) -> Iterator[Executed]:
    """What logins execute; PAM's own programs, as for the message of the day, run before them and are no part of it."""
    if not can_watch():
        pytest.skip("the kernel's tracer cannot be used here, so nobody could tell what was executed")
    listener = int(world.host.read("/run/sshd.pid"))
    watch = Executed(first_pid(world.host.init_pid, listener), LOGIN)
    yield watch
    watch.close()


Connect = Callable[[str], paramiko.Transport]


@pytest.fixture(scope="module")
def connected(world: World, executed: Executed) -> Iterator[Connect]:
    """Give the one connection of an account that the rows share."""
    with contextlib.ExitStack() as stack:
        open_ones: dict[str, paramiko.Transport] = {}

        def connect(user: str) -> paramiko.Transport:
            if user not in open_ones:
                open_ones[user] = stack.enter_context(world.connect(user))
            return open_ones[user]

        yield connect


def ask(transport: paramiko.Transport, command: str | bytes, input: bytes = b"") -> tuple[int, bytes, bytes]:
    channel = transport.open_session()
    channel.exec_command(command)
    channel.sendall(input)
    channel.shutdown_write()
    return ending(channel)


@pytest.mark.parametrize("row", FIRST.values(), ids=FIRST)
def test_attack(world: World, executed: Executed, connected: Connect, row: Row) -> None:
    transport = connected(row.jail)
    executed.take()
    code, out, error = ask(transport, row.command)
    ran, records = executed.take(), world.last_login(row.jail)
    if row.rule:
        assert (code, ran, records[0][fields.RULE]) == (
            row.exit,
            [LOGIN, row.program] if row.program else [LOGIN],
            row.rule,
        )
        return
    assert (code, out) == (126, b"")
    check_line(error.decode(), row)
    check_record([{name: str(value) for name, value in record.items()} for record in records], row)
    assert ran == [LOGIN]


def test_what_is_executed_is_seen(executed: Executed, connected: Connect) -> None:
    transport = connected("shell")
    executed.take()
    assert ask(transport, "id -un; exec true") == (0, b"shell\n", b"")
    assert [path.rsplit("/", 1)[-1] for path in executed.take()] == ["jailssh-login", "bash", "id", "true"]


def test_a_command_with_a_nul(world: World, executed: Executed) -> None:
    """A05: sshd takes no such packet, so no login begins."""
    before = len(world.records("scp-sftp"))
    with world.connect("scp-sftp") as transport:
        executed.take()
        channel = transport.open_session()
        with pytest.raises((paramiko.SSHException, EOFError)):
            channel.exec_command(b"scp -t .\0--evil")
    assert executed.take() == []
    assert len(world.records("scp-sftp")) == before


@pytest.mark.parametrize("size", [130_000, 131_072, 200_000, 1_000_000])
def test_a_command_of_many_bytes(world: World, executed: Executed, size: int) -> None:
    """A23: what the kernel lets through is denied for its length; the rest never becomes a process."""
    before = len(world.records("scp-sftp"))
    with world.connect("scp-sftp") as transport:
        executed.take()
        code = -1
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            code, out, _ = ask(transport, "scp -t " + "x" * (size - 7))
            assert out == b""
    assert code != 0
    said = [record[fields.REASON] for record in world.records("scp-sftp")[before:]]
    assert (executed.take(), said) == (([LOGIN], ["command-too-long"]) if size < LONGEST_WORD else ([], []))


@pytest.mark.parametrize("command", [None, ""])
def test_no_command_at_all(world: World, executed: Executed, command: str | None) -> None:
    """A29: OpenSSH's client makes a login of an empty command; a login is no command either."""
    executed.take()
    done = world.client.ssh("scp-sftp", command)
    assert (done.code, done.stdout) == (126, "")
    assert done.stderr == "jailssh: login succeeded, but no shell is allowed; this account allows: scp, sftp\n"
    (record,) = world.last_login("scp-sftp")
    assert record[fields.REASON] == "not-interactive"
    assert executed.take() == [LOGIN]


# scp's old protocol, spoken by hand


def upload(connected: Connect, *lines: bytes, options: str = "-t") -> bytes:
    """Send the lines of a source and return what the sink says."""
    return ask(connected("scp-sftp"), f"scp {options} .", b"".join(lines))[1]


def test_bits_that_a_source_sends(world: World, connected: Connect) -> None:
    """B10: set-uid and set-gid bits do not arrive, nor do the files that have them."""
    upload(connected, b"C6755 3 setid\n", b"abc\0", b"C7777 3 setid2\n", b"abc\0", options="-p -t")
    assert world.host.run(["find", HOME, "-perm", "/6000", "-o", "-name", "setid*"], check=True).stdout == ""


@pytest.mark.parametrize("name", [b"../up", b"a/b", b"..", b".", b"", b"/tmp/up"])
def test_names_that_a_source_sends(world: World, connected: Connect, name: bytes) -> None:
    """B11, B12: a name is one component."""
    said = upload(connected, b"C0644 1 " + name + b"\n", b"x\0")
    assert b"unexpected filename" in said or b"bad filename" in said or b"Is a directory" in said, said
    assert not world.exists("/home/up")


def test_a_name_with_escapes_reaches_no_log(world: World, connected: Connect) -> None:
    """B11"""
    upload(connected, b"C0644 1 \x1b]0;x\x07\n", b"x\0")
    for record in world.last_login("scp-sftp"):
        assert all("\x1b" not in str(value) and "\x07" not in str(value) for value in record.values())


# sftp


@pytest.fixture
def files(connected: Connect) -> Iterator[paramiko.SFTPClient]:
    client = paramiko.SFTPClient.from_transport(connected("scp-sftp"))
    assert client is not None
    with client:
        yield client


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("hardlink@openssh.com", ("/etc/passwd", "hard")),
        ("hardlink@openssh.com", ("/proc/self/exe", "hard")),
        ("posix-rename@openssh.com", ("/usr/lib", "moved")),
        ("expand-path@openssh.com", ("~sftp-only/x",)),
        ("statvfs@openssh.com", ("/var/lib/jailssh",)),
        ("nobody-knows@example.org", ("x",)),
    ],
)
def test_extended_requests_that_would_lead_out(
    files: paramiko.SFTPClient, name: str, arguments: tuple[object, ...]
) -> None:
    """C04"""
    with pytest.raises(OSError):
        files._request(CMD_EXTENDED, name, *arguments)


def test_names_of_other_accounts(files: paramiko.SFTPClient) -> None:
    """C04: users-groups-by-id asks the jail's own passwd file, which knows root and the account."""
    uids = b"".join(struct.pack(">I", uid) for uid in range(1000, 1010))
    _, message = files._request(CMD_EXTENDED, "users-groups-by-id@openssh.com", uids, b"")
    users = message.get_binary()
    assert b"scp-sftp" in users
    assert not any(name.encode() in users for name in PROFILES if name not in ("scp-sftp",))


def speak(transport: paramiko.Transport, *requests: tuple[int, bytes]) -> list[tuple[int, bytes]]:
    """Send requests that no client makes, and return the kind and body of each reply."""
    replies: list[tuple[int, bytes]] = []
    with transport.open_session() as channel:
        channel.settimeout(20)
        channel.exec_command("internal-sftp")
        channel.sendall(b"".join(struct.pack(">IB", len(body) + 1, kind) + body for kind, body in requests))
        data = b""
        while len(replies) < len(requests):
            size = struct.unpack_from(">I", data)[0] if len(data) >= 4 else 0
            if not size or len(data) < size + 4:
                chunk = channel.recv(65536)
                assert chunk, f"it ended after {replies}"
                data += chunk
                continue
            replies.append((data[4], data[5 : size + 4]))
            data = data[size + 4 :]
    return replies


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def opened(number: int, name: bytes) -> tuple[int, bytes]:
    return SSH_OPEN, struct.pack(">I", number) + string(name) + struct.pack(">II", 0x0B, 0)


def copied(number: int, source: int, target: int) -> tuple[int, bytes]:
    """copy-data: everything of one handle, to the other one's byte 3 and behind."""
    handles = [string(struct.pack(">I", handle)) for handle in (source, target)]
    return SSH_EXTENDED, (struct.pack(">I", number) + string(b"copy-data") + handles[0] + struct.pack(">QQ", 0, 0)
                          + handles[1] + struct.pack(">Q", 3))  # fmt: skip


def status(reply: tuple[int, bytes]) -> int:
    assert reply[0] == SSH_STATUS
    return int(struct.unpack_from(">II", reply[1])[1])


def test_a_file_copied_onto_itself(world: World, connected: Connect) -> None:
    """C05: it would grow without end."""
    world.put("/home/scp-sftp/onto", "abc", "scp-sftp")
    world.host.run(["ln", "/home/scp-sftp/onto", "/home/scp-sftp/other"], check=True)
    for name in (b"./onto", b"other"):
        replies = speak(connected("scp-sftp"), HELLO, opened(1, b"onto"), opened(2, name), copied(3, 0, 1))
        assert status(replies[3]) == DENIED
    assert world.host.read("/home/scp-sftp/onto") == b"abc"


def test_requests_that_a_jail_denies(world: World, connected: Connect) -> None:
    """C04, C05: they are refused, and not only left out of what the server says it can do."""
    for name in ("one", "two"):
        world.put(f"/home/strict/{name}", "abc", "strict")
    request = [
        struct.pack(">I", 3) + string(name) for name in (b"hardlink@openssh.com", b"users-groups-by-id@openssh.com")
    ]
    replies = speak(
        connected("strict"), HELLO, opened(1, b"one"), opened(2, b"two"), copied(3, 0, 1),
        (SSH_EXTENDED, request[0] + string(b"one") + string(b"three")),
        (SSH_EXTENDED, request[1] + string(struct.pack(">I", 0)) + string(b"")),
        (SSH_SYMLINK, struct.pack(">I", 6) + string(b"/etc/passwd") + string(b"four")),
    )  # fmt: skip
    assert [kind for kind, _ in replies[1:3]] == [SSH_HANDLE, SSH_HANDLE]
    assert [status(reply) for reply in replies[3:]] == [DENIED] * 4
    assert world.host.read("/home/strict/two") == b"abc"
    assert not world.exists("/home/strict/three")


def test_links_lead_nowhere(files: paramiko.SFTPClient) -> None:
    """C07"""
    for number, target in enumerate(("/", "../..", "/etc/jailssh", "/home/sftp-only", "/proc/1/root", "/var")):
        files.symlink(target, f"evil{number}")
        for path in ("etc/machine-id", "etc/shadow", "sftp-only", "lib/jailssh", "root/etc", "users", "data.txt"):
            with pytest.raises(OSError):
                files.stat(f"evil{number}/{path}")


def test_odd_bytes_in_names(world: World, connected: Connect) -> None:
    """C10: they are names like any other, and no record has them as they are."""
    transport = connected("scp-sftp")
    with paramiko.SFTPClient.from_transport(transport) as client:
        for name in (b"a\nMESSAGE=x", b"\x1b[2J", b"\x9b2J", b"\xff\xfe", b"\xc3(", b"%n%s", b" ", b"-rf"):
            with client.open(name, "w") as file:
                file.write(b"x")
            client.remove(name)
    for record in world.last_login("scp-sftp"):
        for value in record.values():
            assert not any(char < " " or char == "\x7f" for char in str(value)), record


@pytest.mark.parametrize(
    "packet",
    [
        b"\0\0\0\0",
        b"\xff\xff\xff\xff\x01",
        b"\x7f\xff\xff\xff\x01\0\0\0\x03",
        b"\0\0\0\x05\x01\0\0\0\x03" + b"\0\0\0\x01\xff",
        b"\0\0\0\x05\x01\0\0\0\x03" + struct.pack(">IBII", 9, 17, 1, 0xFFFFFFFF),
        b"\0\0\0\x01\x01",
        b"\x16" * 4096,
    ],
)
def test_packets_of_no_client(executed: Executed, connected: Connect, world: World, packet: bytes) -> None:
    """C11: the server ends; nothing is left and nothing else ran."""
    transport = connected("scp-sftp")
    executed.take()
    code = ask(transport, "internal-sftp", packet)[0]
    assert code in (0, 1, 11, 255)
    assert executed.take() == [LOGIN, SFTP_SERVER]
    world.host.wait_until(lambda: not any("sftp-server" in line for line in world.processes_of("scp-sftp")), "it ends")


def test_rights_and_owners_that_a_client_sets(world: World, files: paramiko.SFTPClient) -> None:
    """C13"""
    with files.open("own", "w") as file:
        file.write(b"x")
    for uid in (0, world.uid("shell")):
        with pytest.raises(OSError):
            files.chown("own", uid, uid)
    with pytest.raises(OSError, match="Permission denied"):
        files.chmod("own", 0o6777)
    files.chmod("own", 0o777)
    facts = world.host.run(["stat", "-c", "%U %G", f"{HOME}/own"], check=True).stdout
    assert facts == "scp-sftp scp-sftp\n"


def test_the_umask_is_the_jails(world: World, connected: Connect) -> None:
    """C14: a client that asks for 0777 gets what the jail's umask leaves."""
    channel = connected("scp-sftp").open_session()
    channel.invoke_subsystem("sftp")
    with paramiko.SFTPClient(channel) as client:
        attributes = paramiko.SFTPAttributes()
        attributes.st_mode = 0o777
        client._request(CMD_OPEN, b"wide", 0x1A, attributes)
        client.mkdir("wide-dir", 0o777)
    listed = world.host.run(["stat", "-c", "%a", f"{HOME}/wide", f"{HOME}/wide-dir"], check=True).stdout
    assert listed.split() == ["755", "755"]


# rsync


def push(world: World, *arguments: str) -> int:
    return world.client.rsync([*arguments, "rsync-backup@host:backup/"]).code


def test_aliases_in_the_home(world: World, executed: Executed) -> None:
    """D05: popt's own file in the home is not read."""
    text = "rsync alias --server --daemon\nrsync exec --x /bin/sh\n"
    world.put("/home/rsync-backup/.popt", text, "rsync-backup")
    world.put("/home/rsync-backup/.cvsignore", "*\n", "rsync-backup")
    executed.take()
    assert push(world, "-C", "up.txt") == 0
    assert executed.take() == [LOGIN, "/usr/bin/rsync"]
    assert world.exists("/home/rsync-backup/backup/up.txt")


@pytest.mark.parametrize(
    ("rule", "hidden"),
    [
        (": /etc/secret-list", False),
        (":- ../../etc/secret-list", False),
        (":- own-list", True),
    ],
)
def test_filters_from_the_wire_read_nothing(world: World, rule: str, hidden: bool) -> None:
    """D10: a file that the jail does not hold cannot be asked whether a line is in it; one of the account's own can.

    The server reads such a file, in each directory; the other kind of merge the client reads itself.
    """
    world.host.write("/etc/secret-list", "alpha\n")
    for name, text in (("own-list", "alpha\n"), ("alpha", ""), ("beta", "")):
        world.put(f"/home/rsync-pull/{name}", text, "rsync-pull")
    done = world.client.rsync(["-rn", "--list-only", f"--filter={rule}", "rsync-pull@host:"])
    listed = {line.split()[-1] for line in done.stdout.splitlines()}
    assert ("alpha" in listed) is ("beta" in listed and not hidden)
    assert done.code == 0 or not listed


def test_the_shortest_forms_of_rsync_work(world: World) -> None:
    """D20: --protocol=29 sends no capabilities, so the command is the shortest there is."""
    assert push(world, "--protocol=29", "up.txt") == 0
    world.put("/home/rsync-pull/data.txt", "data\n", "rsync-pull")
    assert world.client.rsync(["--protocol=29", "rsync-pull@host:data.txt", "short.txt"]).code == 0


def test_special_files_that_a_client_sends(world: World) -> None:
    """D22: a fifo is a name in the home like any other, and nobody waits for its other end; it cannot be a device."""
    world.client.run(["sh", "-c", "mkdir -p special && mkfifo -m 600 special/fifo && echo x >special/z"], check=True)
    assert push(world, "-rD", "special") == 0
    assert push(world, "-rDI", "special") == 0
    kinds = world.host.run(["find", "/home/rsync-backup/backup/special", "-printf", "%y"], check=True).stdout
    assert sorted(kinds) == ["d", "f", "p"]


def test_a_link_that_comes_and_goes(world: World) -> None:
    """D13: a directory that is a link to elsewhere half of the time never takes a file there."""
    script = (
        "cd /home/rsync-backup/backup && mkdir -p real && "
        "while [ -d ../backup ]; do ln -sfn /srv/in flip; rm -f flip; mkdir flip; rmdir flip; done 2>/dev/null"
    )
    world.host.run(["chmod", "777", "/srv/in"], check=True)
    world.client.run(["sh", "-c", "mkdir -p race/flip && echo x >race/flip/z"], check=True)
    with world.host.popen(["sh", "-c", script], user="rsync-backup") as flipping:
        for _ in range(10):
            push(world, "-r", "race/")
        world.host.run(["pkill", "-KILL", "-u", str(world.uid("rsync-backup"))])
        flipping.wait(20)
    assert world.host.run(["ls", "-A", "/srv/in"], check=True).stdout == ""


# git and the rest


def test_objects_of_a_repository_that_is_not_shown(world: World) -> None:
    """E11: alternates that name another repository find nothing."""
    world.host.run(["sh", "-c", "cp -a /srv/git/x.git /srv/git/thief.git"], check=True)
    script = "cd /srv/git/thief.git && rm -rf objects/?? objects/pack/* && echo /srv/secret/z.git/objects >"
    world.host.run(["sh", "-c", f"{script}objects/info/alternates; chmod -R a+rX /srv/secret"], check=True)
    done = world.client.git(["clone", "-q", "git-only@host:thief.git", "stolen"])
    assert done.code != 0
    assert not world.exists("/home/client/stolen/README")


def test_names_of_variables_are_no_arguments(world: World, executed: Executed) -> None:
    """E22"""
    with world.connect("git-only") as transport:
        channel = transport.open_session()
        for name, value in (("--split-string=id", "x"), ("-S", "id"), ("LANG", "--help"), ("LC_ALL", "C --exec=id")):
            with contextlib.suppress(paramiko.SSHException):
                channel.set_environment_variable(name, value)
        executed.take()
        channel.exec_command("git-upload-pack x.git")
        channel.sendall(b"0000")
        channel.shutdown_write()
        assert ending(channel)[0] == 0
    assert executed.take() == [LOGIN, "/usr/bin/git"]


def test_channels_are_judged_each(connected: Connect, executed: Executed) -> None:
    """G05: what one channel of a connection may do is nothing to the next."""
    transport = connected("scp-sftp")
    executed.take()
    with paramiko.SFTPClient.from_transport(transport) as files:
        assert files.normalize(".") == HOME
        assert ask(transport, "id")[0] == 126
        with transport.open_session() as channel:
            channel.get_pty()
            channel.invoke_shell()
            assert channel.recv_exit_status() == 126
        with pytest.raises(paramiko.SSHException):
            transport.open_channel("direct-tcpip", ("127.0.0.1", 22), ("127.0.0.1", 1))
    assert executed.take() == [LOGIN, SFTP_SERVER, LOGIN, LOGIN]
