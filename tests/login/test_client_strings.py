"""More of what real clients send, for the plugins that serve one program, and what attackers make of it.

Rows as in ``test_commands.py``.  What was recorded from a program is said beside it; the rest is from its source.
"""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.needs("login-program")

HOME = "/home/alice"
PYTHON = ["/usr/bin/python3", "-I", "-m", "borg"]
HELD = ["--restrict-to-repository", f"{HOME}/borg", "--append-only"]
BORG = ("borg.serve", [*PYTHON, "serve", *HELD])
SVN = ("svn.serve", ["svnserve", "-t", "--root", "/srv/svn", "--tunnel-user", "alice"])
RESTIC = (
    "restic.serve",
    ["rclone", "serve", "restic", "--stdio", "--config=/dev/null", "--append-only", f"{HOME}/restic"],
)


def borg(*options: str) -> tuple[str, list[str]]:
    return "borg.serve", [*PYTHON, "serve", *options, *HELD]


@pytest.mark.parametrize(
    ("jail", "command", "expected"),
    [
        # borg 1.2.4, recorded: plain, --debug, --info, -p; 1.0 and 1.1 with a umask; borgmatic's --remote-path
        ("borg", "borg serve", BORG),
        ("borg", "borg serve --debug", borg("--debug")),
        ("borg", "borg serve --info", borg("--info")),
        ("borg", "borg serve --umask=077", borg("--umask=077")),
        ("borg", "borg serve --umask=077 --debug", borg("--umask=077", "--debug")),
        ("borg", "borg serve --info --debug-topic=borg.debug.repository", borg(
            "--info", "--debug-topic=borg.debug.repository")),
        ("borg", "borg serve --storage-quota=5G", borg("--storage-quota=5G")),
        ("borg", "/usr/bin/borg serve", BORG),
        ("borg", "/usr/local/bin/borg serve", BORG),
        ("borg", "borg1 serve --critical", borg("--critical")),
        ("borg", "borg --version", ("borg.version", [*PYTHON, "--version"])),
        ("borg", "borg serve --restrict-to-path /", "option-not-allowed"),
        ("borg", "borg serve --restrict-to-repository=/srv", "option-not-allowed"),
        ("borg", "borg serve --restrict-to-p /", "option-not-allowed"),
        ("borg", "borg serve --rsh=id", "option-not-allowed"),
        ("borg", "borg serve --debug-profile=/home/alice/.ssh/rc", "option-not-allowed"),
        ("borg", "borg serve --umask=7777", "value-not-allowed"),
        ("borg", "borg serve x", "operand-count"),
        ("borg", "borg extract ::x", "word-missing"),
        ("borg", "borg", "word-missing"),
        ("borg", "borg --version serve", "operand-count"),
        ("borg", "BORG_REPO=x borg serve", "command-not-allowed"),
        ("borg", "sh -c 'borg serve'", "command-not-allowed"),
        # restic with -o rclone.program="ssh host rclone", recorded; and as rclone's manual has it
        ("restic", "rclone serve restic --stdio --b2-hard-delete backup", RESTIC),
        ("restic", "forced-command serve restic --stdio --b2-hard-delete x", RESTIC),
        ("restic", "rclone serve restic --stdio --config /tmp/x --rc :0 /", RESTIC),
        ("restic", "rclone serve restic --addr :80", "word-missing"),
        ("restic", "rclone cat /etc/passwd", "word-missing"),
        ("restic", "rclone serve restic --stdio; id", "shell-metacharacter"),
        # svn 1.14, recorded
        ("svn", "svnserve -t", SVN),
        ("svn", "/usr/bin/svnserve -t", SVN),
        ("svn", "svnserve -t -r /", "option-not-allowed"),
        ("svn", "svnserve -t --tunnel-user=root", "option-not-allowed"),
        ("svn", "svnserve -d", "option-not-allowed"),
        ("svn", "svnserve", "option-missing"),
        ("svn", "svnserve -t --config-file=/tmp/x", "option-not-allowed"),
        ("svn", "svnlook cat r x", "command-not-allowed"),
        # hg 6.3, recorded
        ("hg", "hg -R y serve --stdio", ("hg.serve.3", ["hg", "-R", "y", "serve", "--stdio"])),
        ("hg", "hg -R /srv/hg/x serve --stdio", ("hg.serve.1", ["hg", "-R", "/srv/hg/x", "serve", "--stdio"])),
        ("hg", "hg -R '/home/alice/y' serve --stdio", ("hg.serve.2", ["hg", "-R", f"{HOME}/y", "serve", "--stdio"])),
        ("hg", "hg -R z serve --stdio", "word-missing"),
        ("hg", "hg -R --debugger serve --stdio", "word-missing"),
        ("hg", "hg -R --config=alias.serve=!id serve --stdio", "word-missing"),
        ("hg", "hg -R y serve --stdio --config=ui.x=1", "option-not-allowed"),
        ("hg", "hg -R y serve --stdio --debugger", "option-not-allowed"),
        ("hg", "hg -R y/../z serve --stdio", "word-missing"),
        ("hg", "hg init z", "word-missing"),
        ("hg", "hg --config ui.ssh=id -R y serve --stdio", "word-missing"),
        # cvs 1.12, recorded
        ("cvs", "cvs server", ("cvs.server", ["cvs", "-f", "server"])),
        ("cvs", "cvs -d /etc server", "word-missing"),
        ("cvs", "cvs server -x", "option-not-allowed"),
        ("cvs", "cvs pserver", "word-missing"),
        ("cvs", "cvs -e id commit", "word-missing"),
    ],
)  # fmt: skip
def test_programs_of_their_own(decide: Any, jail: Any, command: Any, expected: Any) -> None:
    assert decide(jail, command) == expected


def runs(number: int, name: str, *argv: str) -> tuple[str, list[str]]:
    return f"command.{number}.{name}", [name, *argv]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        # A31: rsbackup, rrsync's probe
        ("true", runs(1, "true")),
        ("/usr/bin/true", runs(1, "true")),
        ("true x", "operand-count"),
        ("id", runs(2, "id")),
        ("id -un alice", runs(2, "id", "-un", "alice")),
        ("id -- x", runs(2, "id", "x")),
        ("id --user", "option-not-allowed"),
        ("id; id", "shell-metacharacter"),
        ("report --days 7", runs(3, "report", "--days", "7")),
        ("report --days 0", "value-not-allowed"),
        ("report --days 366", "value-not-allowed"),
        ("report --days=7", "word-missing"),
        ("report --days", "operand-count"),
        ("report --days 7 8", "operand-count"),
        ("report --days -7", "option-not-allowed"),
        ("report daily a b", runs(4, "report", "daily", "a", "b")),
        ("report daily -vn 3 --all a", runs(4, "report", "daily", "-vn", "3", "--all", "a")),
        ("report daily -n9 a", runs(4, "report", "daily", "-n9", "a")),
        ("report daily -n10 a", "value-not-allowed"),
        ("report daily --al a", "option-not-allowed"),
        ("report daily 'a b'", "value-not-allowed"),
        ("report daily", "operand-count"),
        ("report", "word-missing"),
        ("unpack in/a", runs(5, "unpack", "in/a")),
        ("unpack --as x ~/in/a /srv/in/b", runs(5, "unpack", "--as", "x", f"{HOME}/in/a", "/srv/in/b")),
        ("unpack in/../x", "path-dotdot"),
        ("unpack /srv/inn/x", "path-outside"),
        ("unpack a b c", "path-outside"),
        ("unpack in/a in/b in/c", "operand-count"),
        ("unpack in/*", "shell-metacharacter"),
        ("./report --days 7", "command-not-allowed"),
        ("/bin/id", "command-not-allowed"),
    ],
)  # fmt: skip
def test_the_administrator_s_own_commands(decide: Any, command: Any, expected: Any) -> None:
    assert decide("command", command) == expected


DROP = "open,close,write,lstat,fstat,stat,realpath,statvfs,fstatvfs,fsync,limits,expand-path,home-directory"
DROP_BOX = ["sftp-server", "-e", "-l", "INFO", "-u", "222", "-p", f"{DROP},users-groups-by-id"]


@pytest.mark.parametrize(
    ("jail", "command", "expected"),
    [
        ("sftp-drop", "internal-sftp", ("sftp.server", DROP_BOX)),
        # sftp -s: the client's own subsystem
        ("sftp-drop", "/usr/lib/openssh/sftp-server -p read", ("sftp.server", DROP_BOX)),
        # PuTTY: pscp -scp, psftp, plink; the first word as they send it
        ("all", "scp -r -p -d -t /home/alice/in", ("scp.upload", ["scp", "-r", "-p", "-d", "-t", "--", f"{HOME}/in"])),
        ("all", "scp -v -f '/home/alice/a b'", ("scp.download", ["scp", "-v", "-f", "--", f"{HOME}/a b"])),
        # WinSCP asks what shell there is before its SCP mode, Cyberduck and mc before others
        ("all", "unset LANG ; export LANG", "shell-metacharacter"),
        ("all", "unset LS_COLORS", "command-not-allowed"),
        ("all", "uname -s", "command-not-allowed"),
        # Ansible: its raw and copy modules over ssh
        ("all", "/bin/sh -c '( umask 77 && mkdir -p \"` echo ~/.ansible/tmp `\" )'", "command-not-allowed"),
        ("all", "dd of=/home/alice/x bs=65536", "command-not-allowed"),
        # rclone and restic over sftp; rclone's hash probes
        ("all", "sha1sum '/home/alice/x'", "command-not-allowed"),
        ("all", "df -k .", "command-not-allowed"),
        # sshfs, libssh2, JSch ask for the subsystem; an old sshfs with -o sftp_server
        ("all", "/usr/libexec/openssh/sftp-server", ("sftp.server", ["sftp-server", "-e", "-l", "INFO"])),
        # A13, A14, A16, A25 on the other plugins
        ("all", "rsync --server --sender -e.L . ~root/x", "path-of-other-user"),
        ("all", "rsync${IFS}--server . x", "shell-metacharacter"),
        ("all", "git-upload-pack ~bob/x.git", "path-of-other-user"),
        ("all", "git-upload-pack '~bob/x.git'",
         ("git.upload-pack", ["git", "upload-pack", "/srv/pub/~bob/x.git"])),
        ("all", "git-upload-pack '/srv/git/a", "unbalanced-quote"),
        ("all", "rsync --server . \"x", "unbalanced-quote"),
        # E04, E05: one name for one repository, and nothing behind it
        ("git", "git-upload-pack '/srv/git/a.git/'", ("git.upload-pack", ["git", "upload-pack", "/srv/git/a.git"])),
        ("git", "git-upload-pack '/srv//git/./a.git'", ("git.upload-pack", ["git", "upload-pack", "/srv/git/a.git"])),
        ("git", "git-upload-pack ''", "path-empty"),
        ("git", "git-upload-pack '/srv/git/a.git' --strict", "option-not-allowed"),
        ("git", "git-upload-pack --strict '/srv/git/a.git'", "option-not-allowed"),
        ("git", "git-upload-pack --stateless-rpc '/srv/git/a.git'", "option-not-allowed"),
        ("git", "git-receive-pack --reject-thin-pack-for-testing /srv/git/a.git", "option-not-allowed"),
        ("git", "git-shell -c x", "command-not-allowed"),
        ("git", "git daemon --base-path=/", "command-not-allowed"),
        ("git", "git-lfs-transfer /srv/git/a.git upload", "not-served"),
        # D04, D17: settings travel as options only where they are harmless to others
        ("all", "RSYNC_RSH=id rsync --server . x", "command-not-allowed"),
        ("all", "env RSYNC_PROXY=x rsync --server . x", "command-not-allowed"),
        ("all", "rsync --server -e.L --groupmap=\\*:root . x",
         ("rsync.push", ["rsync", "--server", "-e.L", "--groupmap=*:root", ".", "x"])),
        # J04, J11: what would forge a log line is refused, what a format would take for its own is a name
        ("all", "scp -t x\n Aug 1 host sshd: Accepted", "shell-metacharacter"),
        ("all", "scp -t 'x\x1b]0;y\x07'", "control-character"),
        ("all", "scp -t %n%s", ("scp.upload", ["scp", "-t", "--", "%n%s"])),
        # A23: a mebibyte
        ("all", "scp -t " + "x" * 100_000, "command-too-long"),
        ("all", "scp -f " + "x " * 2000, "too-many-words"),
    ],
)  # fmt: skip
def test_transfers(decide: Any, jail: Any, command: Any, expected: Any) -> None:
    assert decide(jail, command) == expected
