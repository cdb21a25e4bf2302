"""For which sessions the plan of an account is that is in its jails by groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from jailssh.config.files import UserConfig
from jailssh.jail.configuration import Configuration
from jailssh.plan.compile import JailSettings, RosterKey, compile_roster
from jailssh.plugin.api import Account
from jailssh.setup.people import SAMPLE, some

ALICE = Account("alice", 1001, 100, "users", "/home/alice", groups=(("users", 100), ("crew", 9002)))
GIDS = {"crew": 1, "desk": 9003, "root": 0}


class _Host:
    def group_id(self, group: str) -> int | None:
        return GIDS.get(group)


@dataclass
class _Configured:
    """A configuration whose jails name these groups."""

    named: tuple[str, ...]
    own: object = None
    host: _Host = field(default_factory=_Host)

    def user(self, _name: str) -> UserConfig | None:
        return cast("UserConfig | None", self.own)

    def groups(self) -> tuple[str, ...]:
        return self.named


def by_groups(*named: str, own: object = None) -> tuple[tuple[int, bool], ...]:
    return Configuration.by_groups(cast("Configuration", _Configured(named, own)), ALICE)


def test_what_the_account_is_in_counts_by_its_own_gid() -> None:
    assert by_groups("crew", "desk", "nobody-knows", "root") == ((9002, True), (9003, False))
    assert by_groups("users") == ((100, True),)


def test_its_own_file_decides_alone() -> None:
    assert by_groups("crew", own=object()) == ()


def test_a_roster_is_for_such_sessions_too() -> None:
    jail = JailSettings("x", by_groups=((9002, True), (9003, False)))
    records = compile_roster(ALICE, jail, [RosterKey("bob", "0" * 16, "A" * 16)]).records
    assert [(record.verb, *record.args) for record in records[-2:]] == [("member", "9002"), ("outsider", "9003")]


def test_of_a_directory_s_group_a_few_are_looked_at() -> None:
    members = [f"p{number:05}" for number in range(10_000)]
    found = some([*members, "al"], {"al", "bo", "p09999"})
    assert found == {"al", "p09999", *members[:SAMPLE]}
