"""Ports that sshd forwards for accounts of a jail with ``forward = inside``: to and from their own loopback alone."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.root.setup_lab import Administered

pytestmark = [pytest.mark.needs("root", "sshd", "login-program")]

COMMON = "/etc/pam.d/common-account"
# Connects to a port of loopback and prints what it is told; the second argument makes it SOCKS 5.
ASK = """
import socket, sys
port, socks = int(sys.argv[1]), sys.argv[2:]
try:
    with socket.create_connection(("127.0.0.1", port), 5) as s:
        s.settimeout(5)
        if socks:
            s.sendall(b"\\5\\1\\0")
            assert s.recv(2) == b"\\5\\0"
            s.sendall(b"\\5\\1\\0\\1\\x7f\\0\\0\\1" + int(socks[0]).to_bytes(2, "big"))
            assert s.recv(10)[:2] == b"\\5\\0", "refused"
        print(s.recv(100).decode())
except (OSError, AssertionError) as error:
    print("nothing:", error)
"""
SERVE = """
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as s:
    print("listening", flush=True)
    while True:
        c, _ = s.accept()
        c.sendall(sys.argv[2].encode())
        c.close()
"""
SSH = ("ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes -i /root/k "
       "-o ExitOnForwardFailure=yes")  # fmt: skip


class Host(Administered):
    def nothing_or(self, port: int, *socks: int) -> str:
        """Return what a server at ``port`` of the host's loopback says."""
        done = self.scratch.run(["python3", "-c", ASK, str(port), *map(str, socks)])
        return done.stdout.strip()

    def ssh(self, *words: str) -> tuple[int, str]:
        done = self.scratch.run(["sh", "-c", f"exec {SSH} {' '.join(words)}"])
        return done.code, done.stdout + done.stderr

    @contextmanager
    def connection(self, user: str, *options: str) -> Iterator[None]:
        """Hold a connection without a session."""
        self.sh(f"{SSH} -f -N -M -S /root/ctl-{user} {' '.join(options)} {user}@127.0.0.1")
        try:
            yield
        finally:
            self.scratch.run(["ssh", "-S", f"/root/ctl-{user}", "-O", "exit", f"{user}@127.0.0.1"])

    def forwards_into_host(self, user: str = "alice") -> bool:
        """True if a login of the account reaches what listens on the host's loopback."""
        _, said = self.ssh(f"-W 127.0.0.1:7000 {user}@127.0.0.1 </dev/null")
        return "of the host" in said


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[Host]:
    with Host.made(staged_prefix) as host:
        host.scratch.write("/etc/jailssh/jails/dev.conf", "plugins = shell, sftp\nroot = live\nforward = inside\n")
        host.ok("setup", "--yes")
        host.scratch.start_sshd()
        for name in ("alice", "bob"):
            said = host.ok("adduser", name, "--jail", "dev", "--key", "/root/k.pub", "--yes")
            assert f"{name}: sshd forwards ports" in said
        host.sh(f"setsid python3 -c '{SERVE}' 7000 'of the host' >/root/out 2>&1 & sleep 0.3")
        assert host.nothing_or(7000) == "of the host"
        yield host


@pytest.fixture(scope="module")
def opened(host: Host) -> Host:
    """Give the host with a server in alice's jail."""
    assert not host.forwards_into_host()
    for name, script in (("serve", SERVE), ("ask", ASK)):
        host.scratch.write(f"/home/alice/{name}.py", script)
    host.sh(f"{SSH} -f alice@127.0.0.1 'python3 serve.py 8000 \"of the jail\"' >/root/in 2>&1")
    for _ in range(100):
        if "listening" in host.sh("cat /root/in"):
            return host
        time.sleep(0.05)
    raise AssertionError(host.sh("cat /root/in"))


def test_local_forwarding_reaches_the_jail_and_nothing_of_the_host(opened: Host) -> None:
    with opened.connection("alice", "-L 9000:127.0.0.1:8000", "-L 9001:localhost:7000", "-D 9002"):
        assert opened.nothing_or(9000) == "of the jail"
        assert opened.nothing_or(9001) in ("", "nothing: [Errno 104] Connection reset by peer")
        assert opened.nothing_or(9002, 8000) == "of the jail"
        assert opened.nothing_or(9002, 7000) == "nothing: refused"
    assert opened.nothing_or(8000).startswith("nothing:")
    assert not opened.forwards_into_host()
    interfaces = opened.ssh("alice@127.0.0.1 cat /proc/net/dev")[1].splitlines()[2:]
    assert [line.split(":")[0].strip() for line in interfaces] == ["lo"]


def test_remote_forwarding_listens_inside_alone(opened: Host) -> None:
    with opened.connection("alice", "-R 9003:127.0.0.1:7000"):
        assert opened.nothing_or(9003).startswith("nothing:")
        assert opened.ssh("alice@127.0.0.1 python3 ask.py 9003") == (0, "of the host\n")


def test_each_account_has_a_loopback_of_its_own(opened: Host) -> None:
    assert "of the jail" in opened.ssh("-W 127.0.0.1:8000 alice@127.0.0.1 </dev/null")[1]
    assert "of the jail" not in opened.ssh("-W 127.0.0.1:8000 bob@127.0.0.1 </dev/null")[1]


# What editors do: a script on the input of a shell without a terminal starts their server where none runs, and tells
# its port; all else goes through a forward of that connection.  The server stays for the next one.
EDITOR = b"""
mkdir -p ~/.server
test -f ~/.server/pid && kill -0 $(cat ~/.server/pid) 2>/dev/null || {
    nohup python3 ~/serve.py 8100 "the server of the editor" >~/.server/log 2>&1 </dev/null &
    echo $! >~/.server/pid
    until grep -q listening ~/.server/log; do sleep 0.1; done
    echo started
}
echo listeningOn==8100==
"""


def test_an_editor_finds_its_server_again_in_a_jail_for_hosting(opened: Host) -> None:
    text = "extends = hosting\nnetwork = loopback\nforward = inside\n"
    opened.scratch.write("/etc/jailssh/jails/remote.conf", text)
    opened.ok("adduser", "carol", "--jail", "remote", "--key", "/root/k.pub", "--yes")
    opened.scratch.write("/home/carol/serve.py", SERVE)
    for answer in ("started\n", ""):
        shell = opened.scratch.popen(
            [*SSH.split(), "-T", "-D", "9010", "carol@127.0.0.1", "bash"], stdin=subprocess.PIPE
        )
        assert shell.stdin is not None and shell.stdout is not None
        shell.stdin.write(EDITOR)
        shell.stdin.flush()
        answered = b"".join(iter(shell.stdout.readline, b"listeningOn==8100==\n"))
        assert answered.decode() == answer
        assert opened.nothing_or(9010, 8100) == "the server of the editor"
        assert opened.nothing_or(9010, 7000) == "nothing: refused"
        # What other editors copy theirs with.
        sftp = SSH.replace("ssh ", "sftp ", 1)
        assert opened.sh(f"echo get .server/pid /root/got | {sftp} -q -b - carol@127.0.0.1 >/dev/null; cat /root/got")
        shell.stdin.close()
        assert shell.wait(20) == 0
    opened.ok("deluser", "carol", "--remove-home", "--now", "--yes")
    opened.scratch.run(["rm", "/etc/jailssh/jails/remote.conf"], check=True)


def test_nothing_else_is_forwarded(opened: Host) -> None:
    said = opened.config_of("alice").lower().splitlines()
    for line in ("allowstreamlocalforwarding no", "allowagentforwarding no", "x11forwarding no", "permittunnel no",
                 "gatewayports no", "kbdinteractiveauthentication no"):  # fmt: skip
        assert line in said


MODULE = "/usr/local/lib/*/security/pam_jailssh.so"
RESTART = "kill -HUP $(cat /run/sshd.pid); sleep 0.3"
# How an administrator may break it -> whether the account can still log in.
BREAKAGES = {
    "sshd without PAM": (f"echo 'UsePAM no' >/etc/ssh/sshd_config.d/00.conf; {RESTART}",
                         f"rm /etc/ssh/sshd_config.d/00.conf; {RESTART}", False),
    "module gone": (f"mv {MODULE} /root/module", "mv /root/module $(echo /usr/local/lib/*/security)/pam_jailssh.so",
                    False),
    "profile not in force": (f"cp {COMMON} /root/c; sed -i '/pam_jailssh\\|jailssh/d; /pam_rootok/d; /pam_exec/d; "
                             f"0,/pam_deny/{{/pam_deny/d}}' {COMMON}", f"mv /root/c {COMMON}", False),
    "profile of another version": (f"cp {COMMON} /root/c; sed -i 's/ try_again=[0-9]*//' {COMMON}",
                                   f"mv /root/c {COMMON}", False),
    "no session phase": ("cp /etc/pam.d/common-session /root/c; sed -i '/pam_jailssh/d' /etc/pam.d/common-session",
                         "mv /root/c /etc/pam.d/common-session", True),
    "no day of expiry": ("chage -E -1 alice", "chage -E 1970-01-03 alice", False),
    "directory of networks that others can change": ("chmod 777 /run/jailssh/net", "chmod 700 /run/jailssh/net", False),
    "locked": ("jailssh lock alice", "jailssh unlock alice", False),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKAGES)
def test_no_breakage_lets_sshd_forward_in_the_network_of_the_host(opened: Host, name: str) -> None:
    do, undo, comes_in = BREAKAGES[name]
    with opened.changed(do, undo):
        assert not opened.forwards_into_host()
        assert (opened.ssh("alice@127.0.0.1 true")[0] == 0) is comes_in
    assert opened.ssh("alice@127.0.0.1 true") == (0, "")
    assert not opened.forwards_into_host()


def test_check_tells_what_does_not_hold(opened: Host) -> None:
    def told() -> set[str]:
        found = json.loads(opened.jailssh("check", "--json").stdout)
        return {each["id"] for each in found["findings"] if each["id"] in ("JSH-219", "JSH-302", "JSH-412")}

    assert told() == set()
    for name, wanted in (("sshd without PAM", "JSH-302"), ("no day of expiry", "JSH-412"),
                         ("no session phase", "JSH-412")):  # fmt: skip
        with opened.changed(*BREAKAGES[name][:2]):
            assert wanted in told(), name
    assert told() == set()


# Of these, what doctor says first.
FIRST = {
    "sshd without PAM": "usepam is 'no', expected 'yes'",
    "module gone": "forward = inside: ",
    "profile not in force": "forward = inside: /etc/pam.d/common-account does not begin with the profile",
    "no day of expiry": "is in group jailssh-forward without its day of expiry",
    "directory of networks that others can change": "/run/jailssh/net: is not a directory of root's alone",
}
REGROUP = ("gpasswd -d alice jailssh-forward", "gpasswd -a alice jailssh-forward")


def test_doctor_says_what_keeps_a_forwarding_account_out(opened: Host) -> None:
    assert opened.ok("doctor", "alice").startswith("nothing wrong with account alice")
    for name, told in FIRST.items():
        with opened.changed(*BREAKAGES[name][:2]):
            done = opened.jailssh("doctor", "alice")
            assert done.stdout.startswith("wrong: "), name
            assert told in done.stdout.splitlines()[0], (name, done.stdout)
    with opened.changed(*REGROUP):
        assert "is not in it: it has expired\n  hint: jailssh apply" in opened.jailssh("doctor", "alice").stdout
    with opened.changed(*BREAKAGES["no session phase"][:2]):
        said = opened.ok("doctor", "alice")  # it can log in
        assert "note: account alice: forward = inside: the session phase of the service sshd does not ask" in said


def test_selftest_tries_both_networks(opened: Host) -> None:
    def rows(code: int) -> dict[str, str]:
        done = opened.jailssh("selftest", "alice", "--json")
        assert done.code == code, done.stdout
        (report,) = json.loads(done.stdout)["reports"]
        return {row["id"]: row["verdict"] for row in report["rows"] if row["id"].startswith("forward.")}

    right = rows(0)
    assert set(right.values()) == {"ok"}
    assert {"forward.inside", "forward.tcp", "forward.listen", "forward.socket"} <= set(right)
    # A stack that root made without us: what it is there to find.
    stack = "/etc/pam.d/sshd"
    bare = "account required pam_permit.so\nsession required pam_permit.so\nauth required pam_permit.so"
    with opened.changed(f"cp {stack} /root/c; printf '{bare}\n' >{stack}", f"mv /root/c {stack}"):
        wrong = rows(1)
    assert wrong["forward.tcp"] == wrong["forward.listen"] == "wrong"


def test_a_refusal_is_told(opened: Host) -> None:
    with opened.changed(*BREAKAGES["directory of networks that others can change"][:2]):
        opened.ssh("alice@127.0.0.1 true")
    record = opened.scratch.journal(JAILSSH_EVENT="refused", JAILSSH_USER="alice")[-1]
    assert record["JAILSSH_REASON"] == "pam-session"
    assert "cannot open the directory of networks" in record["MESSAGE"]


def test_who_gets_another_day_of_expiry_loses_forwarding_until_it_is_gone(opened: Host) -> None:
    in_group = "id -nG alice | grep -c jailssh-forward || true"
    opened.sh("chage -E 2100-01-01 alice")
    done = opened.jailssh("apply")
    assert "forward = inside needs that field" in done.stderr
    assert (done.code != 0, opened.sh(in_group)) == (True, "0\n")
    assert "port-forwarding" not in opened.sh("cat /etc/jailssh/keys/alice")
    opened.sh("chage -E -1 alice")
    opened.ok("apply")
    assert opened.sh(in_group) == "1\n"
    assert opened.sh("getent shadow alice | cut -d: -f8") == "2\n"


def test_the_day_alone_lets_nobody_past_pam_unix(opened: Host) -> None:
    """Of an account that sshd does not forward for it is a day like others: an administrator may have set it."""
    opened.scratch.write("/etc/jailssh/jails/plain.conf", "plugins = shell\nroot = live\n")
    opened.ok("adduser", "carl", "--jail", "plain", "--key", "/root/k.pub", "--yes")
    assert opened.ssh("carl@127.0.0.1 true") == (0, "")
    with opened.changed("chage -E 1970-01-03 carl", "chage -E -1 carl"):
        assert opened.ssh("carl@127.0.0.1 true")[0] == 255
    record = opened.scratch.journal(JAILSSH_EVENT="refused", JAILSSH_USER="carl")[-1]
    assert record["JAILSSH_REASON"] == "expired"
    assert opened.ssh("carl@127.0.0.1 true") == (0, "")
    opened.ok("deluser", "carl", "--yes")


def test_a_login_that_was_killed_before_its_network_was_pinned_leaves_nothing(opened: Host) -> None:
    place = f"/run/jailssh/net/{opened.sh('id -u bob').strip()}"
    opened.ssh("bob@127.0.0.1 true")
    opened.sh(f"umount {place}; test -f {place}")
    assert opened.ssh("bob@127.0.0.1 true") == (0, "")
    assert opened.sh(f"stat -fc %T {place}").strip() == "nsfs"


def test_who_comes_into_a_jail_or_out_of_it_needs_no_apply(opened: Host) -> None:
    in_group = "id -nG dirk | grep -c jailssh-forward || true"
    opened.scratch.write("/etc/jailssh/jails/plain.conf", "plugins = shell\nroot = live\n")
    opened.ok("adduser", "dirk", "--jail", "plain", "--key", "/root/k.pub", "--yes")
    assert "dirk: sshd forwards ports" in opened.ok("move", "dirk", "--jail", "dev")
    assert opened.sh(in_group) == "1\n"
    archive = opened.ok("export", "-")
    assert "dirk: sshd forwards no ports" in opened.ok("move", "dirk", "--jail", "plain")
    assert opened.sh(in_group) == "0\n"
    opened.ok("deluser", "dirk", "--yes")
    opened.scratch.write("/root/archive", archive)
    opened.sh("rm -r /home/dirk")
    assert "dirk: sshd forwards ports" in opened.ok("import", "--apply", "--yes", "--replace", "/root/archive")
    assert opened.sh(in_group) == "1\n"
    assert opened.ok("apply", "--dry-run") == "no changes\n"
    opened.ok("deluser", "dirk", "--yes")


@pytest.mark.parametrize("how", ["fetch", "add"])
def test_for_who_becomes_shared_sshd_forwards_no_more(opened: Host, how: str) -> None:
    opened.scratch.write("/usr/local/bin/sss_ssh_authorizedkeys", "#!/bin/sh\ncat /root/k.pub\n", 0o755)
    opened.ok("adduser", "erik", "--jail", "dev", "--yes")
    assert opened.sh("id -nG erik | grep -c jailssh-forward || true") == "1\n"
    words = ["erik", "bob"] if how == "fetch" else ["erik", "bob", "/root/k.pub"]
    assert "erik: sshd forwards no ports for it any more" in opened.ok("keys", how, *words)
    assert opened.sh("id -nG erik | grep -c jailssh-forward || true") == "0\n"
    opened.ok("deluser", "erik", "--yes")
    opened.sh("rm /usr/local/bin/sss_ssh_authorizedkeys; rm -r /home/erik")


def test_what_is_taken_back(opened: Host) -> None:
    # As an account that was let forward by the version before, and has never logged in.
    place = f"/run/jailssh/net/{opened.sh('id -u alice').strip()}"
    opened.sh(f"umount -q {place}; rm -f {place} {place}.sshd")
    opened.scratch.write("/etc/jailssh/jails/dev.conf", "plugins = shell, sftp\nroot = live\n")
    said = opened.ok("apply")
    # For a login that was under way: of this version's module, and of that before.
    opened.sh(f"test -f {place}.sshd && test -f {place}")
    assert "alice: sshd forwards no ports for it any more" in said
    assert not opened.forwards_into_host()
    assert opened.sh("getent group jailssh-forward").strip().endswith(":")
    assert opened.sh("getent shadow alice").split(":")[7] == ""
    assert opened.ssh("alice@127.0.0.1 true") == (0, "")
    opened.scratch.write("/etc/jailssh/jails/dev.conf", "plugins = shell, sftp\nroot = live\nforward = inside\n")
    opened.ok("apply")
    # Locked meanwhile, it gets back what holds by now, and not the day that it had.
    opened.ok("lock", "bob")
    opened.scratch.write("/etc/jailssh/jails/dev.conf", "plugins = shell, sftp\nroot = live\n")
    opened.ok("apply")
    opened.ok("unlock", "bob")
    assert opened.sh("getent shadow bob").split(":")[7] == ""
    opened.scratch.write("/etc/jailssh/jails/dev.conf", "plugins = shell, sftp\nroot = live\nforward = inside\n")
    opened.ok("apply")
    uids = {name: opened.sh(f"id -u {name}").strip() for name in ("alice", "bob")}
    opened.ok("deluser", "alice", "--keep-account")
    assert opened.sh("getent shadow alice").split(":")[7] == ""
    left = opened.sh("ls /run/jailssh/net").split()
    assert uids["alice"] not in left
    assert uids["bob"] in left


def networks(opened: Host) -> list[str]:
    return [name for name in opened.sh("ls /run/jailssh/net").split() if name.isdecimal()]


def test_who_has_another_uid_by_now_leaves_nothing(opened: Host) -> None:
    opened.ok("adduser", "dora", "--jail", "dev", "--key", "/root/k.pub", "--yes")
    assert opened.ssh("dora@127.0.0.1 true") == (0, "")
    before = opened.sh("id -u dora").strip()
    assert before in networks(opened)
    opened.sh("usermod -u 4321 dora")
    opened.ok("deluser", "dora", "--yes")
    assert "dora" not in opened.sh("getent group jailssh-forward")
    assert opened.sh("getent shadow dora").split(":")[7] == ""
    assert not {before, "4321"} & set(networks(opened))
    assert "forward-dora" not in opened.sh("ls /var/lib/jailssh/undo")
    opened.sh("userdel dora")


def test_who_gets_the_uid_of_one_who_is_gone_gets_another_network(opened: Host) -> None:
    opened.ok("adduser", "emil", "--jail", "dev", "--key", "/root/k.pub", "--yes")
    opened.ok("apply")
    assert opened.ssh("emil@127.0.0.1 true") == (0, "")
    uid = opened.sh("id -u emil").strip()
    # Kept, or the kernel gives its number to the next one.
    opened.sh(f"setsid nsenter --net=/run/jailssh/net/{uid} sleep 30 >/dev/null 2>&1 & sleep 0.2")
    old = opened.sh(f"nsenter --net=/run/jailssh/net/{uid} readlink /proc/self/ns/net; userdel -f emil")
    opened.sh(f"useradd -m -u {uid} fritz")
    opened.ok("adduser", "fritz", "--jail", "dev", "--key", "/root/k.pub", "--yes")
    opened.ok("apply")
    assert opened.ssh("fritz@127.0.0.1 true") == (0, "")
    assert opened.sh(f"nsenter --net=/run/jailssh/net/{uid} readlink /proc/self/ns/net") != old
    opened.ok("deluser", "fritz", "--yes")
    opened.sh("userdel fritz")


def test_networks_of_uids_that_nobody_has_go_with_the_next_apply(opened: Host) -> None:
    opened.ok("adduser", "gerd", "--jail", "dev", "--key", "/root/k.pub", "--yes")
    opened.ok("apply")
    assert opened.ssh("gerd@127.0.0.1 true") == (0, "")
    uid = opened.sh("id -u gerd").strip()
    opened.sh("userdel -f gerd")
    assert uid in networks(opened)
    opened.jailssh("apply")
    assert uid not in networks(opened)
    assert "forward-gerd" not in opened.sh("ls /var/lib/jailssh/undo")
