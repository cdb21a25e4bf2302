"""The manual page jailssh-rules(7): its form, its examples by the real matcher, its words against the code."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from jailssh.config.values import defaults
from jailssh.plan import codec
from jailssh.plugin.api import Jail, Value
from jailssh.policy.rules import Rule
from jailssh_plugins.command.plugin import plugin
from jailssh_plugins.git.plugin import plugin as git
from tests.abilities import REPO
from tests.login.driver import LOGIN
from tests.login.jails import ALICE, PROGRAMS, plan_with

PAGE = REPO / "packaging/man/jailssh-rules.7.in"


def examples(number: int) -> list[tuple[str, str, str, str]]:
    """Return (line, command, "runs" or "denied", what) of one of the page's blocks of examples."""
    block = re.findall(r"\.Bd -literal\n(.*?)^\.Ed", PAGE.read_text(), re.DOTALL | re.MULTILINE)[number]
    found, line = [], ""
    for text in block.replace(r"\e", "\\").splitlines():
        row = re.fullmatch(r"    (\S.*?) +(runs|denied) +(.+)", text)
        if row:
            found.append((line, row[1], row[2], row[3]))
        elif text:
            assert not text.startswith(" "), text
            line = text
    return found


def test_the_page_has_examples() -> None:
    assert len(examples(0)) >= 15
    assert len({line for line, *_ in examples(0)}) == 5
    assert len({line for line, *_ in examples(1)}) == 2


@pytest.mark.needs("login-program")
@pytest.mark.parametrize(("line", "command", "verdict", "what"), examples(0))
def test_examples(tmp_path: Path, match_build: Path, line: str, command: str, verdict: str, what: str) -> None:
    found = {**PROGRAMS, "/usr/bin/true": "/usr/bin/true", "backup": "/usr/bin/backup"}
    settings: dict[str, Value] = {"commands": (line,), "read": (), "write": ("~",), "files": (), "proc": False}
    rules = plugin.account(Jail("j", ("command",), found.get), ALICE, settings).rules
    judge(rules, tmp_path, match_build, command, verdict, what)


@pytest.mark.needs("login-program")
@pytest.mark.parametrize(("line", "command", "verdict", "what"), examples(1))
def test_rights(tmp_path: Path, match_build: Path, line: str, command: str, verdict: str, what: str) -> None:
    settings: dict[str, Value] = defaults(git.options)
    settings |= {"roots": ("/srv/git",), "rights": tuple(line.split(", "))}
    rules = git.account(Jail("j", ("git",), PROGRAMS.get), ALICE, settings).rules
    judge(rules, tmp_path, match_build, command, verdict, what)


def judge(rules: Iterable[Rule], tmp_path: Path, match_build: Path, command: str, verdict: str, what: str) -> None:
    plan = tmp_path / "plan"
    plan.write_bytes(codec.encode(plan_with(list(rules))))
    done = subprocess.run([match_build, plan, command], capture_output=True, text=True, timeout=10)
    head, *argv = done.stdout.splitlines()
    assert done.returncode == (0 if verdict == "runs" else 3)
    assert (" ".join(argv) if verdict == "runs" else head.split("\t")[1]) == what


def test_every_reason_of_the_matcher_is_named() -> None:
    names = ("match", "option", "path", "repository", "request", "rule", "value")
    sources = "".join((LOGIN / f"command/{name}.c").read_text() for name in names)
    codes = dict(re.findall(r'\bX\((\w+), "([a-z-]+)"', (LOGIN / "reason.h").read_text()))
    reasons = {codes[name] for name in re.findall(r"\bR_(\w+)", sources) if name != "NONE"} - {"no-memory"}
    page = PAGE.read_text()
    assert {"path-outside", "value-missing", "not-interactive"} <= reasons
    assert [reason for reason in sorted(reasons) if reason not in page] == []
