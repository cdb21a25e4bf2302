"""What sshd itself offers around the login program: subsystems, start-up files, options of keys, forwarding."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from jailssh.core import journal_fields as fields
from tests.sshd.world import LOGIN, World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "journald", "login-program")

DENIED = "jailssh: command not allowed; this account allows: sftp\n"
DROP_IN = "/etc/ssh/sshd_config.d/20-jailssh.conf"
# An administrator's careless settings, outside of Match; the drop-in must hold against each.
CARELESS = """\
PermitUserEnvironment yes
PermitUserRC yes
AcceptEnv *
AllowTcpForwarding yes
AllowAgentForwarding yes
AllowStreamLocalForwarding yes
X11Forwarding yes
PermitTunnel yes
GatewayPorts yes
Subsystem builtin internal-sftp
Subsystem shell /bin/sh
Match Group jailssh
    AcceptEnv *
"""


@pytest.fixture(scope="module", autouse=True)
def careless(world: World) -> Iterator[None]:
    world.host.stop_sshd()
    world.host.start_sshd(CARELESS)
    yield
    world.host.stop_sshd()
    world.host.start_sshd()


@pytest.fixture
def mark(world: World) -> Iterator[str]:
    """The path of a file that must not come to be, neither outside nor in the home."""
    yield "/tmp/it-ran"
    assert not world.exists("/tmp/it-ran")
    assert not world.exists("/home/sftp-only/it-ran")


def plant(world: World, path: str, text: str, mode: int = 0o755) -> None:
    world.host.run(["mkdir", "-p", "-m", "700", "/home/sftp-only/.ssh"], check=True)
    world.host.run(["chown", "sftp-only:", "/home/sftp-only/.ssh"], check=True)
    world.put(f"/home/sftp-only/{path}", text, "sftp-only", mode)


def test_a_subsystem_of_sshd_itself_does_not_escape(world: World) -> None:
    done = world.client.sftp("sftp-only", "ls -1 /home\nget /etc/machine-id\n", options=("-s", "builtin"))
    assert done.code == 1
    assert "/home/sftp-only" in done.stdout
    assert "/home/client" not in done.stdout
    assert 'File "/etc/machine-id" not found' in done.stderr
    assert world.last_login("sftp-only")[0][fields.RULE] == "sftp.server"


def test_a_subsystem_that_is_a_shell_is_a_command_like_any(world: World) -> None:
    done = world.client.ssh("sftp-only", "shell", options=("-s",), input="touch /tmp/it-ran\n")
    assert done.code == 126
    assert world.last_login("sftp-only")[0][fields.COMMAND] == "/bin/sh"


def test_start_files_do_not_run(world: World, mark: str) -> None:
    for path in (".ssh/rc", ".bashrc", ".profile", ".bash_profile", ".zshenv", ".pam_environment"):
        plant(world, path, f"touch {mark} /home/sftp-only/it-ran\n")
    assert world.client.sftp("sftp-only", "pwd\n").code == 0
    done = world.client.ssh("sftp-only", "id")
    assert (done.code, done.stdout, done.stderr) == (126, "", DENIED)
    assert world.client.ssh("sftp-only").code == 126


def test_start_files_of_a_shell_run_inside_alone(world: World, mark: str) -> None:
    world.put("/home/shell/.bash_profile", f"touch {mark}; echo profile ran; ls {mark}\n", "shell")
    done = world.client.ssh("shell", input="exit\n")
    assert done.stdout == f"profile ran\n{mark}\n"
    world.host.run(["rm", "/home/shell/.bash_profile"], check=True)


@pytest.mark.parametrize(
    "options",
    [
        "command=\"/bin/sh -c 'touch /tmp/it-ran'\"",
        'environment="LD_PRELOAD=/home/sftp-only/evil.so",environment="SSH_ORIGINAL_COMMAND=internal-sftp"',
        'environment="LC_ALL=../../home/sftp-only/locale"',
        'permitopen="127.0.0.1:22",port-forwarding,agent-forwarding,X11-forwarding,pty,user-rc,tunnel="1"',
    ],
)
def test_options_of_a_key(world: World, mark: str, options: str) -> None:
    """The account's own authorized_keys lets nobody in; whatever a line of root's file says ends in the jail."""
    world.client.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "own"])
    key = world.host.read(f"{world.client.home}/own.pub").decode()
    plant(world, ".ssh/authorized_keys", f"{options} {key}", 0o600)
    own = ("-i", "own", "-o", "IdentityFile=own")
    files = "/etc/jailssh/keys/sftp-only"
    before = world.host.read(files)
    world.host.write(files, f"{options} {key}")
    try:
        # Given first, the key of the command line is the one that is offered.
        done = world.client.ssh("sftp-only", "id", options=own)
        assert (done.code, done.stdout, done.stderr) == (126, "", DENIED)
        forward = ("-N", "-o", "ExitOnForwardFailure=yes", "-R", "8022:127.0.0.1:22")
        assert world.client.ssh("sftp-only", options=(*own, *forward)).code == 255
        assert f"found at {files}" in world.host.sshd_log()
        world.host.write(files, "")
        assert world.client.ssh("sftp-only", "id", options=own).code == 255
        assert "found at /home/sftp-only/.ssh/authorized_keys" not in world.host.sshd_log()
    finally:
        world.host.write(files, before)


def test_a_file_of_variables_in_the_home(world: World) -> None:
    text = "LD_PRELOAD=/x\nBASH_ENV=/home/probing/evil\nLANG=../x\nTERM=ok\nSSH_ORIGINAL_COMMAND=x\n"
    world.host.run(["install", "-d", "-m", "700", "-o", "probing", "/home/probing/.ssh"], check=True)
    world.put("/home/probing/.ssh/environment", text, "probing")
    done = world.client.ssh("probing", "env")
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert done.code == 0
    assert {"LD_PRELOAD", "BASH_ENV", "LANG", "SSH_ORIGINAL_COMMAND"} & names == set()


def test_variables_that_accept_env_lets_pass(world: World) -> None:
    sent = "LD_PRELOAD=/x SSH_ORIGINAL_COMMAND=internal-sftp SSH_CONNECTION=1.2.3.4 BASH_ENV=/x"
    done = world.client.ssh("sftp-only", "id", options=("-o", f"SetEnv={sent}"))
    assert (done.code, done.stdout, done.stderr) == (126, "", DENIED)
    (record,) = world.last_login("sftp-only")
    assert record[fields.COMMAND] == "id"
    assert record[fields.PEER].startswith("127.0.0.1 ")


@pytest.mark.parametrize(
    "forward",
    [
        ("-N", "-R", "8022:127.0.0.1:22"),
        ("-N", "-R", "/tmp/forwarded:127.0.0.1:22"),
        ("-N", "-w", "0:0"),
        ("-W", "127.0.0.1:22"),
    ],
)
@pytest.mark.parametrize("user", ["sftp-only", "shell"])
def test_forwarding_is_refused(world: World, user: str, forward: tuple[str, ...]) -> None:
    done = world.client.ssh(user, options=("-o", "ExitOnForwardFailure=yes", *forward))
    assert done.code == 255, done
    assert not world.exists("/tmp/forwarded")


@pytest.mark.parametrize("forward", [("-L", "/tmp/local:/run/jailssh/jailsshd.sock"), ("-L", "8023:127.0.0.1:22")])
def test_a_local_forwarding_leads_nowhere(world: World, forward: tuple[str, ...]) -> None:
    with world.running("shell", "cat", options=forward):
        if "/tmp/local" in forward[1]:
            connect = "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/tmp/local'); print(s.recv(9))"
        else:
            connect = "import socket; s = socket.create_connection(('127.0.0.1', 8023)); print(s.recv(9))"
        world.host.wait_until(
            lambda: world.client.run(["/usr/bin/python3", "-c", connect]).stdout == "b''\n", "connected, and closed"
        )


def test_the_agent_is_not_there(world: World) -> None:
    script = (
        'eval "$(ssh-agent)" >/dev/null; ssh-add -q .ssh/id_ed25519; ssh -A shell@host "env; ls -a /tmp"; ssh-agent -k'
    )
    done = world.client.run(["sh", "-c", script])
    assert "HOME=/home/shell" in done.stdout
    assert "SSH_AUTH_SOCK" not in done.stdout.split("HOME=/home/shell")[1].split("unset")[0]


def test_another_login_shell_is_refused_before_it_runs(world: World, mark: str) -> None:
    plant(world, ".bashrc", f"touch {mark}\n")
    world.host.run(["usermod", "--shell", "/bin/bash", "sftp-only"], check=True)
    try:
        assert world.client.ssh("sftp-only", "id").code == 255
        assert world.client.sftp("sftp-only", "ls -1 /home\n").code == 255
        refused = world.host.journal(**{fields.USER: "sftp-only", fields.REASON: "shell"})[-1]
        assert refused[fields.EVENT] == "refused"
        assert "jailssh apply sets the shell" in refused["MESSAGE"]
        world.jailssh("apply")
        assert world.client.ssh("sftp-only", "id").code == 126
    finally:
        world.host.run(["usermod", "--shell", LOGIN, "sftp-only"], check=True)


def test_the_login_shell_without_the_drop_in(world: World) -> None:
    text = world.host.read(DROP_IN)
    world.host.write(DROP_IN, "AuthorizedKeysFile /etc/jailssh/keys/%u .ssh/authorized_keys\n")
    try:
        world.host.reload_sshd()
        done = world.client.ssh("sftp-only", "id")
        assert (done.code, done.stdout, done.stderr) == (126, "", DENIED)
        assert world.client.sftp("sftp-only", "ls -1 /home\n").stdout.split()[-1] == "/home/sftp-only"
        assert "login succeeded, but no shell is allowed" in world.client.ssh("sftp-only", tty=True).stdout
    finally:
        world.host.write(DROP_IN, text)
        world.host.reload_sshd()


def test_keys_cannot_be_changed_from_inside(world: World) -> None:
    plant(world, ".ssh/authorized_keys", "# own\n", 0o600)
    world.client.write("evil.pub", world.client.public_key)
    lines = (
        "put evil.pub .ssh/authorized_keys",
        "put evil.pub .ssh/rc",
        "mkdir .ssh/new",
        "rename .ssh .other",
        "rmdir .ssh",
        "rm .ssh/authorized_keys",
        "chmod 777 .ssh",
        "put evil.pub /etc/jailssh/keys/sftp-only",
    )
    done = world.client.sftp("sftp-only", "".join(f"-{line}\n" for line in lines))
    assert len(re.findall("Failure|Permission denied|not found|No such file", done.stderr)) >= len(lines), done
    # A whole directory cannot be brought in its place either.
    world.client.run(["mkdir", "-p", ".other/.ssh"], check=True)
    assert world.client.sftp("sftp-only", "ls -la .ssh\n").stdout.count("\n") <= 3
    listed = world.host.run(["ls", "-A", "/home/sftp-only/.ssh"]).stdout.split()
    assert "new" not in listed
    assert world.host.read("/home/sftp-only/.ssh/authorized_keys") == b"# own\n"


@pytest.mark.parametrize("script", ["echo x >.ssh/authorized_keys", "mv .ssh x", "rmdir .ssh", "ln -sf x .ssh/rc"])
def test_keys_cannot_be_changed_by_a_shell(world: World, script: str) -> None:
    done = world.client.ssh("shell", script)
    assert done.code == 1
    assert world.host.run(["ls", "-A", "/home/shell/.ssh"]).stdout == ""
