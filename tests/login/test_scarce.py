"""Without memory nothing is allowed and nothing is half read."""

from __future__ import annotations

from pathlib import Path

import pytest

from jailssh.plan import codec
from jailssh.policy.rules import Rule
from tests.login.driver import Driver, joined
from tests.login.jails import plan_of, plan_with

pytestmark = pytest.mark.needs("gcc", "sanitizers")

TOOL = Rule(
    "r", "p", "/bin/r", ("r",), short_options=(("T", "path"),), long_options=(("dir", "path"),), path_roots=("/srv",),
    relative_to="/srv", operands=(0, 9, "path"),
)  # fmt: skip
NO_LIMIT = 0


@pytest.mark.parametrize(
    ("allocation", "reason"), [(1, "no memory for the plan"), (2, "no memory for the plan"), (3, "")]
)
def test_the_plan_reader(scarce_driver: Driver, allocation: int, reason: str) -> None:
    case = codec.encode(plan_of("shell"))
    assert scarce_driver.parts("plan", [case], scarce=allocation)[0][0] == reason


@pytest.mark.parametrize("command", ["r x", "r -T/srv/x", "r --dir=/srv/x", "r --dir /srv/x ./y"])
def test_the_matcher(scarce_driver: Driver, tmp_path: Path, command: str) -> None:
    plan = tmp_path / "plan"
    plan.write_bytes(codec.encode(plan_with([TOOL])))
    before = 2  # the plan's own
    case = [joined(["", "c", command])]
    allowed = scarce_driver.parts("match", case, plan, NO_LIMIT)[0]
    assert allowed[0] == ""
    denials = 0
    while (answer := scarce_driver.parts("match", case, plan, before + 1 + denials)[0]) != allowed:
        assert answer[0] != "" and answer[6:] == []
        denials += 1
    assert denials >= 2
