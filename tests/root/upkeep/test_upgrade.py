"""A host with an older version is upgraded: the plans, undo journals, histories and manifests that it left work.

``upgraded/`` has what 0.1.0 left before accounts were known by name and uid: ``/etc/jailssh``, plans, undo journals and
histories of images of the accounts alice (made by ``adduser``), carol (existed before) and git (shared by two keys).
In brackets stands what differs from host to host: ``[sftp-only]`` is the generation of that jail's image,
``[first key]`` and ``[second key]`` are keys.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator

import pytest

from jailssh.closure import manifest
from jailssh.plan import codec
from jailssh.scratch.host import Finished, ScratchHost

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd"), pytest.mark.needs("login-program")]

LEFT = pathlib.Path(__file__).with_name("upgraded")
STATE: dict[str, str] = json.loads((LEFT / "state.json").read_text())
JAILS = {"alice": "sftp-only", "carol": "shell", "git": "team"}
# Settings by the names that the older version had for them, at the end of its files.
OLD_NAMES = {
    "/etc/jailssh/jailssh.conf": "refuse_groups = root sudo\n",
    "/etc/jailssh/jails/team.conf": "\n[limits]\nsessions = 9\nidle = 30m\n",
    "/etc/jailssh/users/alice.conf": "\n[limits]\nsessions = 1\n",
}
STATE.update({path: STATE.get(path, "") + text for path, text in OLD_NAMES.items()})
SSH = "-o StrictHostKeyChecking=no -o BatchMode=yes -o LogLevel=ERROR"


class Host:
    def __init__(self, scratch: ScratchHost) -> None:
        self.scratch = scratch

    def sh(self, command: str) -> str:
        done = self.scratch.run(["sh", "-c", command])
        assert done.code == 0, done.stdout + done.stderr
        return done.stdout

    def ssh(self, user: str, command: str, key: str = "first") -> Finished:
        return self.scratch.run(["sh", "-c", f"ssh {SSH} -i /root/{key} {user}@127.0.0.1 {command}"])

    def sftp(self) -> Finished:
        return self.scratch.run(["sh", "-c", f"echo ls | sftp -b - {SSH} -i /root/first alice@127.0.0.1"])


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[Host]:
    """The accounts and images of today, and everything else as the older version left it."""
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        scratch.start_journald()
        scratch.start_sshd()
        found = Host(scratch)
        for name in ("first", "second"):
            found.sh(f"ssh-keygen -q -t ed25519 -N '' -C {name} -f /root/{name}")
        found.sh("jailssh setup --yes && git init -q --bare /srv/git/docs && git init -q --bare /srv/git/team/one")
        scratch.write("/etc/jailssh/jails/team.conf", STATE["/etc/jailssh/jails/team.conf"])
        for uid, (name, jail) in enumerate(JAILS.items(), 1001):
            if name == "carol":
                found.sh("useradd -m -s /bin/bash carol")
            found.sh(f"jailssh adduser {name} --jail {jail} --yes && test $(id -u {name}) = {uid}")
        found.sh("jailssh keys add git ann /root/first.pub --group devs && jailssh keys add git bob /root/second.pub")
        found.sh("jailssh adduser alice --jail sftp-only --key /root/first.pub --yes")
        blobs = {f"[{name} key]": found.sh(f"cut -d' ' -f2 /root/{name}.pub").strip() for name in ("first", "second")}
        trees = {f"[{jail}]": found.sh(f"basename $(readlink /var/lib/jailssh/images/{jail}/current)").strip()
                 for jail in JAILS.values()}  # fmt: skip
        found.sh("chown -R git:git /srv/git")
        # What the older version did not make.
        found.sh("pam-auth-update --package --remove jailssh && rm /usr/share/pam-configs/jailssh")
        found.sh("rm -r /var/lib/jailssh/sshd /var/lib/jailssh/jailed-groups")
        found.sh("rm -r /var/lib/jailssh/plan.v1/* /var/lib/jailssh/undo/* /etc/jailssh/users/* /etc/jailssh/keys/*")
        found.sh("rm -f /var/lib/jailssh/facts.json /var/lib/jailssh/images/.update.json")
        for path, text in STATE.items():
            for there, here in {**blobs, **trees}.items():
                text = text.replace(there, here)
            mode = 0o600 if path.startswith("/var/lib/jailssh/") and "/images/" not in path else 0o644
            if not path.startswith("/etc/ssh/"):
                scratch.write(path, text, mode)
        yield found


def test_an_old_plan_is_a_login(host: Host) -> None:
    """Before any command of the new version has run."""
    done = host.sftp()
    assert done.code == 0, done.stderr
    assert host.ssh("alice", "ls").code == 126
    denied = host.ssh("git", "\"git-upload-pack 'team/none'\"", key="second")
    assert (denied.code, denied.stderr) == (126, "jailssh: repository not found or access denied\n")


def test_what_is_to_be_done_is_said_and_done(host: Host) -> None:
    """The old drop-in stays in force until setup is run again."""
    host.scratch.write("/etc/ssh/sshd_config.d/20-jailssh.conf", STATE["/etc/ssh/sshd_config.d/20-jailssh.conf"])
    host.scratch.reload_sshd()
    assert host.sftp().code == 0
    done = host.scratch.run(["jailssh", "apply", "--dry-run"])
    assert "jailssh setup" in done.stdout + done.stderr
    host.sh("jailssh setup --yes && jailssh apply && jailssh config check")
    assert host.scratch.run(["jailssh", "apply", "--dry-run"]).stdout.strip().endswith("no changes")
    assert host.sftp().code == 0
    assert host.ssh("git", "\"git-upload-pack 'team/none'\"", key="first").code == 126


def test_old_names_of_settings_hold_and_are_told(host: Host) -> None:
    done = host.scratch.run(["jailssh", "config", "check"])
    told = [line.partition(" ")[2] for line in done.stderr.splitlines() if "' is now '" in line]
    assert (done.code, told) == (0, [
        "/etc/jailssh/jailssh.conf:1: 'refuse_groups' is now 'deny_groups'",
        "/etc/jailssh/jails/team.conf:8: 'sessions' is now 'max_sessions'",
        "/etc/jailssh/jails/team.conf:9: 'idle' is now 'idle_timeout'",
        "/etc/jailssh/users/alice.conf:5: 'sessions' is now 'max_sessions'",
    ])  # fmt: skip
    assert "  max_sessions: at most 1 of the account" in host.sh("jailssh explain alice -- internal-sftp")
    shown = host.sh("jailssh config show team").splitlines()
    assert [line.split()[2:5] for line in shown if line.startswith("[limits] idle_timeout ")] == [["=", "30m", "#"]]
    assert host.sftp().code == 0


def test_images_live_on(host: Host) -> None:
    rows = json.loads(host.sh("jailssh image list --json"))
    assert {row["jail"] for row in rows} == set(JAILS.values())
    dates = {json.loads(text)["steps"][0]["time"] for path, text in STATE.items() if path.endswith("history.json")}
    assert {row["time"] for row in rows} == dates
    host.sh("jailssh image verify && jailssh update --all")


def test_what_the_old_version_changed_is_taken_back(host: Host) -> None:
    """By its own undo journals: an account that it made goes, one that was there before has its shell again."""
    host.sh("jailssh deluser alice --yes && jailssh deluser carol --yes && jailssh deluser git --yes")
    assert host.scratch.run(["getent", "passwd", "alice"]).code != 0
    assert host.sh("getent passwd carol").strip().endswith(":/bin/bash")
    host.sh("rm /etc/jailssh/jailssh.conf /etc/jailssh/jails/team.conf && jailssh setup --undo --yes")
    for path in ("/etc/jailssh", "/etc/ssh/sshd_config.d/20-jailssh.conf", "/usr/share/pam-configs/jailssh"):
        host.sh(f"! ls -d {path} && ! getent group jailssh")


def test_an_old_manifest_is_read() -> None:
    found = manifest.from_json((LEFT / "manifest.json").read_text())
    assert (found.generation, len(found.entries)) == ("ad64404ef5d31fca1f65", 33)


@pytest.mark.parametrize("path", [path for path in STATE if "/plan.v1/" in path])
def test_an_old_plan_is_read(path: str) -> None:
    plan = codec.decode(STATE[path].replace("[first key]", "A" * 68).replace("[second key]", "A" * 68).encode())
    assert plan.uid == int(path.rpartition("/")[2].partition(".")[0])
