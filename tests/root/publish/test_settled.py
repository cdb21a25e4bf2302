"""What ``apply`` does not look at again, and that whatever changes under it is looked at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from jailssh.scratch.host import ScratchHost

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]

KEPT = "/var/lib/jailssh/check/kept.json"
PLANS = "/var/lib/jailssh/plan.v1"
NAMES = ("ann", "ben")


class Host:
    """Two accounts in a jail of the administrator's own, of which ``apply`` has found that all is right."""

    def __init__(self, scratch: ScratchHost) -> None:
        self.scratch = scratch

    def sh(self, command: str) -> str:
        return self.scratch.run(["sh", "-ec", command], check=True).stdout

    def apply(self) -> str:
        return self.sh("jailssh apply --details")

    def settled(self) -> set[str]:
        """Return of whom it is kept that all is right, as it would hold for a run now."""
        before = self.kept()
        self.apply()
        after = self.kept()
        return {name for name, row in before.items() if after.get(name) == row}

    def kept(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = json.loads(self.sh(f"cat {KEPT}"))["kept"].get("applied", {})
        return found

    def plan(self, name: str) -> str:
        return self.sh(f"cat {PLANS}/$(id -u {name}) | tr '\\0' ' '")


@pytest.fixture(scope="module")
def host(staged_prefix: str) -> Iterator[Host]:
    with ScratchHost(install={staged_prefix: "/usr/local"}) as scratch:
        scratch.start_journald()
        host = Host(scratch)
        host.sh("ssh-keygen -A >/dev/null; rm -rf /etc/postfix /etc/exim4 /var/lib/jailssh /etc/jailssh /srv/show")
        host.sh("jailssh setup --yes; mkdir -p /etc/jailssh/jails /srv/show")
        scratch.write("/etc/jailssh/jails/own.conf", "plugins = sftp rsync\n[rsync]\nread = /srv/show\n")
        for name in NAMES:
            host.sh(f"jailssh adduser {name} --jail own --yes")
        host.apply()
        yield host


def test_what_is_right_is_not_looked_at_again(host: Host) -> None:
    host.apply()
    assert host.settled() == set(NAMES)
    assert host.apply() == "no changes\n"
    # What is kept is what is told: nobody has looked.
    host.scratch.run(
        ["sed", "-i", 's/"ann":\\["\\([^"]*\\)",\\[\\[/"ann":["\\1",[[["what","MARK",""]/', KEPT], check=True
    )
    done = host.scratch.run(["jailssh", "apply"], check=True)
    assert "what: MARK" in done.stderr
    host.sh(f"rm {KEPT}")
    host.apply()
    assert host.settled() == set(NAMES)


# What is done, whom it concerns, what ``apply`` says, how it is taken back.
CHANGES: dict[str, tuple[str, set[str], str, str]] = {
    "the account's file": (
        "cp /etc/jailssh/users/ann.conf /root/ann.conf; "
        "printf '[limits]\\nsessions = 3\\n' >> /etc/jailssh/users/ann.conf",
        {"ann"}, "ann (uid", "cat /root/ann.conf > /etc/jailssh/users/ann.conf",
    ),
    "its plan, with its times put back": (
        f"cp -p {PLANS}/$(id -u ann) /root/plan; printf X | dd of={PLANS}/$(id -u ann) conv=notrunc bs=1 seek=30 "
        f"status=none; touch -r /root/plan {PLANS}/$(id -u ann)",
        {"ann"}, "ann (uid", "true",
    ),
    "its plan is gone": (f"rm {PLANS}/$(id -u ann)", {"ann"}, "ann (uid", "true"),
    "another's plan in its place": (
        f"cp -p {PLANS}/$(id -u ben) {PLANS}/$(id -u ann)", {"ann"}, "ann (uid", "true",
    ),
    "the jail": (
        "sed -i '1a umask = 027' /etc/jailssh/jails/own.conf", set(NAMES), "ben (uid",
        "sed -i 2d /etc/jailssh/jails/own.conf",
    ),
    "a directory that the jail shows": (
        "chgrp daemon /srv/show", set(NAMES), "no changes", "chgrp root /srv/show",
    ),
    "its home": ("chmod 711 /home/ann", {"ann"}, "no changes", "chmod 700 /home/ann"),
    "its line": ("usermod -c Ann ann", {"ann"}, "", "usermod -c '' ann"),
    "named keys": (
        "install -d -m 755 /etc/jailssh/keys.d/ann", {"ann"}, "", "rmdir /etc/jailssh/keys.d/ann",
    ),
    "a group": ("groupadd somebody", set(NAMES), "no changes", "groupdel somebody"),
    "a note of whose its name is": (
        "echo 4 > /var/lib/jailssh/owners/ann", {"ann"}, "", "true",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_is_looked_at(host: Host, name: str) -> None:
    change, concerned, said, back = CHANGES[name]
    plans = [host.plan(each) for each in NAMES]
    host.apply()
    host.apply()
    assert host.settled() == set(NAMES)
    host.sh(change)
    before = host.kept()
    told = host.scratch.run(["jailssh", "apply", "--details"]).stdout
    after = host.kept()
    assert {each for each in NAMES if after.get(each) != before[each]} == concerned
    assert said in told
    host.sh(back)
    host.apply()
    assert [host.plan(each) for each in NAMES] == plans


def test_a_program_of_the_host_that_the_jail_needs(host: Host) -> None:
    """No file of the configuration or the account changes with it."""
    host.apply()
    assert host.settled() == set(NAMES)
    host.sh("mount -t tmpfs none /usr/lib/openssh")
    done = host.scratch.run(["jailssh", "apply"])
    host.sh("umount /usr/lib/openssh")
    assert done.code == 1 and "sftp-server" in done.stderr
    host.apply()


DAMAGED = ("", "{", "[]", '{"version": 1, "kept": 7}', '{"version": 1, "kept": {"applied": 5}}',
           '{"version": 1, "kept": {"applied": {"ann": ["", [[], []], [], ""], "ben": 5}}}')  # fmt: skip


def test_the_time_zone_of_a_last_day_that_only_an_account_has(host: Host) -> None:
    conf = "/etc/jailssh/users/ann.conf"
    host.sh(f"cp {conf} /root/own.conf; printf '[limits]\\nexpires = 2040-01-01\\n' >> {conf}")
    host.sh("rm -f /etc/localtime; ln -s /usr/share/zoneinfo/Etc/UTC /etc/localtime")
    host.apply()
    host.apply()
    assert host.settled() == set(NAMES)
    before = host.plan("ann")
    host.sh("ln -sfn /usr/share/zoneinfo/Etc/GMT-9 /etc/localtime")
    host.apply()
    assert host.plan("ann") != before
    host.sh("ln -sfn /usr/share/zoneinfo/Etc/UTC /etc/localtime; jailssh apply")
    assert host.plan("ann") == before
    host.sh(f"cat /root/own.conf > {conf}; jailssh apply")


def test_another_member_of_a_group_that_the_plans_name(host: Host) -> None:
    """His line alone changes, which no stamp of theirs is of."""
    host.sh("groupadd team; useradd -G team other; usermod -aG team ann; usermod -aG team ben")
    host.sh("printf 'supplementary_groups = team\\ngroup_members = yes\\n' | "
            "sed -i '1r /dev/stdin' /etc/jailssh/jails/own.conf; jailssh apply")  # fmt: skip
    assert host.settled() == set(NAMES)
    host.sh("usermod -u 7777 other")
    told = host.apply()
    plans = [host.plan(name) for name in NAMES]
    host.sh("sed -i 2,3d /etc/jailssh/jails/own.conf; jailssh apply; userdel other; groupdel team")
    assert all("7777" in plan for plan in plans)
    assert all(f"{name} (uid" in told for name in NAMES)


@pytest.mark.parametrize("text", DAMAGED)
def test_what_is_kept_may_be_damaged(host: Host, text: str) -> None:
    host.sh(f"printf '%s' '{text}' > {KEPT}; rm {PLANS}/[0-9]*")
    assert all(f"{name} (uid" in host.apply() or host.plan(name) for name in NAMES)
    host.apply()
    assert host.settled() == set(NAMES)


def test_what_somebody_else_could_have_written_is_not_believed(host: Host) -> None:
    """With what is kept writable by a group, the account of a changed plan is looked at, and the other too."""
    host.apply()
    assert host.settled() == set(NAMES)
    before = host.sh(f"cat {KEPT}")
    host.sh(f"chmod 620 {KEPT}; chmod 711 /home/ann")
    host.apply()
    assert host.sh(f"stat -c %a {KEPT}") == "600\n"
    assert host.sh(f"cat {KEPT}") != before
    host.sh("chmod 700 /home/ann")
    host.apply()


def test_a_promise_that_rests_on_a_default_acl_is_looked_at_each_time(host: Host) -> None:
    host.scratch.write("/etc/jailssh/jails/keeps.conf", "plugins = sftp\n[sftp]\nwrite_only = yes\n")
    host.sh("jailssh adduser cleo --jail keeps --yes; jailssh apply")
    assert host.settled() == set(NAMES)
    host.sh("mkdir '/home/cleo/$(id)'; setfacl -d -m g::rwx '/home/cleo/$(id)'")
    done = host.scratch.run(["jailssh", "apply"])
    host.sh("jailssh deluser cleo --remove-home --yes; rm /etc/jailssh/jails/keeps.conf")
    assert done.code == 1 and "default ACL" in done.stderr
    assert "hint: setfacl -k '/home/cleo/$(id)'\n" in done.stderr
