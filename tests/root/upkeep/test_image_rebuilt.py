"""Images that this host can no longer repair: their jails get others, unless an administrator holds them there."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from jailssh.console import main as cli
from jailssh.host.paths import Layout
from jailssh.image import history, pool, store
from jailssh.jail.configuration import load_configuration
from jailssh.upkeep import update
from tests.root.publish_lab import ALICE, published, user
from tests.root.update_lab import image_of_plan, layout, place, state, write_tool

__all__ = ["layout", "place", "state"]  # fixtures
pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]


def spoil(path: Path) -> None:
    """Change a file and put its times back."""
    info = path.stat()
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def test_an_image_that_cannot_be_repaired_is_replaced(
    layout: Layout, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user(layout, ALICE, "lab")
    old = published(layout, ALICE).image
    spoil(Path(f"{old.path}{place}/tool"))
    write_tool(place, "two")
    code = cli.main(["--root", layout.root, "image", "verify", "--repair", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert (code, said["left"], said["rebuilt"], said["retired"]) == (0, [], ["lab"], [old.generation])
    assert [error for error in said["errors"] if str(place / "tool") in error]
    new = pool.current_generation(layout, "lab")
    assert new not in (None, old.generation)
    assert pool.generations(layout) == [new]
    assert image_of_plan(layout) == pool.tree_path(layout, str(new))
    assert history.read_history(layout, "lab").generations() == (new,)


def test_a_jail_that_is_held_at_a_lost_image_is_told_and_kept(
    layout: Layout, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user(layout, ALICE, "lab")
    old = published(layout, ALICE).image
    write_tool(place, "two")
    update.update(load_configuration(layout))
    store.rollback(layout, "lab", old.generation)
    spoil(Path(f"{old.path}{place}/tool"))
    code = cli.main(["--root", layout.root, "image", "verify", "--repair"])
    said = capsys.readouterr()
    assert code == 1
    assert "jail lab is held at an image that cannot be repaired: jailssh update lab" in said.err
    assert pool.current_generation(layout, "lab") == old.generation


def test_a_lost_manifest_and_a_lost_image_come_back(layout: Layout, place: Path) -> None:
    user(layout, ALICE, "lab")
    old = published(layout, ALICE).image
    for name in os.listdir(pool.pool_dir(layout)):
        if name.endswith(".json"):
            os.unlink(f"{pool.pool_dir(layout)}/{name}")
    os.chmod(f"{old.path}{place}/tool", 0o4755)
    assert cli.main(["--root", layout.root, "image", "verify", "--repair"]) == 0
    assert Path(f"{old.path}{place}/tool").stat().st_mode & 0o7777 == 0o755
    shutil.rmtree(old.path)
    assert cli.main(["--root", layout.root, "image", "verify"]) == 1
    assert cli.main(["--root", layout.root, "image", "verify", "--repair"]) == 0
    assert cli.main(["--root", layout.root, "image", "verify"]) == 0
    assert os.path.isdir(image_of_plan(layout))
