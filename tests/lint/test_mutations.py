"""Every mutation of the table can be made: its text stands in the source, once.  Whether it is caught takes longer."""

from __future__ import annotations

import ast

import pytest

from tests.abilities import REPO
from tests.mutations.musts import MUSTS
from tests.mutations.pam import MODULE
from tests.mutations.python import RULES
from tests.mutations.table import Mutation, MutationError

ROWS = [*MUSTS, *MODULE, *RULES]


@pytest.mark.parametrize("mutation", ROWS, ids=lambda mutation: mutation.name)
def test_it_can_be_made(mutation: Mutation) -> None:
    file, text = mutation.find(REPO)
    assert text != file.read_text()
    if file.suffix == ".py":
        ast.parse(text)


def test_each_names_tests_that_are_there() -> None:
    for mutation in ROWS:
        assert mutation.tests, mutation.name
        for test in mutation.tests:
            path, _, name = test.partition("::")
            assert (REPO / path).is_file(), test
            assert not name or f"def {name.split('[')[0]}(" in (REPO / path).read_text(), test


def test_a_text_that_is_not_there_once_is_refused() -> None:
    for old in ("no such text", "return"):
        with pytest.raises(MutationError, match="not once"):
            Mutation("none", "jailssh/login", old, "", ()).find(REPO)


def test_names_are_their_own() -> None:
    names = [mutation.name for mutation in ROWS]
    assert sorted({name for name in names if names.count(name) > 1}) == []
