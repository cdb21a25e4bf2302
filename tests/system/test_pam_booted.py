"""The PAM module on a booted Debian: cron, at, su, login and an FTP server of accounts in jails, and of others.

Every way is tried for an account in no jail too, so that it works here.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.booted import BootedTree
from tests.system.people import OPEN, OTHER, PASSWORD, SHUT, SSH

pytestmark = pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn")

INSIDE = "runs"
"""The account in a jail with a shell."""
TIMED, TIMED_JAIL = "timed", "plugins = shell\nroot = live\ncrontab = yes\n"
"""The account that sets its jobs itself."""
LOOK = "id -un; ls -d /etc/jailssh /usr/bin/id 2>&1; grep -h Seccomp_filters: /proc/self/status"
CONFIG = "/etc/jailssh/jailssh.conf"
MODULE = "$(ls /usr/local/lib/*/security/pam_jailssh.so)"
# A terminal, a name, a password, a command: what login(1) is asked for at a console.
CONSOLE = """
import os, pty, select, sys, time
name, password, command = sys.argv[1:]
pid, terminal = pty.fork()
if not pid:
    os.environ["TERM"] = "dumb"
    os.execv("/bin/login", ["login"])
said = b""
def until(word, seconds=20):
    global said
    end = time.monotonic() + seconds
    while word not in said and time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                said += os.read(terminal, 4096)
            except OSError:  # login(1) hangs the terminal up at first
                time.sleep(0.1)
for word, line in ((b"login:", name), (b"assword:", password)):
    until(word)
    os.write(terminal, line.encode() + b"\\n")
time.sleep(2)
os.write(terminal, command.encode() + b"; exit\\n")
until(b"Seccomp_filters:" + bytes([9]), 10)
print(said.decode(errors="replace"))
os.kill(pid, 9)
"""


@pytest.fixture(scope="module", autouse=True)
def inside(tree: BootedTree) -> Iterator[None]:
    """Everything that can be led inside is, for these tests; cron begins while others are tried."""
    tree.sh(f"echo 'pam_inside = cron, atd, su, login' >>{CONFIG} && jailssh setup --yes")
    for user, shell in ((OPEN, "/bin/sh"), (INSIDE, "/bin/sh"), (SHUT, "/usr/bin/python3")):
        job = f"({LOOK}) >/home/{user}/cron.out 2>&1" if user != SHUT else "open('/var/tmp/python-ran', 'w')"
        tree.run(f"crontab -u {user} -", input=f"SHELL={shell}\n* * * * * {job}\n", check=True)
    tree.run(f"cat >/etc/jailssh/jails/{TIMED}.conf", input=TIMED_JAIL, check=True)
    tree.sh(f"jailssh adduser {TIMED} --jail {TIMED} --key /root/key.pub")
    job = f"* * * * * ({LOOK}) >$HOME/cron.out 2>&1\n"
    tree.run(f"ssh {SSH} {TIMED}@localhost crontab -", input=job, check=True)
    tree.sh("jailssh apply --crontabs")
    yield
    tree.sh(f"jailssh deluser {TIMED} --remove-home --now --yes && rm /etc/jailssh/jails/{TIMED}.conf")
    assert tree.run(f"ls /var/spool/cron/crontabs/{TIMED}").returncode != 0
    for user in (OPEN, INSIDE, SHUT):
        tree.run(f"crontab -r -u {user}")
    tree.sh(f"sed -i '/^pam_inside/d' {CONFIG} && jailssh setup --yes; rm -f /home/*/*.out")


def is_jailed(said: str) -> bool:
    """True where :data:`LOOK` was printed in a jail, False where on the host."""
    assert "/usr/bin/id" in said, said
    return "cannot access '/etc/jailssh'" in said


def read(tree: BootedTree, path: str, seconds: float = 150) -> str:
    tree.wait(lambda: tree.run(f"grep -q Seccomp_filters: {path}").returncode == 0, path, seconds)
    return tree.sh(f"cat {path}")


def test_what_an_account_sets_in_its_jail_runs_there(tree: BootedTree) -> None:
    assert is_jailed(read(tree, f"/home/{TIMED}/cron.out"))


def test_cron(tree: BootedTree) -> None:
    assert not is_jailed(read(tree, f"/home/{OPEN}/cron.out"))
    assert is_jailed(read(tree, f"/home/{INSIDE}/cron.out"))
    tree.wait(lambda: "CMD (open(" in tree.sh("journalctl --no-pager -o cat -t CRON"), "the job of the other one", 150)
    assert tree.run("ls /var/tmp/python-ran").returncode != 0


def test_at(tree: BootedTree) -> None:
    for user in (OPEN, INSIDE):
        job = f"({LOOK}) >/home/{user}/at.out 2>&1"
        tree.run(f"runuser -u {user} -- sh -c 'cd /; at now'", input=f"{job}\n", check=True)
    assert not is_jailed(read(tree, f"/home/{OPEN}/at.out"))
    assert is_jailed(read(tree, f"/home/{INSIDE}/at.out"))


@pytest.mark.parametrize("options", ["", "-", "-s /bin/sh", "-s /bin/bash"])
def test_su(tree: BootedTree, options: str) -> None:
    for user, jailed in ((OPEN, False), (INSIDE, True)):
        said = tree.run(f"cd /; echo {PASSWORD} | runuser -u {OTHER} -- su {options} {user} -c '{LOOK}'").stdout
        assert said.startswith(f"{user}\n")
        assert is_jailed(said) is jailed
    # Where the login program is in shells(5), su takes a shell of the caller's choice.
    tree.sh("cp -p /etc/shells /root/shells; getent passwd runs | cut -d: -f7 >>/etc/shells")
    try:
        said = tree.run(f"cd /; echo {PASSWORD} | runuser -u {OTHER} -- su {options} {INSIDE} -c '{LOOK}'").stdout
        assert is_jailed(said)
        done = tree.run(f"cd /; echo {PASSWORD} | runuser -u {OTHER} -- su -s /usr/bin/python3 {INSIDE} -c 'print(7)'")
        assert "7\n" not in done.stdout
    finally:
        tree.sh("mv /root/shells /etc/shells")
    assert not is_jailed(tree.sh(f"su -s /bin/sh {INSIDE} -c '{LOOK}' 2>&1; true"))  # root's su is root's


def test_a_console(tree: BootedTree) -> None:
    for user, jailed in ((OPEN, False), (INSIDE, True)):
        said = tree.run(f"python3 -c '{CONSOLE}' {user} {PASSWORD} '{LOOK}'").stdout
        assert is_jailed(said) is jailed, said


def test_an_ftp_server_is_refused(tree: BootedTree) -> None:
    """It opens no session, and acts as the account itself."""
    tree.sh("cp -p /etc/shells /root/shells; getent passwd runs | cut -d: -f7 >>/etc/shells; systemctl start vsftpd")
    try:
        for user, answer in ((OPEN, "230"), (INSIDE, "530"), (SHUT, "530")):
            said = tree.run("ftp -n localhost", input=f"user {user} {PASSWORD}\nls\nquit\n").stdout
            said += tree.run("ftp -v -n localhost", input=f"user {user} {PASSWORD}\nquit\n").stdout
            assert f"\n{answer} " in said, said
    finally:
        tree.sh("mv /root/shells /etc/shells; systemctl stop vsftpd")
    refused = f"journalctl --sync; journalctl --no-pager -o cat JAILSSH_EVENT=refused JAILSSH_USER={INSIDE}"
    assert "refused by PAM for vsftpd (service)" in tree.sh(refused)


def test_a_password_that_must_be_changed(tree: BootedTree) -> None:
    """pam_unix leaves the account phase then: for su the module has answered before, in the session too."""
    tree.sh(f"chage -d 0 {INSIDE}; chage -d 0 {SHUT}; sed -i '/^pam_inside/s/, su//' {CONFIG}; jailssh setup --yes")
    try:
        for user in (INSIDE, SHUT):
            said = tree.run(f"cd /; echo {PASSWORD} | runuser -u {OTHER} -- su -s /bin/sh {user} -c '{LOOK}'")
            assert "this account is in a jail and cannot come in this way" in said.stderr
            assert said.stdout == ""
    finally:
        tree.sh(
            f"chage -d -1 {INSIDE}; chage -d -1 {SHUT}; sed -i '/^pam_inside/s/$/, su/' {CONFIG}; jailssh setup --yes"
        )


def test_without_the_module_root_and_others_get_in_and_jobs_do_not_run(tree: BootedTree) -> None:
    tree.sh(f"m={MODULE}; mv $m /root/module; echo $m >/root/place; rm -f /home/*/at.out")
    try:
        tree.sh("install -d -m 700 /root/.ssh && install -m 600 /root/key.pub /root/.ssh/authorized_keys")
        assert tree.sh(f"ssh {SSH} root@localhost id -un </dev/null") == "root\n"
        assert tree.sh(f"ssh {SSH} {OPEN}@localhost id -un </dev/null") == f"{OPEN}\n"
        assert tree.sh(f"ssh {SSH} {INSIDE}@localhost id -un </dev/null") == f"{INSIDE}\n"  # into its jail
        for user in (OPEN, INSIDE):
            tree.run(f"runuser -u {user} -- sh -c 'cd /; at now'", input=f"({LOOK}) >/home/{user}/at.out 2>&1\n")
        assert not is_jailed(read(tree, f"/home/{OPEN}/at.out"))
        tree.wait(
            lambda: (
                "refused by PAM for atd"
                in tree.sh(
                    f"journalctl --sync; journalctl --no-pager -o cat JAILSSH_EVENT=refused JAILSSH_USER={INSIDE}"
                )
            ),
            "the record",
        )
        assert tree.run(f"ls /home/{INSIDE}/at.out").returncode != 0
        assert "JSH-410" in tree.run("jailssh check").stdout
    finally:
        tree.sh("mv /root/module $(cat /root/place)")
