"""Every shape of rule beside every limit: the command runs, is held to the limit, and its session is whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jailssh.plan import codec
from jailssh.policy.rules import Rule, check_rules, rule_records
from tests.root import login_lab
from tests.root.login_lab import Lab, assert_ended, record
from tests.root.relay_lab import FAST, limited

pytestmark = login_lab.NEEDS
every_lab, set_uid_lab = login_lab.every_lab, login_lab.set_uid_lab

PLAIN = Rule("lab.shape", "lab", "/bin/probe", ("shape",), argv_prefix=("cat",))
FIRST = ("/bin/probe", "exit", "0")
SHAPES = {
    "plain": PLAIN,
    "pre_command": replace(PLAIN, pre_command=FIRST),
    "stderr_to_journal": replace(PLAIN, stderr_to_journal=True),
    "noexec": replace(PLAIN, noexec=True),
    "create_only": replace(PLAIN, create_only=True),
    "all": replace(PLAIN, pre_command=FIRST, stderr_to_journal=True, noexec=True, create_only=True),
    "builtin_reply": replace(PLAIN, builtin_reply=(0, "")),
}
LIMITS = {
    "none": (),
    "fsize": (record("rlimit", "fsize", 4096),),
    "nproc": (record("rlimit", "nproc", 64),),
    "nofile": (record("rlimit", "nofile", 32),),
    "bandwidth": (FAST,),
    "slow": (record("bandwidth", 1 << 20),),
    "idle": (record("idle", 20),),
    "duration": (record("duration", 20),),
    "sessions": (record("sessions", 2),),
    "nice": (record("nice", 5),),
    "hours": (record("hours", 127, 0, 1440),),
    "every": (
        *(record("rlimit", name, value) for name, value in (("fsize", 4096), ("nproc", 64), ("nofile", 32))),
        FAST, record("idle", 20), record("duration", 20), record("sessions", 2), record("nice", 5),
    ),
}  # fmt: skip
TEXT = bytes(range(256)) * 256


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_with_a_limit(set_uid_lab: Lab, shape: str, limit: str) -> None:
    rule = SHAPES[shape]
    check_rules([rule])
    parsed = codec.decode(limited(*LIMITS[limit]))
    rows = (*parsed.records, *(record(*row) for row in rule_records(rule)))
    set_uid_lab.publish(codec.encode(replace(parsed, records=rows)))
    done = set_uid_lab.login("shape", input=b"" if shape == "builtin_reply" else TEXT)
    assert_ended(done, 0)
    assert done.out == (b"" if shape == "builtin_reply" else TEXT)
    assert done.err == b""
    set_uid_lab.assert_nothing_left()
