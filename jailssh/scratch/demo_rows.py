"""The rows of ``jailssh demo``: what a client types, and what must come of it.

Accounts have the name of their jail.  Every command is run by a shell of the client's account, as it is shown.
"""

from __future__ import annotations

from dataclasses import dataclass

LIMITED = "this account allows: "


@dataclass(frozen=True)
class Row:
    """``command`` must end with ``code`` (None: any but 0) and print ``says``.

    Then ``proof``, a shell command of root, must succeed; ``shows`` says in words what it proves.
    """

    command: str
    code: int | None = 0
    says: str = ""
    shows: str = ""
    proof: str = "true"

    @property
    def expected(self) -> str:
        """Return what is expected, in words."""
        ends = "fails" if self.code is None else f"exit {self.code}"
        return "; ".join(filter(None, (ends, self.says, self.shows)))


def _same(left: str, right: str) -> str:
    return f"cmp {left} {right}"


_CLIENT = "/home/client"
_UP = f"{_CLIENT}/up.txt"

TRANSFERS = (
    Row("echo put up.txt | sftp -q -b- sftp-only@host", shows="uploaded", proof=_same(_UP, "/home/sftp-only/up.txt")),
    Row("sftp -q sftp-only@host:up.txt a.txt", shows="downloaded", proof=_same(_UP, f"{_CLIENT}/a.txt")),
    Row("sftp -q sftp-ro@host:report.txt", shows="downloaded", proof=f"test -s {_CLIENT}/report.txt"),
    Row(
        "echo put up.txt | sftp -q -b- sftp-ro@host",
        1,
        "Permission denied",
        "no file",
        "! test -e /home/sftp-ro/up.txt",
    ),
    Row("scp up.txt scp-sftp@host:", shows="uploaded", proof=_same(_UP, "/home/scp-sftp/up.txt")),
    Row("scp scp-sftp@host:up.txt b.txt", shows="downloaded", proof=_same(_UP, f"{_CLIENT}/b.txt")),
    Row("scp -O up.txt scp-sftp@host:old.txt", shows="uploaded", proof=_same(_UP, "/home/scp-sftp/old.txt")),
    Row("scp -O 'scp-sftp@host:o*.txt' c.txt", shows="downloaded", proof=_same(_UP, f"{_CLIENT}/c.txt")),
    Row(
        "rsync -a up.txt rsync-backup@host:backup/",
        shows="uploaded",
        proof=_same(_UP, "/home/rsync-backup/backup/up.txt"),
    ),
    Row("rsync -a rsync-pull@host:report.txt d.txt", shows="downloaded", proof=f"test -s {_CLIENT}/d.txt"),
    Row("git clone -q git-only@host:x.git", shows="cloned", proof=f"test -s {_CLIENT}/x/README"),
    Row(
        "cd x && git commit -q --allow-empty -m two && git push -q",
        shows="pushed, no hook run",
        proof="git --git-dir=/srv/git/x.git log --oneline | grep -q two && ! test -e /srv/git/hook-ran",
    ),
    Row("git clone -q git-two@host:/srv/pub/y.git", shows="cloned", proof=f"test -s {_CLIENT}/y/README"),
)

SHELLS = (
    Row("ssh shell@host id -un", says="shell"),
    Row("ssh shell@host 'echo I see $(ls /home).; exit 7'", 7, "I see shell.", "one home alone"),
    Row(
        "echo 'tty; exit 3' | ssh -tt shell@host",
        3,
        "/dev/pts/0",
        "not the terminal of sshd",
        # Another login has /dev/pts/0 of the host, so sshd's is this one.
        "grep -q ' on pts/1 for shell ' /run/sshd.log",
    ),
    Row("ssh -tt sftp-only@host", 126, "this account allows: sftp"),
    Row("ssh -T git-only@host", 126, "this account allows: git"),
    Row("ssh sftp-only@host id", 126, f"{LIMITED}sftp"),
    Row("ssh rsync-pull@host 'true; id'", 126, f"{LIMITED}rsync"),
)

ATTACKS = (
    Row(
        "ssh scp-sftp@host 'scp -S /home/scp-sftp/evil -f x'",
        126,
        f"{LIMITED}scp, sftp",
        "nothing ran",
        "! test -e /tmp/evil-ran",
    ),
    Row("ssh git-only@host \"git-upload-pack '--help'\"", 126, f"{LIMITED}git"),
    Row(
        "git clone -q git-only@host:/srv/secret/z.git",
        128,
        "repository not found",
        "not cloned",
        f"! test -e {_CLIENT}/z",
    ),
    Row(
        "cd y && git commit -q --allow-empty -m two && git push -q",
        128,
        "repository not found or access denied",
        "not pushed",
        "! git --git-dir=/srv/pub/y.git log --oneline | grep two",
    ),
    # rsync's own code depends on what it sees first: the end of ssh or the end of the stream.
    Row("rsync -a up.txt rsync-backup@host:/etc/", None, f"{LIMITED}rsync", "no file", "! test -e /etc/up.txt"),
    Row(
        "ssh rsync-pull@host 'rsync -e /home/rsync-pull/evil x: y'",
        126,
        f"{LIMITED}rsync",
        "nothing ran",
        "! test -e /tmp/evil-ran",
    ),
    Row("echo get /etc/machine-id | sftp -q -b- -s builtin sftp-only@host", 1, "not found", "still in the jail"),
    Row("ssh -W 127.0.0.1:22 sftp-only@host", 255, "forwarding failed"),
    Row("ssh -N -o ExitOnForwardFailure=yes -R 8022:127.0.0.1:22 shell@host", 255, "remote port forwarding failed"),
    Row(
        "echo put key.pub .ssh/authorized_keys | sftp -q -b- sftp-only@host",
        1,
        ".ssh/authorized_keys",
        "no key was planted",
        "grep -qx '# own' /home/sftp-only/.ssh/authorized_keys",
    ),
    Row(
        "ssh shell@host 'cat key.pub >>.ssh/authorized_keys'",
        1,
        "Read-only file system",
        "no key was planted",
        "! test -e /home/shell/.ssh/authorized_keys",
    ),
    Row(
        "ssh sftp-only@host internal-sftp </dev/null",
        shows="neither ~/.ssh/rc nor ~/.bashrc ran",
        proof="! ls /home/sftp-only/*-ran /tmp/*-ran 2>/dev/null",
    ),
)

_CI = "GIT_SSH_COMMAND='ssh -i ~/ci'"

# One account for many people, told apart by their keys: "key" is alice's, a developer, "ci" may only read.
SHARED = (
    Row(
        "cd x && git push -q git-team@host:new.git main",
        shows="made by alice's first push",
        proof="git --git-dir=/srv/team/new.git log --oneline main | grep -q two",
    ),
    Row(f"{_CI} git clone -q git-team@host:new.git n", shows="cloned by ci", proof=f"test -s {_CLIENT}/n/README"),
    Row(
        f"cd n && git commit -q --allow-empty -m three && {_CI} git push -q",
        128,
        "pushing is not allowed for this key",
        "not pushed",
        "! git --git-dir=/srv/team/new.git log --oneline | grep three",
    ),
    Row("ssh git-team@host 'git-lfs-authenticate new.git upload'", 126, "Git LFS is not available here"),
)

LIMITS = (
    Row("ssh expired@host internal-sftp", 126, "account expired; last valid day: 2020-12-31"),
    Row("ssh elsewhere@host internal-sftp", 126, "login not allowed from this address"),
)

BY_GROUP = (
    Row(
        "echo put up.txt | sftp -q -b- by-group@host",
        shows="jail made at the first login",
        proof=_same(_UP, "/home/by-group/up.txt"),
    ),
    Row("ssh by-group@host id", 126, f"{LIMITED}sftp"),
)

ROWS = (*TRANSFERS, *SHELLS, *ATTACKS, *SHARED, *LIMITS, *BY_GROUP)
