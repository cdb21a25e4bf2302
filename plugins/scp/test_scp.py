import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from jailssh.core.errors import ConfigError
from jailssh.core.names import JailPath
from jailssh.image.resolve import resolve
from jailssh.jail.this_host import find_program
from jailssh.plugin.api import Account, Jail, Plugin, Value
from jailssh.policy.rules import check_rules
from jailssh_plugins.scp.plugin import plugin
from jailssh_plugins.sftp.plugin import SERVER_PATHS
from jailssh_plugins.sftp.plugin import plugin as sftp
from tests.harness.transport import Transport

ALICE = Account("alice", 1000, 1000, "alice", "/home/alice")
SERVER = "/usr/lib/openssh/sftp-server"
PLAIN: dict[str, Value] = {"upload": True, "download": True, "old_protocol": True, "log": False}


def jail(*plugins: Any) -> Any:
    return Jail("j", plugins, {SERVER: SERVER, "scp": "/usr/bin/scp"}.get)


def rules(*plugins: Any, **settings: Any) -> Any:
    return {rule.id: rule for rule in plugin.account(jail(*plugins), ALICE, {**PLAIN, **settings}).rules}


def test_it_is_a_plugin_whose_options_have_these_defaults() -> None:
    assert isinstance(plugin, Plugin)
    assert {option.name for option in plugin.options} == set(PLAIN)


def test_alone_it_serves_both_protocols() -> None:
    mine = rules("scp")
    assert set(mine) == {"scp.sftp", "scp.upload", "scp.download", "scp.winscp"}
    assert mine["scp.sftp"].argv_prefix == ()
    check_rules(mine.values())


def test_beside_the_sftp_plugin_that_one_decides_about_sftp() -> None:
    mine = rules("scp", "sftp")
    assert set(mine) == {"scp.upload", "scp.download", "scp.winscp"}
    settings: dict[str, Value] = {
        "read_only": True, "write_only": False, "append_only": False, "umask": "", "start": "",
        "allow_requests": (), "deny_requests": (), "log": True,
    }  # fmt: skip
    check_rules([*mine.values(), *sftp.account(jail("scp", "sftp"), ALICE, settings).rules])
    assert plugin.image(jail("scp", "sftp"), PLAIN).programs == ("/usr/bin/scp",)


def test_the_new_protocol_is_logged_and_the_old_one_has_nothing_to_say() -> None:
    mine = rules("scp", log=True, download=False)
    assert mine["scp.sftp"].stderr_to_journal
    assert mine["scp.sftp"].argv_prefix[:3] == ("-e", "-l", "INFO")
    assert not mine["scp.upload"].stderr_to_journal


def test_directions() -> None:
    up, down = rules("scp", download=False), rules("scp", upload=False)
    assert set(up) == {"scp.sftp", "scp.upload", "scp.winscp"}
    assert set(down) == {"scp.sftp", "scp.download", "scp.winscp"}
    assert down["scp.sftp"].argv_prefix == ("-R",)
    assert "read" in up["scp.sftp"].argv_prefix[1].split(",")
    assert plugin.account(jail("scp"), ALICE, {**PLAIN, "upload": False}).home == "ro"
    assert plugin.account(jail("scp"), ALICE, {**PLAIN, "download": False}).home == "rw"
    with pytest.raises(ConfigError, match="both off"):
        rules("scp", upload=False, download=False)


def test_without_the_old_protocol() -> None:
    assert set(rules("scp", old_protocol=False)) == {"scp.sftp"}
    assert plugin.image(jail("scp"), {**PLAIN, "old_protocol": False}).programs == (SERVER,)


def test_the_image_needs_what_the_host_must_have() -> None:
    assert plugin.image(jail("scp"), PLAIN).programs == ("/usr/bin/scp", SERVER)
    with pytest.raises(ConfigError, match="scp: not found"):
        plugin.image(Jail("j", ("scp",), {SERVER: SERVER}.get), PLAIN)


def copy(tmp_path: Path, flags: Any, *words: Any) -> Any:
    """Run the real scp against the real sftp-server with ``flags``; True if it succeeded."""
    server = next(filter(shutil.which, SERVER_PATHS))
    transport = tmp_path / "transport"
    transport.write_text(f"#!/bin/sh\nexec {server} {' '.join(flags)}\n")
    transport.chmod(0o755)
    command = ["scp", "-s", "-q", "-S", str(transport), *words]
    return subprocess.run(command, capture_output=True, timeout=30, cwd=tmp_path, env=os.environ).returncode == 0


@pytest.mark.needs("sshd")
def test_the_flags_allow_a_real_scp_what_they_should(tmp_path: Path) -> None:
    up, down = rules("scp", download=False)["scp.sftp"].argv_prefix, rules("scp", upload=False)["scp.sftp"].argv_prefix
    (tmp_path / "src" / "sub").mkdir(parents=True)
    (tmp_path / "src" / "sub" / "a").write_text("a")
    there = tmp_path / "there"
    there.mkdir()
    assert copy(tmp_path, up, "src/sub/a", f"h:{there}/")
    assert copy(tmp_path, up, "-rp", "src", f"h:{there}/")
    assert (there / "src" / "sub" / "a").read_text() == "a"
    assert not copy(tmp_path, up, f"h:{there}/a", "back")
    assert not copy(tmp_path, up, "-r", f"h:{there}", "back")
    assert not copy(tmp_path, down, "src/sub/a", f"h:{there}/no")
    assert copy(tmp_path, down, "-r", f"h:{there}", "got")
    assert (tmp_path / "got" / "a").read_text() == "a"
    assert not (there / "no").exists()


@pytest.fixture
def old(tmp_path: Path, match_build: Any) -> Any:
    """Run the real ``scp -O`` against the real matcher and the real scp, with ``home`` as the home."""
    home = tmp_path / "home"
    (home / "d").mkdir(parents=True)
    (tmp_path / "src" / "sub").mkdir(parents=True)
    for path in (home / "a.txt", home / "b.txt", home / "d" / "c", tmp_path / "one", tmp_path / "src" / "sub" / "x"):
        path.write_text(path.name)

    def run(*words: Any, **settings: Any) -> Any:
        found = Jail("j", ("scp",), find_program)
        account = Account("alice", 1000, 1000, "alice", str(home))
        transport = Transport(tmp_path, match_build, plugin.account(found, account, {**PLAIN, **settings}).rules, home)
        command = ["scp", "-O", "-S", str(transport.path), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=tmp_path, env=os.environ)
        return done.returncode, transport.sent[-1]

    return tmp_path, home, run


@pytest.mark.needs("scp", "sshd", "login-program")
def test_a_real_client_of_the_old_protocol(old: Any) -> None:
    room, home, run = old
    assert run("one", "h:up") == (0, "scp -t up")
    assert (home / "up").read_text() == "one"
    assert run("-p", "one", "h:d/") == (0, "scp -p -t d/")
    assert run("-v", "one", "h:") == (0, "scp -v -t .")
    assert run("one", "src/sub/x", "h:d") == (0, "scp -d -t d")
    assert run("-r", "src", "h:d") == (0, "scp -r -t d")
    assert (home / "d" / "src" / "sub" / "x").exists()
    assert run("-q", "h:a.txt", "got") == (0, "scp -f a.txt")
    assert run("-r", "-p", "h:d", "tree") == (0, "scp -r -p -f d")
    assert (room / "tree" / "c").read_text() == "c"
    assert run("h:~/d/c", "got") == (0, "scp -f ~/d/c")


@pytest.mark.needs("scp", "sshd", "login-program")
def test_a_real_client_in_the_direction_that_is_not_allowed(old: Any) -> None:
    room, home, run = old
    assert run("one", "h:up", upload=False)[0] != 0
    assert run("h:a.txt", "got", download=False)[0] != 0
    assert run("one", "h:../up")[0] != 0
    assert not (home / "up").exists()
    assert not (room / "up").exists()
    assert not (room / "got").exists()


@pytest.mark.needs("sshd")
def test_this_host_has_what_the_image_needs() -> None:
    found = Jail("j", ("scp",), find_program)
    manifest = resolve([("scp", plugin.image(found, PLAIN))])
    (program, *_) = plugin.image(found, PLAIN).programs
    assert manifest.get(JailPath(program)) is not None
