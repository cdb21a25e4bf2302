"""Accounts without a session, for whom sshd forwards ports: exactly those that the jail names, to and fro."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.root.setup_lab import Administered

pytestmark = [pytest.mark.needs("root", "sshd", "login-program")]

COMMON = "/etc/pam.d/common-account"
DROP_IN = "/etc/ssh/sshd_config.d/20-jailssh.conf"
OTHER = "/etc/ssh/sshd_config.d/00.conf"
SERVE = """
import socket, sys, threading
def serve(port):
    s = socket.create_server(("::1", port), family=socket.AF_INET6) if port == 7002 else \\
        socket.create_server(("127.0.0.1", port))
    while True:
        c, _ = s.accept()
        c.sendall(b"port %d" % port)
        c.close()
for port in (7000, 7001, 7002):
    threading.Thread(target=serve, args=(port,)).start()
"""
# By SOCKS 5, as ssh -D speaks it.
SOCKS = """
import socket, sys
with socket.create_connection(("127.0.0.1", 9002)) as s:
    s.sendall(b"\\5\\1\\0")
    s.recv(2)
    s.sendall(b"\\5\\1\\0\\1\\x7f\\0\\0\\1" + int(sys.argv[1]).to_bytes(2, "big"))
    print(s.recv(99).decode() if s.recv(10)[:2] == b"\\5\\0" else "refused")
"""
OPTIONS = ("-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes "
           "-o ExitOnForwardFailure=yes")  # fmt: skip
SSH = f"timeout 20 ssh {OPTIONS} -i /root/k"
JAIL = """plugins = jump
[jump]
open = 127.0.0.1:7000 [::1]:7002 localhost:22
listen = 9100
"""


class Host(Administered):
    def ssh(self, *words: str, key: str = "/root/k") -> tuple[int, str]:
        done = self.scratch.run(["sh", "-c", f"exec {SSH.replace('/root/k', key)} {' '.join(words)}"])
        return done.code, done.stdout + done.stderr

    def reaches(self, place: str = "127.0.0.1:7000", user: str = "jim") -> bool:
        """True if the account gets to a port through sshd."""
        code, said = self.ssh(f"-W {place} {user}@127.0.0.1 </dev/null")
        assert ("port 70" in said) is (code == 0), said
        return code == 0

    def jail(self, text: str = JAIL) -> None:
        self.scratch.write("/etc/jailssh/jails/db.conf", text)


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[Host]:
    with Host.made(staged_prefix) as host:
        host.jail()
        host.ok("setup", "--yes")
        host.scratch.start_sshd()
        host.scratch.write("/root/serve.py", SERVE)
        host.scratch.write("/root/socks.py", SOCKS)
        host.sh("setsid python3 /root/serve.py >/dev/null 2>&1 & sleep 0.4")
        host.ok("adduser", "sue", "--jail", "sftp-only", "--key", "/root/k.pub", "--yes")
        said = host.ok("adduser", "jim", "--jail", "db", "--key", "/root/k.pub", "--yes")
        ports = "to 127.0.0.1:7000, [::1]:7002, localhost:22; listening at localhost:9100"
        assert f"jim: sshd forwards ports {ports}" in said
        yield host


def test_what_is_named_works(host: Host) -> None:
    assert host.reaches("127.0.0.1:7000")
    assert host.reaches("[::1]:7002")
    # As ssh -J does it: the second connection goes through the first.
    jump = f"-o ProxyCommand='{SSH} -W %h:%p jim@127.0.0.1'"
    code, said = host.ssh(f"{jump} sue@localhost true")
    assert (code, said.startswith("jailssh: command not allowed; this account allows: sftp")) == (126, True)
    host.sh(f"{SSH} -f -N -M -S /root/ctl -L 9001:127.0.0.1:7000 -R 9100:127.0.0.1:7001 -D 9002 jim@127.0.0.1")
    try:
        ask = "exec 3<>/dev/tcp/127.0.0.1/%d; timeout 5 cat <&3"
        assert host.sh(f"bash -c '{ask % 9001}'") == "port 7000"
        assert host.sh(f"bash -c '{ask % 9100}'") == "port 7001"
        # What comes later over the same connection is held to the same list.
        assert host.sh("python3 /root/socks.py 7000") == "port 7000\n"
        assert host.sh("python3 /root/socks.py 7001") == "refused\n"
        assert host.scratch.run(["sh", "-c", f"{SSH} -S /root/ctl jim@127.0.0.1 true"]).code == 255
        sessions = json.loads(host.jailssh("sessions", "--json").stdout)
        assert [(each["user"], each["peer"][:10]) for each in sessions["connections"]] == [("jim", "127.0.0.1:")]
        assert host.ok("kick", "jim") == "jim: ended 0 sessions, 1 connection without one\n"
        assert json.loads(host.jailssh("sessions", "--json").stdout)["connections"] == []
    finally:
        host.scratch.run(["ssh", "-S", "/root/ctl", "-O", "exit", "jim@127.0.0.1"])


# Other spellings of what is named, and what is not.
UNNAMED = ("127.0.0.1:7001", "localhost:7000", "ip6-localhost:7002", "127.1:7000", "[::ffff:127.0.0.1]:7000", "0:7000",
           "[::1]:7000", "127.0.0.1:22", "2130706433:7000", "127.000.0.1:7000", "[0:0:0:0:0:0:0:1]:7002", "0:22",
           "LOCALHOST:22", "localhost.:22", "/run/dbus/system_bus_socket:7000")  # fmt: skip
UNLISTENED = ("9101", "0", "0.0.0.0:9100", "'*:9100'", "127.0.0.1:9100", "[::1]:9100", "/tmp/x.sock", "80")


def test_what_is_not_named_is_refused(host: Host) -> None:
    # One connection for all of them: sshd answers each on its own.
    host.sh(f"{SSH} -f -N -M -S /root/one jim@127.0.0.1")
    over = f"{SSH} -S /root/one"
    try:
        tries = "; ".join(f"{over} -W '{place}' jim@127.0.0.1 </dev/null 2>&1 | grep -c 'port 70'" for place in UNNAMED)
        assert set(host.scratch.run(["sh", "-c", tries]).stdout.split()) == {"0"}
        for place in UNLISTENED:
            ask = f"ssh -S /root/one -O forward -R {place}:127.0.0.1:7001 jim@127.0.0.1"
            assert host.scratch.run(["sh", "-c", ask]).code == 255, place
        host.sh("test ! -e /tmp/x.sock; ! ss -lnt | grep -q ':9101\\|0.0.0.0:9100'")
    finally:
        host.sh("ssh -S /root/one -O exit jim@127.0.0.1")
    for words in ("{} true", "{}", "-tt {}", "-s {} sftp", "-A -X {} id", "-N -w any {}"):
        code, said = host.ssh(f"{words.format('jim@127.0.0.1')} </dev/null")
        assert (code, "uid=" in said) == (255, False), (words, said)
    # Others of its host, and an option of a key that names more than the list does.
    assert not host.reaches(user="sue")
    line = 'sed \'s/^restrict,/restrict,permitopen="127.0.0.1:7001",permitlisten="*:9101",/\''
    with host.changed(f"cp {KEYS} /root/keys; {line} /root/keys >{KEYS}", f"cat /root/keys >{KEYS}"):
        assert not host.reaches("127.0.0.1:7001")
        assert not host.reaches("127.0.0.1:7000")  # what both say


def test_what_is_recorded(host: Host) -> None:
    assert host.reaches()
    assert not host.reaches("127.0.0.1:7001")
    events = "session-start", "session-end"
    start, end = (host.scratch.journal(JAILSSH_EVENT=each, JAILSSH_USER="jim")[-1] for each in events)
    assert start["JAILSSH_SESSION"] == end["JAILSSH_SESSION"]
    assert [start[f"JAILSSH_{name}"] for name in ("COMMAND", "JAIL")] == ["(ports)", "db"]
    assert start["JAILSSH_PEER"].startswith("127.0.0.1 ")
    log = host.sh("cat /run/sshd.log")
    accepted = [line for line in log.splitlines() if line.startswith("Accepted publickey for jim")][-1]
    assert "SHA256:" in accepted
    assert f"(pid={start['_PID']}): User child is on pid" in log
    assert "target 127.0.0.1 port 7000" in log
    assert "to connect to host 127.0.0.1 port 7001, but the request was denied" in log
    assert "(ports)" in host.ok("audit", "log", "--user", "jim")


MODULE = "/usr/local/lib/*/security/pam_jailssh.so"
RESTART = "kill -HUP $(cat /run/sshd.pid); sleep 0.3"
KEYS = "/etc/jailssh/keys/jim"
PLAN = "/var/lib/jailssh/plan.v1/$(id -u jim)"
# How it may be broken, and what then says so: of `check` an id, of `doctor` a part of what is wrong.
GROUP = "jailssh-jump-0123456789ab"
BREAKAGES = {
    "sshd without PAM": (f"echo 'UsePAM no' >{OTHER}; {RESTART}", f"rm {OTHER}; {RESTART}", "JSH-302", "usepam"),
    "module gone": (f"mv {MODULE} /root/module", "mv /root/module $(echo /usr/local/lib/*/security)/pam_jailssh.so",
                    "", "sshd forwards nothing for it"),
    "profile not in force": (f"cp {COMMON} /root/c; sed -i '/pam_jailssh\\|jailssh/d; /pam_rootok/d; /pam_exec/d; "
                             f"0,/pam_deny/{{/pam_deny/d}}' {COMMON}", f"mv /root/c {COMMON}", "",
                             "does not begin with the profile"),
    "no day of expiry": ("chage -E -1 jim", "chage -E 1970-01-03 jim", "JSH-412", "without its day of expiry"),
    "locked": ("jailssh lock jim", "jailssh unlock jim", "", ""),
    "not in the group": ("gpasswd -d jim $(getent group | grep -o '^jailssh-jump-[0-9a-f]*')",
                         "gpasswd -a jim $(getent group | grep -o '^jailssh-jump-[0-9a-f]*')", "", "jailssh apply"),
    "no plan": (f"mv {PLAN} /root/plan", f"mv /root/plan {PLAN}", "", "plan"),
    "a plan that cannot be read": (f"cp {PLAN} /root/plan; echo x >>{PLAN}", f"cat /root/plan >{PLAN}", "", "plan"),
    "drop-in gone": (f"mv {DROP_IN} /root/drop-in; {RESTART}", f"mv /root/drop-in {DROP_IN}; {RESTART}", "",
                     "setup: is out of date"),
}  # fmt: skip


def test_no_breakage_lets_it_in(host: Host) -> None:
    for name, (do, undo, finding, wrong) in BREAKAGES.items():
        with host.changed(do, undo):
            assert not host.reaches(), name
            if finding:
                found = {each["id"] for each in json.loads(host.jailssh("check", "--json").stdout)["findings"]}
                assert finding in found, name
            if wrong:
                assert wrong in host.jailssh("doctor", "jim").stdout, name
        assert host.reaches(), name
    assert host.ok("doctor", "jim").startswith("nothing wrong with account jim")


def test_an_administrators_match_that_undoes_it_is_found(host: Host) -> None:
    """From one address alone, too; then sshd forwards nothing for it until it is gone."""
    for text, told in (
        ("Match User jim\\n PermitOpen any\\n", "sshd permits other ports"),
        ("Match Address 192.0.2.0/24\\n MaxSessions 5\\n", "maxsessions is '5', expected '0'"),
    ):
        with host.changed(f"printf '{text}' >{OTHER}; {RESTART}", f"rm {OTHER}; {RESTART}"):
            found = json.loads(host.jailssh("check", "--json").stdout)["findings"]
            assert any(each["id"] == "JSH-302" and told in each["what"] for each in found), told
            done = host.jailssh("apply")
            assert (done.code != 0, told in done.stderr) == (True, True), done
            assert not host.reaches()
            assert "port-forwarding" not in host.sh(f"cat {KEYS}")
            assert "sshd forwards nothing for it" in host.ok("list")
        assert "jim: sshd forwards ports to" in host.ok("apply")
    assert host.reaches()


def test_addresses_hours_and_expiry_hold(host: Host) -> None:
    file = "/etc/jailssh/users/jim.conf"
    for setting, reason in (("addresses = 10.0.0.0/8", "address"), ("expires = 2020-01-01", "expired")):
        write = f"cp {file} /root/u; printf '[limits]\\n{setting}\\n' >>{file}"
        with host.changed(f"{write}; jailssh apply", f"mv /root/u {file}; jailssh apply"):
            assert not host.reaches()
            record = host.scratch.journal(JAILSSH_EVENT="refused", JAILSSH_USER="jim")[-1]
            assert record["JAILSSH_REASON"] == reason
            assert reason in host.jailssh("explain", "jim").stdout or reason == "address"
    assert host.reaches()
    host.ok("adduser", "kim", "--jail", "db", "--key", "/root/k.pub", "--expires", "2020-01-31", "--yes")
    assert not host.reaches(user="kim")
    assert host.scratch.journal(JAILSSH_EVENT="refused", JAILSSH_USER="kim")[-1]["JAILSSH_REASON"] == "expired"
    host.ok("deluser", "kim", "--yes")


def test_a_list_that_changes_takes_the_old_ports_away_at_once(host: Host) -> None:
    group = "getent group | grep -o '^jailssh-jump-.*'"
    before = host.sh(group)
    host.jail(JAIL.replace("127.0.0.1:7000", "127.0.0.1:7001"))
    assert "127.0.0.1:7001" in host.ok("apply", "--dry-run")
    assert host.sh(group) == before
    # With `setup` the block goes, and nothing is forwarded until the new one is there.
    host.ok("setup", "--yes")
    assert (host.reaches(), host.reaches("127.0.0.1:7001")) == (False, False)
    host.ok("apply")
    assert (host.reaches(), host.reaches("127.0.0.1:7001")) == (False, True)
    after = host.sh(group)
    assert (before.split(":")[0] in after, after.count("\n")) == (False, 1)
    # A group that the running sshd has read no block for opens nothing, whoever is put into it.
    host.sh(f"gpasswd -d jim {after.split(':')[0]}; groupadd {GROUP}; gpasswd -a jim {GROUP}")
    assert (host.reaches(), host.reaches("127.0.0.1:7001")) == (False, False)
    host.jail()
    host.ok("apply")
    assert host.sh(group).split(":")[0] == before.split(":")[0]
    assert host.reaches()


def test_an_account_that_gets_a_session_loses_its_ports(host: Host) -> None:
    host.ok("adduser", "lea", "--jail", "jump", "--key", "/root/k.pub", "--yes")
    assert host.ssh("-W 127.0.0.1:22 lea@127.0.0.1 </dev/null | head -c 8")[1].startswith("SSH-2.0-")
    assert not host.reaches(user="lea")
    assert "lea: sshd forwards no ports for it any more" in host.ok("adduser", "lea", "--jail", "sftp-only", "--yes")
    assert host.ssh("-W 127.0.0.1:22 lea@127.0.0.1 </dev/null")[0] == 255
    assert host.ssh("lea@127.0.0.1 true")[0] == 126
    assert host.sh("getent shadow lea").split(":")[7] == ""
    host.ok("deluser", "lea", "--yes")
    assert "lea" not in host.sh("getent group; ls /var/lib/jailssh/undo")


def test_a_list_that_changes_while_an_account_is_locked_holds_once_it_is_unlocked(host: Host) -> None:
    host.ok("lock", "jim")
    host.jail(JAIL.replace("127.0.0.1:7000", "127.0.0.1:7001"))
    assert "jim: sshd forwards no ports for it any more" in host.ok("apply")
    assert host.ok("apply", "--dry-run") == "no changes\n"
    host.ok("unlock", "jim")
    assert (host.reaches(), host.reaches("127.0.0.1:7001")) == (False, True)
    host.jail()
    host.ok("apply")
    assert host.reaches()


def test_another_name_takes_the_ports_along(host: Host) -> None:
    host.ok("rename", "jim", "tim")
    try:
        assert host.reaches(user="tim")
        assert "jim" not in host.sh(
            "ls /var/lib/jailssh/undo; getent group; getent gshadow; cat /var/lib/jailssh/undo/*tim*"
        )
        assert host.ok("apply", "--dry-run") == "no changes\n"
    finally:
        host.ok("rename", "tim", "jim")
    assert host.reaches()


def test_what_cannot_be_together_is_refused(host: Host) -> None:
    for text, told in (
        (JAIL.replace("jump\n", "jump, sftp\n", 1), "sftp cannot be in one jail with it"),
        (JAIL.replace("jump\n", "jump\ngroups = staff\n", 1), "groups cannot be set beside plugin jump"),
        (JAIL + "[limits]\nmax_duration = 8h\n", "max_duration has no effect beside plugin jump"),
        ("plugins = jump\n", "names no port"),
        ("plugins = jump\n[jump]\nopen = *:*\n", "every port of every host"),
        ("plugins = jump\n[jump]\nlisten = 80\n", "below 1024"),
    ):
        host.scratch.write("/etc/jailssh/jails/odd.conf", text)
        done = host.jailssh("config", "check")
        assert (done.code != 0, told in done.stderr) == (True, True), (told, done)
    host.sh("rm /etc/jailssh/jails/odd.conf")
    done = host.jailssh("adduser", "mia", "--jail", "jump,sftp-only", "--yes")
    assert "cannot be in one jail with it" in done.stderr


def test_selftest_tries_what_is_named_and_what_is_not(host: Host) -> None:
    def rows(*target: str, code: int = 0) -> dict[str, str]:
        done = host.jailssh("selftest", *target, "--json")
        assert done.code == code, done.stdout
        (report,) = json.loads(done.stdout)["reports"]
        return {row["id"]: row["verdict"] for row in report["rows"]}

    right = rows("jim")
    assert set(right.values()) == {"ok"}
    assert {"login", "sshd", "ports.open.1", "forward.tcp", "forward.listen", "forward.socket"} <= set(right)
    with host.changed(f"printf 'Match User jim\n PermitOpen any\n' >{OTHER}; {RESTART}", f"rm {OTHER}; {RESTART}"):
        wrong = rows("jim", code=1)
    assert (wrong["sshd"], wrong["forward.tcp"], wrong["forward.listen"]) == ("wrong", "wrong", "ok")


def test_nothing_is_left(host: Host) -> None:
    host.ok("deluser", "jim", "--yes")
    host.ok("apply")
    assert "Jumps" not in host.sh(f"cat {DROP_IN}")
    assert "jailssh-jump" not in host.sh("getent group")
    host.ok("deluser", "sue", "--yes")
    host.sh("rm /etc/jailssh/jails/db.conf")
    host.ok("setup", "--undo", "--yes")
    assert host.sh("getent group; ls /etc/ssh/sshd_config.d").count("jailssh") == 0
