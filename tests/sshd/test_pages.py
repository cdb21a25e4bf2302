"""What pages show is done: every block of settings is a jail that works, every command line runs, on a host of its own.

The blocks are taken from the pages themselves.  ``READY`` makes what they name; ``ELSEWHERE`` has those that are run by
another test, or cannot be here, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.harness.source import REPO
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "git", "journald", "login-program", "borg", "svn", "hg", "cvs")

MARKDOWN = [REPO / "README.md", *sorted((REPO / "plugins").glob("*/README.md")), REPO / "plugins/README.md"]
MANUAL = sorted((REPO / "packaging/man").rglob("*"))
# How a block begins -> why it is not run here.
ELSEWHERE = {
    "apt-get install make": "tests/system/test_install.py in a tree; the demo is tests/sshd/test_demo.py",
    "make deb": "tests/system/test_package.py installs the package; setup and adduser are what made this host",
    "jailssh-archive 1": "jailssh-archive(5): tests/unit/carrying reads it",
    "diff <(ssh one": "two hosts: tests/sshd/test_carrying.py has them",
    "fleet.conf  ": "a tree: tests/root/fleet has one, and tests/unit/fleet",
    "hosts = web1 web2 db1": "fleet.conf: tests/unit/fleet reads it",
    "ann@example.org namespaces": "signers: tests/root/fleet has such a file",
    'command = "curl': "pull.conf: tests/root/fleet has one",
    "jailssh apply --older": "tests/root/fleet goes back to an older bundle",
    "jailssh bundle --sign": "a description and a key: tests/root/fleet",
    "echo 'ann@example.org": "a host of a fleet: tests/root/fleet pulls on one; its timer is in tests/unit/packaging",
    "make deb\npodman": "no podman here: tests/lint/test_container.py holds the files of the image together",
    "ansible all": "other hosts; the command in it is that of jailssh-keys(8)",
    "jailssh lock --no-new-logins --message 'this host": "as in jailssh-lock(8) and jailssh-kick(8)",
    "sed -n '/^=== file": "it shows a part of a file that other lines have made: tests/unit/carrying reads such parts",
    "systemd-sysusers": "a scratch host has no systemd: tests/system/test_logs_booted.py",
    "jailssh setup\njailssh import": "a fresh host: tests/sshd/test_carrying.py has one",
    "# /etc/jailssh/jailssh.conf\nmail_inside": "main file: tests/root/services/test_deliver.py has it in force",
    "# /etc/jailssh/jails/mail.conf": "no procmail here: tests/system/test_mail_booted.py has such a jail",
    "postconf -e 'local_command_shell": "no mail server here: tests/system/test_mail_booted.py",
    "# /etc/systemd/system/postfix.service.d": "a scratch host has no systemd: tests/system/test_mail_booted.py",
    "address_pipe:": "no mail server here: tests/system/test_mail_booted.py",
    "curl --unix-socket": "a scratch host has no systemd: tests/unit/packaging reads the units",
    "# /etc/jailssh/jailssh.conf\npam_inside": "main file: tests/system/test_pam_booted.py has it in force",
    "restic -o rclone": "plugins/restic/test_restic.py, where restic is packaged with its rclone",
    "# /etc/systemd/system/ssh.service.d": "a scratch host has no systemd: tests/system has, and no such load",
    "plugins = restic": "plugins/restic/test_restic.py, where rclone is",
    "third_party_plugins = darcs": "plugins/test_writing.py installs that plugin",
    "plugins = darcs": "plugins/test_writing.py installs that plugin",
    "# pyproject.toml": "plugins/test_writing.py builds it",
    "# jailssh_darcs.py": "plugins/test_writing.py installs it",
    "/bin/bash ": "jailspec: tests/lint/test_manual.py reads it as a spec",
    "# web.jailspec": "jailspec: tests/lint/test_manual.py reads it as a spec",
    "report --days": "tests/login/test_man_rules.py asks the matcher",
    "read website @all": "tests/login/test_man_rules.py asks the matcher",
    "[JSH-216 account backup]": "suppressions.conf: tests/root/checks/test_check.py has one in force",
    "ssh alice@host.example.org jail-keys": "tests/sshd/test_self_service.py asks so",
    "$ ssh git@host info": "tests/sshd/test_git_commands.py asks so",
    "#!/bin/sh\n# /usr/local/bin/git-mirror": "tests/sshd/test_git_commands.py runs it, as it is printed",
    "journalctl JAILSSH_EVENT=self-service": "what tests/sshd/test_self_service.py makes, taken back",
    "17 3 * * *": "a line of crontab(5); the command in it is that of the unit: tests/system/test_checks_booted.py",
    "# bastille create web": "a Debian to fetch: tests/root/systems makes one of a tar",
    "# lxc-create -n web": "a Debian to fetch: tests/root/systems makes one of a tar",
    "install -d -m 751 /srv/git": "tests/sshd/test_git_hosting.py has directories made so",
    "(umask 077; openssl": "a scratch host has no systemd: tests/sshd/test_after_push.py has the service",
    "systemctl enable": "a scratch host has no systemd: tests/system/test_logins_booted.py",
    "jailssh audit log -D": "journals of other hosts: tests/root/audit/test_log.py has two",
    "for host in gate1 gate2": "other hosts: tests/unit/audit/test_fleet.py has what they print",
    "# /etc/jailssh/jails/site.conf": "tests/sshd/test_directories.py has it in force, as it is printed",
    "install -d -m 755 /srv/sftp/alice": "homes of root's: tests/sshd/test_directories.py makes such",
    "groupadd web": "the people of that jail: tests/sshd/test_directories.py makes them",
    "uid = 1005": "sections for keys: tests/sshd/test_by_key.py has such in force",
    "builder# jailssh image push": "two hosts: tests/root/upkeep/test_carried.py has them",
    "AuthorizedKeysCommand": "lines of sshd_config: tests/sshd/test_keys.py has them in force",
    "* * * * *": "a line of cron's: tests/sshd/test_fetched.py runs the command",
    "# /etc/rsyslog.d/": "two hosts: tests/root/audit/test_log.py has rsyslog write the same lines to a file",
    "# /etc/systemd/system/systemd-journal-upload.service.d/": "a drop-in of a unit that is not here",
    "jailssh setup\njailssh adduser alice": "the same lines as README's",
}
# Where a part of a jail file or a main file is shown: what stands before it.
# Programs that no host has -> what stands for them.
PROGRAMS = {"/opt/tool/bin/tool": "/usr/bin/env", "/usr/local/bin/report": "/usr/bin/uname", '"unpack ': '"env '}
BEFORE = {
    "[git]\nroots": "plugins = git\n",
    "[git]\nhooks": "plugins = git\n",
    "[rsync]": "plugins = rsync\n",
    "[directories]": "plugins = sftp\n",
    "shared_directories": "plugins = sftp\n",
}
READY = """
set -e
umask 022
mkdir -p /srv/pub /srv/git /srv/team /srv/cvs/CVSROOT /srv/hg/docs /srv/hg/tool /srv/hg/site /srv/svn /srv/www \\
    /srv/git/public /srv/git/private /srv/git/releases.git /etc/jailssh/rights /etc/jailssh/hooks
printf 'read ** @all\\n' >/etc/jailssh/rights/git
for hook in pre-receive post-receive deploy announce; do printf '#!/bin/sh\\n' >/etc/jailssh/hooks/$hook; done
chmod 755 /etc/jailssh/hooks/*
jailssh build basicshell /srv/tree >/dev/null
jailssh cp /srv/tree /usr/bin/id >/dev/null
mkdir -p /srv/tree/proc /srv/tree/dev /srv/tree/tmp /srv/tree/mnt /var/lib/jailssh/trees
mountpoint -q /var/lib/jailssh/trees || mount -t tmpfs trees /var/lib/jailssh/trees
printf 'tmpfs /mnt tmpfs size=1m\\n' >/etc/tree.fstab
for group in developers writers releases; do getent group $group >/dev/null || groupadd $group; done
"""

CLEAR = """
umount /var/lib/jailssh/trees
rm -rf /srv/tree /srv/chroot /etc/tree.fstab /srv/git/public /srv/git/private /srv/git/releases.git /srv/git/team
chown -R git-only: /srv/git
"""


@dataclass(frozen=True)
class Block:
    """A block of a page, as it is shown."""

    page: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text.splitlines()[0][:50]}"


def blocks() -> list[Block]:
    found = []
    for path in MARKDOWN:
        for text in re.findall(r"^```\w*\n(.*?)^```$", path.read_text(), re.DOTALL | re.MULTILINE):
            found.append(Block(path.relative_to(REPO).as_posix(), text))
    for path in MANUAL:
        if path.suffix in (".in", ".mdoc"):
            for text in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", path.read_text(), re.DOTALL | re.MULTILINE):
                found.append(Block(path.name, text.replace("\\-", "-").replace("\\e", "\\")))
    return found


ALL = blocks()
HERE = [block for block in ALL if not block.text.startswith(tuple(ELSEWHERE))]
SETTINGS = [block for block in HERE if re.search(r"^(\[?[a-z_]+\]? *=|\[[a-z]+\])", block.text, re.MULTILINE)]
RIGHTS = [block for block in HERE if re.search(r"^(read|create) +\S+ +\S+( +\S+)?$", block.text, re.MULTILINE)]
RIGHTS = [block for block in RIGHTS if block not in SETTINGS and "<<" not in block.text]
COMMANDS = [block for block in HERE if block not in SETTINGS and block not in RIGHTS]


def test_nothing_is_set_aside_in_vain() -> None:
    unused = {begin for begin in (*ELSEWHERE, *BEFORE) if not any(block.text.startswith(begin) for block in ALL)}
    assert unused == set()
    assert len(SETTINGS) > 20 and len(RIGHTS) >= 2 and len(COMMANDS) >= 5


@pytest.fixture(scope="module")
def ready(world: World) -> Iterator[World]:
    world.host.run(["sh", "-c", READY], check=True)
    world.adduser("alice", "sftp-only")
    yield world
    # Others' tests have repositories there.
    for name in ("alice", "git"):
        world.jailssh("deluser", name, "--yes", check=False)
    world.host.run(["sh", "-c", CLEAR], check=True)


def checked(world: World, path: str, text: str) -> None:
    """Put a file of settings on the host; fail unless it is without fault, and take it away."""
    kept = world.host.run(["cat", path]).stdout
    world.host.write(path, text)
    try:
        done = world.jailssh("config", "check", check=False)
        # Other tests' jails have faults of their own.
        assert done.code in (0, 1), done
        assert [line for line in done.stderr.splitlines() if line.startswith(f"jailssh: {path}")] == [], text
    finally:
        world.host.write(path, kept) if kept else world.host.run(["rm", path], check=True)


@pytest.mark.parametrize("block", SETTINGS, ids=str)
def test_settings_are_without_fault(ready: World, block: Block) -> None:
    text = block.text
    uid = ready.host.run(["id", "-u", "sftp-only"], check=True).stdout.strip()
    if text.startswith("[git]\nhooks"):
        text += "write = /srv/git\n"
    for program, instead in PROGRAMS.items():
        text = text.replace(program, instead)
    if "/etc/jailssh/users/" in text:
        text = text.replace("uid = 1001", f"uid = {uid}").replace("jail = sftp-only, rsync-backup", "jail = sftp-only")
        checked(ready, "/etc/jailssh/users/sftp-only.conf", text)
    elif re.search(r"^(\[bandwidth\]|require_journal)", text, re.MULTILINE) and "plugins" not in text:
        checked(ready, "/etc/jailssh/jailssh.conf", text)
    elif text.startswith("[groups]"):
        checked(ready, "/etc/jailssh/users/sftp-only.conf", f"uid = {uid}\njail = sftp-only\n{text}")
    else:
        before = next((known for begin, known in BEFORE.items() if text.startswith(begin)), "")
        checked(
            ready, "/etc/jailssh/jails/shown.conf", before + re.sub(r"^(files|packages) = .*\n", "", text, flags=re.M)
        )


@pytest.mark.parametrize("block", RIGHTS, ids=str)
def test_tables_of_rights_are_without_fault(ready: World, block: Block) -> None:
    ready.host.write("/etc/jailssh/rights/shown", block.text)
    checked(
        ready,
        "/etc/jailssh/jails/shown.conf",
        "plugins = git\n[git]\nroots = /srv/git\nrights = /etc/jailssh/rights/shown\n",
    )


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_commands_do_what_is_said(ready: World, block: Block) -> None:
    host = ready.host
    host.run(
        ["sh", "-c", f"mkdir -p /root/shown && cp {ready.client.public_key_file} /root/shown/alice.pub"], check=True
    )
    host.run(["sh", "-c", "ssh-keygen -q -t ed25519 -N '' -f /root/shown/bob </dev/null; true"])
    denied = host.run(["journalctl", "-o", "cat", "--output-fields=JAILSSH_SESSION", "JAILSSH_EVENT=denied"]).stdout
    text = block.text.replace("3f9a1c07", (denied.split() or ["3f9a1c07"])[0][:8])
    for line in text.splitlines():
        command = re.sub(r"^\s*# (?=jailssh )|\s{2,}#.*$", "", line).strip()
        if re.match(r"(\$ |alice\$|bob\$|jailssh: )", command) or not command:
            continue  # what a client does, and is told: tests/sshd/test_ways_in.py, test_git_hosting.py
        if command == "jailssh setup --undo":
            continue  # tests/root/users/test_setup.py: this host is needed
        if command.startswith("systemctl "):
            continue  # a scratch host has no systemd: tests/system has
        command = command.replace("deluser alice", "deluser alice --yes")  # nobody is there to be asked
        shell = f"cd /root/shown; {command}"
        if "<<" not in text:
            done = host.run(["sh", "-c", shell])
            assert done.code in ((0, 1, 3) if "explain" in command or "journalctl" in command else (0,)), (
                command,
                done,
            )
    if "<<" in text:
        done = host.run(["sh", "-ec", f"cd /root/shown; {text}"])
        assert done.code == 0, done
