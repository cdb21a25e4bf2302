"""The log of an audit over a journal of a million records: the first line, an account's month, the sums, the page."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from jailssh.core.errors import JailsshError
from tests.bench.builds import timed
from tests.bench.figures import Goal, Row, timed_row
from tests.bench.site import PREFIX, Site, attach

RECORDS = 1_000_000
SESSIONS = 100_000
FIRST_MS, MONTH_MS, SUMMARY_MS, PAGE_MS = 200.0, 1000.0, 2000.0, 2000.0
PAGE_KIB = 1024.0
RUNS = 5
_WRITER = ("/lib/systemd/systemd-journal-remote", "/usr/lib/systemd/systemd-journal-remote")
_ROOT = "/srv/journal"
_STEP = 30
"""Seconds between two records: all of them are most of a year."""
_BEGIN = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp())
_ROUND = (*("session-start", "session-end") * 9, "denied", "file-operation")
_ACCOUNTS = 1000
_BUSY = 10
"""Every so many records is the first account's."""


def measure(site: Site, runs: int) -> list[Row]:
    """Return the rows; the journal is made anew, which takes most of a minute."""
    folder = site.room / "journal"
    _make(folder)
    attach(site.host, folder, _ROOT)
    try:
        first = timed(site, ["/bin/sh", "-c", f"{PREFIX}/bin/jailssh --root {_ROOT} audit log | head -n 2"], RUNS)
        of_march = _log("--user", "user0", "--since", "2025-03", "--until", "2025-04")
        month = timed(site, of_march, RUNS)
        end = _BEGIN + SESSIONS * _STEP * len(_ROUND) // _ROUND.count("session-start")
        summing = _log("--summary", "--json", "--until", f"@{end}")
        sums = timed(site, summing, RUNS)
        paging = _audit("report", "--since", f"@{_BEGIN}", "--until", f"@{end}")
        page = timed(site, ["/bin/sh", "-c", f"{' '.join(paging)} >/srv/page"], RUNS)
        size = int(site.host.run(["stat", "-c", "%s", "/srv/page"], check=True).stdout) / 1024
        _check(site, of_march, summing)
    finally:
        site.host.run(["umount", _ROOT])
        shutil.rmtree(folder)
    of = f"{RECORDS:,} records"
    return [
        timed_row(f"audit log, {of}: the first line", first, FIRST_MS),
        timed_row(f"audit log, {of}: a busy account's month", month, MONTH_MS),
        timed_row(f"audit log, {of}: {SESSIONS:,} sessions summed up", sums, SUMMARY_MS),
        timed_row(f"audit report, {of}: the page of {SESSIONS:,} sessions", page, PAGE_MS),
        Row("audit report: its size", size, "KiB", goals=(Goal("audit report: size (KiB)", size, PAGE_KIB),)),
    ]


def _check(site: Site, month: list[str], summing: list[str]) -> None:
    """Raise unless the answers are whole: what finds nothing is fast."""
    lines = len(site.host.run(month, check=True).stdout.splitlines())
    sessions = sum(each["count"] for each in json.loads(site.host.run(summing, check=True).stdout)["sessions"])
    expected = 31 * 86400 // _STEP // _BUSY
    if not (expected * 0.9 < lines < expected * 1.1 and abs(sessions - SESSIONS) < 10):
        raise JailsshError("audit log", f"{lines} records of {expected}, {sessions} sessions of {SESSIONS}")


def _log(*words: str) -> list[str]:
    return _audit("log", *words)


def _audit(*words: str) -> list[str]:
    return [f"{PREFIX}/bin/jailssh", "--root", _ROOT, "audit", *words]


def _make(folder: Path) -> None:
    """Write the journal by systemd-journal-remote(8), which takes what ``journalctl -o export`` prints."""
    program = next((path for path in _WRITER if Path(path).exists()), None)
    if program is None:
        raise JailsshError("journal", "systemd-journal-remote is not installed")
    machine = folder / "var/log/journal" / Path("/etc/machine-id").read_text(encoding="ascii").strip()
    machine.mkdir(parents=True)
    command = [program, "--split-mode=none", "--compress=no", f"--output={machine / 'bench.journal'}", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdin is not None
        for records in _batches():
            child.stdin.write("".join(records).encode())
    if child.returncode != 0:
        raise JailsshError("systemd-journal-remote", f"exit status {child.returncode}")


def _batches() -> Iterator[list[str]]:
    records = _records()
    while batch := list(itertools.islice(records, 1000)):
        yield batch


def _records() -> Iterator[str]:
    for number in range(RECORDS):
        event = _ROUND[number % len(_ROUND)]
        # Both records of a session are one account's.
        user = 0 if number // 2 % _BUSY == 0 else number // 2 * 7919 % _ACCOUNTS
        uid, name = 20_000 + user, f"user{user}"
        rows = [
            f"__REALTIME_TIMESTAMP={(_BEGIN + number * _STEP) * 1_000_000}",
            f"__MONOTONIC_TIMESTAMP={number * _STEP * 1_000_000}",
            "_BOOT_ID=0123456789abcdef0123456789abcdef",
            f"_UID={uid}", f"_GID={uid}", f"_PID={300 + number % 30_000}", "_TRANSPORT=journal", "_HOSTNAME=bench",
            "_COMM=jailssh-login", f"_EXE={PREFIX}/libexec/jailssh/jailssh-login", "_SYSTEMD_SLICE=user.slice",
            "SYSLOG_IDENTIFIER=jailssh", "SYSLOG_FACILITY=10", "PRIORITY=6", f"MESSAGE={name}: {event}",
            f"JAILSSH_EVENT={event}", f"JAILSSH_USER={name}", f"JAILSSH_UID={uid}", f"JAILSSH_JAIL=jail{user % 20}",
            f"JAILSSH_SESSION={number // 2:016x}", f"JAILSSH_PLAN={uid:016x}", f"JAILSSH_KEY=key{user % 7}",
            f"JAILSSH_PEER=192.0.2.{user % 250} {1024 + number % 60_000} 198.51.100.1 22",
        ]  # fmt: skip
        if event == "session-end":
            rows += ["JAILSSH_EXIT=0", f"JAILSSH_DURATION_USEC={number % 10_000_000}"]
        elif event == "file-operation":
            rows += ["JAILSSH_OPERATION=close", f"JAILSSH_PATH=/home/{name}/{number % 5000}"]
        else:
            rows += [f"JAILSSH_COMMAND=rsync --server -e.LsfxC . backup{number % 100}", "JAILSSH_RULE=rsync.push"]
        rows += ["JAILSSH_REASON=command-not-allowed"] if event == "denied" else []
        yield "\n".join(rows) + "\n\n"
