"""What `jailssh run` makes of its arguments."""

from __future__ import annotations

import argparse
import pathlib

import pytest

from jailssh.core.errors import UsageError
from jailssh.entering import run
from jailssh.host.paths import Layout


def plan(*words: str) -> None:
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    run._plan(parser.parse_args(["-U", "--no-terminal", *words]), Layout())


@pytest.mark.parametrize(
    "words", [("", "true"), ("--overlay", "", "tree"), ("--ro", "--layer", "", "tree"), ("--bind", ":/etc", "tree")]
)
def test_an_empty_name_is_not_the_directory_that_it_runs_in(
    words: tuple[str, ...], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tree").mkdir()
    monkeypatch.chdir(tmp_path)
    plan("tree")
    with pytest.raises(UsageError, match=r"is no directory|names no source"):
        plan(*words)
