"""Every verb, where its output cannot be written, in another locale, beside damaged files: words, no traceback."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from jailssh.console.main import VERBS
from jailssh.console.output import SHOWS
from jailssh.scratch.host import Finished, ScratchHost
from tests.harness.resident import Resident, command

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd"), pytest.mark.needs("login-program")]

# The verb, with {n} for a number that no other case has; what it shows only is in SHOWING.
CALLS: dict[str, list[str]] = {
    "setup": ["setup --yes"],
    "adduser": ["adduser new{n} --jail sftp-only --yes", "adduser new{n} more{n} --jail sftp-only --json"],
    "deluser": ["deluser old{n} --yes", "deluser old{n} --yes --json"],
    "doctor": ["doctor", "doctor --json"],
    "recover": ["recover --yes"],
    "move": ["move alice --jail sftp-only"],
    "rename": ["rename old{n} new{n}"],
    "lock": ["lock alice"],
    "unlock": ["unlock alice"],
    "kick": ["kick alice"],
    "replay": ["replay", "replay --search x --json"],
    "sessions": ["sessions", "sessions --json"],
    "run": ["run --dry-run /srv/tree true"],
    "launch": ["launch --unit web /srv/tree -- true", "launch --dry-run /srv/tree -- true"],
    "session": ["session list", "session list --json"],
    "system": ["system list", "system list --json"],
    "exec": ["exec --help"],
    "enter": ["enter --help"],
    "keys": ["keys list shared", "keys add shared k{n} /root/k{n}.pub", "keys remove shared k{n}"],
    "apply": ["apply", "apply --dry-run"],
    "bundle": ["bundle --sign /root/k /root/fleet /root/bundle{n}"],
    "config": ["config show", "config check"],
    "plan": ["plan show alice"],
    "explain": ["explain alice -- ls"],
    "learn": ["learn alice --for 1s", "learn --list"],
    "build": ["build /root/spec /srv/tree{n}"],
    "cp": ["cp /srv/tree /usr/bin/true"],
    "update": ["update --all"],
    "image": ["image list", "image gc"],
    "audit": [
        "audit log",
        "audit log --csv",
        "audit run",
        "audit show --list",
        "audit report",
        "audit merge /root/far.json",
    ],
    "check": ["check --list", "check --full", "check --html"],
    "migrate": ["migrate", "migrate --apply --yes"],
    "export": ["export -", "export /root/archive{n}"],
    "import": ["import /root/archive", "import --apply --yes /root/archive"],
    "selftest": ["selftest --help"],
    "metrics": ["metrics", "metrics --json"],
    "transfers": ["transfers", "transfers --csv"],
    "list": ["list", "list --json"],
    "plugins": ["plugins"],
    "demo": ["demo --help"],
}
SHOWING = {
    "system list",
    "system list --json",
    "session list",
    "session list --json",
    "audit log",
    "audit log --csv",
    "keys list shared",
    "apply --dry-run",
    "learn --list",
    "export -",
    "import /root/archive",
    "migrate",
    "image list",
    "audit show --list",
    "audit report",
    "audit merge /root/far.json",
    "demo --help",
    "exec --help",
    "enter --help",
    "run --dry-run /srv/tree true",
    "launch --unit web /srv/tree -- true",
    "launch --dry-run /srv/tree -- true",
}
WAYS = [">&-", ">/dev/full", "2>&-", "2>/dev/full", "<&-", ">&- 2>&- <&-", "2>/dev/stderr LC_ALL=C"]
NAME = "pr\u00fcfung\u2026"


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[ScratchHost]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        scratch.start_journald()
        scratch.start_sshd()
        scratch.run(["sh", "-c", "ssh-keygen -q -t ed25519 -N '' -f /root/k; mkdir -p /srv"], check=True)
        scratch.write("/root/spec", "/usr/bin/true\n")
        scratch.run(["sh", "-c", "mkdir -p /root/fleet/all"], check=True)
        scratch.write("/root/fleet/fleet.conf", "hosts = scratch\n")
        scratch.write("/root/fleet/all/note", "for all\n")
        when = datetime.now(UTC).isoformat()
        scratch.write("/root/far.json", json.dumps({"host": "far", "when": when, "findings": []}))
        for call in ("setup --yes", "adduser alice --jail sftp-only --yes", "build /root/spec /srv/tree",
                     "adduser shared --jail sftp-only --yes", "keys add shared first /root/k.pub"):  # fmt: skip
            done = scratch.run(["sh", "-c", f"jailssh {call}"])
            assert done.code == 0, (call, done.stderr)
        scratch.run(["sh", "-c", "jailssh update --all"], check=True)
        scratch.run(["sh", "-c", f"usermod -c {shlex.quote(NAME)} alice"])
        scratch.run(["jailssh", "export", "/root/archive"], check=True)
        yield scratch


@pytest.fixture(scope="module")
def looking(host: ScratchHost) -> Iterator[Resident]:
    """The command, for the verbs that look."""
    resident = Resident(host, *command(*(look.split()[0] for look in LOOKS)), "/usr/local/lib/jailssh/python")
    yield resident
    resident.close()


@pytest.fixture(scope="module")
def before(host: ScratchHost) -> Iterator[Resident]:
    """The command, for what has to be there before a case begins."""
    resident = Resident(host, *command("adduser", "lock", "keys"), "/usr/local/lib/jailssh/python")
    yield resident
    resident.close()


def said_nothing_strange(done: Finished) -> None:
    for words in ("Traceback", "unexpected error", "Exception ignored"):
        assert words not in done.stdout + done.stderr, done.stderr


def test_no_verb_is_forgotten() -> None:
    assert set(CALLS) == set(VERBS)


NUMBERS = iter(range(10_000))
CASES = [(call, way) for calls in CALLS.values() for call in calls for way in WAYS]


@pytest.mark.parametrize(("call", "way"), CASES, ids=[f"{call} {way}" for call, way in CASES])
def test_output_that_cannot_be_written_stops_no_work(host: ScratchHost, before: Resident, call: str, way: str) -> None:
    number = next(NUMBERS)
    words = call.format(n=number)
    if call.startswith(("deluser", "rename")):
        before.run("adduser", f"old{number}", "--jail", "sftp-only", "--yes", check=True)
    if call.startswith("unlock"):
        before.run("lock", "alice", check=True)
    if call.startswith(("keys add", "keys remove")):
        host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"/root/k{number}"], check=True)
    if call.startswith("keys remove"):
        before.run("keys", "add", "shared", f"k{number}", f"/root/k{number}.pub", check=True)
    # No daemon runs here, which doctor has to say.
    plain = {"doctor": 1, "explain": 3, "check --full": 1, "check --html": 1, "audit run": 1}
    redirection, _, locale = way.partition(" LC")
    command = f"LC{locale} jailssh {words}" if locale else f"jailssh {words}"
    done = host.run(["sh", "-c", f"{command} {redirection}"])
    said_nothing_strange(done)
    shows = call.split()[0] in SHOWS or call in SHOWING
    full = ">/dev/full" in redirection.split() and call != "transfers"  # nobody has written anything to be shown
    lost = ">&-" in redirection.split() or full
    expected = plain.get(call, plain.get(call.split()[0], 0))
    assert done.code == (expected or int(lost and shows)), done.stderr
    if lost and "2>" not in redirection:
        assert "jailssh: standard output: " in done.stderr
    if call.startswith("adduser"):
        assert host.run(["id", f"new{number}"]).code == 0
    if call.startswith("rename"):
        assert host.run(["id", f"new{number}"]).code == 0
    if call.startswith(("deluser", "rename")):
        assert host.run(["id", f"old{number}"]).code != 0


DAMAGE = [b"", b"\xff\xfe\0\x80", b"{", b"[]", b'{"version": 99}', b"[" * 100_000]
FILES = [
    "/var/lib/jailssh/undo/account-alice.json", "/var/lib/jailssh/undo/setup.json", "/var/lib/jailssh/undo/odd.json",
    "/var/lib/jailssh/facts.json", "/var/lib/jailssh/plan.v1/{uid}", "/var/lib/jailssh/images/update.json",
    "/var/lib/jailssh/learn/{uid}", "/var/lib/jailssh/last-good.conf", "/var/lib/jailssh/reload-owed",
    "/var/lib/jailssh/jailed-groups", "/var/lib/jailssh/pam-owed", "/run/jailssh/jailsshd.status",
    "/etc/jailssh/users/alice.conf", "/etc/jailssh/keys/alice", "/etc/jailssh/keys.d/shared/first.pub",
    "/etc/jailssh/jailssh.conf", "/etc/jailssh/jails/odd.conf",
]  # fmt: skip
LOOKS = [
    "list", "doctor", "doctor --json", "config check", "config show", "plan show alice", "explain alice -- ls",
    "image list", "learn --list", "keys list shared", "apply --dry-run", "recover --json --yes", "update --all",
]  # fmt: skip


@pytest.mark.parametrize("pattern", FILES)
def test_a_damaged_file_is_told_in_words(host: ScratchHost, looking: Resident, pattern: str) -> None:
    path = pattern.format(uid=host.run(["id", "-u", "alice"], check=True).stdout.strip())
    host.run(
        ["sh", "-c", f"rm -rf /root/saved; mkdir -p $(dirname {path}); test ! -e {path} || cp -a {path} /root/saved"]
    )
    place = FILES.index(pattern)
    for number, damage in enumerate(DAMAGE):
        host.write(path, damage)
        # A part of all pairs for each file, another for the next: each run of the command takes its time.
        for look in LOOKS[(place + number) % 6 :: 6]:
            # What was mended by the one before is damaged for this one as well.
            if look.startswith("recover"):
                host.write(path, damage)
            done = looking.run(*look.split())
            said_nothing_strange(done)
            assert done.code in ((3, 1, 4) if look.startswith("explain") else (0, 1, 4)), (
                look,
                damage[:20],
                done.stderr,
            )
            assert done.code == 0 or done.stderr or done.stdout, (look, damage[:20])
    host.run(["sh", "-c", f"rm -f {path}; test ! -e /root/saved || cp -a /root/saved {path}"], check=True)


@pytest.mark.parametrize("path", ["/var/lib/jailssh/undo", "/var/lib/jailssh/images", "/etc/jailssh/keys.d",
                                  "/etc/jailssh/jails", "/var/lib/jailssh/sshd", "/var/lib/jailssh/learn"])  # fmt: skip
def test_a_directory_that_is_none_is_told_in_words(host: ScratchHost, looking: Resident, path: str) -> None:
    host.run(["sh", "-c", f"mkdir -p {path}; mv {path} /root/moved; echo x >{path}"], check=True)
    try:
        for look in LOOKS:
            done = looking.run(*look.split())
            said_nothing_strange(done)
            assert done.code in ((3, 1, 4) if look.startswith("explain") else (0, 1, 4)), (look, done.stderr)
    finally:
        host.run(["sh", "-c", f"rm -f {path}; mv /root/moved {path}"], check=True)


@pytest.mark.parametrize("call", ["image list", "list", "update --all"])
def test_without_proc_it_is_said(host: ScratchHost, call: str) -> None:
    """In a chroot of image builders, where a package manager may call it."""
    done = host.run(["unshare", "--mount", "sh", "-c", f"mount -t tmpfs none /proc && exec jailssh {call}"])
    said_nothing_strange(done)
    # What need not ask the kernel does its work.
    assert done.code or call.startswith("update")
    if done.code:
        assert "jailssh: /proc: is not mounted here\nhint: mount -t proc proc /proc" in done.stderr, done.stderr
