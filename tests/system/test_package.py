"""The story of the Debian package on a booted Debian, each test a chapter: installed, used, upgraded, removed, purged.

``make test`` tells it on Debian 12, ``make test-system`` on Debian 13 too.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

import jailssh
from tests.system import packaged
from tests.system.booted import ALL, SUITES
from tests.system.logins import LOGINS, Login, try_login
from tests.system.packaged import LIBRARY, PackagedTree
from tests.system.people import ACCOUNT, JAILS, KEY, OPEN, PASSWORD, REPOSITORY, SHUT, SSH, write_jail

pytestmark = pytest.mark.needs("root", "login-program", "mmdebstrap", "nspawn", "python3-packages", "debhelper")

TOLD = SUITES if ALL else SUITES[:1]
LOGIN = "/usr/libexec/jailssh/jailssh-login"
NOW = jailssh.__version__
BEFORE = f"{NOW}~before"
# What installing and removing any package leaves behind, what logins do, and what the tests themselves make.  The
# script that dh_apparmor writes removes the directory of switched off profiles where it is empty.
PASSING = (
    "/etc/apparmor.d/disable",
    "/home", "/root", "/srv", "/tmp", "/var/backups", "/var/cache", "/var/lib/dpkg", "/var/lib/systemd", "/var/log",
    "/var/lib/dbus", "/var/spool", "/var/tmp",
)  # fmt: skip


@pytest.fixture(scope="module", params=TOLD)
def tree(request: pytest.FixtureRequest, deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackagedTree]:
    """A booted Debian in which the package waits, and one of the version before."""
    now = next(deb.glob("jailssh_*.deb"))
    before = packaged.repacked(now, tmp_path_factory.mktemp("before"), BEFORE)
    packages = {"now": now, "before": before}
    with closing(PackagedTree(request.param, packages)) as tree:
        tree.sh(f"set -e; {KEY}; systemctl start ssh")
        for name in (OPEN, SHUT):
            tree.sh("set -e;" + ACCOUNT.format(name=name, password=PASSWORD))
        yield tree


def state(tree: PackagedTree) -> list[str]:
    """Return what is on the tree's file system beside what passes: every file, and what decides about logins."""
    skipped = " -o ".join(f"-path {path}" for path in PASSING)
    # Files with a dash are what shadow's programs keep of the version before.
    listing = tree.sh(f"find / -xdev \\( {skipped} \\) -prune -o ! -name '*-' ! -name __pycache__ ! -name '*.pyc'"
                      " -printf '%p %M %U %G %l\\n' | sort")  # fmt: skip
    texts = tree.sh(
        "sha256sum /etc/pam.d/* /etc/passwd /etc/group /etc/shells; cat /var/lib/dpkg/statoverride; sshd -T"
    )
    return listing.splitlines() + texts.splitlines()


def differences(before: list[str], after: list[str]) -> set[str]:
    return set(before) ^ set(after)


@contextmanager
def session(tree: PackagedTree) -> Iterator[subprocess.Popen[str]]:
    """Have a session open in the jail with a shell, which runs each line that it gets."""
    with tree.popen(
        f"""exec timeout 60 ssh {SSH} runs@localhost 'while read -r line; do eval "$line"; done'"""
    ) as client:
        try:
            assert ask(client, "echo ready") == "ready\n"
            yield client
        finally:
            # The end of its input ends it: killed, the client's own child would go on, and the session with it.
            assert client.stdin
            with suppress(BrokenPipeError):
                client.stdin.close()
            client.wait(70)


def ask(client: subprocess.Popen[str], line: str) -> str:
    """Run a line in the session, return the line that it says; "" if the session has ended."""
    assert client.stdin
    assert client.stdout
    try:
        client.stdin.write(f"{line}\n")
        client.stdin.flush()
    except BrokenPipeError:
        return ""
    return client.stdout.readline()


def works(tree: PackagedTree) -> None:
    """See that accounts in jails and others log in, each to its own."""
    assert tree.run(f"echo pwd | sftp -q -b - {SSH} {SHUT}@localhost").stdout.endswith(f"/home/{SHUT}\n")
    assert tree.run(f"ssh -n {SSH} {SHUT}@localhost id -un").returncode == 126
    assert tree.sh(f"ssh -n {SSH} runs@localhost id -un") == "runs\n"
    assert tree.sh(f"ssh -n {SSH} {OPEN}@localhost id -un") == f"{OPEN}\n"


def access(tree: PackagedTree) -> str:
    return tree.sh(f"stat -c '%a %U:%G' {LOGIN}").strip()


@pytest.fixture(scope="module")
def untouched(tree: PackagedTree) -> list[str]:
    """What was there before the first chapter."""
    return state(tree)


def test_installing_changes_nothing_for_any_login(tree: PackagedTree, untouched: list[str]) -> None:
    said = tree.install("before")
    assert "warning" not in said
    assert tree.sh("dpkg --audit; dpkg --verify jailssh") == ""
    new = {line.split()[0] for line in differences(untouched, state(tree)) if "jailssh" not in line}
    # The list of groups is another one, and directories that the package shares with others may be new.
    assert all("group" in line or line.startswith(("/usr/", "/etc/apparmor.d", "/etc/gshadow")) or len(line) == 64
               for line in new), new  # fmt: skip
    assert access(tree) == "4750 root:jailssh"
    assert tree.sh("getent group jailssh").strip().endswith(":")
    assert "jailssh" not in tree.sh("sshd -T; systemctl list-units --all --plain 'jailssh*'; cat /etc/pam.d/*")
    for name in (OPEN, SHUT):
        assert tree.sh(f"ssh -n {SSH} {name}@localhost id -un") == f"{name}\n"


def test_what_was_installed_is_found_by_its_readers(tree: PackagedTree) -> None:
    assert tree.sh("jailssh --version").split()[-1] == NOW
    assert "Permission denied" in tree.run(f"runuser -u {OPEN} -- {LOGIN}").stderr
    assert " jailssh: A login of " in tree.sh("journalctl --list-catalog")
    assert "Description=Builds jails" in tree.sh("systemctl cat jailsshd.service")
    profile = "/etc/apparmor.d/usr.libexec.jailssh.jailssh-login"
    # The parser alone: whether the kernel has AppArmor is another matter.
    tree.sh(f"apparmor_parser --skip-kernel-load --skip-cache -M /etc/apparmor.d/abi/3.0 {profile}")
    for path in ("bash-completion/completions/jailssh", "zsh/vendor-completions/_jailssh", "man/man8/jailssh.8.gz"):
        tree.sh(f"test -s /usr/share/{path}")


def test_set_up_and_accounts(tree: PackagedTree) -> None:
    write_jail(tree)
    tree.sh("jailssh setup --yes")
    assert access(tree) == "4750 root:jailssh"
    tree.sh("mkdir -p /srv/git")
    # What its logins of before have left outside of the jail, which the check would rightly tell: its user manager.
    tree.run(f"loginctl terminate-user {SHUT}")
    tree.wait(lambda: tree.run(f"pgrep -U {SHUT}").returncode == 1, "the end of what the account ran")
    tree.sh(f"jailssh adduser {SHUT} --jail {JAILS[SHUT]} --yes --now")
    for name, jail in JAILS.items():
        if name != SHUT:
            tree.sh(f"jailssh adduser {name} --jail {jail} --key /root/key.pub")
    tree.sh("jailssh apply")  # sshd forwards for those that may
    tree.sh(f"set -e; {REPOSITORY}")
    works(tree)


@pytest.mark.parametrize("login", LOGINS, ids=lambda login: str(login.name))
def test_login(tree: PackagedTree, login: Login) -> None:
    try_login(tree, login)


def test_a_host_in_order_has_no_finding_that_matters(tree: PackagedTree) -> None:
    facts = json.loads(tree.run("jailssh check --json").stdout)
    assert facts["unseen"] == []
    assert [each for each in facts["findings"] if each["severity"] == "high"] == []


def test_an_upgrade_disturbs_no_session(tree: PackagedTree) -> None:
    server = tree.sh("systemctl show -P MainPID ssh.service")
    tree.sh("systemctl start jailsshd.socket")
    with session(tree) as client:
        said = tree.install("now")
        assert "run jailssh setup" not in said, "the set-up is the same"
        assert ask(client, "id -un") == "runs\n"
        works(tree)
    assert tree.sh("dpkg-query -W -f '${Version}' jailssh") == NOW
    assert access(tree) == "4750 root:jailssh"
    assert tree.sh("systemctl show -P MainPID ssh.service") == server
    assert tree.sh("systemctl is-active jailsshd.socket") == "active\n"


def test_a_library_is_upgraded_with_a_session_open(tree: PackagedTree) -> None:
    path = tree.sh("ldd /bin/ls | sed -n 's/.*=> \\(.*pcre2.*\\) .*/\\1/p'").strip()
    digest = f"sha256sum {path} </dev/null | cut -c 1-64"
    with session(tree) as client:
        old = ask(client, digest)
        assert old == tree.sh(digest)
        tree.install(LIBRARY)
        # By the trigger, before the package manager ends; nothing had to be enabled.
        new = tree.sh(digest)
        assert new != old
        assert tree.sh(f"ssh -n {SSH} runs@localhost '{digest}'") == new
        assert ask(client, digest) == old, "a session keeps what it has"
        works(tree)


def test_kick_ends_a_session(tree: PackagedTree) -> None:
    with session(tree) as client:
        assert tree.sh("jailssh kick runs") == "runs: ended 1 session\n"
        assert client.wait(30) != 0


def test_after_a_reboot_everything_is_as_before(tree: PackagedTree) -> None:
    tree.reboot()
    tree.wait(lambda: tree.run("systemctl is-active ssh.service ssh.socket").stdout.find("active") >= 0, "sshd")
    works(tree)


def test_what_the_set_up_gave_the_program_outlives_an_upgrade(tree: PackagedTree) -> None:
    """Members of another group than jailssh have a jail, so the program is open to all; dpkg must not close it."""
    tree.sh("groupadd people; printf 'plugins = sftp\\ngroups = people\\n' >/etc/jailssh/jails/people.conf")
    tree.sh("jailssh setup --yes; jailssh apply")
    try:
        assert access(tree) == "4755 root:root"
        tree.install("now")
        assert access(tree) == "4755 root:root"
    finally:
        tree.sh("rm /etc/jailssh/jails/people.conf; jailssh setup --yes; jailssh apply; groupdel people")
    assert access(tree) == "4750 root:jailssh"


def test_it_is_not_removed_while_accounts_are_in_jails(tree: PackagedTree) -> None:
    done = tree.run("dpkg --remove jailssh 2>&1")
    assert done.returncode != 0
    assert "jailssh: not removed: accounts are in a jail: " in done.stdout
    assert SHUT in done.stdout
    assert "hint: jailssh deluser NAME" in done.stdout
    assert tree.sh("dpkg-query -W -f '${db:Status-Status}' jailssh") == "installed"
    works(tree)


def test_nor_while_there_are_sessions_or_systems(tree: PackagedTree) -> None:
    for folder, said in (("trees", "sessions on trees"), ("systems", "whole systems")):
        tree.sh(f"mkdir -p /var/lib/jailssh/{folder}/build /var/lib/jailssh/{folder}/lost+found")
        done = tree.run("dpkg --remove jailssh 2>&1")
        assert (done.returncode != 0, f"not removed: {said} are there: build \n" in done.stdout) == (True, True), done
        tree.sh(f"rmdir /var/lib/jailssh/{folder}/*")
    assert tree.sh("dpkg-query -W -f '${db:Status-Status}' jailssh") == "installed"


def test_removed_and_purged_nothing_of_it_stays(tree: PackagedTree, untouched: list[str]) -> None:
    for name in JAILS:
        tree.sh(f"jailssh deluser {name} --yes")
    tree.sh("dpkg --remove jailssh")
    # The relay's user, which has no file, goes with the purge.
    assert "jailssh" not in tree.sh("sshd -T; cat /etc/pam.d/*; getent passwd | grep -v ^jailssh-relay:")
    for name in (OPEN, SHUT):
        assert tree.sh(f"ssh -n {SSH} {name}@localhost id -un") == f"{name}\n"
    # What is there all the same is another installation's: it is left, and told.
    settings = "/etc/jailssh/systems/build.conf"
    tree.sh("mkdir -p /var/lib/jailssh/trees/build; touch /var/lib/jailssh/trees/build/written")
    tree.sh(f"mkdir -p /etc/jailssh/systems; echo memory = 1G >{settings}; touch /etc/jailssh/jailssh.conf")
    assert "sessions on trees or whole systems stay in /var/lib/jailssh" in tree.sh("dpkg --purge jailssh 2>&1")
    assert tree.sh("cd /var/lib/jailssh; find . -type f; rm -r /var/lib/jailssh") == "./trees/build/written\n"
    assert tree.sh("find /etc/jailssh -type f; rm -r /etc/jailssh") == f"{settings}\n"
    places = tree.sh(
        "cut -d ' ' -f 5 /proc/1/mountinfo; cat /var/lib/dpkg/statoverride; ls /run /etc /var/lib; dpkg -l"
    )
    assert "jailssh" not in places
    assert differences(untouched, state(tree)) == set()
