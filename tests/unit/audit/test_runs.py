"""The audit's runs: kept, numbered, compared, told; whatever the clock, the disk and hostile names do."""

from __future__ import annotations

import os
import re
import tracemalloc
from dataclasses import replace
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from jailssh.audit import history, periodic, telling
from jailssh.audit.compare import compare, with_since
from jailssh.config.files import MainConfig, read_main
from jailssh.core.errors import HostError, JailsshError, UsageError
from jailssh.host.paths import Layout

EVIL = "a\x1b]0;x\x07\n\udcff<b>"


def finding(name: str, severity: str = "high", what: str = "w") -> dict[str, Any]:
    return {"fingerprint": name, "id": f"JSH-10{name}", "severity": severity, "object": f"o{name}", "what": what,
            "why": "Why.", "cure": "cure it", "title": "t", "path": "", "account": "", "jail": ""}  # fmt: skip


def run(*names: str, when: str = "2026-11-28T00:00:00Z", unseen: bool = False) -> dict[str, Any]:
    blind = [{"what": "x", "why": "y", "hint": ""}] if unseen else []
    return {"when": when, "checks": [], "accounts": 1, "findings": [finding(name) for name in names], "suppressed": [],
            "unseen": blind}  # fmt: skip


def prints(findings: Any) -> list[str]:
    return [each["fingerprint"] for each in findings]


@pytest.mark.parametrize(
    ("before", "now", "new", "back", "mended"),
    [
        ([], run("1"), ["1"], [], []),
        ([run("1")], run("1"), [], [], []),
        ([run("1")], run("1", "2"), ["2"], [], []),
        ([run("1", "2")], run("1"), [], [], ["2"]),
        ([run("1"), run()], run("1"), [], ["1"], []),
        ([run("1"), run(), run("1")], run("1"), [], [], []),
        # What was not looked at is not mended by that.
        ([run("1")], run(unseen=True), [], [], []),
    ],
)
def test_what_became_of_findings(before: Any, now: Any, new: Any, back: Any, mended: Any) -> None:
    found = compare(now, before)
    assert (prints(found.new), prints(found.back), prints(found.mended)) == (new, back, mended)


def test_the_worst_is_told_first_be_it_new_or_back() -> None:
    low = [finding(f"{number}", "low") for number in range(60)]
    now = {**run(), "findings": [finding("x", "high"), *low]}
    found = compare(now, [run("x"), run()])
    assert prints(found.worse)[:2] == ["x", "0"], "who can make many small ones must not hide it among them"


def test_since_when_a_finding_is_there() -> None:
    first = with_since(run("1", when="2026-01-01T00:00:00Z"), None)
    second = with_since(run("1", "2", when="2026-02-01T00:00:00Z"), first)
    assert [each["since"][:7] for each in second["findings"]] == ["2026-01", "2026-02"]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    (tmp_path / "var/lib/jailssh").mkdir(parents=True)
    return Layout(str(tmp_path))


def keep(layout: Layout, *runs: dict[str, Any]) -> None:
    with history.locked(layout):
        for each in runs:
            history.keep(layout, each)


def test_runs_are_in_order_whatever_the_clock_says(layout: Layout) -> None:
    keep(layout, run("1", when="2026-11-28T00:00:00Z"), run("2", when="1999-01-01T00:00:00Z"))
    assert [each.number for each in history.runs(layout)] == [1, 2]
    assert history.read(layout, history.pick(layout, None))["findings"][0]["fingerprint"] == "2"
    assert history.read(layout, history.pick(layout, "-2"))["number"] == 1
    assert os.stat(history.pick(layout, "1").path).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("word", ["3", "0", "-3", "x", "1.5", "\x1b", "１"])
def test_a_run_that_is_not_there(layout: Layout, word: str) -> None:
    keep(layout, run("1"), run("2"))
    with pytest.raises(UsageError, match="does not exist"):
        history.pick(layout, word)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"format": 1, "findings": [{}]}', '{"format": 9, "findings": []}']
)
def test_a_damaged_run_is_told_and_passed_over(layout: Layout, text: str) -> None:
    keep(layout, run("1"), run("2"))
    Path(history.pick(layout, "1").path).write_text(text)
    errors: list[JailsshError] = []
    assert prints(history.readable(layout, errors)[0]["findings"]) == ["2"]
    assert "damaged" in str(errors[0])


def test_old_runs_go_but_never_the_last(layout: Layout) -> None:
    keep(layout, run("1"), run("2"), run("3"))
    for each in history.runs(layout):
        os.utime(each.path, (1000, 1000))
    assert history.prune(layout, 1000 + 50, 100) == 0
    assert history.prune(layout, 1000 + 500, 100) == 2
    assert [each.number for each in history.runs(layout)] == [3]
    keep(layout, run("4"))
    assert history.runs(layout)[-1].number == 4


def test_two_at_once_get_a_number_each(layout: Layout) -> None:
    keep(layout, run("1"))
    keep(layout, run("1"))
    assert len({each.path for each in history.runs(layout)}) == 2


@pytest.fixture
def main() -> MainConfig:
    return read_main(b"", "jailssh.conf")


def test_no_room_for_the_history_is_told_and_nothing_else_is_lost(
    layout: Layout, main: MainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise HostError("write", "no space left on device")

    monkeypatch.setattr(history, "keep", full)
    done = periodic.finish(layout, main, run("1"), 0.0, 1.0)
    assert ["no space left" in str(error) for error in done.errors] == [True]
    assert prints(done.found.new) == ["1"]


def test_each_way_of_telling_fails_alone(layout: Layout, tmp_path: Path) -> None:
    text = f"audit_mail = root\naudit_command = {tmp_path}/absent\naudit_textfile = {tmp_path}/x.prom\n"
    done = periodic.finish(layout, read_main(text.encode(), "c"), run("1"), 0.0, 1.0)
    assert "absent" in " ".join(map(str, done.errors))
    assert 'jailssh_findings{severity="high"} 1\n' in (tmp_path / "x.prom").read_text()
    assert os.stat(tmp_path / "x.prom").st_mode & 0o777 == 0o644


def test_an_address_that_no_mail_can_have_stops_nothing(layout: Layout, tmp_path: Path) -> None:
    text = f'audit_mail = "a\tb@"\naudit_textfile = {tmp_path}/x.prom\n'
    main = replace(read_main(text.encode(), "c"), audit_mail=("root\nBcc: x",))
    done = periodic.finish(layout, main, run("1"), 0.0, 1.0)
    assert len(done.errors) == 1
    assert (tmp_path / "x.prom").exists()


def test_a_command_that_others_can_write_is_not_run(tmp_path: Path) -> None:
    command = tmp_path / "command"
    command.write_text("#!/bin/sh\ntouch $0.ran\n")
    command.chmod(0o777)
    facts = run("1")
    with pytest.raises(HostError, match="writable"):
        telling.run_command(str(command), facts, compare(facts, []), str(tmp_path))
    assert not (tmp_path / "command.ran").exists()


def test_a_command_gets_the_run(tmp_path: Path) -> None:
    command = tmp_path / "command"
    command.write_text("#!/bin/sh\ncat > $0.got\n")
    command.chmod(0o700)
    facts = run("1")
    telling.run_command(str(command), facts, compare(facts, []), str(tmp_path))
    assert '"new": [{' in (tmp_path / "command.got").read_text()
    command.write_text("#!/bin/sh\necho broken >&2; exit 3\n")
    with pytest.raises(HostError, match="broken"):
        telling.run_command(str(command), facts, compare(facts, []), str(tmp_path))


def test_the_mail_holds_what_is_new_and_no_byte_that_acts() -> None:
    facts = run("1")
    facts["findings"] = [finding("1", what=EVIL)]
    data = telling.mail_text(facts, compare(facts, []), ["root", "ops@example.org"], "host\nBcc: x")
    mail = message_from_bytes(data, policy=policy.default)
    assert mail["To"] == "root, ops@example.org"
    assert mail["Bcc"] is None
    assert "1 high" in mail["Subject"]
    body = mail.get_content()
    assert "JSH-101 high: o1" in body
    assert not set(body) & {"\x1b", "\x07"}
    assert "cure it" in body


LINE = re.compile(r'(# (HELP|TYPE) jailssh_\w+ .+|jailssh_\w+(\{(\w+="[^"\\\n]*",?)+\})? [0-9.e+-]+)\Z')


def test_numbers_are_what_prometheus_reads() -> None:
    facts = with_since(run("1", "2", when="2026-11-28T00:00:00Z"), None)
    facts["findings"][1]["since"] = "2026-11-18T00:00:00Z"
    text = telling.textfile(facts, 1.5)
    assert text.endswith("\n")
    assert [line for line in text.splitlines() if not LINE.match(line)] == []
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(set(names)) == len(names)
    assert 'jailssh_findings_by_id{id="JSH-101",severity="high",age="day"} 1\n' in text
    assert 'jailssh_findings_by_id{id="JSH-102",severity="high",age="month"} 1\n' in text
    assert 'jailssh_findings{severity="low"} 0\n' in text


def test_runs_of_before_are_held_as_far_as_they_matter(layout: Layout) -> None:
    keep(layout, run("1"), run("2", unseen=True), run("3"), run("3", "4"))
    found = history.readable(layout, [])
    assert [prints(each["findings"]) for each in found] == [["1"], ["2"], ["3"], ["3", "4"]]
    assert [sorted(each["findings"][0]) == ["fingerprint", "severity"] for each in found] == [True, True, False, False]
    assert [len(each["unseen"]) for each in found] == [0, 1, 0, 0]
    before = history.look_back(layout, [], 3)
    assert [prints(each["findings"]) for each in before] == [["2", "3"], ["3", "4"]]
    now = run("1", "2", "3")
    assert compare(now, before) == compare(now, found[1:])
    assert history.look_back(Layout(f"{layout.root}/none"), [], 3) == []


def test_many_runs_take_the_memory_of_few(layout: Layout) -> None:
    """A host with ten thousand accounts has runs of megabytes, and keeps hundreds of them."""
    keep(layout, *(run(*(f"{number:05}" for number in range(1000))) for _ in range(12)))

    def peak(most: int) -> int:
        tracemalloc.start()
        history.look_back(layout, [], most)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(12) < 2 * peak(2)
