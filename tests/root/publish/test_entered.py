"""Who may enter a jail, as published: from names and groups to files, and away again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jailssh.core.errors import JailsshError
from jailssh.host.accounts import UnansweredError
from jailssh.host.paths import Layout
from jailssh.image import pool
from jailssh.jail.configuration import Configuration, load_configuration
from jailssh.jail.this_host import ThisHost
from jailssh.plugin.api import Account
from jailssh.publish import entered, plan_files
from jailssh.publish.publish import PlanChange, withdraw_plan
from tests.root.publish_lab import ALICE, layout, published, put, user

__all__ = ["layout"]
pytestmark = [pytest.mark.needs("root"), pytest.mark.needs("sshd")]
BOB = Account("bob", 61002, 61002, "bob", "/home/bob", groups=(("staff", 6100),))
DAEMON = Account("lp", 7, 7, "lp", "/var/spool/lpd", groups=(("staff", 6100),))
ROOT = Account("toor", 0, 0, "root", "/root")


class Host(ThisHost):
    """A host with these accounts; ``away``: names that the name service does not answer for."""

    def __init__(self, *people: Account) -> None:
        super().__init__()
        self.people, self.away = list(people), set[str]()

    def find_account(self, who: str | int) -> Account | None:
        if who in self.away:
            raise UnansweredError(f"account {who}", "no answer")
        return next((each for each in self.people if who in (each.name, each.uid)), None)

    def everybody(self, group: str) -> list[str]:
        if group in self.away:
            raise UnansweredError(f"group {group}", "no answer")
        return [each.name for each in self.people if (group, 6100) in each.groups]

    def group_id(self, group: str) -> int | None:
        return 6100 if group == "staff" else None


@pytest.fixture
def host() -> Host:
    return Host(ALICE, BOB, DAEMON, ROOT)


def jail(layout: Layout, enter: str, name: str = "own", more: str = "") -> None:
    put(f"{layout.jails}/{name}.conf", f"extends = sftp-only\nenter = {enter}\n{more}")


def configured(layout: Layout, host: Host) -> Configuration:
    return load_configuration(layout, host=host)


def publish(layout: Layout, host: Host) -> tuple[list[PlanChange], list[JailsshError]]:
    found: list[PlanChange] = []
    pending = entered.pending_entries(configured(layout, host), [])
    errors = entered.publish_entries(configured(layout, host), found)
    # What would be done is what is done, as far as the image does not show.
    assert [(change.uid, change.jail) for change in pending] == [(change.uid, change.jail) for change in found]
    return found, errors


def test_names_and_groups_become_plans(layout: Layout, host: Host) -> None:
    jail(layout, "alice, @staff, @nobody-there, gone", more="[limits]\naddresses = 192.0.2.1\n")
    found, errors = publish(layout, host)
    assert errors == []
    assert [(change.name, change.lines[0]) for change in found] == [
        ("alice", "+ may enter it"),
        ("bob", "+ may enter it"),
    ]
    assert plan_files.entries(layout) == [(61001, "own"), (61002, "own")]
    mode = Path(plan_files.entry_file(layout, 61001, "own")).stat().st_mode
    assert mode & 0o7777 == 0o600
    plans = [plan_files.read_entry(layout, uid, "own") for uid in (61001, 61002)]
    assert [[r.args for r in plan.records if r.verb == "member"] for plan in plans if plan] == [[], [("6100",)]]
    assert not any(plan.first("address") for plan in plans if plan)
    assert plan_files.planned_uids(layout) == []  # no login reads them
    assert publish(layout, host) == ([], [])


def test_who_is_not_listed_any_more_loses_it(layout: Layout, host: Host) -> None:
    jail(layout, "alice bob")
    jail(layout, "alice", "other")
    publish(layout, host)
    jail(layout, "bob")
    found, _ = publish(layout, host)
    assert [(change.uid, change.jail, change.lines) for change in found] == [(61001, "own", ("- may enter it",))]
    os.unlink(f"{layout.jails}/other.conf")
    publish(layout, host)
    assert plan_files.entries(layout) == [(61002, "own")]


def test_what_is_not_known_stays(layout: Layout, host: Host) -> None:
    jail(layout, "alice, @staff")
    publish(layout, host)
    host.away = {"staff"}
    found, errors = publish(layout, host)
    assert (found, [str(error) for error in errors]) == ([], ["group staff: no answer"])
    host.away = set()
    put(f"{layout.jails}/own.conf", "plugins = no-such\nenter = bob\nnonsense = 1\n")
    publish(layout, host)
    assert (61002, "own") in plan_files.entries(layout)  # the jail is broken, and bob is still named
    put(f"{layout.jails}/own.conf", "[[[\n")
    publish(layout, host)
    assert (61002, "own") in plan_files.entries(layout)


def test_an_account_that_is_gone_or_another_now(layout: Layout, host: Host) -> None:
    jail(layout, "alice bob")
    publish(layout, host)
    host.people.remove(ALICE)
    host.people.append(Account("newcomer", 61001, 61001, "newcomer", "/home/newcomer"))
    assert [change.uid for change in entered.withdraw_gone(layout, host, act=False)] == [61001]
    host.away = {"bob"}
    entered.withdraw_gone(layout, host, act=True)
    assert plan_files.entries(layout) == [(61002, "own")]


def test_root_and_shared_accounts_enter_nothing(layout: Layout, host: Host) -> None:
    jail(layout, "toor alice bob")
    os.makedirs(f"{layout.key_rings}/alice")
    put(
        f"{layout.key_rings}/alice/carol.pub",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL2uLqT3mT9AjUx6bYBeJvwv3l8c4bDf6VYfw4yyH7bU\n",
    )
    _, errors = publish(layout, host)
    assert plan_files.entries(layout) == [(61002, "own")]
    assert ["toor is root" in str(error) or "shared by named keys" in str(error) for error in errors] == [True, True]


def test_an_account_in_another_jail_keeps_its_login(layout: Layout, host: Host) -> None:
    user(layout, ALICE, "sftp-ro")
    login = published(layout)
    jail(layout, "alice")
    publish(layout, host)
    assert plan_files.read_plan(layout, 61001) == login.plan
    plan = plan_files.read_entry(layout, 61001, "own")
    assert plan and plan.first("jail") == ("own",)
    withdraw_plan(layout, 61001)  # deluser
    assert plan_files.entries(layout) == []


def test_the_image_of_an_entry_is_in_use(layout: Layout, host: Host) -> None:
    jail(layout, "alice")
    publish(layout, host)
    plan = plan_files.read_entry(layout, 61001, "own")
    assert plan
    (image,) = plan.first("image") or ("",)
    assert image in plan_files.plans_by_image(layout)
    assert plan_files.images_in_use(layout) == {image}
    pool.prune(layout, plan_files.images_in_use(layout), 0)
    assert os.path.isdir(image)


@pytest.mark.parametrize("words", ["root", "-x", "@", "../x", "@-x", "1001", "a:b"])
def test_what_names_nobody_is_an_error(layout: Layout, host: Host, words: str) -> None:
    jail(layout, f'"{words}"')
    with pytest.raises(JailsshError, match=r"own\.conf:2: enter: "):
        configured(layout, host).validate_jails()
