"""Known attacks on what may be run, as command lines, and what must become of each.

The letters of an id are the families: A the grammar of a command line, B scp, C sftp, D rsync, E git and other
servers, G what sshd offers around the login, J terminals and the log, M identity and names.  An id names one attack;
it has as many rows as there are ways to write it.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
SHELL, CONTROL, COMMAND = "shell-metacharacter", "control-character", "command-not-allowed"
OPTION, VALUE, WORD, COUNT = "option-not-allowed", "value-not-allowed", "word-missing", "operand-count"
OUTSIDE, DOTDOT, QUOTE, TILDE = "path-outside", "path-dotdot", "unbalanced-quote", "path-of-other-user"
CAN = "e.iLsfxCIvu"

PRESENT = (
    *("sh", "bash", "dash", "id", "env", "cat", "ls", "tee", "dd", "head", "tail", "echo", "nohup", "login", "su"),
    *("passwd", "git-shell", "git-upload-archive", "tar", "sed", "perl"),
)
JAILS = {
    # Besides what its plugins need it holds the programs that rows name: only the rules keep them from running.
    "armed": "plugins = sftp scp git rsync command\nshared_directories = yes\n"
    '[command]\ncommands = "head -n <int:1:9>"\n'
    f"files = {', '.join(f'/usr/bin/{name}' for name in PRESENT)}\n"
    "[git]\nread = /srv/pub\nwrite = /srv/git\n[rsync]\nread = ~\nwrite = ~\n",
    "careful": "plugins = sftp rsync\n"
    "[sftp]\nread_only = yes\numask = 027\ndeny_requests = copy-data\n"
    "[rsync]\nwrite = /srv/in\ndelete = no\noverwrite = no\nprobe = yes\n",
    "strict": "plugins = sftp\n[sftp]\ndeny_requests = copy-data users-groups-by-id hardlink symlink\n",
    "asked": 'plugins = command\n[command]\ncommands = "true", "head -n <int:1:9>"\n',
}
"""Jails of an administrator's own, beside the shipped profiles: name and text of the file."""

PROFILES = ("sftp-only", "sftp-ro", "scp-sftp", "git-only", "rsync-backup", "rsync-pull", "shell")
LIMITED_TO = {
    "armed": "head, git, rsync, scp, sftp",
    "careful": "rsync, sftp",
    "strict": "sftp",
    "asked": "true, head",
    "sftp-only": "sftp",
    "sftp-ro": "sftp",
    "scp-sftp": "scp, sftp",
    "git-only": "git",
    "rsync-backup": "rsync",
    "rsync-pull": "rsync",
    "shell": "sftp, shell",
}
"""What the line for a denied user says, by jail."""


@dataclass(frozen=True)
class Row:
    """One command line: who sends it, and the reason of its denial or, where ``rule`` is set, what runs.

    ``exit`` is the status of a command that runs, which finds nobody to speak to; an empty ``program`` runs nothing.
    ``line`` is what a denied user is told where a rule has its own answer.
    """

    id: str
    jail: str
    command: bytes
    reason: str = ""
    rule: str = ""
    program: str = ""
    exit: int = 0
    line: str = ""


def deny(id: str, reason: str, *commands: str | bytes, jail: str = "armed", line: str = "") -> list[Row]:
    """Return a row for each way to write an attack that is denied."""
    return [Row(id, jail, _bytes(command), reason, line=line) for command in commands]


def allow(id: str, rule: str, program: str, *commands: str, jail: str = "armed", exit: int = 0) -> list[Row]:
    """Return a row for each way to write what only looks like an attack and must work."""
    return [Row(id, jail, _bytes(command), "", rule, program, exit) for command in commands]


def _bytes(command: str | bytes) -> bytes:
    return command if isinstance(command, bytes) else command.encode()


SFTP_SERVER, SCP, GIT, RSYNC = "/usr/lib/openssh/sftp-server", "/usr/bin/scp", "/usr/bin/git", "/usr/bin/rsync"
WINSCP = "WinSCP's SCP mode needs a shell; set File protocol to SFTP"
EOF_IN_PROTOCOL = 12  # rsync(1), EXIT VALUES: nobody speaks to it here

GRAMMAR: list[Row] = [
    *deny("A01", SHELL, f"rsync --server --sender -vlogDtpr{CAN} . data; id", f"rsync --server -{CAN} . data;id",
           ";id", "; scp -t .", "scp -t .;", "git-upload-pack 'x.git';id", "internal-sftp;id"),
    *deny("A01", COUNT, f"rsync --server -{CAN} . data id", "scp -t . id", "scp -f"),
    *deny("A02", SHELL, "scp -t . && sh", "scp -t . || sh", "scp -t . & sh", "scp -t . | sh", "scp -t .&&sh",
           "scp -t . |& sh", "scp -t .&", "internal-sftp | sh", "internal-sftp & sh", "|sh", "&& sh"),
    *deny("A03", SHELL, "scp -t .\nsh", "\nsh", "internal-sftp\nsh", "git-upload-pack x.git\nsh", "scp -t .\n\n"),
    *deny("A04", CONTROL, "scp -t .\rsh", "scp\t-t\t.", "scp\v-t .", "scp\f-t .", "scp -t .\r", "\tscp -t .",
           "scp -t '.\r'", 'scp -t ".\t"', "scp -t .\\\r", "scp -t \x01", "scp -t .\x7f", "internal-sftp\r"),
    *deny("A04", SHELL, "scp -t .\nsh\r"),
    *deny("A04", COMMAND, b"scp\xa0-t\xa0.", "scp\u0085-t .", "scp\u2028-t .", "scp\u3000-t ."),
    *deny("A06", SHELL, "scp -t `id`", "scp -t $(id)", 'scp -t "$(id)"', 'scp -t "`id`"', "scp -t $((1))",
           "`id`", "$(id)", "scp -t ${HOME}", "scp -t $'x'", "git-upload-pack $(id)"),
    *deny("A07", SHELL, "echo FREEDOM! && help () sh && help", "cd () bash && cd", "echo () bash && echo",
           "scp () { sh; }", "scp() sh", "() { :; }; id", "function scp { sh; }; scp"),
    *deny("A08", COMMAND, "echo'/1.sh'", "'echo/1.sh'", "s'c'p/x -t .", "scp'/x' -t .", "'scp -t .'", "'' scp -t .",
           "\"scp\"x -t .", "scp\\  -t .", "ec\\ho x", "'/bin/sh' -c id"),
    *deny("A09", COMMAND, "PATH=/tmp scp -t .", "env scp -t .", "exec scp -t .", "command scp -t .", "! scp -t .",
           "nohup scp -t .", "sudo scp -t .", "sh -c 'scp -t .'", "busybox scp -t .", ". ./x", "eval scp -t .",
           "/lib64/ld-linux-x86-64.so.2 /usr/bin/scp -t .", "LD_PRELOAD=/home/armed/x.so scp -t ."),
    *deny("A10", COMMAND, "/usr/bin/../bin/scp -t .", "//usr/bin/scp -t .", "./scp -t .", "/home/armed/scp -t .",
           "/usr//bin/scp -t .", "/usr/./bin/scp -t .", "/usr/bin/scp/ -t .", "../../usr/bin/scp -t .",
           "/bin/scp/../scp -t .", "usr/bin/scp -t .", "~/scp -t .", "/tmp/scp -t .", "/proc/self/exe -t ."),
    *deny("A11", COMMAND, "SCP -t .", "scp.exe -t .", "\uff53cp -t .", "\u0455cp -t .", "scp\u200b -t .",
           "scp\u00a0-t .", "Scp -t .", "scp. -t .", "s\u0441p -t .", "scp\u00ad -t .", "\ufeffscp -t .",
           b"scp\xff -t .", b"\xc0\xb3cp -t .", "INTERNAL-SFTP", "git-upload-Pack x.git"),
    *deny("A12", COMMAND, "/usr/bin/sc? -t .", "/usr/bin/[s]cp -t .", "s* -t .", "* -t .", "?cp -t ."),
    *deny("A12", SHELL, "git-upload-pack *.git", f"rsync --server -{CAN} . *", "git-receive-pack x.gi?"),
    *deny("A12", OPTION, "scp -t *", "scp -t [a]"),
    *deny("A13", SHELL, "scp${IFS}-t${IFS}.", "scp$IFS-t .", "scp$IFS$9-t .", "$0", "$SHELL", "scp -t .$@"),
    *deny("A13", COMMAND, "{scp,-t,.}", "{sh,-c,id}", "scp{,} -t ."),
    *deny("A14", TILDE, "scp -f ~root/.ssh/id_rsa", "scp -f ~otheruser/x", "scp -f ~+/x", "scp -f ~-/x", "scp -t ~0",
           "rsync --server --sender -e.L . ~root/x", "git-upload-pack ~bob/x.git", "scp -f ~armed/x"),
    *deny("A14", COMMAND, "~root/x", "~+/x"),
    *deny("A16", COUNT, "scp -f --", "scp -t --"),
    *deny("A16", "option-missing", "scp -- -t .", "scp -- -f x"),
    *deny("A16", OPTION, "rsync --server -- . x", "git-upload-pack -- x.git", "rsync --server --sender -- . x"),
    *deny("A16", COMMAND, "-- scp -t .", "--"),
    *deny("A17", WORD, "rsync --serv --send . x", "rsync --daem", "rsync --serve . x", "rsync -server . x"),
    *deny("A17", OPTION, "rsync --server --rs=sh . x", "rsync --server --daem . x", "rsync --server --conf=/tmp/x . x",
           "rsync --server --sende . x", "rsync --server --delet . x", "rsync --server -daemon . x",
           "rsync --server --no-conf . x"),
    *deny("A19", OPTION, "scp -tS/tmp/x .", "scp -tF/tmp/cfg .", "scp -to ProxyCommand=id .", "scp -tJhost .",
           "scp -rpS sh -t .", "scp -t3 .", "scp -tD/tmp/x .", "scp -tX nrequests=1 ."),
    *deny("A20", OPTION, "rsync --server --sender=1 . x", "scp -t=1 ."),
    *deny("A20", WORD, "rsync --server=1 . x", "rsync --server= . x"),
    *deny("A20", VALUE, "rsync --server --delete=1 . x", "rsync --server --recursive= . x"),
    *allow("A22", "scp.upload", SCP, "  scp   -t  .  ", " scp -t . ", "scp    -t ."),
    *deny("A22", "empty-command", "     "),
    *deny("A22", COMMAND, "'' -t .", '""', "'' ''"),
    *deny("A23", "command-too-long", "scp -t " + "x" * (64 * KIB), "x" * (100 * KIB), "scp " + "-r " * 30_000),
    *deny("A23", "command-too-long", "'" + "a" * (100 * KIB)),
    *deny("A23", "path-too-long", "scp -t " + "x" * 60_000),
    *deny("A24", "too-many-words", "scp -f " + "x " * 2000, "rsync --server --sender -e.L . " + "x " * 5000),
    *deny("A25", QUOTE, "scp -f 'x", 'scp -f "x', "scp -f x\\", "'", '"', "\\", "scp -f 'x\"", "scp -f \"x'",
           "internal-sftp '"),
    *deny("A26", COUNT, "git-upload-pack '/srv/git/x.git' '/srv/git/x.git'", "git-upload-pack",
          "git-receive-pack '/srv/git/x.git' '/srv/git/x.git'"),
    *deny("A26", OUTSIDE, "git-upload-pack '/repo'\\''s'"),
    *deny("A28", SHELL, "scp -t . # ; id", "scp -t . <(id)", "scp -t . > /tmp/x", "scp -t . #",
          "scp -t . < /etc/passwd",
           "scp -t . 2>&1", "scp -t . >>x", "scp -t . <<EOF", "#", "scp -t . >|x", "scp -t =(id)"),
    *deny("A29", "empty-command", "", " "),
    *deny("A30", COMMAND, "/usr/local/libexec/jailssh/jailssh-login -c id", "jailssh-login", "jailssh-run", "login",
           "/usr/local/bin/jailssh plan", "-c id", "-", "-bash", "su -", "passwd"),
    *deny("A31", COMMAND, "true", "trues", "/bin/true x"),
    *allow("A31", "command.1.true", "/usr/bin/true", "true", "/usr/bin/true", jail="asked"),
    *allow("A31", "rsync.probe", "", "true", "'true'", jail="careful"),
    *deny("A31", COUNT, "true x", jail="asked"),
    *deny("A31", COUNT, "true x", jail="careful"),
    *deny("A31", OPTION, "true -x", "true --help", jail="careful"),
    *deny("A31", COMMAND, "/bin/true", "/usr/bin/true", "true.sh", jail="careful"),
    *deny("A31", SHELL, "true; id", "true && id", "true\n", jail="asked"),
    *deny("A31", SHELL, "true; id", "true && id", "true\n", jail="careful"),
    *allow("A32", "sftp.server", SFTP_SERVER, "internal-sftp", "internal-sftp -R", "/usr/lib/openssh/sftp-server -d /",
            "internal-sftp -u 000 -e", "sftp-server -p read"),
    *allow("A32", "sftp.server", SFTP_SERVER, "internal-sftp", "internal-sftp -u 000 -d /", jail="sftp-ro"),
    *deny("A32", COMMAND, "internal-sftp-x", "/home/armed/sftp-server", "sftp-server.sh"),
]  # fmt: skip

SCP_ROWS: list[Row] = [
    *deny("B01", OPTION, "scp -S /tmp/evil -f x", "scp -f -S /home/armed/evil x", "scp -S/home/armed/evil -t ."),
    *deny("B02", OPTION, 'scp -o ProxyCommand="sh -c id" -f x host:y', "scp -F cfg -t x", "scp -i key -t x",
           "scp -J host -t x", "scp -c aes -t x", "scp -P 22 -t x", "scp -l 10 -t x", "scp -X buffer=1 -t x"),
    *deny("B04", OPTION, "scp -oProxyCommand=id a b:c", "scp -3 a:b c:d"),
    *deny("B04", "option-missing", "scp a b:c", "scp -r a b", "scp -v a", "scp"),
    *deny("B04", OPTION, "scp -t -f x", "scp -tf x"),
    *deny("B05", OPTION, "scp -D /tmp/fake-sftp-server x y:", "scp -M sftp x y:", "scp -s x y:", "scp -O x y:",
           "scp -t -D /home/armed/evil ."),
    *deny("B07", DOTDOT, "scp -t /home/u/../../etc/cron.d/x", "scp -f ..", "scp -f ../x", "scp -t a/..",
           "scp -r -t ./../etc"),
    *allow("B07", "scp.upload", SCP, "scp -t -r /"),
    *allow("B08", "scp.download", SCP, "scp -f -- -oProxyCommand=id", "scp -f x -t", exit=1),
    *deny("B11", CONTROL, "scp -t '\x1b]0;x\x07'", "scp -t \x1b[2J", "scp -f '\x9b2J\x1b'"),
    *deny("B13", "not-served", 'echo "WinSCP: this is begin-of-file"; scp -t x; echo "WinSCP: this is end-of-file:$?"',
          line=WINSCP),
    *deny("B13", SHELL,
           'unalias -a; unset LANG ; echo "WinSCP: this is end-of-file:0"', "ls -la ; echo WinSCP"),
]  # fmt: skip

SFTP_ROWS: list[Row] = [
    *deny("C02", COMMAND, "/bin/sh", "/bin/sh -c internal-sftp", "bash", "sftp host", "ssh host", jail="sftp-only"),
    *deny("C02", SHELL, "sftp-server; id", "internal-sftp; id",
           "test -x /usr/lib/sftp-server && exec /usr/lib/sftp-server",
           "exec /usr/lib/sftp-server\nexec sftp-server", jail="sftp-only"),
    *deny("C03", COMMAND, "scp -t .", "rsync --server . x", "git-upload-pack x.git", jail="sftp-only"),
]  # fmt: skip

FIRST = (*GRAMMAR, *SCP_ROWS, *SFTP_ROWS)
