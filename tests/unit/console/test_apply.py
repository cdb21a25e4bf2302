"""How ``apply`` shows what changes: which accounts as one, in which words."""

from __future__ import annotations

import argparse
import json

import pytest

from jailssh.cli import apply
from jailssh.cli.apply import Report
from jailssh.console.context import Context
from jailssh.core.errors import HostError
from jailssh.host.accounts import AccountEntry
from jailssh.host.paths import Layout
from jailssh.jail.this_host import ThisHost
from jailssh.publish.publish import PlanChange


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host knows none of the accounts."""

    def find_entry(host: ThisHost, who: str | int) -> AccountEntry | None:
        return None

    monkeypatch.setattr(ThisHost, "find_entry", find_entry)


def crowd(count: int, jail: str = "box") -> list[PlanChange]:
    return [PlanChange(5000 + number, f"crowd{number}", jail, ("+ umask 022", f"+ environment USER=crowd{number}"))
            for number in range(count)]  # fmt: skip


def shown(capsys: pytest.CaptureFixture[str], found: list[PlanChange], *, details: bool = False) -> list[str]:
    Report(Context(Layout("/nowhere")), None, details=details).show(found, "nothing")
    return capsys.readouterr().out.splitlines()


HEADS = {
    2: "jail box, 2 accounts: crowd0, crowd1",
    10: "jail box, 10 accounts: " + ", ".join(f"crowd{number}" for number in range(10)),
    11: "jail box, 11 accounts: crowd0, crowd1, crowd2 and 8 more",
    2500: "jail box, 2,500 accounts: crowd0, crowd1, crowd2 and 2,497 more",
}


@pytest.mark.parametrize("count", HEADS)
def test_accounts_with_the_same_change_are_one(capsys: pytest.CaptureFixture[str], count: int) -> None:
    assert shown(capsys, crowd(count)) == [
        f"{HEADS[count]}; shown for crowd0, the others with their own name, uid and home:",
        "  + umask 022",
        "  + environment USER=crowd0",
    ]


def test_one_account_is_shown_as_with_details(capsys: pytest.CaptureFixture[str]) -> None:
    one = crowd(1)
    lines = ["crowd0 (uid 5000), jail box:", "  + umask 022", "  + environment USER=crowd0"]
    assert shown(capsys, one) == shown(capsys, one, details=True) == lines
    # Among others, too.
    assert shown(capsys, [*crowd(2, "web"), *one])[:3] == lines
    assert shown(capsys, []) == shown(capsys, [], details=True) == ["nothing"]


def test_details_are_each_account_in_the_given_order(capsys: pytest.CaptureFixture[str]) -> None:
    found = [*crowd(2, "web"), *crowd(2), PlanChange(7, "", "", ("- the plan",)), PlanChange(0, "x", "", ("- key a",))]
    assert [line for line in shown(capsys, found, details=True) if not line.startswith(" ")] == [
        "crowd0 (uid 5000), jail web:",
        "crowd1 (uid 5001), jail web:",
        "crowd0 (uid 5000), jail box:",
        "crowd1 (uid 5001), jail box:",
        "a deleted account (uid 7), jail none:",
        "x:",
    ]
    assert [line.partition(":")[0] for line in shown(capsys, found) if not line.startswith(" ")] == [
        "a deleted account (uid 7), jail none",
        "x",
        "jail box, 2 accounts",
        "jail web, 2 accounts",
    ]


@pytest.mark.parametrize("details", [True, False])
def test_notes_and_json_are_of_each_account(capsys: pytest.CaptureFixture[str], *, details: bool) -> None:
    noted = PlanChange(9, "ann", "box", (), ("no limits here",))
    found = [*crowd(2, "web"), noted, *crowd(2)]
    Report(Context(Layout("/nowhere"), json=True), {"host": "h"}, details=details).show(found, "nothing")
    out, err = capsys.readouterr()
    assert err == "note: ann: no limits here\n"
    facts = json.loads(out)
    assert facts["bundle"] == {"host": "h"}
    assert [(each["name"], each["jail"]) for each in facts["plans"]] == [
        ("crowd0", "web"), ("crowd1", "web"), ("crowd0", "box"), ("crowd1", "box")]  # fmt: skip
    assert facts["plans"][3]["lines"] == ["+ umask 022", "+ environment USER=crowd1"]


def test_what_has_changed_is_shown_where_an_error_stops_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    found: list[PlanChange] = []
    with (
        pytest.raises(KeyboardInterrupt),
        Report(Context(Layout("/nowhere")), None, details=False).also_for_errors(found),
    ):
        found += crowd(3)
        raise KeyboardInterrupt
    assert capsys.readouterr().out.startswith("jail box, 3 accounts: crowd0, crowd1, crowd2; ")


def test_who_interrupts_it_is_told_that_what_was_published_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(apply, "_run", interrupted)
    monkeypatch.setattr(Context, "need_root", lambda *_: None)
    with pytest.raises(HostError, match="interrupted: published plans stay") as found:
        apply.run(argparse.Namespace(), Context(Layout("/nowhere")))
    assert found.value.exit_code == 130
