from __future__ import annotations

from jailssh.plugin.trials import Trial
from jailssh.selftest.report import Verdict
from jailssh.selftest.selftest import silent


def test_a_plugin_that_announces_nothing_is_not_taken_for_proved() -> None:
    use = Trial("spoken.use", "a use", command="x")
    (row,) = silent({"spoken": (use,), "none": (), "mute": None})
    assert (row.id, row.source, row.verdict) == ("mute.uses", "mute", Verdict.NOT_TRIED)
    assert row.happened == "not tried: the plugin has no method trials"
