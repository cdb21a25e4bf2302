"""What clients really send, and what attackers would like to send, with what the matcher has to say to it.

Each row: a jail of ``jails.py``, the command, and the expected decision: ``(rule, argv)`` or the reason of the denial.
"""

from __future__ import annotations

HOME = "/home/alice"


LOGGED = ["sftp-server", "-e", "-l", "INFO"]


SFTP = ("sftp.server", LOGGED)


SFTP_RO = ("sftp.server", [*LOGGED, "-R", "-u", "027", "-P", "copy-data", "-d", "/home/alice/in"])


NO_READ = "read,opendir,readdir,readlink,symlink,hardlink,copy-data,rename,posix-rename,remove,rmdir"


SFTP_ROWS = [
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
    ("scp", "internal-sftp", ("scp.sftp", LOGGED)),
    ("scp-down", "internal-sftp", ("scp.sftp", [*LOGGED, "-R"])),
    ("scp-up", "/usr/lib/openssh/sftp-server", ("scp.sftp", [*LOGGED, "-P", NO_READ])),
]


def sent(direction: str, *argv: str) -> tuple[str, list[str]]:
    return f"scp.{direction}", ["scp", *argv]


SCP_ROWS = [
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
    ("scp", 'echo "WinSCP: this is begin-of-file"; scp -t x', "not-served"),
    ("scp", 'echo "WinSCP: this is begin-of-file"', "not-served"),
    ("scp", 'echo "WinSCP: this is end-of-file"; id', "shell-metacharacter"),
]


def git_runs(service: str, path: str) -> tuple[str, list[str]]:
    return f"git.{service}", ["git", service, path]


OTHER_ROWS = [
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
    ("git-ro", "git-receive-pack '/srv/git/a.git'", "not-served"),
    ("all", "git-upload-archive '/srv/git/a.git'", "not-served"),
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
    ("all", "git-lfs-authenticate a.git download", "not-served"),
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
]
