"""Which trees processes have mounted: those of this layout, by whatever path, and no others of the machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jailssh.host.paths import Layout
from jailssh.image import pool

pytestmark = pytest.mark.needs("root", "namespaces")
GENERATION = "0123456789abcdef0123"


@pytest.fixture
def place() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="jailssh test-"))
    yield path
    shutil.rmtree(path)


def with_tree(root: Path) -> Layout:
    layout = Layout(root=str(root))
    os.makedirs(pool.tree_path(layout, GENERATION))
    return layout


@contextmanager
def elsewhere(script: str, *args: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a script in a mount namespace of its own, which stays for the block."""
    command = ["unshare", "-m", "sh", "-ec", f"{script}\necho ready\nread x", "sh", *args]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process
        finally:
            process.communicate(b"\n", timeout=30)


def test_the_same_generation_of_another_layout_is_another_tree(place: Path) -> None:
    one, two = with_tree(place / "one"), with_tree(place / "two")
    (place / "mnt").mkdir()
    with elsewhere('mount --bind "$1" "$2"', pool.tree_path(one, GENERATION), place / "mnt") as process:
        assert {name: [user.pid for user in users] for name, users in pool.mounted(one).items()} == {
            GENERATION: [process.pid]
        }
        assert pool.mounted(two) == {}
        assert pool.prune(one).generations == ()
        assert pool.prune(two).generations == (GENERATION,)
    assert pool.mounted(one) == {}
    assert pool.prune(one).generations == (GENERATION,)


def test_a_tree_counts_by_whatever_path_it_was_mounted(place: Path) -> None:
    one, two = with_tree(place / "one"), with_tree(place / "two")
    for name in ("alias", "mnt"):
        (place / name).mkdir()
    inside = pool.tree_path(Layout(root=str(place / "alias")), GENERATION)
    with elsewhere('mount --bind "$1" "$2"; mount --bind "$3" "$4"', place / "one", place / "alias", inside,
                   place / "mnt"):  # fmt: skip
        assert set(pool.mounted(one)) == {GENERATION}
        assert pool.mounted(two) == {}
    # And so does one on which something else is mounted: its place is in use.
    with elsewhere('mount -t tmpfs none "$1"', pool.tree_path(two, GENERATION)):
        assert set(pool.mounted(two)) == {GENERATION}
        assert pool.mounted(one) == {}


def test_a_file_system_of_its_own(place: Path) -> None:
    """The layout on a mount of its own, as /var often is; the paths in the file system are shorter there."""
    root = place / "root"
    root.mkdir()
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from jailssh.host.paths import Layout\n"
        "from jailssh.image import pool\n"
        "print(*pool.mounted(Layout(root=sys.argv[2])))\n"
    )
    source = Path(pool.__file__).parents[2]
    tree = pool.tree_path(Layout(root=str(root)), GENERATION)
    (place / "mnt").mkdir()
    mount = 'mount -t tmpfs none "$3"; mkdir -p "$4"; mount --bind "$4" "$5"; exec python3 -c "$1" "$2" "$3"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", mount, "sh", script, source, root, tree, place / "mnt"],
        capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert (done.stdout, done.returncode) == (f"{GENERATION}\n", 0), done.stderr


def test_without_trees_nothing_is_mounted(place: Path) -> None:
    layout = Layout(root=str(place / "none"))
    assert pool.prune(layout).generations == ()
