"""``jailssh migrate`` killed at every point: a second run completes it, and everything goes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from jailssh.scratch.host import ScratchHost
from tests.harness.resident import Resident
from tests.harness.sampling import some
from tests.root.setup_lab import bare_prefix

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]

# How many of the points at which it is killed are tried; make test-matrix tries all.
MOST = 8
FILES = ("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow")
IMPORTS = """
import json, os, signal, sys
from jailssh.change import transaction
from jailssh.config.keys import NO_KEYS
from jailssh.core.errors import JailsshError
from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.migration import apply
from jailssh.migration.this_host import RealHost
from jailssh.migration.wanted import Wanted
from jailssh.sources.found import Found
from jailssh.setup import setup
"""
# The publisher is a stand-in: which plan is written is not the question here, and the real one would build images.
PROGRAM = """
layout = Layout(prefix="/usr/local")
spec = json.loads(sys.argv[1])
points, lines = [], []

class Publisher:
    min_uid = 1000
    deny_groups = ("sudo",)
    groups = ()
    def check(self, jails):
        pass
    def publish(self, entry):
        with open(f"{layout.users}/{entry.name}.conf") as stream:
            fs.atomic_write(f"{layout.plans}/{entry.uid}", ("plan " + stream.read()).encode(), mode=0o600)
        return "sftp"
    def make_image(self, jails):
        pass
    def withdraw(self, uid):
        fs.remove_file(f"{layout.plans}/{uid}")
    def tidy(self, uid):
        pass
    def keyring(self, name):
        return NO_KEYS
    def keys_text(self, entry):
        return ""
    def has_rights(self, jails):
        return False

    def shows_tops(self, jails):
        return False

def fault(point):
    points.append(point)
    if len(points) == spec.get("kill"):
        os.kill(os.getpid(), signal.SIGKILL)

found = tuple(
    Found(name, "jailkit", "/etc/passwd:9", home=f"/srv/j/home/{name}", inside=f"/home/{name}",
          settings={"": {"plugins": ("sftp",), "umask": "027"}}, called="from-jailkit")
    for name in ("al", "bo"))
text = 'plugins = sftp\\numask = "027"\\n'
plan = Wanted(found, (), dict.fromkeys(("al", "bo"), "from-jailkit"), {"from-jailkit": text}, {})
errors = []
try:
    if spec["do"] == "setup":
        setup.prepare(layout)
        with fs.lock(layout.lock):
            setup.apply(layout, setup.pending(layout, ()))
    elif spec["do"] == "apply":
        apply.write_jails(layout, plan, Publisher(), fault)
        trial = (lambda found: list) if spec.get("alone") else None
        results = list(apply.bring(layout, plan, Publisher(), apply.How(trial=trial), fault))
        errors = [str(result.error) for result in results if result.error]
        lines = apply.settle_shell(layout, RealHost(layout), ("al", "bo"))
    elif spec["do"] == "undo":
        lines = apply.undo_all(layout, Publisher())
    else:
        with fs.lock(layout.lock):
            for each in transaction.subjects(layout):
                transaction.recover(layout, each)
except JailsshError as error:
    errors = error.lines()
print(json.dumps({"errors": errors, "points": points, "lines": lines}))
"""


class Host:
    """A scratch host with two accounts in a chroot."""

    def __init__(self, scratch: ScratchHost) -> None:
        self.scratch = scratch
        self.driver = Resident(scratch, IMPORTS, PROGRAM, "/usr/local/source")

    def sh(self, command: str) -> str:
        """Run a script that must succeed."""
        return self.scratch.run(["sh", "-c", command], check=True).stdout

    def do(self, what: str, **spec: Any) -> list[str]:
        """Do it without an error; return the points between its steps."""
        points: list[str] = self._answer(what, spec)["points"]
        return points

    def undo(self) -> list[str]:
        """Take it back without an error; return the lines."""
        lines: list[str] = self._answer("undo", {})["lines"]
        return lines

    def _answer(self, what: str, spec: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.driver.run(json.dumps({"do": what, **spec})).stdout)
        assert not answer["errors"], answer
        return answer

    def killed(self, number: int, **spec: Any) -> None:
        """Apply, killed at a point."""
        assert self.driver.run(json.dumps({"do": "apply", "kill": number, **spec})).code not in (0, 1)

    def state(self) -> str:
        """Everything that may have been touched."""
        listing = "find /etc/jailssh /var/lib/jailssh /srv/j -not -name .lock -printf '%p %m %u %g %y\\n' | sort"
        return self.sh(f"cat {' '.join(FILES)}; {listing}")


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    prefix = bare_prefix(tmp_path_factory, "prefix-migrate", b"#!/bin/sh\nexit 0\n")
    with ScratchHost(install={str(prefix): "/usr/local"}) as scratch:
        host = Host(scratch)
        host.sh("mkdir -p /srv/j/home && for n in al bo; do useradd -m -d /srv/j/home/$n -s /bin/bash $n;"
                " usermod -d /srv/j/./home/$n $n; done")  # fmt: skip
        host.do("setup")
        yield host


@pytest.mark.parametrize("alone", [False, True], ids=["together", "one-by-one"])
def test_a_second_run_completes_and_undo_restores(host: Host, alone: bool) -> None:
    before = host.state()
    points = host.do("apply", alone=alone)
    assert len(points) > 10
    after = host.state()
    rows = host.sh("getent passwd al bo")
    assert rows.count("jailssh-login") == 2 and ":/srv/j/home/al:" in rows
    assert host.sh("cat /etc/jailssh/users/al.conf").splitlines()[1:] == ["jail = from-jailkit", "home = /home/al"]
    host.do("undo")
    assert host.state() == before
    for number in some(range(1, len(points) + 1), MOST, f"{alone}"):
        host.killed(number, alone=alone)
        if number % 2:
            host.do("recover")
        host.do("apply", alone=alone)
        assert host.state() == after, points[number - 1]
        host.do("undo")
        assert host.state() == before, points[number - 1]


def test_killed_and_taken_back_without_a_second_run(host: Host) -> None:
    before = host.state()
    points = host.do("apply")
    host.do("undo")
    for number in some(range(1, len(points) + 1), MOST // 2, "back"):
        host.killed(number)
        host.do("recover")
        host.do("undo")
        assert host.state() == before, points[number - 1]


JAIL = "/etc/jailssh/jails/from-jailkit.conf"


def test_a_jail_that_was_changed_since_stays(host: Host) -> None:
    host.do("apply")
    host.sh(f"echo '# by hand' >>{JAIL}")
    assert host.undo()[-1] == f"note: {JAIL} stays, since it was changed"
    assert host.sh(f"tail -n 1 {JAIL}") == "# by hand\n"
    assert host.sh("getent passwd al bo").count("jailssh-login") == 0


@pytest.mark.parametrize("line", ["groups = customers", "enter = bo"])
def test_a_jail_that_others_come_into_by_its_file_stays(host: Host, line: str) -> None:
    host.do("apply")
    host.sh(f"sed -i '1i {line}' {JAIL}")
    assert host.undo()[-1] == "note: jails stay, since accounts are in them: from-jailkit"
    assert host.sh(f"head -n 1 {JAIL}") == f"{line}\n"


def test_what_is_removed_is_told(host: Host) -> None:
    host.do("apply")
    assert host.undo()[-1] == f"- {JAIL}"


CRONTAB = "SHELL=/usr/sbin/jk_chrootsh\n@daily al /bin/true\n"


@pytest.mark.parametrize("changed", [False, True])
def test_a_crontab_that_was_changed_since_keeps_the_change(host: Host, changed: bool) -> None:
    host.scratch.write("/etc/crontab", CRONTAB)
    host.do("apply")
    brought = CRONTAB.replace("/usr/sbin/jk_chrootsh", "/usr/local/libexec/jailssh/jailssh-login")
    assert host.sh("cat /etc/crontab") == brought
    if changed:
        host.sh("echo '@daily root backup' >>/etc/crontab")
    said = host.undo()
    if changed:
        assert host.sh("cat /etc/crontab") == f"{brought}@daily root backup\n"
        assert "note: /etc/crontab stays, since it was changed: set SHELL= in it by hand" in said
    else:
        assert host.sh("cat /etc/crontab") == CRONTAB
        assert "restored: /etc/crontab" in said
