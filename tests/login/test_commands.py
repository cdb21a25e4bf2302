"""What clients really send, and what attackers would like to send, judged by the real matcher.

Each row: a jail of the table below, the command, and the expected decision: ``(rule, argv)`` or the reason of the
denial.  The plans are made of the shipped plugins' own rules; ``jailssh-match`` is the login program's matcher.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from jailssh.plan import codec, ops
from jailssh.plugin.api import Account, Jail, Plugin
from jailssh.policy.rules import check_rules, rule_records
from jailssh_plugins.git.plugin import plugin as git
from jailssh_plugins.rsync.plugin import plugin as rsync
from jailssh_plugins.scp.plugin import plugin as scp
from jailssh_plugins.sftp.plugin import plugin as sftp
from jailssh_plugins.shell.plugin import plugin as shell

ALICE = Account("alice", 1000, 1000, "alice", "/home/alice")
PROGRAMS = {
    "sftp-server": "/usr/lib/openssh/sftp-server",
    "scp": "/usr/bin/scp",
    "git": "/usr/bin/git",
    "rsync": "/usr/bin/rsync",
    "/bin/bash": "/usr/bin/bash",
}
JAILS: dict[str, list[tuple[Plugin, dict[str, str]]]] = {
    "all": [
        (sftp, {}),
        (scp, {}),
        (git, {"read": "/srv/pub", "write": "/srv/git"}),
        (rsync, {"read": "~", "write": "~"}),
    ],
    "sftp-ro": [(sftp, {"read_only": "yes", "umask": "027", "deny_requests": "copy-data", "start": "~/in"})],
    "scp": [(scp, {})],
    "scp-up": [(scp, {"download": "no"})],
    "scp-down": [(scp, {"upload": "no"})],
    "git": [(git, {"write": "/srv/git", "archive": "yes"})],
    "git-ro": [(git, {"read": "/srv/git"})],
    "backup": [(rsync, {"write": "~/backup"})],
    "pull": [(rsync, {"read": "/srv/data,~/pub"})],
    "append": [(rsync, {"write": "/srv/in", "delete": "no", "overwrite": "no"})],
    "shell": [(shell, {}), (sftp, {})],
}


def value(kind: str, text: str) -> bool | str | tuple[str, ...]:
    if kind == "bool":
        return text == "yes"
    return tuple(text.split(",")) * bool(text) if kind in ("paths", "words") else text


def plan_of(name: str) -> codec.Plan:
    jail = Jail(name, tuple(plugin.name for plugin, _ in JAILS[name]), PROGRAMS.get)
    rules = []
    for plugin, given in JAILS[name]:
        texts = {option.name: option.default for option in plugin.options} | given
        settings = {option.name: value(option.kind, texts[option.name]) for option in plugin.options}
        rules += plugin.account(jail, ALICE, settings).rules
    check_rules(rules)
    head = [
        ("jail", name),
        ("home", ALICE.home),
        ("message", "limited"),
        ("net", "none"),
        ("pty", "no"),
        ("image", "/var/lib/jailssh/images/x/1"),
        ("seccomp", "x", "0" * 16),
    ]
    records = [ops.Record(verb, tuple(args)) for verb, *args in head]
    records += [ops.Record(verb, tuple(args)) for rule in rules for verb, *args in rule_records(rule)]
    return codec.Plan(ALICE.uid, ALICE.gid, ALICE.name, "0" * 16, tuple(records))


@pytest.fixture(scope="module")
def decide(tmp_path_factory, match_build):
    folder = tmp_path_factory.mktemp("plans")
    for name in JAILS:
        (folder / name).write_bytes(codec.encode(plan_of(name)))

    def run(jail: str, command: str | bytes) -> tuple[str, list[str]] | str:
        done = subprocess.run(
            [match_build, folder / jail, command], capture_output=True, timeout=10, text=True, errors="surrogateescape"
        )
        head, *argv = done.stdout.split("\n")[:-1]
        word, *facts = head.split("\t")
        assert (done.returncode, word) in ((0, "allow"), (3, "deny")), done
        return (facts[0], argv) if word == "allow" else facts[0]

    return run


HOME = "/home/alice"
SFTP = ("sftp.server", ["sftp-server"])
SFTP_RO = ("sftp.server", ["sftp-server", "-R", "-u", "027", "-P", "copy-data", "-d", "/home/alice/in"])
NO_READ = "read,opendir,readdir,readlink,symlink,hardlink,copy-data,rename,posix-rename,remove,rmdir"


@pytest.mark.parametrize(
    ("jail", "command", "expected"),
    [
        # OpenSSH sshd with each distribution's Subsystem line; paramiko, FileZilla, Cyberduck, WinSCP, psftp, rclone
        # and restic all ask for the subsystem and so arrive with one of these.
        ("all", "internal-sftp", SFTP),
        ("all", "/usr/lib/openssh/sftp-server", SFTP),
        ("all", "/usr/libexec/openssh/sftp-server", SFTP),
        ("all", "/usr/libexec/sftp-server", SFTP),
        ("all", "/usr/lib/ssh/sftp-server", SFTP),
        ("all", "/usr/lib/sftp-server", SFTP),
        ("all", "sftp-server", SFTP),
        ("all", "/usr/lib/openssh/sftp-server -f AUTHPRIV -l INFO", SFTP),
        ("sftp-ro", "internal-sftp", SFTP_RO),
        # A32: the flags of the client count for nothing.
        ("sftp-ro", "internal-sftp -u 000 -d /", SFTP_RO),
        ("all", "/usr/lib/openssh/sftp-server -d / -e", SFTP),
        # C02
        ("all", "/bin/sh", "command-not-allowed"),
        ("all", "sftp-server; id", "shell-metacharacter"),
        # psftp falls back to a shell one-liner when the subsystem is missing.
        ("all", "test -x /usr/lib/sftp-server && exec /usr/lib/sftp-server", "shell-metacharacter"),
        # the scp plugin alone serves scp of OpenSSH 9 and later
        ("scp", "internal-sftp", ("scp.sftp", ["sftp-server"])),
        ("scp-down", "internal-sftp", ("scp.sftp", ["sftp-server", "-R"])),
        ("scp-up", "/usr/lib/openssh/sftp-server", ("scp.sftp", ["sftp-server", "-P", NO_READ])),
    ],
)
def test_sftp(decide, jail, command, expected):
    assert decide(jail, command) == expected


def sent(direction: str, *argv: str) -> tuple[str, list[str]]:
    return f"scp.{direction}", ["scp", *argv]


@pytest.mark.parametrize(
    ("jail", "command", "expected"),
    [
        # scp -O, scp before OpenSSH 9, dropbear, libssh2, WinSCP in SCP mode, pscp -scp
        ("all", "scp -t .", sent("upload", "-t", "--", ".")),
        ("all", "scp -t up2", sent("upload", "-t", "--", "up2")),
        ("all", "scp -r -p -t -- '-dash'", sent("upload", "-r", "-p", "-t", "--", HOME + "/-dash")),
        ("all", "scp -v -r -d -t dir/", sent("upload", "-v", "-r", "-d", "-t", "--", "dir/")),
        ("all", "scp -rpt 'a b'", sent("upload", "-rpt", "--", "a b")),
        ("all", "scp -q -t /tmp/x", sent("upload", "-q", "-t", "--", "/tmp/x")),
        ("all", "/usr/bin/scp -f ~/x", sent("download", "-f", "--", HOME + "/x")),
        ("all", "scp -f a b", sent("download", "-f", "--", "a", "b")),
        ("all", "scp -v -f a\\ b", sent("download", "-v", "-f", "--", "a b")),
        # Ansible's piped and scp transports
        ("all", "scp -t '/home/alice/.ansible/tmp/x'", sent("upload", "-t", "--", HOME + "/.ansible/tmp/x")),
        # B08
        ("all", "scp -f -- -oProxyCommand=id", sent("download", "-f", "--", HOME + "/-oProxyCommand=id")),
        ("scp-up", "scp -t .", sent("upload", "-t", "--", ".")),
        ("scp-up", "scp -f .", "option-not-allowed"),
        ("scp-down", "scp -f x", sent("download", "-f", "--", "x")),
        ("scp-down", "scp -t x", "option-not-allowed"),
        # A22: runs of blanks are one blank
        ("all", "  scp   -t  .  ", sent("upload", "-t", "--", ".")),
        # A02, A04, A28
        ("all", "scp -t . && sh", "shell-metacharacter"),
        ("all", "scp -t . || sh", "shell-metacharacter"),
        ("all", "scp -t . & sh", "shell-metacharacter"),
        ("all", "scp -t . | sh", "shell-metacharacter"),
        ("all", "scp -t .\nsh", "shell-metacharacter"),
        ("all", "scp -t .\rsh", "control-character"),
        ("all", "scp\t-t\t.", "control-character"),
        ("all", "scp\v-t .", "control-character"),
        ("all", "scp -t . # ; id", "shell-metacharacter"),
        ("all", "scp -t . <(id)", "shell-metacharacter"),
        ("all", "scp -t . > /tmp/x", "shell-metacharacter"),
        ("all", "scp -t $(id)", "shell-metacharacter"),
        ("all", "scp -t `id`", "shell-metacharacter"),
        ("all", 'scp -t "$HOME"', "shell-metacharacter"),
        # A10, A11, A13
        ("all", "/usr/bin/../bin/scp -t .", "command-not-allowed"),
        ("all", "//usr/bin/scp -t .", "command-not-allowed"),
        ("all", "./scp -t .", "command-not-allowed"),
        ("all", "/home/alice/scp -t .", "command-not-allowed"),
        ("all", "SCP -t .", "command-not-allowed"),
        ("all", "scp.exe -t .", "command-not-allowed"),
        ("all", "ｓcp -t .", "command-not-allowed"),
        ("all", "\u0455cp -t .", "command-not-allowed"),
        ("all", "scp\u200b -t .", "command-not-allowed"),
        ("all", "scp\u00a0-t .", "command-not-allowed"),
        ("all", "scp${IFS}-t${IFS}.", "shell-metacharacter"),
        ("all", "scp$IFS-t .", "shell-metacharacter"),
        ("all", "{scp,-t,.}", "command-not-allowed"),
        # A14
        ("all", "scp -f ~otheruser/x", "path-of-other-user"),
        ("all", "scp -f ~root/.ssh/id_rsa", "path-of-other-user"),
        ("all", "scp -f ~+/x", "path-of-other-user"),
        # A16
        ("all", "scp -f --", "operand-count"),
        ("all", "scp -- -t .", "option-missing"),
        # A19, A20, B01-B05
        ("all", "scp -tS/tmp/x .", "option-not-allowed"),
        ("all", "scp -tF/tmp/cfg .", "option-not-allowed"),
        ("all", "scp -to ProxyCommand=id .", "option-not-allowed"),
        ("all", "scp -S /tmp/evil -f x", "option-not-allowed"),
        ("all", 'scp -o ProxyCommand="sh -c id" -f x host:y', "option-not-allowed"),
        ("all", "scp -oProxyCommand=id a b:c", "option-not-allowed"),
        ("all", "scp -F cfg -t x", "option-not-allowed"),
        ("all", "scp -D /tmp/fake-sftp-server x y:", "option-not-allowed"),
        ("all", "scp -3 -t x", "option-not-allowed"),
        ("all", "scp -t --help x", "option-not-allowed"),
        ("all", "scp a b:c", "option-missing"),
        ("all", "scp -r a", "option-missing"),
        ("all", "scp -t -f x", "option-not-allowed"),
        ("all", "scp -t", "operand-count"),
        ("all", "scp -t a b", "operand-count"),
        ("all", "scp -t ''", "path-empty"),
        # A25
        ("all", "scp -f 'x", "unbalanced-quote"),
        ("all", 'scp -f "x', "unbalanced-quote"),
        ("all", "scp -f x\\", "unbalanced-quote"),
        # B07
        ("all", "scp -t /home/u/../../etc/cron.d/x", "path-dotdot"),
        ("all", "scp -f ..", "path-dotdot"),
        # globs: for downloads only
        ("scp-up", "scp -t *", "shell-metacharacter"),
        ("all", "scp -f '*'", sent("download", "-f", "--", "*")),
        # B13: WinSCP in SCP mode needs a shell
        ("all", 'echo "WinSCP: this is begin-of-file"; scp -t x', "shell-metacharacter"),
    ],
)
def test_scp(decide, jail, command, expected):
    assert decide(jail, command) == expected


def git_runs(service: str, path: str) -> tuple[str, list[str]]:
    return f"git.{service}", ["git", service, path]


@pytest.mark.parametrize(
    ("jail", "command", "expected"),
    [
        ("git", "git-upload-pack '/srv/git/a.git'", git_runs("upload-pack", "/srv/git/a.git")),
        ("git", "git upload-pack '/srv/git/a.git'", git_runs("upload-pack", "/srv/git/a.git")),
        ("git", "/usr/bin/git-upload-pack '/srv/git/a.git'", git_runs("upload-pack", "/srv/git/a.git")),
        ("git", "/usr/bin/git upload-pack /srv/git/a.git", git_runs("upload-pack", "/srv/git/a.git")),
        ("git", "/usr/lib/git-core/git-upload-pack '/srv/git/a.git'", git_runs("upload-pack", "/srv/git/a.git")),
        ("git", "git-upload-pack 'a.git'", git_runs("upload-pack", "/srv/git/a.git")),
        ("git", "git-upload-pack 'team/a b.git'", git_runs("upload-pack", "/srv/git/team/a b.git")),
        ("git", "git-receive-pack '/srv/git/a.git'", git_runs("receive-pack", "/srv/git/a.git")),
        ("git", "git receive-pack 'a.git'", git_runs("receive-pack", "/srv/git/a.git")),
        ("git", "git-upload-archive '/srv/git/a.git'", git_runs("upload-archive", "/srv/git/a.git")),
        ("all", "git-upload-pack '/srv/pub/a.git'", git_runs("upload-pack", "/srv/pub/a.git")),
        ("all", "git-receive-pack '/srv/git/a.git'", git_runs("receive-pack", "/srv/git/a.git")),
        ("all", "git-receive-pack '/srv/pub/a.git'", "path-outside"),
        ("git-ro", "git-receive-pack '/srv/git/a.git'", "command-not-allowed"),
        ("all", "git-upload-archive '/srv/git/a.git'", "command-not-allowed"),
        # E01, E02
        ("git", "git-upload-pack '--help'", "option-not-allowed"),
        ("git", "git upload-pack '--exec=sh'", "option-not-allowed"),
        ("git", "git-receive-pack '-x'", "option-not-allowed"),
        ("git", "git-receive-pack --help", "option-not-allowed"),
        ("git", "git-upload-archive '--output=/etc/x'", "option-not-allowed"),
        ("git", "git-upload-archive --remote=ext::sh /srv/git/a", "option-not-allowed"),
        ("git", "git-upload-pack -- /srv/git/a", "option-not-allowed"),
        ("git", "git -c core.x=y upload-pack /srv/git/a", "command-not-allowed"),
        ("git", "git --exec-path=/tmp upload-pack /srv/git/a", "command-not-allowed"),
        # E04, E05
        ("git", "git-upload-pack '../other.git'", "path-dotdot"),
        ("git", "git-upload-pack '/srv/git/a/../../etc'", "path-dotdot"),
        ("git", "git-upload-pack 'a.git/../b.git'", "path-dotdot"),
        ("git", "git-upload-pack '/srv/gitx/a.git'", "path-outside"),
        ("git", "git-upload-pack '/a.git'", "path-outside"),
        ("git", "git-upload-pack '/srv/git/a.git\n'", "control-character"),
        # A26
        ("git", "git-upload-pack 'a' 'b'", "operand-count"),
        ("git", "git-upload-pack '/repo'\\''s'", "path-outside"),
        ("git", "git-upload-pack", "operand-count"),
        # E19, E20 and other tools
        ("all", "unison -server", "command-not-allowed"),
        ("all", "cvs server", "command-not-allowed"),
        ("all", "rdist -P cmd", "command-not-allowed"),
        ("all", "svnserve -t", "command-not-allowed"),
        ("all", "hg -R repo serve --stdio", "command-not-allowed"),
        ("all", "borg serve --umask=077", "command-not-allowed"),
        ("all", "git-lfs-authenticate a.git download", "command-not-allowed"),
        ("all", "true", "command-not-allowed"),
        # Ansible's modules need a shell
        ("all", "/bin/sh -c 'echo ~alice && sleep 0'", "command-not-allowed"),
        # rclone looks for checksum programs
        ("all", "md5sum x", "command-not-allowed"),
        # A07, A08, A29
        ("all", "echo FREEDOM! && help () sh && help", "shell-metacharacter"),
        ("all", "cd () bash && cd", "shell-metacharacter"),
        ("all", "echo'/1.sh'", "command-not-allowed"),
        ("all", "", "empty-command"),
        ("all", " ", "empty-command"),
        # A23
        ("all", "scp -t " + "x" * 70000, "command-too-long"),
    ],
)
def test_git_and_others(decide, jail, command, expected):
    assert decide(jail, command) == expected


CAN = "e.iLsfxCIvu"


@pytest.mark.parametrize(
    ("jail", "command", "expected"),
    [
        ("all", "rsync --server . .", ("rsync.push", ["rsync", "--server", ".", "."])),
        (
            "all",
            "rsync --server --sender -e.LsfxC . .",
            ("rsync.pull", ["rsync", "--server", "--sender", "-e.LsfxC", ".", "."]),
        ),
        (
            "backup",
            f"rsync --server -vlogDtpr{CAN} . backup/",
            ("rsync.push", ["rsync", "--server", f"-vlogDtpr{CAN}", ".", "backup/"]),
        ),
        (
            "backup",
            f"/usr/bin/rsync --server -logDtpr{CAN} . ~/backup/a\\ b",
            ("rsync.push", ["rsync", "--server", f"-logDtpr{CAN}", ".", HOME + "/backup/a b"]),
        ),
        (
            "append",
            f"rsync --server -logDtpr{CAN} . new",
            ("rsync.push", ["rsync", "--server", f"-logDtpr{CAN}", "--ignore-existing", ".", "/srv/in/new"]),
        ),
        ("append", f"rsync --server -blogDtpr{CAN} . x", "option-not-allowed"),
        ("append", "rsync --server -e.L --partial-dir p . x", "option-not-allowed"),
        ("append", "rsync --server -e.L --append . x", "option-not-allowed"),
        # D19
        ("append", "rsync --server -e.L --delete . x", "option-not-allowed"),
        ("append", "rsync --server -e.L --delete-excluded . x", "option-not-allowed"),
        ("append", "rsync --server -e.L --max-delete=5 . x", "option-not-allowed"),
        ("append", "rsync --server -e.L --force . x", "option-not-allowed"),
        (
            "pull",
            f"rsync --server --sender -vlogDtpr{CAN} . /srv/data/a pub/b",
            ("rsync.pull", ["rsync", "--server", "--sender", f"-vlogDtpr{CAN}", ".", "/srv/data/a", "pub/b"]),
        ),
        ("pull", f"rsync --server -vlogDtpr{CAN} . /srv/data/a", "word-missing"),
        ("backup", f"rsync --server --sender -vlogDtpr{CAN} . backup/", "option-not-allowed"),
        ("backup", f"rsync --server -vlogDtpr{CAN} . .", "path-outside"),
        ("backup", f"rsync --server -vlogDtpr{CAN} . backup2", "path-outside"),
        ("backup", f"rsync --server -vlogDtpr{CAN} . backup/../x", "path-dotdot"),
        ("backup", f"rsync --server -vlogDtpr{CAN} . /etc", "path-outside"),
        # A01
        ("all", f"rsync --server --sender -vlogDtpr{CAN} . data; id", "shell-metacharacter"),
        # A16, A17, A20
        ("all", "rsync --server -- . x", "option-not-allowed"),
        ("all", "rsync --serv --send . x", "word-missing"),
        ("all", "rsync --server --rs=sh . x", "option-not-allowed"),
        ("all", "rsync --server --daem . x", "option-not-allowed"),
        ("all", "rsync --daemon", "word-missing"),
        ("all", "rsync --server --daemon .", "option-not-allowed"),
        ("all", "rsync --server --config=/tmp/x . x", "option-not-allowed"),
        ("all", "rsync --server --sender=1 . x", "option-not-allowed"),
        ("all", "rsync --server=1 . x", "word-missing"),
        ("all", "rsync --server --delete=1 . x", "value-not-allowed"),
        # D01, D02
        ("all", "rsync -e 'sh -c id' x: y", "word-missing"),
        ("all", "rsync --rsh=id x: y", "word-missing"),
        ("all", "rsync --server --rsh=id . x", "option-not-allowed"),
        ("all", "rsync --server '-esh -c id' . x", "value-not-allowed"),
        ("all", "rsync --server -e sh . x", "value-not-allowed"),
        ("all", "rsync --server -M--rsh=id . x", "option-not-allowed"),
        # D07, D08, D11, D14, D16
        ("all", "rsync --server -e.L --log-file=x . x", "option-not-allowed"),
        ("all", "rsync --server --sender -e.L --log-file=x . x", "option-not-allowed"),
        ("all", "rsync --server --sender -e.L --files-from=/etc/shadow . x", "value-not-allowed"),
        ("all", "rsync --server -e.L --files-from - . x", "option-not-allowed"),
        ("all", f"rsync --server --sender -lLogDtpr{CAN} . x", "option-not-allowed"),
        ("all", f"rsync --server -lKogDtpr{CAN} . x", "option-not-allowed"),
        ("all", f"rsync --server --sender -lkogDtpr{CAN} . x", "option-not-allowed"),
        ("all", "rsync --server -e.L --copy-unsafe-links . x", "option-not-allowed"),
        ("all", "rsync --server -e.L --inplace --write-devices . x", "option-not-allowed"),
        ("all", "rsync --server --sender -e.L --copy-devices . x", "option-not-allowed"),
        ("all", "rsync --server -e.L --no-munge-links . x", "option-not-allowed"),
        ("all", "rsync --server -e.L --debug=all . x", "option-not-allowed"),
        ("backup", "rsync --server -e.L --temp-dir /etc . backup", "path-outside"),
        ("backup", "rsync --server -e.L --backup-dir ../.. . backup", "path-dotdot"),
        ("backup", "rsync --server -e.L --partial-dir=/tmp . backup", "path-outside"),
        ("backup", "rsync --server -e.L --link-dest=/etc . backup", "path-outside"),
        ("backup", "rsync --server -e.L --copy-dest /etc . backup", "path-outside"),
        ("backup", "rsync --server -e.L --compare-dest /etc . backup", "path-outside"),
        ("all", "rsync --server -e.L --link-dest . backup", "word-missing"),
        ("all", "rsync --server -e.L --max-alloc=0 . x", "value-not-allowed"),
        ("all", "rsync --server -e.L --compress-threads=256 . x", "value-not-allowed"),
        ("all", "rsync --server -e.L --timeout=0 . x", "value-not-allowed"),
        ("all", "rsync --server -e.L --bwlimit=1e9 . x", "value-not-allowed"),
        ("all", "rsync --server -e.L --bwlimit= . x", "value-not-allowed"),
        # -s sends the arguments where no allow-list sees them
        ("all", f"rsync --server -slogDtpr{CAN}", "option-not-allowed"),
        ("all", f"rsync --server --sender -slogDtpr{CAN}", "option-not-allowed"),
        ("all", "rsync --server --secluded-args . x", "option-not-allowed"),
        ("all", "rsync --server --remove-source-files --sender . x", "option-not-allowed"),
        ("all", "rsync --server --sender --remove-source-files . x", "option-not-allowed"),
        ("all", "rsync --server --sender -e.L .", "operand-count"),
        ("all", "rsync --server -e.L . a b", "operand-count"),
        ("all", "rsync --server -e.L a", "word-missing"),
        ("all", "rsync", "word-missing"),
    ],
)
def test_rsync(decide, jail, command, expected):
    assert decide(jail, command) == expected


# What rsync 3.5.0 sends for the option in the comment, recorded with a program in place of ssh.
PUSHED = [
    "-e.LsfxCIvu",
    f"-lHogDtpAXr{CAN}",  # -aHAX
    f"-vvvlogDtpr{CAN}",
    "-ne.LsfxCIvu",
    f"-logDtprz{CAN}",
    f"-logDtpr{CAN} --delete",
    f"-logDtpr{CAN} --delete-before",
    f"-logDtpr{CAN} --delete-after",
    f"-logDtpr{CAN} --delete-delay",
    f"-logDtpr{CAN} --delete-during",
    f"-logDtpr{CAN} --delete-excluded",
    f"-logDtpr{CAN} --delete --force --ignore-errors",
    f"-logDtpr{CAN} --delete-missing-args",
    f"-logDtpr{CAN} --max-delete=5",
    f"-logDtpr{CAN} --max-delete=-1",  # --max-delete=0
    f"-blogDtpr{CAN}",
    f"-blogDtpr{CAN} --suffix=.bak",
    f"-logDtpr{CAN} --log-format=X --partial",  # -P
    f"-logDtpr{CAN} --log-format=%i",
    f"-logDtpr{CAN} --log-format=%i%I",
    f"-logDtpr{CAN} --inplace",
    f"-logDtpr{CAN} --append --append",  # --append-verify
    f"-logDtpr{CAN} --bwlimit=1536",
    f"-logDtpr{CAN} --min-size=1024 --max-size=1572864",
    f"-logDtpr{CAN} --iconv=ISO-8859-1",
    f"-logDtpr{CAN} --iconv=.",
    f"-logDtpr{CAN} --numeric-ids",
    f"-logDtpr{CAN} --timeout=60",
    f"-logDtpr{CAN} -B1024",
    f"-logDtpr{CAN} -@-1",
    f"-logDtpr{CAN} --modify-window=2",
    f"-logDtprR{CAN} --no-implied-dirs",
    f"-logDtprS{CAN}",
    f"-lWogDtpr{CAN}",
    f"-lyogDtpr{CAN}",
    f"-logDtprc{CAN} --checksum-choice=md5",
    f"-logDtpr{CAN} --compress-level=3 --compress-choice=zstd",
    f"-logDtpr{CAN} --new-compress",
    f"-ulogDtpr{CAN}",
    f"-logDtprI{CAN}",
    f"-logDtpr{CAN} --size-only",
    f"-logDtpr{CAN} --existing",
    f"-logDtpr{CAN} --ignore-existing",
    f"-logDtpr{CAN} --remove-source-files",
    f"-logDtpr{CAN} --info=STATS2",
    f"-logDtpr{CAN} --stats",
    f"-logDtpr{CAN} --super",
    f"-logDtpr{CAN} --fake-super",  # -M--fake-super
    f"-logDtprxx{CAN}",
    f"-logDtUpr{CAN}",
    f"-logDtpr{CAN} --open-noatime",
    f"-lOJogDtpr{CAN}",
    f"-logDtpr{CAN} --delay-updates",
    f"-logDtpr{CAN} --mkpath",
    f"-logDtpr{CAN} --preallocate",
    f"-logDtpr{CAN} --fsync",
    f"-logDtpr{CAN} --msgs2stderr",
    f"-logDtpr{CAN} --max-alloc=2G",
    f"-logDtpr{CAN} --checksum-seed=7",
    f"-logDtpr{CAN} --safe-links",
    f"-qlogDtpr{CAN}",
    "-lde.LsfxCIvu",
    f"-logDtprC{CAN}",
    f"-lmogDtpr{CAN}",
    f"-logDtpr{CAN} --list-only",
    f"-logDtpr{CAN} --no-specials",
    f"-logDtpr{CAN} --only-write-batch=X",
    f"-logtpr{CAN}",
    "-logDtpRe.LsfxCIvu",  # --files-from of the client's side
    f"-logDtpr{CAN} --partial-dir .rsync-partial",
    f"-blogDtpr{CAN} --backup-dir old --suffix=.bak",
    f"-logDtpr{CAN} --link-dest prev",
    "-vlogDtprze.iLsfxCIvu --delete-during --partial-dir=.rsync-partial --timeout=60",
]


@pytest.mark.parametrize("options", PUSHED)
def test_rsync_options_that_a_pushing_client_sends(decide, options):
    """Options go through unchanged; a relative directory is relative to the destination, as rsync(1) says."""
    command = f"rsync --server {options} . backup/x"
    argv = ["rsync", "--server", *options.split(), ".", "backup/x"]
    assert decide("backup", command) == ("rsync.push", argv)


@pytest.mark.parametrize(
    ("option", "word", "executed"),
    [
        ("--usermap=\\*:root", "--usermap=*:root", []),
        ("--temp-dir ~/backup/tmp", "--temp-dir", [HOME + "/backup/tmp"]),
        ("--link-dest /home/alice/backup/1", "--link-dest", [HOME + "/backup/1"]),
        ("--partial-dir=/home/alice/backup/p", "--partial-dir=/home/alice/backup/p", []),
    ],
)
def test_rsync_values(decide, option, word, executed):
    argv = ["rsync", "--server", "-e.L", word, *executed, ".", "backup/x"]
    assert decide("backup", f"rsync --server -e.L {option} . backup/x") == ("rsync.push", argv)


PULLED = [
    "-e.LsfxCIvu",
    f"-lHogDtpAXr{CAN}",
    f"-logDtprz{CAN} --skip-compress=gz/jpg",
    "-logDtpre.LsfxCIvu",  # --delete-before, --delay-updates, -m
    f"-blogDtpr{CAN} --backup-dir old --suffix=.bak",
    f"-logDtpr{CAN} --append --append",
    f"-logDtpr{CAN} --inplace",
    f"-logDtpr{CAN} --bwlimit=1536",
    f"-logDtpr{CAN} --numeric-ids",
    f"-logDtpr{CAN} --timeout=60",
    f"-logDtpr{CAN} --ignore-errors",
    f"-logDtpr{CAN} --ignore-missing-args",
    f"-logDtpr{CAN} --delete-missing-args",
    f"-logDtpr{CAN} --list-only",
    f"-logDtpr{CAN} --checksum-seed=7",
    f"-logDtpr{CAN} --safe-links",
    f"-logDtpr{CAN} --info=STATS2",
    f"-logDtprR{CAN} --no-implied-dirs",
    "-logDtpRe.LsfxCIvu --files-from=- --from0",
    "-logDtpe.LsfxCIvu --files-from=- --from0 --no-relative",
]


@pytest.mark.parametrize("options", PULLED)
def test_rsync_options_that_a_pulling_client_sends(decide, options):
    argv = ["rsync", "--server", "--sender", *options.split(), ".", "/srv/data/x"]
    assert decide("pull", f"rsync --server --sender {options} . /srv/data/x") == ("rsync.pull", argv)


@pytest.mark.parametrize("command", ["ls -l | wc", "echo $HOME; id", "a 'b", "*", "'*' x", "true", ""])
def test_a_shell_gets_the_command_unsplit(decide, command):
    assert decide("shell", command) == ("shell.command", ["bash", "-c", command])


def test_other_rules_come_before_the_shell(decide):
    assert decide("shell", "internal-sftp") == SFTP
    assert decide("shell", "internal-sftp; id") == ("shell.command", ["bash", "-c", "internal-sftp; id"])
