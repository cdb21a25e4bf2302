"""setup with the real sshd on a scratch host: in force, read again, refused where it would not hold, undone."""

from __future__ import annotations

import functools
import pathlib
import signal
from collections.abc import Iterator

import pytest

from jailssh.config.keys import parse_keys
from jailssh.scratch.host import ScratchHost
from tests.harness.resident import Resident, command
from tests.harness.sampling import some
from tests.root.setup_lab import DROP_IN, FROM_SOURCE, LOGIN, SOURCE, Administered, bare_prefix

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd"), pytest.mark.needs("login-program")]

WATCHED = "/etc/passwd /etc/group /etc/shadow /etc/gshadow"


# Kills itself at the point whose number is given; without one it prints how many there are.
IMPORTS = """
import os, signal, sys
from jailssh.host.paths import Layout
from jailssh.setup import setup
"""
KILLED = """
layout, points = Layout(prefix="/usr/local"), []
def fault(point):
    points.append(point)
    if len(points) == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
setup.prepare(layout)
setup.apply(layout, setup.pending(layout, ()), fault)
print(len(points))
"""


class Host(Administered):
    """A scratch host with the command in place and nothing set up."""

    @functools.cached_property
    def killed(self) -> Resident:
        return Resident(self.scratch, IMPORTS, KILLED, SOURCE["PYTHONPATH"])

    @functools.cached_property
    def setup(self) -> Resident:
        """Runs ``jailssh`` as :meth:`jailssh` does, for many runs."""
        return Resident(self.scratch, *command("setup"), SOURCE["PYTHONPATH"])

    def state(self) -> str:
        trees = "/etc/ssh /etc/jailssh /var/lib/jailssh /usr/local/libexec"
        listing = f"find {trees} -printf '%p %m %u %g %y\\n' 2>/dev/null | sort"
        return self.sh(f"cat {WATCHED}; {listing}; find /etc/ssh -type f -exec sha256sum {{}} + | sort")


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory, login_build: pathlib.Path) -> Iterator[Host]:
    prefix = bare_prefix(tmp_path_factory, "prefix-login", login_build.read_bytes())
    with ScratchHost(install={str(prefix): "/usr/local"}) as scratch:
        yield Host(scratch, FROM_SOURCE, SOURCE)


def test_it_shows_a_diff_sets_up_once_and_undoes_exactly(host: Host) -> None:
    before = host.state()
    said = host.ok("setup", "--yes")
    assert "+ system group jailssh" in said
    assert f"+    ForceCommand {LOGIN}" in said
    assert "mode 4750, root:jailssh (was 0755, root:root)" in said
    assert host.sh(f"stat -c '%a %U %G' {LOGIN}") == "4750 root jailssh\n"
    assert host.sh(f"stat -c '%a %U' {DROP_IN} /etc/jailssh/keys /var/lib/jailssh/undo") == (
        "644 root\n755 root\n700 root\n"
    )
    first = host.state()
    assert "nothing to do" in host.ok("setup", "--yes")
    assert host.state() == first
    host.sh("touch /var/lib/jailssh/facts.json /var/lib/jailssh/plan.v1/.lock")
    said = host.ok("setup", "--undo", "--yes")
    assert "are restored" in said
    assert "no running sshd found" in said
    assert host.state() == before
    assert "nothing to undo" in host.ok("setup", "--undo", "--yes")
    assert host.state() == before


def test_the_drop_in_holds_for_members_and_for_nobody_else(host: Host) -> None:
    host.ok("setup", "--yes")
    host.sh("useradd -m -G jailssh alice; useradd -m bob")
    alice, bob = host.config_of("alice").splitlines(), host.config_of("bob").splitlines()
    for line in (f"forcecommand {LOGIN}", "disableforwarding yes", "permituserrc no", "permittunnel no",
                 "permittty yes", "allowtcpforwarding no", "allowagentforwarding no", "allowstreamlocalforwarding no",
                 "x11forwarding no", "chrootdirectory none",
                 "authorizedkeysfile /etc/jailssh/keys/%u", "ignorerhosts yes"):  # fmt: skip
        assert line in alice
    assert [line for line in alice if line.startswith("acceptenv")] == [
        "acceptenv LANG", "acceptenv LC_*", "acceptenv GIT_PROTOCOL",
    ]  # fmt: skip
    assert "forcecommand none" in bob
    assert "x11forwarding yes" in bob


def test_a_global_forced_command_or_chroot_does_not_win_over_the_drop_in(host: Host) -> None:
    host.sh("printf 'ForceCommand internal-sftp\\nChrootDirectory /srv\\n' >/etc/ssh/sshd_config.d/10-own.conf")
    host.ok("setup", "--yes")
    host.sh("useradd -m -G jailssh alice")
    assert f"forcecommand {LOGIN}" in host.config_of("alice").splitlines()
    assert "chrootdirectory none" in host.config_of("alice").splitlines()


def test_what_stands_behind_the_include_is_not_swallowed_by_our_match(host: Host) -> None:
    host.sh(
        "echo 'MaxAuthTries 3' >>/etc/ssh/sshd_config; echo 'ClientAliveInterval 77' >/etc/ssh/sshd_config.d/30-x.conf"
    )
    host.ok("setup", "--yes")
    host.sh("useradd -m bob")
    assert "clientaliveinterval 77" in host.config_of("bob")
    assert "maxauthtries 3" in host.config_of("bob")


def test_each_change_is_a_journal_record(host: Host) -> None:
    host.scratch.start_journald()
    host.ok("setup", "--yes")
    host.ok("setup", "--yes")
    host.ok("setup", "--undo", "--yes")
    records = host.scratch.journal(JAILSSH_EVENT="setup-changed")
    assert [record["MESSAGE"].split(";")[0] for record in records] == [
        "this host is set up", "group, drop-in and mode of the login program are restored",
    ]  # fmt: skip
    assert all(record["_COMM"] and record["SYSLOG_IDENTIFIER"] == "jailssh" for record in records)


def test_killed_at_any_point_it_can_be_undone_or_finished(host: Host) -> None:
    before = host.state()
    count = int(host.killed.run("0").stdout)
    done = host.state()
    host.ok("setup", "--undo", "--yes")
    assert host.state() == before
    for number in some(range(1, count + 1), 12, "setup"):
        assert host.killed.run(str(number)).code != 0
        host.setup.run("setup", "--undo", "--yes", check=True)
        assert host.state() == before, number
    host.killed.run(str(count - 3))
    host.ok("setup", "--yes")
    assert host.state().replace("/var/lib/jailssh/undo/.lock 600 root root f\n", "") == done


def test_without_a_terminal_and_without_yes_nothing_happens(host: Host) -> None:
    before = host.state()
    done = host.jailssh("setup")
    assert done.code == 2
    assert "--yes" in done.stderr
    assert f"ForceCommand {LOGIN}" in done.stdout
    assert host.state() == before


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        ("sed -i /^Include/d /etc/ssh/sshd_config", "does not include"),
        ("sed -i '1i Match User x' /etc/ssh/sshd_config", "does not include"),
        ("echo 'NoSuchThing yes' >/etc/ssh/sshd_config.d/50-broken.conf", "NoSuchThing"),
        ("printf 'Match all\\nForceCommand internal-sftp\\n' >/etc/ssh/sshd_config.d/10-first.conf",
         "forcecommand is 'internal-sftp'"),
        ("printf 'Match User jail*,a*\\nChrootDirectory /srv\\n' >/etc/ssh/sshd_config.d/10-first.conf",
         "chrootdirectory is '/srv'"),
        ("printf 'Match Address 0.0.0.0/0\\nPermitUserRC yes\\n' >/etc/ssh/sshd_config.d/10-first.conf",
         "permituserrc is 'yes'"),
        (f"rm {LOGIN}", "is not installed (the login program)"),
        (f"chmod 777 {LOGIN}", "writable"),
    ],
)  # fmt: skip
def test_where_it_would_not_hold_it_is_refused_and_nothing_changed(host: Host, prepare: str, why: str) -> None:
    host.sh(prepare)
    before = host.state()
    done = host.jailssh("setup", "--yes")
    assert done.code in (1, 4)
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    assert host.state() == before


def test_a_member_that_an_earlier_match_takes_away_is_found_and_all_is_rolled_back(host: Host) -> None:
    host.sh("groupadd -r jailssh; useradd -m -G jailssh alice")
    host.sh("printf 'Match User alice\\nForceCommand internal-sftp\\n' >/etc/ssh/sshd_config.d/10-own.conf")
    done = host.jailssh("setup", "--yes")
    assert done.code == 1
    assert "sshd for alice" in done.stderr
    assert host.sh(f"ls {DROP_IN} 2>&1 || true").endswith("No such file or directory\n")
    assert host.sh(f"stat -c %a {LOGIN}") == "755\n"


def test_weak_global_settings_are_reported(host: Host) -> None:
    host.sh(
        "printf 'PermitUserEnvironment yes\\nMatch User zoe\\n  X11Forwarding no\\n' >/etc/ssh/sshd_config.d/10-a.conf"
    )
    said = host.ok("setup", "--yes")
    assert "note: PermitUserEnvironment is on" in said
    assert "10-a.conf:2: Match User zoe precedes the drop-in" in said


def test_a_jail_for_a_unix_group_opens_the_program_and_is_matched(host: Host) -> None:
    host.sh("mkdir -p /etc/jailssh/jails && printf 'plugins = sftp\\ngroups = customers\\n' >/etc/jailssh/jails/c.conf")
    said = host.ok("setup", "--yes")
    assert "Match Group jailssh,customers" in said
    assert host.sh(f"stat -c '%a %U %G' {LOGIN}") == "4755 root root\n"
    host.sh("groupadd customers; useradd -m -G customers carl")
    assert f"forcecommand {LOGIN}" in host.config_of("carl")


def test_undo_is_refused_while_somebody_is_inside(host: Host) -> None:
    host.ok("setup", "--yes")
    host.sh("useradd -m -G jailssh alice")
    before = host.state()
    done = host.jailssh("setup", "--undo", "--yes")
    assert done.code == 1
    assert "alice" in done.stderr
    assert host.state() == before


def test_undo_is_refused_while_a_group_is_in_a_jail(host: Host) -> None:
    host.ok("setup", "--yes")
    host.sh("groupadd customers; groupadd none; useradd -m -G customers carl; useradd -m -g customers dora")
    text = "plugins = sftp\ngroups = customers, none, absent\n"
    host.scratch.write("/etc/jailssh/jails/c.conf", text)
    host.scratch.write("/etc/jailssh/jails/d.conf", "plugins = scp\n")
    host.ok("setup", "--yes")
    before = host.state()
    done = host.jailssh("setup", "--undo", "--yes")
    assert done.code == 1
    assert "members of group customers are still in jail c and could log in without it: carl, dora\n" in done.stderr
    assert "group none are still in jail c and could log in without it: none listed on this host" in done.stderr
    assert "absent" not in done.stderr
    assert "remove customers from 'groups' in the jail's file" in done.stderr
    assert host.state() == before
    said = host.ok("list")
    assert [line.split(None, 2) for line in said.splitlines() if " c  " in line and "customers" in line] == [
        ["customers", "c", "carl, dora"],
    ]  # fmt: skip
    shown = host.jailssh("plan", "show", "carl")
    assert "for a member of a group, jailsshd creates it at the first login" in shown.stderr
    assert "apply" not in shown.stderr
    assert "jailsshd creates it at the first login" in host.jailssh("explain", "carl", "--", "ls").stderr
    # A jail that is broken says nothing about groups.
    host.scratch.write("/etc/jailssh/jails/d.conf", "plugins\n")
    assert "d.conf:1" in host.jailssh("setup", "--undo", "--yes").stderr
    host.sh("rm /etc/jailssh/jails/d.conf; sed -i /groups/d /etc/jailssh/jails/c.conf")
    refused = host.jailssh("adduser", "zoe", "--jail", "c").stderr
    assert "drop-in has 'Match Group jailssh,absent,customers,none', expected 'Match Group jailssh'" in refused
    assert f"{LOGIN} to mode 4750, root:jailssh (was 4755, root:root)" in refused
    assert "hint: jailssh setup" in refused
    host.sh("touch /var/lib/jailssh/plan.v1/1234 /var/lib/jailssh/plan.v1/.lock")
    host.ok("setup", "--undo", "--yes")
    assert host.sh("ls -A /var/lib/jailssh 2>/dev/null || true") == ""


def test_undo_is_whole_although_sshd_refuses_its_configuration(host: Host) -> None:
    before = host.state()
    host.ok("setup", "--yes")
    with host.changed("echo 'NoSuchThing yes' >>/etc/ssh/sshd_config", "sed -i /NoSuchThing/d /etc/ssh/sshd_config"):
        said = host.ok("setup", "--undo", "--yes")
        assert "note: cannot reload sshd, which still uses the drop-in: sshd -t: " in said
        assert "NoSuchThing" in said
    assert host.state() == before


def test_undo_switches_the_units_off(host: Host) -> None:
    wants = "/etc/systemd/system/sockets.target.wants"
    host.ok("setup", "--yes")
    host.sh(f"mkdir -p {wants} /etc/systemd/system/timers.target.wants")
    host.sh(f"ln -s /usr/local/lib/systemd/system/jailsshd.socket {wants}; ln -s /nowhere {wants}/other.socket")
    host.sh("ln -s /gone/jailssh-update.timer /etc/systemd/system/timers.target.wants")
    said = host.ok("setup", "--undo", "--yes")
    assert "disabled jailssh-update.timer, jailsshd.socket" in said
    assert {"jailsshd.socket", "other.socket"} & set(host.sh(f"ls {wants}").split()) == {"other.socket"}
    assert "jailssh" not in host.sh("ls /etc/systemd/system/timers.target.wants 2>/dev/null || true")


@pytest.mark.needs("journald")  # systemd's programs
def test_undo_stops_what_runs(host: Host) -> None:
    host.ok("setup", "--yes")
    names = ("ssh.service", "update", "gone", "pull", "audit", "transfers", "crontabs")
    others = " | ".join(f"*is-active*{name}*" for name in names)
    inactive = f'case "$*" in {others}) exit 3; esac'
    host.scratch.write("/run/systemctl", f'#!/bin/sh\necho "$@" >>/run/asked\n{inactive}\n'.encode())
    host.sh("mkdir -p /run/systemd/system; chmod 755 /run/systemctl; mount --bind /run/systemctl /usr/bin/systemctl")
    stopped = "stopped jailssh-relay.socket, jailssh-relay.service, jailsshd.socket, jailsshd.service, "
    stopped += "jailsshd-self.socket, jailsshd-self.service, jailssh-webhooks.service, jailssh-outbound.service"
    assert stopped in host.ok("setup", "--undo", "--yes")
    asked = host.sh("cat /run/asked").splitlines()
    stops = [line.removeprefix("stop ") for line in asked if line.startswith("stop ")]
    assert stops == stopped.removeprefix("stopped ").split(", ")


@pytest.mark.needs("journald")  # systemd's programs
def test_undo_says_what_stays_and_that_sshd_was_not_reloaded(host: Host) -> None:
    host.ok("setup", "--yes")
    host.sh("mkdir /var/lib/jailssh/images; touch /var/lib/jailssh/facts.json /var/lib/jailssh/plan.v1/1234")
    host.sh("cd /var/lib/jailssh; mkdir -p trees/build systems/web; touch systems/.lock")
    # As systemctl is where it cannot reach systemd, on a host that runs it.
    host.scratch.write("/run/systemctl", b'#!/bin/sh\n[ "$1" != reload ] || { echo no bus >&2; exit 1; }\n')
    host.sh("mkdir -p /run/systemd/system; chmod 755 /run/systemctl; mount --bind /run/systemctl /usr/bin/systemctl")
    said = host.ok("setup", "--undo", "--yes")
    assert "note: cannot reload sshd" in said
    assert "no bus" in said
    assert "stay in /var/lib/jailssh (facts.json, images); nothing uses them" in said
    assert "sessions on trees are not touched: build\nwhole systems are not touched: web\n" in said
    assert not host.sh(f"ls {DROP_IN} 2>/dev/null || true")


def test_a_running_sshd_reads_it_without_being_restarted(host: Host) -> None:
    host.scratch.start_sshd()
    pid = host.sh("cat /run/sshd.pid")
    host.sh("useradd -m -s /bin/sh alice && install -d -o alice -m 700 /home/alice/.ssh")
    host.sh("ssh-keygen -q -t ed25519 -N '' -f /root/k")
    host.sh("install -o alice -m 600 /root/k.pub /home/alice/.ssh/authorized_keys")
    ssh = "ssh -i /root/k -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR alice@127.0.0.1"
    assert host.sh(f"{ssh} echo open") == "open\n"
    assert "sent SIGHUP to sshd" in host.ok("setup", "--yes")
    # Who runs it, and how often, is the question here.
    host.sh(f"printf '#!/bin/sh\necho jailed\n' >{LOGIN}")
    # As adduser does it: the key in root's file, since the one in the home counts no more, and the login shell.
    host.sh(f"gpasswd -a alice jailssh && usermod -s {LOGIN} alice")
    host.sh("install -m 644 /root/k.pub /etc/jailssh/keys/alice")
    host.scratch.wait_until(lambda: host.scratch.run(["sh", "-c", f"{ssh} echo open"]).stdout == "jailed\n", "the jail")
    assert host.sh("cat /run/sshd.pid") == pid
    # A key given with adduser: sshd takes the line as it is written, from root's directory, without ~/.ssh.
    (key,) = parse_keys(host.scratch.read("/root/k.pub"), "k.pub")
    host.scratch.write("/etc/jailssh/keys/alice", key.authorized(LOGIN, "", terminal=True) + "\n")
    host.sh("rm -r /home/alice/.ssh")
    assert host.sh(f"{ssh} echo open") == "jailed\n"


PROBE = "ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"


def members_session(host: Host) -> str:
    """Return what a member of the group with a jail gets from the sshd that runs."""
    ssh = f"{PROBE} -o LogLevel=ERROR -i /root/k carl@127.0.0.1 echo open"
    return host.scratch.run(["sh", "-c", ssh]).stdout


def with_member(host: Host) -> None:
    """A running sshd, and carl, who can log in by a key and is in a group that is to get a jail."""
    # PAM is asked at each login, so it would refuse him by what is written: here sshd alone stands in between.
    host.scratch.write("/etc/ssh/sshd_config.d/05-own.conf", "UsePAM no\n")
    host.scratch.start_sshd()
    host.sh(
        "groupadd customers; useradd -m -p '*' -s /bin/sh -G customers carl; ssh-keygen -q -t ed25519 -N '' -f /root/k"
    )
    host.sh(
        "install -d -o carl -m 700 /home/carl/.ssh; install -o carl -m 600 /root/k.pub /home/carl/.ssh/authorized_keys"
    )
    host.ok("setup", "--yes")
    assert members_session(host) == "open\n"
    host.sh("mkdir -p /etc/jailssh/jails; install -m 644 /root/k.pub /etc/jailssh/keys/carl")
    host.scratch.write("/etc/jailssh/jails/c.conf", "plugins = sftp\ngroups = customers\n")


def kill_before_reload(host: Host) -> None:
    program = (IMPORTS + KILLED).replace("len(points) == int(sys.argv[1])", "point == sys.argv[1]")
    program = program.replace("setup.pending(layout, ())", "setup.pending(layout, ('customers',))")
    done = host.scratch.run(["/usr/bin/python3", "-B", "-c", program, "reload: owed"], env=SOURCE)
    assert done.code == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize("verb", [("setup", "--yes"), ("apply",)])
def test_killed_before_the_reload_the_next_command_has_sshd_read_it(host: Host, verb: tuple[str, ...]) -> None:
    with_member(host)
    kill_before_reload(host)
    # Written, and not in force: what config check has to find.
    assert members_session(host) == "open\n"
    checked = host.jailssh("config", "check")
    assert checked.code == 1
    assert "reload of sshd: setup was interrupted" in checked.stderr
    assert "uses an older configuration than the one on disk" in checked.stderr
    done = host.jailssh(*verb)
    # There are no plugins here, so apply stops at the jail; what is owed comes before.
    assert done.code == 0 or verb == ("apply",), done.stderr
    assert "sent SIGHUP to sshd" in done.stdout + done.stderr
    assert "nothing to do" not in done.stdout
    assert "open" not in members_session(host)
    assert host.sh("ls /var/lib/jailssh/reload-owed 2>/dev/null || true") == ""
    assert "nothing to do" in host.ok("setup", "--yes")


def test_an_account_added_after_a_killed_set_up_does_not_take_it_back(host: Host) -> None:
    with_member(host)
    kill_before_reload(host)
    text = host.sh(f"cat {DROP_IN}")
    assert "Match Group jailssh,customers\n" in text
    host.jailssh("adduser", "zoe", "--jail", "sftp-only", "--yes")
    assert host.sh(f"cat {DROP_IN}") == text
    assert "open" not in members_session(host)


def test_an_sshd_that_reads_no_more_is_not_said_to_be_set_up(host: Host) -> None:
    with_member(host)
    # As one does that has lost its signal: stopped while it is told, and looked at.
    pid = host.sh("cat /run/sshd.pid").strip()
    kill_before_reload(host)
    host.sh(f"kill -STOP {pid}")
    done = host.jailssh("setup", "--yes")
    assert done.code == 4, done.stdout
    assert f"sshd, process {pid}" in done.stderr
    assert "this host is set up" not in done.stdout
    assert host.sh("cat /var/lib/jailssh/reload-owed")
    host.sh(f"kill -CONT {pid}")
    host.ok("setup", "--yes")
    assert "open" not in members_session(host)


def test_a_second_sshd_that_was_not_reloaded_is_found_and_reloaded(host: Host) -> None:
    with_member(host)
    host.sh("sed 's/^Port .*//; s/^ListenAddress.*//; s/^PidFile.*//' /etc/ssh/sshd_config >/etc/ssh/second_config")
    host.sh("/usr/sbin/sshd -f /etc/ssh/second_config -o Port=2222 -o ListenAddress=127.0.0.1 -o PidFile=none")
    said = host.ok("setup", "--yes")
    assert said.count("sent SIGHUP to sshd, process") == 2
    probe = f"{PROBE} -p 2222 -l jailssh-probe 127.0.0.1 true 2>&1 | grep jailssh-set-up"
    assert host.sh(probe) == host.sh(probe.replace("2222", "22"))
    assert host.sh(probe).split()[1] in host.sh(f"cat {DROP_IN}")


def test_the_mark_is_for_this_host_and_for_nobody_alone(host: Host) -> None:
    host.scratch.start_sshd()
    host.ok("setup", "--yes")
    host.sh("useradd -m -G jailssh alice")
    assert "banner none" in host.config_of("alice")
    assert "banner /var/lib/jailssh/sshd/" in host.config_of("jailssh-probe")
    away = host.sh("/usr/sbin/sshd -T -C user=jailssh-probe,host=h,addr=192.0.2.1")
    assert "banner none" in away


def test_groups_of_jails_are_written_down_for_the_user_manager(host: Host) -> None:
    host.sh("mkdir -p /etc/jailssh/jails")
    host.scratch.write("/etc/jailssh/jails/c.conf", "plugins = sftp\ngroups = customers\n")
    host.ok("setup", "--yes")
    assert host.sh("cat /var/lib/jailssh/jailed-groups") == "jailssh\ncustomers\n"
    assert "user ingroup jailssh:customers" in host.sh("cat /usr/share/pam-configs/jailssh 2>/dev/null || true") or (
        host.scratch.run(["sh", "-c", "command -v pam-auth-update"]).code != 0
    )
