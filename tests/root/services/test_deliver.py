"""The delivery command of mail servers, started as they start it: as the recipient, with its first group alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import pytest

from jailssh.scratch.host import Finished
from tests.root.setup_lab import LOGIN, Administered

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd"), pytest.mark.needs("login-program")]

DELIVER = "/usr/local/libexec/jailssh/jailssh-deliver"
TABLE = "/var/lib/jailssh/pam"
TEMPFAIL, NOPERM, UNAVAILABLE = 75, 77, 69
# postfix's set_ugid(): of the groups the first one alone.  Descriptor 9 is a file of root's that was left open.
SERVER = """
import json, os, pwd, sys
name, env, *argv = sys.argv[1:]
entry = pwd.getpwnam(name)
os.dup2(os.open("/root/secret", os.O_RDONLY), 9)
os.set_inheritable(9, True)
os.setgroups([entry.pw_gid])
os.setgid(entry.pw_gid)
os.setuid(entry.pw_uid)
os.execve(argv[0], argv, json.loads(env))
"""
# As exim makes it for an address with an extension, and what a forger could want besides.
FORGED = {
    "LOGNAME": "root", "USER": "x+-y@z", "HOME": "/root", "SHELL": "/bin/sh", "PATH": "/tmp:/bin:/usr/bin",
    "SENDER": "a@b.example", "EXTENSION": "-x@", "LOCAL": "x\ny", "RECIPIENT": "../x", "OTHER": "o",
    "SSH_ORIGINAL_COMMAND": "id", "SSH_USER_AUTH": "/tmp/sshauth.123456789012345", "SSH_CONNECTION": "192.0.2.1 1 2 3",
    "BASH_ENV": "/tmp/x", "IFS": "x",
}  # fmt: skip
JAILS = {
    "work": "plugins = shell\naccept_env = SENDER EXTENSION LOCAL RECIPIENT\n",
    "tool": 'plugins = command\nroot = live\n[command]\ncommands = "/usr/local/bin/gone", "/usr/bin/id <word>"\n',
    "shared": "plugins = sftp\n",
}


class Host(Administered):
    """A scratch host with alice in a jail with a shell, tina in one with two commands, and plain in none."""

    def deliver(
        self,
        user: str,
        *argv: str,
        env: dict[str, str] | None = None,
        input: str | bytes = "",
        prefix: Sequence[str] = (),
    ) -> Finished:
        command = [*prefix, "/usr/bin/python3", "-c", SERVER, user, json.dumps(FORGED if env is None else env)]
        return self.scratch.run([*command, DELIVER, *argv], input=input)


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[Host]:
    with Host.made(staged_prefix) as host:
        host.sh("rm -rf /etc/postfix /etc/exim4; echo s >/root/secret; chmod 600 /root/secret")
        host.scratch.write("/etc/jailssh/jailssh.conf", "mail_inside = yes\n")
        host.scratch.write("/usr/local/bin/gone", "#!/bin/sh\n", 0o755)
        for name, text in JAILS.items():
            host.scratch.write(f"/etc/jailssh/jails/{name}.conf", text)
        host.ok("setup", "--yes")
        host.sh("useradd -m -s /bin/bash plain; groupadd family; usermod -aG family plain")
        host.ok("adduser", "alice", "--jail", "work", "--yes")
        host.ok("adduser", "tina", "--jail", "tool", "--yes")
        yield host


def test_the_login_program_is_open_with_mail_inside(host: Host) -> None:
    assert host.sh(f"stat -c '%a %U:%G' {LOGIN}") == "4755 root:root\n"


def test_a_command_runs_in_the_jail_with_the_message(host: Host) -> None:
    done = host.deliver("alice", "-c", "cat; ls /root /home; ls /proc/self/fd; id -Gn", input="mail\n")
    assert (done.code, done.stderr.count("\n")) == (0, 1)
    assert "cannot access '/root'" in done.stderr
    assert done.stdout.splitlines() == ["mail", "/home:", "alice", "0", "1", "2", "3", "alice"]
    (start,) = host.scratch.journal(JAILSSH_EVENT="session-start", JAILSSH_USER="alice")
    assert start["JAILSSH_COMMAND"].startswith("cat; ls /root")


def test_what_is_forged_changes_nothing_and_what_the_jail_accepts_comes_in(host: Host) -> None:
    done = host.deliver("alice", "-c", "env -0")
    seen = dict(entry.split("=", 1) for entry in done.stdout.split("\0") if entry)
    assert (done.code, done.stderr) == (0, "")
    assert {name: seen[name] for name in ("USER", "LOGNAME", "HOME")} == {
        "USER": "alice", "LOGNAME": "alice", "HOME": "/home/alice",
    }  # fmt: skip
    assert {name: seen[name] for name in FORGED if name in seen and name not in ("USER", "LOGNAME", "HOME")} == {
        "SENDER": "a@b.example", "EXTENSION": "-x@", "SHELL": seen["SHELL"], "PATH": seen["PATH"],
    }  # fmt: skip
    assert "/tmp" not in seen["PATH"]


WORDS = ("a'b", "", "c d", "$HOME", "`id`", '"', "\\", "*", "ä", "-n", "''")


def test_words_come_as_they_were(host: Host) -> None:
    done = host.deliver("alice", "--", "/usr/bin/printf", "%s|", *WORDS)
    assert (done.code, done.stdout) == (0, "".join(f"{word}|" for word in WORDS))
    assert host.deliver("plain", "--", "/usr/bin/printf", "%s|", *WORDS).stdout == done.stdout


@pytest.mark.parametrize(
    "command", ["id x\nid", "id x; id", "id `id`", "id $(id)", "id 'x", "id x x", "id -u", "", " "]
)
def test_what_no_rule_allows_goes_back_with_the_reason(host: Host, command: str) -> None:
    done = host.deliver("tina", "-c", command)
    assert (done.code, done.stdout) == (NOPERM, "")
    assert done.stderr.startswith("jailssh: command not allowed")


def test_quotes_cannot_become_another_word(host: Host) -> None:
    for word in ("x' 'y", "x\nid", "x;id", "-u", "x'; id; '"):
        assert host.deliver("tina", "--", "/usr/bin/id", word).code == NOPERM, word
    assert host.deliver("tina", "--", "/bin/sh", "-c", "id").code == NOPERM


def test_a_program_that_is_gone_is_unavailable(host: Host) -> None:
    assert host.deliver("tina", "-c", "/usr/local/bin/gone").code == 0
    host.sh("rm /usr/local/bin/gone")
    done = host.deliver("tina", "-c", "/usr/local/bin/gone")
    assert done.code == UNAVAILABLE
    assert "cannot run this command" in done.stderr


@pytest.mark.parametrize(("command", "code"), [("exit 3", 3), ("exit 126", 126), ("kill -9 $$", TEMPFAIL),
                                               ("exit 75", 75), ("true", 0)])  # fmt: skip
def test_the_status_of_a_command_is_the_status(host: Host, command: str, code: int) -> None:
    assert host.deliver("alice", "-c", command).code == code


# Each is the host's trouble or passes: what is done, how it is taken back, and what is told.
PASSING = [
    ("jailssh lock --no-new-logins", "jailssh unlock --no-new-logins", "jailssh: "),
    (f"chmod 4750 {LOGIN}", f"chmod 4755 {LOGIN}", "mail_inside = yes"),
    (f"mv {LOGIN} {LOGIN}.x", f"mv {LOGIN}.x {LOGIN}", "cannot deliver now"),
    ("sed -i.x '$d' /var/lib/jailssh/plan.v1/$(id -u alice)",
     "cd /var/lib/jailssh/plan.v1; mv $(id -u alice).x $(id -u alice)", "cannot start this session"),
    ("mv /var/lib/jailssh/plan.v1/$(id -u alice) /root/p", "mv /root/p /var/lib/jailssh/plan.v1/$(id -u alice)",
     "cannot start this session"),
]  # fmt: skip


@pytest.mark.parametrize(("do", "undo", "told"), PASSING)
def test_what_passes_keeps_the_message(host: Host, do: str, undo: str, told: str) -> None:
    host.sh(do)
    try:
        done = host.deliver("alice", "-c", "echo ran")
    finally:
        host.sh(undo)
    assert (done.code, done.stdout) == (TEMPFAIL, "")
    assert told in done.stderr
    assert host.deliver("alice", "-c", "echo ran").stdout == "ran\n"


def test_a_damaged_table_keeps_mail_that_it_decides_about(host: Host) -> None:
    """Whose shell is ours is in a jail without it; without any table nobody is by it."""
    host.sh(f"sed -i.x '$d' {TABLE}")
    done = host.deliver("plain", "-c", "echo ran")
    assert (done.code, done.stdout) == (TEMPFAIL, "")
    assert "jailssh setup" in done.stderr
    assert host.deliver("alice", "-c", "echo ran").stdout == "ran\n"
    host.sh(f"mv {TABLE}.x {TABLE}; mv {TABLE} /root/t")
    assert host.deliver("plain", "-c", "echo ran").stdout == "ran\n"
    host.sh(f"mv /root/t {TABLE}")


def test_who_is_in_a_jail_by_group_or_shell_alone(host: Host) -> None:
    host.sh("usermod -s /bin/sh alice")
    assert host.deliver("alice", "-c", "ls /home").stdout == "alice\n"
    host.sh(f"usermod -s {LOGIN} alice; sed -i.x 's/^min-uid.*/&\\ngroup family/' {TABLE}")
    done = host.deliver("plain", "-c", "echo ran")
    host.sh(f"mv {TABLE}.x {TABLE}; usermod -s {LOGIN} plain")
    assert (done.code, done.stdout) == (TEMPFAIL, ""), "without a plan"
    done = host.deliver("plain", "-c", "echo ran")
    host.sh("usermod -s /bin/bash plain")
    assert (done.code, done.stdout) == (TEMPFAIL, "")


def test_mail_of_a_uid_that_nobody_is_known_to_have_waits(host: Host) -> None:
    """Its directory may be away; the uids of system accounts are in this host's files."""
    command = "setpriv --reuid {0} --regid {0} --clear-groups {1} -c 'echo ran' 2>&1; echo $?"
    assert host.sh(command.format(64242, DELIVER)).endswith(f"nobody is known who has this uid\n{TEMPFAIL}\n")
    assert host.sh(command.format(642, DELIVER)) == "ran\n0\n"


def test_a_mail_server_without_a_jail_sees_no_difference(host: Host) -> None:
    env = {"LOGNAME": "x", "USER": "y", "HOME": "/tmp", "SSH_X": "z", "PATH": "/bin:/usr/bin"}
    done = host.deliver("plain", "-c", 'echo "$LOGNAME $USER $HOME $SSH_X"; cat; cat <&9; exit 7', env=env, input="m\n")
    assert (done.code, done.stdout) == (7, "x y /tmp z\nm\ns\n")
    assert host.deliver("plain", "--", "/usr/bin/env", env=env).stdout.splitlines() == [
        f"{k}={v}" for k, v in env.items()
    ]
    assert host.deliver("plain", "--", "printf", "%s|", "a b", env=env).stdout == "a b|"
    assert [host.deliver("plain", "--", name).code for name in ("/none/x", "none-x")] == [127, 127]
    assert host.deliver("plain", "--", "/etc/passwd").code == 126
    assert host.deliver("root", "-c", "id -un").stdout == "root\n"


@pytest.mark.parametrize("argv", [(), ("-c",), ("-c", "id", "x"), ("--",), ("id",), ("-x", "id")])
def test_wrong_arguments_keep_the_message(host: Host, argv: tuple[str, ...]) -> None:
    for user in ("alice", "plain"):
        assert host.deliver(user, *argv).code == TEMPFAIL


def test_a_large_message_comes_whole(host: Host) -> None:
    done = host.deliver("alice", "-c", "wc -c", input=b"x" * (32 << 20))
    assert done.stdout == f"{32 << 20}\n"
    # One that nobody reads is the server's to notice, as for any command.
    assert host.deliver("alice", "-c", "exec <&-; exit 4", input=b"x" * 10000).code == 4


def test_a_command_that_hangs_ends_with_its_server(host: Host) -> None:
    done = host.deliver("alice", "-c", "sleep 4711 & trap '' TERM; sleep 4712", prefix=("timeout", "-s", "KILL", "1"))
    assert done.code != 0
    host.scratch.wait_until(lambda: not any("sleep 471" in line for line in host.scratch.pids().values()), "its end")
