"""The command line: every verb's examples parse, errors are lines, exit codes are stable."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from jailssh.cli.adduser import jail_names
from jailssh.console import main as cli
from jailssh.console.output import SIGPIPE_STATUS
from jailssh.core.errors import UsageError
from jailssh.core.names import pluralize
from tests.harness.source import REPO

VERBS = [verb for verb in cli.VERBS if importlib.util.find_spec(cli.module_name(verb))]


def outcome(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = cli.main(argv)
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_examples_and_each_of_them_parses(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = outcome(capsys, verb, "--help")
    assert (code, err) == (0, "")
    examples = re.findall(r"^  (jailssh .*)$", out, re.MULTILINE)
    assert examples
    for example in examples:
        module, args = cli.parse(shlex.split(example)[1:])
        assert module.__name__ == cli.module_name(verb)
        assert args.root is None


def test_the_help_lists_every_verb_and_there_is_a_module_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = outcome(capsys, "--help")
    assert code == 0
    for verb in cli.VERBS:
        assert re.search(rf"^  {verb} ", out, re.MULTILINE)
    assert sorted(cli.VERBS) == sorted(VERBS)


def test_json_and_root_are_taken_before_and_after_the_verb() -> None:
    for line in ("--json --root /x plan show a", "plan --json --root /x show a", "plan show a --root /x --json"):
        _, args = cli.parse(line.split())
        assert (args.json, args.root, args.user) == (True, "/x", "a")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("explain alice", None),
        ("explain alice --json -- scp -t --json up", ["scp", "-t", "--json", "up"]),
        ("explain alice -- a -- b", ["a", "--", "b"]),
    ],
)
def test_what_follows_two_dashes_is_the_command_and_not_ours(line: str, command: list[str] | None) -> None:
    _, args = cli.parse(line.split())
    assert args.command == command
    assert args.user == "alice"
    assert args.json is ("alice --json" in line)


@pytest.mark.parametrize(
    ("line", "name", "expected"),
    [
        ("build a --dry-run b --name=c --compress gzip t", "operands", ["a", "b", "t"]),
        ("adduser alice --jail sftp-only bob --key k carol", "names", ["alice", "bob", "carol"]),
        ("system --json start a --autostart b", "system", ["a", "b"]),
        ("check alice --json -- --bob", "names", ["alice", "--bob"]),
        ("check alice -- --", "names", ["alice", "--"]),
        ("audit show --json -1", "run", "-1"),
        ("audit merge - --json b", "files", ["-", "b"]),
    ],
)
def test_options_stand_anywhere_among_the_operands(line: str, name: str, expected: object) -> None:
    assert getattr(cli.parse(line.split())[1], name) == expected


def test_an_option_without_its_value_takes_no_operand() -> None:
    with pytest.raises(UsageError, match="argument --jail: expected one argument"):
        cli.parse(["adduser", "alice", "--jail"])


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = outcome(capsys, "--version")
    assert code == 0
    assert re.fullmatch(r"jailssh \d+\.\d+\.\d+\S*\n", out)


@pytest.mark.parametrize(
    ("argv", "what", "hint"),
    [
        ([], "jailssh: command line: missing verb", "jailssh --help"),
        (["--nope"], "jailssh: command line: unrecognized", "jailssh --help"),
        (["aduser"], "verb 'aduser': does not exist", "did you mean: jailssh adduser?"),
        (["zzz"], "verb 'zzz': does not exist", "hint: jailssh --help"),
        (["adduser"], "NAME", "jailssh adduser --help"),
        (["adduser", "x"], "--jail", "jailssh adduser --help"),
        (["adduser", "x", "--ja", "y"], "unrecognized arguments: --ja", "jailssh adduser --help"),
        (["adduser", "x", "--jail", "y", "--nope"], "--nope", "jailssh adduser --help"),
        (["config"], "action", "jailssh config --help"),
        (["config", "frob"], "invalid choice", "jailssh config --help"),
        (["config", "check", "sftp"], "accepts no jail", ""),
        (["config", "check", "--user", "root"], "accepts no jail and no account", ""),
        (["config", "show", "sftp", "--user", "root"], "a jail or an account, not both", ""),
        (["config", "show", "--user", "no-such-account"], "does not exist on this host", ""),
        (["--root", "../x", "list"], "not a plain absolute path", ""),
        (["--root", "/tmp/x", "adduser", "x", "--jail", "y"], "cannot be combined with --root", ""),
        (["adduser", "--root", "/tmp/x", "x", "--jail", "y"], "cannot be combined with --root", ""),
    ],
)
def test_a_wrong_command_line_is_one_line_a_hint_and_exit_code_2(
    argv: list[str], what: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = outcome(capsys, *argv)
    lines = err.splitlines()
    assert (code, out) == (2, "")
    assert lines[0].startswith("jailssh: ")
    assert what in lines[0]
    assert hint in (lines[1] if len(lines) > 1 else "")
    assert len(lines) <= 2


def test_changing_verbs_need_root(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    for argv in (["adduser", "x", "--jail", "scp"], ["deluser", "x"], ["setup"], ["apply"], ["plan", "show", "root"],
                 ["explain", "root", "--", "ls"], ["learn", "root"]):  # fmt: skip
        code, _, err = outcome(capsys, *argv)
        assert code == 4
        assert "must be run as root" in err


def test_expected_failures_have_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error, code, text in (
        (PermissionError(13, "Permission denied", "/etc/x"), 1, "jailssh: /etc/x: permission denied\n"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 4, "jailssh: this host: not enough memory"),
    ):

        def fail(_argv: object, error: BaseException = error) -> int:
            raise error

        monkeypatch.setattr(cli, "run", fail)
        got, _, err = outcome(capsys, "list")
        assert got == code
        assert text in err


def test_a_current_directory_that_is_gone_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert outcome(capsys, "build", "x", "y")[2] == ("jailssh: the current directory: no longer exists\nhint: cd /\n")


def test_a_closed_pipe_is_quiet() -> None:
    script = "import sys; from jailssh.console import main; sys.exit(main.main(['list']))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=writer, stderr=subprocess.PIPE, cwd=REPO, check=False, timeout=30
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (SIGPIPE_STATUS, b"")


def test_starting_imports_no_verb_and_no_heavy_library() -> None:
    script = (
        "import sys, jailssh.console.main; print([m for m in sys.modules if m.startswith(('jailssh.', 'configobj'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=REPO, check=True, timeout=30
    )
    loaded = set(re.findall(r"'([^']+)'", done.stdout))
    assert "configobj" not in loaded
    assert [name for name in loaded if name.startswith(("jailssh.cli", "jailssh.queries"))] == []


def test_only_verbs_that_log_in_load_the_client_of_ssh() -> None:
    """It is half of the time that such a verb takes to begin."""
    logging_in = {"migrate", "selftest"}
    quiet = [verb for verb in VERBS if verb not in logging_in]
    script = (
        "import sys, jailssh.console.main as main\n"
        f"for verb in {quiet!r}:\n"
        "    main.verb_module(verb)\n"
        "    if 'paramiko' in sys.modules: sys.exit(verb)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=REPO, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_one_is_singular() -> None:
    assert [pluralize(number, "plan") for number in range(3)] == ["0 plans", "1 plan", "2 plans"]
    assert [pluralize(number, "process", "es") for number in (1, 2)] == ["1 process", "2 processes"]


def test_jail_names() -> None:
    assert jail_names("sftp, git,sftp") == ("git", "sftp")
    for bad in ("", "a,,b", "../x", "A", "a b"):
        with pytest.raises(UsageError):
            jail_names(bad)
