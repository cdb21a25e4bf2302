"""The doors beside the jail, closed on a scratch host by the real PAM and sshd: services, shells, keys, jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from jailssh.scratch.host import ScratchHost
from tests.root.setup_lab import DROP_IN, LOGIN, Administered

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tr"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGxsbGxsbGxsbGxsbGxsbGxsbGxsbGxsbGxsbGxsbGxs"
COMMON = "/etc/pam.d/common-account"
PROFILE = "/usr/share/pam-configs/jailssh"

# Asks PAM's account phase as a service does: user, service, and the real uid of who asks.
ACCOUNT = """
import ctypes, os, sys
user, service, uid = sys.argv[1], sys.argv[2], int(sys.argv[3])
libpam = ctypes.CDLL("libpam.so.0")
class Conv(ctypes.Structure):
    _fields_ = [("conv", ctypes.c_void_p), ("data", ctypes.c_void_p)]
os.setresuid(uid, 0, 0)
handle, conv = ctypes.c_void_p(), Conv(None, None)
assert libpam.pam_start(service.encode(), user.encode(), ctypes.byref(conv), ctypes.byref(handle)) == 0
print(libpam.pam_acct_mgmt(handle, 0))
"""
OTHERS = ("cron", "atd", "systemd-user", "login", "vsftpd", "gdm-password")


class Host(Administered):
    """A scratch host with jailssh installed and nothing set up."""

    def state(self) -> str:
        trees = "/etc/ssh /etc/jailssh /var/lib/jailssh /home /etc/passwd /etc/group /etc/shadow"
        return self.sh(f"find {trees} -printf '%p %m %U %G %y\\n' | sort; sha256sum /etc/passwd /etc/group /etc/shadow")


@pytest.fixture
def host(staged_prefix: str) -> Iterator[Host]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        host = Host(scratch)
        # The mail server of the machine may leave doors open, which is told.
        host.sh("rm -rf /etc/postfix /etc/exim4")
        yield host


def lets_in(host: Host, user: str, service: str, uid: int = 0) -> bool:
    return host.scratch.run(["/usr/bin/python3", "-c", ACCOUNT, user, service, str(uid)], check=True).stdout == "0\n"


def people(host: Host) -> None:
    """Make a plain account, one in a jail by name, and two by a group: with our login shell, and with another."""
    host.sh("groupadd stu && mkdir -p /etc/jailssh/jails")
    host.scratch.write("/etc/jailssh/jails/stu.conf", "plugins = sftp\ngroups = stu\n")
    host.ok("setup", "--yes")
    host.sh(f"useradd -m plain; useradd -m -s {LOGIN} -G jailssh alice; useradd -m -s {LOGIN} -G stu carl")
    host.sh("useradd -m -s /bin/bash -g stu bob; useradd -r -G stu daemon1")


def test_pam_lets_jailed_accounts_in_by_sshd_alone(host: Host) -> None:
    before = host.sh(f"sha256sum /etc/pam.d/*; ls {PROFILE} 2>&1 || true")
    people(host)
    for service in OTHERS:
        taken = [name for name in ("root", "plain", "daemon1", "alice", "carl", "bob") if lets_in(host, name, service)]
        assert taken == ["root", "plain", "daemon1"], service
    taken = [name for name in ("root", "plain", "alice", "carl", "bob") if lets_in(host, name, "sshd")]
    assert taken == ["root", "plain", "alice", "carl"]
    host.sh(f"usermod -s /bin/bash alice; usermod -s {LOGIN} bob")
    assert not lets_in(host, "alice", "sshd")
    assert lets_in(host, "bob", "sshd")
    # A password that must be changed makes pam_unix end the stack: we are asked before.
    host.sh("chage -d 0 carl; chage -d 0 plain")
    assert not lets_in(host, "carl", "cron")
    host.sh("gpasswd -d alice jailssh; userdel -r bob; userdel -r carl; userdel daemon1; groupdel stu")
    host.sh("rm /etc/jailssh/jails/stu.conf")
    host.ok("setup", "--undo", "--yes")
    assert host.sh(f"sha256sum /etc/pam.d/*; ls {PROFILE} 2>&1 || true") == before


def test_root_may_become_a_jailed_account_and_others_may_not(host: Host) -> None:
    people(host)
    plain = int(host.sh("id -u plain"))
    for service in ("su", "su-l", "runuser"):
        assert lets_in(host, "alice", service)
        assert not lets_in(host, "alice", service, plain)
        assert lets_in(host, "plain", service, plain)
    # Real uid 0 is what cron and login have, too.
    assert not lets_in(host, "alice", "login")


def test_more_services_by_the_main_file(host: Host) -> None:
    people(host)
    host.scratch.write("/etc/jailssh/jailssh.conf", "pam_services = cron, atd\n")
    assert "PAM profile" in host.jailssh("apply").stderr
    host.ok("setup", "--yes")
    assert lets_in(host, "alice", "cron")
    assert lets_in(host, "carl", "atd")
    assert not lets_in(host, "alice", "systemd-user")
    host.scratch.write("/etc/jailssh/jailssh.conf", "pam_services = a:b\n")
    assert "not a valid name of a PAM service" in host.jailssh("setup", "--yes").stderr


def test_a_group_that_gets_a_jail_later_is_in_the_profile_after_setup(host: Host) -> None:
    people(host)
    host.sh("groupadd late && useradd -m -G late dora")
    host.scratch.write("/etc/jailssh/jails/late.conf", "plugins = sftp\ngroups = late\n")
    assert lets_in(host, "dora", "cron")
    host.ok("setup", "--yes")
    assert not lets_in(host, "dora", "cron")
    assert "jailssh:late:stu" in host.sh(f"cat {COMMON}")


def test_accounts_of_a_directory_are_refused_too(host: Host) -> None:
    # systemd-userdb's own records stand for LDAP: NSS knows the account, /etc/passwd does not.
    record = {"userName": "dave", "uid": 40001, "gid": 40001, "homeDirectory": "/home/dave", "shell": "/bin/bash",
              "disposition": "regular"}  # fmt: skip
    host.sh("mkdir -p /etc/userdb /etc/jailssh/jails && install -d -o 40001 -g 40001 -m 700 /home/dave")
    host.scratch.write("/etc/userdb/dave.user", json.dumps(record))
    host.scratch.write("/etc/userdb/faculty.group", json.dumps({"groupName": "faculty", "gid": 40001}))
    host.sh("cd /etc/userdb && ln -s dave.user 40001.user && ln -s faculty.group 40001.group")
    host.scratch.write("/etc/jailssh/jails/faculty.conf", "plugins = sftp\ngroups = faculty\n")
    assert host.sh("id -gn dave") == "faculty\n"
    assert lets_in(host, "dave", "systemd-user")
    host.ok("setup", "--yes")
    assert not lets_in(host, "dave", "systemd-user")
    assert not lets_in(host, "dave", "sshd")
    host.scratch.write("/etc/userdb/dave.user", json.dumps({**record, "shell": LOGIN}))
    assert lets_in(host, "dave", "sshd")
    assert not lets_in(host, "dave", "cron")


def test_a_common_account_edited_by_hand_is_told(host: Host) -> None:
    # pam-auth-update leaves a file alone that it did not write.
    host.sh(f"sed -i 's/^account.*pam_unix.so.*/account required pam_unix.so/' {COMMON}")
    said = host.ok("setup", "--yes")
    assert f"{COMMON} does not begin with the profile" in said
    assert "pam-auth-update --remove jailssh && pam-auth-update --enable jailssh" in said
    host.sh(f"useradd -m -s {LOGIN} -G jailssh alice")
    lines = f"grep '^\t' {PROFILE} | sed 's/^/account /; s/=end/=10/'"
    host.sh(f"{lines} >/root/new; cat {COMMON} >>/root/new; cp /root/new {COMMON}")
    assert "does not begin" not in host.ok("setup", "--yes")
    assert not lets_in(host, "alice", "cron")


def test_keys_of_a_home_are_taken_into_roots_file(host: Host) -> None:
    host.ok("setup", "--yes")
    host.sh("useradd -m -s /bin/bash alice && install -d -o alice -m 700 /home/alice/.ssh")
    lines = f'from="192.0.2.1",no-pty {KEY} laptop\ncommand="borg serve",restrict {OTHER} backup\n'
    host.scratch.write("/home/alice/.ssh/authorized_keys", lines)
    host.sh("chown alice /home/alice/.ssh/authorized_keys")
    state = host.state()
    refused = host.jailssh("adduser", "alice", "--jail", "sftp", "--yes")
    assert refused.code == 2
    assert '/home/alice/.ssh/authorized_keys:2: command="borg serve"' in refused.stderr
    assert host.state() == state
    said = host.ok("adduser", "alice", "--jail", "sftp", "--yes", "--key-commands", "leave-out")
    assert "key from /home/alice/.ssh/authorized_keys:1: ssh-ed25519 SHA256:" in said
    assert "authorized_keys:2 left out" in said
    assert host.sh("cat /etc/jailssh/keys/alice") == f'restrict,from="192.0.2.1",command="{LOGIN}" {KEY} laptop\n'
    assert "authorizedkeysfile /etc/jailssh/keys/%u\n" in host.config_of("alice")
    # What is written there later counts no more, so it is not taken either.
    host.sh(f"echo '{OTHER} later' >>/home/alice/.ssh/authorized_keys")
    assert "key from" not in host.ok("adduser", "alice", "--jail", "sftp-ro", "--yes")
    host.ok("deluser", "alice", "--yes")
    assert host.scratch.run(["test", "-e", "/etc/jailssh/keys/alice"]).code != 0
    assert host.sh("cat /home/alice/.ssh/authorized_keys") == f"{lines}{OTHER} later\n"


def test_a_host_that_was_set_up_before_keeps_its_people(host: Host) -> None:
    host.ok("setup", "--yes")
    host.sh("useradd -m alice && install -d -o alice -m 700 /home/alice/.ssh")
    host.ok("adduser", "alice", "--jail", "sftp", "--yes")
    host.sh(f"sed -i 's,AuthorizedKeysFile.*,AuthorizedKeysFile /etc/jailssh/keys/%u .ssh/authorized_keys,' {DROP_IN}")
    host.scratch.write("/home/alice/.ssh/authorized_keys", f'{KEY} a\npermitopen="db:1" {OTHER} b\n')
    assert host.jailssh("setup", "--yes").code == 2
    said = host.ok("setup", "--yes", "--key-commands", "drop")
    assert "alice: 2 keys of its home copied to /etc/jailssh/keys/alice" in said
    assert len(host.sh("cat /etc/jailssh/keys/alice").splitlines()) == 2
    assert "nothing to do" in host.ok("setup", "--yes")


def test_keys_in_homes_count_where_a_jail_says_so(host: Host) -> None:
    people(host)
    host.scratch.write("/etc/jailssh/jails/stu.conf", "plugins = sftp\ngroups = stu\nhome_keys = yes\n")
    host.ok("setup", "--yes")
    host.sh("gpasswd -a alice stu")
    assert "authorizedkeysfile /etc/jailssh/keys/%u .ssh/authorized_keys\n" in host.config_of("carl")
    assert "authorizedkeysfile /etc/jailssh/keys/%u\n" in host.config_of("alice")
    assert "forcecommand " + LOGIN in host.config_of("carl")
    assert "authorizedkeysfile .ssh" in host.config_of("plain")


JOBS = """
useradd -m -s /bin/bash alice
mkdir -p /var/spool/cron/crontabs /var/spool/cron/atjobs /var/lib/systemd/linger
echo '* * * * * true' >/var/spool/cron/crontabs/alice
echo true >/var/spool/cron/atjobs/a0000101c8b451
touch /var/lib/systemd/linger/alice
echo '|/home/alice/x' >/home/alice/.forward
echo '|/home/alice/x' >/home/alice/.forward+any
echo '|/home/alice/x' >"$(printf '/home/alice/.qmail-\\033[2J\\nnote: it is closed')"
mkdir -p /home/alice/.config/systemd/user
chown -R alice: /home/alice /var/spool/cron/crontabs/alice /var/spool/cron/atjobs/a0000101c8b451
"""
PLACES = "find /var/spool/cron /var/lib/systemd/linger /home/alice -printf '%p %U %m\\n' | sort"


@pytest.mark.parametrize("disable", [False, True])
def test_what_an_account_has_standing_is_told_and_set_aside(host: Host, disable: bool) -> None:
    host.ok("setup", "--yes")
    host.sh(JOBS)
    before = host.sh(PLACES)
    options = ["--disable"] if disable else []
    said = host.ok("adduser", "alice", "--jail", "sftp", "--yes", *options)
    for place in ("/var/spool/cron/crontabs/alice", "/var/spool/cron/atjobs/a0000101c8b451",
                  "/var/lib/systemd/linger/alice", ".forward", ".forward+any", ".config/systemd"):  # fmt: skip
        assert place in said
    # The name of a file is the account's, and is shown to who is asked.
    assert r".qmail-\x1b[2J\x0anote: it is closed" in said
    assert ("to set these aside until deluser" in said) is not disable
    if not disable:
        assert r"~/.qmail-\x1b[2J\x0anote: it is closed (read by qmail)" in said
    after = host.sh(PLACES)
    if disable:
        for gone in ("crontabs/alice ", "atjobs/a0", "linger/alice", "/.forward+any "):
            assert gone not in after
        assert host.sh("stat -c %s /home/alice/.forward") == "0\n"
    else:
        assert set(before.splitlines()) <= set(after.splitlines())
    host.ok("deluser", "alice", "--yes")
    assert host.sh(f"rmdir /home/alice/.ssh && {PLACES}") == before


def test_apply_sets_the_shells_of_local_members_and_gives_them_back(host: Host) -> None:
    people(host)
    told = host.jailssh("config", "check")
    assert told.code == 1
    assert "account bob: login shell is '/bin/bash', expected" in told.stderr
    assert f"bob: login shell {LOGIN} (was /bin/bash)" in host.ok("apply", "--dry-run")
    assert host.sh("getent passwd bob | cut -d: -f7") == "/bin/bash\n"
    assert f"bob: login shell {LOGIN} (was /bin/bash)" in host.ok("apply")
    assert lets_in(host, "bob", "sshd")
    assert host.sh("getent passwd plain daemon1 | grep -c jailssh-login || true") == "0\n"
    host.sh("usermod -g plain bob")
    # A group that is not known is no reason to take anything back: its directory service may be away.
    host.scratch.write("/etc/jailssh/jails/stu.conf", "plugins = sftp\ngroups = stu, faraway\n")
    assert "bob" not in host.ok("apply", "--details").replace("bob (uid", "")
    assert host.sh("getent passwd bob | cut -d: -f7") == f"{LOGIN}\n"
    host.scratch.write("/etc/jailssh/jails/stu.conf", "plugins = sftp\ngroups = stu\n")
    assert "bob: no longer in a jail, login shell /bin/bash again" in host.ok("apply")
    assert host.sh("getent passwd bob | cut -d: -f7") == "/bin/bash\n"


def test_another_installation_takes_nobodys_shell_before_it_is_set_up(host: Host) -> None:
    people(host)
    host.ok("apply")
    # As the command of an installation below /usr/local sees it, beside a package whose set-up is in force.
    other = "/usr/libexec/jailssh/jailssh-login"
    host.sh(f"sed -i 's,{LOGIN},{other},' {DROP_IN}; usermod -s {other} alice; usermod -s {other} carl")
    applied = host.jailssh("apply")
    assert applied.code == 1
    wrong = f"jailssh: {DROP_IN}: is of another installation: it forces {other}, and not {LOGIN}\nhint: jailssh setup\n"
    assert wrong in applied.stderr
    assert wrong in host.jailssh("apply", "--dry-run").stderr
    assert host.sh("getent passwd alice carl | cut -d: -f7") == f"{other}\n{other}\n"
    # A set-up alone lets nobody in, and says so.
    note = f"note: PAM refuses accounts whose login shell is another one than {LOGIN}: alice; run: jailssh apply"
    assert note in host.ok("setup", "--yes")
    host.ok("adduser", "alice", "--jail", "sftp", "--yes")
    assert "note: PAM refuses" not in host.ok("setup", "--yes")
    host.sh("groupdel jailssh")
    lost = "note: PAM refuses accounts that are not in group jailssh: alice; run: jailssh check"
    assert lost in host.ok("setup", "--yes")
    host.sh("gpasswd --add alice jailssh")
    assert "note: PAM refuses" not in host.ok("setup", "--yes")


def test_what_opens_later_is_found(host: Host) -> None:
    people(host)
    host.ok("adduser", "alice", "--jail", "sftp", "--yes")
    host.ok("apply")
    assert host.jailssh("config", "check").code == 0
    # As "usermod -G" does, which names all groups anew; carl is in his jail by a group.
    host.sh("gpasswd -d alice jailssh")
    applied = host.jailssh("apply")
    assert applied.stderr.count("is not in group jailssh, by which sshd finds it: PAM refuses its logins\n") == 1
    assert "hint: gpasswd --add alice jailssh" in applied.stderr
    host.sh("gpasswd --add alice jailssh; getent group docker || groupadd docker; gpasswd -a carl docker")
    host.scratch.write("/etc/ssh/sshd_config.d/10-own.conf", "Match User alice\n  AllowTcpForwarding yes\n"
                       "  AuthorizedKeysFile .ssh/authorized_keys\nMatch all\n")  # fmt: skip
    host.sh("test -d /etc/sudoers.d && echo 'alice ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/alice || true")
    told = host.jailssh("config", "check")
    assert told.code == 1
    assert "account carl: member of group 'docker'" in told.stderr
    assert "sshd for alice: authorizedkeysfile is '.ssh/authorized_keys'" in told.stderr
    assert "/etc/ssh/sshd_config.d/10-own.conf:1: Match User alice is read first" in told.stderr
    applied = host.jailssh("apply")
    assert applied.code == 0
    assert "note: account carl: member of group 'docker'" in applied.stderr


def test_an_account_that_went_by_hand_stops_nobody_else(host: Host) -> None:
    host.ok("setup", "--yes")
    for name in ("alice", "bob", "carl"):
        host.ok("adduser", name, "--jail", "sftp")
    host.sh("userdel alice; usermod -l robert bob; rm /var/lib/jailssh/plan.v1/$(id -u carl)")
    told = host.jailssh("config", "check")
    assert told.code == 1
    assert "alice.conf: the account does not exist on this host" in told.stderr
    assert "jailssh apply --gone" in told.stderr
    assert "is now robert" in told.stderr
    said = host.ok("apply", "--details")
    assert host.sh("ls /var/lib/jailssh/plan.v1") == host.sh("id -u carl")
    assert all(f"set aside in /var/lib/jailssh/gone/{name}-" in said for name in ("alice", "bob"))
    assert host.sh("ls /etc/jailssh/users") == "carl.conf\n"
    host.sh("mkdir -p /home/robert")
    host.ok("adduser", "robert", "--jail", "sftp", "--yes", "--now")
    assert host.jailssh("config", "check").code == 0


def test_a_mount_in_a_home_is_not_removed_with_it(host: Host) -> None:
    host.ok("setup", "--yes")
    host.ok("adduser", "alice", "--jail", "sftp")
    host.sh("mkdir /root/keep && echo kept >/root/keep/file && mkdir -p /home/alice/a/x && chown -R alice /home/alice")
    host.sh("mount --bind /root/keep /home/alice/a/x; echo mine >/home/alice/f")
    refused = host.jailssh("deluser", "alice", "--remove-home", "--yes")
    assert refused.code == 4
    assert "/home/alice/a/x" in refused.stderr
    # It cannot log in any more all the same, and the same command again finishes.
    assert "can no longer log in" in refused.stdout
    assert host.sh("ls /etc/jailssh/users /var/lib/jailssh/plan.v1; stat -c %U /home/alice") == (
        "/etc/jailssh/users:\n\n/var/lib/jailssh/plan.v1:\nalice\n"
    )
    assert host.sh("cat /root/keep/file /home/alice/f; id -un alice") == "kept\nmine\nalice\n"
    host.sh("umount /home/alice/a/x")
    host.sh("chattr +i /home/alice/f 2>/dev/null || true; ln -s /root/keep /home/alice/link")
    host.sh("chattr -i /home/alice/f 2>/dev/null || true")
    assert "removed" in host.ok("deluser", "alice", "--remove-home", "--yes")
    assert host.sh("cat /root/keep/file; ls /home | grep -c alice || true; id alice 2>&1 || true") == (
        "kept\n0\nid: ‘alice’: no such user\n"
    )


def test_a_profile_that_changes_is_in_force_each_time(host: Host) -> None:
    host.sh("mkdir -p /etc/jailssh/jails; groupadd customers; groupadd others")
    for groups in ("customers", "customers, others", "others", "customers"):
        host.scratch.write("/etc/jailssh/jails/c.conf", f"plugins = sftp\ngroups = {groups}\n")
        said = host.ok("setup", "--yes")
        assert "does not begin" not in said
        assert f"ingroup jailssh:{groups.replace(', ', ':')}\n" in host.sh(f"cat {COMMON}")


def test_a_profile_that_was_not_switched_on_again_is_owed(host: Host) -> None:
    host.ok("setup", "--yes")
    # As one leaves it that is killed between the two.
    host.sh("touch /var/lib/jailssh/pam-owed; pam-auth-update --remove jailssh")
    host.sh(f"useradd -m -s {LOGIN} -G jailssh alice")
    assert lets_in(host, "alice", "cron")
    assert "enable (was interrupted)" in host.ok("setup", "--yes")
    assert not lets_in(host, "alice", "cron")
    assert "nothing to do" in host.ok("setup", "--yes")
