"""``jailssh export`` and ``import``: a host's set-up as one archive, and real logins where it is brought to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from jailssh.scratch.host import Finished, ScratchHost
from tests.harness.keys import public_key

pytestmark = pytest.mark.needs("root", "sshd", "sftp", "journald", "login-program")

ARCHIVE = "/root/jails.txt"
TEAM = "plugins = git\n[git]\nroots = /srv/git\nrights = write team/* @devs\n"
GROUPED = "plugins = sftp\ngroups = customers\n"
HASH = "$6$saltsalt$4Qf0vJTqf0XgkIhKdSBM1jQeOiS0lPVqeXFvSVdrn1Q1GxbBRUmMuT4FuZ4ob3mGo0PJLgBBTDmZmzCqDQJ6x."
PRIVATE = "/root/k"


class Host:
    """A scratch host with jailssh set up."""

    def __init__(self, scratch: ScratchHost) -> None:
        self.scratch = scratch
        scratch.start_journald()
        scratch.start_sshd()
        self.jailssh("setup", "--yes")

    def jailssh(self, *args: str, check: bool = True) -> Finished:
        """Run the administrator's command."""
        done = self.scratch.run(["jailssh", *args])
        assert done.code == 0 or not check, (args, done.stderr)
        return done

    def sh(self, command: str) -> str:
        """Run a script that must succeed."""
        return self.scratch.run(["sh", "-ec", command], check=True).stdout

    def login(self, name: str, *command: str) -> Finished:
        """Log in by the key."""
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]
        return self.scratch.run(["ssh", *options, "-o", "BatchMode=yes", "-i", PRIVATE, f"{name}@127.0.0.1", *command])

    def sftp(self, name: str) -> Finished:
        """List the home by sftp."""
        options = "-q -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes"
        return self.scratch.run(["sh", "-c", f"echo ls | sftp {options} -i {PRIVATE} -b - {name}@127.0.0.1"])

    def state(self) -> str:
        """Everything that an import may touch."""
        places = "/etc/jailssh /home /var/lib/jailssh/plan.v1 /var/lib/jailssh/undo"
        listing = f"find {places} -not -name .lock -printf '%p %m %u %g %y %l\\n' | sort"
        contents = "find /etc/jailssh -type f | sort | xargs sha256sum"
        return self.sh(f"cat /etc/passwd /etc/group /etc/shadow /etc/gshadow; {listing}; {contents}")


@pytest.fixture(scope="module")
def old(staged_prefix: str) -> Iterator[Host]:
    """A host with accounts of every kind: by name, shared, by group, locked, expiring, with a password."""
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        host = Host(scratch)
        host.sh(f"ssh-keygen -q -t ed25519 -N '' -f {PRIVATE}; mkdir -p /srv/git; groupadd -g 7001 customers")
        scratch.write("/etc/jailssh/jails/team.conf", TEAM)
        scratch.write("/etc/jailssh/jails/grouped.conf", GROUPED)
        scratch.write("/root/hash", HASH)
        scratch.write("/root/ann.pub", public_key(1, "ann"))
        host.jailssh("setup", "--yes")
        key = ("--key", f"{PRIVATE}.pub")
        host.jailssh("adduser", "alice", "--jail", "sftp-only", "--uid", "7010", "--gecos", "Alice Ä", *key)
        host.jailssh("adduser", "bob", "--jail", "shell", "--uid", "7011", "--password", "/root/hash", *key)
        host.jailssh("adduser", "carl", "--jail", "sftp-only", "--uid", "7012", "--expires", "2099-01-01", *key)
        host.jailssh("lock", "carl")
        host.jailssh("adduser", "forge", "--jail", "team", "--uid", "7013")
        host.jailssh("keys", "add", "forge", "ann", "/root/ann.pub", "--group", "devs")
        host.sh("useradd -m -u 7014 -g customers -s /bin/bash dora; groupadd -g 7002 press; gpasswd -a alice press")
        host.sh(f"install -m 0644 {PRIVATE}.pub /etc/jailssh/keys/dora")
        host.jailssh("apply")
        host.sh("printf 'token' >/etc/jailssh/secret; chmod 600 /etc/jailssh/secret")
        yield host


@pytest.fixture(scope="module")
def archives(old: Host) -> dict[str, bytes]:
    """Without and with secrets, and the private key."""
    old.jailssh("export", ARCHIVE)
    old.jailssh("export", "--secrets", f"{ARCHIVE}.secret")
    paths = {"plain": ARCHIVE, "secret": f"{ARCHIVE}.secret", "key": PRIVATE}
    return {name: old.scratch.read(path) for name, path in paths.items()}


def fresh(scratch: ScratchHost, archives: dict[str, bytes]) -> Host:
    """Return a host that is set up and nothing else, with the archives."""
    host = Host(scratch)
    for name, data in archives.items():
        scratch.write(f"/root/{name}", data.decode())
    host.sh(f"install -m 0600 /root/key {PRIVATE}; mkdir -p /srv/git")
    return host


def said(archive: bytes) -> str:
    """Return what an archive says, without what an account in a jail does not get."""
    return re.sub(r"sha256=\w+|^\|sub[ug]ids = .*\n", "", archive.decode(), flags=re.MULTILINE)


def test_the_archive_is_text_and_the_same_each_time(old: Host, archives: dict[str, bytes]) -> None:
    text = archives["plain"].decode()
    assert text.startswith("jailssh-archive 1\n") and "\n=== account alice sha256=" in text
    assert "|gecos = Alice Ä\n" in text and "|expires = 47117\n" not in text.split("=== account carl")[0]
    assert "|locked = yes\n" in text and "\n=== group customers " in text and "|origin" not in text
    assert old.sh(f"stat -c '%a %U' {ARCHIVE}") == "600 root\n"
    assert old.jailssh("export", "-").stdout == text
    assert HASH not in text and "token" not in text and "=== end secrets=no " in text
    secret = archives["secret"].decode()
    assert HASH in secret and "token" in secret and "=== end secrets=yes " in secret


def test_nothing_is_overwritten_unasked(old: Host, archives: dict[str, bytes]) -> None:
    done = old.jailssh("export", "--secrets", ARCHIVE, check=False)
    assert done.code == 2 and "exists already" in done.stderr
    assert old.scratch.read(ARCHIVE) == archives["plain"]
    old.jailssh("export", "--overwrite", ARCHIVE)
    assert "is not a file" in old.jailssh("export", "--overwrite", "/root", check=False).stderr


def test_on_a_fresh_host_the_accounts_log_in(staged_prefix: str, archives: dict[str, bytes]) -> None:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        host = fresh(scratch, archives)
        before = host.state()
        shown = host.jailssh("import", "/root/secret")
        assert "+ account alice" in shown.stdout and "++ b" not in shown.stdout and HASH not in shown.stdout
        assert "changes to make" in shown.stdout
        planned = json.loads(host.jailssh("--json", "import", "/root/secret").stdout)
        assert planned["created"] == ["alice", "bob", "carl", "dora", "forge"] and planned["errors"] == []
        assert "dora: had subordinate ids, which an account in a jail does not get" in planned["notes"]
        assert planned["groups"] == {"customers": 7001, "press": 7002}
        assert host.state() == before
        done = host.jailssh("import", "--apply", "--yes", "/root/secret")
        assert "jailssh setup" in done.stdout
        assert host.login("alice", "id").code == 126 and host.sftp("alice").code == 0
        assert host.login("bob", "id -un").stdout == "bob\n"
        assert host.sftp("carl").code != 0, "it is locked"
        assert host.sftp("dora").code != 0, "its group is not confined yet, and lets nobody in"
        host.jailssh("setup", "--yes")
        host.jailssh("apply")
        assert host.sftp("dora").code == 0
        assert "already" in host.jailssh("lock", "carl").stdout
        host.jailssh("unlock", "carl")
        assert host.sftp("carl").code == 0
        assert re.search(r"^carl:.*:47117:$", host.sh("cat /etc/shadow"), re.MULTILINE)
        assert "ann" in host.jailssh("keys", "list", "forge").stdout
        assert f"bob:{HASH}:" in host.sh("cat /etc/shadow")
        assert host.sh("id -Gn alice") == "alice jailssh press\n"
        again = host.jailssh("import", "--apply", "--yes", "/root/secret")
        assert again.stdout.splitlines()[-1] == "nothing to change"
        # What export says there is what it said here.
        host.jailssh("lock", "carl")
        host.jailssh("export", "--secrets", ARCHIVE)
        assert said(scratch.read(ARCHIVE)) == said(archives["secret"])
        host.jailssh("deluser", "alice", "--yes")
        assert host.sftp("alice").code != 0
