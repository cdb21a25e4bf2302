"""Logins of every protocol to the accounts of :mod:`tests.system.people`: served or denied, and what shows."""

from __future__ import annotations

from dataclasses import dataclass

from tests.system.booted import BootedTree
from tests.system.people import OPEN, PORTS, SHUT, SSH

_GIT = f"GIT_SSH_COMMAND='ssh {SSH}' git"
_DENIED = "jailssh: command not allowed; this account allows: "


@dataclass(frozen=True)
class Login:
    """What a client does as AS, and what of it must be seen: its output if it is served, else the refusal."""

    name: str
    account: str
    script: str
    served: bool
    shows: str


LOGINS = (
    Login("command", "runs", f"ssh -n {SSH} AS@localhost id -un", True, "runs"),
    Login("command denied", SHUT, f"ssh -n {SSH} AS@localhost id -un", False, _DENIED),
    Login("shell", "runs", f"echo 'echo $HOME; exit 3' | ssh {SSH} AS@localhost; test $? = 3", True, "/home/runs"),
    Login("shell denied", SHUT, f"ssh {SSH} AS@localhost </dev/null", False, "this account allows: sftp"),
    Login("sftp", SHUT, f"echo put /root/up sent | sftp -q -b - {SSH} AS@localhost", True, "sftp> put"),
    Login("sftp denied", "code", f"echo pwd | sftp -q -b - {SSH} AS@localhost", False, _DENIED),
    Login("scp", "copies", f"scp -q {SSH} /root/up AS@localhost:sent && cat ~AS/sent", True, "from the client"),
    Login("scp -O", "copies", f"scp -q -O {SSH} AS@localhost:sent /root/down && cat /root/down", True,
          "from the client"),
    Login("scp denied", "code", f"scp -q -O {SSH} /root/up AS@localhost:sent", False, _DENIED),
    Login("rsync", "backs", f"rsync -e 'ssh {SSH}' /root/up AS@localhost:backup/ && cat ~AS/backup/up", True,
          "from the client"),
    Login("rsync denied", SHUT, f"rsync -e 'ssh {SSH}' /root/up AS@localhost:sent", False, _DENIED),
    Login("git", "code", f"{_GIT} clone -q AS@localhost:/srv/git/x.git /root/x && {_GIT} -C /root/x push -q origin "
          "main:other && git -C /root/x ls-remote AT | cut -f 2", True, "refs/heads/other"),
    Login("git denied", SHUT, f"{_GIT} clone -q AS@localhost:/srv/git/x.git /root/x", False, _DENIED),
)  # fmt: skip


def try_login(tree: BootedTree, login: Login) -> None:
    """Do it, and see that it ends as it must."""
    tree.sh("echo from the client >/root/up; rm -rf /root/x; git config --global safe.directory '*'")
    script = login.script.replace("AT", "/srv/git/x.git").replace("AS", login.account)
    done = tree.run(script)
    said = done.stdout + done.stderr
    assert (done.returncode == 0) == login.served, said
    assert login.shows in said


_SERVER = "python3 -m http.server --bind 127.0.0.1 8000"


def said_at(tree: BootedTree, account: str, port: int) -> str:
    """Return what answers at a port of loopback, of whose it is by a login of the account."""
    ask = "printf 'GET / HTTP/1.0\\r\\n\\r\\n'; sleep 0.5"
    return tree.run(f"({ask}) | ssh {SSH} -W 127.0.0.1:{port} {account}@localhost").stdout


def try_both_networks(tree: BootedTree) -> None:
    """See that ports of the account's own network are reached, and none of the host's, as another's are."""
    assert "SSH-2.0" in said_at(tree, OPEN, 22)
    assert said_at(tree, PORTS, 22) == ""
    with tree.popen(f"exec ssh -n {SSH} {PORTS}@localhost {_SERVER}") as server:
        try:
            tree.wait(lambda: "200 OK" in said_at(tree, PORTS, 8000), "the server in the jail", 20)
            assert said_at(tree, OPEN, 8000) == ""
        finally:
            server.terminate()
    tree.sh(f"jailssh kick {PORTS}")
