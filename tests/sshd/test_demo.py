"""``jailssh demo`` as it is installed: every row, its exit code, and that nothing of it remains."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time

import pytest

from jailssh.cli import demo
from jailssh.console.main import main
from jailssh.core.errors import EXIT_FAILED
from jailssh.scratch import demo_host, demo_rows
from jailssh.scratch.demo_host import Result
from jailssh.scratch.demo_rows import Row

WHOLE = pytest.mark.needs("root", "sshd", "sftp", "scp", "rsync", "git", "journald", "login-program")
ACCOUNT_FILES = ("/etc/passwd", "/etc/shadow", "/etc/group", "/etc/ssh/sshd_config")


def machine() -> dict[str, object]:
    """Return what the demo must leave as it was, without what tests that run beside this one put there."""
    found: dict[str, object] = {path: pathlib.Path(path).read_bytes() for path in ACCOUNT_FILES}
    for folder in ("/home", "/srv", "/etc/jailssh", "/var/lib/jailssh", "/run/jailssh"):
        names = os.listdir(folder) if pathlib.Path(folder).is_dir() else None
        found[folder] = names and sorted(name for name in names if not name.startswith("jailssh-test-"))
    mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    found["mounts"] = [line for line in mounts if line.split(" - ")[1].split()[1] == "scratch"]
    return found


def processes() -> dict[int, str]:
    """Return every process of the machine, also of its scratch hosts: pid to command line."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found[int(entry.name)] = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
    return found


def namespace_of(pid: int) -> int | None:
    """Return the pid namespace that the process is in, None when it has gone."""
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return None


def scratch_namespaces(owner: int) -> set[int | None]:
    """Return the pid namespace of the scratch host that ``owner`` has started, if it is there already."""
    inits = [pid for pid, line in processes().items() if f'"owner": {owner},' in line]
    return {namespace_of(pid) for pid in inits} - {namespace_of(os.getpid()), None}


def inhabitants(namespaces: set[int | None]) -> list[str]:
    return [line for pid, line in processes().items() if namespace_of(pid) in namespaces]


@WHOLE
def test_all_rows_are_as_expected_and_nothing_is_left(staged_prefix: str) -> None:
    before = machine()
    command = [f"{staged_prefix}/bin/jailssh", "demo", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        while not (namespaces := scratch_namespaces(running.pid)):
            assert running.poll() is None
        said, _ = running.communicate(timeout=120)
    facts = json.loads(said)
    assert [row for row in facts["rows"] if not row["ok"]] == []
    assert (running.returncode, facts["ok"], len(facts["rows"])) == (0, True, len(demo_rows.ROWS))
    assert facts["seconds"] < 120
    start, end = facts["journal"]["shell"]
    assert start["JAILSSH_SESSION"] == end["JAILSSH_SESSION"]
    assert (start["JAILSSH_COMMAND"], end["JAILSSH_EXIT"]) == ("id -un", "0")
    assert inhabitants(namespaces) == []
    assert machine() == before


@WHOLE
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_an_interrupted_demo(staged_prefix: str, how: signal.Signals) -> None:
    before = machine()
    command = [f"{staged_prefix}/bin/jailssh", "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert "command" in running.stdout.readline()
        assert running.stdout.readline().startswith("ok "), "the first row"
        namespaces = scratch_namespaces(running.pid)
        assert len(inhabitants(namespaces)) > 4
        running.send_signal(how)
        _, said = running.communicate(timeout=30)
    if how == signal.SIGINT:
        assert (running.returncode, "interrupted" in said, "Traceback" in said) == (130, True, False)
    deadline = time.monotonic() + 10
    while inhabitants(namespaces) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert inhabitants(namespaces) == []
    assert machine() == before


@WHOLE
def test_a_row_that_is_not_as_expected_fails_the_demo(
    staged_prefix: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (
        Row("ssh sftp-only@host id", 0),
        Row("ssh sftp-only@host id", 126, "this account allows: sftp", "a file", "test -e /home/sftp-only/none"),
        Row("ssh shell@host id -un", says="shell"),
    )
    monkeypatch.setattr(demo_host, "installed_prefix", lambda _: staged_prefix)
    monkeypatch.setattr(demo, "ROWS", rows)
    assert main(["demo"]) == EXIT_FAILED
    out = capsys.readouterr().out
    assert "BAD ssh sftp-only@host id" in out
    assert "NOT a file" in out
    assert "ok  ssh shell@host id -un" in out
    assert "1 of 3 as expected" in out
    assert "the journal records of the logins above are not as expected" in out


@pytest.mark.parametrize(
    ("row", "code", "output", "proved", "ok"),
    [
        (Row("x"), 0, "", True, True),
        (Row("x"), 1, "", True, False),
        (Row("x", 126), 126, "", True, True),
        (Row("x", 126), 127, "", True, False),
        (Row("x", None), 12, "", True, True),
        (Row("x", None), 0, "", True, False),
        (Row("x", says="yes"), 0, "no\nyes\n", True, True),
        (Row("x", says="yes"), 0, "no\n", True, False),
        (Row("x", shows="there", proof="false"), 0, "", False, False),
    ],
)
def test_what_is_as_expected(row: Row, code: int, output: str, proved: bool, ok: bool) -> None:
    result = Result(row, code, output, proved)
    assert result.ok is ok
    assert f"exit {code}" in result.got
    assert ("NOT" in result.got) is not proved


def test_what_a_client_printed_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in Result(Row("x", 1), 2, "\x1b[2Jbad", True).got
