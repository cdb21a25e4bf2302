"""No rule of a jail is dead, and none hides another: whatever two rules could both take is refused, naming both."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from jailssh.core.errors import ConfigError
from jailssh.plugin.answers import type_mismatch
from jailssh.plugin.api import Option, PluginResult
from jailssh.policy.rules import ANY, UNBOUNDED, Rule, RuleError, check_rules

BASE = Rule(
    "a.one", "a", "/usr/bin/x", ("x",), short_flags="ab", long_options=(("num", "int:0:9"),), operands=(0, 2, "word")
)
# Each takes all that another of them takes, or a part of it.
COVERING = [
    BASE,
    replace(BASE, short_flags="abc"),
    replace(BASE, short_flags=""),
    replace(BASE, long_options=()),
    replace(BASE, long_options=(("num", "text"),)),
    replace(BASE, operands=(0, 0, "text")),
    replace(BASE, operands=(0, 1, "word")),
    replace(BASE, operands=(0, 9, "text")),
    replace(BASE, command_names=("y", "x")),
    replace(BASE, command_names=("x y",)),
    replace(BASE, program="/usr/bin/other"),
    replace(BASE, ignore_arguments=True, operands=(0, 0, "text"), short_flags="", long_options=()),
    replace(BASE, builtin_reply=(126, "no")),
    replace(BASE, short_options=(("n", "word"),)),
]


@pytest.mark.parametrize("first", range(len(COVERING)))
def test_a_rule_that_another_covers_is_refused_in_either_order(first: int) -> None:
    for second in range(len(COVERING)):
        one, two = COVERING[first], replace(COVERING[second], id="b.two", plugin="b")
        for pair in ((one, two), (two, one)):
            with pytest.raises(RuleError) as caught:
                check_rules(pair)
            assert caught.value.what == f"rules {pair[0].id} and {pair[1].id}"
            assert "both claim 'x" in caught.value.why or "both claim 'y" in caught.value.why
            assert caught.value.plugins == (pair[0].plugin, pair[1].plugin)
            assert "only one of the plugins" in caught.value.hint


def test_two_rules_of_one_plugin_and_two_for_every_command() -> None:
    with pytest.raises(RuleError, match=r"rules a\.one and a\.two") as caught:
        check_rules([BASE, replace(BASE, id="a.two")])
    assert caught.value.hint == "remove one of them"
    whole = Rule("a.sh", "a", "/bin/sh", (ANY,), operands=(0, UNBOUNDED, "text"))
    with pytest.raises(RuleError, match=r"rules a\.sh and b\.sh"):
        check_rules([whole, replace(whole, id="b.sh", plugin="b")])
    check_rules([whole, BASE])  # What is described comes before what takes everything.


def test_rules_that_are_apart_stand_beside_each_other() -> None:
    apart = [
        replace(BASE, id="a.lit", literal_words=("serve",)),
        replace(BASE, id="a.lit2", literal_words=("send",)),
        replace(BASE, id="a.other", command_names=("z",)),
        replace(BASE, id="a.need", command_names=("scp",), short_flags="tr", required_letters="t"),
        replace(BASE, id="a.need2", command_names=("scp",), short_flags="fr", required_letters="f"),
    ]
    for rules in itertools.permutations(apart):
        check_rules(rules)


def test_a_rule_that_nothing_can_match_is_refused() -> None:
    for dead in (
        replace(BASE, command_names=()),
        replace(BASE, required_letters="z"),
        replace(BASE, operands=(2, 1, "word")),
    ):
        with pytest.raises(ConfigError, match=r"rule a\.one of plugin a"):
            check_rules([dead])


def test_what_a_plugin_answers_is_looked_at_to_the_last_part() -> None:
    good = PluginResult(
        (BASE, replace(BASE, cluster_tail=("e", "capabilities"), builtin_reply=(0, "x"))), "a", env=(("A", "b"),)
    )
    assert type_mismatch(good, PluginResult) == ""
    anything: Any = replace  # with values of other types than the fields have
    for bad, where in (
        (anything(good, rules=[BASE]), "rules is list, not tuple"),
        (anything(good, rules=(BASE, None)), "rules[1] is NoneType, not Rule"),
        (anything(good, rules=(anything(BASE, command_names=("x", 5)),)), "rules[0].command_names[1] is int, not str"),
        (anything(good, rules=(anything(BASE, operands=(0, "9", "word")),)), "rules[0].operands[1] is str, not int"),
        (anything(good, rules=(anything(BASE, operands=(0, 9)),)), "rules[0].operands has 2 parts, not 3"),
        (anything(good, rules=(anything(BASE, cluster_tail=("e",)),)), "rules[0].cluster_tail has 1 parts, not 2"),
        (anything(good, rules=(anything(BASE, glob=1),)), "rules[0].glob is int, not bool"),
        (anything(good, env=(("A", b"b"),)), "env[0][1] is bytes, not str"),
        (anything(good, capability=None), "capability is NoneType, not str"),
        ({"rules": ()}, "result is dict, not PluginResult"),
    ):
        assert type_mismatch(bad, PluginResult) == where
    assert type_mismatch((Option("a", "word", "", "h"),), tuple[Option, ...]) == ""
