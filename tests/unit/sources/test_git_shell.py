"""Accounts whose login shell is git-shell."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from jailssh.config import jails, reader
from jailssh.plan import codec
from jailssh.plugin.api import Jail
from jailssh.plugin.registry import load_registry
from jailssh.sources import git_shell
from jailssh.sources.found import Effect, Fate
from tests.login.jails import ALICE, plan_with
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


PROGRAMS = ("git-upload-pack", "git-receive-pack", "git-upload-archive", "git upload-pack", "git receive-pack",
            "git-upload-pack2", "git upload-archive", "git", "git-shell", "git clone", "GIT-UPLOAD-PACK", "sh -c",
            "/usr/bin/git-upload-pack", "./git-upload-pack", "cvs server", "scp -t",
            "git-lfs-authenticate")  # fmt: skip
PLACES = ("'HOME/r.git'", "'r.git'", "'/~/r.git'", "HOME/r.git", "'HOME/a b.git'", "'HOME/it'\\''s'", "", "''",
          "'HOME/r",
          "'HOME/r.git' x", "`id`", "--help", "-h", "'-h'", "'--upload-pack=x'", "'HOME/../x'", "'HOME/r.git';id",
          "$HOME/r.git", "'HOME/r.git'&&id", "'HOME/r.git' --strict", "--strict 'HOME/r.git'")  # fmt: skip
# git-shell opens any repository that the account can read, with any options; a jail shows the home, which is told.


@pytest.mark.needs("git", "login-program")
def test_what_the_jail_lets_run_git_shell_runs_too(tmp_path: Path, match_build: Path) -> None:
    program = shutil.which("git-shell")
    assert program
    registry = load_registry()
    settings = one(git_shell, SHELL).settings["git"]
    text = "plugins = git\n[git]\n" + "".join(
        f"{key} = {', '.join(each) + ',' if isinstance(each, tuple) else each}\n" for key, each in settings.items()
    )
    config = jails.read_jail("own", reader.read_document(text, "own.conf"), registry.options)
    host = Jail("own", config.plugins, lambda name: name if "/" in name else f"/usr/bin/{name}")
    rules = registry.get("git").account(host, ALICE, config.options["git"]).rules
    (tmp_path / "plan").write_bytes(codec.encode(plan_with([*rules])))
    seen = {"both": 0, "neither": 0, "closed": 0}
    for command in (f"{name} {place}".strip() for name in PROGRAMS for place in PLACES):
        command = command.replace("HOME", "/home/alice")
        judged = subprocess.run([match_build, tmp_path / "plan", command], capture_output=True, timeout=10)
        done = subprocess.run([program, "-c", command], capture_output=True, cwd=tmp_path, stdin=subprocess.DEVNULL,
                              env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, timeout=20)  # fmt: skip
        ours = judged.returncode == 0
        # A "bad argument" is one without its quotes, which a jail takes.
        theirs = not any(each in done.stderr for each in (b"unrecognized command", b"invalid command"))
        if ours == theirs:
            seen["both" if ours else "neither"] += 1
        else:
            # The same program by its path is the same program.
            assert theirs or command.startswith("/usr/bin/git-upload-pack "), f"{command}: {done.stderr!r}"
            seen["closed"] += theirs
    assert seen["both"] > 8 and seen["neither"] > 200, seen
