"""The journal's catalog: every event has its entry, every reason its cure, and the journal takes the file."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jailssh.core.journal_fields import FIELDS, MESSAGE_IDS, REASONS, Event
from tests.abilities import REPO
from tests.harness.documents import documents

__all__ = ["documents"]

CATALOG = "lib/systemd/catalog/jailssh.catalog"


def entries(documents: Path) -> dict[str, str]:
    """Return the text below each MESSAGE_ID."""
    parts = re.split(r"^-- ([0-9a-f]{32})\n", (documents / CATALOG).read_text(), flags=re.MULTILINE)
    assert parts[0] == ""
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_event_has_one_entry(documents: Path) -> None:
    assert set(entries(documents)) == set(MESSAGE_IDS.values())
    for text in entries(documents).values():
        head, body = text.split("\n\n", 1)
        assert re.match(r"Subject: \S", head)
        assert "Defined-By: jailssh\n" in head
        assert len(body.split()) > 8
        assert set(re.findall(r"@(\w+)@", text)) <= set(FIELDS)


def test_every_reason_is_explained_where_it_occurs(documents: Path) -> None:
    found = entries(documents)
    told = {event: set(re.findall(r"^([a-z-]+):$", found[MESSAGE_IDS[event]], re.MULTILINE)) for event in MESSAGE_IDS}
    assert set().union(*told.values()) == set(REASONS)
    assert {"command-not-allowed", "hours", "no-such-repository"} <= told[Event.DENIED]
    assert {"not-found", "service", "shell", "plan-bad", "build-timeout"} <= told[Event.REFUSED]
    # A reason is a denial or a refusal, not both.
    assert told[Event.DENIED] & told[Event.REFUSED] == set()
    assert told[Event.SESSION_END] == {"duration", "idle", "journal", "recording"}
    text = " ".join(found[MESSAGE_IDS[Event.REFUSED]].split())
    assert "busy: Too many logins are waiting for their jails. The next login may get through" in text


def test_reasons_are_below_the_event_of_the_login_program(documents: Path) -> None:
    rows = re.findall(r'X\([A-Z_]+, "([a-z-]+)", (TELL_[A-Z_]+), \d\)', (REPO / "jailssh/login/reason.h").read_text())
    refused = {code for code, audience in rows if audience in ("TELL_REFERENCE", "TELL_COMMAND")}
    denied = {code for code, audience in rows if audience not in ("TELL_REFERENCE", "TELL_NOTHING")} - refused
    assert refused | denied <= set(REASONS)
    assert {"drop", "plan-bad", "name", "not-found"} <= refused
    assert {"option-not-allowed", "operand-count"} <= denied
    found = entries(documents)
    assert [code for code in sorted(refused) if f"\n{code}:\n" not in found[MESSAGE_IDS[Event.REFUSED]]] == []
    assert [code for code in sorted(denied) if f"\n{code}:\n" not in found[MESSAGE_IDS[Event.DENIED]]] == []


def test_pam_refuses_with_the_events_id() -> None:
    script = (REPO / "packaging/pam/jailssh-pam-refused.in").read_text()
    assert f"\nMESSAGE_ID={MESSAGE_IDS[Event.REFUSED]}\n" in script


@pytest.mark.needs("journalctl")
def test_the_journal_takes_it(documents: Path, tmp_path: Path) -> None:
    folder = tmp_path / "usr/lib/systemd/catalog"
    folder.mkdir(parents=True)
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    shutil.copy(documents / CATALOG, folder)
    subprocess.run(["journalctl", f"--root={tmp_path}", "--update-catalog"], check=True, timeout=20)
    command = ["journalctl", f"--root={tmp_path}", "--list-catalog"]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.splitlines()
    assert {line.split()[0] for line in listed if " jailssh: " in line} == set(MESSAGE_IDS.values())
    assert f"{MESSAGE_IDS[Event.REFUSED]} jailssh: A login of @JAILSSH_USER@ was refused" in listed
