"""One statement for each path: the last, the explicit, and no mixture of kinds."""

from __future__ import annotations

import pytest

from jailssh.core.names import HostPath, JailPath
from jailssh.jailspec.merge import merge
from jailssh.jailspec.statements import Copy, Directory, Origin, Package, Statement, Symlink, Tree, claim
from tests.unit.spec_tools import errors, notes, spec

O = Origin("")  # noqa: E741


def claims(text: str, **options: object) -> list[tuple[str, str] | None]:
    return [claim(each) for each in spec(text, **options).statements]


@pytest.mark.parametrize(
    "text", ["/a /x\n/b/ \n/x -> /b override\n", "/x/\n/x -> /b override\n", "/x c 1 3\n/x -> /b override\n"]
)
def test_override_takes_the_place_of_another_kind(text: str) -> None:
    assert ("/x", "symbolic link") in claims(text)
    assert "counts instead of t.jailspec:1:1" in notes(spec(text))[0]


def test_override_of_the_earlier_does_not_help() -> None:
    (error,) = errors("/a /x override\n/x/\n")
    assert error.why == "/x is a directory here, but a file in t.jailspec:1:1"
    assert "override" in error.hint


def test_a_text_is_a_file_like_any_other() -> None:
    assert claims("/a /x\ncontent /x 'new'\n") == [("/x", "file")]


def test_what_is_said_twice_is_said_once() -> None:
    found = spec("/a\n//a\n/./a/.\n" * 2 + "run x\nrun x\n")
    assert found.statements == (Copy(HostPath("/a"), origin=O),)
    assert found.notes == ()
    assert len(found.runs) == 2


@pytest.mark.parametrize("above", ["/a /x", "/x c 1 3", "/x => /a", "content /x 'a'"])
def test_nothing_lies_below_a_file(above: str) -> None:
    (error,) = errors(f"/x/y/z/\n{above}\n")
    assert error.why == "/x/y/z cannot lie below /x"
    assert error.origin.line == 1
    assert "t.jailspec:2:1" in error.hint


def test_below_a_link_no_parent_is_implied() -> None:
    found = spec("/lib64 -> usr/lib64/\n/lib64/a/b/c/\n/opt/x/\n")
    assert [each.path for each in found.parents] == ["/lib64/a", "/lib64/a/b", "/opt"]


def test_explicit_directories_are_not_implied() -> None:
    found = spec("/d/e/ 755\n/d/ 700\n")
    assert found.parents == ()
    assert found.statements == (
        Directory(JailPath("/d/e"), 0o755, origin=O),
        Directory(JailPath("/d"), 0o700, origin=O),
    )


def test_patterns_trees_and_packages_are_kept_in_order() -> None:
    found = spec("tree /a\n/b/*\npackage cc\ntree /a\n")
    assert found.statements == (
        Copy(HostPath("/b/*"), glob=True, origin=O),
        Package("cc", origin=O),
        Tree(HostPath("/a"), origin=O),
    )


def test_conflicts_do_not_hide_other_errors() -> None:
    assert [error.origin.line for error in errors("/x/\n/a /x\n/y/ 9\n/y/\n/y -> a\n")] == [2, 3, 5]


def at(line: int, strength: int) -> Origin:
    return Origin("t", line, 1, strength=strength)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 2), (0, 2)])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("first_wins", [False, True])
def test_the_stronger_wins_in_any_order(first: int, second: int, swapped: bool, first_wins: bool) -> None:
    weak: Statement = Directory(JailPath("/x"), origin=at(1, first))
    strong: Statement = Symlink(JailPath("/x"), "y", origin=at(2, second))
    found, conflicts = merge([strong, weak] if swapped else [weak, strong], first_wins=first_wins)
    assert found.statements == (strong,)
    assert conflicts == []
    assert [str(note) for note in found.notes] == ["t:2:1: /x: counts instead of t:1:1"]
