"""Languages and tools of this host in a tree and in an image: each runs, loads a module, speaks https.

Those that are not installed here are tried in a Debian of their own: tests/system/test_languages.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.closure.manifest import EntryMap
from jailssh.closure.packages import installed
from jailssh.core.names import HostPath
from jailssh.files.editor import TreeEditor
from jailssh.host import sandbox
from jailssh.image.build import write_tree
from jailssh.image.resolve import resolve
from jailssh.plugin.api import ImageNeeds
from jailssh.tree.verify import languages_in
from tests.abilities import REPO
from tests.harness.languages import ROWS, faults
from tests.harness.removing import remove

pytestmark = pytest.mark.needs("root")


def _is_packaged(name: str) -> bool:
    """True for a program of a package of this host; what somebody has put here by hand may be anything."""
    path = shutil.which(name, path="/usr/bin:/bin")
    return path is not None and installed().owner(os.path.realpath(path)) is not None


HERE = [name for name in ROWS if _is_packaged(name)]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that only root can write to, all the way up, on a disk."""
    old = os.umask(0o022)
    path = Path(tempfile.mkdtemp(dir="/srv", prefix="jailssh-test-"))
    path.chmod(0o755)
    yield path
    os.umask(old)
    remove(path)


def build(place: Path, name: str, spec: str) -> subprocess.CompletedProcess[str]:
    """Build a tree in a process of its own and verify it."""
    (place / "state").mkdir(exist_ok=True)
    file = place / f"{name}.jailspec"
    file.write_text(spec)
    argv = [sys.executable, "-m", "jailssh", "--root", f"{place}/state", "build", f"{file}", f"{place}/{name}"]
    argv += ["--verify"]
    return subprocess.run(argv, cwd=REPO, capture_output=True, text=True, timeout=600)


@pytest.fixture(scope="module")
def tree(place: Path) -> str:
    """What ``--verify`` says of a tree with all of them."""
    return build(place, "tree", "".join(f"program {name}\n" for name in (*HERE, "sleep"))).stderr


@pytest.fixture(scope="module")
def image(place: Path) -> Iterator[str]:
    """What is said of an image with all of them."""
    needs = ImageNeeds(programs=(*HERE, "sleep"), data=("nss", "locale"))
    root = place / "image"
    root.mkdir()
    fd = os.open(root, os.O_RDONLY)
    manifest = resolve([("test", needs)])
    write_tree(fd, HostPath(str(root)), manifest, None)
    editor = TreeEditor(fd, owned=True)
    entries = EntryMap(manifest.entries)
    works, failures, notes = sandbox.inside(HostPath(str(root)), fd, lambda room: languages_in(room, editor, entries))
    yield "\n".join([*works, *failures, *notes])
    editor.close()
    os.close(fd)


@pytest.mark.parametrize("name", HERE)
def test_it_works_in_a_tree(tree: str, name: str) -> None:
    assert faults(name, tree) == ""


@pytest.mark.parametrize("name", HERE)
def test_it_works_in_an_image(image: str, name: str) -> None:
    assert faults(name, image) == ""


def test_nothing_else_is_said_of_a_tree(tree: str) -> None:
    assert "does not" not in tree


def test_what_starts_and_does_not_work_is_told(place: Path) -> None:
    spec = "program python3\nprogram perl\nprogram curl\n"
    done = build(place, "less", spec)
    assert done.returncode == 0, done.stderr
    library = next(place.glob("less/usr/lib/python3.*/json"))
    shutil.rmtree(library)
    for part in place.glob("less/usr/**/List/Util.pm"):
        part.unlink()
    said = verified(place / "less")
    assert "/usr/bin/python3 starts but does not work: a module: ModuleNotFoundError: No module named 'json" in said
    assert "/usr/bin/perl starts but does not work: a module: " in said
    assert "/usr/bin/curl works: a program, https" in said
    (place / "less/etc/ssl/certs").rename(place / "less/etc/ssl/others")
    assert "note: /usr/bin/curl: https was not tried: the tree has no /etc/ssl/certs" in verified(place / "less")
    assert not list(place.glob("less/tmp/*"))


def verified(tree: Path) -> str:
    """Return what is said of a finished tree."""
    code = (
        "import sys; from jailssh.tree.target import Target; from jailssh.tree.verify import verify\n"
        "found = verify(Target(sys.argv[1]))\n"
        "print(*found.works, *found.failures, *(f'note: {one}' for one in found.notes), sep='\\n')\n"
    )
    argv = [sys.executable, "-c", code, str(tree)]
    return subprocess.run(argv, cwd=REPO, capture_output=True, text=True, timeout=120, check=True).stdout


def test_a_language_that_is_not_whole_here_is_an_error_with_the_cure(place: Path) -> None:
    shutil.copy("/usr/bin/true", place / "python3.99")
    done = build(place, "none", f"{place}/python3.99\n")
    assert done.returncode == 1
    assert f"none.jailspec:1:1: program {place}/python3.99: this host lacks " in done.stderr
    assert "hint: apt-get install libpython3.99-minimal, or leave the program out" in done.stderr
    assert not (place / "none").exists()


def test_certificates_made_for_the_trial_are_nowhere_in_the_tree(place: Path, tree: str) -> None:
    assert "https" in tree
    bundle = place / "tree/etc/ssl/certs/ca-certificates.crt"
    assert bundle.read_bytes() == Path("/etc/ssl/certs/ca-certificates.crt").read_bytes()
    assert not list((place / "tree").glob("tmp/*"))
