"""What is done once for all accounts, and what thousands of plans are not read for."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from jailssh.config import files
from jailssh.config.files import UserConfig
from jailssh.core.errors import JailsshError, raise_all
from jailssh.diagnose import findings
from jailssh.files import shares
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.image.store import BuildResult, current_image
from jailssh.jail import configuration, owners, steady, this_host
from jailssh.jail.configuration import load_configuration
from jailssh.jail.definition import JailDefinition
from jailssh.jail.this_host import Remembering, ThisHost
from jailssh.jail.writable import Directories
from jailssh.plugin.api import Account, PluginResult
from jailssh.publish import each, plan_files, publish
from jailssh.publish import images as of_images
from tests.harness.keys import public_key
from tests.root.publish_lab import layout, put, user

__all__ = ["layout"]
pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]


class People(ThisHost):
    def __init__(self, known: Iterable[Account]) -> None:
        super().__init__()
        self.known = {account.name: account for account in known}
        self.asked: list[str | int] = []

    def find_account(self, who: str | int) -> Account | None:
        self.asked.append(who)
        return next((each for each in self.known.values() if who in (each.name, each.uid)), None)


def people(layout: Layout, count: int) -> People:
    found = [Account(f"p{n}", 61000 + n, 61000 + n, f"p{n}", f"/home/p{n}") for n in range(1, count + 1)]
    for account in found:
        user(layout, account, "sftp-only")
    return People(found)


def apply(layout: Layout, host: ThisHost) -> list[publish.PlanChange]:
    found: list[publish.PlanChange] = []
    raise_all(each.publish_each(load_configuration(layout, host=host), found))
    return found


def test_the_plans_are_listed_as_often_for_many(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    real = plan_files._names

    def names(folder: str) -> Iterable[str]:
        listed.append(folder)
        return real(folder)

    monkeypatch.setattr(plan_files, "_names", names)
    counts = []
    for count in (2, 5):
        host = people(layout, count)
        apply(layout, host)
        listed.clear()
        assert apply(layout, host) == []
        counts.append(len(listed))
    assert counts[0] == counts[1]


def test_plans_of_keys_that_are_left_go_with_the_next_apply(layout: Layout) -> None:
    host = people(layout, 2)
    apply(layout, host)
    left = [Path(plan_files.plan_file(layout, uid, "0123456789abcdef")) for uid in (61001, 61002)]
    for path in left:
        path.write_bytes(b"x")
    assert plan_files.uids_of_keys(layout) == {61001, 61002}
    os.remove(f"{layout.users}/p2.conf")
    assert [change.name for change in apply(layout, host)] == ["p2"]
    assert not any(path.exists() for path in left)


def test_what_is_told_without_judging_a_plan(layout: Layout) -> None:
    host = people(layout, 2)
    apply(layout, host)
    image = current_image(layout, "sftp-only")
    assert image is not None
    assert plan_files.images_in_use(layout) == set(plan_files.plans_by_image(layout)) == {image}
    assert plan_files.uids_by_name(layout) == {"p1": [61001], "p2": [61002]}
    assert plan_files.roster(layout, 61001) is None
    before = plan_files.Before(layout, 61001)
    assert before.plans() == plan_files.published(layout, 61001)
    # A damaged one is no reason to remove an image, and nothing else.
    path = Path(plan_files.plan_file(layout, 61001))
    path.write_bytes(path.read_bytes()[:-4])
    assert plan_files.images_in_use(layout) == {image}
    assert plan_files.Before(layout, 61001).plans() is None
    assert before.plans() is not None
    assert plan_files.Before(layout, 61003).plans() is None
    (change,) = apply(layout, host)
    assert (change.name, change.lines[0][:2]) == ("p1", "+ ")


def test_who_only_looks_asks_once_and_who_publishes_anew(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    host = people(layout, 2)
    apply(layout, host)

    def find(_self: ThisHost, who: str | int) -> AccountEntry | None:
        one = host.find_account(who)
        if one is None:
            return None
        return AccountEntry(
            one.name, one.uid, one.gid, group=one.group, home=one.home, shell="", gecos="", groups=one.groups
        )

    monkeypatch.setattr(ThisHost, "find_entry", find)
    looking = steady.steady(load_configuration(layout))
    assert isinstance(looking.host, Remembering)
    host.asked.clear()
    for _ in range(3):
        assert looking.account_errors() == {}
        assert each.changes(looking) == []
    assert sorted(map(str, host.asked)) == ["p1", "p2"]
    host.asked.clear()
    apply(layout, host)
    assert sorted(map(str, host.asked)) == ["61001", "61002", "p1", "p2"]


def test_whoever_checks_looks_at_each_account_once(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 2 * steady._FEW
    host = people(layout, count)
    user(layout, host.known["p2"], "nowhere")
    read: list[str] = []
    given: list[str] = []
    real_read, real_given = owners.read_optional, JailDefinition._given

    def read_optional(layout: Layout, path: str, limit: int) -> bytes | None:
        read.append(path)
        return real_read(layout, path, limit)

    def _given(self: JailDefinition, account: Account, **how: bool) -> tuple[PluginResult, ...]:
        given.append(account.name)
        return real_given(self, account, **how)

    monkeypatch.setattr(configuration, "read_optional", read_optional)
    monkeypatch.setattr(JailDefinition, "_given", _given)
    looking = steady.steady(load_configuration(layout, host=host), host)
    errors: list[JailsshError] = []
    jails: dict[str, tuple[str, ...]] = {}
    findings.find(looking, jails=jails, errors=errors)
    assert ["jail nowhere" in str(error) for error in errors] == [True]
    assert jails == {f"p{n}": ("sftp-only",) for n in range(1, count + 1) if n != 2}
    # Whose file says that there is no such jail is asked about again, and one stands for its jail.
    assert [path for path in read if path == f"{layout.users}/p9.conf"] == [f"{layout.users}/p9.conf"]
    assert given.count("p9") == 1


def test_whose_jails_are_known_is_not_read_for_what_those_do_not_have(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    jails = {"in": "forward = inside", "out": "network = outbound", "ports": "[jump]\nopen = 127.0.0.1:22"}
    for name, line in jails.items():
        plugins = "plugins = jump" if name == "ports" else "plugins = shell"
        put(f"{layout.jails}/{name}.conf", f"{plugins}\n{line}\n")
    host = people(layout, 8)
    for number, name in enumerate(jails, 1):
        user(layout, host.known[f"p{number}"], name)
    read: list[str] = []
    real = owners.read_optional

    def read_optional(layout: Layout, path: str, limit: int) -> bytes | None:
        read.append(os.path.basename(path))
        return real(layout, path, limit)

    monkeypatch.setattr(configuration, "read_optional", read_optional)
    looked = load_configuration(layout, host=host)
    # The last one has another file by now, or the jail that is known of it by its group.
    known = {f"p{n}": ("sftp-only",) for n in range(4, 8)} | {f"p{n}": (name,) for n, name in enumerate(jails, 1)}
    known["p8"] = ("in",)
    for names, found, of in (
        (looked.forwarded_names, ["p1"], ["p1", "p8"]),
        (looked.outbound_names, ["p2"], ["p2"]),
        (looked.jumping, ["p3"], ["p3"]),
    ):
        for given, seen in ({}, [f"p{n}" for n in range(1, 9)]), ({"known": known}, of):
            read.clear()
            assert list(names(**given)) == found
            assert read == [f"{name}.conf" for name in seen]


def test_who_is_published_is_looked_at_meanwhile_and_nobody_twice(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = people(layout, 3)
    user(layout, host.known["p2"], "nowhere")
    asked: list[str] = []
    real = findings.of_account

    def of_account(known: configuration.Configuration, name: str, places: Directories) -> findings.Findings:
        asked.append(name)
        if name == "p3" and asked.count(name) == 1:
            raise OSError(5, os.strerror(5))
        return real(known, name, places)

    monkeypatch.setattr(findings, "of_account", of_account)
    found: list[publish.PlanChange] = []
    wrong: dict[str, list[JailsshError]] = {}
    looked = findings.Looked()
    loaded = load_configuration(layout, host=host)
    assert each.publish_each(loaded, found, wrong, look=looked) == []
    # Nothing that goes wrong while somebody looks keeps a plan back.
    assert ([change.name for change in found], list(wrong)) == (["p1", "p3"], ["p2"])
    assert list(looked.found) == ["p1"]
    said = findings.find(loaded, looked=looked)
    assert (said.wrong, sorted(asked)) == ((), ["p1", "p2", "p3", "p3"])


def test_what_plugins_give_is_kept_for_a_second(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    definition = load_configuration(layout).definition(["sftp-only"])
    asked: list[str] = []
    real = type(definition)._ask

    def ask(self: object, plugin: object, question: object, kind: type, *of: object) -> object:
        asked.append(kind.__name__)
        return real(self, plugin, question, kind, *of)  # type: ignore[arg-type]

    monkeypatch.setattr(type(definition), "_ask", ask)
    now = [1000.0]
    monkeypatch.setattr("jailssh.jail.definition.time.monotonic", lambda: now[0])
    accounts = [Account(f"p{n}", n, n, f"p{n}", f"/home/p{n}") for n in range(1, 21)]
    for account in accounts:
        assert definition.results(account) == definition.results(account)
    assert asked == [PluginResult.__name__] * 20
    definition.results(accounts[-1])
    definition.results(accounts[0])  # of those long ago nothing is kept
    assert len(asked) == 21
    now[0] += 1.5
    definition.results(accounts[-1])
    assert len(asked) == 22


def judged(layout: Layout, host: ThisHost) -> tuple[dict[str, str], list[str], list[str]]:
    """Publish as ``jailssh apply`` does; return what is wrong by name, whose plan changed, and the errors."""
    found: list[publish.PlanChange] = []
    wrong: dict[str, list[JailsshError]] = {}
    errors = each.publish_each(load_configuration(layout, host=host), found, wrong)
    return {name: each[0].why for name, each in wrong.items()}, [each.name for each in found], [e.why for e in errors]


def test_an_account_is_judged_before_its_plan_is_made_and_alone(layout: Layout) -> None:
    host = people(layout, 3)
    assert judged(layout, host) == ({}, ["p1", "p2", "p3"], [])
    plan = Path(plan_files.plan_file(layout, 61002)).read_bytes()
    Path(f"{layout.users}/p2.conf").write_text("uid = 61002\njail = sftp-ro\n[limits]\nsessions = many\n")
    Path(f"{layout.users}/p3.conf").write_text("uid = 61003\njail = sftp-ro\n")
    Path(f"{layout.users}/gone.conf").write_text("uid = 7\njail = no-jail\n")
    wrong, changed, errors = judged(layout, host)
    assert wrong.keys() == {"p2", "gone"} and "does not exist" in wrong["gone"]
    assert (changed, errors) == (["p3"], [])
    assert Path(plan_files.plan_file(layout, 61002)).read_bytes() == plan


def test_what_an_account_rests_on_is_read_again_under_the_lock(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judging and compiling share one look at its files; a change meanwhile keeps the plan from being published."""
    host = people(layout, 2)
    judged(layout, host)
    reads: list[str] = []
    real_read, real_ensure = files.read_user, of_images.Images.ensure

    def read(data: bytes, path: str, name: str) -> UserConfig:
        reads.append(name)
        return real_read(data, path, name)

    monkeypatch.setattr(configuration, "read_user", read)
    judged(layout, host)
    assert max(map(reads.count, ("p1", "p2"))) <= 3  # whether it left its jails, judging and compiling, under the lock

    def ensure(
        self: of_images.Images, definition: JailDefinition, tops: Any = (), *, unpin: bool = False
    ) -> BuildResult:
        Path(f"{layout.users}/p1.conf").write_text("uid = 61001\njail = sftp-ro\n")
        return real_ensure(self, definition, tops, unpin=unpin)

    plan = Path(plan_files.plan_file(layout, 61001)).read_bytes()
    monkeypatch.setattr(of_images.Images, "ensure", ensure)
    assert judged(layout, host) == ({}, [], ["the configuration changed while its plan was compiled"])
    assert Path(plan_files.plan_file(layout, 61001)).read_bytes() == plan
    monkeypatch.setattr(of_images.Images, "ensure", real_ensure)
    assert judged(layout, host) == ({}, ["p1"], [])


def test_who_leaves_its_jails_meanwhile_has_no_plan(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    host = people(layout, 2)
    judged(layout, host)
    real = each._accounts

    def leave(*args: Any) -> list[Account | int]:
        found = real(*args)
        Path(f"{layout.users}/p1.conf").unlink()
        return found

    monkeypatch.setattr(each, "_accounts", leave)
    judged(layout, host)
    assert not Path(plan_files.plan_file(layout, 61001)).exists()
    assert Path(plan_files.plan_file(layout, 61002)).exists()


def test_parts_of_them_are_published_by_another_process_as_by_this_one(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shares, "others", lambda: 1)
    here, forked = os.getpid(), []
    real = os.fork

    def fork() -> int:
        pid = real()
        forked.append(pid)
        return pid

    monkeypatch.setattr(os, "fork", fork)
    host = people(layout, 7)
    user(layout, host.known["p2"], "nowhere")
    Path(f"{layout.users}/p6.conf").write_text("uid = 61006\njail = sftp-only\n[limits]\nsessions = many\n")

    def run() -> tuple[object, ...]:
        found: list[publish.PlanChange] = []
        wrong: dict[str, list[JailsshError]] = {}
        done: dict[str, int] = {}
        looked = findings.Looked()
        loaded = load_configuration(layout, host=host)
        before = [*map(str, each.changes(loaded, {"p2", "p6"}))]
        errors = each.publish_each(loaded, found, wrong, None, done, looked)
        said = findings.find(steady.steady(loaded, host), errors=errors, looked=looked)
        plans = {uid: plan_files.readable_plan(layout, uid) for uid in plan_files.planned_uids(layout)}
        told = {name: [error.lines() for error in each] for name, each in wrong.items()}
        for uid in plans:
            plan_files.withdraw(layout, uid)
        return before, found, told, done, looked.found, said, [*map(str, errors)], plans

    run()  # makes the image
    alone = run()
    assert not forked
    monkeypatch.setattr(shares, "MANY", 2)
    assert run() == alone
    assert len(forked) == 3 and os.getpid() == here
    _, found, told, done, _, _, errors, plans = alone
    assert isinstance(told, dict) and told.keys() == {"p2", "p6"} and isinstance(errors, list) and len(errors) == 2
    assert done == {f"p{number}": 61000 + number for number in (1, 3, 4, 5, 7)}
    assert isinstance(plans, dict) and set(plans) == {61000 + number for number in (1, 3, 4, 5, 7)}
    assert isinstance(found, list) and len(found) == 5


def test_no_other_process_waits_for_the_disk_of_a_plan(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    host = people(layout, 3)
    synced: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        lock = os.open(f"{layout.plans}/.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            os.close(lock)
        synced.append(os.path.dirname(os.readlink(f"/proc/self/fd/{fd}")))
        real(fd)

    apply(layout, people(layout, 1))  # it makes the directories
    monkeypatch.setattr(os, "fsync", fsync)
    assert len(apply(layout, host)) == 2
    assert {folder: synced.count(folder) for folder in (layout.plans, layout.owners)} == {
        layout.plans: 2, layout.owners: 2,
    }  # fmt: skip


def test_the_directory_of_plans_is_synced_once_and_before_anything_is_told(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = people(layout, 4)
    synced: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    assert len(apply(layout, host)) == 4
    last = max(at for at, path in enumerate(synced) if path.startswith(f"{layout.plans}/"))
    assert [at for at, path in enumerate(synced) if path == layout.plans and at > last] != []
    assert synced.count(layout.plans) == 1
    # Whose keys are let in next has its plan on the disk first.
    synced.clear()
    ring = Path(layout.key_rings, "p1")
    ring.mkdir(parents=True)
    os.mkdir(layout.keys)
    (ring / "laptop.pub").write_text(f"{public_key(1)}\n")
    apply(layout, host)
    let_in = min(at for at, path in enumerate(synced) if path.startswith(f"{layout.keys}/"))
    before = synced[:let_in]
    roster = max(at for at, path in enumerate(before) if path.startswith(f"{layout.plans}/"))
    assert layout.plans in before[roster:]


def test_programs_are_searched_once_a_second_in_a_run_over_many(monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []
    now = [1000.0]

    def search(name: str) -> str | None:
        searched.append(name)
        return f"/usr/bin/{name}" if name == "git" else None

    monkeypatch.setattr(this_host, "find_program", search)
    monkeypatch.setattr("jailssh.jail.this_host.time.monotonic", lambda: now[0])
    host = Remembering()
    assert [host.find_program("git") for _ in range(3)] == ["/usr/bin/git"] * 3
    assert searched == ["git"]
    # What is not there may come, and what is there may go.
    assert [host.find_program("hg") for _ in range(2)] == [None] * 2
    now[0] += 1.5
    host.find_program("git")
    assert searched == ["git", "hg", "hg", "git"]
    asks = ThisHost()
    assert [asks.find_program("git") for _ in range(2)] == ["/usr/bin/git"] * 2
    assert searched[4:] == ["git", "git"]
