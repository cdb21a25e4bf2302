"""Accounts whose login shell is git-shell."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from jailssh.sources import git_shell
from jailssh.sources.found import Effect, Fate
from tests.unit.sources.shells import KIM, one, texts

SHELL = "/usr/bin/git-shell"


def test_git_shell_is_the_git_plugin_for_the_home() -> None:
    """Repositories elsewhere have to be named."""
    found = one(git_shell, SHELL)
    assert found.fate is Fate.MIGRATE and found.uses == ("git",)
    assert found.settings == {"": {"plugins": "git"}, "git": {"write": ("~",), "archive": "yes"}}
    assert "[git] write" in texts(found, Effect.CHANGED)
    assert "hooks" in texts(found, Effect.CLOSED)


@pytest.mark.needs("git")
@pytest.mark.parametrize(
    ("command", "runs"),
    [
        ("git-upload-pack 'r.git'", True),
        ("git-receive-pack 'r.git'", True),
        ("git-upload-archive 'r.git'", True),
        ("git upload-pack 'r.git'", True),
        ("cvs server", False),
        ("git-lfs-authenticate 'r.git' download", False),
        ("git-shell", False),
        ("sh", False),
    ],
)
def test_git_shell_runs_what_the_plugin_has(tmp_path: Path, command: str, runs: bool) -> None:
    """Three programs and nothing else, so nothing else is lost."""
    program = shutil.which("git-shell")
    assert program
    done = subprocess.run([program, "-c", command], capture_output=True, cwd=tmp_path, stdin=subprocess.DEVNULL,
                          env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, timeout=20)  # fmt: skip
    assert done.returncode != 0
    assert (b"unrecognized command" not in done.stderr) == runs, done.stderr


def test_its_commands_are_lost() -> None:
    """Both those of users and the prompt."""
    found = one(git_shell, SHELL, {"/home/kim/git-shell-commands/list": "#!/bin/sh\n"})
    assert "the commands in ~/git-shell-commands" in texts(found, Effect.LOST)
    assert "begins git-shell's prompt" in texts(found, Effect.LOST)


def test_no_interactive_login_is_said() -> None:
    """Such a login is denied as before, with another line."""
    found = one(git_shell, SHELL, {"/home/kim/git-shell-commands/no-interactive-login": "#!/bin/sh\n"})
    assert "jailssh's line" in texts(found, Effect.CHANGED) and "prompt" not in texts(found)


def test_root_and_members_of_strong_groups_are_left() -> None:
    """As adduser does."""
    for person in (replace(KIM, uid=0), replace(KIM, groups=("sudo",)), replace(KIM, uid=105)):
        assert one(git_shell, SHELL, person=person).fate is Fate.LEAVE
