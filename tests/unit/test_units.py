"""The systemd units agree with the code."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from jailssh.host.paths import Layout
from jailssh.relay import daemon
from jailssh.users.setup import GROUP

UNITS = Path(__file__).resolve().parents[2] / "packaging/systemd"


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=True, interpolation=None, comment_prefixes=("#",), delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNITS / name)
    return parser


def test_the_socket_is_the_one_that_logins_ask() -> None:
    socket = unit("jailsshd.socket")["Socket"]
    assert socket["ListenStream"] == Layout().socket
    assert socket["SocketMode"] == "0666"
    assert int(socket["Backlog"]) == daemon.MAX_CONNECTIONS


def test_the_service_can_write_where_the_code_writes() -> None:
    service = unit("jailsshd.service.in")["Service"]
    assert f"/var/lib/{service['StateDirectory']}" == Layout().state
    assert service["ReadWritePaths"] == Layout().run
    assert "RuntimeDirectory" not in service
    assert int(service["LimitNOFILE"]) > 2 * daemon.MAX_CONNECTIONS
    assert int(service["TasksMax"]) > 2 * daemon.MAX_JOBS


def test_tmpfiles_and_sysusers() -> None:
    made = {line.split()[1]: line.split()[2] for line in (UNITS / "jailssh.tmpfiles").read_text().splitlines()[1:]}
    assert made == {Layout().run: "0755", Layout().state: "0755"}
    assert f"g {GROUP} -" in (UNITS / "jailssh.sysusers").read_text().splitlines()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    program = tmp_path / "jailsshd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = (UNITS / "jailsshd.service.in").read_text().replace("@PROGRAM_DIR@", str(tmp_path))
    (tmp_path / "jailsshd.service").write_text(text)
    shutil.copy(UNITS / "jailsshd.socket", tmp_path)
    units = [str(tmp_path / "jailsshd.service"), str(tmp_path / "jailsshd.socket")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert [line for line in (done.stdout + done.stderr).splitlines() if "jailssh" in line] == []
    assert done.returncode == 0
