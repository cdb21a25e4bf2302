"""The Ansible collection makes a host what is described, once: then nothing is left to do, and a failure goes back."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jailssh.scratch.host import Finished, ScratchHost
from tests.harness.keys import public_key
from tests.harness.source import REPO

pytestmark = pytest.mark.needs("root", "sshd", "journald", "login-program", "ansible")

PLAY = [{"hosts": "all", "gather_facts": False, "roles": ["jailssh.jailssh.jailssh"]}]
WANTED: dict[str, Any] = {
    "jailssh_jails": {"uploads": "plugins = sftp\numask = 027\n", "team": "plugins = sftp\n"},
    "jailssh_rights": {"git": "write team/* @devs\nread ** @all\n"},
    "jailssh_accounts": [
        {"name": "nina", "uid": 7001, "jail": "uploads", "keys": [public_key(1, "nina")]},
        {"name": "olaf", "jail": "uploads", "settings": "[limits]\nmax_sessions = 3\n"},
        {"name": "forge", "uid": 7003, "jail": "team"},
        {"name": "code", "uid": 7004, "jail": "git-hosting"},
    ],
    "jailssh_keys": [
        {"user": "forge", "name": "ann", "key": public_key(2, "ann"), "groups": ["devs"]},
        {"user": "forge", "name": "kim", "key": public_key(9, "kim")},
    ],
    "jailssh_canary": ["nina"],
    "jailssh_fail_on": "none",
}  # fmt: skip


class Host:
    """A scratch host with sshd and the collection, on which ansible-playbook runs by its connection "local"."""

    def __init__(self, scratch: ScratchHost) -> None:
        self.scratch = scratch
        scratch.start_journald()
        scratch.start_sshd()
        self.program = shutil.which("ansible-playbook", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        self.sh(f"useradd -m -s /bin/bash -u 7002 olaf; mkdir -p /srv/git /root/c/ansible_collections/jailssh;"
                f" cp -r {REPO}/packaging/ansible/jailssh /root/c/ansible_collections/jailssh/jailssh")  # fmt: skip
        scratch.write("/root/play.json", json.dumps(PLAY))

    def sh(self, text: str) -> str:
        """Run a script that must succeed."""
        return self.scratch.run(["sh", "-ec", text], check=True).stdout

    def play(
        self, wanted: dict[str, Any], *options: str, book: str = "/root/play.json"
    ) -> tuple[dict[str, int], Finished]:
        """Run the role, or another book; return how many tasks were ok, changed, failed, and what was said."""
        self.scratch.write("/root/wanted.json", json.dumps(wanted))
        assert self.program
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        env = {"ANSIBLE_COLLECTIONS_PATH": "/root/c", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_PIPELINING": "1",
               "HOME": "/root", "LC_ALL": "C.UTF-8", "PATH": path}  # fmt: skip
        words = [self.program, "-i", "here,", "-c", "local", "-e", "ansible_python_interpreter=/usr/bin/python3"]
        done = self.scratch.run([*words, "-e", "@/root/wanted.json", *options, book], env=env)
        recap = done.stdout.rpartition("PLAY RECAP")[2]
        return {word: int(number) for word, number in re.findall(r"(\w+)=(\d+)", recap)}, done

    def tasks(
        self, *wanted: tuple[str, dict[str, Any]], options: tuple[str, ...] = ()
    ) -> tuple[dict[str, int], Finished]:
        """Run modules alone."""
        rows = [{f"jailssh.jailssh.{module}": args} for module, args in wanted]
        self.scratch.write("/root/one.json", json.dumps([{"hosts": "all", "gather_facts": False, "tasks": rows}]))
        return self.play({}, *options, book="/root/one.json")

    def state(self) -> str:
        """What the role may change."""
        places = "/etc/jailssh /var/lib/jailssh/plan.v1"
        return self.sh(
            f"cat /etc/passwd /etc/group; find {places} -type f -not -name '.lock*' | sort | xargs sha256sum"
        )


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[Host]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        yield Host(scratch)


def test_a_host_becomes_what_is_described_and_then_nothing_changes(host: Host) -> None:
    first, said = host.play(WANTED)
    assert first["failed"] == first["unreachable"] == 0 and first["changed"] >= 4, said.stdout
    assert host.sh("ls /etc/jailssh/users") == "code.conf\nforge.conf\nnina.conf\nolaf.conf\n"
    assert host.sh("jailssh keys list forge").startswith("ann  devs") and "max_sessions" in host.sh(
        "cat /etc/jailssh/users/olaf.conf"
    )
    before = host.state()
    second, said = host.play(WANTED)
    assert (second["changed"], second["failed"]) == (0, 0) and host.state() == before, said.stdout
    # Nor is all well where accounts are as described, but their keys closed to sshd, or their jail is gone.
    accounts = ("jailssh_account", {"accounts": WANTED["jailssh_accounts"]})
    host.sh("chmod 600 /etc/jailssh/keys/nina; mv /etc/jailssh/jails/team.conf /root/")
    third, said = host.tasks(accounts)
    assert third["failed"] == 1 and "jail team: does not exist" in said.stdout, said.stdout
    host.sh("mv /root/team.conf /etc/jailssh/jails/")
    third, said = host.tasks(accounts)
    assert (third["changed"], third["failed"]) == (1, 0) and host.state() == before, said.stdout
    assert host.sh("stat -c %a /etc/jailssh/keys/nina") == "644\n"


def test_a_dry_run_says_what_a_run_does(host: Host) -> None:
    # What is kept has it as it is, and a dry run keeps nothing.
    host.sh("printf 'ours\\r\\n' >/etc/jailssh/notes; rm -r /var/lib/jailssh/archives")
    before = host.state()
    wanted = WANTED | {
        "jailssh_jails": WANTED["jailssh_jails"] | {"uploads": "plugins = sftp\numask = 077\n"},
        "jailssh_accounts": [WANTED["jailssh_accounts"][0] | {"keys": [public_key(3, "nina")]}],
        "jailssh_keys": [{"user": "forge", "name": "ann", "state": "absent"}],
    }
    dry, said = host.play(wanted, "--check", "--diff")
    assert dry["changed"] == 3 and dry["failed"] == 0 and host.state() == before, said.stdout
    host.sh("test ! -e /var/lib/jailssh/archives")
    assert "+umask = 077" in said.stdout and public_key(3).split()[1] in said.stdout and "-SHA256:" in said.stdout
    # A mistake anywhere, and the host is as before: what the run has changed by then is taken back.
    wrong = wanted | {"jailssh_accounts": [{"name": "zoe", "uid": 7009, "jail": "nosuch"}]}
    failed, said = host.play(wrong)
    assert failed["failed"] == 1 and "nosuch" in said.stdout and "back to /var/lib/jailssh/archives/" in said.stdout
    assert host.sh("cat /etc/jailssh/jails/uploads.conf") == WANTED["jailssh_jails"]["uploads"]
    assert host.state() == before, said.stdout


def test_a_dry_run_knows_what_it_would_have_made_before(host: Host) -> None:
    before = host.state()
    wanted = WANTED | {
        "jailssh_jails": WANTED["jailssh_jails"] | {"fresh": "plugins = git\n[git]\nroots = /srv/git\n"},
        "jailssh_accounts": [*WANTED["jailssh_accounts"], {"name": "rita", "uid": 7020, "jail": "fresh"}],
        "jailssh_keys": [{"user": "rita", "name": "sue", "key": public_key(5, "sue"), "groups": ["devs"]}],
    }
    dry, said = host.play(wanted, "--check", "--diff")
    assert (dry["changed"], dry["failed"]) == (3, 0) and host.state() == before, said.stdout
    assert said.stdout.count("+plugins = git") == 1 and "+ account rita" in said.stdout
    args = {"accounts": WANTED["jailssh_accounts"], "jails": wanted["jailssh_jails"]}
    dry, said = host.tasks(("jailssh_account", args), options=("--check",))
    assert (dry["changed"], dry["failed"]) == (0, 0), said.stdout


def test_another_key_takes_the_place_of_the_old_one_in_one_step(host: Host) -> None:
    def keys(*rows: dict[str, Any]) -> tuple[dict[str, int], Finished]:
        return host.tasks(*(("jailssh_key", {"user": "forge", "name": "ann", **row}) for row in rows))

    def shown() -> list[dict[str, Any]]:
        rows = json.loads(host.sh("jailssh keys list forge --json"))
        return [row for row in rows if row["name"] == "ann"]

    host.sh("printf '[groups]\\nothers = bob, ann\\ndevs = ann\\n# ours\\n' >/root/g;"
            " sed -i '/^.groups/,$d' /etc/jailssh/users/forge.conf; cat /root/g >>/etc/jailssh/users/forge.conf;"
            f" echo '{public_key(7, 'bob')}' >/etc/jailssh/keys.d/forge/bob.pub; jailssh apply")  # fmt: skip
    old = shown()
    # One that jailssh refuses leaves what was there: nothing has been removed for it.
    recap, said = keys({"key": "ssh-frob AAAA ann"})
    assert recap["failed"] == 1 and shown() == old, said.stdout
    new = {"key": f"{public_key(6, 'ann')}\n{public_key(8, 'ann')}", "groups": ["devs", "leads"]}
    recap, said = keys(new, new)
    assert (recap["changed"], recap["failed"]) == (1, 0), said.stdout
    assert [row["groups"] for row in shown()] == [["devs", "leads"]] * 2
    assert {row["fingerprint"] for row in shown()}.isdisjoint({row["fingerprint"] for row in old})
    text = host.sh("cat /etc/jailssh/users/forge.conf")
    assert "others = bob\n" in text and "leads = ann\n" in text and "# ours" in text
    assert public_key(2).split()[1] not in host.sh("cat /etc/jailssh/keys/forge /etc/jailssh/keys.d/forge/*")
    recap, said = keys({"key": public_key(2, "ann"), "groups": ["devs"]})
    assert recap["failed"] == 0 and [row["groups"] for row in shown()] == [["devs"]], said.stdout


def test_it_is_nobody_else_and_no_other_file(host: Host) -> None:
    host.sh("useradd -M -u 7010 paul; echo ours >/srv/x.conf")
    before = host.state()
    tasks: list[tuple[str, dict[str, Any], str]] = [
        ("jailssh_account", {"accounts": [{"name": "paul", "uid": 7011, "jail": "team"}]}, "has the uid 7010 here"),
        ("jailssh_jail", {"jails": {"../../../srv/x": ""}, "state": "absent"}, "is not valid"),
    ]
    for module, args, said in tasks:
        recap, done = host.tasks((module, args))
        assert recap["failed"] == 1 and said in done.stdout, done.stdout
    assert host.state() == before and host.sh("cat /srv/x.conf") == "ours\n"
