"""Running sums: of whom a record counts, what names they have, and that they can be kept and read again."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from unittest.mock import patch

import pytest

from jailssh.audit import metrics
from jailssh.audit.metrics import Sums
from jailssh.host.journal import JournalRecord
from jailssh.host.paths import Layout
from tests.harness.source import REPO

METRICS = REPO / "packaging" / "metrics"


def record(**fields: str) -> JournalRecord:
    """Return a record of the account 1000's own, with other fields than usual."""
    usual = {"JAILSSH_EVENT": "denied", "JAILSSH_UID": "1000", "_UID": "1000", "JAILSSH_JAIL": "shell"}
    return JournalRecord("", 0.0, {**usual, "JAILSSH_REASON": "hours", **fields}, {})


def test_only_what_may_be_said_counts() -> None:
    sums = Sums()
    for each in (record(), record(), record(_UID="1001"), record(JAILSSH_EVENT="audit"), record(JAILSSH_EVENT="")):
        sums.add(each)
    assert sums.rows == {("denied", "shell", "hours"): 2}


def test_drops_are_the_relays_to_tell() -> None:
    sums = Sums()
    dropped = {"JAILSSH_EVENT": "messages-lost", "JAILSSH_REASON": "", "JAILSSH_DROPPED": "7"}
    with patch("jailssh.host.journal._relay_uid", lambda: "77"):
        for uid in ("77", "77", "1000", "0"):
            sums.add(record(**dropped, _UID=uid))
        sums.add(record(**{**dropped, "JAILSSH_DROPPED": "-1"}, _UID="77"))
    assert sums.rows["dropped", "shell", ""] == 14


def test_nobody_makes_up_names_without_end() -> None:
    sums = Sums()
    for number in range(2000):
        sums.add(record(JAILSSH_JAIL=f"j{number}", JAILSSH_REASON=f"r{number}"))
    sums.add(record(JAILSSH_JAIL='x"} 1\n'))
    assert {reason for _, _, reason in sums.rows} == {"other", "hours"}
    assert len({jail for _, jail, _ in sums.rows}) == 501


def test_they_are_kept(tmp_path: Path) -> None:
    layout = Layout(root=str(tmp_path))
    Path(layout.state).mkdir(parents=True)
    sums = Sums(cursor="s=1;i=2")
    sums.add(record())
    metrics.write(layout, sums)
    assert metrics.read(layout) == sums
    for damage in (b"", b"{", b"[]", b'{"version": 2}', b'{"version": 1, "cursor": "", "rows": [[1]]}'):
        Path(f"{layout.state}/metrics.json").write_bytes(damage)
        assert metrics.read(layout) == Sums()


def numbers() -> str:
    sums = Sums()
    for event in ("session-start", "denied", "refused", "image-built", "image-failed", "file-operation"):
        sums.add(record(JAILSSH_EVENT=event))
    with patch("jailssh.host.journal._relay_uid", lambda: "77"):
        sums.add(record(JAILSSH_EVENT="messages-lost", JAILSSH_DROPPED="40", JAILSSH_REASON="", _UID="77"))
    live = [{"jail": "shell", "memory": 5}, {"jail": "shell", "memory": 6}, {"jail": "", "memory": 1}]
    return metrics.text(sums, live, 3, paused=True)


def test_the_text_is_what_prometheus_reads() -> None:
    text = numbers()
    for line in ('jailssh_sessions{jail="shell"} 2', 'jailssh_sessions_memory_bytes{jail="shell"} 11',
                 'jailssh_denied_total{jail="shell",reason="hours"} 1', "jailssh_processes_outside 3",
                 "jailssh_no_new_logins 1",
                 'jailssh_messages_dropped_total{jail="shell"} 40',
                 "# TYPE jailssh_refused_total counter"):  # fmt: skip
        assert f"{line}\n" in text


def test_what_rules_and_dashboard_ask_for_is_there() -> None:
    names = set(re.findall(r"# TYPE (\w+) ", numbers()))
    # Those of the textfile of each audit.
    names |= {"jailssh_findings", "jailssh_findings_by_id", "jailssh_audit_time_seconds"}
    dashboard = json.loads((METRICS / "dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked.append((METRICS / "jailssh.rules.yml").read_text())
    used = {name for each in asked for name in re.findall(r"\bjailssh_\w+", each)}
    assert used - {"jailssh_live"} <= names
    assert names - used <= {"jailssh_file_records_total"}


@pytest.mark.needs("promtool")
@pytest.mark.parametrize(
    "words", [("check", "rules", "jailssh.rules.yml"), ("test", "rules", "jailssh.rules.test.yml")]
)
def test_the_rules_are_right(words: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *words], cwd=METRICS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.needs("promtool")
def test_the_numbers_are_right() -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=numbers(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
