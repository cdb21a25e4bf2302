"""The PAM module on a scratch host: who is refused and why, what runs inside, and that it locks nobody else out.

``SERVICE`` does what cron, at and su do: the phases of PAM in their order, fork(2), the account's ids, a shell.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from jailssh.scratch.host import Finished
from tests.root.setup_lab import LOGIN, Administered

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]

MULTIARCH = getattr(sys.implementation, "_multiarch", "")
MODULE = f"/usr/local/lib/{MULTIARCH}/security/pam_jailssh.so"
TABLE = "/var/lib/jailssh/pam"
PERM_DENIED, ACCT_EXPIRED, SUCCESS = 6, 13, 0
AUTH_ERR = 7
"""What pam_deny answers."""
# What setup is told; the services that are in none of the two are refused.
INSIDE, OUTSIDE = ("cron", "atd", "su"), "gdm-password"
REFUSED = ("login", "vsftpd", "proftpd", "systemd-user", "lightdm", "xdm")
SERVICE = """
import ctypes, os, pwd, sys
users, service, uid, *argv = sys.argv[1:]
*asked, user = users.split("+")
libpam = ctypes.CDLL("libpam.so.0")
class Conv(ctypes.Structure):
    _fields_ = [("conv", ctypes.c_void_p), ("data", ctypes.c_void_p)]
os.setresuid(int(uid), 0, 0)
handle, conv = ctypes.c_void_p(), Conv(None, None)
first = asked[0] if asked else user
assert libpam.pam_start(service.encode(), first.encode(), ctypes.byref(conv), ctypes.byref(handle)) == 0
answer = libpam.pam_acct_mgmt(handle, 0) if first else 0
print("account", answer, flush=True)
assert libpam.pam_set_item(handle, 2, user.encode()) == 0
if answer or not argv:
    sys.exit()
os.setresuid(0, 0, 0)
entry = pwd.getpwnam(user)
answer = libpam.pam_open_session(handle, 0)
print("session", answer, flush=True)
if answer:
    sys.exit()
pid = os.fork()
if not pid:
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    try:
        os.execve(argv[0], argv[1:], {"USER": user, "LOGNAME": user, "HOME": entry.pw_dir, "SHELL": argv[0],
                                        "SSH_CONNECTION": "192.0.2.9 1 192.0.2.1 22"})
    except OSError as error:
        print("not executed:", error.strerror, flush=True)
        os._exit(99)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print("status", status, "close", libpam.pam_close_session(handle, 0))
"""


class Host(Administered):
    """A scratch host with a plain account and one in a jail with a shell, alice."""

    def service(self, user: str, service: str, *argv: str, uid: int = 0, input: str = "") -> Finished:
        """Do as ``service`` for ``user``: the account phase, and with ``argv`` (path, then arguments) all of it.

        Of "other+user" the account phase is asked about the other one, of "+user" nobody.
        """
        return self.scratch.run(["/usr/bin/python3", "-c", SERVICE, user, service, str(uid), *argv], input=input)

    def account(self, user: str, service: str, uid: int = 0) -> int:
        """Return what PAM's account phase answers."""
        return int(self.service(user, service, uid=uid).stdout.split()[1])

    def runs(self, service: str, *argv: str, input: str = "") -> str:
        """Return what was printed by what alice had ``service`` start."""
        return self.service("alice", service, *argv, input=input).stdout

    def why(self, user: str, service: str) -> tuple[int, str]:
        """Return what the account phase answers, and the reason of the record that it makes."""
        before = len(self.refusals(user))
        answer = self.account(user, service)
        (record,) = self.refusals(user)[before:] or [{"JAILSSH_REASON": ""}]
        return answer, str(record["JAILSSH_REASON"])

    def refusals(self, user: str) -> list[dict[str, Any]]:
        return self.scratch.journal(JAILSSH_EVENT="refused", JAILSSH_USER=user)

    def lets_others_in(self) -> bool:
        """True if root and an account in no jail pass by every service."""
        return not any(
            self.account(user, service) for user in ("root", "plain") for service in ("sshd", "login", "cron", "su")
        )


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[Host]:
    with Host.made(staged_prefix) as host:
        host.sh("rm -rf /etc/postfix /etc/exim4")
        told = f"pam_inside = {', '.join(INSIDE)}\npam_services = {OUTSIDE}\n"
        host.scratch.write("/etc/jailssh/jailssh.conf", told)
        host.scratch.write("/etc/jailssh/jails/work.conf", "plugins = shell, sftp\n")
        host.ok("setup", "--yes")
        host.sh("useradd -m plain")
        host.ok("adduser", "alice", "--jail", "work", "--yes")
        host.ok("adduser", "tina", "--jail", "sftp-only", "--yes")
        host.sh("touch /etc/outside; chmod 644 /etc/outside; cp /bin/true /var/tmp/mine; chmod 755 /var/tmp/mine")
        yield host


@pytest.mark.parametrize("service", REFUSED)
def test_a_service_that_is_not_named_is_refused(host: Host, service: str) -> None:
    assert host.why("alice", service) == (PERM_DENIED, "service")
    assert [host.account(name, service) for name in ("root", "plain")] == [SUCCESS, SUCCESS]


@pytest.mark.parametrize("service", ["sshd", OUTSIDE, *INSIDE])
def test_a_service_that_is_named_lets_in(host: Host, service: str) -> None:
    assert [host.why(name, service) for name in ("alice", "tina")] == [(SUCCESS, ""), (SUCCESS, "")]


def test_root_alone_becomes_an_account_without_being_told(host: Host) -> None:
    assert host.account("alice", "runuser") == SUCCESS
    assert host.account("alice", "su-l") == SUCCESS
    plain = int(host.sh("id -u plain"))
    assert host.account("alice", "runuser-l", uid=plain) == PERM_DENIED
    assert host.account("plain", "su-l", uid=plain) == SUCCESS


def test_the_record_says_who_why_and_where(host: Host) -> None:
    done = host.scratch.run(["pamtester", "-I", "rhost=192.0.2.7", "vsftpd", "alice", "acct_mgmt"])
    assert done.code != 0
    record = host.refusals("alice")[-1]
    assert record["MESSAGE"].startswith(
        "alice: refused by PAM for vsftpd (service): an account in a jail comes in by sshd"
    )
    assert record["MESSAGE"].endswith("pam_services = vsftpd; in /etc/jailssh/jailssh.conf, then jailssh setup")
    wanted = {"JAILSSH_UID": host.sh("id -u alice").strip(), "JAILSSH_JAIL": "work", "JAILSSH_PEER": "192.0.2.7",
              "JAILSSH_REASON": "service", "PRIORITY": "4", "_UID": "0"}  # fmt: skip
    assert {name: record[name] for name in wanted} == wanted
    # Whoever asks is told where the administrator finds that.
    assert f"reference {record['JAILSSH_SESSION'][:8]}" in done.stdout + done.stderr
    assert "pam_inside; " in (host.account("alice", "login"), host.refusals("alice")[-1]["MESSAGE"])[1]


ACCOUNTS = [
    ("locked", "jailssh lock alice", "jailssh unlock alice", (ACCT_EXPIRED, "locked")),
    ("expired", "chage -E 2020-01-01 alice", "chage -E -1 alice", (ACCT_EXPIRED, "expired")),
    ("shell", "usermod -s /bin/bash alice", f"usermod -s {LOGIN} alice", (PERM_DENIED, "shell")),
    ("plan-bad", "chmod g+w $PLAN", "chmod g-w $PLAN", (PERM_DENIED, "plan-bad")),
    ("plan-cut", "cp $PLAN /root/p; head -c 200 /root/p >$PLAN", "cat /root/p >$PLAN", (PERM_DENIED, "plan-bad")),
    ("plan-linked", "ln $PLAN $PLAN.q", "rm $PLAN.q", (PERM_DENIED, "plan-bad")),
    ("name", "cp $PLAN /root/p; sed -i 's/alice/elice/' $PLAN", "cat /root/p >$PLAN", (PERM_DENIED, "name")),
    ("table", f"mv {TABLE} /root/t", f"mv /root/t {TABLE}", (PERM_DENIED, "pam-table")),
    ("table-cut", f"sed -i.old '$d' {TABLE}", f"mv {TABLE}.old {TABLE}", (PERM_DENIED, "pam-table")),
    (
        "table-more",
        f"cp {TABLE} {TABLE}.old; echo end >>{TABLE}",
        f"mv {TABLE}.old {TABLE}",
        (PERM_DENIED, "pam-table"),
    ),
    ("table-open", f"chmod g+w {TABLE}", f"chmod g-w {TABLE}", (PERM_DENIED, "pam-table")),
    ("other", f"sed -i.old '1s/1$/2/' {TABLE}", f"mv {TABLE}.old {TABLE}", (PERM_DENIED, "pam-table")),
]


@pytest.mark.parametrize(("do", "undo", "expected"), [row[1:] for row in ACCOUNTS], ids=[row[0] for row in ACCOUNTS])
@pytest.mark.parametrize("service", ["sshd", "cron"])
def test_what_is_wrong_is_refused_and_named(
    host: Host, service: str, do: str, undo: str, expected: tuple[int, str]
) -> None:
    plan = "PLAN=/var/lib/jailssh/plan.v1/$(id -u alice); PATH=$PATH:/usr/local/bin; {}"
    with host.changed(plan.format(do), plan.format(undo)):
        of_login = service == "sshd" and "$PLAN" in do  # the login program refuses it, with the same reason
        assert host.why("alice", service) == ((SUCCESS, "") if of_login else expected)
        assert host.lets_others_in()
    assert host.why("alice", service) == (SUCCESS, "")


def test_a_password_that_is_right_opens_no_other_service(host: Host) -> None:
    """A service of its own that takes passwords of its own, by libpam-wrapper and its module pam_matrix."""
    folder = f"/usr/lib/{MULTIARCH}/pam_wrapper"
    host.sh("mkdir -p /root/stacks")
    stack = f"auth required {folder}/pam_matrix.so passdb=/root/stacks/known\naccount required {MODULE}\n"
    host.scratch.write("/root/stacks/kiosk", f"{stack}account sufficient pam_permit.so\n")
    host.scratch.write("/root/stacks/known", "alice:known:kiosk\nplain:known:kiosk\n")
    wrapped = ("env", "LD_PRELOAD=libpam_wrapper.so", "PAM_WRAPPER=1", "PAM_WRAPPER_SERVICE_DIR=/root/stacks")

    def told(name: str, password: str) -> tuple[bool, str]:
        done = host.scratch.run(
            [*wrapped, "pamtester", "kiosk", name, "authenticate", "acct_mgmt"], input=f"{password}\n"
        )
        return done.code == 0, done.stdout + done.stderr

    served, said = told("alice", "known")
    assert not served
    assert "successfully authenticated" in said
    assert "cannot come in this way" in said
    assert told("plain", "known")[0]
    for name in ("alice", "plain"):
        assert "successfully authenticated" not in told(name, "other")[1]


def test_a_plan_of_the_account_that_had_this_uid_before_jails_nobody(host: Host) -> None:
    with host.changed("cp /var/lib/jailssh/plan.v1/$(id -u alice) /var/lib/jailssh/plan.v1/$(id -u plain)",
                 "rm /var/lib/jailssh/plan.v1/$(id -u plain)"):  # fmt: skip
        assert host.lets_others_in()


def test_a_plan_is_enough_to_be_known(host: Host) -> None:
    with host.changed("gpasswd -d alice jailssh; usermod -s /bin/sh alice",
                 f"gpasswd -a alice jailssh; usermod -s {LOGIN} alice"):  # fmt: skip
        assert host.why("alice", "login") == (PERM_DENIED, "service")
        assert host.why("alice", "sshd") == (PERM_DENIED, "shell")


def test_who_has_lost_the_group_comes_in_nowhere(host: Host) -> None:
    """sshd would forward for it as for anybody, since no Match block is its own."""
    with host.changed("gpasswd -d alice jailssh", "gpasswd -a alice jailssh"):
        assert host.why("alice", "sshd") == (PERM_DENIED, "not-jailed")
        assert host.why("alice", "cron") == (PERM_DENIED, "not-jailed")


def test_a_group_is_enough_to_be_known(host: Host) -> None:
    without = "mv /var/lib/jailssh/plan.v1 /root/; usermod -s /bin/sh alice"
    with host.changed(without, f"mv /root/plan.v1 /var/lib/jailssh/; usermod -s {LOGIN} alice"):
        assert host.why("alice", "login") == (PERM_DENIED, "service")
        assert host.lets_others_in()


BROKEN = {
    "gone": "mv $M /root/m",
    "rubbish": "mv $M /root/m; echo rubbish >$M",
    "another-version": "mv $M /root/m; cp /usr/lib/*-linux-gnu/libm.so.6 $M",
    "says-yes": "mv $M /root/m; ln -s /usr/lib/*-linux-gnu/security/pam_unix_none.so $M",
}


@pytest.mark.parametrize("do", BROKEN.values(), ids=BROKEN)
def test_without_the_module_others_get_in_and_who_is_jailed_does_not(host: Host, do: str) -> None:
    with host.changed(f"M={MODULE}; {do}", f"rm -f {MODULE}; mv /root/m {MODULE}"):
        assert host.lets_others_in()
        assert [host.account("alice", service) for service in ("cron", "atd", "login", "vsftpd")] == [AUTH_ERR] * 4
        assert host.account("alice", "sshd") == SUCCESS  # by the stock modules, into its jail
        assert "refused by PAM for vsftpd" in host.refusals("alice")[-1]["MESSAGE"]


def test_without_anything_of_ours_others_get_in(host: Host) -> None:
    with host.changed("mv /usr/local /root/all; mv /var/lib/jailssh /root/state",
                 "mv /root/state /var/lib/jailssh; mv /root/all/* /usr/local/"):  # fmt: skip
        assert host.lets_others_in()
        assert host.account("alice", "cron") == AUTH_ERR


def test_a_password_that_must_be_changed_does_not_leave_the_stack_before_us(host: Host) -> None:
    with host.changed("chage -d 0 alice; chage -d 0 plain", "chage -d -1 alice; chage -d -1 plain"):
        assert host.why("alice", "login") == (PERM_DENIED, "service")
        assert host.account("plain", "login") == 12  # PAM_NEW_AUTHTOK_REQD, from pam_unix


@pytest.mark.parametrize("service", ["cron", "atd"])
def test_what_a_service_starts_runs_in_the_jail(host: Host, service: str) -> None:
    said = host.runs(
        service, "/bin/sh", "/bin/sh", "-c", "id -un; pwd; ls /etc/outside; grep Seccomp: /proc/self/status"
    )
    assert "alice\n/home/alice\n" in said
    assert "Seccomp:\t2" in said
    assert "/etc/outside\n" not in said
    assert "status 0" in said
    starts = host.scratch.journal(JAILSSH_EVENT="session-start", JAILSSH_USER="alice")
    assert starts[-1]["JAILSSH_COMMAND"].startswith("id -un; pwd;")
    assert "JAILSSH_PEER" not in starts[-1]  # a crontab may set SSH_CONNECTION


@pytest.mark.parametrize("asked", ["", "tina", "plain"])
def test_a_session_is_of_whom_it_is_for(host: Host, asked: str) -> None:
    """Not of whom the account phase was asked about, in this process or in another one."""
    said = host.service(f"{asked}+alice", "cron", "/bin/sh", "/bin/sh", "-c", "ls /etc/outside; echo in").stdout
    assert "/etc/outside\n" not in said
    assert "in\nstatus 0" in said
    said = host.service("alice+plain", "cron", "/bin/ls", "ls", "/etc/outside").stdout
    assert "/etc/outside\nstatus 0" in said


def test_a_script_on_the_input_runs_in_the_jail(host: Host) -> None:
    """As atd does it."""
    said = host.runs("atd", "/bin/sh", "sh", input="cd /home/alice || exit 1\nls /etc/outside\nhostname\nexit 7\n")
    assert "jail" in said
    assert "/etc/outside\n" not in said
    assert "status 7" in said


OTHERS = (
    "/usr/bin/python3", "/usr/bin/env", "/bin/busybox", "/lib64/ld-linux-x86-64.so.2", "/var/tmp/mine", "/usr/bin/su",
    "/usr/local/libexec/jailssh/jailssh-match", "/proc/self/exe", "/proc/1/root/bin/true", "/dev/fd/3", "mine",
    "/proc/jailssh-host/mnt", "/proc/jailssh-host/../1/exe",
)  # fmt: skip


@pytest.mark.parametrize("program", OTHERS)
def test_nothing_else_can_be_executed(host: Host, program: str) -> None:
    """SHELL of a crontab is its account's choice."""
    said = host.runs("cron", program, program, "-c", "echo out")
    assert "session 0" in said
    assert "not executed: " in said
    assert "out\n" not in said


def test_the_rules_of_the_jail_hold_for_jobs(host: Host) -> None:
    said = host.service("tina", "cron", "/bin/sh", "/bin/sh", "-c", "id")
    assert "status 126" in said.stdout
    assert "limited to" in said.stderr or "not allowed" in said.stderr


def test_others_run_as_they_did(host: Host) -> None:
    said = host.service(
        "plain", "cron", "/usr/bin/python3", "python3", "-c", "print(open('/etc/outside').read() == '')"
    )
    assert "session 0\nTrue\nstatus 0" in said.stdout
    assert "outside" in host.sh("su -s /bin/ls alice /etc/outside")  # root's su is root's


def test_jobs_are_refused_where_their_way_into_the_jail_is_broken(host: Host) -> None:
    with host.changed(f"mv {LOGIN} /root/l", f"mv /root/l {LOGIN}"):
        said = host.runs("cron", "/bin/sh", "/bin/sh", "-c", "id")
        assert "session 14" in said
        assert host.refusals("alice")[-1]["JAILSSH_REASON"] == "pam-session"


def test_check_tells_a_module_or_a_table_that_is_not_right(host: Host) -> None:
    def told() -> set[str]:
        found = json.loads(host.jailssh("check", "--json").stdout)
        return {each["id"] for each in found["findings"] if each["id"] in ("JSH-401", "JSH-407", "JSH-410", "JSH-411")}

    assert told() == set()
    with host.changed(f"mv {MODULE} /root/m", f"mv /root/m {MODULE}"):
        assert told() == {"JSH-410"}
    with host.changed(f"cp {MODULE} /root/m; sed -i 's/jailssh-pam-module 0/jailssh-pam-module 7/' {MODULE}",
                 f"mv /root/m {MODULE}"):  # fmt: skip
        assert told() == {"JSH-410"}
    with host.changed(f"cp {TABLE} /root/t; sed -i '/^inside/d' {TABLE}", f"mv /root/t {TABLE}"):
        assert told() == {"JSH-411"}
        assert host.account("alice", "atd") == PERM_DENIED
    assert told() == set()


def test_setup_is_taken_back_where_root_would_not_get_in(host: Host) -> None:
    template = "/usr/local/share/jailssh/pam-profile.in"
    state = "sha256sum /etc/pam.d/* /usr/share/pam-configs/jailssh"
    before = host.sh(state)
    with host.changed(f"cp {template} /root/t; sed -i 's/^Account:/&\\n\\trequisite\\tpam_deny.so/' {template}",
                 f"mv /root/t {template}"):  # fmt: skip
        done = host.jailssh("setup", "--yes")
        assert done.code != 0
        assert "would answer root PAM_AUTH_ERR for sshd" in done.stderr
        assert host.sh(state) == before
    assert host.lets_others_in()


def test_a_service_that_cannot_be_led_inside_is_an_error(host: Host) -> None:
    with host.changed("cp /etc/jailssh/jailssh.conf /root/c; echo 'pam_inside = vsftpd' >/etc/jailssh/jailssh.conf",
                 "mv /root/c /etc/jailssh/jailssh.conf"):  # fmt: skip
        done = host.jailssh("setup", "--yes")
        assert "'vsftpd' is not a service whose commands can be led into a jail" in done.stderr
