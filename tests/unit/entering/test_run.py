"""What `jailssh run` makes of its arguments."""

from __future__ import annotations

import argparse
import pathlib
import subprocess
import sys

import pytest

from jailssh.console import main
from jailssh.core.errors import UsageError
from jailssh.entering import places, run
from jailssh.host.paths import Layout
from jailssh.services import joining


def plan(*words: str) -> None:
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    args = parser.parse_args(["-U", "--no-terminal", *words])
    run._plan(args, places.look(args.tree, Layout()))


@pytest.mark.parametrize(
    "words", [("", "true"), ("--overlay", "", "tree"), ("--ro", "--layer", "", "tree"), ("--bind", ":/etc", "tree")]
)
def test_an_empty_name_is_not_the_directory_that_it_runs_in(
    words: tuple[str, ...], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tree").mkdir()
    monkeypatch.chdir(tmp_path)
    plan("tree")
    with pytest.raises(UsageError, match=r"is no directory|names no source"):
        plan(*words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-f", "nowhere", "tree"), "nowhere: no such file or directory"),
        (("--overlay", "nowhere", "tree"), "--overlay nowhere: is no directory"),
        (("--ro", "--layer", "nowhere", "tree"), "--layer nowhere: is no directory"),
        (("--bind", "/etc:/x:rw", "tree"), "--bind: 'rw' behind the target is not ro"),
        (("nowhere",), "tree nowhere: is no directory"),
    ],
)
def test_what_is_wrong_is_named_and_is_no_exit_status_of_the_command(
    words: tuple[str, ...], told: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "tree").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main.main(["run", "-U", *words, "true"]) == joining.REFUSED
    assert capsys.readouterr().err.splitlines()[0] == f"jailssh: {told}"


def test_only_the_tree_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["run"]) == UsageError.exit_code
    assert capsys.readouterr().err.splitlines()[0] == "jailssh: run: the following arguments are required: TREE"


def test_a_plain_command_imports_little(tmp_path: pathlib.Path) -> None:
    """Half of the time until the command runs was the import of what it does not need."""
    slow = ("subprocess", "socket", "json", "hashlib", "logging", "datetime", "pathlib", "shutil", "difflib",
            "jailssh.host.accounts", "jailssh.host.nss", "jailssh.entering.kept", "jailssh.entering.fstab")  # fmt: skip
    code = (
        "import sys; before = set(sys.modules)\n"  # a host's own start may have imported some
        "from jailssh.console import main\n"
        # Without a filter: pyseccomp, where python3-seccomp is not, imports what it likes.
        f"assert main.main(['run', '-U', '--privileged', '--dry-run', {str(tmp_path)!r}, 'true']) == 0\n"
        f"print([name for name in {slow!r} if name in sys.modules and name not in before], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
