"""Named keys that are taken away by hand: who has no file is shut out, whatever else is wrong."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from jailssh.config import authorized
from jailssh.core.errors import JailsshError, ManyErrors
from jailssh.daemon.service import Service
from jailssh.diagnose import findings
from jailssh.host.paths import Layout
from jailssh.jail import authorized_keys
from jailssh.jail.configuration import load_configuration
from jailssh.publish import each, key_rings, plan_files, publish, revoked
from tests.harness.keys import public_key
from tests.root.publish_lab import publish_all, put
from tests.root.ring_lab import GIT, files, layout, name, people

__all__ = ["layout", "people"]
pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("git")]


@pytest.mark.parametrize("on_demand", [False, True])
def test_a_shared_account_without_keys_is_nobodys_until_somebody_says_otherwise(
    layout: Layout, people: Callable[..., None], on_demand: bool
) -> None:
    people("ann")
    if on_demand:
        publish.publish_and_tidy(load_configuration(layout), GIT)
    else:
        publish_all(layout)
    assert plan_files.keys_of(plan_files.read_plan(layout, 61001))
    shutil.rmtree(f"{layout.key_rings}/git")
    assert [change.lines for change in publish_all(layout) if change.name == "git"] == [("- the plan",)]
    assert files(layout) == []
    head = Path(layout.keys, "git").read_text()
    assert head.startswith("# Made by jailssh from ")
    assert head.count("\n") == 1
    # A login has no plan made for it, and nobody else is stopped.
    refused = Service(layout, lambda event, message, fields: None, {61001: GIT}.get).answer(61001)
    assert refused.startswith("no bad-config ")
    configuration = load_configuration(layout)
    configuration.validate()
    (note,) = key_rings.notes_of(configuration, "git")
    assert "account git is shared and" in " ".join(note.lines()).replace(":", "")
    assert publish_all(layout) == each.changes(configuration) == []
    name(layout, "bob", 2)
    (done,) = publish_all(layout)
    assert "+ key bob:" in done.lines
    assert len(files(layout)) == 2
    os.unlink(f"{layout.key_rings}/git/bob.pub")
    publish_all(layout)
    os.unlink(f"{layout.keys}/git")
    publish_all(layout)
    assert files(layout) == ["61001"]
    assert not plan_files.keys_of(plan_files.read_plan(layout, 61001))
    assert not os.path.exists(f"{layout.keys}/git")


def let_in(layout: Layout) -> tuple[set[str], set[str]]:
    """Return whom the keys file lets in, and whom the roster does."""
    given = {who for who, _, _ in authorized.entries(authorized_keys.present(layout, "git"))}
    return given, set(plan_files.keys_of(plan_files.read_plan(layout, 61001)))


def spoil(layout: Layout, how: str) -> None:
    folder = f"{layout.key_rings}/git"
    path = f"{folder}/bob.pub"
    if how == "emptied":
        put(path, "")
    elif how == "damaged":
        put(path, public_key(2)[:-4])
    elif how == "mode":
        os.chmod(path, 0o664)
    elif how == "owner":
        os.chown(path, 61001, 0)
    elif how == "link":
        os.rename(path, f"{layout.root}/elsewhere")
        os.symlink(f"{layout.root}/elsewhere", path)
    elif how == "renamed":
        os.rename(path, f"{folder}/bob.txt")
    else:
        os.unlink(path)
    if how == "twice":
        put(f"{folder}/ann-too.pub", public_key(1))
    elif how == "bad users file":
        put(f"{layout.users}/git.conf", "uid = 61001\njial = hosting\n")
    elif how == "bad main file":
        put(layout.config_file, "nosuch = 1\n")
    elif how == "bad jail":
        put(f"{layout.jails}/hosting.conf", "plugins = nosuch\n")


SPOILT = ("emptied", "damaged", "mode", "owner", "link", "renamed")
WRONG_ELSEWHERE = ("twice", "bad users file", "bad main file", "bad jail")


@pytest.mark.parametrize("how", ["gone", *SPOILT, *WRONG_ELSEWHERE])
def test_without_its_file_a_key_is_shut_out_whatever_is_wrong(
    layout: Layout, people: Callable[..., None], how: str
) -> None:
    people("ann", "bob", groups="[groups]\ndevs = ann, bob\n")
    publish_all(layout)
    assert let_in(layout) == ({"ann", "bob"}, {"ann", "bob"})
    spoil(layout, how)
    (told,) = revoked.revocations(layout, act=False)
    assert let_in(layout) == ({"ann", "bob"}, {"ann", "bob"})
    (done,) = revoked.revocations(layout, act=True)
    assert told == done == publish.PlanChange(61001, "git", "hosting", ("- key bob",))
    assert let_in(layout) == ({"ann"}, {"ann"})
    assert revoked.revocations(layout, act=True) == []
    if how == "gone":
        publish_all(layout)
        assert let_in(layout) == ({"ann"}, {"ann"})
        (note,) = key_rings.notes_of(load_configuration(layout), "git")
        assert "group devs: key 'bob' does not exist" in str(note)
        assert [str(each) for each in findings.find(load_configuration(layout)).notes].count(str(note)) == 1
    else:
        with pytest.raises((JailsshError, ManyErrors)):
            publish_all(layout)
        assert let_in(layout) == ({"ann"}, {"ann"})


def test_a_directory_that_others_can_write_to_names_nobody(layout: Layout, people: Callable[..., None]) -> None:
    people("ann", "bob")
    publish_all(layout)
    os.chmod(f"{layout.key_rings}/git", 0o777)
    revoked.revocations(layout, act=True)
    assert let_in(layout) == (set(), set())
    os.chmod(f"{layout.key_rings}/git", 0o755)
    publish_all(layout)
    assert let_in(layout) == ({"ann", "bob"}, {"ann", "bob"})
