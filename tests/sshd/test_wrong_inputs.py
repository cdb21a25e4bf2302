"""What an administrator is told about a hundred wrong inputs: ``wrong_inputs.txt``, for people to read.

A failing run shows the difference; with ``WRITE_TABLE=1`` the table is written anew.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.resident import Resident, command
from tests.sshd.world import World

pytestmark = pytest.mark.needs("root", "sshd", "git", "journald", "login-program")

TABLE = Path(__file__).with_name("wrong_inputs.txt")
COMMANDS = (
    "jailssh", "jailssh adusr bob", "jailssh --frob", "jailssh list --frob", "jailssh adduser",
    "jailssh adduser bob", "jailssh adduser bob --jail", "jailssh adduser bob --jail nosuch",
    "jailssh adduser bob --jail sftp-onyl", "jailssh adduser bob --jail sftp-only,nosuch",
    "jailssh adduser -bob --jail sftp-only", "jailssh adduser 'bob smith' --jail sftp-only",
    "jailssh adduser ../bob --jail sftp-only", "jailssh adduser 12345 --jail sftp-only",
    "jailssh adduser root --jail sftp-only", "jailssh adduser daemon --jail sftp-only",
    "jailssh adduser bob --jail sftp-only --key nosuch.pub", "jailssh adduser bob --jail sftp-only --key /etc",
    "jailssh adduser bob --jail sftp-only --key /etc/hostname", "jailssh adduser bob --jail sftp-only --key ppk",
    "jailssh adduser bob --jail sftp-only --key private", "jailssh adduser bob --jail sftp-only --key certificate",
    "jailssh adduser bob --jail sftp-only --key options", "jailssh adduser bob --jail sftp-only --key empty",
    "jailssh adduser bob --jail sftp-only --key - </dev/null", "jailssh adduser bob --jail sftp-only --home relative",
    "jailssh adduser bob --jail sftp-only --home /", "jailssh adduser bob --jail sftp-only --home /etc/bob",
    "jailssh adduser bob --jail git-team --home /nosuch/deep/bob",
    "jailssh adduser bob carol --jail sftp-only --home /srv/bob", "jailssh adduser --from nosuch.csv",
    "jailssh adduser --from /etc/hostname", "jailssh adduser bob --jail sftp-only --expires tomorrow",
    "jailssh adduser bob --jail sftp-only --home-move",
    "jailssh adduser carol --jail sftp-only --home /etc", "jailssh rename", "jailssh rename nosuch carl",
    "jailssh rename root carl", "jailssh rename git-team -- -x", "jailssh rename git-team root",
    "jailssh lock", "jailssh lock nosuch", "jailssh lock root", "jailssh unlock nosuch",
    "jailssh deluser", "jailssh deluser nosuch", "jailssh deluser root", "jailssh deluser daemon",
    "jailssh keys", "jailssh keys add git-team", "jailssh keys add nosuch carol key.pub",
    "jailssh keys add git-team carol nosuch.pub", "jailssh keys add git-team 'carol smith' key.pub",
    "jailssh keys add git-team -- -carol key.pub", "jailssh keys add root carol key.pub",
    "jailssh keys remove git-team nosuch", "jailssh keys remove nosuch carol", "jailssh keys list nosuch",
    "jailssh keys add git-team carol key.pub --group 'a b'", "jailssh keys add git-team carol key.pub --principal ''",
    "jailssh apply nosuch", "jailssh apply --frob", "jailssh config", "jailssh config show nosuch",
    "jailssh config import nosuch.ini", "jailssh config import /etc/hostname", "jailssh config frob",
    "jailssh plan", "jailssh plan show nosuch", "jailssh plan show root", "jailssh explain",
    "jailssh explain nosuch -- ls",
    "jailssh explain root -- ls", "jailssh explain --from-journal zzz", "jailssh explain --from-journal 00000000",
    "jailssh learn nosuch", "jailssh kick nosuch", "jailssh kick", "jailssh image", "jailssh image list nosuch",
    "jailssh image rollback nosuch", "jailssh image rollback sftp-only", "jailssh image verify nosuch",
    "jailssh image push nosuch /tmp/x.tar", "jailssh image pull nosuch /tmp/x.tar",
    "jailssh image pull sftp-only /tmp/x.tar --digest 0123456789abcdef0123",
    "jailssh image prune nosuch", "jailssh update nosuch", "jailssh build", "jailssh build t.jailspec",
    "jailssh build t.jailspec ''", "jailssh build nosuch.jailspec tree", "jailssh build t.jailspec /",
    "jailssh build t.jailspec /etc", "jailssh build bad.jailspec tree", "jailssh build t.jailspec tree --format frob",
    "jailssh build binary tree", "jailssh cp", "jailssh cp nosuch tree", "jailssh plugins frob", "jailssh doctor frob",
    "jailssh doctor alice frob", "jailssh recover frob", "jailssh setup --frob", "jailssh demo --frob",
    "jailssh export", "jailssh export nosuch/jails.txt", "jailssh export /etc", "jailssh export /etc/hostname",
    "jailssh export - --json", "jailssh import", "jailssh import nosuch", "jailssh import /etc",
    "jailssh import /etc/hostname", "jailssh import --plan --apply x", "jailssh import --keep --replace x",
    "setpriv --reuid 65534 --clear-groups jailssh adduser bob --jail sftp-only",
    "setpriv --reuid 65534 --clear-groups jailssh list",
    "setpriv --reuid 65534 --clear-groups jailssh explain shell -- ls",
)  # fmt: skip
SETTINGS = (
    "plugins sftp", "plugins = 'sftp", "plugins = nosuch", "plugins = sfpt", "plugin = sftp", "plugins =", "[sftp",
    "plugins = sftp\nplugins = scp", "plugins = sftp\n[sftp]\nread_olny = yes",
    "plugins = sftp\n[sftp]\nread_only = maybe",
    "plugins = sftp\n[scp]\nupload = no", "plugins = sftp ; comment", "plugins = sftp\n[nosuch]\na = 1",
    "plugins = sftp\numask = 9", "plugins = sftp\ntmp_size = big", "plugins = sftp\nnetwork = some",
    "plugins = sftp\ngroups = nosuch", "plugins = sftp\nroot = copy", "plugins = sftp\nhostname = a b",
    "plugins = sftp\n[limits]\nmax_sessions = 0", "plugins = sftp\n[limits]\nexpires = yesterday",
    "plugins = sftp\n[limits]\nhours = 25:00-26:00", "plugins = sftp\n[limits]\naddresses = 10.0.0.1/8",
    "plugins = sftp\n[limits]\nbandwidth = slow", "plugins = git\n[git]\nread = relative",
    "plugins = git\n[git]\nread = /nosuch", "plugins = git\n[git]\nread = /etc", "plugins = git",
    "plugins = git\n[git]\nroots = /srv/git\nrights = read ** nobody", "plugins = command\n[command]\ncommands = ",
    'plugins = command\n[command]\ncommands = "nosuch-program -v"', 'plugins = command\n[command]\ncommands = "ls <"',
    "plugins = shell\n[shell]\nshell = bash", "plugins = shell\n[shell]\nprograms = nosuch-program",
    "plugins = shell\npackages = nosuch-package", "plugins = shell\nfiles = /nosuch", "extends = nosuch",
    "plugins = sftp\naccept_env = LD_PRELOAD", "plugins = sftp\nplugins = sftp\n[x]\n[x]\n",
)  # fmt: skip
READY = """
set -e
mkdir -p /root/wrong; cd /root/wrong
ssh-keygen -q -t ed25519 -N '' -C carol -f private; cp private.pub key.pub
printf 'PuTTY-User-Key-File-3: ssh-ed25519\\n' >ppk; : >empty
printf 'command="ls" %s\\n' "$(cat key.pub)" >options
ssh-keygen -q -t ed25519 -N '' -f ca; ssh-keygen -q -s ca -I carol -n carol key.pub; cp key-cert.pub certificate
printf '/bin/true\\n' >t.jailspec; printf '/bin/true\\n/nosuch\\nfrob x\\n' >bad.jailspec; head -c 200 /bin/true >binary
"""


PLACE, WIDTH = "/root/wrong", {"COLUMNS": "100"}
# The verbs of which most is asked; another one is imported when it runs.
OFTEN = ("adduser", "keys", "config", "explain", "build")


@pytest.fixture
def jailssh(world: World) -> Iterator[Resident]:
    """The command, for those rows that are a command alone and no shell script."""
    world.host.run(["sh", "-c", READY], check=True)
    resident = Resident(world.host, *command(*OFTEN), "/usr/local/lib/jailssh/python", cwd=PLACE, env=WIDTH)
    yield resident
    resident.close()


def told(world: World, jailssh: Resident, row: str) -> str:
    program, *words = shlex.split(row)
    if program == "jailssh" and "<" not in row:
        done = jailssh.run(*words)
    else:
        done = world.host.run(["sh", "-c", row], env=WIDTH, cwd=PLACE)
    said = (done.stdout + done.stderr).replace("/root/wrong/", "")
    said = re.sub(r"SHA256:\S+", "SHA256:…", said)
    said = re.sub(r"one of: .*\bby-group\b.*", "one of: …", said)  # the jails of other tests are among them
    lines = said.splitlines()
    shown = [*lines[:12], f"… {len(lines) - 12} lines more"] if len(lines) > 12 else lines
    return "\n".join([f"$ {row}", *(f"  {line}".rstrip() for line in shown), f"  = {done.code}", ""])


def table(world: World, jailssh: Resident) -> str:
    out = ["# What the command says of wrong inputs; tests/sshd/test_wrong_inputs.py makes it.", ""]
    out += [told(world, jailssh, row) for row in COMMANDS]
    path = "/etc/jailssh/jails/wrong.conf"
    for text in SETTINGS:
        world.host.write(path, f"{text}\n")
        done = jailssh.run("config", "check")
        lines, own = [], False
        for line in done.stderr.splitlines():
            own = path in line or (own and line.startswith("hint:"))
            lines += [f"  {line}".replace(path, "wrong.conf")] if own else []
        out.append("\n".join([*(f"| {line}" for line in text.splitlines()), *(lines or ["  nothing"]), ""]))
    world.host.run(["rm", path], check=True)
    return "\n".join(out)


def test_the_table_is_what_is_said(world: World, jailssh: Resident) -> None:
    assert len(COMMANDS) + len(SETTINGS) > 100
    now = table(world, jailssh)
    assert "Traceback" not in now
    if os.environ.get("WRITE_TABLE"):
        TABLE.write_text(now)
    assert now.splitlines() == TABLE.read_text().splitlines()
