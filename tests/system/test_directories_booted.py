"""Accounts of a directory service in jails by their groups: slapd(8) with 10,000 of them, asked by SSSD, then by nslcd.

Each test has people of its own, since a cache remembers whom it was asked about.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.system.booted import BootedTree
from tests.system.ldap import CREW, DESK, FIRST_UID, PEOPLE, STAFF, Ldap
from tests.system.people import SSH

pytestmark = [
    pytest.mark.needs("root", "login-program", "make", "mmdebstrap", "nspawn"),
    # One release: what is asked for is the C library's interface, and a directory takes a while to fill.
    pytest.mark.parametrize("tree", ("bookworm",), indirect=True),
]

LOGIN = "/usr/local/libexec/jailssh/jailssh-login"
REFUSED = "JAILSSH_EVENT=refused + JAILSSH_EVENT=plan-failed"
JAILS = {
    "crew": f"extends = sftp-only\ngroups = {CREW} {STAFF}\ndirectory_keys = yes\n",
    "desk": f"extends = shell\ngroups = {DESK}\n",
}


@pytest.fixture(scope="module")
def ldap(tree: BootedTree) -> Iterator[Ldap]:
    """The directory, two of whose groups have a jail."""
    with closing(Ldap(tree, LOGIN)) as ldap:
        for name, text in JAILS.items():
            tree.run(f"cat >/etc/jailssh/jails/{name}.conf", input=text, check=True)
        tree.sh("jailssh setup --yes && systemctl start jailsshd.socket")
        yield ldap
    tree.sh(
        "rm /etc/jailssh/jails/crew.conf /etc/jailssh/jails/desk.conf /etc/jailssh/keys/p[0-9]*;"
        " jailssh apply; jailssh apply --gone; jailssh setup --yes"
    )


def let_in(tree: BootedTree, *names: str) -> None:
    """Give the accounts a key, as the administrator does."""
    tree.sh(f"for name in {' '.join(names)}; do install -m 0644 /root/key.pub /etc/jailssh/keys/$name; done")


def own_key(tree: BootedTree, name: str) -> None:
    """Put the key into the home as well, where sshd looks for it as soon as the account is in no jail."""
    tree.sh(
        f"install -d -o {name} -m 700 /home/staff/{name}/.ssh;"
        f" install -o {name} /root/key.pub /home/staff/{name}/.ssh/authorized_keys"
    )


def sftp(tree: BootedTree, name: str) -> str:
    """Return where a transfer as the account begins, "" where it is refused."""
    done = tree.run(f"echo pwd | timeout 60 sftp -q -b - {SSH} {name}@localhost")
    return done.stdout.partition("directory: ")[2].strip() if done.returncode == 0 else ""


def comes_in(tree: BootedTree, name: str) -> str:
    """Return where a transfer begins as soon as it does: SSSD learns of a group again in its own time."""
    tree.wait(lambda: sftp(tree, name) != "", f"{name} to be let in")
    return sftp(tree, name)


def run(tree: BootedTree, name: str, command: str = "id -u") -> tuple[int, str]:
    done = tree.run(f"timeout 60 ssh -n {SSH} {name}@localhost {command}")
    return done.returncode, done.stdout + done.stderr


def planned(tree: BootedTree, number: int) -> bool:
    return tree.run(f"test -e /var/lib/jailssh/plan.v1/{FIRST_UID + number}").returncode == 0


def refusals(tree: BootedTree, name: str) -> str:
    """Return what the journal says of refused logins of the account."""
    tree.sh("journalctl --sync 2>/dev/null; true")
    return tree.sh(f"journalctl -o cat {REFUSED} | grep -e '{name}[: ]' -e ' of {name}' ; true")


def findings(tree: BootedTree, *names: str) -> set[tuple[str, str]]:
    facts = json.loads(tree.run(f"jailssh check --json {' '.join(names)}").stdout)
    return {(each["id"], each["account"]) for each in facts["findings"]}


def test_an_account_comes_into_its_jail_by_its_group(tree: BootedTree, ldap: Ldap) -> None:
    let_in(tree, "p100", "p1")
    assert sftp(tree, "p100") == "/home/staff/p100"
    code, said = run(tree, "p100")
    assert (code, "this account allows: sftp" in said) == (126, True)
    # pam_mkhomedir made it on the way, as the account's.
    owner, mode = tree.sh("stat -c '%u %a' /home/staff/p100").split()
    assert (int(owner), int(mode, 8) & 0o022) == (FIRST_UID + 100, 0)
    # No group lists p1, and no enumeration would: it is a member by its primary group.
    assert sftp(tree, "p1") == "/home/staff/p1"
    assert run(tree, "p1")[0] == 126
    ids = findings(tree, "p1", "p100", "p5000")
    assert {account for _, account in ids if account} <= {"p1", "p100", "p5000"}
    assert not [id for id, _ in ids if id in ("JSH-201", "JSH-205")]


def test_keys_of_the_directory_let_in_and_allow_no_more(tree: BootedTree, ldap: Ldap) -> None:
    key = tree.sh("cut -d' ' -f1,2 /root/key.pub").strip()
    assert not sftp(tree, "p200")
    told = tree.run("jailssh doctor p200").stdout
    assert "the directory's entry of p200: contains no key" in told
    ldap.set_keys("p200", f'command="/bin/sh",permitopen="*:*",permitlisten="*:*",tunnel="0",user-rc {key} laptop')
    ldap.set_keys("p201", f'from="192.0.2.1" {key}')
    ldap.set_keys("p202", f'expiry-time="20200101" {key}')
    ldap.forget()
    assert comes_in(tree, "p200") == "/home/staff/p200"
    code, said = run(tree, "p200")
    assert (code, "this account allows: sftp" in said) == (126, True)
    assert tree.run(f"timeout 20 ssh -n -W 127.0.0.1:389 {SSH} p200@localhost").returncode == 255
    assert not sftp(tree, "p201")
    assert not sftp(tree, "p202")
    assert "has expired (expiry-time)" in tree.run("jailssh doctor p202").stdout
    assert "JSH-309" not in {id for id, _ in findings(tree, "p200", "p201")}
    # What the directory takes back is gone as soon as SSSD asks again.
    ldap.set_keys("p200")
    ldap.forget()
    tree.wait(lambda: not sftp(tree, "p200"), "SSSD to know that p200 has no key any more")


def test_keys_of_the_directory_without_it(tree: BootedTree, ldap: Ldap) -> None:
    key = tree.sh("cat /root/key.pub").strip()
    for name in ("p210", "p211"):
        ldap.set_keys(name, key)
    ldap.forget()
    assert comes_in(tree, "p210")
    tree.sh("useradd -m here; jailssh adduser here --jail sftp-only --key /root/key.pub --yes")
    try:
        ldap.stop()
        # Known keys are kept; who was never asked about does not exist.
        assert sftp(tree, "p210") == "/home/staff/p210"
        assert not sftp(tree, "p211")
        tree.sh("systemctl stop sssd")
        begun = time.monotonic()
        assert not sftp(tree, "p210")
        assert sftp(tree, "here") == "/home/here"
        assert time.monotonic() - begun < 20
        tree.sh("systemctl start sssd; pkill -STOP sssd_ssh")
        assert sftp(tree, "here") == "/home/here"
        assert tree.run(f"timeout 5 ssh -n {SSH} p210@localhost").returncode == 124, "no answer is no key"
    finally:
        tree.sh("pkill -CONT sssd_ssh; systemctl restart sssd; jailssh deluser here --yes; userdel -r here")
        ldap.start()
    assert comes_in(tree, "p211")


def test_packages_with_pam_profiles_leave_ours_as_it_is(tree: BootedTree, ldap: Ldap) -> None:
    # SSSD's profile and that of pam_mkhomedir came after the set-up.
    assert not {"JSH-401", "JSH-413"} & {id for id, _ in findings(tree)}
    tree.sh("cp -p /etc/sssd/sssd.conf /root; sed -i /pam_initgroups_scheme/d /etc/sssd/sssd.conf")
    assert "JSH-413" in {id for id, _ in findings(tree)}
    tree.sh("mv /root/sssd.conf /etc/sssd")
    assert tree.run("jailssh config check").stderr.find("PAM") < 0


def test_thousands_are_not_asked_about(tree: BootedTree, ldap: Ldap) -> None:
    ldap.forget()
    for command in ("apply --dry-run", "apply", "config check", "check", "list"):
        begun = time.monotonic()
        tree.run(f"jailssh {command}", timeout=100)
        # It was 20 minutes with caches that are empty.
        assert time.monotonic() - begun < 40, command
    assert len(tree.sh("jailssh list")) < 4000


def test_out_of_the_group_is_out_of_the_jail_and_nowhere_else(tree: BootedTree, ldap: Ldap) -> None:
    let_in(tree, "p110")
    assert sftp(tree, "p110") == "/home/staff/p110"
    # As it comes, SSSD does not ask about who has a session, nor for a while after its end.
    tree.sh(f"(sleep 300 | timeout 300 sftp -q {SSH} p110@localhost & ) >/dev/null 2>&1")
    tree.wait(lambda: tree.run("loginctl list-sessions | grep -q ' p110 '").returncode == 0, "a session")
    ldap.leave("p110", CREW)
    own_key(tree, "p110")
    # It asks anew by its own module of PAM, which comes after the others, and for five seconds not again.
    tree.wait(lambda: not sftp(tree, "p110"), "p110 to be refused")
    assert tree.run("loginctl list-sessions | grep -q ' p110 '").returncode == 0, "the session is not concerned"
    tree.sh("jailssh kick p110")
    tree.wait(lambda: tree.run("pgrep -u p110").returncode == 1, "the session to end")
    assert run(tree, "p110")[0] == 255
    # No command, so no shell that could refuse: sshd itself would forward.
    assert tree.run(f"timeout 20 ssh -n -N -L 9999:127.0.0.1:389 {SSH} p110@localhost").returncode == 255
    assert "p110: refused by PAM for sshd (not-jailed): its login shell is" in refusals(tree, "p110")
    told = tree.run("jailssh doctor p110")
    assert (told.returncode, CREW in told.stdout) == (1, True), told.stdout
    assert "p110" in tree.sh("jailssh apply"), "its plan goes"
    assert not planned(tree, 110)
    ldap.join("p110", CREW)
    ldap.forget()
    assert comes_in(tree, "p110") == "/home/staff/p110"


def test_another_group_is_another_jail(tree: BootedTree, ldap: Ldap) -> None:
    let_in(tree, "p120")
    ldap.leave("p120", CREW)
    ldap.join("p120", DESK)
    ldap.forget()
    code, said = run(tree, "p120")
    assert (code, said.splitlines()[0]) == (0, str(FIRST_UID + 120))
    ldap.leave("p120", DESK)
    ldap.join("p120", CREW)
    ldap.forget()
    # Nobody ran apply: the plan is not for a session with these groups.
    assert run(tree, "p120")[0] == 126
    assert sftp(tree, "p120") == "/home/staff/p120"


def test_what_is_known_goes_on_while_the_server_is_away(tree: BootedTree, ldap: Ldap) -> None:
    let_in(tree, "p130", "p131", "p132")
    assert sftp(tree, "p130")
    tree.sh("getent passwd p131")
    ldap.stop()
    try:
        assert sftp(tree, "p130") == "/home/staff/p130"
        # p131 has no plan, but a cache knows it; nobody knows p132.
        assert sftp(tree, "p131") == "/home/staff/p131"
        assert not sftp(tree, "p132")
        assert "Invalid user p132" in tree.sh("journalctl -o cat -t sshd")
        tree.run("jailssh apply")
        assert planned(tree, 130)
    finally:
        ldap.start()
    assert sftp(tree, "p132") == "/home/staff/p132"


def test_nobody_is_taken_for_gone_while_sssd_is_away_or_hangs(tree: BootedTree, ldap: Ldap) -> None:
    let_in(tree, "p140")
    assert sftp(tree, "p140")
    for begin, end in (("stop", "start"), ("kill -s STOP", "kill -s CONT")):
        tree.sh(f"systemctl {begin} sssd")
        try:
            begun = time.monotonic()
            done = tree.run("jailssh apply", timeout=120)
            assert done.returncode == 1
            assert "cannot be looked up" in done.stderr
            assert time.monotonic() - begun < 60
        finally:
            tree.sh(f"systemctl {end} sssd")
        assert planned(tree, 140)
    tree.wait(lambda: tree.run("timeout 5 id p140").returncode == 0, "sssd", 30)
    assert sftp(tree, "p140")


def test_a_server_that_answers_late_holds_up_nobody_who_is_known(tree: BootedTree, ldap: Ldap) -> None:
    let_in(tree, "p150", "p151")
    assert sftp(tree, "p150")
    tree.sh("systemctl kill -s STOP directory")
    try:
        begun = time.monotonic()
        assert sftp(tree, "p150")
        assert not sftp(tree, "p151")
        assert time.monotonic() - begun < 60
    finally:
        tree.sh("systemctl kill -s CONT directory")
        ldap.start()


def test_another_uid_than_yesterday_is_somebody_else(tree: BootedTree, ldap: Ldap) -> None:
    let_in(tree, "p160", "p161")
    assert comes_in(tree, "p160")
    ldap.set_uid("p160", 2_800_000)
    ldap.set_uid("p161", FIRST_UID + 160)
    ldap.forget()
    assert not sftp(tree, "p160")
    assert not sftp(tree, "p161")
    tree.wait(
        lambda: not sftp(tree, "p161") and "plan is for p160, login is of p161" in refusals(tree, "p161"),
        "SSSD to know the group of p161 again",
    )
    assert "p160: is for uid" in refusals(tree, "p160")
    assert ("JSH-204", "p161") in findings(tree, "p160", "p161")
    told = tree.run("jailssh doctor p160").stdout
    assert "jailssh apply --gone" in told
    assert "adduser" not in told
    tree.sh("jailssh apply --gone")
    # What was p160's is nobody's: the new one has no key, and p161 its own home.
    assert not sftp(tree, "p160")
    tree.sh("mkdir -p /home/staff/p161 && chown p161: /home/staff/p161")
    assert comes_in(tree, "p161") == "/home/staff/p161"


def test_a_name_in_the_files_and_in_the_directory(tree: BootedTree, ldap: Ldap) -> None:
    let_in(tree, "p170")
    tree.sh(
        "echo 'p170:x:5170:5170::/home/p170:/bin/bash' >>/etc/passwd; install -d -o 5170 -m 700 /home/p170;"
        "echo 'p170:*:19000:0:99999:7:::' >>/etc/shadow; sss_cache -E"
    )
    try:
        # The files come first (nsswitch.conf), and are in the group by name: confined, as whom the name means here.
        tree.run("jailssh apply")
        assert comes_in(tree, "p170") == "/home/p170"
        assert run(tree, "p170")[0] == 126
        assert ("JSH-209", "p170") in findings(tree, "p170")
        tree.sh("sed -i 's/^passwd:.*/passwd: sss files systemd/' /etc/nsswitch.conf")
        assert not sftp(tree, "p170"), "what is kept under the name is for the other uid"
        assert "is for uid 5170" in tree.run("jailssh doctor p170").stdout
    finally:
        tree.sh(
            "sed -i 's/^passwd:.*/passwd: files systemd sss/' /etc/nsswitch.conf; sed -i /^p170:/d /etc/passwd"
            " /etc/shadow"
        )


def test_adduser_says_what_to_do_instead(tree: BootedTree, ldap: Ldap) -> None:
    tree.sh("sed -i 's/^override_shell/#&/' /etc/sssd/sssd.conf; systemctl restart sssd; sss_cache -E")
    try:
        done = tree.run("jailssh adduser p180 --jail sftp-only --yes")
        assert done.returncode == 1
        assert "override_shell" in done.stderr
        assert "groups = GROUP" in done.stderr
        let_in(tree, "p181")
        # sshd would run the other shell before the forced command.
        assert not sftp(tree, "p181")
        assert "its login shell is another than" in refusals(tree, "p181")
        assert ("JSH-201", "p181") in findings(tree, "p181")
    finally:
        tree.sh("sed -i 's/^#override_shell/override_shell/' /etc/sssd/sssd.conf; systemctl restart sssd; sss_cache -E")


def test_the_same_by_nslcd(tree: BootedTree, ldap: Ldap) -> None:
    """Without a cache, and with enumeration."""
    ldap.use_nslcd()
    let_in(tree, "p190", "p2")
    tree.wait(lambda: tree.run("id p190").returncode == 0, "nslcd", 30)
    assert len(tree.sh("getent passwd").splitlines()) > PEOPLE
    assert sftp(tree, "p190") == "/home/staff/p190"
    assert sftp(tree, "p2") == "/home/staff/p2"
    begun = time.monotonic()
    tree.sh("jailssh apply --dry-run")
    assert time.monotonic() - begun < 40
    own_key(tree, "p190")
    ldap.leave("p190", CREW)
    assert not sftp(tree, "p190")
    assert "p190: refused by PAM for sshd" in refusals(tree, "p190")
    ldap.stop()
    assert not sftp(tree, "p2")
    done = tree.run("jailssh apply", timeout=120)
    assert (done.returncode, "cannot be looked up" in done.stderr) == (1, True)
    assert planned(tree, 2)
    assert tree.run("jailssh adduser p3 --jail sftp-only --yes").returncode == 1, "no account beside the directory's"
    tree.sh("systemctl start directory")
