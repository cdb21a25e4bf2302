"""Whom sshd forwards for where something goes wrong: one account's trouble is not another's.  No host is asked."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from jailssh.core.errors import HostError, JailsshError
from jailssh.core.ports import Ports
from jailssh.host import accounts
from jailssh.host.accounts import GATED, PasswordAges, UnansweredError
from jailssh.host.paths import Layout
from jailssh.services import sshd, sshd_connections, sshd_matches
from jailssh.services.sshd_matches import MatchLine
from jailssh.setup import forwarding, jumping

OLD, NEW = Ports.of(["db:1"], ()), Ports.of(["db:2"], ())
AGES = PasswordAges(locked=False, changed=1, most=None, inactive=None, expires=GATED)


class Host:
    """The groups that accounts are in; what raises, by what is called and for whom."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **groups: str) -> None:
        self.groups = {name: [group] if group else [] for name, group in groups.items()}
        self.wrong: dict[tuple[str, str], JailsshError] = {}
        for owner, name, stand_in in (
            (accounts, "listed_groups", lambda name, _: self.groups[name]),
            (accounts, "password_ages", lambda _: AGES),
            (accounts, "get", lambda name: SimpleNamespace(name=name, uid=1000)),
            (jumping, "_members", lambda _: dict(self.groups)),
            (jumping, "_blocks", self._doing("blocks", lambda *_: [])),
            (jumping, "lift", self._doing("lift", lambda _, name: self.groups[name].clear())),
            (jumping, "_open", self._doing("open", self._open)),
            (forwarding, "pam_problems", lambda *_: ()),
        ):
            monkeypatch.setattr(owner, name, stand_in)

    def _doing(self, what: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def do(*args: Any, **_: object) -> Any:
            name = args[1] if isinstance(args[1], str) else ""
            if error := self.wrong.get((what, name)):
                raise error
            return act(*args)

        return do

    def _open(self, _: object, name: str, ports: Ports, *__: object) -> bool:
        self.groups[name] = [ports.group]
        return True

    def settled(self, uid: int = 1000, **wanted: Ports) -> list[str]:
        """Return what is wrong; ``uid``: that of the accounts' files."""
        errors: list[JailsshError] = []
        configuration: Any = SimpleNamespace(jumping=lambda _: dict(wanted), user=lambda _: SimpleNamespace(uid=uid))
        jumping.settle(Layout(), configuration, act=True, errors=errors)
        return [error.what for error in errors]


def test_an_account_that_cannot_be_taken_out_keeps_no_others_in(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, ann=OLD.group, bob=OLD.group, cat=OLD.group)
    host.wrong["lift", "ann"] = HostError("ann", "busy")
    assert host.settled(ann=NEW, cat=NEW) == ["ann"]
    assert host.groups == {"ann": [OLD.group], "bob": [], "cat": [NEW.group]}


def test_who_is_in_stays_where_the_drop_in_cannot_be_written_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, ann=OLD.group, bob="", cat=OLD.group)
    host.wrong["blocks", ""] = HostError("sshd", "is not reloaded")
    assert host.settled(ann=OLD, bob=NEW, cat=NEW) == ["sshd"]
    assert host.groups == {"ann": [OLD.group], "bob": [], "cat": []}


@pytest.mark.parametrize(
    ("error", "group"), [(UnansweredError("ann", "no answer"), OLD.group), (HostError("ann", "wrong"), "")]
)
def test_a_name_service_that_is_away_shuts_nobody_out(
    monkeypatch: pytest.MonkeyPatch, error: JailsshError, group: str
) -> None:
    host = Host(monkeypatch, ann=OLD.group)
    host.wrong["open", "ann"] = error
    assert host.settled(ann=OLD) == ["ann"]
    assert host.groups["ann"] == ([group] if group else [])


def test_nothing_is_done_to_another_account_that_has_the_name_now(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, ann="", bob=OLD.group)
    assert host.settled(uid=999, ann=OLD, bob=OLD) == ["/etc/jailssh/users/ann.conf", "/etc/jailssh/users/bob.conf"]
    assert host.groups == {"ann": [], "bob": []}


def test_nor_does_one_of_a_network_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of accounts with ``forward = inside``."""
    lifted: list[str] = []

    def lift(_: Layout, name: str) -> bool:
        if name == "ann":
            raise HostError("ann", "busy")
        lifted.append(name)
        return True

    monkeypatch.setattr(forwarding, "lift", lift)
    monkeypatch.setattr(forwarding, "_members", lambda _: ["ann", "bob"])
    monkeypatch.setattr(forwarding, "_sweep", lambda _: None)
    errors: list[JailsshError] = []
    configuration: Any = SimpleNamespace(forwarded_names=lambda *_: ())
    forwarding.settle(Layout(), configuration, act=True, errors=errors)
    assert [error.what for error in errors] == ["ann"]
    assert lifted == ["bob"]


def test_sshd_is_asked_once_for_accounts_that_are_one_case_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    groups = {"ann": [OLD.group], "bob": [OLD.group], "cat": [NEW.group], "dan": [OLD.group, "staff"]}
    lines = [MatchLine("/etc/ssh/sshd_config:1", "Match Group staff", (("group", "staff"),))]
    entries = {name: SimpleNamespace(groups=[(group, 7) for group in each]) for name, each in groups.items()}
    for owner, name, stand_in in (
        (accounts, "get", entries.__getitem__),
        (accounts, "listed_groups", lambda name, _: [each for each in groups[name] if each != "staff"]),
        (accounts, "is_listed_member", lambda *_: False),
        (sshd_matches, "lines", lambda _: lines),
        (sshd, "main_config", lambda _: ""),
        (sshd, "effective", lambda name, *_, **__: asked.append(name)),
        (sshd, "check_forced", lambda *_, **__: None),
        (sshd_connections, "connections", lambda _: ["one"]),
    ):
        monkeypatch.setattr(owner, name, stand_in)
    answers = jumping._Sshd(Layout())
    for name in (*groups, *groups):
        answers.check(name)
    assert asked == ["ann", "cat", "dan"]


def test_a_list_of_new_accounts_reads_the_groups_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def listed_in(prefix: str) -> dict[str, list[str]]:
        read.append(prefix)
        return {}

    monkeypatch.setattr(accounts, "listed_in", listed_in)
    configuration: Any = SimpleNamespace(user=lambda _: SimpleNamespace(jails=("shell",)), may_jump=lambda _: False)
    assert not jumping.is_about(configuration, [f"p{n}" for n in range(100)])
    assert len(read) == 1
