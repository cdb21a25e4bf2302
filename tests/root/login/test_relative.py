"""Relative paths: judged as below the home, so the command starts there or not at all."""

from __future__ import annotations

import dataclasses

from jailssh.plan import codec
from jailssh.policy.rules import Rule, rule_records
from tests.root import login_lab
from tests.root.login_lab import Lab, assert_denied, assert_ended, plan, record

pytestmark = login_lab.NEEDS
set_uid_lab = login_lab.set_uid_lab

PEEK = Rule(
    "lab.peek", "lab", "/bin/probe", ("peek",), argv0="probe", argv_prefix=("cat",), path_roots=("/home/u",),
    relative_to="/home/u", operands=(1, 1, "path"),
)  # fmt: skip


def test_a_home_that_cannot_be_entered_is_not_replaced_by_another_directory(set_uid_lab: Lab) -> None:
    lab = set_uid_lab
    home = lab.path("/home/u")
    known = codec.decode(plan())
    # With a mask in the home the login ends before, unless the account shuts the home at just the right moment.
    records = [row for row in known.records if row.verb != "mask"]
    records += [record(*row) for row in rule_records(PEEK)]
    lab.publish(codec.encode(dataclasses.replace(known, records=tuple(records))))
    (home / "note").write_text("mine\n")
    (home / "note").chmod(0o644)
    done = lab.login("peek note")
    assert_ended(done, 0)
    assert done.out == b"mine\n"
    assert_denied(lab.login("peek /run/passwd"), "path-outside")
    home.chmod(0)
    # Below /, where the command would start otherwise, there is one.
    done = lab.login("peek run/passwd")
    assert (done.code, done.out) == (125, b"")
    assert "refused" in done.events()
    # What needs no home still works.
    assert_ended(lab.login("probe exit 0"), 0)
