"""Paths on the host and paths in a jail: the few functions that lead from one to the other."""

from __future__ import annotations

import pytest

from jailssh.core.names import HostPath, JailPath, below, directory_of, joined, same_place, same_source


@pytest.mark.parametrize(
    ("root", "path", "host"),
    [
        ("/srv/jail", "/etc/passwd", "/srv/jail/etc/passwd"),
        ("/srv/jail", "/", "/srv/jail"),
        ("/", "/etc", "/etc"),
    ],
)
def test_a_path_of_a_tree_is_below_its_root(root: str, path: str, host: str) -> None:
    assert below(HostPath(root), JailPath(path)) == host


def test_what_keeps_its_place_has_one_path() -> None:
    assert same_source(same_place(HostPath("/usr/bin/git"))) == "/usr/bin/git"


def test_names_and_directories() -> None:
    assert [joined(HostPath(path), "lib/x") for path in ("/usr", "/")] == ["/usr/lib/x", "/lib/x"]
    assert [directory_of(JailPath(path)) for path in ("/usr/bin/git", "/usr", "/")] == ["/usr/bin", "/", "/"]
