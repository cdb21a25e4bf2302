"""Publishing with real images of this host's programs, below a directory that stands for the root."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from jailssh.core.errors import ConfigError, JailsshError, ManyErrors
from jailssh.daemon.last_good import LastGood
from jailssh.host.paths import Layout
from jailssh.image.store import current_image
from jailssh.jail.configuration import NotJailedError, load_configuration
from jailssh.jail.this_host import ThisHost, find_program
from jailssh.plan import codec
from jailssh.plan.view import tops_of
from jailssh.plugin.api import Account
from jailssh.publish import each, plan_files, publish
from jailssh.publish import images as of_images
from tests.root.publish_lab import ALICE, layout, publish_all, published, put, user

__all__ = ["layout"]
pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]


def test_a_plan_and_its_image(layout: Layout) -> None:
    user(layout, ALICE, "sftp-only")
    first = published(layout)
    path = Path(layout.plans, "61001")
    info = path.stat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) == (0o600, 0, 0)
    assert info.st_size <= 16384
    assert codec.decode(path.read_bytes()) == first.plan == plan_files.read_plan(layout, 61001)
    assert first.plan.first("image") == (current_image(layout, "sftp-only"),)
    assert first.capabilities == ("sftp",)
    rule = first.plan.first("rule")
    assert rule is not None
    assert Path(first.image.path + rule[2]).is_file()
    for top in tops_of(ALICE, load_configuration(layout).definition(["sftp-only"]).results(ALICE)):
        assert Path(first.image.path + top).is_dir()
    assert first.changed
    again = published(layout)
    assert (again.changed, again.image.changed, again.plan) == (False, False, first.plan)
    assert path.stat().st_ino == info.st_ino


def test_an_unusual_home_gets_its_mount_point_and_others_keep_the_image(layout: Layout) -> None:
    bob = Account("bob", 61002, 61002, "bob", "/data1/bob")
    user(layout, ALICE, "sftp-only")
    user(layout, bob, "sftp-only")
    before = published(layout)
    other = published(layout, bob)
    assert Path(other.image.path, "data1").is_dir()
    assert other.image.path != before.image.path
    after = published(layout)
    assert after.image.path == other.image.path
    assert not published(layout, bob).image.changed
    assert Path(before.image.path).is_dir()


def test_union_of_jails_and_plugins(layout: Layout) -> None:
    user(layout, ALICE, "sftp-ro rsync-pull")
    result = published(layout)
    assert result.jail == "rsync-pull+sftp-ro"
    assert result.capabilities == ("rsync", "sftp")
    assert {row.args[2] for row in result.plan.records if row.verb == "bind" and row.args[1] == "/home/alice"} == {"ro"}
    user(layout, ALICE, "sftp-ro nosuch")
    with pytest.raises(ConfigError, match="jail nosuch of account alice does not exist"):
        published(layout)


def test_a_directory_that_is_not_there_is_said_before_anybody_logs_in(layout: Layout) -> None:
    put(f"{layout.jails}/team.conf", "plugins = git\n[git]\nwrite = /srv/no/such/directory\n")
    user(layout, ALICE, "team")
    with pytest.raises(ConfigError, match="jail team: '/srv/no/such/directory' is not a directory"):
        published(layout)
    assert not os.path.exists(f"{layout.plans}/{ALICE.uid}")


def test_the_administrators_file_wins_and_is_reread(layout: Layout) -> None:
    user(layout, ALICE, "sftp-only")
    cache = LastGood(layout)
    before = cache.get()
    assert cache.get() is before
    assert dict(before.definition(["sftp-only"]).config.options["sftp"])["read_only"] is False
    put(f"{layout.jails}/sftp-only.conf", "extends = sftp-only\numask = 077\n[sftp]\nread_only = yes\n")
    config = cache.get().definition(["sftp-only"]).config
    assert (config.umask, config.options["sftp"]["read_only"]) == (0o77, True)
    origins = {(item.setting.section, item.setting.name): item.origin for item in config.items}
    assert origins["", "umask"] == f"{layout.jails}/sftp-only.conf:2"
    assert origins["", "plugins"].startswith("profile sftp-only:")


def test_membership_in_a_group(layout: Layout) -> None:
    put(f"{layout.jails}/files.conf", "plugins = sftp\ngroups = partners\n")
    member = Account("carol", 61003, 61003, "carol", "/home/carol", groups=(("partners", 7000),))
    assert published(layout, member).jail == "files"
    with pytest.raises(NotJailedError):
        published(layout)
    with pytest.raises(NotJailedError):
        published(layout, Account("daemon", 1, 1, "daemon", "/home/d", groups=(("partners", 7000),)))
    put(f"{layout.jails}/broken.conf", "plugins = \n[")
    with pytest.raises(ConfigError, match=r"broken\.conf:2"):
        published(layout, member)
    user(layout, ALICE, "files")
    assert published(layout).jail == "files"


def test_a_file_for_another_uid_is_refused(layout: Layout) -> None:
    user(layout, Account("alice", 61009, 1, "alice", "/home/alice"), "sftp-only")
    with pytest.raises(ConfigError, match="is for uid 61009, the account has uid 61001"):
        published(layout)


@pytest.mark.parametrize("mode", [0o664, 0o646])
def test_files_that_others_can_write_are_not_read(layout: Layout, mode: int) -> None:
    user(layout, ALICE, "sftp-only")
    os.chmod(f"{layout.users}/alice.conf", mode)
    with pytest.raises(JailsshError, match="writable by"):
        published(layout)


@pytest.mark.parametrize("make", [lambda p: os.symlink("/etc/passwd", p), os.mkfifo, lambda p: put(p, "garbage")])
def test_what_is_no_plan_is_replaced(layout: Layout, make: Callable[[str], None]) -> None:
    user(layout, ALICE, "sftp-only")
    os.makedirs(layout.plans)
    make(f"{layout.plans}/61001")
    result = published(layout)
    assert result.changed
    assert plan_files.read_plan(layout, 61001) == result.plan


def test_a_configuration_that_changed_meanwhile_publishes_nothing(layout: Layout) -> None:
    user(layout, ALICE, "sftp-only")
    configuration = load_configuration(layout)
    put(layout.config_file, "require_journal = yes\n")
    with pytest.raises(ConfigError, match="changed while its plan was compiled"):
        publish.publish_plan(configuration, ALICE)
    assert plan_files.read_plan(layout, 61001) is None


def test_withdraw(layout: Layout) -> None:
    assert not publish.withdraw_plan(layout, 61001)
    user(layout, ALICE, "sftp-only")
    published(layout)
    assert publish.withdraw_plan(layout, 61001)
    assert not publish.withdraw_plan(layout, 61001)
    assert plan_files.planned_uids(layout) == []


def test_publish_all_changes_what_changes_said(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    bob = Account("bob", 61002, 61002, "bob", "/home/bob")
    people = {"alice": ALICE, 61001: ALICE, "bob": bob, 61002: bob}
    monkeypatch.setattr(ThisHost, "find_account", staticmethod(people.get))
    user(layout, ALICE, "sftp-only")
    user(layout, bob, "sftp-only")
    assert [change.uid for change in publish_all(layout)] == [61001, 61002]
    put(layout.config_file, "keep_generations = 1\n")
    old = current_image(layout, "sftp-only")
    assert each.changes(load_configuration(layout)) == []
    os.unlink(f"{layout.users}/bob.conf")
    put(f"{layout.jails}/sftp-only.conf", "extends = sftp-only\nplugins = sftp scp\nmessage = only files\n")
    expected = each.changes(load_configuration(layout))
    assert [(change.uid, change.jail) for change in expected] == [(61001, "sftp-only"), (61002, "")]
    assert "+ message for a denied user: only files" in expected[0].lines
    done = publish_all(layout)
    assert [(change.uid, change.jail) for change in done] == [(61002, ""), (61001, "sftp-only")]  # what goes goes first
    assert plan_files.planned_uids(layout) == [61001]
    new = current_image(layout, "sftp-only")
    assert new is not None and old is not None
    assert new != old
    assert not os.path.exists(old)


def test_validate_finds_every_error(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ThisHost, "find_account", staticmethod({"alice": ALICE}.get))
    put(f"{layout.jails}/one.conf", "plugins = sftp\nnonsense = 1\n")
    put(f"{layout.jails}/two.conf", "plugins = git\n")
    put(f"{layout.jails}/Bad.conf", "plugins = sftp\n")
    put(f"{layout.users}/ghost.conf", "uid = 5000\njail = sftp-only\n")
    user(layout, ALICE, "sftp-onyl")
    with pytest.raises(ManyErrors) as caught:
        load_configuration(layout).validate()
    text = "\n".join(caught.value.lines())
    for part in ("one.conf:2", "[git]: no directory is set", "Bad.conf", "did you mean 'sftp-only'"):
        assert part in text


def test_validate_names_account_file_and_line(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ThisHost, "find_program", lambda _, name: None if name == "git" else find_program(name))
    monkeypatch.setattr(ThisHost, "find_account", staticmethod({"alice": ALICE}.get))
    put(layout.config_file, "min_uid = 500\nthird_party_plugins = darcs\n")
    put(f"{layout.jails}/code.conf", "plugins = git\n\n[git]\nwrite = /srv/git\n")
    put(f"{layout.jails}/show.conf", "plugins = sftp\nroot = live\ninaccessible_paths = /etc\n")
    user(layout, ALICE, "removed")
    with pytest.raises(ManyErrors) as caught:
        load_configuration(layout).validate()
    lines = caught.value.lines()
    assert f"jailssh: {layout.config_file}:2: third_party_plugins: darcs is not installed" in lines
    assert f"jailssh: {layout.jails}/code.conf:3 [git]: git: not found on this host" in lines
    assert any(line.startswith(f"jailssh: {layout.jails}/show.conf: jail show: hide: /etc") for line in lines)
    place = lines.index(f"jailssh: {layout.users}/alice.conf:2: jail removed of account alice does not exist")
    assert "jailssh adduser alice --jail JAIL" in lines[place + 1]
    with pytest.raises(ConfigError, match="jail removed of account alice does not exist"):
        publish.publish_plan(load_configuration(layout), ALICE)


def test_a_profile_that_nobody_uses_may_lack_its_program(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ThisHost, "find_program", lambda _, name: None if name == "git" else find_program(name))
    monkeypatch.setattr(ThisHost, "find_account", staticmethod({"alice": ALICE}.get))
    user(layout, ALICE, "sftp-only")
    load_configuration(layout).validate()
    user(layout, ALICE, "git-only")
    with pytest.raises(ConfigError, match="not found on this host"):
        load_configuration(layout).validate()


def test_publisher_for_account_changes(layout: Layout) -> None:
    put(layout.config_file, "min_uid = 500\n")
    put(f"{layout.jails}/files.conf", "plugins = sftp\ngroups = partners\n")
    publisher = publish.Publisher(layout)
    assert (publisher.min_uid, publisher.groups) == (500, ("partners",))
    publisher.check(("files", "rsync-backup"))
    with pytest.raises(ConfigError, match="git reads hooks and settings"):
        publisher.check(("files", "git-only"))
    with pytest.raises(ConfigError, match="no directory is set"):
        publisher.check(("git",))
    with pytest.raises(ConfigError, match="jail nosuch: does not exist"):
        publisher.check(("nosuch",))


@pytest.mark.alone
def test_one_more_user_of_a_jail_costs_little(layout: Layout) -> None:
    configuration = load_configuration(layout)
    images = of_images.Images(layout, trust=60)
    costs = []
    for number in range(20):
        account = Account(f"u{number}", 62000 + number, 62000, "u", f"/home/u{number}")
        user(layout, account, "sftp-only")
        begun = time.thread_time()
        publish.publish_plan(configuration, account, images)
        costs.append(time.thread_time() - begun)
        assert os.stat(f"{layout.plans}/{account.uid}").st_blocks * 512 <= 16384
    assert median(costs) <= 0.005
