"""Why can alice not log in: broken set-ups on a scratch host, each named rightly, and cured by what doctor says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from jailssh.scratch.host import Finished, ScratchHost
from tests.root.doctor_rows import LOGIN, ROWS, Row
from tests.root.nss_lab import Directory

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd"), pytest.mark.needs("login-program")]

DRIVER = Path(__file__).parents[1] / "doctor_driver.py"
RELOAD = """#!/bin/sh
touch /run/mark
kill -HUP $(cat /run/sshd.pid)
for n in $(seq 200); do [ /run/sshd.pid -nt /run/mark ] && exit 0; sleep 0.02; done
exit 1
"""


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[ScratchHost]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        scratch.start_journald()
        scratch.start_sshd()
        scratch.write("/root/reload", RELOAD, 0o755)
        scratch.write("/root/dead.py", DEAD)
        make = "rm -rf /etc/postfix /etc/exim4; ssh-keygen -q -t ed25519 -N '' -f /root/k; useradd -m plain;"
        make += "jailssh setup --yes && jailssh adduser alice --jail sftp-only --key /root/k.pub --yes &&"
        make += "jailssh adduser team --jail sftp-only --yes && jailssh keys add team ann /root/k.pub &&"
        make += "install -d /srv/data; touch /etc/jailssh/jailssh.conf;"
        make += "printf 'plugins = rsync\\n[rsync]\\nwrite = /srv/data\\n' >/etc/jailssh/jails/own.conf;"
        make += "jailssh adduser erin --jail own --key /root/k.pub --yes && chown erin /srv/data"
        scratch.run(["sh", "-c", make], check=True)
        yield scratch


# A file system in user space whose server never answers; it says where its process is.
DEAD = """
import ctypes, os, signal, sys
os.path.exists("/dev/fuse") or os.mknod("/dev/fuse", 0o20666, os.makedev(10, 229))
data = f"fd={os.open('/dev/fuse', os.O_RDWR)},rootmode=40000,user_id=0,group_id=0,allow_other"
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"dead", sys.argv[1].encode(), b"fuse", 0, data.encode()):
    sys.exit(os.strerror(ctypes.get_errno()))
if os.fork() == 0:
    os.setsid()
    with open("/root/dead.pid", "w") as file:
        file.write(str(os.getpid()))
    signal.pause()
"""
CRASH = "int pam_sm_acct_mgmt(void) { __builtin_trap(); }\n"
CONTENT = "nothing wrong with account "


@pytest.fixture(scope="module")
def said(host: ScratchHost) -> dict[str, dict[str, Any]]:
    """What doctor said of each row; all of them in one process of the host."""
    host.write("/root/driver.py", DRIVER.read_bytes())
    host.write("/root/cases", "".join(json.dumps(row.case()) + "\n" for row in ROWS))
    env = {"PYTHONPATH": "/usr/local/lib/jailssh/python"}
    done = host.run(["sh", "-c", "python3 -B /root/driver.py </root/cases"], env=env, timeout=300)
    assert done.code == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {row.name: answer for row, answer in zip(ROWS, answers, strict=True)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_broken_set_up_is_named_and_cured(said: dict[str, dict[str, Any]], row: Row) -> None:
    answer = said[row.name]
    assert [each for each in answer["trouble"] if each] == []
    first, *rest = answer["lines"]
    assert fnmatchcase(first, row.first), answer["lines"]
    assert fnmatchcase("".join(rest).removeprefix("  hint: "), row.cure), answer["lines"]
    wrong = answer["facts"]["wrong"][0]
    assert first == f"wrong: {wrong['what']}: {wrong['why']}"
    if row.runs:
        assert answer["cured"][0].startswith(CONTENT), answer["cured"]
    assert answer["after"][0].startswith(CONTENT), answer["after"]


def doctor(host: ScratchHost, *args: str) -> Finished:
    return host.run(["/usr/local/bin/jailssh", "doctor", *args])


def sh(host: ScratchHost, command: str) -> str:
    return host.run(["bash", "-c", command], check=True).stdout


@contextmanager
def broken(host: ScratchHost, breaks: str, back: str) -> Iterator[None]:
    sh(host, breaks)
    try:
        yield
    finally:
        sh(host, back)


def login(host: ScratchHost, user: str, command: str) -> int:
    options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes"
    return host.run(["sh", "-c", f"ssh -i /root/k {options} {user}@127.0.0.1 {command} </dev/null"]).code


def test_an_account_with_which_nothing_is_wrong(host: ScratchHost) -> None:
    uid = sh(host, "id -u alice").strip()
    done = doctor(host, "alice")
    assert (done.code, done.stdout) == (0, f"{CONTENT}alice (uid {uid}, jail sftp-only): it can log in\n"), done.stderr
    facts = json.loads(doctor(host, "alice", "--json").stdout)
    assert {name: facts[name] for name in ("user", "uid", "jail")} == {
        "user": "alice", "uid": int(uid), "jail": "sftp-only"}  # fmt: skip
    assert [facts[name] for name in ("wrong", "notes", "unknown")] == [[], [], []]
    assert {each["state"] for each in facts["steps"]} == {"right"}


def test_all_is_told_in_the_order_of_a_login(host: ScratchHost) -> None:
    back = f"rm /run/nologin; usermod -s {LOGIN} alice; chmod 644 /etc/jailssh/keys/alice"
    with broken(host, "touch /run/nologin; usermod -s /bin/sh alice; chmod 600 /etc/jailssh/keys/alice", back):
        one, every = doctor(host, "alice"), doctor(host, "alice", "--all")
        rows = json.loads(doctor(host, "alice", "--all", "--json").stdout)["wrong"]
    assert (one.code, every.code) == (1, 1)
    wrong = [line for line in every.stdout.splitlines() if line.startswith("wrong: ")]
    assert [line.split(": ")[1] for line in wrong] == ["account alice", "/run/nologin", "/etc/jailssh/keys/alice"]
    assert one.stdout.splitlines()[0] == wrong[0]
    assert wrong == [f"wrong: {row['what']}: {row['why']}" for row in rows]
    assert [row["step"] for row in rows] == ["login shell", "account state", "keys"]


def test_no_byte_of_a_name_reaches_the_terminal(host: ScratchHost) -> None:
    for args in (["a\nb"], ["\x1b]0;x\x07"], ["a\nb", "--json"]):
        done = doctor(host, *args)
        assert done.code == 1
        assert not set(done.stdout + done.stderr) & {"\x1b", "\x07"}
        assert "a\nb" not in done.stdout


def test_only_root_can_look(host: ScratchHost) -> None:
    done = host.run(["setpriv", "--reuid", "65534", "--clear-groups", "/usr/local/bin/jailssh", "doctor", "alice"])
    assert (done.code, done.stderr.splitlines()[0]) == (4, "jailssh: doctor: must be run as root")


def test_the_last_denial_is_explained_until_a_login_works(host: ScratchHost) -> None:
    assert login(host, "alice", "rm -r x") == 126
    done = doctor(host, "alice")
    first, cure = done.stdout.splitlines()
    assert done.code == 1
    assert first.startswith("wrong: account alice: the last login (")
    assert first.endswith(") was denied: command 'rm -r x': no rule allows this program (command-not-allowed)")
    assert '[command] commands = "rm -r x"' in cure
    assert login(host, "alice", "-s sftp") == 0
    done = doctor(host, "alice", "--all")
    assert done.stdout.startswith(CONTENT)
    assert "note: login of alice: was denied on " in done.stdout
    assert "hint: jailssh explain --from-journal " in done.stdout


def test_records_of_others_do_not_count_and_nothing_of_them_is_raw(host: ScratchHost) -> None:
    uid = sh(host, "id -u alice").strip()
    record = "MESSAGE=x\\nJAILSSH_EVENT=denied\\nJAILSSH_REASON=command-not-allowed\\n"
    record += f"JAILSSH_COMMAND=frob \\033[31m\\nJAILSSH_SESSION=\\033[32m\\nJAILSSH_UID={uid}\\n"
    sh(host, f"printf '{record}' | setpriv --reuid plain --clear-groups logger --journald; journalctl --sync")
    assert doctor(host, "alice").stdout.startswith(CONTENT)
    sh(host, f"printf '{record}' | setpriv --reuid alice --clear-groups logger --journald; journalctl --sync")
    for args in (["alice"], ["alice", "--all"], ["alice", "--json"]):
        done = doctor(host, *args)
        assert done.code == 1
        assert "frob" in done.stdout
        assert "\x1b" not in done.stdout
    assert login(host, "alice", "-s sftp") == 0
    assert doctor(host, "alice").code == 0


def test_sessions_in_use(host: ScratchHost) -> None:
    limits = "printf '[limits]\\nmax_sessions = 1\\n' >>/etc/jailssh/users/alice.conf; jailssh apply"
    with broken(host, limits, "sed -i '/limits/,$d' /etc/jailssh/users/alice.conf; jailssh apply"):
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -i /root/k -s alice@127.0.0.1 sftp"
        with host.popen(["ssh", *options.split()], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as session:
            assert session.stdin is not None
            assert session.stdout is not None
            session.stdin.write(b"\0\0\0\5\1\0\0\0\3")
            session.stdin.flush()
            assert session.stdout.read(5)  # it runs
            done = doctor(host, "alice")
            assert done.stdout.startswith("wrong: limits of alice: all 1 sessions of the account are in use\n")
            assert "hint: jailssh kick alice; or [limits] max_sessions = 1 " in done.stdout
            sh(host, "jailssh kick alice")
            session.stdin.close()
            session.wait(30)
        assert doctor(host, "alice").code == 0


def test_an_address_that_is_not_allowed(host: ScratchHost) -> None:
    limits = "printf '[limits]\\naddresses = 10.0.0.0/8\\n' >>/etc/jailssh/users/alice.conf; jailssh apply"
    with broken(host, limits, "sed -i '/limits/,$d' /etc/jailssh/users/alice.conf; jailssh apply"):
        assert login(host, "alice", "-s sftp") == 126
        done = doctor(host, "alice")
        assert ") was denied: login from 127.0.0.1 " in done.stdout
        assert "hint: [limits] addresses = 10.0.0.0/8 " in done.stdout
    # It was denied, and would not be now.
    assert doctor(host, "alice").stdout.startswith(CONTENT)


def test_a_home_whose_server_does_not_answer_is_bounded_and_told(host: ScratchHost) -> None:
    breaks = "mv /home/alice /home/alice.kept; mkdir /home/alice;"
    breaks += "python3 /root/dead.py /home/alice </dev/null >/dev/null 2>&1"
    back = "kill $(cat /root/dead.pid); umount -l /home/alice; rmdir /home/alice; mv /home/alice.kept /home/alice"
    with broken(host, breaks, back):
        done = doctor(host, "alice")
    first, cure = done.stdout.splitlines()
    assert first == "wrong: home of alice: /home/alice: no answer within 3 seconds (mounted at /home/alice)"
    assert cure == "  hint: umount --lazy /home/alice && mount /home/alice"


def test_a_module_of_pam_that_crashes(host: ScratchHost, tmp_path: Path) -> None:
    (tmp_path / "crash.c").write_text(CRASH)
    argv = ["gcc", "-shared", "-fPIC", "-o", str(tmp_path / "pam_crash.so"), str(tmp_path / "crash.c")]
    subprocess.run(argv, check=True)
    host.write("/root/pam_crash.so", (tmp_path / "pam_crash.so").read_bytes(), 0o755)
    breaks = "cp /etc/pam.d/sshd /root/pam; sed -i '1i account required /root/pam_crash.so' /etc/pam.d/sshd"
    with broken(host, breaks, "cp /root/pam /etc/pam.d/sshd"):
        done = doctor(host, "alice")
    assert done.stdout.startswith("wrong: PAM for alice: a module crashed, ")
    assert "mend or remove one of: /root/pam_crash.so in /etc/pam.d/sshd" in done.stdout


def test_a_name_service_that_is_away(host: ScratchHost, tmp_path: Path) -> None:
    sh(host, "cp /etc/nsswitch.conf /root/nsswitch")
    directory = Directory(host, tmp_path)
    directory.account("dave", 40001, "/home/dave", "/bin/bash")
    try:
        directory.state("away")
        done = doctor(host, "dave")
    finally:
        sh(host, "cp /root/nsswitch /etc/nsswitch.conf")
    assert done.code == 1
    assert done.stdout.startswith("wrong: account dave: ")
    assert "does not exist" not in done.stdout
    assert "getent passwd" in done.stdout


def test_a_member_of_a_group_without_the_daemon(host: ScratchHost) -> None:
    make = "groupadd stu; useradd -m -s /usr/local/libexec/jailssh/jailssh-login -G stu carl;"
    make += "printf 'plugins = sftp\\ngroups = stu\\n' >/etc/jailssh/jails/stu.conf; jailssh setup --yes;"
    make += "cp /etc/jailssh/keys/alice /etc/jailssh/keys/carl"
    back = "userdel -r carl; groupdel stu; rm /etc/jailssh/keys/carl /etc/jailssh/jails/stu.conf; jailssh setup --yes"
    with broken(host, make, back):
        done = doctor(host, "carl")
        assert done.stdout.splitlines() == [
            "wrong: plan of carl: does not exist, and jailsshd, which would create it, does not run",
            "  hint: systemctl enable --now jailsshd.socket",
        ]
    assert doctor(host, "alice").code == 0


def test_a_host_without_a_journal(host: ScratchHost) -> None:
    # Hidden below a mount, not moved away: journald creates its directory anew when it rotates.
    with broken(host, "mount -t tmpfs -o ro none /run/log", "umount /run/log"):
        done = doctor(host, "alice", "--all")
    assert done.code == 0
    assert "note: journal: does not exist on this host, so past refusals are unknown" in done.stdout


def test_a_journal_that_is_damaged_or_does_not_answer(host: ScratchHost) -> None:
    damage = "mkdir /root/j && cp -a /run/log/journal /root/j; for f in /root/j/journal/*/*; do"
    damage += " dd if=/dev/urandom of=$f bs=1k seek=1 count=64 conv=notrunc; done;"
    damage += "mount --bind /root/j /run/log && mount -o remount,bind,ro /run/log"
    with broken(host, damage, "umount /run/log; rm -r /root/j"):
        done = doctor(host, "alice", "--all")
    assert done.code in (0, 2), done.stdout
    assert "wrong: " not in done.stdout
    script = "mkdir -p /usr/local/sbin; printf '#!/bin/sh\\nsleep 60\\n' >/usr/local/sbin/journalctl;"
    script += "chmod 755 /usr/local/sbin/journalctl"
    with broken(host, script, "rm /usr/local/sbin/journalctl"):
        done = doctor(host, "alice")
    assert done.code == 2
    assert done.stdout.startswith("not looked at: last logins: program /usr/local/sbin/journalctl: timed out after 3 s")


def test_what_hangs_in_pam_is_not_left_behind(host: ScratchHost) -> None:
    breaks = "cp /etc/pam.d/sshd /root/pam;"
    breaks += "sed -i '1i account required pam_exec.so /usr/bin/sleep 4711' /etc/pam.d/sshd"
    with broken(host, breaks, "cp /root/pam /etc/pam.d/sshd"):
        done = doctor(host, "alice")
    assert done.stdout.startswith("wrong: PAM for alice: a module does not answer within 3 seconds: ")
    assert host.run(["pgrep", "-f", "sleep 4711"]).code == 1
