import shutil
import subprocess

import pytest

from jailssh.core.errors import ConfigError
from jailssh.image.jail import find_program
from jailssh.image.resolve import resolve
from jailssh.plugin.api import Account, Jail, Plugin
from jailssh_plugins.sftp.plugin import SERVER_PATHS, plugin

ALICE = Account("alice", 1000, 1000, "alice", "/home/alice")
SERVER = "/usr/lib/openssh/sftp-server"
PLAIN = {"read_only": False, "umask": "", "start": "", "deny_requests": ()}


def jail(*found):
    return Jail("j", ("sftp",), {path: path for path in found or (SERVER,)}.get)


def flags(**settings):
    (rule,) = plugin.account(jail(), ALICE, {**PLAIN, **settings}).rules
    return rule.fixed


def test_it_is_a_plugin_whose_options_have_these_defaults():
    assert isinstance(plugin, Plugin)
    assert {option.name for option in plugin.options} == set(PLAIN)


def test_every_spelling_runs_this_host_s_server_without_the_client_s_flags():
    result = plugin.account(jail("/opt/sftp-server", SERVER), ALICE, PLAIN)
    (rule,) = result.rules
    assert rule.program == SERVER
    assert rule.ignore_rest
    assert {"internal-sftp", "sftp-server", *SERVER_PATHS} <= set(rule.words)
    assert (result.capability, result.home, result.pty, result.proc) == ("sftp", "rw", False, False)


def test_a_server_in_an_unusual_place_is_a_spelling_too():
    found = Jail("j", ("sftp",), {"sftp-server": "/opt/ssh/sftp-server"}.get)
    (rule,) = plugin.account(found, ALICE, PLAIN).rules
    assert rule.program in rule.words


def test_the_settings_become_flags():
    assert flags() == ()
    assert flags(read_only=True) == ("-R",)
    assert flags(umask="027") == ("-u", "027")
    assert flags(deny_requests=("copy-data", "posix-rename@openssh.com")) == ("-P", "copy-data,posix-rename")
    assert flags(start="~/in%d") == ("-d", "/home/alice/in%%d")
    assert flags(start="/srv/in") == ("-d", "/srv/in")


def test_read_only_is_also_enforced_by_the_mount():
    assert plugin.account(jail(), ALICE, {**PLAIN, "read_only": True}).home == "ro"


@pytest.mark.parametrize(
    "settings", [{"umask": "088"}, {"umask": "rw"}, {"umask": "7777"}, {"start": "in"}, {"start": "~bob/in"}]
)
def test_impossible_settings(settings):
    with pytest.raises(ConfigError):
        flags(**settings)


def test_a_misspelt_request_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError) as caught:
        flags(deny_requests=("copydata",))
    assert caught.value.hint == "did you mean copy-data?"


def test_the_image_needs_the_server():
    assert plugin.image(jail(), PLAIN).programs == (SERVER,)
    with pytest.raises(ConfigError, match="not found"):
        plugin.image(Jail("j", ("sftp",), {}.get), PLAIN)


@pytest.mark.needs("sshd")
def test_this_host_s_server_knows_no_request_that_the_plugin_does_not():
    server = next(filter(shutil.which, SERVER_PATHS))
    done = subprocess.run([server, "-Q", "requests"], capture_output=True, text=True, check=True, timeout=10)
    assert flags(deny_requests=tuple(done.stdout.split()))[0] == "-P"


@pytest.mark.needs("sshd")
def test_this_host_has_what_the_image_needs():
    found = Jail("j", ("sftp",), find_program)
    manifest = resolve([("sftp", plugin.image(found, PLAIN))])
    (program, *_) = plugin.image(found, PLAIN).programs
    assert manifest.get(program) is not None
