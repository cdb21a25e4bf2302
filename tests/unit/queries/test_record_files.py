"""Records in files of JSON lines, as collectors write them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jailssh.audit.logbook import entry
from jailssh.core.errors import HostError
from jailssh.host.journal import JournalRecord
from jailssh.queries.record_files import RecordFiles

AT = 1_795_998_127_504_486
ROW: dict[str, Any] = {
    "JAILSSH_EVENT": "session-start", "JAILSSH_USER": "lou", "JAILSSH_UID": "7", "_UID": "7", "_HOSTNAME": "gate1",
    "_SOURCE_REALTIME_TIMESTAMP": str(AT), "MESSAGE": "lou: command runs",
}  # fmt: skip

Files = Callable[..., RecordFiles]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Make a reader of files, each of some lines: objects, or bytes as they are."""

    def make(*texts: list[dict[str, Any] | bytes], **asked: Any) -> RecordFiles:
        paths = []
        for number, lines in enumerate(texts):
            path = tmp_path / f"{number}.json"
            path.write_bytes(b"".join(x if isinstance(x, bytes) else json.dumps(x).encode() + b"\n" for x in lines))
            paths.append(str(path))
        return RecordFiles(paths, asked.pop("matches", {}), asked.pop("wanted", lambda _: True), **asked)

    return make


def all_of(found: RecordFiles) -> list[JournalRecord]:
    return list(found.between(None, None))


def test_what_rsyslog_and_journalctl_write(files: Files) -> None:
    lines = ["2 close b", "1 open a"]
    printed = {**ROW, "__REALTIME_TIMESTAMP": str(AT + 1), "JAILSSH_FILE": lines, "JAILSSH_COMMAND": [108, 115, 255]}
    own = {name: value for name, value in ROW.items() if name not in ("_HOSTNAME", "_SOURCE_REALTIME_TIMESTAMP")}
    within = {"hostname": "gate2", "timereported": "2026-11-30T00:22:07.5+00:00", "$!": own}
    first, second, third = all_of(files([ROW, printed, within]))
    assert (first.time, first.get("_HOSTNAME"), first.genuine) == (AT / 1e6, "gate1", True)
    assert second.time == (AT + 1) / 1e6
    assert entry(second, of_many=True).files == ("open a", "close b")
    assert (second.command(), third.get("_HOSTNAME"), third.genuine) == ("ls\udcff", "gate2", True)
    assert third.when.endswith("07+00:00") or third.time == 1_795_998_127.5


def test_lines_that_have_not_come_along_are_told(files: Files) -> None:
    row = {**ROW, "JAILSSH_EVENT": "file-operation", "JAILSSH_FILE": "9 session closed"}
    alone = {**row, "JAILSSH_FILE": "1 session opened"}
    said = [entry(record).what() for record in all_of(files([row, alone, {**row, "JAILSSH_LOST": "2"}]))]
    assert said == [
        ["8 lines before it are lost", "session closed"], ["session opened"], ["2 lines before it are lost",
        "session closed"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        b"{torn\n", b"[1]\n", b'"text"\n', b"\xff\n", b"[" * 100_000 + b"\n", b'{"JAILSSH_EVENT": "denied"}\n',
        b'{"_SOURCE_REALTIME_TIMESTAMP": "' + b"9" * 30 + b'"}\n', b'{"timestamp": "yesterday"}\n',
        b'{"a": "' + b"x" * (3 << 20) + b'"}\n',
    ],
)  # fmt: skip
def test_what_is_no_record_is_counted_and_nothing_else_is_lost(files: Files, line: bytes) -> None:
    found = files([ROW, line, b"\n", ROW])
    assert len(all_of(found)) == 2
    (said,) = found.missing()
    assert "0.json: 1 line cannot be read as a JSON object with a time" in said


def test_what_is_asked_for(files: Files) -> None:
    rows = [{**ROW, "_SOURCE_REALTIME_TIMESTAMP": str(AT + n * 10**6), "_HOSTNAME": f"gate{n % 2}"} for n in range(6)]
    chosen = files([rows[0], rows[3]], rows[4:] + rows[1:2], matches={"_HOSTNAME": ["gate1"]})
    assert [record.get("_HOSTNAME") for record in all_of(chosen)] == ["gate1"] * 3
    several = {**ROW, "JAILSSH_UID": ["7", "8"]}
    assert len(all_of(files([several], matches={"JAILSSH_UID": ["8"]}))) == 1
    assert not all_of(files([several]))[0].genuine
    within = files(rows).between(AT / 1e6 + 1.5, AT / 1e6 + 3.5)
    assert [round(record.time - AT / 1e6) for record in within] == [2, 3]
    assert [round(record.time - AT / 1e6) for record in files(rows[::2], rows[1::2]).newest(2, None, None)] == [4, 5]
    (record,) = all_of(files([ROW], matches={"_HOSTNAME": ["gate1"]}, only=("JAILSSH_EVENT",)))
    assert record.fields == {"JAILSSH_EVENT": "session-start", "_HOSTNAME": "gate1"}
    assert all_of(files([ROW], wanted=lambda record: not record.genuine)) == []


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, why in (("nothing", "no such file"), ("pipe", "is not a regular file"), (".", "is not a regular file")):
        with pytest.raises(HostError, match=why):
            RecordFiles([str(tmp_path / path)], {}, lambda _: True)
