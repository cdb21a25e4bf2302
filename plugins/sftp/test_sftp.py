import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import paramiko
import pytest

from jailssh.core.errors import ConfigError
from jailssh.core.names import JailPath
from jailssh.image.resolve import resolve
from jailssh.jail.this_host import find_program
from jailssh.plugin.api import Account, Jail, Plugin, Value
from jailssh_plugins.sftp.plugin import SERVER_PATHS, plugin

ALICE = Account("alice", 1000, 1000, "alice", "/home/alice")
SERVER = "/usr/lib/openssh/sftp-server"
PLAIN: dict[str, Value] = {"read_only": False, "write_only": False, "append_only": False, "umask": "", "start": "",
         "allow_requests": (), "deny_requests": (), "log": False}  # fmt: skip


def jail(*found: Any) -> Any:
    return Jail("j", ("sftp",), {path: path for path in found or (SERVER,)}.get)


def flags(**settings: Any) -> Any:
    (rule,) = plugin.account(jail(), ALICE, {**PLAIN, **settings}).rules
    return rule.argv_prefix


def test_it_is_a_plugin_whose_options_have_these_defaults() -> None:
    assert isinstance(plugin, Plugin)
    assert {option.name for option in plugin.options} == set(PLAIN)


def test_every_spelling_runs_this_host_s_server_without_the_client_s_flags() -> None:
    result = plugin.account(jail("/opt/sftp-server", SERVER), ALICE, PLAIN)
    (rule,) = result.rules
    assert rule.program == SERVER
    assert rule.ignore_arguments
    assert {"internal-sftp", "sftp-server", *SERVER_PATHS} <= set(rule.command_names)
    assert (result.capability, result.home, result.pty, result.proc) == ("sftp", "rw", False, False)


def test_a_server_in_an_unusual_place_is_a_spelling_too() -> None:
    found = Jail("j", ("sftp",), {"sftp-server": "/opt/ssh/sftp-server"}.get)
    (rule,) = plugin.account(found, ALICE, PLAIN).rules
    assert rule.program in rule.command_names


def test_the_settings_become_flags() -> None:
    assert flags() == ()
    assert flags(read_only=True) == ("-R",)
    assert flags(umask="027") == ("-u", "027")
    assert flags(deny_requests=("copy-data", "posix-rename@openssh.com")) == ("-P", "copy-data,posix-rename")
    assert flags(start="~/in%d") == ("-d", "/home/alice/in%%d")
    assert flags(start="/srv/in") == ("-d", "/srv/in")


def test_what_is_done_with_files_goes_to_the_journal() -> None:
    (rule,) = plugin.account(jail(), ALICE, {**PLAIN, "log": True, "read_only": True}).rules
    assert (rule.argv_prefix, rule.stderr_to_journal) == (("-e", "-l", "INFO", "-R"), True)
    (rule,) = plugin.account(jail(), ALICE, PLAIN).rules
    assert not rule.stderr_to_journal


def test_the_modes_become_flags() -> None:
    drop, append = flags(write_only=True), flags(append_only=True, umask="077")
    assert drop[:3] == ("-u", "222", "-p")
    assert append[:3] == ("-u", "277", "-p")
    assert set(append[3].split(",")) - set(drop[3].split(",")) == {"read", "opendir", "readdir", "readlink"}
    changes = {"remove", "rmdir", "mkdir", "rename", "posix-rename", "setstat", "fsetstat", "lsetstat", "symlink"}
    assert not (changes | {"hardlink", "copy-data"}) & set(append[3].split(","))


def test_permitted_requests() -> None:
    assert flags(allow_requests=("open", "write"), deny_requests=("write",)) == ("-p", "open,write", "-P", "write")
    assert flags(write_only=True, allow_requests=("open", "read")) == ("-u", "222", "-p", "open")


@pytest.mark.parametrize("pair", [("read_only", "write_only"), ("write_only", "append_only")])
def test_modes_exclude_each_other(pair: Any) -> None:
    with pytest.raises(ConfigError, match=f"{pair[0]} and {pair[1]}"):
        flags(**dict.fromkeys(pair, True))


def test_read_only_is_also_enforced_by_the_mount() -> None:
    assert plugin.account(jail(), ALICE, {**PLAIN, "read_only": True}).home == "ro"


@pytest.mark.parametrize(
    "settings", [{"umask": "088"}, {"umask": "rw"}, {"umask": "7777"}, {"start": "in"}, {"start": "~bob/in"}]
)
def test_impossible_settings(settings: Any) -> None:
    with pytest.raises(ConfigError):
        flags(**settings)


def test_a_misspelt_request_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError) as caught:
        flags(deny_requests=("copydata",))
    assert caught.value.hint == "did you mean 'copy-data'?"


def test_the_image_needs_the_server() -> None:
    assert plugin.image(jail(), PLAIN).programs == (SERVER,)
    with pytest.raises(ConfigError, match="not found"):
        plugin.image(Jail("j", ("sftp",), dict[str, str]().get), PLAIN)


@pytest.mark.needs("sshd")
def test_this_host_s_server_knows_no_request_that_the_plugin_does_not() -> None:
    server = next(filter(shutil.which, SERVER_PATHS))
    done = subprocess.run([server, "-Q", "requests"], capture_output=True, text=True, check=True, timeout=10)
    assert flags(deny_requests=tuple(done.stdout.split()))[0] == "-P"


class Channel(socket.socket):
    """What paramiko asks of the thing that it speaks SFTP through."""

    def get_name(self) -> str:
        return "0"


class Server:
    """This host's sftp-server with flags, for an account whom file modes bind."""

    def __init__(self, room: Any, server_flags: Any) -> None:
        self.room = room
        self._command = [next(filter(shutil.which, SERVER_PATHS)), *server_flags]
        self._who: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}

    def sftp(self, batch: Any) -> Any:
        """Run the real sftp with a batch; True if every command worked."""
        command = ["sftp", "-q", "-b", "-", "-D", " ".join(self._command)]
        return self._run(command, batch)

    def scp(self, *words: Any) -> Any:
        transport = self.room / "transport"
        transport.write_text(f"#!/bin/sh\nexec {' '.join(self._command)}\n")
        transport.chmod(0o755)
        return self._run(["scp", "-s", "-q", "-S", str(transport), *words], "")

    def _run(self, command: Any, text: Any) -> Any:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=30, cwd=self.room, **self._who
        )
        return done.returncode == 0

    def paramiko(self) -> Any:
        near, far = socket.socketpair()
        self._server: Any = subprocess.Popen(
            self._command, stdin=far.fileno(), stdout=far.fileno(), cwd=self.room, **self._who
        )
        far.close()
        return paramiko.SFTPClient(Channel(fileno=near.detach()))


@pytest.fixture
def serve() -> Any:
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        if os.geteuid() == 0:
            os.chown(room, 65534, 65534)
        (room / "up").write_text("new")
        yield lambda **settings: Server(room, flags(**settings))


@pytest.mark.needs("sshd", "sftp", "scp")
def test_a_drop_box_takes_new_files_from_real_clients_and_gives_nothing_back(serve: Any) -> None:
    server = serve(write_only=True)
    there = server.room
    assert server.sftp("put up box.1\n")
    assert server.scp("up", f"h:{there}/box.2")
    assert (there / "box.1").read_text() == (there / "box.2").read_text() == "new"
    for batch in ("get box.1 back", "ls box.*", "put up box.1", "rm box.1", "rename box.1 x", "chmod 644 box.1",
                  "mkdir d", "ln box.1 x", "symlink box.1 x", "reput up box.1", "cp box.1 x"):  # fmt: skip
        assert not server.sftp(batch + "\n"), batch
    assert not server.scp("up", f"h:{there}/box.1")
    assert not server.scp(f"h:{there}/box.1", "back")
    # The client makes the file before it asks for the content.
    assert (there / "back").read_text() == ""
    (there / "back").unlink()
    assert sorted(os.listdir(there)) == ["box.1", "box.2", "transport", "up"]


@pytest.mark.needs("sshd", "sftp")
def test_append_only_keeps_what_is_there(serve: Any) -> None:
    server = serve(append_only=True)
    there = server.room
    assert server.sftp("put up a\nls\nget a back\n")
    for batch in ("put up a", "rm a", "rename a x", "chmod 644 a", "reput up a", "mkdir d", "ln a x", "cp a x"):
        assert not server.sftp(batch + "\n"), batch
    assert (there / "a").stat().st_mode & 0o777 == 0o444


@pytest.mark.needs("sshd")
@pytest.mark.parametrize("mode", ["write_only", "append_only"])
def test_a_client_of_another_kind(serve: Any, mode: Any) -> None:
    server = serve(**{mode: True})
    client = server.paramiko()
    path = str(server.room / "p")
    client.put(str(server.room / "up"), path)
    for change in (
        lambda: client.put(str(server.room / "up"), path),
        lambda: client.open(path, "a"),
        lambda: client.open(path, "r+"),
        lambda: client.truncate(path, 0),
        lambda: client.chmod(path, 0o644),
        lambda: client.posix_rename(path, path + "2"),
    ):
        with pytest.raises(OSError, match=r"denied|Permission|Failure|unsupported"):
            change()
    assert Path(path).read_text() == "new"
    client.close()


@pytest.mark.needs("sshd")
def test_this_host_has_what_the_image_needs() -> None:
    found = Jail("j", ("sftp",), find_program)
    manifest = resolve([("sftp", plugin.image(found, PLAIN))])
    (program, *_) = plugin.image(found, PLAIN).programs
    assert manifest.get(JailPath(program)) is not None
