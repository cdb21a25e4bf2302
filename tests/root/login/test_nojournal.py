"""A host without journald: the reference of a refusal leads to syslog, or to a file of root's."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from jailssh.scratch.host import ScratchHost
from tests.harness.probe import build_probe
from tests.root import login_lab
from tests.root.login_lab import PLANS, UID, Lab, compiled, plan

pytestmark = login_lab.NEEDS

JOURNAL = "/run/systemd/journal/socket"
LOG = "/var/log/jailssh.log"


@pytest.fixture(scope="module")
def silent(login_build: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with ScratchHost() as host:
        host.start_journald()
        room = tmp_path_factory.mktemp("programs")
        lab = Lab("setuid", host, login_build, [build_probe(room)], compiled("starter", room))
        lab.path(JOURNAL).rename(lab.path(f"{JOURNAL}.off"))
        lab.path("/dev/log").unlink(missing_ok=True)
        yield lab


@pytest.fixture
def lab(silent: Lab) -> Lab:
    for name in (LOG, f"{LOG}.1"):
        silent.path(name).unlink(missing_ok=True)
    silent.publish(plan())
    return silent


def session(lab: Lab, command: str) -> tuple[int, str]:
    process = lab.start(command).process
    _, err = process.communicate(timeout=20)
    return process.returncode, err.decode()


def reference(said: str) -> str:
    found = re.search(r"reference ([0-9a-f]{8})", said)
    assert found, said
    return found[1]


def test_refused_by_the_first_half_and_by_the_jail(lab: Lab) -> None:
    lab.path(f"{PLANS}/{UID}").write_bytes(b"nonsense")
    code, early = session(lab, "probe exit 0")
    assert code == 125
    lab.publish(plan(source="/home/gone"))
    late = session(lab, "probe exit 0")[1]
    lab.publish(plan())
    missing = session(lab, "missing")[1]
    denied = session(lab, "nosuch 'a\\nb'")[0]
    assert denied == 126
    lines = lab.path(LOG).read_text().splitlines()
    assert len(lines) == 4
    for said, line, reason in ((early, lines[0], "plan-bad"), (late, lines[1], "source"), (missing, lines[2], "")):
        assert f"session {reference(said)}" in line
        assert f"uid {UID}: login refused ({reason}" in line
    assert "command denied (command-not-allowed)" in lines[3]
    info = lab.path(LOG).stat()
    assert (stat.S_IMODE(info.st_mode), info.st_uid) == (0o600, 0)


def test_a_login_that_is_served_leaves_nothing(lab: Lab) -> None:
    assert session(lab, "probe exit 0")[0] == 0
    assert lab.path(LOG).read_text() == ""


@pytest.mark.parametrize("what", ["link", "hard link", "mode", "owner", "fifo"])
def test_a_file_that_is_not_roots_alone_is_not_written(lab: Lab, what: str) -> None:
    log, other = lab.path(LOG), lab.path("/var/log/other")
    other.unlink(missing_ok=True)
    other.touch(mode=0o600)
    if what == "link":
        log.symlink_to("other")
    elif what == "hard link":
        os.link(other, log)
    elif what == "fifo":
        os.mkfifo(log, 0o600)
    else:
        log.touch()
        log.chmod(0o660 if what == "mode" else 0o600)
        os.chown(log, UID if what == "owner" else 0, 0)
    assert session(lab, "nosuch")[0] == 126
    assert other.read_bytes() == b""
    assert what in ("link", "hard link", "fifo") or log.read_bytes() == b""


def test_the_file_does_not_grow_for_ever(lab: Lab) -> None:
    log = lab.path(LOG)
    log.touch(mode=0o600)
    os.truncate(log, 4 << 20)
    session(lab, "nosuch")
    assert 0 < log.stat().st_size < 1000
    assert lab.path(f"{LOG}.1").stat().st_size == 4 << 20


def test_syslog_comes_before_the_file(lab: Lab) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as logger:
        logger.bind(str(lab.path("/dev/log")))
        lab.path("/dev/log").chmod(0o666)
        logger.settimeout(10)
        assert session(lab, "nosuch")[0] == 126
        line = logger.recv(2000)
    lab.path("/dev/log").unlink()
    said = rb"<85>jailssh\[\d+\]: session [0-9a-f]{16}, uid %d: command denied \(.*" % UID
    assert re.fullmatch(said, line), line
    assert not lab.path(LOG).exists()
