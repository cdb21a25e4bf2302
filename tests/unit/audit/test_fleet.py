"""The page of many hosts: well-formed and harmless whatever hosts are called, the worst first, and what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from jailssh.audit import found
from jailssh.audit.fleet import Fleet, page
from jailssh.console import main
from jailssh.core.errors import EXIT_FAILED
from tests.unit.audit.journal_tools import BEGIN
from tests.unit.audit.page_tools import DAY, HOSTILE, finding, hostile, run

NOW = BEGIN + 60 * DAY


def read(fleet: Fleet) -> tuple[str, ElementTree.Element]:
    html = page(fleet)
    tree = ElementTree.fromstring(html.removeprefix("<!DOCTYPE html>\n"))
    names = [each.get("id") for each in tree.iter() if each.get("id")]
    assert len(names) == len(set(names)), "a place of the page has the name of another"
    links = [str(each.get("href")).removeprefix("#") for each in tree.iter("a")]
    assert set(links) <= {*names}, "a link leads nowhere"
    assert list(tree.iter("script")) == []
    return " ".join("".join(tree.itertext()).split()), tree


def test_the_worst_host_comes_first_and_what_several_have_is_told_once() -> None:
    hosts = {
        "calm": run(60), "bad": run(60, finding(105), finding(216, "low")),
        "worse": run(60, finding(105), finding(105, object="account bob")),
    }  # fmt: skip
    fleet = Fleet(hosts, NOW)
    assert [name for name, _ in fleet.worst_first()] == ["worse", "bad", "calm"]
    shown, tree = read(fleet)
    assert "4 findings on 2 of 3 hosts." in shown
    assert "missing" not in shown
    tables = {"".join(each.find("caption").itertext()): each for each in tree.iter("table")}  # type: ignore[union-attr]
    rows = [["".join(cell.itertext()) for cell in row] for row in tables["By the number of hosts"].iter("tr")][1:]
    assert rows == [["JSH-105 title of 105", "high", "2", "3"]]
    assert "Findings of calm" not in shown and "Findings of bad" in shown


def test_hosts_that_were_not_checked_of_late_are_told() -> None:
    hosts = {
        "fresh": run(60), "late": run(1), "ahead": run(63), "mute": run(1, when="soon"),
        "blind": run(59, unseen=[{"what": "home of alice", "why": "no answer"}]),
    }  # fmt: skip
    assert Fleet(hosts, NOW, ["x.json: is torn"]).missing() == [
        "x.json: is torn", "late: was last checked 1416 hours ago", "ahead: was checked later than now, by its clock",
        "mute: says no time of its checks", "blind: did not look at 1 part, see there",
    ]  # fmt: skip


def test_hostile_names_do_no_harm() -> None:
    bad = hostile().run
    assert bad is not None
    shown, _ = read(Fleet(dict.fromkeys(HOSTILE, bad), NOW, HOSTILE))
    assert "run" in shown


def test_a_thousand_hosts_are_bounded_and_what_is_left_out_is_said() -> None:
    many = [finding(100 + number, jail=f"jail{number % 7}", what="x" * 500) for number in range(60)]
    html = page(Fleet({f"host{number:04}": run(60, *many) for number in range(1000)}, NOW))
    assert len(html) < found.BUDGET + 500_000
    assert "more hosts not shown" in html


def test_files_of_hosts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    when = "2999-01-01T00:00:00Z"

    def write(name: str, facts: Any) -> str:
        (tmp_path / name).write_text(facts if isinstance(facts, str) else json.dumps(facts))
        return str(tmp_path / name)

    old = write("a.json", run(1, finding(105), host="gate"))
    new = write("b.json", run(3, host="gate"))
    other = write("c.json", run(3, finding(216, "low")))
    for bad in ("", "[]", "{}", '{"findings": [{}]}', "[" * 100_000, '{"findings": 7}', "\x00"):
        files = [new, old, other, write("bad.json", bad)]
        assert main.main(["audit", "merge", "--json", *files]) == EXIT_FAILED
        out, err = capsys.readouterr()
        facts = json.loads(out)
        assert [(row["host"], row["low"]) for row in facts["hosts"]] == [("c", 1), ("gate", 0)]  # the newer run counts
        assert [each["host"] for each in facts["findings"]] == ["c"]
        assert f"{tmp_path}/bad.json: is not what 'jailssh check --json' prints" in err
    assert main.main(["audit", "merge", str(tmp_path / "none.json")]) == 1
    assert "none.json: no such file or directory" in capsys.readouterr().err
    assert main.main(["audit", "merge", "-", "-"]) == 2
    capsys.readouterr()
    fine = write("d.json", run(3, host="gate", when=when))
    assert main.main(["audit", "merge", fine]) == EXIT_FAILED  # a clock that is ahead
    assert "was checked later than now" in capsys.readouterr().err
