"""Members of closed sets are the words that stand in files, in JSON and in messages."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, dataclass
from typing import cast

import pytest

from jailssh.core.closed import Word


class Fruit(Word):
    PEAR = "pear"
    FIG = "fig"


@dataclass(frozen=True)
class Basket:
    first: Fruit


def test_a_member_is_written_as_its_word() -> None:
    fig = Fruit.FIG
    assert [str(fig), repr(fig), f"{fig}", f"{fig!r:>6}", "%s" % fig] == ["fig", "'fig'", "fig", " 'fig'", "fig"]  # noqa: UP031
    assert repr(Basket(fig)).endswith("Basket(first='fig')")
    assert json.dumps({"a": [fig], fig: asdict(Basket(fig))}) == '{"a": ["fig"], "fig": {"first": "fig"}}'
    assert copy.deepcopy(fig) is fig


def test_a_member_and_its_word_are_the_same_key() -> None:
    assert hash(Fruit.FIG) == hash("fig")
    assert cast("dict[str, int]", {Fruit.FIG: 1})["fig"] == cast("dict[Fruit, int]", {"fig": 1})[Fruit.FIG] == 1
    assert sorted([Fruit.PEAR, "grape", Fruit.FIG]) == ["fig", "grape", "pear"]


def test_another_word_is_no_member() -> None:
    assert Fruit("pear") is Fruit.PEAR
    with pytest.raises(ValueError, match="'plum' is not a valid Fruit"):
        Fruit("plum")
