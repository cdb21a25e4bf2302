"""Every shipped profile by every way in: what is allowed works, everything else is denied, all of it is on record."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from jailssh.core import journal_fields as fields
from jailssh.scratch.host import Finished
from tests.harness.client import SshClient
from tests.harness.said import denial_of
from tests.sshd.world import PROFILES, World, pick

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "scp", "rsync", "git", "journald", "login-program")

SFTP_SERVER = "/usr/lib/openssh/sftp-server"
Way = Callable[[SshClient, str], Finished]

WAYS: dict[str, Way] = {
    "login": lambda client, user: client.ssh(user, input="exit 3\n"),
    "terminal": lambda client, user: client.ssh(user, tty=True, input="exit 3\n"),
    "command": lambda client, user: client.ssh(user, "id -un"),
    "command with a terminal": lambda client, user: client.ssh(user, "id -un", tty=True),
    "sftp get": lambda client, user: client.sftp(user, "get data.txt got.txt\n"),
    "sftp put": lambda client, user: client.sftp(user, "put up.txt sftp.txt\n"),
    "sftp by path": lambda client, user: client.sftp(user, "get data.txt got.txt\n", options=("-s", SFTP_SERVER)),
    "internal-sftp": lambda client, user: client.ssh(user, "internal-sftp"),
    "scp up": lambda client, user: client.scp(["up.txt", f"{user}@host:scp.txt"]),
    "scp down": lambda client, user: client.scp([f"{user}@host:data.txt", "got.txt"]),
    "scp -O up": lambda client, user: client.scp(["-O", "up.txt", f"{user}@host:scp-o.txt"]),
    "scp -O down": lambda client, user: client.scp(["-O", f"{user}@host:data.txt", "got.txt"]),
    "git fetch": lambda client, user: client.git(["ls-remote", f"{user}@host:/srv/git/x.git"]),
    "git push": lambda client, user: client.git(["-C", "seed", "push", f"{user}@host:/srv/git/x.git", f"main:{user}"]),
    "rsync push": lambda client, user: client.rsync(["up.txt", f"{user}@host:backup/"]),
    "rsync pull": lambda client, user: client.rsync([f"{user}@host:data.txt", "got.txt"]),
}


@dataclass(frozen=True)
class Allowed:
    """The rule that lets it in, the exit status of what runs, and whether the client is content with that."""

    rule: str
    exit: int = 0
    works: bool = True


SUBSYSTEM = {"sftp get", "sftp put", "scp up", "scp down"}
_SFTP = SUBSYSTEM | {"sftp by path", "internal-sftp"}
_BASH_LACKS = Allowed("shell.command", 127, False)
ALLOWED: dict[str, dict[str, Allowed]] = {
    "sftp-only": {way: Allowed("sftp.server") for way in _SFTP},
    "sftp-ro": {way: Allowed("sftp.server", works="up" not in way and "put" not in way) for way in _SFTP},
    "scp-sftp": {
        **{way: Allowed("sftp.server") for way in _SFTP},
        "scp -O up": Allowed("scp.upload"),
        "scp -O down": Allowed("scp.download"),
    },
    "git-only": {"git fetch": Allowed("git.upload-pack"), "git push": Allowed("git.receive-pack")},
    "rsync-backup": {"rsync push": Allowed("rsync.push")},
    "rsync-pull": {"rsync pull": Allowed("rsync.pull")},
    "shell": {
        **dict.fromkeys(WAYS, _BASH_LACKS),  # its image holds none of these programs but one
        **{way: Allowed("sftp.server") for way in _SFTP},
        "login": Allowed("shell.login", 3, False),
        "terminal": Allowed("shell.login", 3, False),
        "command": Allowed("shell.command"),
        "command with a terminal": Allowed("shell.command"),
    },
}
NAMES = {"sftp-only": "sftp", "sftp-ro": "sftp", "scp-sftp": "scp, sftp", "git-only": "git", "rsync-backup": "rsync",
         "rsync-pull": "rsync", "shell": "sftp, shell"}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def data(world: World) -> None:
    for user in PROFILES:
        world.put(f"/home/{user}/data.txt", f"the data of {user}\n", user)
    world.host.run(["sh", "-c", "cp -r /tmp/seed ~client/seed && chown -R client: ~client/seed"], check=True)
    # git of other accounts must not fail for lack of the right to write, but for the allow-list.
    world.host.run(["chmod", "-R", "a+rwX", "/srv/git"], check=True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("user", PROFILES)
def test_way_in(world: World, user: str, way: str) -> None:
    done = WAYS[way](world.client, user)
    login = [record for record in world.last_login(user) if record[fields.EVENT] != "file-operation"]
    allowed = ALLOWED[user].get(way)
    if allowed is None:
        denied(done, login, user, way)
        return
    assert [record[fields.EVENT] for record in login] == ["session-start", "session-end"], done
    assert login[0][fields.RULE] == allowed.rule
    assert login[1][fields.EXIT] == str(allowed.exit)
    assert (done.code == 0) is allowed.works, done


def denied(done: Finished, login: list[dict[str, str]], user: str, way: str) -> None:
    (record,) = login
    said = (done.stdout + done.stderr).replace("\r\n", "\n")
    interactive = way in ("login", "terminal")
    if interactive:
        line = f"jailssh: login succeeded, but no shell is allowed; this account allows: {NAMES[user]}\n"
        assert said.replace("exit 3\n", "", 1) == line, said  # a terminal may echo what is typed, before or behind
    elif way == "command with a terminal":
        assert said == "jailssh: terminal not allowed for this account; use 'ssh -T'\n"
    elif way in SUBSYSTEM:
        # sshd drops what a subsystem writes to standard error; the client has it, or its code alone, by SFTP itself.
        assert f"jailssh: command not allowed; this account allows: {NAMES[user]}" in said or way.startswith("scp"), (
            said
        )
        assert "jailssh" in said or re.search("Permission denied|No such file", said), said
    else:
        if f"jailssh: this account allows only {'downloads' if user == 'rsync-pull' else 'uploads'}\n" not in said:
            denial_of(said, f"this account allows: {NAMES[user]}", among=True)
    assert done.code != 0
    assert pick(record, fields.EVENT, fields.EXIT, fields.USER, fields.JAIL) == {
        "event": "denied",
        "exit": "126",
        "user": user,
        "jail": user,
    }
    assert record[fields.REASON] in fields.REASONS
    assert (fields.COMMAND in record) is not interactive
    assert record[fields.PEER].startswith("127.0.0.1 ")
