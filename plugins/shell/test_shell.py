from typing import Any

import pytest

from jailssh.core.errors import ConfigError
from jailssh.core.names import JailPath
from jailssh.image.resolve import resolve
from jailssh.jail.this_host import find_program
from jailssh.plugin.api import Account, Jail, Plugin, Value
from jailssh.policy.rules import check_rules
from jailssh_plugins.shell.plugin import plugin

ALICE = Account("alice", 1000, 1000, "alice", "/home/alice")
JAIL = Jail("j", ("shell",), {"/bin/bash": "/usr/bin/bash", "/usr/bin/zsh": "/usr/bin/zsh", "zsh": "/usr/bin/zsh"}.get)
PLAIN: dict[str, Value] = {
    "shell": "/bin/bash",
    "commands": True,
    "programs": (),
    "tools": True,
    "executable_home": True,
}


def result(**settings: Any) -> Any:
    return plugin.account(JAIL, ALICE, {**PLAIN, **settings})


def test_it_is_a_plugin_whose_options_have_these_defaults() -> None:
    assert isinstance(plugin, Plugin)
    assert {option.name for option in plugin.options} == set(PLAIN)


def test_a_login_and_commands() -> None:
    given = result()
    login, command = given.rules
    assert (login.id, login.program, login.argv0, login.interactive_login) == (
        "shell.login",
        "/usr/bin/bash",
        "-bash",
        True,
    )
    assert (command.id, command.command_names, command.argv0, command.argv_prefix) == (
        "shell.command",
        ("*",),
        "bash",
        ("-c",),
    )
    check_rules(given.rules)
    assert (given.capability, given.home) == ("shell", "rw")
    assert (given.pty, given.proc, given.executable_home) == (True, True, True)
    assert ("SHELL", "/bin/bash") in given.env


def test_settings() -> None:
    assert [rule.id for rule in result(commands=False).rules] == ["shell.login"]
    assert not result(executable_home=False).executable_home
    login = result(shell="/usr/bin/zsh").rules[0]
    assert (login.program, login.argv0) == ("/usr/bin/zsh", "-zsh")


@pytest.mark.parametrize("shell", ["/bin/fish", "zsh", ""])
def test_a_shell_that_this_host_lacks_or_that_is_no_path(shell: Any) -> None:
    with pytest.raises(ConfigError, match="not a program"):
        result(shell=shell)


def test_the_image() -> None:
    needs = plugin.image(JAIL, {**PLAIN, "programs": ("rsync", "/opt/x")})
    assert needs.programs == ("/usr/bin/bash", "rsync", "/opt/x")
    assert {"ls", "grep", "sed", "awk", "find", "tar", "gzip", "less", "diff"} <= set(needs.optional_programs)
    assert set(needs.data) == {"nss", "locale", "terminfo", "zoneinfo"}
    assert {"/etc/profile", "/etc/bash.bashrc"} <= set(needs.optional_files)


def test_the_image_without_tools() -> None:
    needs = plugin.image(JAIL, {**PLAIN, "tools": False})
    assert needs.programs == ("/usr/bin/bash",)
    assert (needs.optional_programs, needs.optional_files) == ((), ())


def test_no_program_that_changes_identity_is_among_the_tools() -> None:
    needs = plugin.image(JAIL, PLAIN)
    assert not {"su", "sudo", "mount", "umount", "passwd", "chsh", "newgrp", "ssh", "chroot"} & set(
        needs.optional_programs
    )


def test_this_host_has_what_the_image_needs() -> None:
    found = Jail("j", ("shell",), find_program)
    manifest = resolve([("shell", plugin.image(found, PLAIN))])
    (program, *_) = plugin.image(found, PLAIN).programs
    assert manifest.get(JailPath(program)) is not None
