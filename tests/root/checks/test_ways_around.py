"""Ways around a jail, planted on a scratch host: each is found, told for whom, and what can be set aside is.

One world: everything is planted first, and one run of the check is asked about all of it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from jailssh.scratch.host import ScratchHost

pytestmark = pytest.mark.needs("root")

PEOPLE = ("alice", "bob", "carol")
HOSTILE = ".forward+\n\x1b[31mred\udcff"
PLANT = r"""
import os, socket, sys
def put(path, text="x\n", owner=0, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, mode)
    os.chown(path, owner, owner)
alice, bob, carol = map(int, sys.argv[1:4])
put("/var/spool/cron/crontabs/alice", "* * * * * id\n", alice, 0o600)
put("/var/spool/cron/crontabs/nobody", "* * * * * id\n")
put("/var/spool/cron/atjobs/a0000101", "id\n", alice, 0o700)
put("/var/lib/systemd/linger/alice", "")
put("/var/spool/incron/alice", "/ IN_CREATE id\n")
put("/etc/cron.d/nightly", "SHELL=/bin/sh\n1 2 * * * carol id\n1 2 * * * root id\n")
put("/etc/systemd/system/web.service", "[Service]\nExecStart=/bin/true\nUser=alice\n")
put("/etc/systemd/system/sync@.service", "[Service]\nExecStart=/bin/true\nUser=%i\n")
os.makedirs("/etc/systemd/system/multi-user.target.wants", exist_ok=True)
os.symlink("../sync@.service", "/etc/systemd/system/multi-user.target.wants/sync@carol.service")
put("/etc/php/8.2/fpm/pool.d/a.conf", "[a]\nuser = alice\n")
put("/etc/hosts.equiv", "trusted\n")
put("/etc/shells", "/bin/sh\n/usr/local/libexec/jailssh/jailssh-login\n")
put("/usr/local/sbin/sendmail", "#!/bin/sh\n", 0, 0o755)
# PAM
put("/etc/pam.d/cron", "@include common-account\n")
put("/etc/pam.d/atd", "@include common-account\n")
put("/etc/pam.d/systemd-user", "@include common-account\n")
put("/etc/pam.d/door", "account required pam_permit.so\n")
put("/etc/pam.d/early", "account sufficient pam_localuser.so\n@include common-account\n")
put("/etc/pam.d/gone", "account required pam_gone.so\n@include common-account\n")
put("/etc/pam.d/hangs", "account required pam_exec.so /bin/sleep 60\n")
# homes
put("/home/alice/.forward", "|id\n", alice)
put("/home/alice/.k5login", "bob@X\n", alice)
put("/home/alice/.ssh/rc", "id\n", alice)
put("/home/alice/.bashrc", "id\n", alice)
put("/home/alice/.mailfilter", "", alice)
put(b"/home/alice/.forward+\n\x1b[31mred\xff".decode("utf-8", "surrogateescape"), "|id\n", alice)
for name in (".forward", ".procmailrc", ".qmail", ".courier"):
    os.unlink(f"/home/bob/{name}")
os.rmdir("/home/bob/.mailfilters")
os.symlink("/etc/shadow", "/home/bob/.forward")
os.mkfifo("/home/bob/.procmailrc")
socket.socket(socket.AF_UNIX).bind("/home/bob/.qmail")
os.link("/home/bob/.profile", "/home/bob/.courier")
os.symlink("/", "/home/bob/.mailfilters")
os.symlink("loop", "/home/bob/loop")
for number in range(25_000):
    os.symlink("/etc/shadow", f"/home/bob/n{number}")
# sockets, programs, state
os.makedirs("/run/sockets")
for path, mode, gid in (("/run/docker.sock", 0o660, bob), ("/run/sockets/odd", 0o666, 0)):
    each = socket.socket(socket.AF_UNIX)
    each.bind(path)
    each.listen()
    os.chmod(path, mode)
    os.chown(path, 0, gid)
    os.set_inheritable(each.fileno(), True)
    globals()[path] = each
with open("/usr/local/libexec/jailssh/jailssh-match", "ab") as file:
    file.write(b"\0")
os.chmod("/usr/local/libexec/jailssh/jailssh-match", 0o775)
put("/etc/passwd.lock", "4194303\0", 0, 0o600)
put("/etc/subuid.lock", "", 0, 0o600)
os.makedirs("/var/lib/jailssh/images/sftp-only/.new-4194303-abcdef", exist_ok=True)
put("/run/jailssh/ns/tree-ffff-1", "")
print("planted", flush=True)
sys.stdin.read()
"""


class World:
    """The scratch host with what was planted, and what the first run has said of it."""

    def __init__(self, host: ScratchHost) -> None:
        self.host = host
        self.code, self.facts = self.check()

    def check(self, *more: str) -> tuple[int, dict[str, Any]]:
        done = self.host.run(["jailssh", "check", "--json", *more], timeout=90)
        return done.code, json.loads(done.stdout)

    def about(self, *ids: str) -> list[tuple[str, str, str]]:
        return found(self.facts, *ids)


def found(facts: dict[str, Any], *ids: str) -> list[tuple[str, str, str]]:
    rows = [(each["id"], each["account"], each["path"]) for each in facts["findings"] if each["id"] in ids]
    return sorted(rows)


@pytest.fixture(scope="module")
def world(staged_prefix: str) -> Iterator[World]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as host:
        host.start_journald()
        host.start_sshd()
        host.run(["jailssh", "setup", "--yes"], check=True)
        for name in PEOPLE:
            host.run(["jailssh", "adduser", name, "--jail", "sftp-only"], check=True)
        uids = [host.run(["id", "-u", name], check=True).stdout.strip() for name in PEOPLE]
        planter = host.popen(["python3", "-c", PLANT, *uids], stdin=subprocess.PIPE)
        assert planter.stdout is not None
        assert planter.stdout.readline() == b"planted\n", planter.communicate()
        host.popen(["sleep", "600"], user="carol")
        host.popen(["unshare", "-Urpf", "sleep", "601"], user="bob")
        host.wait_until(lambda: any("sleep 601" in line for line in host.pids().values()), "process of bob")
        world = World(host)
        host.run(["rm", "/etc/pam.d/hangs"], check=True)  # It is waited for in each run.
        yield world


def test_findings_are_told_by_the_exit_status(world: World) -> None:
    assert world.code == 1, world.facts["unseen"]
    assert world.facts["unseen"] == []


def test_jobs_that_pam_refuses_wait(world: World) -> None:
    assert world.about("JSH-501", "JSH-502", "JSH-504") == [
        ("JSH-502", "alice", "/var/lib/systemd/linger/alice"),
        ("JSH-502", "alice", "/var/spool/cron/atjobs/a0000101"),
        ("JSH-502", "alice", "/var/spool/cron/crontabs/alice"),
    ]


def test_what_asks_no_pam_runs(world: World) -> None:
    assert world.about("JSH-503", "JSH-505", "JSH-506", "JSH-534") == [
        ("JSH-503", "alice", "/var/spool/incron/alice"),
        ("JSH-505", "alice", "/etc/systemd/system/web.service"),
        ("JSH-505", "carol", "/etc/systemd/system/sync@carol.service"),
        ("JSH-506", "carol", "/etc/cron.d/nightly"),
        ("JSH-534", "alice", "/etc/php/8.2/fpm/pool.d/a.conf"),
    ]


def test_homes_are_told_by_name_and_nothing_in_them_is_followed(world: World) -> None:
    rows = [row for row in world.about("JSH-511", "JSH-512", "JSH-513", "JSH-515", "JSH-517") if row[1] == "alice"]
    hostile = rows.pop(0)
    assert hostile[0] == "JSH-511"
    assert hostile[2].startswith("/home/alice/.forward+")
    assert rows == [
        ("JSH-512", "alice", "/home/alice/.forward"),
        ("JSH-513", "alice", "/home/alice/.k5login"),
        ("JSH-515", "alice", "/home/alice/.ssh/rc"),
    ]
    names = (".courier", ".forward", ".mailfilters", ".procmailrc", ".qmail")
    assert [row for row in world.about("JSH-511", "JSH-512", "JSH-517") if row[1] == "bob"] == [
        *(("JSH-512", "bob", f"/home/bob/{name}") for name in names),
        ("JSH-517", "bob", "/home/bob"),
    ]


def test_no_byte_of_a_name_reaches_the_terminal(world: World) -> None:
    said = world.host.run(["jailssh", "check", "alice"], timeout=60).stdout
    assert ".forward+" in said
    assert "\x1b" not in said
    assert "\udcff" not in said
    assert [line for line in said.splitlines() if line.startswith("[31m") or line.startswith("red")] == []


def test_processes_outside_of_any_jail(world: World) -> None:
    rows = world.about("JSH-521", "JSH-522")
    assert [(kind, name) for kind, name, _ in rows] == [("JSH-521", "bob"), ("JSH-521", "carol"), ("JSH-522", "bob")]


def test_pam_is_tried_for_real(world: World) -> None:
    assert [path for _, _, path in world.about("JSH-402")] == [
        *("/etc/pam.d/door", "/etc/pam.d/early"),
        "/etc/pam.d/hangs",  # By its lines alone.
    ]
    assert [path for _, _, path in world.about("JSH-403")] == ["/etc/pam.d/early"]
    assert [path for _, _, path in world.about("JSH-407")] == ["/etc/pam.d/gone"]
    assert [path for _, _, path in world.about("JSH-409")] == ["/etc/pam.d/hangs"]
    assert world.about("JSH-401", "JSH-408") == []


def test_a_trial_makes_no_record_of_a_refusal(world: World) -> None:
    done = world.host.run(["journalctl", "--sync"])
    assert done.code == 0, done.stderr
    done = world.host.run(["journalctl", "-o", "cat", "JAILSSH_EVENT=refused"])
    assert "refused by PAM" not in done.stdout


def test_sockets_servers_programs_and_state(world: World) -> None:
    assert world.about("JSH-542", "JSH-543", "JSH-516", "JSH-533") == [
        ("JSH-516", "", "/etc/hosts.equiv"),
        ("JSH-533", "", "/etc/shells"),
        ("JSH-542", "bob", "/run/docker.sock"),
        ("JSH-543", "", "/run/sockets/odd"),
    ]
    program = "/usr/local/libexec/jailssh/jailssh-match"
    assert world.about("JSH-601", "JSH-602", "JSH-603") == [("JSH-602", "", program), ("JSH-603", "", program)]
    assert world.about("JSH-647", "JSH-648") == [
        ("JSH-647", "", "/etc/passwd.lock"),
        ("JSH-647", "", "/etc/subuid.lock"),
        ("JSH-647", "", "/var/lib/jailssh/images/sftp-only/.new-4194303-abcdef"),
        ("JSH-648", "", "/run/jailssh/ns/tree-ffff-1"),
    ]


def test_the_second_run_says_the_same(world: World) -> None:
    _, again = world.check("--all")
    ours = ("JSH-4", "JSH-5", "JSH-6")
    first = [each for each in world.facts["findings"] if each["path"] != "/etc/pam.d/hangs"]
    before, after = ([each["fingerprint"] for each in found if each["id"].startswith(ours)] for found in (
        first, again["findings"]))  # fmt: skip
    assert after == before


def test_fix_sets_aside_and_deluser_brings_back(world: World) -> None:
    host = world.host
    host.run(["jailssh", "check", "--fix"], timeout=120)
    _, after = world.check()
    left = {path for _, account, path in found(after, "JSH-501", "JSH-502", "JSH-511", "JSH-512", "JSH-513", "JSH-648")
            if account in ("alice", "")}  # fmt: skip
    assert left == set()
    assert host.run(["cat", "/home/alice/.jailssh-off-.forward"]).stdout == "|id\n"
    assert host.run(["test", "-e", "/var/spool/cron/crontabs/alice"]).code == 1
    host.run(["jailssh", "deluser", "--keep-account", "alice"], check=True)
    assert host.run(["cat", "/var/spool/cron/crontabs/alice"]).stdout == "* * * * * id\n"
    assert host.run(["cat", "/home/alice/.forward"]).stdout == "|id\n"
