"""A second sshd of the host, with a configuration of its own: found by its process and by its unit, and told."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from subprocess import PIPE
from types import NoneType

import pytest

from jailssh.scratch.host import ScratchHost
from jailssh.services import sshds
from jailssh.services.sshds import SshdServer
from tests.harness.fixtures import PREFIX

pytestmark = pytest.mark.needs("root", "sshd")

JAILSSH = f"{PREFIX}/bin/jailssh"


@pytest.fixture
def host(staged_prefix: str) -> Iterator[ScratchHost]:
    with ScratchHost(install={staged_prefix: PREFIX}) as host:
        host.start_sshd()
        host.run([JAILSSH, "setup", "--yes"], check=True)
        host.run([JAILSSH, "adduser", "alice", "--jail", "sftp-only"], check=True)
        yield host


def said(host: ScratchHost) -> str:
    done = host.run([JAILSSH, "config", "check"])
    assert "Traceback" not in done.stderr
    assert (done.code == 0) == ("another sshd" not in done.stderr), done
    return done.stderr


def second(host: ScratchHost, text: str, *options: str) -> None:
    host.write("/etc/ssh/second_config", f"PidFile /run/second.pid\nListenAddress 127.0.0.1\nPort 2222\n{text}")
    host.run(["/usr/sbin/sshd", "-f", "/etc/ssh/second_config", *options], check=True)
    host.wait_for("/run/second.pid")


def test_the_usual_one_is_right(host: ScratchHost) -> None:
    found = said(host)
    assert "another sshd" not in found
    assert (
        "note: [limits] memory, tasks, cpu_quota, cpu_weight, io_weight: have no effect on this host: systemd" in found
    )


def test_one_that_runs_with_its_own_file(host: ScratchHost) -> None:
    second(host, "UsePAM no\n")
    found = said(host)
    assert "another sshd, process " in found
    assert "-f /etc/ssh/second_config: forcecommand is 'none' for jailed account alice, expected " in found
    assert "hint: add to its configuration: Include /etc/ssh/sshd_config.d/20-jailssh.conf" in found
    setup = host.run([JAILSSH, "setup", "--yes"])
    assert "note: another sshd, process " in setup.stdout


@pytest.mark.parametrize(
    "text",
    [
        "Include /etc/ssh/sshd_config.d/*.conf\n",
        "DenyGroups x jailssh\n",
        "AllowGroups root\n",
        "AllowUsers bo? root\n",
    ],
)
def test_one_that_jails_too_or_lets_nobody_of_them_in(host: ScratchHost, text: str) -> None:
    second(host, text)
    assert "another sshd" not in said(host)


def test_one_that_denies_a_group_that_the_account_is_not_in(host: ScratchHost) -> None:
    host.write("/etc/jailssh/jails/stu.conf", "plugins = sftp\ngroups = stu\n")
    move = "groupadd stu; gpasswd -a alice stu; gpasswd -d alice jailssh;"
    host.run(["sh", "-c", f"{move} {JAILSSH} setup --yes"], check=True)
    second(host, "DenyGroups jailssh\nDenyUsers alice@10.0.0.1\n")
    assert "forcecommand is 'none' for jailed account alice, expected " in said(host)


def test_an_option_wins_over_the_file(host: ScratchHost) -> None:
    second(host, "Include /etc/ssh/sshd_config.d/*.conf\n", "-o", "DenyUsers=nobody", "-oPermitUserEnvironment=yes")
    assert "permituserenvironment is 'yes'" in said(host)


def test_one_that_a_unit_would_start(host: ScratchHost) -> None:
    host.write("/etc/ssh/second_config", "Port 2222\n")
    before = "ExecStartPre=/usr/sbin/sshd -t -f /etc/ssh/x\n"
    unit = f"[Service]\n{before}ExecStart=-/usr/sbin/sshd -D $OPTS \\\n -f /etc/ssh/second_config\n"
    host.write("/etc/systemd/system/ssh-second.service", unit)
    assert "another sshd, unit ssh-second.service: " in said(host)
    host.run(["rm", "/etc/ssh/second_config"], check=True)
    assert "cannot evaluate its configuration" in said(host)


def test_one_of_another_account_says_nothing_to_root() -> None:
    """Whoever gives a program this name and these words would choose a file that root reads: /dev/zero, a FIFO."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        program = shutil.copy(os.path.realpath("/bin/sh"), f"{folder}/sshd")
        for user, expected in ((0, SshdServer), (65534, NoneType)):
            words = ["sshd", "-f", "-c", "echo; read line; :"]
            with subprocess.Popen(words, executable=program, user=user, stdin=PIPE, stdout=PIPE) as running:
                assert running.stdout is not None
                running.stdout.readline()
                assert isinstance(sshds.listening(running.pid), expected)


def test_a_link_to_a_drop_in_is_read_as_sshd_does(host: ScratchHost) -> None:
    host.write("/etc/ssh/real.conf", "Match LocalPort 2200\nX11Forwarding no\n")
    host.run(["ln", "-s", "/etc/ssh/real.conf", "/etc/ssh/sshd_config.d/10-link.conf"], check=True)
    done = host.run([JAILSSH, "check", "--json"])
    assert "10-link.conf" not in done.stdout + done.stderr, done


def test_one_that_lets_go_an_account_in_fifty_from_one_address(host: ScratchHost) -> None:
    names = [*(f"b{number}" for number in range(60)), "zoe"]
    rows = "".join(
        f"{name}:x:{uid}:100::/:{PREFIX}/libexec/jailssh/jailssh-login\\n" for uid, name in enumerate(names, 3000)
    )
    host.run(["sh", "-c", f"printf '{rows}' >> /etc/passwd; sed -i '/^jailssh:/s/$/,{','.join(names)}/' /etc/group"])
    for name in names:
        host.write(f"/etc/jailssh/users/{name}.conf", "jail = sftp-only\n")
    text = "Match User zoe Address 10.0.0.0/8\nForceCommand none\nMatch all\n"
    second(host, f"{text}Include /etc/ssh/sshd_config.d/*.conf\n")
    expected = (
        "forcecommand is 'none' for jailed account zoe for a login from host=host.example,addr=10.0.0.1, expected"
    )
    found = said(host)
    assert expected in found, found
