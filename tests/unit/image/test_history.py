"""A jail's history file, its mark of a failed update, and names in the pool."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jailssh.core.errors import UsageError
from jailssh.host.paths import Layout
from jailssh.image import history, pool
from jailssh.image.history import Failure, History, add_step, clear_failed, failed_update, mark_failed, read_history

pytestmark = pytest.mark.needs("root")
ONE, TWO = "1" * 20, "2" * 20


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(root=str(tmp_path))
    os.makedirs(f"{layout.images}/lab")
    return layout


def test_steps(layout: Layout) -> None:
    assert read_history(layout, "lab") == History()
    for generation in (ONE, TWO, TWO, ONE):
        add_step(layout, "lab", generation, "built")
    found = read_history(layout, "lab")
    assert [step.generation for step in found.steps] == [ONE, TWO, ONE]
    assert found.generations() == (ONE, TWO)
    add_step(layout, "lab", TWO, "rollback", pinned=True)
    assert (read_history(layout, "lab").pinned, read_history(layout, "lab").steps[-1].how) == (True, "rollback")
    add_step(layout, "lab", TWO, "built")
    assert not read_history(layout, "lab").pinned


def test_only_so_many_steps_are_kept(layout: Layout) -> None:
    for number in range(60):
        add_step(layout, "lab", f"{number:020x}", "built")
    steps = read_history(layout, "lab").steps
    assert (len(steps), steps[-1].generation) == (history._KEEP, f"{59:020x}")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"steps": 1}', '{"steps": [{}], "pinned": false}'])
def test_a_damaged_file_is_as_good_as_none(layout: Layout, text: str) -> None:
    Path(f"{layout.images}/lab/history.json").write_text(text)
    assert read_history(layout, "lab") == History()


def test_a_file_that_others_can_write_to_is_not_believed(layout: Layout) -> None:
    add_step(layout, "lab", ONE, "rollback", pinned=True)
    os.chmod(f"{layout.images}/lab/history.json", 0o666)
    assert read_history(layout, "lab") == History()


def test_the_mark_of_a_failed_update(layout: Layout) -> None:
    assert failed_update(layout, "lab") is None
    mark_failed(layout, "lab", ["why", "and why"])
    found = failed_update(layout, "lab")
    assert found is not None
    assert found.lines == ("why", "and why")
    clear_failed(layout, "lab")
    assert failed_update(layout, "lab") is None


@pytest.mark.parametrize("text", ["", "[]", '{"time": 1}', '{"time": "x", "lines": []}'])
def test_a_damaged_mark_is_a_failure_too(layout: Layout, text: str) -> None:
    Path(f"{layout.images}/lab/failed.json").write_text(text)
    assert failed_update(layout, "lab") == Failure(0, ("the mark of a failed update is damaged",))


@pytest.mark.parametrize("target", ["../.pool/../../x", f"/{ONE}", ONE, f"../.pool/{ONE}/x", f"../.pool/{ONE}\n"])
def test_a_link_that_leads_elsewhere_is_no_image(layout: Layout, target: str) -> None:
    os.makedirs(f"{layout.images}/.pool/{ONE}")
    os.symlink(target, f"{layout.images}/lab/current")
    assert pool.current_generation(layout, "lab") is None
    os.unlink(f"{layout.images}/lab/current")
    os.symlink(pool.link_to(ONE), f"{layout.images}/lab/current")
    assert pool.current_generation(layout, "lab") == ONE


def test_names_of_jails_are_checked(layout: Layout) -> None:
    for name in ("../lab", ".pool", "", "a/b"):
        with pytest.raises(UsageError):
            read_history(layout, name)
