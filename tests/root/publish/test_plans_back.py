"""A plan of the past comes back only where what it needs is still there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from jailssh.core.errors import ConfigError
from jailssh.files import fs
from jailssh.host.paths import Layout
from jailssh.image import pool
from jailssh.jail.configuration import load_configuration
from jailssh.publish import images as of_images
from jailssh.publish import plan_files, publish
from tests.root.publish_lab import ALICE, layout, published, user
from tests.root.ring_lab import GIT, people

__all__ = ["layout", "people"]

pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd"), pytest.mark.needs("git")]


def lose(layout: Layout, image: str) -> None:
    trees = fs.open_dir(pool.pool_dir(layout), strict=False)
    fs.remove_tree(trees, os.path.basename(image))
    os.close(trees)


def test_a_plan_comes_back_with_its_image_and_not_without(layout: Layout) -> None:
    user(layout, ALICE, "sftp-only")
    image = published(layout).image.path
    path = plan_files.plan_file(layout, ALICE.uid)
    data = Path(path).read_bytes()
    assert plan_files.lacking(path, layout.root) == ""
    assert plan_files.put_back(path, None, root=layout.root) == ""
    assert not os.path.exists(path)
    assert plan_files.lacking(path, layout.root) == ""
    assert plan_files.put_back(path, data, root=layout.root) == ""
    assert Path(path).read_bytes() == data
    assert Path(path).stat().st_mode & 0o777 == 0o600
    lose(layout, image)
    assert plan_files.lacking(path, layout.root) == f"its image {image} does not exist"
    assert plan_files.put_back(path, data, root=layout.root) == f"its image {image} does not exist"
    assert not os.path.exists(path)


def test_what_cannot_be_read_does_not_come_back(layout: Layout) -> None:
    user(layout, ALICE, "sftp-only")
    published(layout)
    path = plan_files.plan_file(layout, ALICE.uid)
    data = Path(path).read_bytes()
    assert plan_files.put_back(path, data[:-3], root=layout.root) != ""
    assert not os.path.exists(path)


def test_a_roster_comes_back_only_with_its_keys_plans(layout: Layout, people: Callable[..., None]) -> None:
    people("ann", "carol")
    made = publish.publish_plan(load_configuration(layout), GIT)
    path = plan_files.plan_file(layout, GIT.uid)
    data = Path(path).read_bytes()
    assert plan_files.put_back(path, data, root=layout.root) == ""
    serials = sorted(made.of_keys)
    assert serials
    assert all(os.path.exists(f"{path}.{serial}") for serial in serials)
    Path(f"{path}.{serials[0]}").unlink()
    why = f"the plan {path}.{serials[0]} of its keys does not exist"
    assert plan_files.lacking(path, layout.root) == why
    assert plan_files.put_back(path, data, root=layout.root) == why
    # The plans of keys that nothing names go with it.
    assert [name for name in os.listdir(layout.plans) if name.startswith(str(GIT.uid))] == []


def test_a_roster_whose_image_is_gone_lacks_it(layout: Layout, people: Callable[..., None]) -> None:
    people("ann")
    image = publish.publish_plan(load_configuration(layout), GIT).image.path
    lose(layout, image)
    assert plan_files.lacking(plan_files.plan_file(layout, GIT.uid), layout.root) == f"its image {image} does not exist"


def test_nothing_is_published_whose_image_is_gone(layout: Layout) -> None:
    user(layout, ALICE, "sftp-only")
    made = published(layout)
    path = Path(plan_files.plan_file(layout, ALICE.uid))
    path.unlink()
    lose(layout, made.image.path)
    with plan_files.locked(layout), pytest.raises(ConfigError, match="image was removed"):
        plan_files.write(layout, made.plan, made.of_keys)
    assert not path.exists()


def test_no_prune_comes_between_the_look_and_the_act(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    user(layout, ALICE, "sftp-only")
    image = published(layout).image.path
    path = plan_files.plan_file(layout, ALICE.uid)
    data = Path(path).read_bytes()
    plan_files.put_back(path, None, root=layout.root)
    fs.remove_file(f"{layout.images}/sftp-only/current")
    fs.remove_file(f"{layout.images}/sftp-only/history.json")
    configuration = load_configuration(layout)
    looked, real = threading.Event(), plan_files.lacking
    pruning = threading.Thread(target=lambda: (looked.wait(10), of_images.prune_images(configuration)))
    pruning.start()

    def look(*args: object) -> str:
        found = real(*args)  # type: ignore[arg-type]
        looked.set()
        pruning.join(0.5)
        assert pruning.is_alive()
        return found

    monkeypatch.setattr(plan_files, "lacking", look)
    assert plan_files.put_back(path, data, root=layout.root) == ""
    pruning.join(10)
    assert os.path.isdir(image)
    # The other way round the image is gone and the plan stays away.
    monkeypatch.undo()
    fs.remove_file(path)
    of_images.prune_images(configuration)
    assert plan_files.put_back(path, data, root=layout.root) != ""
    assert not os.path.exists(path)
